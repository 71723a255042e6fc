"""Read and write video files; animated pictures count as videos."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scmnet_cli.errors import ScmError
from scmnet_cli.inference.animations import animation_rate, is_animation, read_animation
from scmnet_cli.provenance import add_mark, label_video
from scmnet_cli.types import UInt8Array

VIDEO_ENDINGS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi")
"""Suffixes of videos."""

_MATRIX_NUMBERS = 9
_QUALITY = "18"
_log = logging.getLogger(__name__)


def is_clip(word: str) -> bool:
    """Return whether a value of ``--pose`` is a video or an animated picture."""
    return word.lower().endswith(VIDEO_ENDINGS) or is_animation(Path(word))


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


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise ScmError(
            f"videos need the package of an extra; install it with: pip install 'scmnet-cli[video]' ({error})"
        ) from error
    return av
