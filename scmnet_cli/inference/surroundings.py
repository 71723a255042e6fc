"""Surroundings of pixels, in arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def grown(values: npt.NDArray[Any], radius: int) -> npt.NDArray[Any]:
    """Return the largest value in the square around each pixel, over windows that double in length.

    Shape:
        values, result: (..., H, W), at least 0, or bool.
    """
    window = 2 * radius + 1
    for axis in (-1, -2):
        lines = np.moveaxis(values, axis, 0)
        padded = np.zeros((len(lines) + 2 * radius, *lines.shape[1:]), values.dtype)
        padded[radius : radius + len(lines)] = lines
        length = 1
        while 2 * length <= window:
            padded = np.maximum(padded[:-length], padded[length:])
            length *= 2
        rest = window - length
        largest = np.maximum(padded[: len(lines)], padded[rest : rest + len(lines)])
        values = np.moveaxis(largest, 0, axis)
    return np.ascontiguousarray(values)
