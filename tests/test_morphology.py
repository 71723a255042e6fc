"""Operations on masks and maps in NumPy are those of SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from scmnet_cli.images.morphology import components, grown, largest_around, shrunk, touched, window_means, within

SQUARE, CROSS = np.ones((3, 3), bool), ndimage.generate_binary_structure(2, 1)


def masks() -> list[np.ndarray]:
    """Return masks of specks, of blobs, of a spiral, an empty and a full one."""
    random = np.random.default_rng(0)
    noise = [random.random((40, 30)) < share for share in (0.05, 0.3, 0.5, 0.9)]
    blobs = [ndimage.gaussian_filter(random.normal(size=(60, 45)), sigma) > 0 for sigma in (1, 2, 4)]
    y, x = np.mgrid[-30:30, -30:30]
    spiral = np.sin(np.hypot(x, y) / 2 + np.arctan2(y, x)) > 0.3
    return [*noise, *blobs, spiral, np.zeros((5, 7), bool), np.ones((6, 4), bool), np.ones((1, 1), bool)]


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("mask", masks())
def test_components_have_the_same_labels(mask: np.ndarray, diagonal: bool) -> None:
    labels, num = components(mask, diagonal=diagonal)
    expected, count = ndimage.label(mask, SQUARE if diagonal else CROSS)
    assert num == count
    assert np.array_equal(labels, expected)


@pytest.mark.parametrize("mask", masks())
def test_components_that_hold_a_seed_are_the_same(mask: np.ndarray) -> None:
    seeds = np.random.default_rng(1).random(mask.shape) < 0.02
    assert np.array_equal(touched(mask, seeds), ndimage.binary_propagation(seeds & mask, mask=mask))


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("mask", masks())
def test_masks_grow_and_shrink_alike(mask: np.ndarray, steps: int, diagonal: bool) -> None:
    around = SQUARE if diagonal else CROSS
    assert np.array_equal(grown(mask, steps, diagonal=diagonal), ndimage.binary_dilation(mask, around, steps))
    assert np.array_equal(shrunk(mask, steps, diagonal=diagonal), ndimage.binary_erosion(mask, around, steps))


@pytest.mark.parametrize("radius", [0.4, 1.0, 3.7, 12.2, 90.0])
@pytest.mark.parametrize("mask", [mask for mask in masks() if mask.any()])
def test_pixels_within_a_distance_are_the_same(mask: np.ndarray, radius: float) -> None:
    assert np.array_equal(within(mask, radius), ndimage.distance_transform_edt(~mask) <= radius)


def test_nothing_lies_within_a_distance_of_nothing() -> None:
    assert not within(np.zeros((4, 5), bool), 3).any()


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_the_largest_value_around_a_cell_is_the_same(radius: int) -> None:
    values = np.random.default_rng(0).integers(0, 9, (13, 8))
    assert np.array_equal(largest_around(values, radius), ndimage.maximum_filter(values, 2 * radius + 1))


@pytest.mark.parametrize("radius", [0, 1, 2, 4, 6])
def test_means_of_windows_are_the_same(radius: int) -> None:
    values = np.random.default_rng(0).random((2, 17, 14)).astype(np.float32)
    size = 2 * radius + 1
    rows = ndimage.uniform_filter1d(values, size, axis=1, mode="nearest")
    found = window_means(values, radius)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, ndimage.uniform_filter1d(rows, size, axis=2, mode="nearest"), atol=1e-6)
