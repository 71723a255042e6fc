"""Waists of flat trousers: above the front's upper edge the photo shows the inside of the back, with its label."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scmnet_cli.types import FloatArray, UInt8Array

_BoolArray = npt.NDArray[np.bool_]

_TOP, _SMOOTH = 0.1, 0.1
"""In widths of the waist: rows from the highest pixel that may be a waist's upper edge, and median over it."""
_POWERS, _DEPTHS, _LOWER = (2, 3, 4, 6), np.arange(0.02, 0.16, 0.005), (0.0, 0.01, 0.02, 0.03)
"""Shapes of the front's edge below the back's: how round it is, how deep, and how far both are apart at the sides, in
widths of the waist."""
_MIDDLE, _SEEN, _ZONE = 0.85, 0.7, 0.3
"""Share of the width in which an edge is looked for, and of it that must lie on the garment; height of the place around
it, in widths of the waist."""
_CLEAR = 1.1  # times the usual contrast there
_BLUR = (1.0, 2.0, 0)  # pixels
_LEAST_WIDTH = 20


def without_inside(image: UInt8Array, mask: _BoolArray) -> _BoolArray:
    """Return the mask of flat trousers without the inside of their back, which shows above the front's edge.

    The front's edge is the arc below the waist's outline along which colours change most.

    Shape:
        image: (H, W, 3); mask, result: (H, W).
    """
    from scipy import ndimage

    rows = np.flatnonzero(mask.any(1))
    if not len(rows):
        return mask
    tops = np.where(mask.any(0), mask.argmax(0), len(mask))
    waist = np.flatnonzero(tops < rows[0] + _TOP * np.ptp(np.flatnonzero(mask.any(0))))
    first, width = int(waist[0]), int(np.ptp(waist))
    if width < _LEAST_WIDTH:
        return mask
    columns = np.arange(first, first + width + 1)
    across = abs(2 * (columns - first) / width - 1)
    outline = ndimage.median_filter(tops[columns].astype(np.float32), max(3, round(_SMOOTH * width)), mode="nearest")
    contrast = _contrast(image, mask)
    middle = across < _MIDDLE
    best, edge = 0.0, outline
    for power in _POWERS:
        for depth in _DEPTHS:
            for lower in _LOWER:
                arc = outline + width * (lower + depth * (1 - across**power))
                there = contrast[arc.round().astype(np.int64).clip(0, len(mask) - 1)[middle], columns[middle]]
                there = there[np.isfinite(there)]
                if len(there) > _SEEN * middle.sum() and np.median(there) > best:
                    best, edge = float(np.median(there)), arc
    zone = contrast[rows[0] : rows[0] + round(_ZONE * width), columns]
    if best <= _CLEAR * np.nanmean(zone):
        return mask
    kept = mask.copy()
    kept[:, columns] &= np.arange(len(mask))[:, None] > edge
    return kept


def _contrast(image: UInt8Array, mask: _BoolArray) -> FloatArray:
    """Return how much colours change from row to row inside a mask, NaN elsewhere, (H, W)."""
    from scipy import ndimage

    nearest = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    smooth = ndimage.gaussian_filter(image[tuple(nearest)].astype(np.float32), _BLUR)
    change = np.abs(np.diff(smooth, axis=0, append=smooth[-1:])).sum(-1)
    return np.where(ndimage.binary_erosion(mask, iterations=3), change, np.nan).astype(np.float32)
