"""Garments of train people drawn onto other train people by the part warp: labelled photos without annotation.

Only 132 of 813 train photos show a skirt. A transplant shows a person in the skirt, the trousers or the dress of
another one. Its labels are the wearer's, and the new garment's where it is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageFilter

from scmnet_cli.analyser.training.views import CARRIED, TrainingPhoto, training_photo
from scmnet_cli.analyser.windows import OUTSIDE, Window
from scmnet_cli.data.garment_pixels import arms_lifted, extended
from scmnet_cli.models.part_joints import body_size
from scmnet_cli.models.part_warp import warp_parts
from scmnet_cli.regions import BACKGROUND, one_hot, region_id
from scmnet_cli.skeleton import JOINTS, MIRRORED
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

_CANVAS = Canvas(544, 384)
_AROUND = 1.25
"""Height of a transplant's photo, relative to the wearer's."""

_KINDS = (("skirt", 0.6), ("dress", 0.2), ("pants", 0.2))
_OVER = {
    "skirt": ("background", "pants", "skirt", "legs"),
    "pants": ("background", "pants", "skirt", "legs"),
    "dress": ("background", "pants", "skirt", "legs", "upper"),
}
"""Regions of the wearer that each kind of garment covers; the others stay in front of it."""

_LEAST_SHARE = 0.05
"""Least share of the person that a garment covers."""

_MOST_CARRIED = 0.02
"""Greatest area of bags, relative to the person, of people whose arms and garments can be moved."""

_DRESS_ENDS, _TOP_ENDS = 0.6, 0.35
"""A dress ends below, and the top of a skirt's wearer above these shares of the way from hip to knee."""

_APART = 0.15
_NEEDED = tuple(JOINTS.index(f"{side}_{name}") for side in ("right", "left") for name in ("shoulder", "hip", "knee"))
_COVERED, _SURE = 0.2, (0.35, 0.65)


@dataclass(frozen=True)
class Figure:
    """A train person cut out at a common size."""

    image: UInt8Array
    labels: UInt8Array
    joints: FloatArray
    side: int
    inside: tuple[slice, slice]

    def mask(self, kind: str) -> npt.NDArray[np.bool_]:
        """Return the pixels of a kind of garment."""
        return np.asarray(self.labels == region_id("upper" if kind == "dress" else kind))

    def share(self, kind: str) -> float:
        """Return the share of the person's pixels that a kind of garment covers."""
        return float(self.mask(kind).sum() / max(1, (self.labels != BACKGROUND).sum()))

    @property
    def top_ends(self) -> float:
        """Lowest row of the upper garment, from 0 at the hips to 1 at the knees."""
        hips, knees = (self.joints[[_NEEDED[k], _NEEDED[k + 3]], 1].mean() for k in (1, 2))
        rows = np.flatnonzero(self.mask("dress").sum(1) >= _CANVAS.width // 50)
        return float((rows.max(initial=0) - hips) / max(knees - hips, 1))

    def wears(self, kind: str) -> bool:
        """Whether a garment of this kind can be taken."""
        alone = kind != "dress" or (self.top_ends > _DRESS_ENDS and self.share("pants") + self.share("skirt") == 0)
        return alone and self.share(kind) > _LEAST_SHARE


def transplants(
    photos: Sequence[TrainingPhoto], num: int, seed: int, progress: Callable[[int, int], None] | None = None
) -> list[TrainingPhoto]:
    """Return ``num`` photos of train people in the garments of others; fewer if nothing fits.

    Args:
        photos: annotated photos.
        num: number of transplants.
        seed: seed of the choices.
        progress: called with the number done and in all.
    """
    random = np.random.default_rng((seed, num))
    figures = [figure for photo in photos if (figure := figure_of(photo)) is not None]
    donors = {kind: [figure for figure in figures if figure.wears(kind)] for kind, _ in _KINDS}
    wearers = [figure for figure in figures if figure.top_ends < _TOP_ENDS]
    found: list[TrainingPhoto] = []
    for _ in range(4 * num):
        kind = str(random.choice([name for name, _ in _KINDS], p=[share for _, share in _KINDS]))
        if len(found) == num or not wearers or not donors[kind]:
            break
        donor = donors[kind][int(random.integers(len(donors[kind])))]
        wearer = wearers[int(random.integers(len(wearers)))]
        if donor is wearer or donor.side != wearer.side:
            continue
        if (photo := _worn(donor, wearer, kind, random)) is not None:
            found.append(photo)
            if progress:
                progress(len(found), num)
    return found


def figure_of(photo: TrainingPhoto) -> Figure | None:
    """Cut out a person without a bag, seen from the front or behind whose shoulders, hips and knees are known."""
    if photo.labels is None or (photo.joints[list(_NEEDED), 2] <= 0).any():
        return None
    left, top, right, bottom = photo.box
    height = _AROUND * max(bottom - top, (right - left) * _CANVAS.height / _CANVAS.width)
    window = Window((left + right) / 2, (top + bottom) / 2, height)
    joints = window.joints(photo.joints, _CANVAS, MIRRORED)
    across = float(joints[_NEEDED[3], 0] - joints[_NEEDED[0], 0])
    if abs(across) < _APART * float(body_size(torch.from_numpy(joints)[None])[0]):
        return None
    labels = np.array(window.look_at_labels(photo.labels, _CANVAS, 1))
    rows, columns = (np.flatnonzero((labels != OUTSIDE).any(axis)) for axis in (1, 0))
    inside = (slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1))
    if (labels == CARRIED).sum() > _MOST_CARRIED * np.isin(labels, (BACKGROUND, CARRIED, OUTSIDE), invert=True).sum():
        return None
    labels[np.isin(labels, (OUTSIDE, CARRIED))] = BACKGROUND
    return Figure(np.asarray(window.look(photo.levels, _CANVAS)), labels, joints, int(np.sign(across)), inside)


def _worn(donor: Figure, wearer: Figure, kind: str, random: np.random.Generator) -> TrainingPhoto | None:
    """Draw the donor's garment on the wearer; None if little of it is seen."""
    mask = donor.mask(kind)
    region = int(donor.labels[mask][0])
    source, target = donor.joints, wearer.joints
    if kind != "dress":
        source, target = arms_lifted(source), arms_lifted(target)
    image = torch.from_numpy(extended(donor.image, mask)).permute(2, 0, 1)[None].float() / 127.5 - 1
    masks = one_hot(torch.from_numpy(mask * np.uint8(region))[None])
    warp = warp_parts(image, masks, torch.from_numpy(source)[None], torch.from_numpy(target)[None])
    share = (warp.regions[0, region] * (warp.coverage[0, 0] > _COVERED)).numpy()
    over = np.isin(wearer.labels, [region_id(name) for name in _OVER[kind]])
    cover = ((share - _SURE[0]) / (_SURE[1] - _SURE[0])).clip(0, 1) * over
    worn = cover > 0.5
    if worn.sum() < _LEAST_SHARE * (wearer.labels != BACKGROUND).sum():
        return None
    edge = Image.fromarray((cover * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1)))
    soft = np.asarray(edge).astype(np.float32)[..., None] / 255
    pixels = ((warp.image[0].permute(1, 2, 0) + 1) * 127.5).numpy()
    mixed = wearer.image * (1 - soft) + pixels * soft
    labels = wearer.labels.copy()
    labels[worn] = region
    joints = wearer.joints.copy()
    joints[joints[:, 2] > 0, :2] -= (wearer.inside[1].start, wearer.inside[0].start)
    return training_photo(mixed[wearer.inside].round().clip(0, 255).astype(np.uint8), labels[wearer.inside], joints)
