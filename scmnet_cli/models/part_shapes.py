"""Soft masks of the parts of the part warp, from a pixel's distance to a bone, the head or the torso.

A part's weight is exp(-cost) times a nearness. The cost grows with the square of the distance in units of the part's
radius; the nearness is 0 beyond about half a torso length. Each weight is computed only inside the part's bounding box.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scmnet_cli.models.arrays import length_of
from scmnet_cli.models.part_joints import body_size, middle
from scmnet_cli.models.parts import (
    BONE_ENDS,
    BONE_STARTS,
    FIRST_BONE,
    HEAD_JOINTS,
    HEAD_PART,
    LEFT_HIP,
    LEFT_SHOULDER,
    NECK,
    PARTS,
    RIGHT_HIP,
    RIGHT_SHOULDER,
    TORSO_JOINTS,
    TORSO_PART,
)

Box = tuple[slice, slice]
"""Rows and columns."""

# Bones, in torso lengths: half width, extension beyond the last joint (hands and feet), depth in front of the torso.
BONE_RADII = (0.16, 0.13, 0.16, 0.13, 0.24, 0.18, 0.24, 0.18)
BONES_BEYOND = (0.0, 0.35, 0.0, 0.35, 0.0, 0.25, 0.0, 0.25)
_IN_FRONT = (1.8, 3.0, 1.8, 3.0, 0.0, 0.0, 0.0, 0.0)  # arms lie in front of the torso: their cost is lowered by this
_UPPER_ARMS, _ABOVE_SHOULDER = (0, 2), 2.0  # bones; factor for the distance of pixels above a shoulder
_CORE = 0.6  # share of a bone's radius with distance 0
_SHARPNESS, _FRONT_SHARPNESS = 0.5, 0.3  # in radii of the bone: scales of the cost and of the depth
_HEAD_RADIUS, _SOFTNESS = 0.22, 0.15  # in torso lengths: radius of the head; soft border of head and torso
_LEAST_HALF_WIDTH, _SHOULDERS_INSIDE = 0.18, 0.95  # minimum half width of the torso; its share of the shoulder width
_NEAR, _FAR = 0.35, 0.55  # distances between which nearness falls from 1 to 0
_HIGHEST_COST = 40.0
ROW_STEP = 4
"""Rows of boxes start and stop at multiples of this, so that threads can share them."""
_FAR_AWAY = 1e6


@dataclass(frozen=True)
class PartShapes:
    """Geometry of the parts: limbs are line segments with a radius, the head is a disc, the torso an oriented box.

    Shape:
        start, end: (B, 10, 2); half: (B,), half width of the torso; size: (B,); valid: (B, 10) bool.
    """

    start: Tensor
    end: Tensor
    half: Tensor
    size: Tensor
    valid: Tensor

    @classmethod
    def of(cls, joints: Tensor, valid: Tensor | None = None) -> PartShapes:
        """Create the shapes from completed joints, (B, 18, 3), and a mask of the valid parts, (B, 10); None: all."""
        valid = joints.new_ones(len(joints), len(PARTS), dtype=torch.bool) if valid is None else valid
        places, present = joints[..., :2], joints[..., 2] > 0
        size = body_size(joints)
        shoulders, has_shoulder = middle(places, present, RIGHT_SHOULDER, LEFT_SHOULDER)
        shoulders = torch.where(has_shoulder[:, None], shoulders, places[:, NECK])
        hips, has_hip = middle(places, present, RIGHT_HIP, LEFT_HIP)
        below = torch.stack([torch.zeros_like(size), size], -1)
        hips = torch.where(has_hip[:, None], hips, shoulders + below)
        wide = (places[:, RIGHT_SHOULDER] - places[:, LEFT_SHOULDER]).norm(dim=-1) / 2 * _SHOULDERS_INSIDE
        wide = torch.where(present[:, RIGHT_SHOULDER] & present[:, LEFT_SHOULDER], wide, 0)
        face = present[:, HEAD_JOINTS].to(places.dtype)
        head = (places[:, HEAD_JOINTS] * face[..., None]).sum(1) / face.sum(1, keepdim=True).clamp(min=1)
        own = torch.stack([present[:, TORSO_JOINTS].any(1), face.sum(1) > 0], dim=1)
        own = torch.cat([own, present[:, BONE_STARTS] & present[:, BONE_ENDS]], dim=1)
        return cls(
            torch.cat([shoulders[:, None], head[:, None], places[:, BONE_STARTS]], dim=1),
            torch.cat([hips[:, None], head[:, None], places[:, BONE_ENDS]], dim=1),
            torch.maximum(wide, _LEAST_HALF_WIDTH * size), size, valid & own,
        )  # fmt: skip

    def rows(self, rows: slice) -> PartShapes:
        """Return the shapes of some rows of the batch."""
        return PartShapes(self.start[rows], self.end[rows], self.half[rows], self.size[rows], self.valid[rows])

    def weight(self, part: int, box: Box) -> tuple[Tensor, Tensor]:
        """Return the weight of each pixel of a box, not normalised over parts, and its nearness.

        Shape:
            results: (B, h, w); 0 beyond 0.55 torso lengths.
        """
        distance = self._distance(part, box)
        near = _nearness(distance)
        if part < FIRST_BONE:
            cost = distance.mul_(1 / _SOFTNESS).square_()
        else:
            radius, in_front = BONE_RADII[part - FIRST_BONE], _IN_FRONT[part - FIRST_BONE]
            front = None
            if in_front:  # an exponential that underflows takes ten times as long; below e^-80 it changes no cost
                front = distance.mul(1 / (_FRONT_SHARPNESS * radius)).square_().clamp_(max=80).neg_().exp_()
            cost = distance.mul_(1 / (_SHARPNESS * radius)).square_()
            if front is not None:
                cost.sub_(front, alpha=in_front)
        return cost.clamp_(max=_HIGHEST_COST).neg_().exp_().mul_(near), near

    def near(self, part: int, box: Box) -> Tensor:
        """Return the nearness of a box's pixels to a part, (B, h, w): 0 beyond 0.55 torso lengths."""
        return _nearness(self._distance(part, box))

    def outside(self, part: int, box: Box) -> Tensor:
        """Return a soft mask of a box's pixels outside a part: 0 inside, 1 beyond the soft border.

        Shape:
            result: (B, h, w).
        """
        return self._distance(part, box).mul_(1 / _SOFTNESS).clamp_(0, 1)

    def _distance(self, part: int, box: Box) -> Tensor:
        """Return the distance of a box's pixels to a part in torso lengths: 0 inside, very large for an invalid part.

        Shape:
            result: (B, h, w).
        """
        start, per_size = self.start[:, part], 1 / self.size[:, None, None]
        x, y = pixels(box, start)
        dx, dy = x - start[:, 0, None, None], y - start[:, 1, None, None]  # (B, 1, w) and (B, h, 1)
        away = (~self.valid[:, part, None, None]).to(start.dtype) * _FAR_AWAY
        if part == HEAD_PART:
            return torch.addcmul(away - _HEAD_RADIUS, length_of(dx, dy), per_size).clamp_(min=0)
        along = self.end[:, part] - start
        length = along.norm(dim=-1, keepdim=True).clamp(min=1e-3)
        unit_x, unit_y = (along / length).unsqueeze(-1).unsqueeze(-1).unbind(1)  # (B, 1, 1) each
        u = dx * unit_x + dy * unit_y
        v = dy * unit_x - dx * unit_y
        length = length[..., None]
        nothing = torch.zeros_like(length)
        if part == TORSO_PART:
            u.sub_(u.clamp(nothing, length))
            v.abs_().sub_(self.half[:, None, None]).clamp_(min=0)
            return torch.addcmul(away, length_of(u, v), per_size)
        bone = part - FIRST_BONE
        u.sub_(u.clamp(nothing, length * (1 + BONES_BEYOND[bone])))
        if bone in _UPPER_ARMS:
            u = torch.where(u < 0, u * _ABOVE_SHOULDER, u)
        return torch.addcmul(away - _CORE * BONE_RADII[bone], length_of(u, v), per_size).clamp_(min=0)

    def boxes(self, size: tuple[int, int], *, boxed: bool) -> list[Box | None]:
        """Return each part's bounding box of the pixels with non-zero weight, over the whole batch; None if empty."""
        height, width = size
        if not boxed:
            return [(slice(0, height), slice(0, width))] * len(PARTS)
        radius = torch.cat([self.half.new_zeros(2), self.half.new_tensor(BONE_RADII) * _CORE])  # (10,)
        reach = (radius + _FAR) * self.size[:, None]  # (B, 10)
        reach[:, TORSO_PART] += self.half
        reach[:, HEAD_PART] += _HEAD_RADIUS * self.size
        beyond = torch.cat([self.half.new_zeros(2), self.half.new_tensor(BONES_BEYOND)])[:, None]
        tip = self.end + (self.end - self.start) * beyond
        reach = reach[..., None]
        gone = ~self.valid[..., None]
        first = (torch.minimum(self.start, tip) - reach).masked_fill(gone, float("inf")).amin(0)  # (10, 2)
        last = (torch.maximum(self.start, tip) + reach).masked_fill(gone, float("-inf")).amax(0)
        found: list[Box | None] = []
        for left, top, right, bottom in torch.cat([first, last], dim=1).clamp(-1, _FAR_AWAY).tolist():
            rows = slice(max(int(top), 0) // ROW_STEP * ROW_STEP, min(_stepped(int(bottom) + 2), height))
            columns = slice(max(int(left), 0), min(int(right) + 2, width))
            found.append((rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None)
        return found


def _stepped(row: int) -> int:
    """Return the next multiple of the step of rows."""
    return -(-row // ROW_STEP) * ROW_STEP


def _nearness(distance: Tensor) -> Tensor:
    return distance.mul(-1 / (_FAR - _NEAR)).add_(_FAR / (_FAR - _NEAR)).clamp_(0, 1)


def pixels(box: Box, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return column numbers, (1, 1, w), and row numbers, (1, h, 1), of a box, with the dtype and device of ``like``."""
    y = torch.arange(box[0].start, box[0].stop, device=like.device, dtype=like.dtype)
    x = torch.arange(box[1].start, box[1].stop, device=like.device, dtype=like.dtype)
    return x[None, None, :], y[None, :, None]
