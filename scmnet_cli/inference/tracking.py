"""Track one person through a video: find joints, fill gaps, smooth trajectories, and place them on a canvas."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scmnet_cli.errors import ScmError
from scmnet_cli.images import crop_around
from scmnet_cli.poses.placing import person_box
from scmnet_cli.types import Canvas, FloatArray, Pose, UInt8Array

if TYPE_CHECKING:
    from scmnet_cli.analyser.people import Analyser

SMOOTHING = 0.3
"""Default window of the smoothing of trajectories, in seconds."""

LONGEST_GAP = 0.5
"""Longest gap of a joint that is interpolated, in seconds."""

FORGOTTEN_AFTER = 1.0
"""Seconds after which a lost person is given up and another one is followed."""

_FRAMING = 1.0
"""Window of the smoothing of the box around the person, in seconds."""

_GROWN = 0.5
"""Margin of the search around the person's last position, on each side, as a share of their height."""

_FARTHEST = 0.5
"""Greatest movement of the person's centre between frames, as a share of their height."""

_LIKEST = 0.4
"""Least ratio of the person's heights in two frames: legs may leave the image, other people are farther away."""

_SHORTEST_WINDOW = 5
_ORDER = 2
_Find = Callable[[UInt8Array], FloatArray | None]
_Box = tuple[float, float, float, float]


class Follower:
    """Tracks the joints of one person from frame to frame.

    It searches around the last position, then the whole frame. A detection far away or of another size is another
    person. After a second without the person, it follows the next person it detects.
    """

    def __init__(self, find: _Find, rate: float, first: _Find | None = None) -> None:
        """Set up the tracker.

        Args:
            find: finds the joints of the most prominent person of an image, (18, 3).
            rate: frames per second.
            first: finds the person to follow; None for the most prominent one.
        """
        self._find = find
        self._first = first or find
        self._patience = round(FORGOTTEN_AFTER * rate)
        self._last: _Box | None = None
        self._lost = 0

    def __call__(self, frame: UInt8Array) -> FloatArray | None:
        """Return the joints in pixels of the frame; None if the person is not found."""
        found = self._first(frame) if self._last is None else self._again(frame, self._last)
        if found is not None:
            self._last, self._lost = person_box(found), 0
            return found
        self._lost += 1
        if self._lost > self._patience:
            self._last = None
        return None

    def _again(self, frame: UInt8Array, last: _Box) -> FloatArray | None:
        left, top, right, bottom = last
        grown = _GROWN * (bottom - top)
        rows, columns = frame.shape[:2]
        x, y = max(0, int(left - grown)), max(0, int(top - grown))
        part = frame[y : min(rows, int(bottom + grown)), x : min(columns, int(right + grown))]
        if part.size:
            found = self._find(part)
            if found is not None:
                moved = found + np.array([x, y, 0], np.float32) * (found[:, 2:] > 0)
                if _is_same(person_box(moved), last):
                    return moved
        found = self._find(frame)
        return found if found is not None and _is_same(person_box(found), last) else None


def _is_same(box: _Box, last: _Box) -> bool:
    (left, top, right, bottom), height = box, last[3] - last[1]
    across = (left + right - last[0] - last[2]) / 2
    down = (top + bottom - last[1] - last[3]) / 2
    return np.hypot(across, down) < _FARTHEST * height and _LIKEST * height < bottom - top < height / _LIKEST


def finder_of(analyser: Analyser, person: int = 0) -> _Find:
    """Return a function that finds joints with the analyser: of the most prominent person, or of the N-th, from 1."""

    def find(frame: UInt8Array) -> FloatArray | None:
        if person > 1:
            people = analyser.people(frame)
            found = people[person - 1] if len(people) >= person else None
        else:
            found = analyser(frame)
        return found.joints if found and found.has_person and (found.joints[:, 2] > 0).any() else None

    return find


def find_joints(
    frames: Iterable[UInt8Array], follow: Callable[[UInt8Array], FloatArray | None]
) -> tuple[FloatArray, Canvas]:
    """Return the joints of every frame, and the size of the frames.

    Shape:
        result: (T, 18, 3); all zero if no person was found.

    Raises:
        ScmError: if no person is found in any frame.
    """
    found: list[FloatArray] = []
    size = Canvas(0, 0)
    for frame in frames:
        size = Canvas(*frame.shape[:2])
        joints = follow(frame)
        found.append(np.zeros((18, 3), np.float32) if joints is None else joints)
    every = np.stack(found)
    if not every[..., 2].any():
        raise ScmError(f"no person found in any of its {len(found)} frames, or too small; crop it around the person")
    return every, size


def steadied(joints: FloatArray, rate: float, seconds: float = SMOOTHING) -> FloatArray:
    """Fill short gaps, then smooth the trajectory of each joint.

    Gaps of up to half a second are interpolated linearly. Then, if ``seconds`` is not 0, a median of three frames
    removes outliers of a single frame, and a Savitzky-Golay filter of order 2 with a window of ``seconds`` smooths the
    trajectory; its window is symmetric, so there is no lag.

    Shape:
        joints, result: (T, 18, 3).
    """
    whole = joints.copy()
    for path in whole.transpose(1, 0, 2):  # a view: (T, 3) of one joint
        _fill(path, round(LONGEST_GAP * rate))
        if seconds > 0:
            for start, end in _runs(path[:, 2] > 0):
                path[start:end, :2] = _smoothed(path[start:end, :2], round(seconds * rate))
    return whole


def _fill(path: FloatArray, longest: int) -> None:
    for (_, start), (end, _) in zip(known := _runs(path[:, 2] > 0), known[1:], strict=False):
        if end - start <= longest:
            share = np.arange(1, end - start + 1)[:, None] / (end - start + 1)
            path[start:end] = path[start - 1] * (1 - share) + path[end] * share


def _smoothed(path: FloatArray, window: int) -> FloatArray:
    from scipy.ndimage import median_filter
    from scipy.signal import savgol_filter

    window = min(window, len(path))
    window -= 1 - window % 2  # odd
    if window < _SHORTEST_WINDOW:
        return path
    calm = median_filter(path, (3, 1), mode="nearest")
    smooth: FloatArray = savgol_filter(calm, window, _ORDER, axis=0, mode="interp").astype(np.float32)
    return smooth


def _runs(there: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return start and end of each run of True."""
    edges = np.flatnonzero(np.diff(there.astype(np.int8), prepend=0, append=0))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def framed(joints: FloatArray, rate: float, canvas: Canvas) -> list[Pose | None]:
    """Place the joints of each frame on a canvas by a box around the person that moves and grows slowly.

    After a gap of more than a second, the box starts again.

    Shape:
        joints: (T, 18, 3) in pixels of the frames.

    Returns:
        the pose of each frame; None without joints.
    """
    seen = np.asarray(joints[..., 2].any(1), bool)
    poses: list[Pose | None] = [None] * len(joints)
    for frames in _shots(seen, round(FORGOTTEN_AFTER * rate)):
        boxes = np.array([person_box(joints[t]) for t in frames])
        for t, corner, scale in zip(frames, *_slow_crops(boxes, frames, rate, canvas), strict=True):
            on_canvas = joints[t].copy()
            on_canvas[:, :2] = (on_canvas[:, :2] + 0.5 - corner) / scale - 0.5
            beyond = ((on_canvas[:, :2] < -0.5) | (on_canvas[:, :2] > (canvas.width - 0.5, canvas.height - 0.5))).any(1)
            on_canvas[beyond | (joints[t, :, 2] == 0)] = 0
            if on_canvas[:, 2].any():
                poses[t] = Pose(f"frame {t + 1}", on_canvas, canvas)
    return poses


def _shots(seen: npt.NDArray[np.bool_], patience: int) -> list[list[int]]:
    """Return the frames with a person, split at long gaps."""
    shots: list[list[int]] = []
    for t in np.flatnonzero(seen).tolist():
        if not shots or t - shots[-1][-1] > patience + 1:
            shots.append([])
        shots[-1].append(t)
    return shots


def _slow_crops(
    boxes: npt.NDArray[np.float64], frames: list[int], rate: float, canvas: Canvas
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return corner and scale of the crop of each frame.

    Shape:
        boxes: (T, 4) left, top, right, bottom; results: (T, 2) and (T, 1).
    """
    from scipy.ndimage import gaussian_filter1d, maximum_filter1d

    times = np.arange(frames[0], frames[-1] + 1)
    every = np.stack([np.interp(times, frames, side) for side in boxes.T], axis=1)
    crops = [crop_around((round(a), round(b), round(c), round(d)), canvas) for a, b, c, d in every.tolist()]
    window = max(1, round(_FRAMING * rate))
    heights = maximum_filter1d(np.array([float(crop.height) for crop in crops]), window, mode="nearest")
    heights = gaussian_filter1d(heights, window / 2, mode="nearest")
    centres = gaussian_filter1d((every[:, :2] + every[:, 2:]) / 2, window / 2, axis=0, mode="nearest")
    sizes = heights[:, None] * np.array([canvas.width / canvas.height, 1.0])
    chosen = np.array(frames) - frames[0]
    return (centres - sizes / 2)[chosen], (heights / canvas.height)[chosen, None]
