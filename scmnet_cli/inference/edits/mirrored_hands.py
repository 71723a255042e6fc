"""Shiny cloth that mirrors the hand beside it, so that a region map takes both for the hand.

The mirror image has the colours of skin. A line of the cloth's own colour, less red than skin on both of its sides,
divides it from the hand.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scmnet_cli.inference.edits.bare_skin import like_skin
from scmnet_cli.inference.limb_places import limb_places, torso_length, within
from scmnet_cli.regions import region_id
from scmnet_cli.types import Person

_BoolArray = npt.NDArray[np.bool_]

_ARMS = region_id("arms")
_CLOTH = [region_id(name) for name in ("upper", "skirt", "pants")]
_LOWER, _BONE = (1.2, 2.1), 0.03
"""Where a forearm and its wrist are, in lengths of an arm's bones; half width of its middle in torso lengths."""
_HAND = 0.3  # torso lengths from the arm's bones that a hand and its mirror image reach
_LINE, _LESS_RED = 0.042, 0.35
"""Torso lengths: widest dividing line; how much less red it is, as a share of the redness of the arms."""
_LEAST, _ALONGSIDE, _TOUCHING = 0.005, 0.7, 3
"""Least area of a mirror image, in squared torso lengths; share of its rows in which there is the hand too; pixels to
the cloth. Of 19 people one has such a piece, with 0.011; pieces of other hands have at most 0.003."""
_SMOOTH = 0.5  # pixels


def mirrored_hands(wearer: Person) -> _BoolArray:
    """Return the pixels of the region of arms that show the mirror image of a hand in cloth, (H, W).

    Without a ``scene`` there are none.
    """
    from scipy import ndimage

    own, cloth = wearer.regions == _ARMS, np.isin(wearer.regions, _CLOTH)
    found: _BoolArray = np.zeros_like(own)
    if wearer.scene is None or not own.any() or not cloth.any():
        return found
    size = torso_length(wearer)
    image = ndimage.gaussian_filter(wearer.scene.astype(np.float32), (_SMOOTH, _SMOOTH, 0))
    redness = (image[..., 0] - image[..., 2]) / image.sum(-1).clip(1)
    across = ndimage.grey_closing(redness, (1, max(3, round(_LINE * size)))) - redness  # hands hang
    skin = own & like_skin(wearer) & (across < _LESS_RED * np.median(redness[own]))
    at_cloth = ndimage.binary_dilation(cloth, iterations=_TOUCHING)
    for place, away in limb_places(wearer)[:2]:
        middle = own & (away < _BONE) & within(place, _LOWER)
        part = own & (place > _LOWER[0]) & (away < _HAND)
        pieces, num = ndimage.label(ndimage.binary_opening(part & skin))
        of_hand = np.unique(pieces[middle & (pieces > 0)])
        hand = np.isin(pieces, of_hand) & (pieces > 0)
        mirrored = np.zeros_like(own)
        for piece in np.setdiff1d(np.arange(1, num + 1), of_hand):
            pixels = pieces == piece
            rows = pixels.any(1)
            if pixels.sum() > _LEAST * size**2 and (pixels & at_cloth).any():
                mirrored |= pixels & ((rows & hand.any(1)).sum() > _ALONGSIDE * rows.sum())
        if mirrored.any() and hand.any():
            to_hand, to_mirrored = (ndimage.distance_transform_edt(~mask) for mask in (hand, mirrored))
            found |= part & ~hand & ~middle & (to_mirrored <= to_hand)
    return np.asarray(found, np.bool_)
