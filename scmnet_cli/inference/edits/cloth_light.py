"""Light, shadow and folds of the wearer's old garment, for a flat garment that has none of its own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from scmnet_cli.inference.limb_places import torso_length
from scmnet_cli.regions import region_id
from scmnet_cli.types import FloatArray, Person, UInt8Array

_BoolArray = npt.NDArray[np.bool_]

_PANTS, _SKIRT, _UPPER = (region_id(name) for name in ("pants", "skirt", "upper"))
_SHADED, _SHADE, _GAINS, _SAME_HUE = 0.05, 0.6, (0.7, 1.2), 0.97
"""Blur of the old garment's light in torso lengths, how much of it the new one takes, its limits, and the cosine of
colours from which they are the same garment's."""
_HANGS_ALIKE: Mapping[str, tuple[int, ...]] = {
    "upper": (_UPPER,), "dress": (_UPPER, _SKIRT), "pants": (_PANTS,), "skirt": (_SKIRT,), "hair": ()
}  # fmt: skip
"""Regions of the old garment whose light and folds a new one takes."""
_OTHER, _AROUND = 35.0, 0.02
"""Grey levels from the usual chroma of a garment from which on a pixel is another's; its rim, a share of the height."""
_GLARES = 2.5  # times a garment's usual lightness: a buckle, not a fold
_ONE_COLOUR = 0.6  # least share of a garment that has its usual colour, if that tells the light on it
_NOISE = 1.0  # grey levels
_PLAIN, _FOLD, _DARK, _FOLDS = (0.2, 0.09), 1.0, 10.0, (0.75, 1.15)
"""Most edges a pixel and spread of colour of a plain garment; blur of folds in pixels; grey levels that noise adds to
dark cloth; limits of the light on folds relative to what is around them."""
_LIT, _SHINES = 0.9, 1.18
"""Quantile of the light on folds that tells highlights, and from where on cloth shines like leather: not as others do.
Plain garments of five people have at most 1.13, a leather jacket 1.22."""
_LEAST_LIT = 200  # pixels that show a garment's light


def shading(wearer: Person, kind: str, target: _BoolArray) -> FloatArray:
    """Return light, shadow and folds of the wearer's old garment, (H, W): a flat garment has none of its own.

    Only a garment of the same kind hangs alike. A plain one shows its folds, a pattern would show too.
    """
    from scipy import ndimage

    own = np.isin(wearer.regions, _HANGS_ALIKE[kind]) & target
    hue = wearer.image / np.linalg.norm(wearer.image.astype(np.float32), axis=-1, keepdims=True).clip(1)
    worn = own.copy()
    if own.any():  # a dark top below an open jacket is no shadow
        middle = np.median(hue[own], axis=0)
        own &= hue @ (middle / np.linalg.norm(middle)) > _SAME_HUE
    if own.sum() < max(_LEAST_LIT, _ONE_COLOUR * worn.sum()):  # a pattern could pass for light
        return np.ones(target.shape, np.float32)
    light = wearer.image.astype(np.float32).mean(-1)
    sigma = _SHADED * torso_length(wearer)
    mean, weight = _mean_light(light, own, sigma)
    level = float(np.median(light[own]))
    gain = (mean.clip(1) / max(level, 1.0)) ** _SHADE
    gain = np.where(weight > 0.1, gain, 1).clip(*_GAINS)
    gain = ndimage.gaussian_filter(gain, sigma)
    inside = ndimage.binary_erosion(worn & ~_other_colour(wearer.image, worn), iterations=2)
    near, far = (_mean_light(light, inside, width)[0] for width in (_FOLD, sigma))
    relief = (near + _DARK) / (far + _DARK)
    shines = inside.any() and np.quantile(relief[inside], _LIT) > _SHINES
    if inside.any() and not shines and _is_plain(wearer.image, inside, near - far):
        folds = (relief**_SHADE).clip(*_FOLDS)
        share = ndimage.gaussian_filter(inside.astype(np.float32), _FOLD)
        gain = gain * (1 + share * (folds - 1))
    return np.asarray(gain, np.float32)


def _other_colour(image: UInt8Array, worn: _BoolArray) -> _BoolArray:
    """Return the pixels of a garment that are neither lit nor shaded cloth: a belt on it, a shirt below it.

    Shape:
        image: (H, W, 3); worn, result: (H, W).
    """
    from scipy import ndimage

    colours = ndimage.gaussian_filter(image.astype(np.float32), (_FOLD, _FOLD, 0))
    chroma = colours - colours.mean(-1, keepdims=True)
    if not worn.any():
        return worn
    far = np.linalg.norm(chroma - np.median(chroma[worn], axis=0), axis=-1) > _OTHER
    light = colours.mean(-1)
    far |= light > _GLARES * (np.median(light[worn]) + _DARK)
    far = ndimage.binary_opening(worn & far, iterations=1)
    return np.asarray(worn & ndimage.binary_dilation(far, iterations=max(1, round(_AROUND * len(worn)))), np.bool_)


def _is_plain(image: UInt8Array, inside: _BoolArray, relief: FloatArray) -> bool:
    """Return whether a garment has one colour and no pattern: its light changes only from fold to fold.

    Args:
        image: the photo, (H, W, 3).
        inside: pixels of the garment.
        relief: how much lighter they are than what is around them, (H, W).
    """
    from scipy import ndimage

    above = relief > _NOISE
    edges = sum(
        float((above[one] != above[other])[inside[one] & inside[other]].mean())
        for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1]))
    )
    colours = ndimage.gaussian_filter(image.astype(np.float32), (_FOLD, _FOLD, 0))[inside]
    light = colours.mean(-1, keepdims=True)
    spread = float(((colours - light) / (light + _DARK)).std(0).mean())
    return edges < _PLAIN[0] and spread < _PLAIN[1]


def _mean_light(light: FloatArray, own: _BoolArray, sigma: float) -> tuple[FloatArray, FloatArray]:
    """Return the Gaussian mean of the light on a garment, and its weight, (H, W) each."""
    from scipy import ndimage

    weight = ndimage.gaussian_filter(own.astype(np.float32), sigma)
    return ndimage.gaussian_filter(light * own, sigma) / weight.clip(1e-3), weight
