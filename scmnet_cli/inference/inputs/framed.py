"""A person cropped from a photo, and how the generated picture is put back into the photo (``--keep-size``)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from scmnet_cli.images import PLAIN_GREY, CropBox
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.types import Canvas, FloatArray, Person, UInt8Array

if TYPE_CHECKING:
    from scmnet_cli.inference.edits.editing import Edit
    from scmnet_cli.inference.edits.recolouring import Outlines

_DRAWN = 18
"""A generated pixel that differs from the plain background by more than this, in grey levels, is foreground."""

_WORKED_ON = 4_000_000
"""Larger crops are reduced to this many pixels to compute masks and surroundings, which need 100 bytes a pixel."""

_STRIP_PIXELS = 2_000_000

_LEAST_AREA = 0.02
_MARGIN = 0.006
_SOFT = 0.004
"""Shares of the crop's height: how far around a person the photo may change, and the width of the soft edge."""

_TEXTURE = 1.5  # pixels
_POCKET = 2.0  # pixels beside a person that mix with what is behind them
_UNKNOWN = 2_500
"""Pixels that inpainting solves for: with more, its smooth surfaces overshoot between far edges, and it gets slow."""


@dataclass(frozen=True)
class Framed:
    """A person of a photo and their crop.

    Attributes:
        photo: the person in pixels of the photo.
        cropped: the same on the model's canvas, or larger, of its shape.
        crop: the part of the photo that became the canvas.
        background: background of the picture on the canvas, ``plain`` or ``keep``.
    """

    photo: Person
    cropped: Person
    crop: CropBox
    background: str

    @property
    def image(self) -> UInt8Array:
        """The whole photo, (H, W, 3) uint8."""
        return self.photo.image

    @property
    def place(self) -> dict[str, Any]:
        """Left, top, width and height of the crop, in pixels of the photo."""
        return {"crop": [self.crop.left, self.crop.top, self.crop.width, self.crop.height]}

    def put_back(self, drawn: UInt8Array) -> UInt8Array:
        """Replace the person of the photo by the generated one.

        First the person is painted over with the colours around them. Then the generated person is cut out of the plain
        background and pasted. If the picture was generated with a background, it is cut out along the outline of the
        person in the photo. Outside the crop, and a small margin away from both people, no byte of the photo changes.

        Shape:
            drawn: (H, W, 3) uint8, of the canvas; result: of the photo.
        """
        part = _Part.of(self)
        gone = _softened(part.was, part.crop_height)
        surroundings = _surroundings(part.ground, part.was, part.crop_height)
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
        """Apply an edit to the photo; no byte changes outside the edited area.

        Where the edit uncovers the background, it is filled with the colours around the person.

        Shape:
            result: (H, W, 3) uint8, of the photo.
        """
        from scmnet_cli.inference.edits.recolouring import recoloured

        part = _Part.of(self)
        if edit.outlines is not None:
            part = part.corrected(edit.outlines)
        height, width = edit.area.shape
        uncovered = ((edit.area > 0) & (edit.opacity < 1)).astype(np.float32)
        bare = part.copied(uncovered) > 0
        carried = self.cropped.carried
        bags = np.zeros_like(bare) if carried is None else part.copied(carried.astype(np.float32)) > 0
        behind = _continued_background(part.ground, part.was, (bare, bags), part.crop_height)
        own = replace(self.crop, canvas=Canvas(height, width)).crop_image(self.photo.image, None)
        on_canvas = part.on_canvas(behind, Canvas(height, width))
        edit = recoloured(edit, own, on_canvas)
        # enlarging mixes pixels that are not shown with those beside them: they have the colours that show there
        hidden = np.where((edit.area > 0)[..., None], on_canvas, own).astype(np.float32)
        shown = (edit.area > 0) & (edit.opacity > 0)
        edit = replace(edit, colour=np.where(shown[..., None], edit.colour, hidden), opacity=_beyond(edit))
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

    def unchanged_part(self, edit: Edit) -> str:
        """Return an empty string: the crop holds the whole person."""
        del edit
        return ""


def _beyond(edit: Edit) -> FloatArray:
    """Return the opacity of an edit, continued beyond its area, (H, W): else its edge mixes with what is behind."""
    from scipy import ndimage

    inside = edit.area > 0
    if not inside.any():
        return edit.opacity
    rows, columns = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return np.asarray(edit.opacity[rows, columns], np.float32)


@dataclass(frozen=True)
class _Part:
    """The part of a photo that a crop covers, and a copy of it, reduced if it is large.

    Masks and surroundings are smooth, so they are computed on the copy; the photo's pixels are blended in strips.

    Shape:
        ground: (h, w, 3), the copy; was: (h, w), the mask of the person in it.
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

    def corrected(self, ends: Outlines) -> _Part:
        """Return the part whose person lacks what an edit takes for background, and has the wisps of removed hair."""
        was = self.was & (self.copied(ends.empty.astype(np.float32)) < 0.5)
        return replace(self, was=was | (self.copied(ends.wisps.astype(np.float32)) > 0))

    def copied(self, values: FloatArray) -> FloatArray:
        """Return values of the canvas, (H, W), on the copy, (h, w)."""
        whole = self.of_canvas(Image.fromarray(values), slice(0, self.height), Image.Resampling.BILINEAR)
        return np.asarray(Image.fromarray(whole).resize(self.was.shape[::-1], Image.Resampling.BOX))

    @property
    def crop_height(self) -> float:
        """Height of the crop in pixels of the copy."""
        return float(self.crop.height * self.was.shape[0] / self.height)

    def strips(self) -> Iterator[slice]:
        """Yield ranges of rows, each small enough to be processed at once."""
        num = max(1, _STRIP_PIXELS // self.width)
        for first in range(0, self.height, num):
            yield slice(first, min(first + num, self.height))

    def place(self, rows: slice) -> tuple[slice, slice]:
        """Return the slices of the photo that hold a range of rows of the part."""
        return slice(self.top + rows.start, self.top + rows.stop), slice(self.left, self.left + self.width)

    def enlarged(self, values: FloatArray, rows: slice) -> FloatArray:
        """Enlarge values of the copy, (h, w) or (h, w, channels), to the photo's size and return a range of rows."""
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

    def on_canvas(self, values: FloatArray, canvas: Canvas) -> UInt8Array:
        """Return a picture of the copy, (h, w, 3), on a canvas of the whole crop, (H, W, 3)."""
        scale = values.shape[0] / self.height
        left, top = round((self.crop.left - self.left) * scale), round((self.crop.top - self.top) * scale)
        box = CropBox(left, top, round(self.crop.width * scale), round(self.crop.height * scale), canvas)
        return box.crop_image(values.round().clip(0, 255).astype(np.uint8), None)

    def of_canvas(self, picture: Image.Image, rows: slice, resampling: Image.Resampling) -> npt.NDArray[Any]:
        """Enlarge a picture of the canvas to the crop and return a range of rows."""
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
    """Return the foreground mask of a picture with plain background: holes (pale clothes) filled, specks removed."""
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
    """Widen a mask and soften its edge; it falls to zero at the end of the margin."""
    from scipy import ndimage

    away = ndimage.distance_transform_edt(~mask) if mask.any() else np.full(mask.shape, np.inf)
    margin, soft = max(2.0, _MARGIN * height), max(1.0, _SOFT * height)
    opaque: FloatArray = ((margin - away) / soft).clip(0, 1).astype(np.float32)
    return opaque


def _surroundings(ground: UInt8Array, gone: npt.NDArray[np.bool_], height: float) -> FloatArray:
    """Fill a mask by biharmonic inpainting, on a copy small enough that few pixels are unknown.

    Shape:
        ground: (h, w, 3); gone: (h, w); result: (h, w, 3) in 0-255, the picture outside the mask and its margin.
    """
    from scipy import ndimage
    from skimage.restoration import inpaint_biharmonic

    wide = ndimage.distance_transform_edt(~gone) < max(3.0, 1.5 * _MARGIN * height)
    if wide.all():
        return np.full(ground.shape, PLAIN_GREY, np.float32)
    if not wide.any():
        return ground.astype(np.float32)
    scale = min(1.0, math.sqrt(_UNKNOWN / wide.sum()))
    size = tuple(max(1, round(side * scale)) for side in (ground.shape[1], ground.shape[0]))
    small = np.asarray(Image.fromarray(ground).resize(size, Image.Resampling.BOX))
    unknown = np.asarray(Image.fromarray(wide.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)) > 0
    if unknown.all():
        return np.full(ground.shape, PLAIN_GREY, np.float32)
    known = (~unknown).astype(np.float32)[..., None]
    smooth = ndimage.gaussian_filter(small * known, (_TEXTURE, _TEXTURE, 0))
    smooth /= ndimage.gaussian_filter(known, (_TEXTURE, _TEXTURE, 0)).clip(min=1e-6)  # texture must not be continued
    filled = inpaint_biharmonic(smooth / 255, unknown, channel_axis=-1).clip(0, 1) * 255
    whole = Image.fromarray(filled.round().astype(np.uint8)).resize(gone.shape[::-1], Image.Resampling.BICUBIC)
    return np.where(wide[..., None], np.asarray(whole), ground).astype(np.float32)


def _continued_background(
    ground: UInt8Array,
    gone: npt.NDArray[np.bool_],
    bare_and_bags: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]],
    height: float,
) -> FloatArray:
    """Fill the person's pixels with the background around them: with pieces of it where an edit bares it.

    Elsewhere, at edges of the new garment, the picture on the left and right is mirrored.

    Args:
        ground: the picture.
        gone: pixels of the person.
        bare_and_bags: pixels that become background, and what the person carries, which is no background.
        height: of the crop.

    Shape:
        ground: (h, w, 3); masks: (h, w); result: (h, w, 3) in 0-255.
    """
    from scipy import ndimage

    from scmnet_cli.inference.cloth import continued
    from scmnet_cli.inference.edits.exemplar_filling import exemplar_filled

    smooth = _surroundings(ground, gone, height)
    reach = max(3.0, 1.5 * _MARGIN * height)
    away = ndimage.distance_transform_edt(~gone)
    wide = (away < reach) & ~_pockets(away, reach)
    picture = np.where(wide[..., None], smooth, ground).astype(np.float32)
    mirrored = continued(picture.swapaxes(0, 1), ~wide.T, wide.T).swapaxes(0, 1)
    bare, bags = bare_and_bags
    near = ndimage.binary_dilation(bare, iterations=max(2, round(_MARGIN * height))) if bare.any() else bare
    return exemplar_filled(ground, wide | bags, near & wide, mirrored)


def _pockets(away: FloatArray, reach: float) -> npt.NDArray[np.bool_]:
    """Return the middle of gaps, such as between an arm and the body, that are too narrow to be clear of both sides.

    Shape:
        away: (h, w), distance from the person; result: (h, w).
    """
    from scipy import ndimage

    clear = away >= reach
    if not clear.any():
        return np.zeros_like(clear)
    return np.asarray((away > _POCKET) & (ndimage.distance_transform_edt(~clear) > reach + _POCKET), np.bool_)


def _mixed(below: FloatArray, above: FloatArray, opaque: FloatArray) -> FloatArray:
    mixed: FloatArray = below + (above - below) * opaque[..., None]
    return mixed
