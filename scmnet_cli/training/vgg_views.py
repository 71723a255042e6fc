"""The part of the image that the VGG losses of a step use: a band of rows, or the whole image at half the size."""

from __future__ import annotations

import numpy as np


def random_band(height: int, share: float, *, seed: tuple[int, ...]) -> slice | None:
    """Return a random band of rows; None for all rows.

    Args:
        height: rows of the image.
        share: share of the rows in the band, in (0, 1]; rounded down to a multiple of 8 rows, at least 8.
        seed: of the band's place.
    """
    rows = max(int(height * share) // 8 * 8, 8)
    if rows >= height:
        return None
    top = int(np.random.default_rng(seed).integers(height - rows + 1))
    return slice(top, top + rows)


def sees_halved(share: float, *, seed: tuple[int, ...]) -> bool:
    """Return whether a step sees the whole image at half the size, as a share of the steps does.

    Args:
        share: that share, in [0, 1].
        seed: of this step.
    """
    return bool(np.random.default_rng(seed).random() < share)
