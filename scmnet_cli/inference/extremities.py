"""Hands, feet and limbs of an enlarged picture: pixels and outlines of the photo instead of the network's.

On the network's canvas a hand or a shoe has a few pixels, and the network draws it as a stump with a wide, dark rim.
The part warp has the person's own hand and shoe at the photo's resolution. So near the wrists and ankles its pixels are
shown, and along the limbs its silhouette bounds the foreground mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.models.part_joints import TORSO_PART, complete_joints, length_of
from scmnet_cli.models.part_ownership import dilated, ramp
from scmnet_cli.models.part_shapes import Box, PartShapes, pixels
from scmnet_cli.models.part_warp import PartWarp

_BARE_ARMS, _BARE_LEGS = 6, 7  # region ids
_ARMS, _FOREARMS, _THIGHS, _SHINS = (2, 3, 4, 5), (3, 5), (6, 8), (7, 9)

# In torso lengths, along the bone from its end and across it:
_FADE, _ACROSS_FADE = 0.06, 0.05
_HAND, _FOOT = (-0.12, 0.5, 0.2), (-0.12, 0.36, 0.2)  # first, last and half width of the pixels that are shown
_ON_LIMB, _ON_SHIN, _ON_FOOT = (-0.42, 0, 0.35), (-2.0, 0, 0.3), (-0.1, 0.5, 0.3)  # whose outline is the warp's
_AXIS = 0.06  # half width of the bone's axis

_SURELY_COVERED = 0.2
_WHOLE = 0.85
"""Least share of a shin's axis on the warped person: beside a larger hole in the region map its outline is unknown."""
_HAND_ALPHA, _FOOT_ALPHA = (0.02, 0.12), (0.15, 0.35)
"""Values of alpha between which hands and feet fade in: pixels that the network takes for background are debris."""
_HOLE = 64  # holes and notches of a shin narrower than twice one of this many parts of the height are closed
_SPECK = 100  # a part of the outline that is thinner than one of this many parts of the height is no foot of its own
_REACH = 8  # pixels that a thin end may be away from a thick part


@dataclass(frozen=True)
class Extremities:
    """Masks of the pixels near the ends of the limbs.

    Shape:
        shown: (B, 1, H, W) in [0, 1], 1 where the warped pixels are shown; outline: (B, 1, H, W) in [0, 1], the largest
        possible alpha.
    """

    shown: Tensor
    outline: Tensor

    @classmethod
    def of(cls, joints: Tensor, warp: PartWarp, alpha: Tensor | None) -> Extremities:
        """Compute the masks.

        Args:
            joints: the target pose, in pixels of the warp.
            warp: the source in this pose.
            alpha: the foreground mask of the network at the warp's size; None if it has none.

        Shape:
            joints: (B, 18, 3); alpha: (B, 1, H, W).
        """
        limbs = _Limbs.of(joints, warp)
        alpha = torch.ones_like(warp.coverage) if alpha is None else alpha
        shown = torch.zeros_like(alpha)
        for parts, region, where, sure in (
            (_FOREARMS, _BARE_ARMS, _HAND, _HAND_ALPHA), (_SHINS, _BARE_LEGS, _FOOT, _FOOT_ALPHA)
        ):  # fmt: skip
            own = ramp(_blurred(warp.regions[:, region : region + 1]), 0.45, 0.75) * ramp(alpha, *sure)
            for part in parts:
                shown = torch.maximum(shown, limbs.near(part, where) * own)
        shown = shown * (warp.coverage > _SURELY_COVERED)
        person = warp.regions[:, 1:].sum(1, keepdim=True)
        radius = max(person.shape[2] // _HOLE, 1)
        closed = 1 - dilated(1 - dilated(person, radius), radius)
        outline = torch.ones_like(alpha)
        for several, where, mask in (
            (_ARMS, _ON_LIMB, torch.maximum(closed, limbs.torso())), (_THIGHS, _ON_LIMB, closed),
            (_SHINS, _ON_SHIN, closed), (_SHINS, _ON_FOOT, person),
        ):  # fmt: skip
            outside = 1 - ramp(_blurred(mask), 0.45, 0.75) * _connected(mask)
            for part in several:
                whole = (limbs.share_on(part, person) > _WHOLE).to(alpha.dtype)
                outline = torch.minimum(outline, 1 - limbs.near(part, where) * whole * outside)
        return cls(shown, outline)


@dataclass(frozen=True)
class _Limbs:
    """The limbs of a pose, and the size of a picture."""

    shapes: PartShapes
    box: Box

    @classmethod
    def of(cls, joints: Tensor, warp: PartWarp) -> _Limbs:
        joints = complete_joints(joints.float())
        height, width = warp.image.shape[2:]
        return cls(PartShapes.of(joints), (slice(0, height), slice(0, width)))

    def near(self, part: int, where: tuple[float, float, float]) -> Tensor:
        """Return a soft mask of the pixels along a bone, (B, 1, H, W); 0 if the limb is missing."""
        first, last, half = where
        past, across, _ = self._local(part)
        inside = ramp(past, first, first + _FADE) * ramp(-past, -last, _FADE - last)
        return (inside * ramp(-across, -half, _ACROSS_FADE - half))[:, None] * self.shapes.valid[
            :, part, None, None, None
        ]

    def torso(self) -> Tensor:
        """Return a soft mask of the torso, (B, 1, H, W)."""
        return 1 - self.shapes.outside(TORSO_PART, self.box)[:, None]

    def share_on(self, part: int, person: Tensor) -> Tensor:
        """Return the share of a bone's axis that lies on a person, (B, 1, 1, 1)."""
        past, across, length = self._local(part)
        axis = ((past < 0) & (past > -length) & (across < _AXIS))[:, None].to(person.dtype)
        total = axis.sum((1, 2, 3), keepdim=True)
        return (axis * person).sum((1, 2, 3), keepdim=True) / total.clamp(min=1)

    def _local(self, part: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return pixel coordinates past the bone's end and across the bone, and its length, in torso lengths.

        Shape:
            results: (B, H, W), (B, H, W) and (B, 1, 1).
        """
        start, size = self.shapes.start[:, part], self.shapes.size[:, None, None]
        along = self.shapes.end[:, part] - start
        length = length_of(*along.unbind(-1)).clamp(min=1e-3)
        unit_x, unit_y = (along / length[:, None])[..., None, None].unbind(1)
        x, y = pixels(self.box, start)
        dx, dy = x - start[:, 0, None, None], y - start[:, 1, None, None]
        length = length[:, None, None] / size
        return (dx * unit_x + dy * unit_y) / size - length, (dy * unit_x - dx * unit_y).abs() / size, length


def _blurred(mask: Tensor) -> Tensor:
    return F.avg_pool2d(mask, 5, stride=1, padding=2)


def _connected(person: Tensor) -> Tensor:
    """Return a person's mask without specks: parts that are thin and far from thick ones.

    Shape:
        person, result: (B, 1, H, W).
    """
    radius = max(person.shape[2] // _SPECK, 1)
    mask = (person > 0.5).to(person.dtype)
    grown = dilated(1 - dilated(1 - mask, radius), radius + 1) * mask
    for _ in range(_REACH):
        grown = dilated(grown, 1) * mask
    return dilated(grown, 1)  # with the soft rim
