"""Region maps that follow the edges of the photo: a guided filter of the probabilities, with the photo as its guide.

A cell of the network's regions is several pixels of a photo wide, so enlarged regions have steps at their borders. In
each window the filter fits the probability of a region linearly to the colours of the photo (He, Sun and Tang, "Guided
Image Filtering", 2013); as in its fast variant, the coefficients are computed at the network's resolution and applied
at the photo's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from scmnet_cli.analyser.interpolation import resized
from scmnet_cli.images import nearest_places
from scmnet_cli.images.morphology import largest_around, window_means
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.types import FloatArray, UInt8Array

_RADIUS = 2
"""Of the window, in cells of the probabilities; wider ones lose thin limbs."""

_REGULARISATION = 3e-4  # of the fit, for colours in [0, 1]; from 1e-4 to 1e-3 nothing changes
_LEAST_PROBABLE = 0.05  # a region that is nowhere more probable is not filtered
_CHUNK = 100_000  # pixels that are evaluated at once

_IntArray = npt.NDArray[np.int64]


def labels_along_edges(
    probabilities: FloatArray, guide: UInt8Array, photo: UInt8Array, labels: UInt8Array
) -> UInt8Array:
    """Return a region map whose borders follow the edges of the photo, if cells are coarser than pixels.

    Args:
        probabilities: probabilities of the regions, with h times w cells.
        guide: the crop at the resolution at which the filter is computed.
        photo: the crop at the resolution of the map.
        labels: the map from the probabilities alone; pixels far from any border keep its regions.

    Shape:
        probabilities: (R, h, w); guide: (h', w', 3); photo: (rows, columns, 3); labels, result: (rows, columns).
    """
    present = np.flatnonzero(probabilities.max((1, 2)) >= _LEAST_PROBABLE)
    chosen = probabilities.argmax(0)
    near = _near_border(chosen)
    if not near.any() or len(labels) <= len(chosen):
        return labels  # one region, or cells as fine as pixels
    rows, columns = (_around(np.asarray(near.any(axis))) for axis in (1, 0))
    cell = len(guide) // len(chosen)  # its width in pixels of the guide
    part = guide[rows.start * cell : rows.stop * cell, columns.start * cell : columns.stop * cell]
    coefficients = _filtered(probabilities[present, rows, columns], part)
    y, below, down = cells_between(len(labels), len(guide), rows.start * cell, part.shape[0])
    x, beside, across = cells_between(labels.shape[1], guide.shape[1], columns.start * cell, part.shape[1])
    every = np.nonzero(near[nearest_places(len(near), len(labels))][:, nearest_places(near.shape[1], labels.shape[1])])
    found = labels.copy()
    for start in range(0, len(every[0]), _CHUNK):
        r, c = (places[start : start + _CHUNK] for places in every)
        colour = np.concatenate([photo[r, c] / np.float32(255), np.ones((len(r), 1), np.float32)], axis=1)
        shares = across[c, None, None], down[r, None, None]
        above = coefficients[y[r], x[c]] * (1 - shares[0]) + coefficients[y[r], beside[c]] * shares[0]
        under = coefficients[below[r], x[c]] * (1 - shares[0]) + coefficients[below[r], beside[c]] * shares[0]
        fits = above * (1 - shares[1]) + under * shares[1]  # (n, R', 4)
        found[r, c] = present[np.einsum("nrk,nk->nr", fits, colour).argmax(1)]
    return _smooth_outline(found, labels, round(len(labels) / len(chosen)))


def _smooth_outline(found: UInt8Array, rough: UInt8Array, width: int) -> UInt8Array:
    """Remove fringes of single pixels: a pixel is on the person if most of its neighbours are.

    Args:
        found: the map.
        rough: gives the regions of pixels that are added to the person.
        width: of the neighbourhood, made odd.
    """
    person = found != BACKGROUND
    on_person = window_means(person.astype(np.float32), width // 2) > 0.5
    smooth: UInt8Array = np.where(on_person, np.where(person, found, rough), BACKGROUND).astype(np.uint8)
    return smooth


def _near_border(chosen: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return the cells with a neighbour of another region, (h, w)."""
    differs: npt.NDArray[np.bool_] = largest_around(chosen, 1) != -largest_around(-chosen, 1)
    return differs


def _around(near: npt.NDArray[np.bool_]) -> slice:
    """Return the cells from the first to the last set one, and those in reach of the filter."""
    cells = np.flatnonzero(near)
    return slice(max(0, int(cells[0]) - 2 * _RADIUS), int(cells[-1]) + 2 * _RADIUS + 1)


def _filtered(probabilities: FloatArray, guide: UInt8Array) -> FloatArray:
    """Return the smoothed coefficients of the linear fits, three for the colours and a constant, (h', w', R, 4)."""
    height, width = guide.shape[:2]
    values = resized(probabilities, height, width)
    radius = max(1, round(_RADIUS * height / probabilities.shape[1]))
    mean = partial(window_means, radius=radius)
    colours = np.divide(np.moveaxis(guide, -1, 0), 255, dtype=np.float32)
    colour = mean(colours)
    inverse = _inverse_covariance(colours, colour, mean)
    found = np.empty((height, width, len(values), 4), np.float32)
    for number, value in enumerate(values):
        middle = mean(value)
        covariance = np.stack([mean(channel * value) for channel in colours]) - colour * middle
        slopes = np.einsum("ijhw,jhw->ihw", inverse, covariance)
        found[:, :, number, :3] = np.moveaxis(mean(slopes), 0, -1)
        found[:, :, number, 3] = mean(middle - (slopes * colour).sum(0))
    return found


def _inverse_covariance(
    colours: FloatArray, colour: FloatArray, mean: Callable[[FloatArray], FloatArray]
) -> FloatArray:
    """Return the inverse of each window's regularised covariance of colours, (3, 3, h', w'), by cofactors."""
    a, b, c, d, e, f = (
        mean(colours[i] * colours[j]) - colour[i] * colour[j] + (_REGULARISATION if i == j else 0)
        for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    )
    cofactors = (d * f - e * e, c * e - b * f, b * e - c * d, a * f - c * c, b * c - a * e, a * d - b * b)
    determinant = a * cofactors[0] + b * cofactors[1] + c * cofactors[2]
    every = np.stack(cofactors) / determinant
    symmetric: FloatArray = every[[0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(3, 3, *a.shape)
    return symmetric


def cells_between(
    num: int, num_cells: int, first: int = 0, num_part: int | None = None
) -> tuple[_IntArray, _IntArray, FloatArray]:
    """Return, for the centres of ``num`` pixels, the cells before and after them and the weight of the latter.

    Args:
        num: number of pixels.
        num_cells: number of cells over the same length.
        first: cells are counted from this one.
        num_part: number of cells from there that exist; beyond them the last one counts. None: all.
    """
    places = ((np.arange(num) + 0.5) * (num_cells / num) - 0.5 - first).clip(0)
    before, last = places.astype(np.int64), (num_cells - first if num_part is None else num_part) - 1
    return before.clip(max=last), (before + 1).clip(max=last), (places - before).astype(np.float32)
