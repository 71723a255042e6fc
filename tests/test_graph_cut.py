"""The minimum cut that divides doubtful pixels between two sides by colours and edges."""

from __future__ import annotations

import numpy as np

from scmnet_cli.inference.graph_cut import inside_of_cut, told_apart

SIZE = 60


def halves(left, right, noise: float = 6):
    """Return a photo of two colours that meet in the middle, and the column of each pixel."""
    columns = np.broadcast_to(np.arange(SIZE)[None], (SIZE, SIZE))
    image = np.where((columns < SIZE // 2)[..., None], left, right).astype(float)
    image += np.random.default_rng(0).normal(0, noise, image.shape)
    return image.round().clip(0, 255).astype(np.uint8), columns


def test_doubtful_pixels_are_divided_where_the_colour_changes() -> None:
    image, columns = halves((60, 60, 80), (180, 170, 160))
    inside, outside = columns < 10, columns > 50
    found = inside_of_cut(image, inside, outside, ~inside & ~outside)
    assert np.array_equal(found, (columns >= 10) & (columns < SIZE // 2))


def test_colours_a_little_apart_divide_too_though_another_edge_is_clearer() -> None:
    image, columns = halves((46, 50, 62), (24, 31, 47), noise=3)  # trousers, and a shadow on pale ground
    image[:, 40:] = (170, 165, 155)
    inside, outside = columns < 10, columns > 34
    found = inside_of_cut(image, inside, outside, ~inside & ~outside)
    assert abs(int(found.any(0).nonzero()[0].max()) - (SIZE // 2 - 1)) <= 1


def test_without_sure_pixels_of_both_sides_all_are_inside() -> None:
    image, columns = halves((60, 60, 80), (180, 170, 160))
    doubtful = columns > 20
    assert np.array_equal(inside_of_cut(image, columns < 10, columns > SIZE, doubtful), doubtful)


def test_typical_colours_are_those_of_the_inside_though_they_are_not_sure() -> None:
    image, columns = halves((200, 150, 130), (240, 225, 220), noise=2)  # a hand, and a sunlit part of it
    image[:, 50:] = (200, 235, 250)
    inside, outside, hand = columns < 10, columns >= 50, columns < 50
    doubtful = hand & ~inside
    assert inside_of_cut(image, inside, outside, doubtful, hand)[doubtful].all()
    assert not inside_of_cut(image, inside, outside, doubtful)[:, 40].any()


def test_colours_tell_sides_apart_only_if_they_differ() -> None:
    image, columns = halves((60, 60, 80), (180, 170, 160))
    left, right = columns < SIZE // 2, columns >= SIZE // 2
    assert told_apart(image, left, right) > 0.95
    assert told_apart(image, left & (columns % 2 == 0), left & (columns % 2 == 1)) < 0.05
    assert told_apart(image, left, columns > SIZE) == 0
