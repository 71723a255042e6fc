"""Fill what an edit uncovers with pieces of the background around it, edges first.

Criminisi, Pérez, Toyama: "Region filling and object removal by exemplar-based inpainting", IEEE TIP 2004: the patch at
the border with the strongest edge into the hole and the most known pixels is completed from the patch of the photo
that is most like its known part. The search runs on a reduced copy; the pixels come from the photo itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scmnet_cli.types import FloatArray, UInt8Array

_BoolArray = npt.NDArray[np.bool_]
_IntArray = npt.NDArray[np.int64]

_ROWS = 400
"""Rows of the copy on which patches are searched, at least half of the photo's up to 800."""
_HALF = 4  # half width of a patch
_REACH = (40, 100)  # pixels above and below, and on both sides of the hole, in which patches are searched
_FLAT = 0.02  # data term where there is no edge
_NEAR = (0.03, 0.003)
"""Cost of a patch's distance down and across, in grey levels squared for a pixel squared: ground is below walls."""
_MOST_PATCHES = 60_000
_MOST_SOLVED = 60_000  # pixels: with more, Poisson's equation is solved on the copy
_ANCHOR = 1e-3  # weight of copied colours, against that of their differences


@dataclass
class _Hole:
    """State of the filling.

    Shape:
        image: (h, w, 3); known: (h, w); confidence: (h, w); rows, columns: (h, w), where each filled pixel comes from.
    """

    image: FloatArray
    known: _BoolArray
    confidence: FloatArray
    rows: _IntArray
    columns: _IntArray


def exemplar_filled(ground: UInt8Array, unknown: _BoolArray, wanted: _BoolArray, smooth: FloatArray) -> FloatArray:
    """Fill the wanted pixels of a picture from its known ones.

    Args:
        ground: the picture.
        unknown: pixels that show the person, and so must not be copied.
        wanted: those of them that become background.
        smooth: what to show where nothing fits.

    Shape:
        ground, smooth, result: (H, W, 3); unknown, wanted: (H, W).
    """
    step = max(1, -(-len(ground) // _ROWS))  # between wanted pixels of a row all is filled, so that edges meet
    height, width = (side // step for side in unknown.shape)
    if not (wanted & unknown).any() or min(height, width) <= 2 * _HALF:
        return smooth

    def blocks(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        return values[: height * step, : width * step].reshape(height, step, width, step, *values.shape[2:])

    small = blocks(ground.astype(np.float32)).mean((1, 3))
    hole, asked = (np.asarray(blocks(mask).any((1, 3)), np.bool_) for mask in (unknown, wanted & unknown))
    asked = hole & np.logical_or.accumulate(asked, 1) & np.logical_or.accumulate(asked[:, ::-1], 1)[:, ::-1]
    small = np.asarray(small, np.float32)
    places = _filled(small, hole, np.asarray(asked, np.bool_))
    found = places[0] >= 0
    if not found.any():
        return smooth
    rows, columns = np.nonzero(wanted & unknown)
    low = (rows // step).clip(max=height - 1), (columns // step).clip(max=width - 1)
    source_rows = (places[0][low] * step + rows % step).clip(0, len(ground) - 1)
    source_columns = (places[1][low] * step + columns % step).clip(0, ground.shape[1] - 1)
    used = found[low] & ~unknown[source_rows, source_columns]
    at, source = (rows[used], columns[used]), (source_rows[used], source_columns[used])
    result = smooth.astype(np.float32).copy()
    if len(at[0]) <= _MOST_SOLVED:
        from_rows, from_columns = (np.full(unknown.shape, -1) for _ in range(2))
        from_rows[at], from_columns[at] = source
        pieces = _blended(ground.astype(np.float32), unknown, (from_rows, from_columns))[at]
    else:  # one shift for each pixel of the copy: pieces meet at borders of these
        shift = np.where(found[..., None], _blended(small, hole, places) - small[places], 0)
        pieces = ground[source] + shift[low][used]
    result[at] = pieces.clip(0, 255)
    return result


def _blended(ground: FloatArray, unknown: _BoolArray, places: tuple[_IntArray, _IntArray]) -> FloatArray:
    """Return a picture with copied pixels whose differences, not colours, are those of where they come from.

    So pieces meet without seams: Poisson's equation with the known pixels around the hole as boundary.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import spsolve

    filled = places[0] >= 0
    count = int(filled.sum())
    number = np.full(filled.shape, -1)
    number[filled] = np.arange(count)
    rows, columns = (np.where(filled, place, own) for place, own in zip(places, np.indices(filled.shape), strict=True))
    there = filled | ~unknown
    diagonal, sums = np.zeros(count), np.zeros((count, 3))
    starts, ends = [], []
    for down, across in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        near = np.zeros_like(filled)
        inner = np.s_[max(0, -down) : len(filled) - max(0, down), max(0, -across) : filled.shape[1] - max(0, across)]
        near[inner] = True
        y, x = np.nonzero(filled & near)
        linked = there[y + down, x + across]
        y, x = y[linked], x[linked]
        other_y, other_x = y + down, x + across
        own_number, other_number = number[y, x], number[other_y, other_x]
        beside = _beside(ground, unknown, (rows, columns), (y, x), (down, across))
        back = _beside(ground, unknown, (rows, columns), (other_y, other_x), (-down, -across))
        copies = ground[rows[y, x], columns[y, x]], ground[rows[other_y, other_x], columns[other_y, other_x]]
        step = (np.where(np.isnan(beside), 0, copies[0] - beside) - np.where(np.isnan(back), 0, copies[1] - back)) / 2
        np.add.at(diagonal, own_number, 1)
        np.add.at(sums, own_number, step)
        outside = other_number < 0
        np.add.at(sums, own_number[outside], ground[other_y[outside], other_x[outside]])
        starts.append(own_number[~outside])
        ends.append(other_number[~outside])
    every = np.arange(count)
    first, second = (np.concatenate([*part, every]) for part in (starts, ends))
    values = np.concatenate([-np.ones(len(first) - count), diagonal + _ANCHOR])
    matrix = coo_matrix((values, (first, second)), shape=(count, count)).tocsc()
    copied = ground[rows[filled], columns[filled]]
    solved = np.stack([spsolve(matrix, sums[:, channel] + _ANCHOR * copied[:, channel]) for channel in range(3)], -1)
    result = ground.copy()
    result[filled] = solved
    return result


def _beside(
    ground: FloatArray,
    unknown: _BoolArray,
    places: tuple[_IntArray, _IntArray],
    pixels: tuple[_IntArray, _IntArray],
    step: tuple[int, int],
) -> FloatArray:
    """Return the colour beside the place from which each pixel comes, (n, 3); NaN if it is unknown."""
    rows, columns = (
        (place[pixels] + move).clip(0, side - 1) for place, move, side in zip(places, step, unknown.shape, strict=True)
    )
    return np.where(unknown[rows, columns][:, None], np.nan, ground[rows, columns])


def _filled(image: FloatArray, unknown: _BoolArray, wanted: _BoolArray) -> tuple[_IntArray, _IntArray]:
    """Return from which row and column each wanted pixel comes, -1 where nothing is found, (h, w) each."""
    from scipy import ndimage

    rows, columns = (np.flatnonzero(wanted.any(axis)) for axis in (1, 0))
    box = (
        slice(max(0, rows[0] - _REACH[0]), rows[-1] + _REACH[0] + 1),
        slice(max(0, columns[0] - _REACH[1]), columns[-1] + _REACH[1] + 1),
    )
    known = ~unknown[box]
    hole = _Hole(image[box].copy(), known, known.astype(np.float32), *(np.full(known.shape, -1) for _ in range(2)))
    size = 2 * _HALF + 1
    whole = ndimage.minimum_filter(known, size, mode="constant", cval=0)
    whole[:_HALF] = whole[-_HALF:] = whole[:, :_HALF] = whole[:, -_HALF:] = False
    centres = np.argwhere(whole)
    centres = centres[:: max(1, -(-len(centres) // _MOST_PATCHES))]
    if len(centres):
        windows = np.lib.stride_tricks.sliding_window_view(hole.image, (size, size), axis=(0, 1))
        patches = windows[centres[:, 0] - _HALF, centres[:, 1] - _HALF].transpose(0, 2, 3, 1).reshape(len(centres), -1)
        patches = np.ascontiguousarray(patches, np.float32)
        squares = np.square(patches)
        asked = wanted[box] & ~known
        while (border := asked & ~hole.known & ndimage.binary_dilation(hole.known)).any():
            _complete(hole, _first(hole, border), centres, patches, squares)
    found = tuple(np.full(unknown.shape, -1) for _ in range(2))
    for whole_picture, part, start in zip(found, (hole.rows, hole.columns), box, strict=True):
        whole_picture[box] = np.where(part >= 0, part + start.start, -1)
    return found[0], found[1]


def _first(hole: _Hole, border: _BoolArray) -> tuple[int, int]:
    """Return the pixel of the border whose patch has the most known pixels and the strongest edge into the hole."""
    from scipy import ndimage

    size = 2 * _HALF + 1
    certain = ndimage.uniform_filter(np.where(hole.known, hole.confidence, 0), size, mode="constant")
    light = hole.image.mean(-1)
    inner = ndimage.binary_erosion(hole.known, iterations=1, border_value=1)
    down, across = (np.where(inner, slope, 0) for slope in np.gradient(light))
    strongest = ndimage.maximum_filter(np.hypot(down, across), 5)
    normal = np.gradient(ndimage.gaussian_filter(hole.known.astype(np.float32), 1))
    length = np.hypot(*normal).clip(1e-6)
    along = abs(ndimage.uniform_filter(across, 5) * normal[0] - ndimage.uniform_filter(down, 5) * normal[1]) / length
    data = np.minimum(along, strongest) / 255 + _FLAT
    priority = np.where(border, certain * data, -1)
    row, column = np.unravel_index(int(priority.argmax()), priority.shape)
    return int(row), int(column)


def _complete(
    hole: _Hole, place: tuple[int, int], centres: _IntArray, patches: FloatArray, squares: FloatArray
) -> None:
    """Complete the patch around a pixel from the known patch that is most like it."""
    height, width = hole.known.shape
    row, column = (min(max(at, _HALF), side - 1 - _HALF) for at, side in zip(place, (height, width), strict=True))
    window = np.s_[row - _HALF : row + _HALF + 1, column - _HALF : column + _HALF + 1]
    known = hole.known[window]
    weight = np.repeat(known.ravel().astype(np.float32), 3)
    seen = hole.image[window].ravel() * weight
    off = squares @ weight - 2 * (patches @ seen)
    near = (np.square(centres - (row, column)) * _NEAR).sum(1) * weight.sum()
    best = centres[int((off + near).argmin())]
    fresh = ~known
    source_rows, source_columns = np.mgrid[-_HALF : _HALF + 1, -_HALF : _HALF + 1] + best[:, None, None]
    hole.image[window][fresh] = hole.image[source_rows, source_columns][fresh]
    hole.rows[window][fresh], hole.columns[window][fresh] = source_rows[fresh], source_columns[fresh]
    certain = float((hole.confidence[window] * known).mean())
    hole.confidence[window][fresh] = certain
    hole.known[window] = True
