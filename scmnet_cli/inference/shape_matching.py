"""Outlines of masks: smoothed, closed, and moved onto each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scmnet_cli.images.morphology import components
from scmnet_cli.types import FloatArray

_BoolArray = npt.NDArray[np.bool_]

_LEVELS = ((4, 60), (2, 40))
"""Reduction of the masks, and number of steps, of each level of the registration."""
_MIRRORED = 3.0  # times the blur up to which colours are mirrored
_EDGE, _SOFT = 1 / 600, 1 / 400
"""Blur of a mask's outline, and width of its soft edge, as shares of its height."""


def largest(mask: _BoolArray) -> _BoolArray:
    """Return the largest connected piece of a mask."""
    labels, num = components(mask, diagonal=False)
    return mask if num == 0 else np.asarray(labels == np.bincount(labels.ravel())[1:].argmax() + 1)


def smoothed(mask: _BoolArray, sigma: float) -> _BoolArray:
    """Return a mask with a smoother outline."""
    from scipy import ndimage

    smooth: _BoolArray = ndimage.gaussian_filter(distance_outside(mask), sigma) < 0
    return smooth


def soft_edged(mask: _BoolArray) -> FloatArray:
    """Return a mask with a smooth outline and a soft edge, (H, W) in [0, 1]."""
    from scipy import ndimage

    sigma = len(mask) * _EDGE
    width = max(1.0, len(mask) * _SOFT)
    return np.asarray((0.5 - ndimage.gaussian_filter(distance_outside(mask), sigma) / width).clip(0, 1), np.float32)


def continued_colours(colour: FloatArray, sound: _BoolArray, sigma: float, *, mirrored: bool = True) -> FloatArray:
    """Continue the colours of sound pixels: mirrored at their outline, or the nearest one's, and smooth far away."""
    from scipy import ndimage

    away, (rows, columns) = ndimage.distance_transform_edt(~sound, return_indices=True)
    nearest = colour[rows, columns]
    smooth = ndimage.gaussian_filter(nearest, (sigma, sigma, 0))
    across = np.mgrid[: sound.shape[0], : sound.shape[1]]
    far_rows = (2 * rows - across[0]).clip(0, sound.shape[0] - 1)
    far_columns = (2 * columns - across[1]).clip(0, sound.shape[1] - 1)
    image = sound[far_rows, far_columns] & mirrored
    share = (away / sigma - np.where(image, _MIRRORED, 0.5)).clip(0, 1)[..., None]  # far away it would be seen twice
    colours = np.where(image[..., None], colour[far_rows, far_columns], nearest)
    return np.asarray(colours * (1 - share) + smooth * share, np.float32)


def closed(mask: _BoolArray, reach: float) -> _BoolArray:
    """Return a mask without holes, and without gaps narrower than twice the reach in pixels."""
    from scipy import ndimage

    border = int(reach) + 2
    grown = ndimage.distance_transform_edt(np.pad(~mask, border, constant_values=True)) <= reach
    within = ndimage.distance_transform_edt(grown)[border:-border, border:-border] > reach
    filled: _BoolArray = ndimage.binary_fill_holes(within | mask)
    return filled


def displacement(source: _BoolArray, target: _BoolArray, reach: float, smoothness: float) -> FloatArray:
    """Return the smooth displacement that moves a mask's outline to another's: where to sample the source.

    Thirion's demons on the distances to both outlines, from coarse to fine.

    Args:
        source: the mask to move.
        target: where to.
        reach: pixels from which on an outline is moved.
        smoothness: standard deviation of the displacement's Gaussian blur, in pixels.

    Shape:
        source, target: (H, W); result: (2, H, W), rows and columns.
    """
    from scipy import ndimage

    height, width = source.shape
    distance = [distance_outside(mask) / reach for mask in (source, target)]
    field = np.zeros((2, height, width), np.float32)
    for factor, steps in _LEVELS:
        moving, fixed = (value.clip(-1, 1)[factor // 2 :: factor, factor // 2 :: factor] for value in distance)
        shape = fixed.shape
        zoom = [1, shape[0] / field.shape[1], shape[1] / field.shape[2]]
        field = ndimage.zoom(field, zoom, order=1) * zoom[1]
        places = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        slope = np.stack(np.gradient(fixed))
        for _ in range(steps):
            now = ndimage.map_coordinates(moving, places + field, order=1, mode="nearest")
            off = fixed - now
            force = off * slope / (np.square(slope).sum(0) + np.square(off) / 4 + 1e-4)
            field = field + force
            sigma = max(1.0, smoothness / factor)
            field = ndimage.gaussian_filter(field, (0, sigma, sigma))
    zoom = [1, height / field.shape[1], width / field.shape[2]]
    return np.asarray(ndimage.zoom(field, zoom, order=1) * zoom[1], np.float32)


def distance_outside(mask: _BoolArray) -> FloatArray:
    """Return the distance from a mask's outline in pixels, negative inside, (H, W)."""
    from scipy import ndimage

    inside, outside = ndimage.distance_transform_edt(mask), ndimage.distance_transform_edt(~mask)
    return np.asarray(outside - inside, np.float32)
