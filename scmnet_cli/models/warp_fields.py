"""Fields of a part warp, as tensors or as arrays; importing this imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

ArrayT = TypeVar("ArrayT")

PLAIN_BACKGROUND = 230 / 127.5 - 1
"""Light grey of a plain background, in [-1, 1]; uncovered pixels have it too."""


@dataclass(frozen=True)
class WarpFields(Generic[ArrayT]):
    """A source warped into a target pose.

    Shape:
        image: (B, 3, H, W), in the source's range, ``fill`` on uncovered pixels; regions: (B, 8, H, W), shares that sum
        to 1 on covered pixels, else 0; coverage: (B, 1, H, W) in [0, 1], how much of the source is visible;
        coordinates: (B, 2, H, W), x and y in source pixels from the part with the largest weight, 0 on uncovered
        pixels.
    """

    image: ArrayT
    regions: ArrayT
    coverage: ArrayT
    coordinates: ArrayT
