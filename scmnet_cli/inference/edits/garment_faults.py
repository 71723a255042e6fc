"""Correct region maps in which bags, gaps between the legs, objects in a hand or labels count as part of a garment.

The colours and edges of the photo show what does not belong to the garment.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scmnet_cli.inference.limb_places import below_hips, limb_places, torso_length, within
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import FloatArray, Person, UInt8Array

_BoolArray = npt.NDArray[np.bool_]

_LIMB = 0.1  # half width of the sure part of a limb in torso lengths
_BONE, _DEEP = 0.05, 0.08
"""Half width of a limb's middle, and depth of a garment's inside, in torso lengths."""
_FOREIGN, _HELD = 0.002, 0.001
"""Shares of a colour that a garment, and a sleeve, lacks."""
_ALIEN, _EDGE = 0.001, 0.05
"""Share of a colour that a flat garment lacks, and depth of its edge, relative to the picture."""
_RARE = 4
"""Multiple of that share up to which colours beside foreign ones are foreign too."""
_ABOVE_ELBOW, _BELOW_ELBOW, _SLEEVE = (0.6, 1.1), (0.9, 2.2), 0.2
"""Parts of an arm, in lengths of its bones, and half width of a sleeve in torso lengths."""
_LABEL = 0.13
"""Size of the place of a maker's label in torso lengths."""
_WHOLE = 3  # times the part of a label that is found: the stripes of a garment are as like it
_BINS, _LEAST_CORE = 10, 200
"""Bins a channel, and least number of pixels that tell a garment's colours."""


def without_foreign(reference: Person, kind: str, mask: _BoolArray) -> _BoolArray:
    """Return a garment's mask without what the region map adds to it at its outline: bags, background between legs.

    It has colours that the garment's inside lacks. Only what hangs below the hips is looked at.

    Shape:
        mask, result: (H, W).
    """
    from scipy import ndimage

    if kind not in ("pants", "skirt", "dress"):
        return mask
    limbs = limb_places(reference)
    core = mask & (np.minimum.reduce([away for _, away in (limbs[2:] if kind == "pants" else limbs[:2])]) < _BONE)
    if kind != "pants":
        core |= ndimage.distance_transform_edt(mask) > _DEEP * torso_length(reference)
    if core.sum() < _LEAST_CORE:
        return mask
    share = share_of_colour(reference.image, core)
    foreign = ndimage.binary_opening(mask & ~core & (share < _FOREIGN), iterations=1)
    rare = mask & ~core & (share < _RARE * _FOREIGN)  # the shaded sides of a bag have rare colours of the garment
    foreign = ndimage.binary_propagation(foreign, mask=ndimage.binary_opening(rare | foreign, iterations=1) | foreign)
    foreign &= below_hips(reference) | (kind != "dress")
    kept = mask & ~foreign
    return np.asarray(kept, np.bool_)


def label(wearer: Person, worn: _BoolArray, colour: FloatArray) -> _BoolArray:
    """Return the maker's label in the neck of a top: a spot below the neckline whose colour the rest does not have."""
    from scipy import ndimage

    neck = wearer.joints[JOINTS.index("neck")]
    if neck[2] <= 0 or not worn.any():
        return np.zeros_like(worn)
    size = torso_length(wearer)
    rows, columns = np.mgrid[: worn.shape[0], : worn.shape[1]]
    zone = worn & (abs(columns - neck[0]) < _LABEL * size) & (rows < neck[1] + _LABEL * size)
    rare = zone & (share_of_colour(colour.clip(0, 255).astype(np.uint8), worn) < _FOREIGN)
    pieces, num = ndimage.label(ndimage.binary_opening(rare, iterations=1))
    areas = np.bincount(pieces.ravel(), minlength=num + 1)
    small = (areas < (_LABEL * size) ** 2) & (np.arange(num + 1) > 0)
    found = _with_like_colours(small[pieces], worn, colour, _LABEL * size)
    return np.asarray(ndimage.binary_dilation(found, iterations=max(1, round(_LABEL / 8 * size))), np.bool_)


def _with_like_colours(found: _BoolArray, worn: _BoolArray, colour: FloatArray, reach: float) -> _BoolArray:
    """Return a label with what hangs together with it and is more like it than like the cloth around.

    Shape:
        found, worn, result: (H, W); colour: (H, W, 3).
    """
    from scipy import ndimage

    if not found.any():
        return found
    away = ndimage.distance_transform_edt(~found)
    cloth = worn & (away > reach / 2) & (away < 2 * reach)
    if not cloth.any():
        return found
    like, unlike = (np.linalg.norm(colour - np.median(colour[mask], axis=0), axis=-1) for mask in (found, cloth))
    whole = ndimage.binary_propagation(found, mask=found | (worn & (away < reach) & (like < unlike)))
    return np.asarray(whole if whole.sum() < _WHOLE * found.sum() else found, np.bool_)


def without_foreign_edge(image: UInt8Array, mask: _BoolArray) -> _BoolArray:
    """Return a flat garment's mask without what has other colours at its outline: a label, the bed in an armpit.

    Shape:
        image: (H, W, 3); mask, result: (H, W).
    """
    from scipy import ndimage

    if not mask.any():
        return mask
    nearest = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    rare = ndimage.binary_opening(mask & (share_of_colour(image[tuple(nearest)], mask) < _ALIEN), iterations=1)
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    near = rare & (depth < _EDGE * max(mask.shape))
    return np.asarray(mask & ~ndimage.binary_propagation(near & (depth < 3), mask=near), np.bool_)


def held_in_hands(wearer: Person, sleeves: _BoolArray, colour: FloatArray) -> _BoolArray:
    """Return what the reference held: pixels at the forearms whose colour the sleeves do not have above the elbows."""
    held = np.zeros_like(sleeves)
    for place, away in limb_places(wearer)[:2]:
        upper = sleeves & (away < _LIMB) & within(place, _ABOVE_ELBOW)
        lower = (away < _SLEEVE) & within(place, _BELOW_ELBOW)
        if upper.sum() >= _LEAST_CORE:
            held |= lower & (share_of_colour(colour.clip(0, 255).astype(np.uint8), upper) < _HELD)
    return held


def share_of_colour(image: UInt8Array, core: _BoolArray) -> FloatArray:
    """Return, for each pixel, the share of a mask's pixels that have its colour, (H, W)."""
    from scipy import ndimage

    bins = (ndimage.gaussian_filter(image.astype(np.float32), (1.5, 1.5, 0)) / 256 * _BINS).astype(np.int64)
    number = (bins[..., 0] * _BINS + bins[..., 1]) * _BINS + bins[..., 2]
    counts = np.bincount(number[core], minlength=_BINS**3).reshape(_BINS, _BINS, _BINS).astype(np.float32)
    share: FloatArray = ndimage.gaussian_filter(counts, 0.7).ravel()[number] / max(1, core.sum())
    return share
