"""A person of a photo, and the way back: what was drawn in their place is put into the photo's own frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from scmnet_cli.images import PLAIN_GREY, CropBox
from scmnet_cli.inference.editing import Edit
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.types import FloatArray, Person, UInt8Array

_DRAWN = 18
"""Levels by which a drawn pixel differs from the plain background."""

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

    def put_back(self, drawn: UInt8Array) -> UInt8Array:
        """Put what was drawn in the person's place into the photo.

        The person is taken out first, by the colours around them; then comes what was drawn, cut out of its plain
        background. A picture drawn with a background is cut out by the person's own outline. Beyond the crop, and a
        little away from the old and the new person, the photo stays as it is to the byte.

        Shape:
            drawn: (H, W, 3) uint8, of the canvas; result: of the photo.
        """
        height, width = self.photo.image.shape[:2]
        left, top = max(0, self.crop.left), max(0, self.crop.top)
        right = min(width, self.crop.left + self.crop.width)
        bottom = min(height, self.crop.top + self.crop.height)
        within = (slice(top, bottom), slice(left, right))
        size = (self.crop.width, self.crop.height)
        cut = (slice(top - self.crop.top, bottom - self.crop.top), slice(left - self.crop.left, right - self.crop.left))

        was = self.photo.regions[within] != BACKGROUND
        enlarged = np.asarray(Image.fromarray(drawn).resize(size, Image.Resampling.LANCZOS))[cut]
        if self.background == "plain":
            mask = Image.fromarray(_cut_out(drawn).astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
            opaque = np.asarray(mask)[cut]
        else:
            opaque = _softened(was, self.crop.height)
        gone = _softened(was, self.crop.height)
        ground = self.photo.image[within].astype(np.float32)
        emptied = _mixed(ground, _surroundings(ground, was, self.crop.height), gone)
        whole = self.photo.image.copy()
        whole[within] = _mixed(emptied, enlarged.astype(np.float32), opaque).round().clip(0, 255).astype(np.uint8)
        return whole

    def put_back_edit(self, edit: Edit) -> UInt8Array:
        """Put what an edit changed into the photo; all pixels outside the edited area stay as they are to the byte.

        Where the edit uncovers the background, the colours around the person stand in for it.

        Shape:
            result: (H, W, 3) uint8, of the photo.
        """
        height, width = self.photo.image.shape[:2]
        crop = self.crop
        left, top = max(0, crop.left), max(0, crop.top)
        right, bottom = min(width, crop.left + crop.width), min(height, crop.top + crop.height)
        within = (slice(top, bottom), slice(left, right))
        cut = (slice(top - crop.top, bottom - crop.top), slice(left - crop.left, right - crop.left))
        size = (crop.width, crop.height)
        colour = np.stack([_scaled(edit.colour[..., channel], size)[cut] for channel in range(3)], axis=-1)
        opacity, area = (_scaled(values, size)[cut] for values in (edit.opacity, edit.area))
        area[area < _LEAST_AREA] = 0
        ground = self.photo.image[within]
        was = self.photo.regions[within] != BACKGROUND
        behind = _surroundings(ground.astype(np.float32), was, crop.height).round().clip(0, 255).astype(np.uint8)
        whole = self.photo.image.copy()
        whole[within] = replace(edit, colour=colour, opacity=opacity, area=area).over(ground, behind)
        return whole


def _scaled(values: FloatArray, size: tuple[int, int]) -> FloatArray:
    picture = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.array(picture.resize(size, Image.Resampling.BICUBIC))


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


def _softened(mask: npt.NDArray[np.bool_], height: int) -> FloatArray:
    """Widen a mask and soften its edge; zero where the widened mask ends."""
    from scipy import ndimage

    away = ndimage.distance_transform_edt(~mask) if mask.any() else np.full(mask.shape, np.inf)
    margin, soft = max(2.0, _MARGIN * height), max(1.0, _SOFT * height)
    opaque: FloatArray = ((margin - away) / soft).clip(0, 1).astype(np.float32)
    return opaque


def _surroundings(ground: FloatArray, gone: npt.NDArray[np.bool_], height: int) -> FloatArray:
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
