"""Edges of an edit in the photo: where the new garment ends where the old one did, the photo's own edge is recoloured.

A pixel at the edge mixes the old garment with what is beside it. Its share of the old garment follows from the colours
on both sides; the same share of the new garment replaces it. So the edge keeps the photo's softness, and no rim of the
old garment stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scmnet_cli.inference.edits.specks import without_specks
from scmnet_cli.types import FloatArray, Person, UInt8Array

if TYPE_CHECKING:
    from scmnet_cli.inference.edits.editing import Edit

_BoolArray = npt.NDArray[np.bool_]

_BAND = 1 / 170
"""Width of the edge on both sides, as a share of the height."""
_APART = 1.5
"""Pixels between the outlines of the new and the old garment up to which they are the same."""
_LEAST_CONTRAST, _MOST_OFF = 30.0, 30.0
"""Grey levels: between the colours on both sides of an edge that tell shares, and of a pixel from their mixture."""
_CONTRASTY, _OFTEN, _WINDOW = 50.0, 0.2, 2.0
"""Standard deviation in grey levels, and changes from light to dark a pixel, of a pattern whose colours do not tell
shares; window to measure them, in bands."""
_SMOOTH, _PURE = 0.8, 0.7
"""Blur of shares in pixels; share of the old garment from which on a pixel at a hand or at hair shows it alone."""
_EDGE, _ALONG, _MOST_MOVED = 2.0, 4.0, 2.0
"""Pixels: softness of an edge, over which its place is evened out along it, and how far that may be from the mask's."""
_LEAST_SHARE = 0.05


@dataclass(frozen=True)
class Outlines:
    """Outlines of the garment that an edit adds and of the one that it removes.

    Shape:
        new, old: (H, W), the new garment with bared skin, and what was there; kept: (H, W), pixels that stay; front:
            (H, W), hands, hair, bags and clothes before the old garment; empty: (H, W), background of the photo; fine:
            (H, W), of the front hands and hair; wisps: (H, W), of removed hair in the background.
    """

    new: _BoolArray
    old: _BoolArray
    kept: _BoolArray
    front: _BoolArray
    empty: _BoolArray
    fine: _BoolArray
    wisps: _BoolArray

    def joined(self, later: Outlines | None) -> Outlines:
        """Return the outlines of two edits, one after the other."""
        if later is None:
            return self
        return Outlines(
            self.new | later.new,
            self.old | later.old,
            self.kept | later.kept,
            self.front & ~later.old | later.front,
            self.empty & later.empty,
            self.fine & ~later.old | later.fine,
            self.wisps | later.wisps,
        )


def between_regions(wearer: Person) -> _BoolArray:
    """Return the pixels near an outline of the wearer's region map, (H, W): elsewhere the photo has no edge."""
    from scipy import ndimage

    labels = wearer.regions
    edge = np.zeros(labels.shape, np.bool_)
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        edge[one] |= labels[one] != labels[other]
    band = max(2.0, _BAND * len(labels))
    return np.asarray(ndimage.distance_transform_edt(~edge) <= band + 1, np.bool_)


def recoloured(edit: Edit, picture: UInt8Array, behind: UInt8Array) -> Edit:
    """Return an edit whose edges are those of a photo, as far as it replaced a garment by one of the same outline.

    What lies before the old garment keeps its edge too, also where only the background replaces the garment, and where
    the new garment covers background.

    Shape:
        picture, behind: (H, W, 3), the photo at the size of the edit, and what an edit shows where it is transparent.
    """
    ends = edit.outlines
    if ends is None:
        return edit
    result = _recoloured(edit, ends, picture, behind)
    covered = ends.new & ~ends.old & ~ends.front & ends.empty
    result = _recoloured(result, replace(ends, old=covered), picture, behind, only_front=True)
    if result is edit:
        return edit
    band = max(2.0, _BAND * len(picture))
    zone = (np.minimum(abs(_signed(ends.old)), abs(_signed(ends.new))) <= band) & ~ends.kept & ~ends.front
    return without_specks(result, edit.colour, zone, picture, behind)


def _recoloured(
    edit: Edit, ends: Outlines, picture: UInt8Array, behind: UInt8Array, *, only_front: bool = False
) -> Edit:
    """Return an edit whose edges are those of a photo; ``only_front`` are those of what lies before it."""
    from scipy import ndimage

    if not ends.old.any() or (ends.new | ends.old).all():
        return edit
    band = max(2.0, _BAND * len(picture))
    image = picture.astype(np.float32)
    in_old, in_new = _signed(ends.old), _signed(ends.new)
    near = (abs(in_old) <= band) & (abs(in_new) <= band) & (abs(in_old - in_new) <= _APART)
    uncovered = ndimage.binary_opening(ends.old & ~ends.new, iterations=2)
    near &= ~ndimage.binary_dilation(uncovered, iterations=round(2 * band))
    at_front = _beside_front(ends, in_old, band)
    near = (near & (not only_front)) | at_front
    near &= ~ends.kept
    opaque = edit.opacity[..., None]
    result = edit.colour * opaque + behind * (1 - opaque)
    old, other, new = _spread(image, in_old > band), _spread(image, in_old < -band), _spread(result, in_old > 1)
    if old is None or other is None or new is None or not near.any():
        return edit
    new = np.where((in_old > 1)[..., None], result, new)
    share, known = _share_of(image, old, other)
    patterned = _patterned(image, ends.old, band) & ~at_front
    known &= ~(patterned | _patterned(image, ends.front & ~ends.fine, band))
    texture = ((image - share[..., None] * old) / (1 - share[..., None]).clip(0.1) - other).mean(-1, keepdims=True)
    shown = image + edit.area[..., None] * (result - image)
    kept = _spread(np.where(ends.front[..., None], shown, image), in_old < -band)  # hair that the old garment coloured
    beside = kept + texture.clip(-_MOST_OFF, _MOST_OFF)  # its light alone: a hue would be a rim of the old garment
    beside = np.where((known & (share < 0.8))[..., None], beside, kept)
    inside = ends.old
    unclear = near & ~known & ~inside & ~patterned  # only the mask tells that edge
    beside = np.where(unclear[..., None], shown, beside)
    moved = _edge_offset(share, in_old, known & near & (abs(in_old) <= band))
    was = share
    even = (0.5 + (ndimage.gaussian_filter(in_old, _EDGE) + moved) / _EDGE).clip(0, 1)
    by_colour = np.where(inside, np.maximum(share, in_old / band), share * (1 + in_old / (band + 1))).clip(0, 1)
    fine = known & at_front & _near(ends.fine, band) & (share > _PURE)
    share = ndimage.gaussian_filter(np.where(fine, np.maximum(by_colour, even), even), _SMOOTH)[..., None]
    fading = np.where(inside, 1, ((band + in_old) / (band / 2)).clip(0, 1))[..., None]
    mixed = shown + fading * (share * new + (1 - share) * beside - shown)
    rest = ~known & (np.abs(image - other).max(-1) > _MOST_OFF) & (in_old >= -2)  # a rim of some other colour
    used = near & (inside | ((known | unclear) & (np.maximum(share[..., 0], was) > _LEAST_SHARE)) | rest)
    return replace(
        edit,
        colour=np.where(used[..., None], mixed.clip(0, 255), edit.colour).astype(np.float32),
        opacity=np.where(used, np.float32(1), edit.opacity),
        area=np.where(used, np.float32(1), edit.area),
    )


def _edge_offset(share: FloatArray, in_old: FloatArray, known: _BoolArray) -> FloatArray:
    """Return how far the photo's edge lies outside the mask's, in pixels, evened out along the edge, (H, W).

    Args:
        share: of the old garment in each pixel.
        in_old: distance from the mask's outline, positive inside.
        known: pixels whose colours tell the share.
    """
    from scipy import ndimage

    line = (abs(in_old) <= 1).astype(np.float32) / 2
    excess = np.where(known, share - (0.5 + in_old / 2).clip(0, 1), 0)
    moved = ndimage.gaussian_filter(excess, _ALONG) / ndimage.gaussian_filter(line, _ALONG).clip(1e-3)
    return np.asarray(moved.clip(-_MOST_MOVED, _MOST_MOVED), np.float32)


def _patterned(image: FloatArray, old: _BoolArray, band: float) -> _BoolArray:
    """Return where the old garment nearby has such different colours that none tells its share of a pixel, (H, W)."""
    from scipy import ndimage

    light, sigma = image.mean(-1), _WINDOW * band
    weight = ndimage.gaussian_filter(old.astype(np.float32), sigma).clip(1e-3)
    mean = ndimage.gaussian_filter(light * old, sigma) / weight
    square = ndimage.gaussian_filter(light**2 * old, sigma) / weight
    above = light > mean
    changes = np.zeros(light.shape, np.float32)
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        changes[one] += (above[one] != above[other]) & old[one] & old[other]
    often = ndimage.gaussian_filter(changes, sigma) / weight > _OFTEN  # folds and the rim of a hand change less often
    return np.asarray((square - mean**2 > _CONTRASTY**2) & often & (weight > 0.05), np.bool_)


def _beside_front(ends: Outlines, in_old: FloatArray, band: float) -> _BoolArray:
    """Return the edges between the old garment and what lies before it, (H, W)."""
    from scipy import ndimage

    if not ends.front.any():
        return ends.front
    nearest = ndimage.distance_transform_edt(~(ends.front | ends.old), return_distances=False, return_indices=True)
    away = ndimage.distance_transform_edt(~ends.front)
    inside = ends.old & (away <= band) & (away <= in_old + _APART)
    outside = (in_old < 0) & (in_old >= -band) & ends.front[tuple(nearest)]
    return np.asarray((inside | outside) & (ends.front | ends.old), np.bool_)


def _share_of(image: FloatArray, old: FloatArray, other: FloatArray) -> tuple[FloatArray, _BoolArray]:
    """Return the share of one colour in each pixel's mixture of two, and whether the pixel is such a mixture."""
    between = old - other
    contrast = np.square(between).sum(-1)
    share = (((image - other) * between).sum(-1) / contrast.clip(1)).clip(0, 1)
    off = np.abs(image - other - share[..., None] * between).max(-1)
    return share, (contrast > _LEAST_CONTRAST**2) & (off < _MOST_OFF)


def _near(mask: _BoolArray, reach: float) -> _BoolArray:
    """Return the pixels not farther than ``reach`` from a mask, (H, W)."""
    from scipy import ndimage

    return np.asarray(mask.any() and ndimage.distance_transform_edt(~mask) <= reach + np.zeros(mask.shape), np.bool_)


def _signed(mask: _BoolArray) -> FloatArray:
    """Return the distance from a mask's outline, positive inside, (H, W)."""
    from scipy import ndimage

    return np.asarray(ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask), np.float32)


def _spread(image: FloatArray, known: _BoolArray) -> FloatArray | None:
    """Return the slightly smoothed colour of the nearest known pixel, (H, W, 3); None if none is known."""
    from scipy import ndimage

    if not known.any():
        return None
    rows, columns = ndimage.distance_transform_edt(~known, return_distances=False, return_indices=True)
    weight = ndimage.gaussian_filter(known.astype(np.float32), 1).clip(1e-3)[..., None]
    smooth = ndimage.gaussian_filter(image * known[..., None], (1, 1, 0)) / weight
    found: FloatArray = smooth[rows, columns]
    return found
