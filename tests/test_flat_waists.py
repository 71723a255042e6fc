"""Waists of flat trousers: the inside of the back with its label goes, what has no such edge stays."""

from __future__ import annotations

import numpy as np

from scmnet_cli.inference.edits.flat_waists import without_inside

HEIGHT, WIDTH = 200, 160
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
MASK = (ROWS >= 20) & (COLUMNS >= 30) & (COLUMNS < 130)
FRONT = 20 + 12 * (1 - (2 * (COLUMNS - 30) / 99 - 1) ** 2)


def trousers(inside: tuple[int, int, int]):
    image = np.full((HEIGHT, WIDTH, 3), 230, np.uint8)
    image[MASK] = (70, 110, 150)
    image[MASK & (ROWS < FRONT)] = inside
    image[(ROWS >= 22) & (ROWS < 28) & (COLUMNS >= 72) & (COLUMNS < 86)] = (10, 10, 10)  # a label
    return image


def test_the_inside_of_the_back_goes_with_its_label() -> None:
    kept = without_inside(trousers((40, 60, 90)), MASK)
    assert not kept[22:28, 72:86].any()
    front = MASK & (ROWS > FRONT + 2)
    assert (kept & front).sum() > 0.99 * front.sum()
    back = MASK & (ROWS < FRONT - 2)
    assert (kept & back).sum() < 0.1 * back.sum()


def test_trousers_without_such_an_edge_stay_whole() -> None:
    image = np.full((HEIGHT, WIDTH, 3), 230, np.uint8)
    image[MASK] = (70, 110, 150)
    image[:, COLUMNS[0] % 9 < 4] = 60  # stripes along the legs
    assert np.array_equal(without_inside(image, MASK), MASK)


def test_nothing_and_a_narrow_strip_stay() -> None:
    empty = np.zeros_like(MASK)
    assert np.array_equal(without_inside(trousers((40, 60, 90)), empty), empty)
    strip = MASK & (COLUMNS < 45)
    assert np.array_equal(without_inside(trousers((40, 60, 90)), strip), strip)
