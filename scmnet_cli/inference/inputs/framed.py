"""A person of a photo, and the way back: what was drawn in their place is put into the photo's own frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from scmnet_cli.images import PLAIN_GREY, CropBox
from scmnet_cli.inference.editing import Edit
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.types import Canvas, FloatArray, Person, UInt8Array

MAX_KEPT_PIXELS = 52_000_000
"""Photos with more pixels are not written at their own size: that alone takes half a minute."""

_DRAWN = 18
"""Levels by which a drawn pixel differs from the plain background."""

_WORKED_ON = 4_000_000
"""Pixels of the copy of a crop on which masks and surroundings are computed: they take a hundred bytes a pixel."""

_STRIP_PIXELS = 2_000_000

_LEAST_AREA = 0.02
_MARGIN = 0.006
_SOFT = 0.004
_SURROUNDINGS = 0.012
"""Widths over the crop's height: how far around a person the photo may change, of the soft edge, and of the blur of
what is put where the person was."""


@dataclass(frozen=True)
class Framed:
    """A person of a photo and their crop.

    Attributes:
        photo: the person in pixels of the photo.
        cropped: the same on the model's canvas, or larger, of its shape.
        crop: the part of the photo that became the canvas.
        background: of the picture on the canvas, ``plain`` or ``keep``.
    """

    photo: Person
    cropped: Person
    crop: CropBox
    background: str

    @property
    def num_pixels(self) -> int:
        """Number of pixels of the photo."""
        return self.photo.regions.size

    def put_back(self, drawn: UInt8Array) -> UInt8Array:
        """Put what was drawn in the person's place into the photo.

        The person is taken out first, by the colours around them; then comes what was drawn, cut out of its plain
        background. A picture drawn with a background is cut out by the person's own outline. Beyond the crop, and a
        little away from the old and the new person, the photo stays as it is to the byte.

        Shape:
            drawn: (H, W, 3) uint8, of the canvas; result: of the photo.
        """
        part = _Part.of(self)
        gone = _softened(part.was, part.crop_height)
        surroundings = _surroundings(part.ground.astype(np.float32), part.was, part.crop_height)
        shape = _cut_out(drawn).astype(np.float32) if self.background == "plain" else None
        picture = Image.fromarray(drawn)
        whole = self.photo.image.copy()
        for rows in part.strips():
            taken = part.enlarged(gone, rows)
            opaque = taken if shape is None else part.of_canvas(Image.fromarray(shape), rows, Image.Resampling.BILINEAR)
            if not (taken.any() or opaque.any()):
                continue
            ground = whole[part.place(rows)]
            emptied = _mixed(ground.astype(np.float32), part.enlarged(surroundings, rows), taken)
            new = part.of_canvas(picture, rows, Image.Resampling.LANCZOS).astype(np.float32)
            whole[part.place(rows)] = _mixed(emptied, new, opaque).round().clip(0, 255).astype(np.uint8)
        return whole

    def put_back_edit(self, edit: Edit) -> UInt8Array:
        """Put what an edit changed into the photo; all pixels outside the edited area stay as they are to the byte.

        Where the edit uncovers the background, the colours around the person stand in for it.

        Shape:
            result: (H, W, 3) uint8, of the photo.
        """
        part = _Part.of(self)
        behind = _surroundings(part.ground.astype(np.float32), part.was, part.crop_height)
        channels = [edit.area, edit.opacity, *np.moveaxis(edit.colour, -1, 0)]
        pictures = [Image.fromarray(np.ascontiguousarray(values, np.float32)) for values in channels]
        whole = self.photo.image.copy()
        for rows in part.strips():
            area = part.of_canvas(pictures[0], rows, Image.Resampling.BICUBIC)
            area[area < _LEAST_AREA] = 0
            if not area.any():
                continue
            opacity, *colours = (part.of_canvas(values, rows, Image.Resampling.BICUBIC) for values in pictures[1:])
            enlarged = replace(edit, colour=np.stack(colours, axis=-1), opacity=opacity, area=area)
            under = part.enlarged(behind, rows).round().clip(0, 255).astype(np.uint8)
            whole[part.place(rows)] = enlarged.over(whole[part.place(rows)], under)
        return whole


@dataclass(frozen=True)
class _Part:
    """The part of a photo that a crop covers, in strips, with a smaller copy of it where it is large.

    Masks and surroundings are soft, so they are computed on the copy; the photo's own pixels are mixed strip by strip.

    Shape:
        ground: (h, w, 3), the copy; was: (h, w), where it shows the person.
    """

    crop: CropBox
    left: int
    top: int
    width: int
    height: int
    ground: UInt8Array
    was: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, framed: Framed) -> _Part:
        crop = framed.crop
        rows, columns = framed.photo.image.shape[:2]
        left, top = max(0, crop.left), max(0, crop.top)
        width, height = min(columns, crop.left + crop.width) - left, min(rows, crop.top + crop.height) - top
        scale = min(1.0, math.sqrt(_WORKED_ON / max(1, width * height)))
        size = Canvas(max(1, round(height * scale)), max(1, round(width * scale)))
        box = CropBox(left, top, width, height, size)
        was = box.crop_labels(framed.photo.regions) != BACKGROUND
        return cls(crop, left, top, width, height, box.crop_image(framed.photo.image, None), was)

    @property
    def crop_height(self) -> float:
        """Height of the crop in pixels of the copy."""
        return float(self.crop.height * self.was.shape[0] / self.height)

    def strips(self) -> Iterator[slice]:
        """Yield rows of the part that hold few enough pixels to be worked on at once."""
        num = max(1, _STRIP_PIXELS // self.width)
        for first in range(0, self.height, num):
            yield slice(first, min(first + num, self.height))

    def place(self, rows: slice) -> tuple[slice, slice]:
        """Return where some rows of the part lie in the photo."""
        return slice(self.top + rows.start, self.top + rows.stop), slice(self.left, self.left + self.width)

    def enlarged(self, values: FloatArray, rows: slice) -> FloatArray:
        """Return some rows of what was computed on the copy, (h, w) or (h, w, channels), in the photo's size."""
        if values.ndim == 3:
            return np.stack([self.enlarged(values[..., channel], rows) for channel in range(values.shape[2])], axis=-1)
        height, width = values.shape
        if (height, width) == (self.height, self.width):
            return values[rows]
        step = height / self.height
        box = (0, rows.start * step, width, min(rows.stop * step, height))
        size = (self.width, rows.stop - rows.start)
        picture = Image.fromarray(np.ascontiguousarray(values, np.float32))
        return np.array(picture.resize(size, Image.Resampling.BILINEAR, box))

    def of_canvas(self, picture: Image.Image, rows: slice, resampling: Image.Resampling) -> npt.NDArray[Any]:
        """Return some rows of a picture of the canvas, enlarged to the crop."""
        across, down = picture.width / self.crop.width, picture.height / self.crop.height
        left, top = self.left - self.crop.left, self.top - self.crop.top
        box = (
            left * across,
            (top + rows.start) * down,
            min((left + self.width) * across, picture.width),
            min((top + rows.stop) * down, picture.height),
        )
        return np.array(picture.resize((self.width, rows.stop - rows.start), resampling, box))


def _cut_out(drawn: UInt8Array) -> npt.NDArray[np.bool_]:
    """Return where a picture shows more than its plain background; pale clothes within are filled, specks left out."""
    from scipy import ndimage

    shown = np.abs(drawn.astype(np.int16) - PLAIN_GREY).max(2) > _DRAWN
    filled = ndimage.binary_fill_holes(ndimage.binary_closing(np.pad(shown, 4), iterations=2))[4:-4, 4:-4]
    inner = ndimage.binary_erosion(filled, border_value=1)  # the outermost pixel is half background
    labels, num = ndimage.label(inner)
    if not num:
        return np.zeros(shown.shape, bool)
    sizes = np.bincount(labels.ravel())[1:]
    kept = np.concatenate([[False], sizes >= 0.02 * sizes.max()])
    return np.asarray(kept[labels])


def _softened(mask: npt.NDArray[np.bool_], height: float) -> FloatArray:
    """Widen a mask and soften its edge; zero where the widened mask ends."""
    from scipy import ndimage

    away = ndimage.distance_transform_edt(~mask) if mask.any() else np.full(mask.shape, np.inf)
    margin, soft = max(2.0, _MARGIN * height), max(1.0, _SOFT * height)
    opaque: FloatArray = ((margin - away) / soft).clip(0, 1).astype(np.float32)
    return opaque


def _surroundings(ground: FloatArray, gone: npt.NDArray[np.bool_], height: float) -> FloatArray:
    """Return the picture with the nearest colours around a mask inside it, blurred."""
    from scipy import ndimage

    wide = ndimage.distance_transform_edt(~gone) < max(3.0, 1.5 * _MARGIN * height)
    if wide.all():
        return np.full_like(ground, PLAIN_GREY)
    rows, columns = ndimage.distance_transform_edt(wide, return_distances=False, return_indices=True)
    filled = ground[rows, columns]
    blurred: FloatArray = ndimage.gaussian_filter(filled, (_SURROUNDINGS * height, _SURROUNDINGS * height, 0))
    return blurred


def _mixed(below: FloatArray, above: FloatArray, opaque: FloatArray) -> FloatArray:
    mixed: FloatArray = below + (above - below) * opaque[..., None]
    return mixed
