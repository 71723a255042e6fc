"""A body for the slow part warp: its bones and joints, and pictures of it, one person at a time in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
NECK, SHOULDERS, HIPS = 1, (2, 5), (8, 11)
TORSO = (1, 2, 5, 8, 11)
HEAD = (0, 14, 15, 16, 17)
FACE = 4  # region


@dataclass(frozen=True)
class Bone:
    """A limb part: its joints, then its radius, its length beyond the last joint and its depth, in torso lengths."""

    start: int
    end: int
    radius: float
    beyond: float
    in_front: float


BONES = (
    Bone(2, 3, 0.16, 0.0, 1.8), Bone(3, 4, 0.13, 0.35, 3.0), Bone(5, 6, 0.16, 0.0, 1.8), Bone(6, 7, 0.13, 0.35, 3.0),
    Bone(8, 9, 0.24, 0.0, 0.0), Bone(9, 10, 0.18, 0.25, 0.0), Bone(11, 12, 0.24, 0.0, 0.0),
    Bone(12, 13, 0.18, 0.25, 0.0),
)  # fmt: skip
FROM_BONE = {
    (2, 5): 1.45, (2, 3): 1.7, (5, 6): 1.7, (3, 4): 1.9, (6, 7): 1.9, (8, 9): 1.15, (11, 12): 1.15, (9, 10): 1.2,
    (12, 13): 1.2, (0, 1): 2.6, (8, 11): 2.4,
}  # fmt: skip


@dataclass(frozen=True)
class Person:
    """Joints as complex numbers x + i y, and which are known."""

    at: npt.NDArray[np.complex128]
    has: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, joints: npt.ArrayLike) -> Person:
        """Read (18, 3) joints."""
        values = np.asarray(joints, np.float64)
        has = values[:, 2] > 0
        return cls(np.where(has, values[:, 0] + 1j * values[:, 1], 0), has)

    def middle(self, pair: tuple[int, int]) -> complex | None:
        """Return the middle of two joints, or the known one."""
        there = [self.at[joint] for joint in pair if self.has[joint]]
        return complex(np.mean(there)) if there else None

    @property
    def size(self) -> float:
        """The torso's length, or an estimate from the longest other bone if it is missing or foreshortened."""
        hips = self.middle(HIPS)
        torso = abs(self.at[NECK] - hips) if hips is not None and self.has[NECK] else None
        others = [
            factor * abs(self.at[start] - self.at[end])
            for (start, end), factor in FROM_BONE.items()
            if self.has[start] and self.has[end]
        ]
        longest = max(others, default=0.0)
        if torso is not None and torso > 0.6 * longest:
            return max(float(torso), 8.0)
        return float(max(longest, torso or 0.0, 8.0))


def sampled(values: Array, x: Array, y: Array) -> Array:
    """Sample (K, H, W) bilinearly, 0 outside the picture."""
    height, width = values.shape[1:]
    left, top = np.floor(x), np.floor(y)
    total = np.zeros((len(values), *x.shape))
    for column, row in ((0, 0), (1, 0), (0, 1), (1, 1)):
        at_x, at_y = left + column, top + row
        share = (1 - abs(x - at_x)) * (1 - abs(y - at_y))
        inside = (at_x >= 0) & (at_x < width) & (at_y >= 0) & (at_y < height)
        index = at_y.clip(0, height - 1).astype(int), at_x.clip(0, width - 1).astype(int)
        total += values[:, index[0], index[1]] * np.where(inside, share, 0)
    return total


def ramp(values: Array | float, start: float, end: float) -> Array:
    """Return 0 up to ``start``, 1 from ``end`` on."""
    return np.clip((values - start) / (end - start), 0, 1)


def grown(masks: Array, regions: list[int]) -> Array:
    """Return where one of these regions, each grown by a pixel for 200 rows of the picture, lies."""
    height, width = masks.shape[1:]
    radius = max(round(height / 200), 1)
    wide = np.pad(masks[regions].max(0), radius)
    windows = np.lib.stride_tricks.sliding_window_view(wide, (2 * radius + 1, 2 * radius + 1))
    assert windows.shape[:2] == (height, width)
    return np.asarray(windows.max((2, 3)))


def at_points(values: Array, points: npt.NDArray[np.complex128]) -> Array:
    """Sample (H, W) at points; outside the picture lies its border."""
    height, width = values.shape
    return sampled(values[None], points.real.clip(0, width - 1), points.imag.clip(0, height - 1))[0]
