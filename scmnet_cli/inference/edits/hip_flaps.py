"""Flaps at the hips: background between trousers and a hand that the region map takes for trousers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scmnet_cli.inference.limb_places import torso_length
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.types import Person

_BoolArray = npt.NDArray[np.bool_]

_TALL, _STICKS_OUT = 0.4, 0.03
"""Torso lengths: height up to which a bump of the outline is no hip, and how far it sticks out."""
_BESIDE, _ENDS = 0.025, 0.03
"""Torso lengths: width beside a bump where the hand is, and height above and below it where the background is."""
_MOSTLY = 0.5
_WIDENS = 0.35  # pixels a pixel
_AT_HIPS = 0.6  # torso lengths below the waist


def flaps_at_hands(wearer: Person) -> _BoolArray:
    """Return the pixels of trousers that stick out as far as a hand, though above and below it background shows.

    Shape:
        result: (H, W).
    """
    own = wearer.regions == region_id("pants")
    free = wearer.regions == BACKGROUND
    if wearer.carried is not None:
        free &= ~wearer.carried
    arms = wearer.regions == region_id("arms")
    size = torso_length(wearer)
    found = _at_right(own, free, arms, size)
    found |= _at_right(own[:, ::-1], free[:, ::-1], arms[:, ::-1], size)[:, ::-1]
    return found


def _at_right(own: _BoolArray, free: _BoolArray, arms: _BoolArray, size: float) -> _BoolArray:
    """Return the flaps on the right-hand side of the picture."""
    from scipy import ndimage

    found = np.zeros_like(own)
    rows = np.flatnonzero(own.any(1))
    if len(rows) < _TALL * size:
        return found
    columns = np.arange(own.shape[1])
    ends = np.where(own, columns, -1).max(1)[rows]
    width, height = max(1, round(_BESIDE * size)), max(1, round(_ENDS * size))
    usual = ndimage.grey_opening(ends, max(3, round(_TALL * size)), mode="nearest")
    bumps, num = ndimage.label(ends > usual + _STICKS_OUT * size)
    for number in range(1, num + 1):
        bump = np.flatnonzero(bumps == number)
        around = [*range(bump[0] - height, bump[0]), *range(bump[-1] + 1, bump[-1] + 1 + height)]
        if around[0] < 0 or around[-1] >= len(rows):
            continue
        beside = [slice(end + 1, end + 1 + width) for end in ends]
        at_hand = [arms[rows[row], beside[row]].any() for row in bump]
        if np.mean(at_hand) > _MOSTLY and np.mean([free[rows[row], beside[row]].all() for row in around]) > _MOSTLY:
            found[rows[bump]] = own[rows[bump]] & (columns > usual[bump, None])
    return found


def without_hip_bumps(trousers: _BoolArray, size: float) -> _BoolArray:
    """Return new trousers without bumps at the hips: from the thighs upwards they widen only slowly.

    Args:
        trousers: whose lower parts stay.
        size: torso length in pixels.

    Shape:
        trousers, result: (H, W).
    """
    rows = np.flatnonzero(trousers.any(1))
    if not len(rows):
        return trousers
    rows = rows[rows < rows[0] + _AT_HIPS * size]
    columns = np.arange(trousers.shape[1])
    kept = trousers.copy()
    for mask in (kept, kept[:, ::-1]):
        ends = np.where(mask, columns, -1).max(1)[rows] + _WIDENS * rows
        most = np.minimum.accumulate(ends[::-1])[::-1] - _WIDENS * rows
        mask[rows] &= columns <= most[:, None]
    return kept
