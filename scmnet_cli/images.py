"""Pictures: read them upright, crop them around a person and back, draw on them, lay them out, write them."""

from __future__ import annotations

import importlib.util
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, BinaryIO, cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import ExifTags, Image, ImageDraw, ImageFont, UnidentifiedImageError
from torch import Tensor

from scmnet_cli.errors import ScmError
from scmnet_cli.files import write_file
from scmnet_cli.photo_files import has_avif, has_heif, why_unread
from scmnet_cli.regions import COLOURS, NUM_REGIONS
from scmnet_cli.skeleton import LIMBS
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

PLAIN_GREY = 230
"""Grey value that ``background: plain`` puts behind a person."""

_log = logging.getLogger(__name__)

PICTURE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""The kinds of picture that are read, whatever the file's name ends with; Pillow's other decoders are never asked."""


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
"""Photos with more pixels are refused: a small file can unpack to more than memory holds."""

MAX_SIDE = 65_535
"""Photos wider or higher than this are refused; JPEG holds no larger ones."""

ANIMATED = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG", ".apng": "PNG"}
"""Kinds of animated picture, by the ending of the file's name."""

_GROUND = (230, 230, 230)
"""Colour behind transparent pixels."""

_DECODE_SECONDS = 10
_DECODED_BYTES = 1024
"""Bytes handed to a decoder at a time: of a JPEG they may hold ten scans, a quarter of a second each."""

_STRIP_PIXELS = 1_000_000
_MAX_CUT_PIXELS = 16_000_000
"""Larger parts of a photo are resized in strips, one direction after the other."""

_REDUCING_GAP = 4.0
"""A direction that shrinks by more than this is averaged over whole numbers of pixels first, which is fast."""

LIMB_COLOURS = [tuple(int(c) for c in np.array(hsv)) for hsv in (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255),
    (255, 0, 170),
)]  # fmt: skip


def read_photo(path: Path) -> UInt8Array:
    """Read any photo as upright RGB; transparent pixels are laid on light grey.

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
            strip = Image.alpha_composite(Image.new("RGBA", strip.size, (*_GROUND, 255)), strip)
        elif is_deep:
            values = np.nan_to_num(np.asarray(strip, np.float64) / divisor)
            strip = Image.fromarray(values.clip(0, 255).astype(np.uint8))
        pixels[rows] = np.asarray(strip.convert("RGB"))
    del image
    return np.ascontiguousarray(_UPRIGHT.get(orientation, _unchanged)(pixels))


def read_label_map(path: Path) -> UInt8Array:
    """Read a label map as its ids: the index of a palette PNG, the value of a grey one.

    Shape:
        result: (H, W) uint8.

    Raises:
        ScmError: if the file is absent, damaged or too large, or is not a picture of one channel.
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
    """Return width and height as the header of a picture file says, without decoding it.

    Raises:
        ScmError: as :func:`open_picture`.
    """
    return open_picture(path, decode=False).size


def open_picture(path: Path, *, decode: bool = True) -> Image.Image:
    """Open a picture file of one of :func:`picture_formats`.

    Every picture that comes from outside is opened here: other decoders of Pillow, such as the one that hands EPS files
    to Ghostscript, are never asked, and a file that decodes for more than :data:`_DECODE_SECONDS` is refused.

    Args:
        path: the file.
        decode: read the pixels too, not only the header.

    Raises:
        ScmError: if the file is absent, is not a picture, is damaged or too large, or takes too long to decode.
    """
    if not path.is_file():
        raise ScmError(f"{path}: {'is not a file' if path.exists() else 'no such file'}")
    if not path.stat().st_size:
        raise ScmError(f"{path}: cannot be read as a picture (the file is empty); replace or remove it")
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            # Pillow reads, seeks and asks for the file's descriptor, and nothing else.
            image = Image.open(cast(IO[bytes], _TimedFile(file, path)), formats=picture_formats())
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


class _TimedFile:
    """A file that refuses to be read once its thread has computed for too long since it was opened.

    A small file can keep a decoder busy for hours, for example with thousands of scans of a progressive JPEG or of
    comments in a GIF. The limit is processor time, so that a busy machine refuses no photo.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self.seek, self.tell, self.fileno = file.seek, file.tell, file.fileno
        self._file, self._path = file, path
        self._started = time.thread_time()

    def read(self, size: int = -1) -> bytes:
        if time.thread_time() - self._started > _DECODE_SECONDS:
            raise ScmError(f"{self._path}: takes over {_DECODE_SECONDS} s to decode; save it anew in another program")
        return self._file.read(size)


def _strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Yield a picture in strips of full width: a conversion of all of it at once takes several times its memory."""
    num = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, num):
        bottom = min(top + num, image.height)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))


def _highest(image: Image.Image) -> float:
    return max(float(np.nan_to_num(np.asarray(strip)).max()) for _, strip in _strips(image))


def _orientation(image: Image.Image, path: Path) -> int:
    """Return the EXIF orientation of a picture, 1 to 8; 1 is upright."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception as error:  # noqa: BLE001 - Pillow raises many types on damaged EXIF; the picture itself is whole
        _log.warning("%s: has damaged EXIF (%s); read without turning it", path, error)
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
"""How each EXIF orientation is turned upright."""


def save_png(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    """Write a PNG in one step. What a model generated goes through :func:`scmnet_cli.provenance.save_generated`.

    Shape:
        picture: (H, W, 3) or (H, W) uint8.

    Raises:
        ScmError: if it cannot be written.
    """
    write_file(path, lambda file: Image.fromarray(picture).save(file, "PNG"))


@dataclass(frozen=True)
class CropBox:
    """The part of a photo that becomes the canvas, in pixels of the photo; it may reach beyond the photo.

    The mapping is affine and exactly invertible: canvas + 1/2 = (photo + 1/2 - corner) * canvas size / box size, as
    places count from the centre of the first pixel and resizing keeps the edges of pixels.
    """

    left: int
    top: int
    width: int
    height: int
    canvas: Canvas

    def to_canvas(self, points: FloatArray) -> FloatArray:
        """Map x, y of the photo to the canvas.

        Shape:
            points, result: (..., 2).
        """
        moved: FloatArray = ((points + 0.5 - self._corner) / self._scale - 0.5).astype(points.dtype)
        return moved

    def to_original(self, points: FloatArray) -> FloatArray:
        """Map x, y of the canvas to the photo.

        Shape:
            points, result: (..., 2).
        """
        moved: FloatArray = ((points + 0.5) * self._scale + self._corner - 0.5).astype(points.dtype)
        return moved

    @property
    def _corner(self) -> npt.NDArray[np.float64]:
        return np.array([self.left, self.top], np.float64)

    @property
    def _scale(self) -> npt.NDArray[np.float64]:
        return np.array([self.width / self.canvas.width, self.height / self.canvas.height])

    def crop_image(
        self, image: UInt8Array, fill: int | None, resampling: Image.Resampling = Image.Resampling.LANCZOS
    ) -> UInt8Array:
        """Cut the box out of a photo and resize it to the canvas.

        The memory this takes is bounded, however large the box is: a photo 100 times as wide as high has a box 100
        times as large as itself.

        Args:
            image: the photo.
            fill: grey value beyond the photo; None repeats the pixels at its edge.
            resampling: filter of the resizing.

        Shape:
            image: (H, W, 3) uint8; result: (canvas height, canvas width, 3) uint8.
        """
        if not self._overlaps(image):
            return self._resized(self._beyond(image, fill), resampling)
        rows, columns = self._spans(image)
        cut = image[rows.start : rows.stop, columns.start : columns.stop]
        if self.width * self.height <= _MAX_CUT_PIXELS:
            return self._resized(_padded(cut, rows, columns, fill), resampling)
        # The first direction is resized with all of the other's pixels: begin where less is added around the photo.
        if cut.shape[0] * self.width <= cut.shape[1] * self.height:
            cut = _resize_rows(cut, columns, self.canvas.width, fill, resampling)
            return _resize_rows(cut.swapaxes(0, 1), rows, self.canvas.height, fill, resampling).swapaxes(0, 1).copy()
        cut = _resize_rows(cut.swapaxes(0, 1), rows, self.canvas.height, fill, resampling)
        return _resize_rows(cut.swapaxes(0, 1), columns, self.canvas.width, fill, resampling)

    def crop_labels(self, labels: UInt8Array) -> UInt8Array:
        """Cut the box out of a label map and resize it to the canvas by nearest neighbour; 0 beyond the photo.

        Shape:
            labels: (H, W) uint8; result: (canvas height, canvas width) uint8.
        """
        rows = self.top + nearest_places(self.height, self.canvas.height)
        columns = self.left + nearest_places(self.width, self.canvas.width)
        inside = ((rows >= 0) & (rows < labels.shape[0]))[:, None] & ((columns >= 0) & (columns < labels.shape[1]))
        found = labels[rows.clip(0, labels.shape[0] - 1)[:, None], columns.clip(0, labels.shape[1] - 1)]
        cropped: UInt8Array = np.where(inside, found, 0).astype(np.uint8)
        return cropped

    def _overlaps(self, image: UInt8Array) -> bool:
        return bool(-self.height < self.top < image.shape[0] and -self.width < self.left < image.shape[1])

    def _spans(self, image: UInt8Array) -> tuple[_Span, _Span]:
        return _Span.of(self.top, self.height, image.shape[0]), _Span.of(self.left, self.width, image.shape[1])

    def _beyond(self, image: UInt8Array, fill: int | None) -> UInt8Array:
        """Return the canvas of a box that holds nothing of the photo."""
        if fill is not None:
            return np.full((self.canvas.height, self.canvas.width, 3), fill, np.uint8)
        rows = (self.top + nearest_places(self.height, self.canvas.height)).clip(0, image.shape[0] - 1)
        columns = (self.left + nearest_places(self.width, self.canvas.width)).clip(0, image.shape[1] - 1)
        extended: UInt8Array = image[rows[:, None], columns]
        return extended

    def _resized(self, array: UInt8Array, resampling: Image.Resampling) -> UInt8Array:
        size = (self.canvas.width, self.canvas.height)
        return np.asarray(Image.fromarray(array).resize(size, resampling))


@dataclass(frozen=True)
class _Span:
    """The part of one direction of a box that lies within the photo, and how many pixels lie before and after it."""

    start: int
    stop: int
    before: int
    after: int

    @classmethod
    def of(cls, first: int, length: int, available: int) -> _Span:
        start, stop = max(0, first), min(available, first + length)
        return cls(start, stop, start - first, first + length - stop)


def _padded(image: UInt8Array, rows: _Span, columns: _Span, fill: int | None) -> UInt8Array:
    pads = ((rows.before, rows.after), (columns.before, columns.after), (0, 0))
    if not any(map(any, pads)):
        return image
    return np.pad(image, pads, "edge") if fill is None else np.pad(image, pads, constant_values=fill)


def _resize_rows(
    image: UInt8Array, span: _Span, width: int, fill: int | None, resampling: Image.Resampling
) -> UInt8Array:
    """Resize every row of a picture, after adding what lies beyond the photo at its ends.

    Shape:
        image: (H, W, 3) uint8; result: (H, width, 3) uint8.
    """
    resized = np.empty((image.shape[0], width, 3), np.uint8)
    num = max(1, 4 * _STRIP_PIXELS // (span.before + image.shape[1] + span.after))
    for top in range(0, image.shape[0], num):
        strip = _padded(image[top : top + num], _Span(0, 0, 0, 0), span, fill)
        resized[top : top + num] = np.asarray(
            Image.fromarray(strip).resize((width, len(strip)), resampling, reducing_gap=_REDUCING_GAP)
        )
    return resized


def nearest_places(length: int, num: int) -> npt.NDArray[np.int64]:
    """Return which of ``length`` places each of ``num`` takes its value from when Pillow resizes to the nearest."""
    places = Image.fromarray(np.arange(length, dtype=np.int32)[None])
    nearest: npt.NDArray[np.int64] = np.asarray(places.resize((num, 1), Image.Resampling.NEAREST))[0].astype(np.int64)
    return nearest


def crop_around(person: tuple[int, int, int, int], canvas: Canvas, margin: float = 0.06) -> CropBox:
    """Return the box of the canvas's shape that is centred on a person.

    Args:
        person: left, top, right, bottom of the person in the photo's pixels, right and bottom exclusive.
        canvas: what the box becomes.
        margin: free space around the person, as a share of its size, on each side.
    """
    left, top, right, bottom = person
    height = max((bottom - top) * (1 + 2 * margin), (right - left) * (1 + 2 * margin) * canvas.height / canvas.width, 8)
    box_height = round(height)
    box_width = max(1, round(box_height * canvas.width / canvas.height))
    centre_x, centre_y = (left + right) / 2, (top + bottom) / 2
    return CropBox(round(centre_x - box_width / 2), round(centre_y - box_height / 2), box_width, box_height, canvas)


def whole_box(width: int, height: int, canvas: Canvas) -> CropBox:
    """Return the box that shows a whole photo on a canvas: equally high, centre on centre.

    So a photo 176 wide lies on a 256x256 canvas with 40 pixels at either side, and a 256x256 one loses them on 256x176.

    Args:
        width: of the photo, in pixels.
        height: of the photo, in pixels.
        canvas: what the box becomes.
    """
    box_width = max(1, round(height * canvas.width / canvas.height))
    return CropBox(round((width - box_width) / 2), 0, box_width, height, canvas)


def to_tensor(picture: UInt8Array) -> Tensor:
    """Turn a picture into what networks read.

    Shape:
        picture: (H, W, 3) uint8; result: (3, H, W) float32 in [-1, 1].
    """
    return torch.tensor(picture).permute(2, 0, 1).float() / 127.5 - 1


def to_uint8(image: Tensor) -> UInt8Array:
    """Turn what networks draw into a picture.

    Shape:
        image: (3, H, W) in [-1, 1]; result: (H, W, 3) uint8.
    """
    levels = ((image.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    picture: UInt8Array = levels.permute(1, 2, 0).cpu().numpy()
    return picture


def draw_regions(picture: UInt8Array, labels: UInt8Array, strength: float = 0.6) -> UInt8Array:
    """Lay the regions' colours over a picture.

    Shape:
        picture: (H, W, 3) uint8; labels: (H, W) uint8 0-7; result: (H, W, 3) uint8.
    """
    colours = np.array(COLOURS, np.float32)[np.minimum(labels, NUM_REGIONS - 1)]
    return (picture * (1 - strength) + colours * strength).astype(np.uint8)


def draw_skeleton(picture: UInt8Array, joints: FloatArray, strength: float = 0.55) -> UInt8Array:
    """Draw a skeleton over a paled picture.

    Shape:
        picture: (H, W, 3) uint8; joints: (18, 3); result: (H, W, 3) uint8.
    """
    paled = (picture * (1 - strength) + 255 * strength).astype(np.uint8)
    image = Image.fromarray(paled)
    pen = ImageDraw.Draw(image)
    width = max(1, round(picture.shape[0] / 90))
    for (a, b), colour in zip(LIMBS, LIMB_COLOURS, strict=True):
        if joints[a, 2] > 0 and joints[b, 2] > 0:
            pen.line([tuple(joints[a, :2]), tuple(joints[b, :2])], fill=colour, width=width)
    for x, y, score in joints:
        if score > 0:
            pen.ellipse([x - width, y - width, x + width, y + width], fill=(40, 40, 40))
    return np.asarray(image)


def example_photo() -> Path:
    """Return a photo of a person that scikit-image carries: the astronaut Eileen Collins, half body, public domain.

    Raises:
        ScmError: if the installed scikit-image carries none.
    """
    found = importlib.util.find_spec("skimage")
    photo = Path(found.origin).parent / "data" / "astronaut.png" if found and found.origin else None
    if photo is None or not photo.is_file():
        raise ScmError("no example photo: the installed scikit-image carries no astronaut.png; give a photo with --src")
    return photo


def contact_sheet(
    rows: Sequence[Sequence[UInt8Array]],
    headers: Sequence[str] | None = None,
    captions: Sequence[str] | None = None,
    gap: int = 4,
) -> UInt8Array:
    """Lay pictures out in rows on white.

    Args:
        rows: pictures, all rows starting at the left; sizes may differ.
        headers: a word above each column, which is at least as wide.
        captions: a word below each row.
        gap: white pixels between pictures.

    Shape:
        rows: (H, W, 3) uint8 each; result: (H', W', 3) uint8.
    """
    num_columns = max(len(row) for row in rows)
    font = ImageFont.load_default(11)
    widths = [max((row[c].shape[1] for row in rows if c < len(row)), default=0) for c in range(num_columns)]
    for column, word in enumerate((headers or [])[:num_columns]):
        widths[column] = max(widths[column], math.ceil(font.getlength(word)))
    heights = [max(picture.shape[0] for picture in row) for row in rows]
    head, foot = (18 if headers else 0), (16 if captions else 0)
    sheet = Image.new(
        "RGB", (sum(widths) + gap * (num_columns + 1), head + sum(h + gap + foot for h in heights) + gap), "white"
    )
    pen = ImageDraw.Draw(sheet)
    y = head + gap
    for number, (row, height) in enumerate(zip(rows, heights, strict=True)):
        x = gap
        for picture, width in zip(row, widths, strict=False):
            sheet.paste(Image.fromarray(picture), (x, y))
            x += width + gap
        if captions:
            pen.text((gap, y + height + 1), captions[number], fill="black", font=font)
        y += height + gap + foot
    x = gap
    for word, width in zip(headers or [], widths, strict=False):
        pen.text((x, 3), word, fill="black", font=font)
        x += width + gap
    return np.asarray(sheet)
