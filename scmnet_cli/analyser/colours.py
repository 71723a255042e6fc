"""Colours as evidence: a pixel that the network is unsure of joins the region whose colours it has.

The network sees a hand as three of its cells, so it loses hands, takes sleeves for arms and cuts hems. The colours of
one photo tell more: those of a region are known from the pixels that the network is sure of, and skin is known from the
face. With P the network's probabilities, c a pixel's colour and x its place, the result is proportional to
P(region) p(c | region, x); p is a kernel density of sampled pixels, in which near samples count more.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scmnet_cli.analyser.interpolation import resized
from scmnet_cli.analyser.region_maps import likeliest, rename
from scmnet_cli.images.cielab import cielab
from scmnet_cli.images.morphology import components, grown, shrunk, within
from scmnet_cli.models.parts import LIMBS
from scmnet_cli.regions import BACKGROUND, NUM_REGIONS, region_id
from scmnet_cli.skeleton import JOINTS, squared_distances
from scmnet_cli.types import FloatArray, UInt8Array

_FACE, _UPPER, _ARMS = (region_id(name) for name in ("face", "upper", "arms"))
_NECK, _HIPS = JOINTS.index("neck"), [JOINTS.index(f"{side}_hip") for side in ("right", "left")]
_SHOULDERS = [JOINTS.index(f"{side}_shoulder") for side in ("right", "left")]

_SURE, _SURE_BACKGROUND = 0.9, 0.97
"""Least probabilities of pixels that serve as samples, of the person and of the background. Pixels of the person's
surroundings that reach the first keep their region."""

_LEAST_SAMPLES = 15
_SAMPLES, _BACKGROUND_SAMPLES = 60, 250
_COLOUR_WIDTHS = np.array([8, 3, 3], np.float32)
"""Widths of the kernel in CIELAB, for lightness and for both axes of colour."""

_NEARNESS = 0.7  # width of the kernel of places, relative to the body's size
_ELSEWHERE = 1e-3  # weight of samples far away
_ANY_COLOUR = 1e-3  # density of a colour that a region does not have
_UNLIKELY = 1e-3  # added to the network's probabilities, which are too sure

_MARGIN = 0.07  # around the person, relative to the body's size
_AROUND = 0.3  # from where the background is sampled
_ARM_RADIUS, _HAND = 0.2, 0.8
"""Radius of an arm's surroundings relative to the body's size; their reach beyond the wrist, in forearms."""

_FACE_SPREAD = np.array([20, 8, 8], np.float32) * 1.5
"""Greatest difference of skin from the face's median colour: lips, eyes and hair differ by more."""

_OF_A_SLEEVE = 2.0
"""An arm's sample whose colour is this much (log-likelihood) more the upper garment's than the face's is a sleeve."""

_SHARE_OF_ARMS = 0.2
"""Weight of sampled arms in the colours of arms; the rest is the face's skin."""

_SAME_PLACE, _WIDER = 1.0, 1.0
"""Cells: how far apart along an arm two cells are at the same place, and by how much colours may widen an arm."""

_CHUNK = 1024  # pixels compared with all samples at once

_BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Samples:
    """Colours and places of pixels, both in widths of their kernels.

    Shape:
        colours: (n, 3); places: (n, 2).
    """

    colours: FloatArray
    places: FloatArray

    def __getitem__(self, chosen: npt.NDArray[np.int64]) -> Samples:
        return Samples(self.colours[chosen], self.places[chosen])


def with_colours(probabilities: FloatArray, joints: FloatArray, crop: UInt8Array, inside: _BoolArray) -> FloatArray:
    """Return probabilities to which the colours of the photo were added as evidence.

    Args:
        probabilities: probabilities of the regions, with h times w cells.
        joints: of the person, in pixels of the crop.
        crop: the network's input; a cell is a whole number of its pixels wide.
        inside: whether a pixel of the crop lies in the photo.

    Shape:
        probabilities, result: (R, h, w); joints: (18, 3); crop: (H, W, 3); inside: (H, W).
    """
    height, width = inside.shape
    rows, columns = probabilities.shape[1:]
    fine = resized(probabilities, height, width).reshape(len(probabilities), -1)
    person = fine.argmax(0).reshape(height, width) != BACKGROUND
    size = _body_size(joints)
    if size < 1 or not person.any():
        return probabilities
    y, x = np.divide(np.mgrid[:height, :width], _NEARNESS * size, dtype=np.float32)
    pixels = Samples(
        (cielab(crop) / _COLOUR_WIDTHS).reshape(-1, 3),
        np.stack([x, y], axis=-1).reshape(-1, 2),
    )
    unsure = within(person, _MARGIN * size).ravel() & (fine.max(0) < _SURE)
    unsure |= _around_arms(joints, size, (height, width)).ravel()
    unsure &= inside.ravel()
    near = (within(person, _AROUND * size) & inside).ravel()
    chosen = np.flatnonzero(unsure)
    evidence = _log_likelihoods(fine, near, pixels, chosen)
    fused = np.log(fine[:, chosen] + _UNLIKELY) + evidence
    fused = np.exp(fused - fused.max(0))
    fine[:, chosen] = fused / fused.sum(0)
    cells: FloatArray = fine.reshape(-1, rows, height // rows, columns, width // columns).mean((2, 4))
    found = _without_strangers(cells, probabilities)
    return _without_rims(_no_wider_arms(found, probabilities, joints, rows / height))


def _body_size(joints: FloatArray) -> float:
    """Return the length of the torso or the width of the shoulders, in pixels: the greater one; 0 if unknown."""
    pairs = [pair for pair in (_SHOULDERS, [_NECK, _HIPS[0]], [_NECK, _HIPS[1]]) if (joints[pair, 2] > 0).all()]
    return max((float(np.linalg.norm(np.subtract(*joints[pair, :2]))) for pair in pairs), default=0.0)


def _around_arms(joints: FloatArray, size: float, shape: tuple[int, int]) -> _BoolArray:
    """Return the pixels near known arms and where their hands may be, (H, W)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    places = np.stack([x, y], axis=-1).astype(np.float32)
    around = np.zeros(shape, bool)
    for shoulder, elbow, wrist in LIMBS[:2]:
        if (joints[[elbow, wrist], 2] == 0).any():
            continue
        forearm = joints[wrist, :2] - joints[elbow, :2]
        length = max(float(np.linalg.norm(forearm)), 1.0)
        hand = joints[wrist, :2] + forearm / length * _HAND * max(length, size / 4)
        bones = [(joints[elbow, :2], hand)]
        if joints[shoulder, 2] > 0:
            bones.append((joints[shoulder, :2], joints[elbow, :2]))
        for start, end in bones:
            around |= squared_distances(places, start, end) < (_ARM_RADIUS * size) ** 2
    return around


def _log_likelihoods(fine: FloatArray, near: _BoolArray, pixels: Samples, chosen: npt.NDArray[np.int64]) -> FloatArray:
    """Return log p(colour | region, place) of the chosen pixels; a region without samples gets the others' mean.

    Args:
        fine: probabilities of the regions at the pixels.
        near: pixels from which the background is sampled.
        pixels: all pixels.
        chosen: their numbers.

    Shape:
        fine: (R, H W); near: (H W,); result: (R, n).
    """
    found = np.full((NUM_REGIONS, len(chosen)), np.nan, np.float32)
    regions = {
        region: pixels[numbers]
        for region in range(NUM_REGIONS)
        if len(numbers := _numbers(fine[region], region, near)) >= _LEAST_SAMPLES
    }
    skin = _skin(regions)
    if skin is not None and _UPPER in regions and _ARMS in regions:
        arms = regions.pop(_ARMS)
        is_sleeve = np.log(_density(arms, regions[_UPPER])) - np.log(_density(arms, skin)) > _OF_A_SLEEVE
        if np.count_nonzero(~is_sleeve) >= _LEAST_SAMPLES:
            regions[_ARMS] = arms[np.flatnonzero(~is_sleeve)]
    for start in range(0, len(chosen), _CHUNK):
        part = pixels[chosen[start : start + _CHUNK]]
        densities = {region: _local_density(part, samples) for region, samples in regions.items()}
        if skin is not None:
            of_skin = _density(part, skin)
            arms_too = densities.get(_ARMS)
            densities[_ARMS] = of_skin if arms_too is None else of_skin + (arms_too - of_skin) * _SHARE_OF_ARMS
        for region, density in densities.items():
            found[region, start : start + _CHUNK] = np.log(density)
    if not regions:
        return np.zeros_like(found)
    return np.where(np.isnan(found), np.nanmean(found, axis=0), found)


def _numbers(probability: FloatArray, region: int, near: _BoolArray) -> npt.NDArray[np.int64]:
    """Return the numbers of a region's samples, spread evenly over the pixels that the network is sure of."""
    is_background = region == BACKGROUND
    sure = np.flatnonzero((probability > _SURE_BACKGROUND) & near if is_background else probability > _SURE)
    count = min(len(sure), _BACKGROUND_SAMPLES if is_background else _SAMPLES)
    return sure[np.linspace(0, max(len(sure) - 1, 0), count).astype(np.int64)]


def _skin(regions: dict[int, Samples]) -> Samples | None:
    """Return the samples of the face that have the colour of its skin; None if there are too few."""
    face = regions.get(_FACE)
    if face is None:
        return None
    colours = face.colours
    alike = np.abs(colours - np.median(colours, axis=0)) * _COLOUR_WIDTHS < _FACE_SPREAD
    numbers = np.flatnonzero(alike.all(1))
    return face[numbers] if len(numbers) >= _LEAST_SAMPLES else None


def _density(pixels: Samples, samples: Samples) -> FloatArray:
    """Return p(colour) of each pixel among the samples."""
    density: FloatArray = _kernel(pixels.colours, samples.colours).mean(1) + _ANY_COLOUR
    return density


def _local_density(pixels: Samples, samples: Samples) -> FloatArray:
    """Return p(colour | place) of each pixel among the samples; near ones count more."""
    weights = _kernel(pixels.places, samples.places) + _ELSEWHERE
    sums = np.einsum("nm,nm->n", _kernel(pixels.colours, samples.colours), weights)
    density: FloatArray = sums / weights.sum(1) + _ANY_COLOUR
    return density


def _kernel(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return exp(-|a_i - b_j|^2 / 2), (n, m); by a product of matrices, twice as fast as by distances."""
    middle = b.mean(0)  # or else large squares cancel
    a, b = a - middle, b - middle
    lengths = [np.square(points).sum(1, keepdims=True) / -2 for points in (a, b)]
    ones = [np.ones_like(length) for length in lengths]
    product = np.concatenate([a, lengths[0], ones[0]], 1) @ np.concatenate([b, ones[1], lengths[1]], 1).T
    closeness: FloatArray = np.exp(product, out=product)
    return closeness


def _without_strangers(found: FloatArray, before: FloatArray) -> FloatArray:
    """Give cells back to the background that colours alone brought to the person.

    A coat of the same red beyond a hand is no part of the person. A piece of a region stays if the network saw some of
    it before; an arm stays if it touches the person, for hands are often lost whole.

    Shape:
        found, before, result: (R, h, w).
    """
    chosen, known = likeliest(found), likeliest(before)
    is_new = (chosen != BACKGROUND) & (known == BACKGROUND)
    person = known != BACKGROUND
    strange = np.zeros_like(is_new)
    for region in sorted(np.unique(chosen[is_new]).tolist(), key=lambda region: region == _ARMS):  # arms last
        mask = chosen == region
        labels, _ = components(mask)
        anchored = labels[grown(person) if region == _ARMS else known == region]
        kept = np.isin(labels, anchored) & mask
        strange |= is_new & mask & ~kept
        person |= kept
    found = np.where(strange, before, found)
    # The mixed colours of the border between a hand and its sleeve are those of neither.
    hands = is_new & ~strange & (chosen == _ARMS)
    gap = (chosen == BACKGROUND) & grown(hands) & grown(chosen == _UPPER)
    rename(found, chosen, gap, BACKGROUND, _ARMS)
    return found


def _no_wider_arms(found: FloatArray, before: FloatArray, joints: FloatArray, scale: float) -> FloatArray:
    """Give cells beside an arm back to the background where the network saw the arm itself.

    Colours find what the network lost, such as a hand. Where it saw the arm, a wall of the skin's colour beside it is
    no part of it.

    Args:
        found: with colours.
        before: without.
        joints: of the person, in pixels of the crop.
        scale: cells a pixel.

    Shape:
        found, before, result: (R, h, w); joints: (18, 3).
    """
    known = likeliest(before)
    cells = np.argwhere((likeliest(found) == _ARMS) & (known == BACKGROUND))[:, ::-1]
    arms = np.argwhere(known == _ARMS)[:, ::-1]
    if not len(cells) or not len(arms):
        return found
    away = np.linalg.norm(cells[:, None] - arms, axis=-1)
    beside = np.zeros(len(cells), bool)
    for bone in [list(bone) for limb in LIMBS[:2] for bone in itertools.pairwise(limb)]:
        if (joints[bone, 2] == 0).any():
            continue
        start, end = (joints[bone, :2] + 0.5) * scale - 0.5
        length = max(float(np.linalg.norm(end - start)), 1.0)
        along = (end - start) / length
        places, of_arms = (cells - start) @ along, (arms - start) @ along
        same = (abs(places[:, None] - of_arms) <= _SAME_PLACE) & (away < length)
        nearest = np.where(same, away, np.inf).min(1)
        beside |= (places > 0) & (places < length) & np.isfinite(nearest) & (nearest > _WIDER)
    wide = np.zeros(known.shape, bool)
    wide[tuple(cells[beside].T[::-1])] = True
    return np.where(wide, before, found)


def _without_rims(found: FloatArray) -> FloatArray:
    """Let thin arms between a garment and the background be garment: there their mixed colours look like skin.

    Shape:
        found, result: (R, h, w).
    """
    chosen = likeliest(found)
    arms = chosen == _ARMS
    rim = arms & ~grown(shrunk(arms))
    rim &= grown(chosen == _UPPER) & grown(chosen == BACKGROUND)
    rename(found, chosen, rim, _ARMS, _UPPER)
    return found
