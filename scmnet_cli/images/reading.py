"""Read image files of any origin safely: upright RGB photos and label maps."""

from __future__ import annotations

import importlib.util
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import IO, BinaryIO, cast

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from scmnet_cli.errors import ScmError
from scmnet_cli.photo_files import has_avif, has_heif, why_unread
from scmnet_cli.types import UInt8Array

_log = logging.getLogger(__name__)

PICTURE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Image formats that are read, whatever the suffix; Pillow's other decoders are never used."""


@cache
def picture_formats() -> tuple[str, ...]:
    """Return :data:`PICTURE_FORMATS`, AVIF if this Pillow reads it, and HEIF if pillow-heif is installed."""
    formats: tuple[str, ...] = PICTURE_FORMATS
    if has_avif():
        formats += ("AVIF",)
    if has_heif():
        import pillow_heif

        pillow_heif.register_heif_opener()
        formats += ("HEIF",)
    return formats


MAX_PIXELS = 100_000_000
"""Photos with more pixels are rejected: a small file can unpack to more than the memory."""

MAX_SIDE = 65_535
"""Photos wider or higher than this are rejected; it is JPEG's limit."""

ANIMATED = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG", ".apng": "PNG"}
"""Formats of animations, by suffix."""

_BACKDROP = (230, 230, 230)
"""Colour behind transparent pixels."""

_DECODE_SECONDS = 10
_DECODED_BYTES = 1024
"""Bytes per read of a decoder; for a JPEG they may hold ten scans, a quarter of a second each."""

_STRIP_PIXELS = 1_000_000


def read_photo(path: Path) -> UInt8Array:
    """Read any photo as upright RGB; transparent pixels are composited on light grey.

    Shape:
        result: (H, W, 3) uint8.

    Raises:
        ScmError: if the file is absent, is not a picture, is damaged or too large, or takes too long to decode.
    """
    image = open_picture(path)
    orientation = _orientation(image, path)
    is_transparent = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    is_deep = image.mode == "F" or image.mode.startswith("I")
    divisor = 257.0 if is_deep and _highest(image) > 255 else 1.0
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for rows, strip in _strips(image):
        if is_transparent:
            strip = strip.convert("RGBA")
            strip = Image.alpha_composite(Image.new("RGBA", strip.size, (*_BACKDROP, 255)), strip)
        elif is_deep:
            values = np.nan_to_num(np.asarray(strip, np.float64) / divisor)
            strip = Image.fromarray(values.clip(0, 255).astype(np.uint8))
        pixels[rows] = np.asarray(strip.convert("RGB"))
    del image
    return np.ascontiguousarray(_UPRIGHT.get(orientation, _unchanged)(pixels))


def read_label_map(path: Path) -> UInt8Array:
    """Read the ids of a label map: the indices of a palette PNG, or the values of a grey one.

    Shape:
        result: (H, W) uint8.

    Raises:
        ScmError: if the file is absent, damaged or too large, or does not have one channel.
    """
    image = open_picture(path)
    if image.mode not in ("L", "P", "1", "I", "I;16"):
        raise ScmError(f"{path}: has mode {image.mode}; a label map is a PNG of one channel, grey or palette")
    ids = np.empty((image.height, image.width), np.uint8)
    for rows, strip in _strips(image):
        values = np.asarray(strip)
        if int(values.max(initial=0)) > 255 or int(values.min(initial=0)) < 0:
            raise ScmError(f"{path}: holds ids beyond 0-255; convert it to the eight regions first")
        ids[rows] = values
    return ids


def picture_size(path: Path) -> tuple[int, int]:
    """Return width and height from the header of an image file, without decoding it.

    Raises:
        ScmError: as :func:`open_picture`.
    """
    return open_picture(path, decode=False).size


def open_picture(path: Path, *, decode: bool = True) -> Image.Image:
    """Open an image file of one of :func:`picture_formats`.

    All external images are opened here: other decoders of Pillow, such as the one that passes EPS files to Ghostscript,
    are never used, and a file that takes more than :data:`_DECODE_SECONDS` to decode is rejected.

    Args:
        path: the file.
        decode: read the pixels too, not only the header.

    Raises:
        ScmError: if the file is absent, not an image, damaged or too large, or takes too long to decode.
    """
    if not path.is_file():
        raise ScmError(f"{path}: {'is not a file' if path.exists() else 'no such file'}")
    if not path.stat().st_size:
        raise ScmError(f"{path}: cannot be read as a picture (the file is empty); replace or remove it")
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            # Pillow only uses read, seek, tell and fileno of the file.
            image = Image.open(cast(IO[bytes], TimedFile(file, path)), formats=picture_formats())
            if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
                raise ScmError(
                    f"{path}: {image.width}x{image.height} is over {MAX_PIXELS:,} pixels, or over {MAX_SIDE:,} in one "
                    "direction; make it smaller"
                )
            if decode:
                image.decodermaxblock = _DECODED_BYTES
                image.load()
    except ScmError:
        raise
    except UnidentifiedImageError as error:
        raise ScmError(
            f"{path}: cannot be read as a picture (it is not one of {', '.join(picture_formats())}); "
            f"{why_unread(path) or 'replace or remove it'}"
        ) from error
    except Exception as error:  # Pillow's decoders raise many types: struct.error, SyntaxError, zlib.error ...
        raise ScmError(f"{path}: cannot be read as a picture ({error}); replace or remove it") from error
    return image


class TimedFile:
    """A file whose reads fail after its thread has used too much CPU time since it was opened.

    A small file can keep a decoder busy for hours, for example with thousands of scans in a progressive JPEG or
    comments in a GIF. The limit is CPU time, so that a busy machine rejects no photo.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.seek, self.tell, self.fileno = file.seek, file.tell, file.fileno
        self._file, self._path = file, path
        self.restart()

    def restart(self) -> None:
        """Start the time anew."""
        self._started = time.thread_time()

    def read(self, size: int = -1) -> bytes:
        """Read from the file.

        Raises:
            ScmError: if the thread has computed for too long.
        """
        if time.thread_time() - self._started > _DECODE_SECONDS:
            raise ScmError(f"{self._path}: takes over {_DECODE_SECONDS} s to decode; save it again in another program")
        return self._file.read(size)


def _strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Yield an image in strips of full width: converting all of it at once takes several times its memory."""
    num = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, num):
        bottom = min(top + num, image.height)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))


def _highest(image: Image.Image) -> float:
    return max(float(np.nan_to_num(np.asarray(strip)).max()) for _, strip in _strips(image))


def _orientation(image: Image.Image, path: Path) -> int:
    """Return the EXIF orientation of an image, 1 to 8; 1 is upright."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception as error:  # noqa: BLE001 - Pillow raises many types on damaged EXIF; the pixels are readable
        _log.warning("%s: has damaged EXIF (%s); read without rotation", path, error)
        return 1


def _unchanged(pixels: UInt8Array) -> UInt8Array:
    return pixels


_UPRIGHT: dict[int, Callable[[UInt8Array], UInt8Array]] = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}
"""Transform of each EXIF orientation to upright."""


def example_photo() -> Path:
    """Return a photo of a person from scikit-image: the astronaut Eileen Collins, half body, public domain.

    Raises:
        ScmError: if the installed scikit-image has no such photo.
    """
    found = importlib.util.find_spec("skimage")
    photo = Path(found.origin).parent / "data" / "astronaut.png" if found and found.origin else None
    if photo is None or not photo.is_file():
        raise ScmError("no example photo: the installed scikit-image has no astronaut.png; give a photo with --src")
    return photo
