"""An edited crop is put back into its photo: only the person changes, and the background goes on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from scmnet_cli.images import PLAIN_GREY, CropBox
from scmnet_cli.inference.edits.editing import Edit
from scmnet_cli.inference.edits.recolouring import Outlines
from scmnet_cli.inference.inputs.framed import Framed
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.types import Canvas, Person

CANVAS = Canvas(64, 48)


def framed(background: str = "plain") -> Framed:
    random = np.random.default_rng(0)
    photo = random.integers(0, 200, (120, 160, 3), dtype=np.uint8)
    regions = np.zeros((120, 160), np.uint8)
    regions[30:90, 60:90] = region_id("upper")
    person = Person("a", photo, regions, np.ones((18, 3), np.float32))
    crop = CropBox(50, 20, 60, 80, CANVAS)
    cropped = Person("a", crop.crop_image(photo, PLAIN_GREY), crop.crop_labels(regions), person.joints)
    return Framed(person, cropped, crop, background)


@pytest.mark.parametrize("background", ["plain", "keep"])
def test_the_photo_is_unchanged_away_from_the_person(background: str) -> None:
    given = framed(background)
    drawn = np.full((64, 48, 3), PLAIN_GREY, np.uint8)
    drawn[8:56, 10:30] = (250, 0, 0)
    whole = given.put_back(drawn)
    assert whole.shape == given.photo.image.shape
    changed = (whole != given.photo.image).any(2)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    assert rows[0] >= 26
    assert rows[-1] <= 94
    assert columns[0] >= 56
    assert columns[-1] <= 94
    assert tuple(whole[60, 75]) == (250, 0, 0)


def test_uncovered_areas_are_filled_with_the_surroundings() -> None:
    given = framed()
    drawn = np.full((64, 48, 3), PLAIN_GREY, np.uint8)
    drawn[8:24, 10:30] = (250, 0, 0)
    whole = given.put_back(drawn)
    assert tuple(whole[40, 75]) == (250, 0, 0)
    below = whole[60:80, 65:85].astype(int)
    assert not (below == (250, 0, 0)).all(2).any()
    assert abs(below.mean() - given.photo.image.mean()) < 40
    assert below.std() < 0.7 * given.photo.image.std()


def test_a_crop_beyond_the_photo_is_put_back_in_place() -> None:
    given = framed()
    beyond = Framed(given.photo, given.cropped, CropBox(40, -30, 150, 200, CANVAS), "plain")
    drawn = np.full((64, 48, 3), (0, 0, 250), np.uint8)
    whole = beyond.put_back(drawn)
    assert whole.shape == (120, 160, 3)
    assert (whole[:, :40] == given.photo.image[:, :40]).all()
    assert tuple(whole[60, 120]) == (0, 0, 250)


def edit_of(given: Framed) -> Edit:
    colour = np.full((64, 48, 3), (0, 200, 0), np.float32)
    area = np.zeros((64, 48), np.float32)
    area[20:40, 15:30] = 1
    return Edit(given.cropped, colour, np.full((64, 48), 0.9, np.float32), area)


def test_lines_of_the_background_go_on_where_an_edit_uncovers_it() -> None:
    given = framed()
    stripes = np.broadcast_to((np.arange(120)[:, None, None] // 6 % 2 * 150 + 50), (120, 160, 3)).astype(np.uint8)
    person = given.photo.regions != BACKGROUND
    photo = np.where(person[..., None], np.uint8(255), stripes)
    given = replace(given, photo=replace(given.photo, image=photo))
    whole = np.ones((64, 48), np.float32)
    empty = Edit(given.cropped, np.zeros((64, 48, 3), np.float32), np.zeros_like(whole), whole)
    uncovered = given.put_back_edit(empty)[person].astype(int)
    assert abs(uncovered - stripes[person]).mean() < 15


def test_wisps_of_removed_hair_are_filled_with_the_background() -> None:
    given = framed()
    person = given.photo.regions != BACKGROUND
    wisp = np.zeros((64, 48), np.bool_)
    wisp[10:54, 44:46] = True  # away from the person
    shown = given.crop.crop_labels(person.astype(np.uint8)) > 0
    photo = np.where(person[..., None], np.uint8(255), np.uint8(60)) * np.ones(3, np.uint8)
    left, top, width, height = given.place["crop"]
    whole = np.asarray(Image.fromarray(wisp.astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST))
    at = np.zeros(person.shape, np.bool_)
    at[top : top + height, left : left + width] = whole > 0
    photo[at] = 200
    given = replace(given, photo=replace(given.photo, image=photo))
    nothing = np.zeros_like(wisp)
    area, opacity = wisp.astype(np.float32), np.zeros(wisp.shape, np.float32)
    ends = Outlines(nothing, nothing, nothing, nothing, ~shown, nothing, wisp)
    gone = given.put_back_edit(Edit(given.cropped, np.zeros((64, 48, 3), np.float32), opacity, area, ends))
    assert abs(np.median(gone[at], axis=0) - 60).max() < 15


def test_the_colours_beside_an_edit_do_not_show_at_its_edge() -> None:
    given = framed()
    edit = edit_of(given)
    opaque = replace(edit, opacity=np.ones_like(edit.opacity))
    garish = replace(opaque, colour=np.where(edit.area[..., None] > 0, edit.colour, np.float32(255)))
    assert np.array_equal(given.put_back_edit(garish), given.put_back_edit(opaque))


def test_what_is_behind_an_opaque_edit_does_not_show_at_its_edge() -> None:
    given = framed()
    edit = edit_of(given)
    opaque = replace(edit, opacity=np.ones_like(edit.opacity))
    cut_out = replace(edit, opacity=edit.area)
    assert np.array_equal(given.put_back_edit(cut_out), given.put_back_edit(opaque))


@pytest.mark.parametrize("background", ["plain", "keep"])
def test_strips_give_the_same_picture_as_the_whole_at_once(background: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = framed(background)
    drawn = np.random.default_rng(1).integers(0, 255, (64, 48, 3), dtype=np.uint8)
    at_once = given.put_back(drawn).astype(int), given.put_back_edit(edit_of(given)).astype(int)
    monkeypatch.setattr("scmnet_cli.inference.inputs.framed._STRIP_PIXELS", 60 * 7)
    in_strips = given.put_back(drawn), given.put_back_edit(edit_of(given))
    for whole, strips in zip(at_once, in_strips, strict=True):
        assert np.abs(whole - strips).max() <= 1
        assert (whole != given.photo.image).any()


def test_a_large_crop_is_worked_on_small_and_stays_as_it_is_away_from_the_person(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = framed()
    drawn = np.full((64, 48, 3), PLAIN_GREY, np.uint8)
    drawn[8:56, 10:30] = (250, 0, 0)
    exact = given.put_back(drawn).astype(int), given.put_back_edit(edit_of(given)).astype(int)
    monkeypatch.setattr("scmnet_cli.inference.inputs.framed._WORKED_ON", 60 * 80 // 4)
    small = given.put_back(drawn), given.put_back_edit(edit_of(given))
    for whole, found in zip(exact, small, strict=True):
        assert np.abs(whole - found).mean() < 3  # noise; nothing put back would be 20
        same = (found == given.photo.image).all(2)
        same[24:96, 54:96] = True
        assert same.all()
        assert (found != given.photo.image).any()
