"""Positions of style and pose features, and the pixels that they see; importing this imports no torch."""

from __future__ import annotations

STRIDE = 8
"""Stride of pose and style features: pixels of the canvas along each side of a feature position."""


def affected_positions(first: int, last: int, length: int) -> tuple[int, int]:
    """Return the half-open range of feature positions along an axis that a region changes.

    The receptive field of position o is the pixels 8 o - 10 to 8 o + 17. Outside the range every layer is zero.

    Args:
        first: first pixel of the region along the axis.
        last: its last pixel.
        length: pixels of the canvas along the axis.
    """
    return max((first - 10) // STRIDE, 0), min((last + 10) // STRIDE + 1, length // STRIDE)
