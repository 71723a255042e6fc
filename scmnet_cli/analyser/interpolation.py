"""Bilinear interpolation of maps at the crossings of rows and columns, as torch does it, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scmnet_cli.types import FloatArray

_IntArray = npt.NDArray[np.int64]
_Places = npt.NDArray[np.floating[Any]]


def interpolated(
    values: FloatArray, rows: npt.NDArray[np.floating[Any]], columns: npt.NDArray[np.floating[Any]]
) -> FloatArray:
    """Interpolate at places in cells, 0 is the centre of the first; beyond the borders the outermost cells count.

    Shape:
        values: (..., h, w); rows: (n,); columns: (m,); result: (..., n, m).
    """
    before, after, share = _neighbours(rows, values.shape[-2])
    down: FloatArray = values[..., before, :] * (1 - share[:, None]) + values[..., after, :] * share[:, None]
    before, after, share = _neighbours(columns, values.shape[-1])
    across: FloatArray = down[..., before] * (1 - share) + down[..., after] * share
    return across


def resized(values: FloatArray, height: int, width: int) -> FloatArray:
    """Enlarge maps, aligning the outer edges of cells and pixels.

    Shape:
        values: (..., h, w); result: (..., height, width).
    """
    return interpolated(values, _centres(height, values.shape[-2]), _centres(width, values.shape[-1]))


def _centres(num: int, num_cells: int) -> npt.NDArray[np.float64]:
    """Return the places of ``num`` pixels over the same length as ``num_cells`` cells."""
    return np.asarray((np.arange(num) + 0.5) * (num_cells / num) - 0.5, np.float64)


def _neighbours(places: _Places, num: int) -> tuple[_IntArray, _IntArray, FloatArray]:
    """Return the cells before and after each place, and the weight of the latter."""
    inside = places.clip(0, num - 1)
    before = inside.astype(np.int64)
    return before, (before + 1).clip(max=num - 1), (inside - before).astype(np.float32)
