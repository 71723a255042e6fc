"""New hair on a wearer's head: its outline, and its colours where the reference shows none.

A reference's hair has another hairline. Its colours are continued up to the wearer's from where hair is deep, since at
its edge they mix with skin and background, and the wearer's own strands give them light and shadow.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scmnet_cli.inference.edits.behind_hair import gap_at_face
from scmnet_cli.inference.limb_places import torso_length
from scmnet_cli.inference.shape_matching import closed
from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import FloatArray, Person

_BoolArray = npt.NDArray[np.bool_]

_HAIR, _FACE = (region_id(name) for name in ("hair", "face"))
_SAME_LENGTH = 0.15
"""Hair that ends at most so many torso lengths higher or lower is as long."""
_HANGS = 0.1  # half width in torso lengths of gaps in long hair that are filled
_LOCK = 0.25  # of the width of hair: what is narrower is a single lock
_DEEP, _SHARE = 0.025, 0.6
"""Depth in torso lengths from which on hair is pure, and the share of its half width where it is thinner."""
_FAR, _SHINE = 0.04, 0.05
"""Torso lengths beyond the reference's hair from which on the wearer's strands show, and blur that they are compared
with."""
_LIT, _MOST_GLARE, _GLOW = 0.6, 0.6, 0.015
"""Quantile of the lightness of a face that is lit; largest share of hair in the sun; torso lengths that it glows."""
_SLIT = 0.02  # half width in torso lengths of slits between new hair and the face
_DARK, _STRANDS = 10.0, (0.6, 1.6)
"""Grey levels that noise adds to dark hair; limits of the light on strands relative to what is around them."""


def hair_shape(wearer: Person, worn: _BoolArray) -> _BoolArray:
    """Return hair with the wearer's hairline and skull above the eyes, and the new length below them.

    New hair of about the same length takes the outline of the wearer's.
    """
    own: _BoolArray = wearer.regions == _HAIR
    eyes = wearer.joints[[JOINTS.index("right_eye"), JOINTS.index("left_eye")]]
    if not (eyes[:, 2] > 0).any() or not own.any():
        return worn
    above = np.arange(len(worn))[:, None] < eyes[eyes[:, 2] > 0, 1].mean()
    new = (worn | gap_at_face(wearer, worn)) & (wearer.regions != _FACE)
    longer = _lowest(worn) - _lowest(own)
    if abs(longer) <= _SAME_LENGTH * torso_length(wearer):
        return own
    if longer > 0:  # it hangs in one piece from the head
        return np.asarray(closed(own | new, _HANGS * torso_length(wearer)) & (wearer.regions != _FACE), np.bool_)
    shorter: _BoolArray = (own & above) | (new & ~above)
    return shorter


def _lowest(mask: _BoolArray) -> int:
    """Return the last row where hair is wide, since single locks may hang lower; 0 if the mask is empty."""
    widths = mask.sum(1)
    return int(np.flatnonzero(widths > _LOCK * widths.max())[-1]) if mask.any() else 0


def inner_hair(worn: _BoolArray, size: float) -> _BoolArray:
    """Return the pixels deep in hair, (H, W): at its edge they mix with skin and background; ``size``: torso length."""
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(worn)
    most = ndimage.maximum_filter(depth, 2 * max(1, round(2 * _DEEP * size)) + 1)
    return np.asarray(worn & (depth > np.minimum(_DEEP * size, _SHARE * most)))


def strands(wearer: Person, away: FloatArray) -> FloatArray:
    """Return light and shadow of the wearer's own strands, (H, W), 1 near the reference's hair and outside their own.

    Args:
        wearer: with the old hair.
        away: distance from the reference's hair in torso lengths, (H, W).
    """
    from scipy import ndimage

    own = ndimage.binary_erosion(wearer.regions == _HAIR, iterations=2)
    light = wearer.image.astype(np.float32).mean(-1)

    def mean(sigma: float) -> FloatArray:
        weight = ndimage.gaussian_filter(own.astype(np.float32), sigma)
        return np.asarray(ndimage.gaussian_filter(light * own, sigma) / weight.clip(1e-3) + _DARK)

    share = (away / _FAR).clip(0, 1) * ndimage.gaussian_filter(own.astype(np.float32), 1)
    relief = (mean(0.6) / mean(_SHINE * torso_length(wearer))).clip(*_STRANDS)
    return np.asarray(1 + share * (relief - 1), np.float32)


def glare(wearer: Person, colour: FloatArray, hair: _BoolArray) -> _BoolArray:
    """Return where the sun on the reference makes hair lighter than the wearer's lit skin, (H, W).

    Nothing is found on hair that is as light all over.

    Shape:
        colour: (H, W, 3); hair: (H, W), the reference's.
    """
    from scipy import ndimage

    face, light = wearer.regions == _FACE, colour.mean(-1)
    if not (face.any() and hair.any()):
        return np.zeros_like(hair)
    found: _BoolArray = hair & (light > np.quantile(wearer.image[face].mean(-1), _LIT))
    if not found.any() or found.sum() >= _MOST_GLARE * hair.sum():
        return np.zeros_like(hair)
    size = torso_length(wearer)  # single strands between lit ones, and the edge of the light, are pale too
    near = ndimage.distance_transform_edt(~closed(found, _DEEP * size)) <= _GLOW * size
    return np.asarray(hair & near, np.bool_)


def slits_filled(
    wearer: Person, old: _BoolArray, garment: FloatArray, colour: npt.NDArray[np.float32]
) -> tuple[FloatArray, npt.NDArray[np.float32]]:
    """Return new hair that reaches to the face where removing the old hair would leave a slit between both.

    Args:
        wearer: with the old hair.
        old: pixels that show the old hair, also those that mix it with skin.
        garment: coverage of the new hair, (H, W).
        colour: its colours, (H, W, 3).
    """
    from scipy import ndimage

    worn = garment > 0.5
    slits = old & ~worn & closed(worn | ((wearer.regions == _FACE) & ~old), _SLIT * torso_length(wearer))
    slits &= ndimage.binary_dilation(worn, iterations=max(1, round(2 * _SLIT * torso_length(wearer))))
    if not slits.any() or not worn.any():
        return garment, colour
    nearest = ndimage.distance_transform_edt(~worn, return_distances=False, return_indices=True)
    soft = ndimage.binary_dilation(slits, iterations=3) & (garment > 0)  # else skin shows in between
    slits |= soft & closed(slits | (garment > 0.99), 2)
    return np.where(slits, np.float32(1), garment), np.where(slits[..., None], colour[tuple(nearest)], colour)
