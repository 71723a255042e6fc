"""Background that an edit uncovers: filled with pieces of what is around it."""

from __future__ import annotations

import numpy as np
import pytest
from test_editing import PANTS, full_size, regions_of

from scmnet_cli.inference.edits import exemplar_filling
from scmnet_cli.inference.edits.exemplar_filling import exemplar_filled
from scmnet_cli.inference.edits.filling import torso_filled

RED = (250, 0, 0)


def fence() -> tuple[np.ndarray, np.ndarray]:
    """Return a wall above a fence, and a person in red before it."""
    rows, columns = np.mgrid[:160, :160]
    posts = np.where((columns % 8 < 3)[..., None], (40, 60, 80), (200, 190, 180))
    picture = np.where((rows < 60)[..., None], (120, 130, 140), posts).astype(np.uint8)
    person = (rows > 30) & (rows < 140) & (columns > 60) & (columns < 100)
    return np.where(person[..., None], np.uint8(RED), picture), person


def test_a_wall_and_a_fence_go_on_where_the_person_was() -> None:
    picture, person = fence()
    smooth = np.full(picture.shape, 127, np.float32)
    wanted = person & (np.arange(160) > 80)
    filled = exemplar_filled(picture, person, wanted, smooth)
    rows, columns = np.mgrid[:160, :160]
    true = np.where((columns % 8 < 3)[..., None], (40, 60, 80), (200, 190, 180))
    true = np.where((rows < 60)[..., None], (120, 130, 140), true)
    right = np.abs(filled - true).max(-1) < 20
    assert right[wanted].mean() > 0.85
    assert np.abs(smooth - true).max(-1)[wanted].min() > 5, "the smooth filling is wrong everywhere"


def test_only_wanted_pixels_are_filled_and_none_shows_the_person() -> None:
    picture, person = fence()
    wanted = person & (np.arange(160)[:, None] < 60)
    smooth = np.full(picture.shape, 127, np.float32)
    filled = exemplar_filled(picture, person, wanted, smooth)
    assert np.array_equal(filled[~wanted], smooth[~wanted])
    assert filled[wanted][:, 0].max() < 210


@pytest.mark.parametrize("solved", [10**6, 0], ids=["solved in the photo", "solved on the copy"])
def test_pieces_meet_without_seams_although_light_falls_off(solved: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exemplar_filling, "_MOST_SOLVED", solved)
    rows, columns = np.mgrid[:120, :120]
    light = (80 + columns).astype(np.uint8)
    picture = np.repeat(light[..., None], 3, axis=-1)
    hole = (abs(rows - 60) < 15) & (abs(columns - 60) < 15)
    filled = exemplar_filled(np.where(hole[..., None], np.uint8(0), picture), hole, hole, picture.astype(np.float32))
    steps = np.abs(np.diff(filled[45:75, 40:80, 0], axis=1))
    assert steps.max() < 8
    assert np.abs(filled - picture).max() < 25


def test_nothing_wanted_or_nothing_known_leaves_the_smooth_filling() -> None:
    picture, person = fence()
    smooth = np.full(picture.shape, 127, np.float32)
    assert np.array_equal(exemplar_filled(picture, person, np.zeros_like(person), smooth), smooth)
    everywhere = np.ones_like(person)
    assert np.array_equal(exemplar_filled(picture, everywhere, everywhere, smooth), smooth)


def test_cloth_that_arms_hid_keeps_the_edge_of_its_pattern() -> None:
    wearer = full_size(PANTS, "wearer", {})
    torso = regions_of(wearer, "upper")
    rows, columns = np.mgrid[: torso.shape[0], : torso.shape[1]]
    middle, row = (round(float(np.median(places[torso]))) for places in (columns, rows))
    slanted = columns - middle > (rows - row) * 0.8
    colour = np.where(slanted[..., None], np.float32((200, 30, 40)), np.float32((120, 125, 130)))
    gap = torso & (abs(rows - row) < 9) & (abs(columns - middle) < 12)
    cover = (torso & ~gap).astype(np.float32)
    filled_cover, filled = torso_filled(wearer, cover, np.where(gap[..., None], np.float32(0), colour))
    assert filled_cover[gap].min() == 1
    red = filled[..., 0] > 160
    assert (red == slanted)[gap].mean() > 0.9
