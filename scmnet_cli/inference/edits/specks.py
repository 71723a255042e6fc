"""Specks at the edges of an edit: a few pixels unlike all around them, where colours did not tell what they mix."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scmnet_cli.types import FloatArray, UInt8Array

if TYPE_CHECKING:
    from scmnet_cli.inference.edits.editing import Edit

_BoolArray = npt.NDArray[np.bool_]

_RADII = (4, 3, 2, 1)
"""Pixels: half sides of the squares around a pixel; it is a speck if it is unlike all pixels of one of them."""
_UNLIKE = 16.0  # grey levels
_THIN, _SHORT, _DARKER = 3, 9, 10.0
"""Pixels: less wide and at most so long is a dark line that is a speck too; grey levels by which it is darker."""


def without_specks(edit: Edit, garment: FloatArray, zone: _BoolArray, picture: UInt8Array, behind: UInt8Array) -> Edit:
    """Return an edit without specks that neither the photo nor the new garment has: they take the colours around them.

    Args:
        edit: the edit.
        garment: colours of what it adds, before edges were recoloured: these stay.
        zone: where to look, such as the edges of a garment.
        picture: the photo.
        behind: what the edit shows where it is transparent.

    Shape:
        zone: (H, W); garment, picture, behind: (H, W, 3), of the size of the edit.
    """
    first = edit.over(picture, behind).astype(np.float32)
    zone = zone & (abs(first - garment).max(-1) > _UNLIKE)
    for radius in _RADII:
        shown = edit.over(picture, behind).astype(np.float32)
        found = zone & _specks(shown, radius, zone) & ~_specks(picture.astype(np.float32), radius, zone)
        rows, columns = places = np.nonzero(found)
        around = np.stack(_ring(shown, radius, places))
        darkest, lightest, usual = around.min(0) - _UNLIKE, around.max(0) + _UNLIKE, np.median(around, axis=0)
        colour, changed = edit.colour.copy(), found.copy()
        for y, x in [(y, x) for y in range(1 - radius, radius) for x in range(1 - radius, radius)]:
            near = (rows + y).clip(0, len(zone) - 1), (columns + x).clip(0, zone.shape[1] - 1)
            unlike = ((shown[near] < darkest) | (shown[near] > lightest)).any(-1) & zone[near]
            colour[near[0][unlike], near[1][unlike]] = usual[unlike]
            changed[near[0][unlike], near[1][unlike]] = True
        edit = replace(
            edit,
            colour=colour,
            opacity=np.where(changed, np.float32(1), edit.opacity),
            area=np.where(changed, np.float32(1), edit.area),
        )
    return _without_short_lines(edit, garment, zone, picture, behind)


def _without_short_lines(
    edit: Edit, garment: FloatArray, zone: _BoolArray, picture: UInt8Array, behind: UInt8Array
) -> Edit:
    """Return an edit without short dark lines, such as remain of the old garment where a shadow behind it begins.

    Around them colours vary, so no square shows that they are unlike.

    Args:
        edit: the edit.
        garment: colours of what it adds.
        zone: where to look.
        picture: the photo.
        behind: what shows where the edit is transparent.
    """
    from scipy import ndimage

    shown = edit.over(picture, behind).astype(np.float32)
    dark = _darkness(shown)
    had = ndimage.maximum_filter(_darkness(picture.astype(np.float32)), _THIN)
    found = zone & (dark > _DARKER) & (had <= dark / _THIN) & (abs(shown - garment).max(-1) > _DARKER)
    lines, _ = ndimage.label(found, np.ones((3, 3)))
    for number, place in enumerate(ndimage.find_objects(lines), 1):
        if max(side.stop - side.start for side in place) > _SHORT:
            found[place] &= lines[place] != number
    weight = ndimage.gaussian_filter((~found).astype(np.float32), 1)[..., None]
    around = ndimage.gaussian_filter(shown * ~found[..., None], (1, 1, 0)) / weight.clip(1e-3)
    return replace(
        edit,
        colour=np.where(found[..., None], around, edit.colour).astype(np.float32),
        opacity=np.where(found, np.float32(1), edit.opacity),
        area=np.where(found, np.float32(1), edit.area),
    )


def _darkness(image: FloatArray) -> FloatArray:
    """Return how much darker each pixel is than what is on both sides of a thin line, (H, W)."""
    from scipy import ndimage

    return np.asarray((ndimage.grey_closing(image, (_THIN, _THIN, 1)) - image).max(-1), np.float32)


def _specks(image: FloatArray, radius: int, zone: _BoolArray) -> _BoolArray:
    """Return the pixels of a zone that are darker or lighter than the whole square around them, (H, W)."""
    places = np.nonzero(zone)
    around = np.stack(_ring(image, radius, places))
    own, lightest, darkest = image[places], around.max(0), around.min(0)
    apart = np.maximum(_UNLIKE, lightest - darkest)  # else the rim of a larger spot would stay as a ring
    unlike = (own > lightest + apart) | (own < darkest - apart)
    found = np.zeros_like(zone)
    found[places] = unlike.any(-1)
    return found


def _ring(image: FloatArray, radius: int, places: tuple[npt.NDArray[np.int64], ...]) -> list[FloatArray]:
    """Return the colours on the square around each place, (N, 3) each."""
    rows, columns = places
    height, width = image.shape[:2]
    steps = range(-radius, radius + 1)
    ring = [(y, x) for y in steps for x in steps if max(abs(y), abs(x)) == radius]
    return [image[(rows + y).clip(0, height - 1), (columns + x).clip(0, width - 1)] for y, x in ring]
