"""Borders of a region map follow the edges of the photo within a cell of the network's probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from scmnet_cli.analyser.photo_edges import labels_along_edges
from scmnet_cli.analyser.region_maps import enlarged, regions_on_photo
from scmnet_cli.images import CropBox
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

ROWS, COLUMNS, CELL = 240, 160, 8
"""Of the photo, and the width of a cell in its pixels."""

COLOURS = np.array([[200, 200, 190], [150, 40, 30], [60, 70, 160]], np.uint8)


def true_map() -> UInt8Array:
    """Return a disc of region 2 on an oblique stripe of region 1, with borders between the cells."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    labels = np.zeros((ROWS, COLUMNS), np.uint8)
    labels[abs(x - 0.2 * y - 50) < 27] = 1
    labels[(x - 83) ** 2 + (y - 131) ** 2 < 21**2] = 2
    return labels


def coarse(labels: UInt8Array) -> FloatArray:
    """Return probabilities as a network gives them: shares of each cell, blurred."""
    shares = (np.arange(8)[:, None, None] == labels).astype(np.float32)
    cells = shares.reshape(8, ROWS // CELL, CELL, COLUMNS // CELL, CELL).mean((2, 4))
    return np.asarray(ndimage.gaussian_filter(cells, (0, 0.7, 0.7)))


def photo_of(labels: UInt8Array, noise: float = 6) -> UInt8Array:
    blurred = ndimage.gaussian_filter(COLOURS[labels].astype(float), (0.6, 0.6, 0))
    noisy = blurred + np.random.default_rng(0).normal(0, noise, blurred.shape)
    return noisy.clip(0, 255).round().astype(np.uint8)


def guide_of(photo: UInt8Array) -> UInt8Array:
    return np.asarray(Image.fromarray(photo).resize((2 * COLUMNS // CELL, 2 * ROWS // CELL), Image.Resampling.BILINEAR))


def test_borders_move_to_the_photos_edges() -> None:
    true = true_map()
    photo, probabilities = photo_of(true), coarse(true)
    before = enlarged(probabilities, ROWS, COLUMNS)
    after = labels_along_edges(probabilities, guide_of(photo), photo, before)
    assert (before != true).mean() > 0.005
    assert (after != true).mean() < 0.4 * (before != true).mean()
    assert after.dtype == np.uint8


def test_pixels_far_from_a_border_keep_their_region() -> None:
    true = true_map()
    probabilities = coarse(true)
    before = enlarged(probabilities, ROWS, COLUMNS)
    misleading = np.random.default_rng(1).integers(0, 256, (ROWS, COLUMNS, 3), dtype=np.uint8)
    after = labels_along_edges(probabilities, guide_of(misleading), misleading, before)
    far = ndimage.minimum_filter(before, 4 * CELL) == ndimage.maximum_filter(before, 4 * CELL)
    assert far.mean() > 0.3
    assert np.array_equal(after[far], before[far])


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_photo_of_one_colour_hardly_moves_a_border(level: int) -> None:
    true = true_map()
    probabilities = coarse(true)
    before = enlarged(probabilities, ROWS, COLUMNS)
    plain = np.full((ROWS, COLUMNS, 3), level, np.uint8)
    after = labels_along_edges(probabilities, guide_of(plain), plain, before)
    assert (after != before).mean() < 0.03


def test_absent_regions_stay_absent() -> None:
    true = true_map()
    photo, probabilities = photo_of(true, noise=40), coarse(true)
    after = labels_along_edges(probabilities, guide_of(photo), photo, enlarged(probabilities, ROWS, COLUMNS))
    assert set(np.unique(after)) == {0, 1, 2}


def test_a_crop_partly_beyond_the_photo_gives_a_map_of_the_photo() -> None:
    true = true_map()
    photo, probabilities = photo_of(true), coarse(true)
    crop = CropBox(-32, -16, COLUMNS, ROWS, Canvas(2 * ROWS // CELL, 2 * COLUMNS // CELL))
    part = photo[16:200, 32:]
    labels = regions_on_photo(probabilities, crop, (184, 128), part)
    assert labels.shape == (184, 128)
    assert np.mean(labels != true[16:200, 32:]) < 0.01
    whole = regions_on_photo(probabilities, CropBox(0, 0, COLUMNS, ROWS, crop.canvas), (ROWS, COLUMNS), photo)
    assert (whole != true).mean() < 0.01


def test_a_map_as_fine_as_the_photo_stays() -> None:
    true = true_map()
    exact = (np.arange(8)[:, None, None] == true).astype(np.float32)
    crop = CropBox(0, 0, COLUMNS, ROWS, Canvas(ROWS, COLUMNS))
    assert np.array_equal(regions_on_photo(exact, crop, (ROWS, COLUMNS), photo_of(true, noise=60)), true)
