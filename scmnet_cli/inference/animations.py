"""Read animations (GIF, WebP, PNG) as videos with Pillow, since FFmpeg does not read all of them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import IO, cast

import numpy as np
from PIL import Image, ImageSequence

from scmnet_cli.errors import ScmError
from scmnet_cli.images import ANIMATED, TimedFile
from scmnet_cli.types import UInt8Array

_FORMATS = tuple(sorted(set(ANIMATED.values())))
_BACKDROP = (230, 230, 230, 255)
_DEFAULT_MS = 100
"""Milliseconds of a frame without a duration, as in browsers."""

_MOST_MS = 3_600_000

_MAX_PIXELS = 16_800_000
"""Maximum pixels of a frame: a decoder keeps several frames in memory."""

_MAX_SECONDS = 15.0
"""Maximum CPU time to decode all frames: a small file can hold a hundred thousand."""


def is_animation(path: Path) -> bool:
    """Return whether a file is an animation: GIF, WebP or PNG with more than one frame."""
    if path.suffix.lower() not in ANIMATED or not path.is_file():
        return False
    try:
        with _opened(path) as (image, _):
            return bool(getattr(image, "is_animated", False))
    except ScmError:
        return False


def animation_rate(path: Path) -> tuple[Fraction, int]:
    """Return the mean frame rate and the number of frames of an animation.

    Raises:
        ScmError: if it cannot be read.
    """
    started = time.thread_time()
    durations = []
    with _opened(path) as (image, timed):
        for frame in ImageSequence.Iterator(image):
            timed.restart()
            durations.append(_duration(frame))
            if time.thread_time() - started > _MAX_SECONDS:
                raise ScmError(
                    f"{path}: takes over {_MAX_SECONDS:g} s to decode; convert it to .mp4, or leave frames out"
                )
    return Fraction(1000 * len(durations), max(1, round(sum(durations)))), len(durations)


def read_animation(path: Path) -> Iterator[UInt8Array]:
    """Yield the frames of an animation; transparent pixels are composited on light grey.

    Shape:
        each: (H, W, 3) uint8.

    Raises:
        ScmError: if it cannot be read.
    """
    with _opened(path) as (image, timed):
        for frame in ImageSequence.Iterator(image):
            whole = frame.convert("RGBA")
            yield np.asarray(Image.alpha_composite(Image.new("RGBA", whole.size, _BACKDROP), whole).convert("RGB"))
            timed.restart()


def _duration(frame: Image.Image) -> float:
    """Return the duration of a frame in milliseconds."""
    given = frame.info.get("duration")
    return float(given) if isinstance(given, int | float) and 0 < given < _MOST_MS else _DEFAULT_MS


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Image.Image, TimedFile]]:
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            timed = TimedFile(file, path)
            with Image.open(cast(IO[bytes], timed), formats=_FORMATS) as image:
                if image.width * image.height > _MAX_PIXELS:
                    raise ScmError(
                        f"{path}: {image.width}x{image.height} is over {_MAX_PIXELS:,} pixels for an animated picture; "
                        "make it smaller"
                    )
                yield image, timed
    except ScmError:
        raise
    except Exception as error:  # Pillow's decoders raise many types
        raise ScmError(f"{path}: cannot be read as an animated picture ({error}); convert it to .mp4") from error
