"""Cloth continued over a gap: each edge of the gap is mirrored into it, so that the texture of the cloth continues."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_BoolArray = npt.NDArray[np.bool_]
_IntArray = npt.NDArray[np.int64]
_UInt8Array = npt.NDArray[np.uint8]


def continued(
    colour: npt.NDArray[np.float32], sound: _BoolArray, gap: _BoolArray, kind: _UInt8Array | None = None
) -> npt.NDArray[np.float32]:
    """Fill a gap from the sound pixels above and below it in each column, mirrored at the gap's edges and blended.

    Pixels with sound pixels on one side only take the mirror image of that side; pixels without any stay.

    Args:
        colour: the pixels.
        sound: pixels that may be continued.
        gap: pixels to fill.
        kind: garment of each pixel: between two different ones the nearer one is continued. None: all are alike.

    Shape:
        colour: (H, W, C); sound, gap, kind: (H, W).
    """
    used = np.flatnonzero(gap.any(0))
    if len(used) == 0:
        return colour
    between = slice(int(used[0]), int(used[-1]) + 1)
    result = colour.astype(np.float32)
    kinds = None if kind is None else kind[:, between]
    result[:, between] = _columns_continued(result[:, between], sound[:, between], gap[:, between], kinds)
    return result


def _columns_continued(
    colour: npt.NDArray[np.float32], sound: _BoolArray, gap: _BoolArray, kind: _UInt8Array | None
) -> npt.NDArray[np.float32]:
    rows, columns = np.mgrid[: sound.shape[0], : sound.shape[1]]
    above, below = nearest(sound)
    has_above, has_below = above >= 0, below < len(sound)
    gap = gap & (has_above | has_below)
    if not gap.any():
        return colour
    from_above, from_below = rows - above, below - rows
    share = from_below / np.maximum(from_above + from_below, 1)
    if kind is not None:
        other = kind[above.clip(0), columns] != kind[below.clip(max=len(sound) - 1), columns]
        share = np.where(other, from_above <= from_below, share)
    share = np.where(has_above & has_below, share, has_above)[..., None]
    upper = mirrored(colour, sound, from_above, above, columns, -1, kind)
    lower = mirrored(colour, sound, from_below, below, columns, 1, kind)
    blended = np.where(gap[..., None], upper * share + lower * (1 - share), colour)
    return blended.astype(np.float32)


def nearest(sound: _BoolArray) -> tuple[_IntArray, _IntArray]:
    """Return the rows of the nearest sound pixels above (-1: none) and below (H: none), at each pixel."""
    rows = np.arange(len(sound))[:, None]
    above = np.maximum.accumulate(np.where(sound, rows, -1), axis=0)
    below = np.minimum.accumulate(np.where(sound, rows, len(sound))[::-1], axis=0)[::-1]
    return above, below


def mirrored(
    colour: npt.NDArray[np.float32],
    sound: _BoolArray,
    away: _IntArray,
    edge: _IntArray,
    columns: _IntArray,
    step: int,
    kind: _UInt8Array | None = None,
) -> npt.NDArray[np.float32]:
    """Return the colours of a column's sound run next to a gap, mirrored at the gap's edge and again at its other end.

    Args:
        colour: the colours.
        sound: pixels whose colours may be used.
        away: distance of each pixel from the gap's edge, at least 1 in the gap.
        edge: row of the sound pixel next to the gap.
        columns: column of each pixel.
        step: direction from the edge into the run: -1 upwards, 1 downwards.
        kind: garment of each pixel: a run ends where another begins. None: all are alike.
    """
    edge = edge.clip(0, len(colour) - 1)
    length = _run_lengths(sound, step, kind)[edge, columns].clip(min=1)
    place = (away - 1) % (2 * length)
    place = np.minimum(place, 2 * length - 1 - place)
    picked: npt.NDArray[np.float32] = colour[(edge + step * place).clip(0, len(colour) - 1), columns]
    return picked


def _run_lengths(sound: _BoolArray, step: int, kind: _UInt8Array | None) -> _IntArray:
    """Return, at each sound pixel, the number of sound pixels of its kind from it on in one direction, with itself."""
    ordered = sound if step < 0 else sound[::-1]
    begins = ~ordered
    begins[1:] |= ~ordered[:-1]
    if kind is not None:
        kinds = kind if step < 0 else kind[::-1]
        begins[1:] |= kinds[1:] != kinds[:-1]
    number = np.arange(len(ordered))[:, None]
    begin = np.maximum.accumulate(np.where(begins, number, 0), axis=0)
    lengths = np.where(ordered, number - begin + 1, 0)
    return lengths if step < 0 else lengths[::-1]
