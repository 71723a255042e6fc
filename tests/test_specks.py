"""Specks at the edges of an edit go; the photo's own and those of the new garment stay."""

from __future__ import annotations

import numpy as np
import pytest
from test_editing import PANTS, dressed

from scmnet_cli.inference.edits.editing import Edit
from scmnet_cli.inference.edits.specks import without_specks

SIZE = 40
GARMENT = (200.0, 150.0, 120.0)


def edit_with(colour) -> Edit:
    whole = np.ones((SIZE, SIZE), np.float32)
    return Edit(dressed(PANTS), colour, whole, whole)


def plain():
    return np.full((SIZE, SIZE, 3), GARMENT, np.float32)


PHOTO = np.full((SIZE, SIZE, 3), 90, np.uint8)
ZONE = np.ones((SIZE, SIZE), bool)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_few_dark_pixels_take_the_colours_around_them(size: int) -> None:
    spotted = plain()
    spotted[20 : 20 + size, 20 : 20 + size] = 10
    result = without_specks(edit_with(spotted), plain(), ZONE, PHOTO, PHOTO).over(PHOTO, PHOTO)
    assert abs(result - plain()).max() <= 1


def test_a_line_and_a_large_spot_stay() -> None:
    marked = plain()
    marked[10], marked[20:32, 20:32] = 10, 10
    result = without_specks(edit_with(marked), plain(), ZONE, PHOTO, PHOTO)
    assert np.array_equal(result.colour, marked)


def test_specks_of_the_garment_itself_and_of_the_photo_stay() -> None:
    dotted = plain()
    dotted[20, 20] = 10
    assert np.array_equal(without_specks(edit_with(dotted), dotted, ZONE, PHOTO, PHOTO).colour, dotted)
    photo = PHOTO.copy()
    photo[20, 20] = 10
    assert np.array_equal(without_specks(edit_with(dotted), plain(), ZONE, photo, photo).colour, dotted)


def test_nothing_changes_outside_the_zone() -> None:
    spotted = plain()
    spotted[20, 20] = 10
    nowhere = np.zeros_like(ZONE)
    assert np.array_equal(without_specks(edit_with(spotted), plain(), nowhere, PHOTO, PHOTO).colour, spotted)


def test_a_thin_dark_spot_that_runs_into_a_shadow_goes() -> None:
    scene = plain()
    scene[:, :20] = 20
    photo = np.full((SIZE, SIZE, 3), 15, np.uint8)
    spotted = scene.copy()
    spotted[18:20, 20:23] = 40
    result = without_specks(edit_with(spotted), plain(), ZONE, photo, photo).over(photo, photo)
    assert abs(result[18:20, 21:23] - scene[18:20, 21:23]).max() < 25
    assert abs(result[:, :19] - scene[:, :19]).max() <= 1, "the shadow stays"
