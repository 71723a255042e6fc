"""Cuffs labelled as hands: the region map takes the end of a bright sleeve for the arm inside it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scmnet_cli.inference.limb_places import BESIDE_CLOTHES, below_hips, limb_places, within
from scmnet_cli.regions import region_id
from scmnet_cli.types import FloatArray, Person

_BoolArray = npt.NDArray[np.bool_]

_UPPER, _ARMS, _FACE = (region_id(name) for name in ("upper", "arms", "face"))
_SLEEVE, _AT_WRIST, _WIDTH = (0.8, 2.3), (1.2, 2.6), 0.3
"""Where along an arm its sleeve gives the colour, and where a cuff may be; how far across, in torso lengths."""
_APART, _LIKE = 0.1, 0.5
"""Least distance of chromaticities between a sleeve and skin; largest distance of a cuff from the sleeve, as a share of
its distance from skin."""
_LEAST_SEEN = 30  # pixels of a sleeve and of a face that give a colour
_DARK = 90.0  # a pixel has no reliable hue if its three channels sum to at most this
_TOUCHING = 2


def cuffs_at_hands(wearer: Person) -> _BoolArray:
    """Return the pixels of lifted arms that have the hue of the sleeve that they touch, and not the face's, (H, W).

    Hands that hang beside the hips are left to :mod:`wearer_faults`: clothes of many colours surround them.
    """
    from scipy import ndimage

    found = np.zeros(wearer.regions.shape, np.bool_)
    upper, own, face = (wearer.regions == region for region in (_UPPER, _ARMS, _FACE))
    if face.sum() < _LEAST_SEEN:
        return found
    hue, bright = _chromaticity(wearer.image), wearer.image.sum(-1, dtype=np.int32) > _DARK
    skin, lifted = np.median(hue[face], axis=0), ~below_hips(wearer, BESIDE_CLOTHES)
    for place, away in limb_places(wearer)[:2]:
        near = away < _WIDTH
        sleeve = upper & near & within(place, _SLEEVE) & bright
        if sleeve.sum() < _LEAST_SEEN:
            continue
        cloth = np.median(hue[sleeve], axis=0)
        if np.linalg.norm(cloth - skin) < _APART:
            continue
        like_cloth = np.linalg.norm(hue - cloth, axis=-1) < _LIKE * np.linalg.norm(hue - skin, axis=-1)
        doubtful = own & lifted & near & within(place, _AT_WRIST) & bright & like_cloth
        touching = doubtful & ndimage.binary_dilation(upper & near, iterations=_TOUCHING)
        found |= ndimage.binary_propagation(touching, mask=doubtful)
    return found


def _chromaticity(image: npt.NDArray[np.uint8]) -> FloatArray:
    """Return the shares of red and blue in the sum of the channels, (H, W, 2)."""
    colour = image.astype(np.float32)
    shares: FloatArray = colour[..., ::2] / colour.sum(-1, keepdims=True).clip(1)
    return shares
