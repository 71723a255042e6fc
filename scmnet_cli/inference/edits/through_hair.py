"""Hair over an old top: the top shows through thin strands, so its colour must be replaced there too."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scmnet_cli.inference.limb_places import torso_length
from scmnet_cli.regions import region_id
from scmnet_cli.types import FloatArray, Person

_BoolArray = npt.NDArray[np.bool_]

_REACH, _AWAY, _SOUND, _STRANDS = 0.3, 0.2, 0.03, 0.1
"""Torso lengths: distance from the old top up to which it shines through, and from which on hair shows its own colour;
depth inside the top, and distance from hair, from which on a pixel shows the top alone."""
_LEAST_SEEN = 100  # pixels that give a colour
_LEAST_ANGLE = 10.0  # degrees between the colours of hair and top; with a smaller angle the share is unknown
_LEAST_SATURATION = 0.4  # of the top: pale strands would be mistaken for a pale top
_LEAST_HUE = 60.0  # grey levels between the top's strongest and weakest channel
_USUAL = 0.6  # quantile of the shares in hair that is far from the top: its own strands differ in colour
_LEAST_SHARE = 0.05
_TOUCHING = 3  # pixels


def share_through_hair(wearer: Person, old: _BoolArray) -> tuple[FloatArray, FloatArray] | None:
    """Return the share of the old top in pixels of hair, and the colour of the top; None if colours do not tell it.

    A pixel is modelled as a multiple of the hair's colour plus a share of the top's.

    Args:
        wearer: with the old top.
        old: pixels of the old top that are replaced.

    Shape:
        old: (H, W); results: (H, W) in [0, 1], (3,) in 0-255.
    """
    from scipy import ndimage

    image = wearer.image.astype(np.float32)
    hair, size = wearer.regions == region_id("hair"), torso_length(wearer)
    if not hair.any():
        return None
    sound = ndimage.distance_transform_edt(old) > _SOUND * size
    sound &= ndimage.distance_transform_edt(~hair) > _STRANDS * size
    if sound.sum() < _LEAST_SEEN:
        return None
    away = ndimage.distance_transform_edt(~old) / size
    pure = hair & (away > _AWAY)
    if pure.sum() < _LEAST_SEEN:
        return None
    own = np.median(image[pure], axis=0)
    top = np.median(image[sound], axis=0)
    cosine = float(top @ own / (np.linalg.norm(top) * np.linalg.norm(own)).clip(1))
    if cosine > np.cos(np.radians(_LEAST_ANGLE)) or np.ptp(top) < max(_LEAST_SATURATION * top.max(), _LEAST_HUE):
        return None
    across = top - top @ own / (own @ own).clip(1) * own  # of the top's colour, what hair lacks
    share = image @ across / (across @ across).clip(1)
    usual = max(float(np.quantile(share[pure], _USUAL)), 0.0)
    share = ((share - usual) / max(1 - usual, 1e-3)).clip(0, 1)
    share = np.where(hair & (away < _REACH), share, 0)
    share = np.where(hair, ndimage.gaussian_filter(share, 0.7), 0)
    shown = share > _LEAST_SHARE
    shown = ndimage.binary_propagation(shown & ndimage.binary_dilation(old, iterations=_TOUCHING), mask=shown)
    return np.where(shown, share, 0).astype(np.float32), top
