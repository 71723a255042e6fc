"""Divide doubtful pixels between two sides by their colours and by the photo's edges: one round of GrabCut.

Rother, Kolmogorov, Blake: "GrabCut", SIGGRAPH 2004. The colours of each side are a histogram of sure
pixels nearby; a minimum cut gives each doubtful pixel to one of them, along edges where it can.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scmnet_cli.inference.minimum_cut import source_side
from scmnet_cli.types import FloatArray, UInt8Array

_BoolArray = npt.NDArray[np.bool_]
_IntArray = npt.NDArray[np.int64]

_BINS, _BLUR, _LEAST_DENSITY, _LEAST_SURE = 32, 1.0, 1e-5, 50
"""Bins a channel, their blur, the least density of a colour, and the least number of sure pixels of a side."""
_TELLS = 2.0  # log of how much more likely colours are on their own side than on the other, if colours tell the sides
_CLEAR = 15.0  # grey levels: larger steps do not make small ones less clear
_EDGE, _UNITS, _MOST, _FAR = 2.0, 20, 20_000, 10
"""Weight of the length of a cut, the resolution of its costs, and the cost of a sure pixel on the wrong side."""


def inside_of_cut(
    image: UInt8Array, inside: _BoolArray, outside: _BoolArray, doubtful: _BoolArray, typical: _BoolArray | None = None
) -> _BoolArray:
    """Return the doubtful pixels that belong to the inside.

    Args:
        image: the photo.
        inside: sure pixels of one side.
        outside: sure pixels of the other side.
        doubtful: pixels to divide. All are inside if one of the sides has no sure pixels.
        typical: pixels with the colours of the inside, if not the sure ones alone.

    Shape:
        image: (H, W, 3); others: (H, W).
    """
    if not doubtful.any() or min(inside.sum(), outside.sum()) < _LEAST_SURE:
        return doubtful
    colours = image.astype(np.float32)
    alike = inside if typical is None else typical
    off = (unlikeness(colours, outside, doubtful) - unlikeness(colours, alike, doubtful)).clip(-_FAR, _FAR)
    count = int(doubtful.sum())
    number = np.full(doubtful.shape, -1)
    number[doubtful] = np.arange(count)
    number[inside & ~doubtful], number[outside & ~inside & ~doubtful] = count, count + 1
    starts, ends, weights = _links(colours, number, count)
    to_source, to_sink = off.clip(0), (-off).clip(0)
    every = np.arange(count)
    starts = np.concatenate([starts, np.full(count, count), every])
    ends = np.concatenate([ends, every, np.full(count, count + 1)])
    costs = (np.concatenate([weights, to_source, to_sink]) * _UNITS).clip(max=_MOST).astype(np.int64)
    one_way = starts != ends
    found = np.zeros_like(doubtful)
    found[doubtful] = source_side(starts[one_way], ends[one_way], costs[one_way], count + 2)[:count]
    return found


def told_apart(image: UInt8Array, one: _BoolArray, other: _BoolArray) -> float:
    """Return the share of one mask's pixels whose colours are much rarer in another mask; 0 if a mask is empty.

    Shape:
        image: (H, W, 3); one, other: (H, W).
    """
    if not one.any() or not other.any():
        return 0.0
    colours = image.astype(np.float32)
    return float((unlikeness(colours, other, one) - unlikeness(colours, one, one) > _TELLS).mean())


def _blurring(num: int, sigma: float) -> FloatArray:
    """Return the matrix that blurs values by a Gaussian; beyond the ends they are mirrored."""
    places = np.arange(num)
    reach = np.arange(-round(4 * sigma), round(4 * sigma) + 1)
    weights = np.exp(-0.5 * (reach / sigma) ** 2)
    from_place = places[:, None] + reach
    mirrored = np.minimum(np.maximum(from_place, -1 - from_place), 2 * num - 1 - from_place)
    matrix = np.zeros((num, num))
    np.add.at(matrix, (places[:, None], mirrored), weights / weights.sum())
    return matrix.astype(np.float32)


_BLURRED = _blurring(_BINS, _BLUR)


def unlikeness(colours: FloatArray, sure: _BoolArray, asked: _BoolArray) -> FloatArray:
    """Return the negative log-likelihood of pixels' colours among those of sure pixels, at most 11.5.

    Args:
        colours: levels from 0 to 255.
        sure: pixels whose colours are known.
        asked: pixels to judge.

    Shape:
        colours: (H, W, 3); sure, asked: (H, W); result: (n,), n the number of asked pixels.
    """
    bins = (np.sqrt(colours.clip(0, 255) / 256) * _BINS).astype(np.int64)  # dark colours differ less
    number = (bins[..., 0] * _BINS + bins[..., 1]) * _BINS + bins[..., 2]
    counts = np.bincount(number[sure], minlength=_BINS**3).reshape(_BINS, _BINS, _BINS).astype(np.float32)
    for axis in range(3):
        counts = np.moveaxis(np.tensordot(_BLURRED, counts, (1, axis)), 0, axis)
    density = counts.ravel() / max(1, int(sure.sum()))
    return np.asarray(-np.log(density[number[asked]] + _LEAST_DENSITY), np.float32)


def _links(colours: FloatArray, number: _IntArray, count: int) -> tuple[_IntArray, _IntArray, FloatArray]:
    """Return the links between neighbouring pixels in both directions: their nodes, and the costs of cutting them."""
    starts, ends, contrasts, lengths = [], [], [], []
    for one, other, length in (
        (np.s_[1:], np.s_[:-1], 1.0),
        (np.s_[:, 1:], np.s_[:, :-1], 1.0),
        (np.s_[1:, 1:], np.s_[:-1, :-1], 1.41),
        (np.s_[1:, :-1], np.s_[:-1, 1:], 1.41),
    ):
        linked = (number[one] >= 0) & (number[other] >= 0) & ((number[one] < count) | (number[other] < count))
        starts.append(number[one][linked])
        ends.append(number[other][linked])
        contrasts.append(np.square(colours[one] - colours[other]).sum(-1)[linked])
        lengths.append(np.full(linked.sum(), length))
    contrast = np.concatenate(contrasts)
    typical = max(2 * float(contrast.clip(max=_CLEAR**2).mean()), 1.0)
    costs = _EDGE * np.exp(-contrast / typical) / np.concatenate(lengths)
    first, second = np.concatenate(starts), np.concatenate(ends)
    return np.concatenate([first, second]), np.concatenate([second, first]), np.concatenate([costs, costs])
