"""The size of a face, and the pixels of its parts that have the part's colour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from scmnet_cli.analyser.face_landmarks import ALIGNED
from scmnet_cli.images.cielab import cielab
from scmnet_cli.inference.edits.brows import Hairs, find_hairs, rise
from scmnet_cli.regions import FACE_REGIONS
from scmnet_cli.types import Person, UInt8Array

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float32]

MIN_SHARE = 0.0008
"""Least share of the face's square that a part must cover, to have a colour."""

_TOGETHER: Mapping[str, tuple[str, ...]] = {"skin": ("skin", "nose")}
"""Regions that change together: a nose of another tone than the skin looks painted."""

_LIPS = 0.5
"""Least redness of lips, as a share of that of the reddest pixels of the mouth: teeth have less."""

_IRIS, _IRIS_END = 0.0225, 1.5
"""Radius of an iris as a share of the face's square (12 mm where eyes are 63 mm apart), and how many radii from its
centre a change ends."""

_UNLIKE_WHITE = (0.3, 0.6)
"""Distances from the white of the eye, relative to the iris's, between which a pixel becomes iris."""

_LEAST_CONTRAST = 15.0
"""Least contrast of an eye in CIELAB that has a white."""

_MOST_HIDDEN = 0.1
"""Least share of a region that has its colour; with less, all of it counts."""

_SKIN = (FACE_REGIONS.index("skin"), FACE_REGIONS.index("nose"))

_HEIGHTS = {"eyes": ALIGNED[:2, 1].mean(), "nose": ALIGNED[2, 1], "mouth": ALIGNED[3:, 1].mean()}
"""Heights of parts in an aligned face, as shares of its square."""


def face_side(regions: UInt8Array) -> float:
    """Return the side of the square of a face in pixels, from the distances of eyes, nose and mouth.

    This is the square that an aligned face fills, however much of the photo is around it. If fewer than two of these
    parts are there, it is the height of the map.

    Shape:
        regions: (H, W) ids of :data:`~scmnet_cli.regions.FACE_REGIONS`.
    """
    centres = {
        part: np.argwhere(inside).mean(0) for part in _HEIGHTS if (inside := regions == FACE_REGIONS.index(part)).any()
    }
    pairs = {(a, b): abs(_HEIGHTS[a] - _HEIGHTS[b]) for a, b in combinations(centres, 2)}
    if not pairs:
        return float(len(regions))
    a, b = max(pairs, key=lambda pair: pairs[pair])  # the farthest are the most exact
    return max(1.0, float(np.linalg.norm(centres[a] - centres[b]) / pairs[a, b]))


@dataclass(frozen=True)
class Part:
    """A part of a face.

    Attributes:
        pixels: (H, W) bool, the pixels that have its colour.
        share: (H, W) float32 in [0, 1], how much of each pixel's colour is the part's, also just beyond its pixels.
        hairs: the hairs of brows over the skin; None if it is another part, or no skin is around.
    """

    pixels: BoolArray
    share: FloatArray
    hairs: Hairs | None = None


def find_part(face: Person, region: str) -> Part:
    """Find the pixels of a region that have its colour: lips of a mouth, irises of eyes, brows without skin between."""
    ids = [FACE_REGIONS.index(name) for name in _TOGETHER.get(region, (region,))]
    inside: BoolArray = np.isin(face.regions, ids)
    whole = Part(inside, np.ones(inside.shape, np.float32))
    if region not in {"mouth", "eyes", "brows"} or not inside.any():
        return whole
    lab, side = cielab(face.image), face_side(face.regions)
    if region == "mouth":
        return Part(_lips(lab, inside, side), whole.share)
    if region == "brows":
        hairs = find_hairs(lab, inside, np.isin(face.regions, _SKIN), side)
        return whole if hairs is None else Part(hairs.are_seen, hairs.share, hairs)
    share = _irises(lab, inside, side)
    pixels = inside & (share > 0.5)
    return Part(pixels, share) if pixels.sum() >= _MOST_HIDDEN * inside.sum() else whole


def part_of(face: Person, region: str) -> BoolArray:
    """Return the pixels of a region that have its colour, (H, W) bool."""
    return find_part(face, region).pixels


def _lips(lab: FloatArray, mouth: BoolArray, side: float) -> BoolArray:
    """Return the lips of a mouth, without teeth and the dark between them."""
    redness = lab[..., 1]
    lips = mouth & (redness > _LIPS * np.percentile(redness[mouth], 80))
    return lips if lips.sum() >= MIN_SHARE * side**2 else mouth


def _irises(lab: FloatArray, eyes: BoolArray, side: float) -> FloatArray:
    """Return the share of the irises in each pixel: of each eye the darkest disc, without what is as its white."""
    from scipy.ndimage import gaussian_filter, label

    share = np.zeros(eyes.shape, np.float32)
    labels, num = label(eyes, np.ones((3, 3)))
    radius = _IRIS * side
    grid = np.indices(eyes.shape, np.float32)
    for eye in (labels == number for number in range(1, num + 1)):
        light = lab[eye, 0]
        white, dark = np.percentile(light, (90, 15))
        if white - dark < _LEAST_CONTRAST:
            share[eye] = 1
            continue
        hue = np.median(lab[eye & (lab[..., 0] >= white)], axis=0)[1:]
        unlike = (white - lab[..., 0]).clip(0) + np.linalg.norm(lab[..., 1:] - hue, axis=-1)
        centre = np.unravel_index(gaussian_filter(np.where(eye, white - lab[..., 0], 0), radius).argmax(), eyes.shape)
        away = np.hypot(grid[0] - centre[0], grid[1] - centre[1]) / radius
        typical = np.median(unlike[eye & (away < 1)])
        disc = ((_IRIS_END - away) / (_IRIS_END - 1)).clip(0, 1)
        share = np.maximum(share, disc * rise(unlike / max(typical, 1e-3), *_UNLIKE_WHITE))
    return share
