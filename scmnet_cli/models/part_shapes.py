"""Soft masks of the parts of the part warp, from a pixel's distance to a bone, the head or the torso.

A part's weight is exp(-cost) times a nearness. The cost grows with the square of the distance in units of the part's
radius; the nearness is 0 beyond about half a torso length. Each weight is computed only inside the part's bounding box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scmnet_cli.models.arrays import as_type, clip_, clipped, constant, counting, exp_, length_of, namespace, norm
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

if TYPE_CHECKING:
    from torch import Tensor

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
        xp, places, present = namespace(joints), joints[..., :2], joints[..., 2] > 0
        size = body_size(joints)
        shoulders, has_shoulder = middle(places, present, RIGHT_SHOULDER, LEFT_SHOULDER)
        shoulders = xp.where(has_shoulder[:, None], shoulders, places[:, NECK])
        hips, has_hip = middle(places, present, RIGHT_HIP, LEFT_HIP)
        below = xp.stack([0 * size, size], -1)
        hips = xp.where(has_hip[:, None], hips, shoulders + below)
        wide = norm(places[:, RIGHT_SHOULDER] - places[:, LEFT_SHOULDER]) / 2 * _SHOULDERS_INSIDE
        wide = xp.where(present[:, RIGHT_SHOULDER] & present[:, LEFT_SHOULDER], wide, 0)
        face = as_type(present[:, HEAD_JOINTS], places)
        head = (places[:, HEAD_JOINTS] * face[..., None]).sum(1) / face.sum(1)[:, None].clip(1)
        own = xp.stack([present[:, TORSO_JOINTS].any(1), face.sum(1) > 0], 1)
        own = xp.concatenate([own, present[:, BONE_STARTS] & present[:, BONE_ENDS]], 1)
        return cls(
            xp.concatenate([shoulders[:, None], head[:, None], places[:, BONE_STARTS]], 1),
            xp.concatenate([hips[:, None], head[:, None], places[:, BONE_ENDS]], 1),
            xp.maximum(wide, _LEAST_HALF_WIDTH * size), size, own if valid is None else valid & own,
        )  # fmt: skip

    def rows(self, rows: slice) -> PartShapes:
        """Return the shapes of some rows of the batch."""
        return PartShapes(self.start[rows], self.end[rows], self.half[rows], self.size[rows], self.valid[rows])

    def weight(self, part: int, box: Box) -> tuple[Tensor, Tensor]:
        """Return the weight of each pixel of a box, not normalised over parts, and its nearness.

        Shape:
            results: (B, h, w); 0 beyond 0.55 torso lengths.
        """
        cost = self._distance(part, box)
        near = _nearness(cost)
        if part < FIRST_BONE:
            cost *= 1 / _SOFTNESS
            cost *= cost
        else:
            radius, in_front = BONE_RADII[part - FIRST_BONE], _IN_FRONT[part - FIRST_BONE]
            front = cost * (1 / (_FRONT_SHARPNESS * radius)) if in_front else None
            cost *= 1 / (_SHARPNESS * radius)
            cost *= cost
            if (
                front is not None
            ):  # below e^-80 it changes no cost, and exponentials that underflow take ten times as long
                front *= front
                exp_(_negated(clip_(front, None, 80)))
                front *= in_front
                cost -= front
        weight = exp_(_negated(clip_(cost, None, _HIGHEST_COST)))
        weight *= near
        return weight, near

    def near(self, part: int, box: Box) -> Tensor:
        """Return the nearness of a box's pixels to a part, (B, h, w): 0 beyond 0.55 torso lengths."""
        return _nearness(self._distance(part, box))

    def outside(self, part: int, box: Box) -> Tensor:
        """Return a soft mask of a box's pixels outside a part: 0 inside, 1 beyond the soft border.

        Shape:
            result: (B, h, w).
        """
        distance = self._distance(part, box)
        distance *= 1 / _SOFTNESS
        return clip_(distance, 0, 1)

    def _distance(self, part: int, box: Box) -> Tensor:
        """Return the distance of a box's pixels to a part in torso lengths: 0 inside, very large for an invalid part.

        Shape:
            result: (B, h, w).
        """
        start, per_size = self.start[:, part], 1 / self.size[:, None, None]
        x, y = pixels(box, start)
        dx, dy = x - start[:, 0, None, None], y - start[:, 1, None, None]  # (B, 1, w) and (B, h, 1)
        away = as_type(~self.valid[:, part, None, None], start) * _FAR_AWAY
        if part == HEAD_PART:
            return clip_(_scaled(length_of(dx, dy), per_size, away - _HEAD_RADIUS), 0, None)
        along = self.end[:, part] - start
        length = norm(along)[:, None].clip(1e-3)
        unit = along / length
        unit_x, unit_y = unit[:, 0, None, None], unit[:, 1, None, None]  # (B, 1, 1) each
        u = dx * unit_x + dy * unit_y
        v = dy * unit_x - dx * unit_y
        length = length[..., None]
        nothing = 0 * length
        if part == TORSO_PART:
            u -= clipped(u, nothing, length)
            v = abs(v)
            v -= self.half[:, None, None]
            return _scaled(length_of(u, clip_(v, 0, None)), per_size, away)
        bone = part - FIRST_BONE
        u -= clipped(u, nothing, length * (1 + BONES_BEYOND[bone]))
        if bone in _UPPER_ARMS:
            u = namespace(u).where(u < 0, u * _ABOVE_SHOULDER, u)
        return clip_(_scaled(length_of(u, v), per_size, away - _CORE * BONE_RADII[bone]), 0, None)

    def boxes(self, size: tuple[int, int], *, boxed: bool) -> list[Box | None]:
        """Return each part's bounding box of the pixels with non-zero weight, over the whole batch; None if empty."""
        height, width = size
        if not boxed:
            return [(slice(0, height), slice(0, width))] * len(PARTS)
        xp = namespace(self.half)
        radius = constant([0, 0, *(_CORE * radius for radius in BONE_RADII)], self.half)  # (10,)
        reach = (radius + _FAR) * self.size[:, None]  # (B, 10)
        reach[:, TORSO_PART] += self.half
        reach[:, HEAD_PART] += _HEAD_RADIUS * self.size
        beyond = constant([0, 0, *BONES_BEYOND], self.half)[:, None]
        tip = self.end + (self.end - self.start) * beyond
        reach = reach[..., None]
        gone = ~self.valid[..., None]
        first = xp.amin(xp.where(gone, float("inf"), xp.minimum(self.start, tip) - reach), 0)  # (10, 2)
        last = xp.amax(xp.where(gone, float("-inf"), xp.maximum(self.start, tip) + reach), 0)
        found: list[Box | None] = []
        for left, top, right, bottom in xp.concatenate([first, last], 1).clip(-1, _FAR_AWAY).tolist():
            rows = slice(max(int(top), 0) // ROW_STEP * ROW_STEP, min(_stepped(int(bottom) + 2), height))
            columns = slice(max(int(left), 0), min(int(right) + 2, width))
            found.append((rows, columns) if rows.start < rows.stop and columns.start < columns.stop else None)
        return found


def _stepped(row: int) -> int:
    """Return the next multiple of the step of rows."""
    return -(-row // ROW_STEP) * ROW_STEP


def _nearness(distance: Tensor) -> Tensor:
    near = distance * (-1 / (_FAR - _NEAR))
    near += _FAR / (_FAR - _NEAR)
    return clip_(near, 0, 1)


def _scaled(values: Tensor, factor: Tensor, added: Tensor) -> Tensor:
    """Return values times a factor plus a term, in place."""
    values *= factor
    values += added
    return values


def _negated(values: Tensor) -> Tensor:
    """Change the sign of values in place, and return them."""
    values *= -1
    return values


def pixels(box: Box, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return column numbers, (1, 1, w), and row numbers, (1, h, 1), of a box, with the dtype and device of ``like``."""
    y, x = (counting(side.start, side.stop, like) for side in box)
    return x[None, None, :], y[None, :, None]
