"""Crops of training photos, as users' photos are cropped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Rectangle = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels."""

_CLOSE_CROPS = 0.2


def sample_crop(
    box: tuple[float, float, float, float], size: tuple[int, int], random: np.random.Generator
) -> Rectangle:
    """Sample a crop of a photo: mostly at the bottom, between waist and knees, also close beside the person.

    One crop in five is close on all sides, as a detector of pedestrians cuts.

    Args:
        box: left, top, right, bottom of the person.
        size: width and height of the photo.
        random: source of the choices.
    """
    left, top, right, bottom = box
    width, height = size
    edges = [0.0, 0.0, float(width), float(height)]
    if random.random() < _CLOSE_CROPS:
        margins = random.uniform(-0.02, 0.15, 4) * np.array([right - left, bottom - top] * 2)
        edges = [left - margins[0], top - margins[1], right + margins[2], bottom + margins[3]]
        return _inside(edges, width, height)
    if random.random() < 0.85:
        edges[3] = top + float(random.uniform(0.42, 0.72)) * (bottom - top)
    if random.random() < 0.3:
        edges[0] = left + float(random.uniform(-0.35, 0.15)) * (right - left)
    if random.random() < 0.3:
        edges[2] = right - float(random.uniform(-0.35, 0.15)) * (right - left)
    if random.random() < 0.15:
        edges[1] = top + float(random.uniform(-0.08, 0.12)) * (bottom - top)
    return _inside(edges, width, height)


def _inside(edges: Sequence[float], width: int, height: int) -> Rectangle:
    """Return left, top, right, bottom within a photo, at least 8 pixels apart."""
    left, top = round(max(0.0, edges[0])), round(max(0.0, edges[1]))
    return left, top, max(left + 8, round(min(edges[2], width))), max(top + 8, round(min(edges[3], height)))
