"""Small operations on masks and maps in NumPy alone: to import SciPy's takes longer than they do."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scmnet_cli.types import FloatArray

_BoolArray = npt.NDArray[np.bool_]


def components(mask: _BoolArray, *, diagonal: bool = True) -> tuple[npt.NDArray[np.int32], int]:
    """Label the connected components of a mask from 1, in order of their first pixels.

    Args:
        mask: the mask.
        diagonal: whether diagonal neighbours connect.

    Shape:
        mask: (H, W); result: labels, (H, W), 0 outside the mask, and their count.
    """
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)  # runs of pixels, in order
    ends = np.nonzero(edges == -1)[1]
    length = mask.shape[1] + 2
    # A run touches those of the row above that start before it ends and end after it starts.
    above, reach = (rows - 1) * length, 0 if diagonal else 1
    first = np.searchsorted(rows * length + ends, above + starts + reach)
    last = np.searchsorted(rows * length + starts, above + ends - reach, side="right")
    parent = list(range(len(rows)))
    for run, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        for above in range(low, high):
            one, other = _root(parent, run), _root(parent, above)
            parent[max(one, other)] = min(one, other)
    roots, numbers = np.unique([_root(parent, run) for run in range(len(rows))], return_inverse=True)
    labels = np.zeros(mask.shape, np.int32)
    labels[mask] = np.repeat(numbers + 1, ends - starts)
    return labels, len(roots)


def _root(parent: list[int], run: int) -> int:
    while parent[run] != run:
        parent[run] = run = parent[parent[run]]
    return run


def touched(mask: _BoolArray, seeds: _BoolArray) -> _BoolArray:
    """Return the connected components of a mask that hold a seed; diagonal neighbours do not connect.

    Shape:
        mask, seeds, result: (H, W).
    """
    pieces, num = components(mask, diagonal=False)
    kept = np.zeros(num + 1, np.bool_)
    kept[pieces[seeds]] = True
    kept[0] = False
    found: _BoolArray = kept[pieces]
    return found


def grown(mask: _BoolArray, steps: int = 1, *, diagonal: bool = True) -> _BoolArray:
    """Return a mask and the pixels beside it, as many times as there are steps."""
    for _ in range(steps):
        wide = mask.copy()
        wide[1:] |= mask[:-1]
        wide[:-1] |= mask[1:]
        beside = wide if diagonal else mask
        mask = wide.copy()
        mask[:, 1:] |= beside[:, :-1]
        mask[:, :-1] |= beside[:, 1:]
    return mask


def shrunk(mask: _BoolArray, steps: int = 1, *, diagonal: bool = True) -> _BoolArray:
    """Return the pixels of a mask that are not beside others; what lies beyond the map is not on the mask."""
    beyond = np.pad(~mask, steps, constant_values=True)
    inner: _BoolArray = ~grown(beyond, steps, diagonal=diagonal)[steps:-steps, steps:-steps]
    return inner


def within(mask: _BoolArray, radius: float) -> _BoolArray:
    """Return the pixels on a mask and up to a distance from it; none if the mask is empty."""
    height, width = mask.shape
    columns, far = np.arange(width), height + width
    before = np.maximum.accumulate(np.where(mask, columns, -far), axis=1)
    after = np.minimum.accumulate(np.where(mask, columns, 2 * far)[:, ::-1], axis=1)[:, ::-1]
    across = np.minimum(columns - before, after - columns)  # distance within the row
    found = np.zeros_like(mask)
    for down in range(min(int(max(radius, 0)), height - 1) + 1):
        near = across <= np.sqrt(radius**2 - down**2)
        found[down:] |= near[: height - down]
        found[: height - down] |= near[down:]
    return found


def largest_around(values: npt.NDArray[Any], radius: int) -> npt.NDArray[Any]:
    """Return the largest value in the square around each cell, over windows that double in length.

    Shape:
        values, result: (..., h, w).
    """
    if values.size == 0:
        return values
    window = 2 * radius + 1
    for axis in (-1, -2):
        pads = [(0, 0)] * values.ndim
        pads[axis] = (radius, radius)
        padded = np.moveaxis(np.pad(values, pads, mode="edge"), axis, 0)  # an edge's value lies in the window anyway
        num, length = len(padded) - 2 * radius, 1
        while 2 * length <= window:
            padded = np.maximum(padded[:-length], padded[length:])
            length *= 2
        rest = window - length
        values = np.moveaxis(np.maximum(padded[:num], padded[rest : rest + num]), 0, axis)
    return np.ascontiguousarray(values)


def window_means(values: FloatArray, radius: int) -> FloatArray:
    """Return the mean of the square around each cell; beyond the borders the outermost values count.

    Shape:
        values, result: (..., h, w).
    """
    for axis in (-2, -1):
        pads = [(0, 0)] * values.ndim
        pads[axis] = (radius, radius)
        padded = np.moveaxis(np.pad(values, pads, mode="edge"), axis, 0)
        values = np.moveaxis(_sums(padded, 2 * radius + 1), 0, axis) / np.float32(2 * radius + 1)
    return values


def _sums(values: FloatArray, num: int) -> FloatArray:
    """Return the sums of ``num`` successive values, from sums of 1, 2, 4 ... values.

    Shape:
        values: (n, ...); result: (n + 1 - num, ...).
    """
    total: FloatArray | None = None
    power, place, remaining, count = values, 0, num, len(values) + 1 - num
    size = 1
    while remaining:
        if remaining & 1:
            part = power[place : place + count]
            total = part.copy() if total is None else total + part
            place += size
        remaining >>= 1
        if remaining:
            power = power[:-size] + power[size:]
            size *= 2
    assert total is not None
    return total
