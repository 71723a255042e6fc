"""Read animations (GIF, WebP, PNG) as videos with Pillow, since FFmpeg does not read all of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from scmnet_cli.errors import ScmError
from scmnet_cli.images import ANIMATED, MAX_PIXELS
from scmnet_cli.types import UInt8Array

_FORMATS = tuple(sorted(set(ANIMATED.values())))
_BACKDROP = (230, 230, 230, 255)
_DEFAULT_MS = 100
"""Milliseconds of a frame without a duration, as in browsers."""


def is_animation(path: Path) -> bool:
    """Return whether a file is an animation: GIF, WebP or PNG with more than one frame."""
    if path.suffix.lower() not in ANIMATED or not path.is_file():
        return False
    try:
        with _opened(path) as image:
            return bool(getattr(image, "is_animated", False))
    except ScmError:
        return False


def animation_rate(path: Path) -> tuple[Fraction, int]:
    """Return the mean frame rate and the number of frames of an animation.

    Raises:
        ScmError: if it cannot be read.
    """
    with _opened(path) as image:
        durations = [frame.info.get("duration") or _DEFAULT_MS for frame in ImageSequence.Iterator(image)]
    return Fraction(1000 * len(durations), max(1, round(sum(durations)))), len(durations)


def read_animation(path: Path) -> Iterator[UInt8Array]:
    """Yield the frames of an animation; transparent pixels are composited on light grey.

    Shape:
        each: (H, W, 3) uint8.

    Raises:
        ScmError: if it cannot be read.
    """
    with _opened(path) as image:
        for frame in ImageSequence.Iterator(image):
            whole = frame.convert("RGBA")
            yield np.asarray(Image.alpha_composite(Image.new("RGBA", whole.size, _BACKDROP), whole).convert("RGB"))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings(), Image.open(path, formats=_FORMATS) as image:
            warnings.simplefilter("ignore")
            if image.width * image.height > MAX_PIXELS:
                raise ScmError(f"{path}: {image.width}x{image.height} is over {MAX_PIXELS:,} pixels; make it smaller")
            yield image
    except ScmError:
        raise
    except Exception as error:  # Pillow's decoders raise many types
        raise ScmError(f"{path}: cannot be read as an animated picture ({error}); convert it to .mp4") from error
