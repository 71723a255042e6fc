"""A drawn hand: a right one that hangs at ease, seen from its back and a little from the thumb's side.

Bones are rows of spheres in space. The nearest of their surfaces is the hand's height map, and the height map's slopes
and hollows give light and shadow. A flat outline with lines for fingers looked like a mitten.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
from PIL import Image

from scmnet_cli.types import FloatArray

HAND_WIDTH, HAND_HEIGHT, HAND_ROWS = 120, 200, 168
"""Columns and rows of the drawing, with the wrist at the upper edge, and the length of the hand in rows."""

_FINER = 2  # samples a pixel, in both directions
_TURN = 20.0  # degrees by which the thumb's side is turned to the viewer
_PER_BONE = 28  # spheres

# x towards the thumb, y towards the fingers' tips, z towards the viewer; radius. From the index on:
_WRISTS = (11, 4, -4, -11)
_KNUCKLES = ((20, 78, 2), (7, 82, 4), (-6, 80, 3), (-18, 74, -1))
_LENGTHS = ((42, 26, 18), (46, 30, 19), (43, 28, 18), (34, 21, 16))
_RADII = ((10.8, 9.2, 8.2, 6.6), (10.8, 9.4, 8.4, 6.8), (10.4, 9, 8, 6.4), (9.2, 8, 7, 5.8))
_BENT = ((10, 20, 10), (15, 24, 12), (20, 28, 14), (24, 30, 14))  # degrees, at each joint of a finger
_SPREAD = (-1, -3, -5, -6)  # degrees towards the thumb
_THUMB = ((12, 14, -6, 14), (27, 42, -8, 12.5), (34, 66, -6, 10.5), (33, 90, -10, 7.5))
_FOREARM, _BELOW_LITTLE = ((-8, 0, 8), (-30, 10), 15), ((-12, 30, -5, 11), (-15, 66, -7, 10))

_LIGHT = (-0.3, -0.45, 0.85)
_AMBIENT, _HOLLOW, _DARKEST = 0.58, 0.05, 0.6  # ambient light; darkening of hollows per unit of depth, and its maximum
_EVENED, _AROUND = 2, 5  # units over which slopes are evened, and around a hollow
_BEHIND = -25.0  # height of what is beside the hand


@lru_cache(1)
def drawn_hand() -> FloatArray:
    """Draw the hand once: its mask, and the factor by which light and shadow change the skin's colour.

    Shape:
        result: (2, 200, 120), the wrist at the first row.
    """
    heights = _heights(_spheres())
    mask = heights > _BEHIND
    slopes = np.array(np.gradient(_blurred(heights, _EVENED))) * _FINER  # y, x
    facing = 1 / np.sqrt(1 + (slopes**2).sum(0))
    light = np.array(_LIGHT) / np.linalg.norm(_LIGHT)
    lit = ((light[2] - light[1] * slopes[0] - light[0] * slopes[1]) * facing).clip(0, 1) / light[2]
    hollow = (_HOLLOW * (_blurred(heights, _AROUND) - heights)).clip(0, 1 - _DARKEST)
    shade = (_AMBIENT + (1 - _AMBIENT) * lit) * (1 - hollow)
    box = Image.Resampling.BOX
    layers = [Image.fromarray(each.astype(np.float32)) for each in (mask, shade)]
    drawn: FloatArray = np.stack([np.asarray(each.resize((HAND_WIDTH, HAND_HEIGHT), box)) for each in layers])
    return drawn


def _spheres() -> FloatArray:
    """Return the spheres that the hand consists of: x, y, z and radius, (N, 4)."""
    rows = []
    for wrist, knuckle, lengths, radii, bent, spread in zip(
        _WRISTS, _KNUCKLES, _LENGTHS, _RADII, _BENT, _SPREAD, strict=True
    ):
        rows.append(_between((wrist, 4, 0, 12.5), (*knuckle, 11)))
        joint, down, aside = np.array(knuckle, float), np.radians(np.cumsum(bent)), np.radians(spread)
        for number, (length, angle) in enumerate(zip(lengths, down, strict=True)):
            flat = np.cos(angle) * length
            end = joint + np.array([np.sin(aside) * flat, np.cos(aside) * flat, -np.sin(angle) * length])
            rows.append(_between((*joint, radii[number]), (*end, radii[number + 1])))
            joint = end
    columns, (first, last), radius = _FOREARM
    rows += [_between((x, first, -2, radius), (x, last, -2, radius)) for x in columns]
    rows += [_between(*pair) for pair in (_BELOW_LITTLE, *pairwise(_THUMB))]
    spheres = np.concatenate(rows)
    x, z, turn = spheres[:, 0].copy(), spheres[:, 2].copy(), np.radians(_TURN)
    spheres[:, 0], spheres[:, 2] = x * np.cos(turn) - z * np.sin(turn), z * np.cos(turn) + x * np.sin(turn)
    return spheres


def _between(start: tuple[float, ...], end: tuple[float, ...]) -> FloatArray:
    places = np.linspace(0, 1, _PER_BONE, dtype=np.float32)[:, None]
    row: FloatArray = np.array(start, np.float32) * (1 - places) + np.array(end, np.float32) * places
    return row


def _heights(spheres: FloatArray) -> FloatArray:
    """Return how near the surface of the spheres is to the viewer, at each sample of the drawing."""
    heights = np.full((HAND_HEIGHT * _FINER, HAND_WIDTH * _FINER), _BEHIND, np.float32)
    for x, y, z, radius in spheres + np.array([HAND_WIDTH / 2, 0, 0, 0], np.float32):
        rows, columns = (
            slice(max(int((middle - radius) * _FINER), 0), max(int((middle + radius) * _FINER) + 2, 0))
            for middle in (y, x)
        )
        near = heights[rows, columns]
        down, across = (
            np.arange(side.start, side.start + num) for side, num in zip((rows, columns), near.shape, strict=True)
        )
        rest = radius**2 - (down[:, None] / _FINER - y) ** 2 - (across / _FINER - x) ** 2
        np.maximum(near, np.where(rest > 0, z + np.sqrt(rest.clip(0)), _BEHIND), out=near)
    return heights


def _blurred(values: FloatArray, units: float) -> FloatArray:
    from scipy.ndimage import gaussian_filter

    blurred: FloatArray = gaussian_filter(values, units * _FINER)
    return blurred
