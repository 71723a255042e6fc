"""Strips and sheets of pictures."""

from __future__ import annotations

import numpy as np


def contains(sheet: np.ndarray, picture: np.ndarray) -> bool:
    """Return whether a sheet shows a picture somewhere, pixel for pixel."""
    height, width = picture.shape[:2]
    rows, columns = np.nonzero((sheet[: -height + 1, : -width + 1] == picture[0, 0]).all(-1))
    return any(
        np.array_equal(sheet[y : y + height, x : x + width], picture) for y, x in zip(rows, columns, strict=True)
    )
