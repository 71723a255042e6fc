"""Transfer a person to the poses of a video; only a few frames are in memory at a time.

A first pass finds the joints of one person in every frame, a second pass generates. In between only joints are kept:
gaps are filled, the trajectories smoothed, and the person cropped by a slowly moving box.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scmnet_cli.analyser.people import Analyser
from scmnet_cli.errors import ScmError
from scmnet_cli.images import crop_around
from scmnet_cli.inference.animations import animation_rate, is_animation, read_animation
from scmnet_cli.inference.pipeline import EncodedSource, Pipeline, Result
from scmnet_cli.poses.placing import person_box
from scmnet_cli.provenance import add_mark, label_video
from scmnet_cli.types import Canvas, FloatArray, Pose, UInt8Array

VIDEO_ENDINGS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi")
"""Suffixes of videos."""

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
_MATRIX_NUMBERS = 9
_ORDER = 2
_QUALITY = "18"

_log = logging.getLogger(__name__)

_Find = Callable[[UInt8Array], FloatArray | None]
_Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Film:
    """Properties of a video file.

    Attributes:
        rate: mean frame rate.
        num_frames: number of frames from the header or the duration; 0 if not known.
        has_sound: whether there is sound, which is dropped.
    """

    path: Path
    rate: Fraction
    num_frames: int
    has_sound: bool


def open_film(path: Path) -> Film:
    """Read the properties of a video file.

    Raises:
        ScmError: if it cannot be read, has no video stream, or the package for videos is missing.
    """
    if is_animation(path):
        return Film(path, *animation_rate(path), has_sound=False)
    av = _av()
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            if not container.streams.video:
                raise ScmError(f"{path}: holds no pictures; give a video")
            stream = container.streams.video[0]
            rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
            seconds = (container.duration or 0) / av.time_base
            return Film(path, rate, stream.frames or round(seconds * rate), bool(container.streams.audio))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ScmError(f"{path}: cannot be read as a video ({error}); convert it to .mp4") from error


def read_frames(path: Path) -> Iterator[UInt8Array]:
    """Yield the frames of a video, upright.

    A truncated video is read as far as possible.

    Shape:
        each: (H, W, 3) uint8.

    Raises:
        ScmError: if no frame can be read.
    """
    if is_animation(path):
        yield from read_animation(path)
        return
    av = _av()
    number = 0
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            for frame in container.decode(video=0):
                yield upright(frame.to_ndarray(format="rgb24"), _display_matrix(frame))
                number += 1
    except (av.FFmpegError, OSError, ValueError) as error:
        if not number:
            raise ScmError(f"{path}: cannot be read as a video ({error}); convert it to .mp4") from error
        _log.warning("%s: ends early after %d frames (%s)", path, number, error)
    if not number:
        raise ScmError(f"{path}: holds no frame; give another video")


def upright(frame: UInt8Array, matrix: npt.NDArray[np.integer] | None) -> UInt8Array:
    """Rotate and mirror a frame by the file's display matrix, as phones and front cameras need.

    Args:
        frame: the stored frame.
        matrix: displacement in the displayed image, as x and y, of a step of one column (first row) and of one row
            (second row) of the stored frame; None for no change. Angles are rounded to multiples of 90 degrees.

    Shape:
        frame: (H, W, 3) uint8; matrix: (2, 2); result: (H, W, 3) or (W, H, 3).
    """
    if matrix is None or not matrix.any():
        return frame
    (to_x, to_y), (down_x, down_y) = matrix.tolist()
    if abs(to_x) + abs(down_y) < abs(to_y) + abs(down_x):
        frame = frame.transpose(1, 0, 2)
        to_x, down_y = down_x, to_y
    if to_x < 0:
        frame = frame[:, ::-1]
    if down_y < 0:
        frame = frame[::-1]
    return np.ascontiguousarray(frame)


def _display_matrix(frame: Any) -> npt.NDArray[np.integer] | None:
    from av.sidedata.sidedata import Type

    data = frame.side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return None
    numbers = np.frombuffer(bytes(data), np.int32)
    return numbers.reshape(3, 3)[:2, :2] if numbers.size == _MATRIX_NUMBERS else None


class ClipWriter:
    """Writer of generated frames as an MP4 file, with H.264 if the codec is available."""

    def __init__(self, path: Path, rate: Fraction, text: dict[str, str], *, mark: bool = False) -> None:
        """Open the file.

        Args:
            path: the file.
            rate: frames per second.
            text: comment for the file's header.
            mark: add the visible mark to each frame.

        Raises:
            ScmError: if it cannot be written.
        """
        av = _av()
        self._av, self._path, self._rate, self._mark = av, path, rate, mark
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        try:
            self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
            self._container.metadata["comment"] = "; ".join(text.values())
            self._stream = self._container.add_stream(codec, rate=rate)
        except (av.FFmpegError, OSError) as error:
            raise self._cannot(error) from error
        self._stream.pix_fmt = "yuv420p"
        if codec == "libx264":
            self._stream.options = {"crf": _QUALITY}
        else:
            self._stream.bit_rate = 4_000_000

    def write(self, picture: UInt8Array) -> None:
        """Add a frame, (H, W, 3); all have the size of the first, and odd sizes are padded by a pixel.

        Raises:
            ScmError: if it cannot be written.
        """
        picture = add_mark(picture) if self._mark else picture
        rows, columns = picture.shape[:2]
        even = np.pad(picture, ((0, rows % 2), (0, columns % 2), (0, 0)), mode="edge")
        if not self._stream.codec_context.is_open:
            self._stream.height, self._stream.width = even.shape[:2]
        self._mux(self._av.VideoFrame.from_ndarray(even, format="rgb24"))

    def close(self) -> None:
        """Finish the file.

        Raises:
            ScmError: if it cannot be written.
        """
        self._mux(None)
        try:
            self._container.close()
        except (self._av.FFmpegError, OSError) as error:
            raise self._cannot(error) from error
        label_video(self._path)

    def _mux(self, frame: Any) -> None:
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (self._av.FFmpegError, OSError) as error:
            raise self._cannot(error) from error

    def _cannot(self, error: Exception) -> ScmError:
        return ScmError(f"{self._path}: cannot be written ({error}); check free space and permissions")


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


def draw_film(
    pipeline: Pipeline,
    source: EncodedSource,
    poses: Sequence[Pose | None],
    batch: int = 1,
    size: Canvas | None = None,
) -> Iterator[tuple[Pose, Result]]:
    """Generate a source in each pose, in order; a frame without a pose repeats the previous image.

    The size is that of :meth:`Pipeline.output_canvas`.

    Raises:
        ScmError: if a pose cannot be drawn.
    """
    first = next(pose for pose in poses if pose is not None)
    held: list[Pose] = []
    for pose in poses:
        held.append(pose or (held[-1] if held else first))
    new = [not number or pose is not held[number - 1] for number, pose in enumerate(held)]
    changed = (pose for pose, is_new in zip(held, new, strict=True) if is_new)
    drawn = pipeline.transfer_many(source, changed, batch, size)
    result: Result | None = None
    for pose, is_new in zip(held, new, strict=True):
        result = next(drawn) if is_new else result
        assert result is not None
        yield pose, result


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise ScmError(
            f"videos need the package of an extra; install it with: pip install 'scmnet-cli[video]' ({error})"
        ) from error
    return av
