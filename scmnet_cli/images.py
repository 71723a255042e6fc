"""Pictures: read them upright, crop them around a person and back, draw on them, lay them out, write them."""

from __future__ import annotations

import importlib.util
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import ExifTags, Image, ImageDraw, ImageFont, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from scmnet_cli.errors import ScmError
from scmnet_cli.regions import COLOURS, NUM_REGIONS
from scmnet_cli.skeleton import LIMBS
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

_log = logging.getLogger(__name__)

MAX_PIXELS = 100_000_000
"""Photos with more pixels are refused: a small file can unpack to more than memory holds."""

ANIMATED = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG", ".apng": "PNG"}
"""Kinds of animated picture, by the ending of the file's name."""

_WEBP_QUALITY = 90
_PALETTE_FRAMES = 16

_LIMB_COLOURS = [tuple(int(c) for c in np.array(hsv)) for hsv in (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255),
    (255, 0, 170),
)]  # fmt: skip


def read_photo(path: Path) -> UInt8Array:
    """Read any photo as upright RGB; transparency is laid on light grey.

    Shape:
        result: (H, W, 3) uint8.

    Raises:
        ScmError: if the file is absent, no picture, broken or has over 100 million pixels.
    """
    image = _upright(_open(path), path)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, (230, 230, 230, 255))
        image = Image.alpha_composite(ground, image)
    if image.mode in ("I", "I;16", "I;16B", "F"):
        values = np.asarray(image, np.float64)
        values = values / 257 if values.max(initial=0) > 255 else values
        image = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    return np.asarray(image.convert("RGB"))


def read_label_map(path: Path) -> UInt8Array:
    """Read a label map as its ids: the index of a palette PNG, the value of a grey one.

    Shape:
        result: (H, W) uint8.

    Raises:
        ScmError: if the file is absent, broken, or not a picture of one channel.
    """
    image = _open(path)
    if image.mode not in ("L", "P", "1", "I", "I;16"):
        raise ScmError(f"{path}: has mode {image.mode}; a label map is a PNG of one channel, grey or palette")
    ids = np.asarray(image)
    if int(ids.max(initial=0)) > 255 or int(ids.min(initial=0)) < 0:
        raise ScmError(f"{path}: holds ids beyond 0-255; convert it to the eight regions first")
    return ids.astype(np.uint8)


def _open(path: Path) -> Image.Image:
    if not path.is_file():
        raise ScmError(f"{path}: {'is no file' if path.exists() else 'no such file'}")
    if not path.stat().st_size:
        raise ScmError(f"{path}: cannot be read as a picture (the file is empty); replace or remove it")
    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")
            image = Image.open(file)
            if image.width * image.height > MAX_PIXELS:
                raise ScmError(f"{path}: {image.width}x{image.height} is over {MAX_PIXELS:,} pixels; make it smaller")
            image.load()
    except ScmError:
        raise
    except UnidentifiedImageError as error:
        raise ScmError(
            f"{path}: cannot be read as a picture (its contents are of no known kind); replace or remove it"
        ) from error
    except Exception as error:  # Pillow's decoders raise whatever they meet: struct.error, SyntaxError, zlib.error ...
        raise ScmError(f"{path}: cannot be read as a picture ({error}); replace or remove it") from error
    return image


def _upright(image: Image.Image, path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ImageOps.exif_transpose(image)
    except Exception as error:  # noqa: BLE001 - Pillow raises whatever it meets in EXIF; the picture itself is whole
        _log.warning("%s: has broken EXIF (%s); taken as it lies", path, error)
        return image


def save_png(path: Path, picture: npt.NDArray[np.uint8], text: dict[str, str] | None = None) -> None:
    """Write a PNG in one step, with text fields if given.

    Shape:
        picture: (H, W, 3) or (H, W) uint8.

    Raises:
        ScmError: if it cannot be written.
    """
    info = _png_text(text or {})
    _write(path, lambda file: Image.fromarray(picture).save(file, "PNG", pnginfo=info))


def save_animation(path: Path, frames: Sequence[npt.NDArray[np.uint8]], rate: float, text: dict[str, str]) -> None:
    """Write an animated picture in one step, that plays for ever: GIF, WebP or PNG (APNG), by the name's ending.

    A GIF has 256 colours for all frames together, and shows a frame for a multiple of 0.01 s.

    Args:
        path: ends with one of :data:`ANIMATED`.
        frames: two or more, of one size.
        rate: frames a second.
        text: kept in the file: as PNG text fields, in the Exif data of a WebP (``Software``, and the rest as
            description), as the comment of a GIF.

    Shape:
        frames: (H, W, 3) uint8 each.

    Raises:
        ScmError: if it cannot be written.
    """
    pictures = [Image.fromarray(frame) for frame in frames]
    options: dict[str, Any] = {"save_all": True, "duration": 1000 / rate, "loop": 0}
    kind = ANIMATED[path.suffix.lower()]
    if kind == "PNG":
        options["pnginfo"] = _png_text(text)
    elif kind == "WEBP":
        options |= {"quality": _WEBP_QUALITY, "method": 4, "exif": _exif(text)}
    else:
        palette = _shared_palette(pictures)
        pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
        options |= {"comment": "; ".join(text.values()).encode(), "optimize": False}
    _write(path, lambda file: pictures[0].save(file, kind, append_images=pictures[1:], **options))


def _png_text(text: dict[str, str]) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for key, value in text.items():
        info.add_text(key, value)
    return info


def _exif(text: dict[str, str]) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = text.get("Software", "")
    exif[ExifTags.Base.ImageDescription] = "; ".join(value for key, value in text.items() if key != "Software")
    return exif


def _shared_palette(pictures: list[Image.Image]) -> Image.Image:
    """Choose 256 colours for all frames, from some of them side by side: colours that change by frame flicker."""
    some = pictures[:: -(-len(pictures) // _PALETTE_FRAMES)]
    joined = np.concatenate([np.asarray(picture) for picture in some], axis=1)
    return Image.fromarray(joined).quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def _write(path: Path, save: Callable[[IO[bytes]], None]) -> None:
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                save(file)
            Path(name).chmod(0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ScmError(f"{path}: cannot be written ({error.strerror or error})") from error


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

        Args:
            image: the photo.
            fill: grey value beyond the photo; None repeats its edge.
            resampling: how, fine or fast.

        Shape:
            image: (H, W, 3) uint8; result: (canvas height, canvas width, 3) uint8.
        """
        return self._resized(self._cut(image, fill), resampling)

    def crop_labels(self, labels: UInt8Array) -> UInt8Array:
        """Cut the box out of a label map and resize it to the canvas by nearest neighbour; 0 beyond the photo.

        Shape:
            labels: (H, W) uint8; result: (canvas height, canvas width) uint8.
        """
        return self._resized(self._cut(labels, 0), Image.Resampling.NEAREST)

    def _cut(self, array: UInt8Array, fill: int | None) -> UInt8Array:
        height, width = array.shape[:2]
        top, left = max(0, -self.top), max(0, -self.left)
        bottom = max(0, self.top + self.height - height)
        right = max(0, self.left + self.width - width)
        pads = ((top, bottom), (left, right), *[(0, 0)] * (array.ndim - 2))
        array = np.pad(array, pads, mode="edge") if fill is None else np.pad(array, pads, constant_values=fill)
        y, x = self.top + top, self.left + left
        return array[y : y + self.height, x : x + self.width]

    def _resized(self, array: UInt8Array, resampling: Image.Resampling) -> UInt8Array:
        size = (self.canvas.width, self.canvas.height)
        return np.asarray(Image.fromarray(array).resize(size, resampling))


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
    for (a, b), colour in zip(LIMBS, _LIMB_COLOURS, strict=True):
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
        headers: a word above each column.
        captions: a word below each row.
        gap: white pixels between pictures.

    Shape:
        rows: (H, W, 3) uint8 each; result: (H', W', 3) uint8.
    """
    num_columns = max(len(row) for row in rows)
    widths = [max((row[c].shape[1] for row in rows if c < len(row)), default=0) for c in range(num_columns)]
    heights = [max(picture.shape[0] for picture in row) for row in rows]
    font = ImageFont.load_default(11)
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
