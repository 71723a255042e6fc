"""Shoes of which long trousers show only the front: bared legs lead into them, and their openings are rounded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from scmnet_cli.inference.edits.bare_skin import like_skin
from scmnet_cli.inference.limb_places import limb_places, torso_length
from scmnet_cli.models.parts import LIMBS
from scmnet_cli.regions import region_id
from scmnet_cli.types import FloatArray, Person

_BoolArray = npt.NDArray[np.bool_]

_BELOW, _NEAR, _LEAST = 1.95, 0.2, 0.001
"""Where on a leg's bones a shoe begins, torso lengths from the bones within which it is, least area in squared ones."""
_RIM, _MOST_SKIN = 0.03, 0.5
"""Torso lengths of a shoe below its upper edge that tell it from skin, and the share of skin up to which it is one."""
_ABOVE, _COVERED, _LOW = 0.03, 0.8, 0.14
"""Torso lengths from cloth to the shoe below it, the least share of the shoe's width that is so near, and how much of a
shoe's height shows at most, in torso lengths: with more the cloth hides little of it."""
_WIDE, _DEEP, _MOST_DEEP = 0.9, 0.35, 0.4
"""Half width of an opening, relative to the shoe's half width; depth relative to that, and to the shoe's height."""
_SOFT = 0.8  # pixels: blur of an opening's edge
_ANKLE = 0.022  # torso lengths: radius of the curve from a leg to the edge of a shoe


def _shoes(wearer: Person, cloth: _BoolArray) -> list[tuple[int, _BoolArray]]:
    """Return for each leg of which only the front of a shoe shows below cloth its index, 0 or 1, and its shoe."""
    from scipy import ndimage

    size = torso_length(wearer)
    legs = limb_places(wearer)[2:]
    nearest = np.argmin([away for _, away in legs], axis=0)
    skin = like_skin(wearer)
    found = []
    for index, (place, away) in enumerate(legs):
        shown = (wearer.regions == region_id("legs")) & (nearest == index) & (away < _NEAR)
        parts, num = ndimage.label(shown)
        if not num:
            continue
        shoe = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
        if shoe.sum() < _LEAST * size**2 or np.quantile(place[shoe], 0.02) < _BELOW:
            continue
        away_from_cloth = ndimage.distance_transform_edt(~cloth) if cloth.any() else np.full(cloth.shape, np.inf)
        columns = np.flatnonzero(shoe.any(0))
        tops = shoe.argmax(0)[columns]
        rim = shoe & (np.arange(len(shoe))[:, None] < shoe.argmax(0) + _RIM * size)
        covered = (away_from_cloth[tops, columns] <= _ABOVE * size).mean() >= _COVERED
        low = np.median(shoe.sum(0)[columns]) <= _LOW * size
        if covered and low and skin[rim].mean() < _MOST_SKIN:
            found.append((index, shoe))
    return found


def aimed_at_shoes(wearer: Person, cloth: _BoolArray) -> Person:
    """Return the wearer with ankles above their shoes: trousers hide where ankles are, and shoes tell it.

    Shape:
        cloth: (H, W), what goes.
    """
    joints = wearer.joints.copy()
    for index, shoe in _shoes(wearer, cloth):
        knee, ankle = LIMBS[2 + index][1:]
        columns = np.flatnonzero(shoe.any(0))
        row, column = float(shoe.argmax(0)[columns].mean()), float(columns.mean())
        along = (joints[ankle, 1] - joints[knee, 1]) / max(row - joints[knee, 1], 1.0)
        if joints[knee, 2] > 0 and joints[ankle, 2] > 0 and 0 < along <= 1:
            joints[ankle, 0] = joints[knee, 0] + along * (column - joints[knee, 0])
    return replace(wearer, joints=joints)


def shoe_openings(wearer: Person, cloth: _BoolArray) -> _BoolArray:
    """Return the pixels of shoes below cloth that goes where a leg is before them, (H, W): their upper edge is round.

    Shape:
        cloth: (H, W), what goes.
    """
    opening = np.zeros_like(cloth)
    rows = np.arange(len(cloth))[:, None]
    for _, shoe in _shoes(wearer, cloth):
        columns = np.flatnonzero(shoe.any(0))
        half = (columns[-1] - columns[0] + 1) / 2
        across = (np.arange(cloth.shape[1]) - columns.mean()) / (_WIDE * half)
        tops = shoe.argmax(0)
        inner = np.abs(across) < 1
        height = float(np.median(shoe.sum(0)[columns]))
        depth = min(_DEEP * half, _MOST_DEEP * height)
        curve = depth * np.sqrt((1 - across**2).clip(0))
        level = float((tops - curve)[inner & shoe.any(0)].max())
        opening |= shoe & (rows < level + curve)
    return opening


def with_feet(wearer: Person, cloth: _BoolArray, legs: FloatArray) -> FloatArray:
    """Return the outlines of bared legs with feet, which fill the shoes below cloth that goes.

    Shape:
        cloth, legs, result: (H, W), what goes, and a soft mask in [0, 1].
    """
    from scipy import ndimage

    result = legs.copy()
    reach = max(1, round(_ANKLE * torso_length(wearer)))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.hypot(y, x) <= reach + 0.5
    for _, shoe in _shoes(wearer, cloth):
        rows, columns = (np.flatnonzero(shoe.any(axis)) for axis in (1, 0))
        top, left = max(0, rows[0] - 3 * reach), max(0, columns[0] - 3 * reach)
        around = np.s_[top : rows[-1] + 1, left : columns[-1] + 3 * reach]
        closed = ndimage.grey_closing(np.maximum(legs, shoe)[around], footprint=disc)
        near = ndimage.distance_transform_edt(~shoe[around]) <= 2 * reach
        result[around] = np.where(near, np.maximum(result[around], closed), result[around])
    return result


def with_soft_edge(colour: FloatArray, opening: _BoolArray, shown: _BoolArray) -> FloatArray:
    """Soften the edge of shoes' openings by a pixel.

    Args:
        colour: the picture.
        opening: openings of shoes.
        shown: the rest of the shoes.

    Shape:
        colour, result: (H, W, 3); opening, shown: (H, W).
    """
    from scipy import ndimage

    edge = ndimage.binary_dilation(opening) & (shown | ndimage.binary_dilation(shown))
    return np.where(edge[..., None], ndimage.gaussian_filter(colour, (_SOFT, _SOFT, 0)), colour).astype(np.float32)
