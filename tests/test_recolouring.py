"""Edges of an edit in the photo: they stay as soft as they were, without a rim of the old garment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from test_editing import PANTS, dressed

from scmnet_cli.inference.edits.editing import Edit
from scmnet_cli.inference.edits.recolouring import Outlines, between_regions, recoloured
from scmnet_cli.regions import region_id

SIZE, RADIUS = 680, 160
WHITE, DARK, RED = (240.0, 240.0, 240.0), (30.0, 40.0, 30.0), (200.0, 20.0, 30.0)


def distance():
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return np.hypot(rows - SIZE / 2, columns - SIZE / 2)


def picture(blur: float = 1.2, old=WHITE):
    """Return a photo of a disc, whose edge is blurred, on a dark background; and the disc's share of each pixel."""
    share = ndimage.gaussian_filter((distance() < RADIUS).astype(np.float32), blur)[..., None]
    return (share * np.asarray(old) + (1 - share) * np.asarray(DARK)).round().astype(np.uint8), share


def red_disc(old_radius: float = RADIUS, new_radius: float = RADIUS, kept=None) -> Edit:
    new, old = distance() < new_radius, distance() < old_radius
    area = new.astype(np.float32)
    nothing = np.zeros_like(new)
    outlines = Outlines(new, old, nothing if kept is None else kept, nothing, nothing, nothing, nothing)
    return Edit(dressed(PANTS), np.full((SIZE, SIZE, 3), RED, np.float32), area, area, outlines)


def drawn(edit: Edit, photo):
    return edit.over(photo, np.full_like(photo, 128)).astype(float)


def test_a_soft_edge_stays_soft_in_the_new_colour() -> None:
    photo, share = picture()
    result = drawn(recoloured(red_disc(), photo, photo), photo)
    exact = share * np.asarray(RED) + (1 - share) * np.asarray(DARK)
    ring = abs(distance() - RADIUS) < 3
    assert abs(result[ring] - exact[ring]).mean() < 6
    assert abs(drawn(red_disc(), photo)[ring] - exact[ring]).mean() > 15, "without it the old edge shows"


def test_no_rim_of_the_old_garment_stays_though_the_map_misses_its_edge() -> None:
    photo, _ = picture()
    result = drawn(recoloured(red_disc(RADIUS - 1.5, RADIUS - 1.5), photo, photo), photo)
    ring = abs(distance() - RADIUS) < 3
    assert result[ring][:, 1].max() < 90
    assert drawn(red_disc(RADIUS - 1.5, RADIUS - 1.5), photo)[ring][:, 1].max() > 180


def test_far_from_the_edge_nothing_changes() -> None:
    photo, _ = picture()
    result = recoloured(red_disc(), photo, photo)
    away = abs(distance() - RADIUS) > 8
    assert np.array_equal(result.area[away], red_disc().area[away])
    assert np.array_equal(result.colour[away], red_disc().colour[away])


def test_where_the_new_garment_ends_elsewhere_its_own_edge_stays() -> None:
    photo, _ = picture()
    edit = red_disc(new_radius=RADIUS + 10)
    assert np.array_equal(recoloured(edit, photo, photo).colour, edit.colour)
    assert np.array_equal(recoloured(edit, photo, photo).area, edit.area)


def test_edges_are_near_outlines_of_the_region_map() -> None:
    wearer = dressed(PANTS)
    near = between_regions(wearer)
    trousers = wearer.regions == region_id("pants")
    inner = ndimage.binary_erosion(trousers, iterations=5)
    assert inner.any()
    assert not near[inner].any()
    assert near[trousers & ~ndimage.binary_erosion(trousers)].all()


def test_kept_pixels_are_not_recoloured() -> None:
    photo, _ = picture()
    kept = np.zeros((SIZE, SIZE), bool)
    kept[:, : SIZE // 2] = True
    edit = red_disc(kept=kept)
    found = recoloured(edit, photo, photo)
    assert np.array_equal(found.colour[:, : SIZE // 2], edit.colour[:, : SIZE // 2])
    assert not np.array_equal(found.colour[:, SIZE // 2 :], edit.colour[:, SIZE // 2 :])


def test_no_rim_of_a_removed_garment_stays_around_a_hand_before_it() -> None:
    hand = distance() < RADIUS + 1.5  # the map gives it some of the cloth
    photo, share = picture(old=(220.0, 170.0, 140.0))
    nothing = np.zeros_like(hand)
    colour, area = np.zeros((SIZE, SIZE, 3), np.float32), (~hand).astype(np.float32)
    edit = Edit(
        dressed(PANTS),
        colour,
        np.zeros_like(area),
        area,
        Outlines(nothing, ~hand, nothing, hand, nothing, hand, nothing),
    )
    behind = np.full_like(photo, 240)
    found = recoloured(edit, photo, behind)
    ring = abs(distance() - RADIUS) < 5
    exact = share * (220, 170, 140) + (1 - share) * 240
    assert abs(found.over(photo, behind)[ring] - exact[ring]).mean() < 8
    assert found.over(photo, behind)[ring].min() > 120
    assert edit.over(photo, behind)[ring].min() < 80, "without it the dark cloth shows"
    inner = distance() < RADIUS - 8
    assert np.array_equal(found.over(photo, behind)[inner], photo[inner])


def test_an_edge_that_no_colour_shows_is_soft() -> None:
    hand = distance() < RADIUS
    photo = np.full((SIZE, SIZE, 3), 90, np.uint8)
    nothing, area = np.zeros_like(hand), (~hand).astype(np.float32)
    colour = np.full((SIZE, SIZE, 3), RED, np.float32)
    found = recoloured(
        Edit(dressed(PANTS), colour, area, area, Outlines(~hand, ~hand, nothing, hand, nothing, hand, nothing)),
        photo,
        photo,
    )
    red = found.over(photo, photo)[SIZE // 2, :, 0].astype(int)
    assert abs(np.diff(red)).max() < 80, "in two steps or more"


@pytest.mark.parametrize("outlines", ["none", "apart", "everywhere"])
def test_without_a_common_outline_an_edit_stays_as_it_is(outlines: str) -> None:
    photo, _ = picture()
    edit, nothing, all_of_it = red_disc(), np.zeros((SIZE, SIZE), bool), np.ones((SIZE, SIZE), bool)
    given = {
        "none": None,
        "apart": Outlines(distance() < 100, distance() > 200, *[nothing] * 5),
        "everywhere": Outlines(all_of_it, all_of_it, *[nothing] * 5),
    }
    edit = replace(edit, outlines=given[outlines])
    assert recoloured(edit, photo, photo) is edit


def test_outlines_of_two_edits_are_joined() -> None:
    nothing = np.zeros((4, 4), bool)
    top, bottom = nothing.copy(), nothing.copy()
    top[:2], bottom[2:] = True, True
    first = Outlines(top, nothing, nothing, top, bottom, top, top)
    second = Outlines(bottom, top, bottom, bottom, bottom, bottom, bottom)
    assert first.joined(second).new.all()
    assert np.array_equal(first.joined(second).old, top)
    assert np.array_equal(first.joined(second).front, bottom), "the second edit replaced what lay in front"
    assert np.array_equal(first.joined(second).fine, bottom)
    assert first.joined(None) is first


def test_no_spots_of_a_pattern_stay_at_the_edge() -> None:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    dots = np.where((((rows // 8) + (columns // 8)) % 2 == 0)[..., None], WHITE, (20.0, 20.0, 60.0))
    share = ndimage.gaussian_filter((distance() < RADIUS).astype(np.float32), 1.2)[..., None]
    photo = (share * dots + (1 - share) * np.asarray(DARK)).round().astype(np.uint8)
    result = drawn(recoloured(red_disc(), photo, photo), photo)
    ring = abs(distance() - RADIUS) < 2
    exact = share * np.asarray(RED) + (1 - share) * np.asarray(DARK)
    assert np.quantile(abs(result[ring] - exact[ring]).max(-1), 0.95) < 80


def test_a_hand_keeps_its_edge_where_the_new_garment_covers_the_background_beside_it() -> None:
    hand = distance() < RADIUS
    photo, share = picture()  # a pale hand on a dark background
    nothing, area = np.zeros_like(hand), (~hand).astype(np.float32)
    outlines = Outlines(~hand & (distance() < 2 * RADIUS), nothing, nothing, hand, ~hand, hand, nothing)
    edit = Edit(dressed(PANTS), np.full((SIZE, SIZE, 3), RED, np.float32), area, area, outlines)
    ring = abs(distance() - RADIUS) < 3
    exact = share * np.asarray(WHITE) + (1 - share) * np.asarray(RED)
    result = drawn(recoloured(edit, photo, photo), photo)
    assert abs(result[ring] - exact[ring]).mean() < 8
    assert abs(drawn(edit, photo)[ring] - exact[ring]).mean() > 12, "without it a dark line surrounds the hand"


def test_steps_of_the_map_do_not_show_where_no_colour_tells_the_edge() -> None:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    steps = np.hypot(rows // 4 * 4 + 1.5 - SIZE / 2, columns // 4 * 4 + 1.5 - SIZE / 2) < RADIUS
    nothing, area = np.zeros_like(steps), steps.astype(np.float32)
    photo = np.full((SIZE, SIZE, 3), 90, np.uint8)
    colour = np.full((SIZE, SIZE, 3), RED, np.float32)
    outlines = Outlines(steps, steps, *[nothing] * 5)
    result = drawn(recoloured(Edit(dressed(PANTS), colour, area, area, outlines), photo, photo), photo)
    share = (result[..., 0] - 90) / (RED[0] - 90)
    ring = abs(distance() - RADIUS) < 4
    exact = (RADIUS - distance() + 0.5).clip(0, 1)
    assert abs(share - exact)[ring].max() < 0.85, "a step would be 1"


def test_the_dots_of_a_top_before_trousers_of_their_colour_stay() -> None:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    navy = (20, 20, 60)
    top = rows < SIZE // 2
    dots = np.where((((rows // 6) + (columns // 6)) % 2 == 0)[..., None], (240, 240, 240), navy)
    photo = np.where(top[..., None], dots, navy).astype(np.uint8)
    nothing, area = np.zeros_like(top), (~top).astype(np.float32)
    outlines = Outlines(~top, ~top, nothing, top, nothing, nothing, nothing)
    edit = Edit(dressed(PANTS), np.full((SIZE, SIZE, 3), (190.0, 210.0, 250.0), np.float32), area, area, outlines)
    result = drawn(recoloured(edit, photo, photo), photo)
    above = slice(SIZE // 2 - 5, SIZE // 2 - 2), slice(20, -20)
    assert abs(result - photo)[above].mean() < 10


def test_no_hue_of_the_old_garment_stays_beside_the_new_one() -> None:
    photo, _ = picture(old=(90.0, 110.0, 230.0))
    rim = (distance() > RADIUS) & (distance() < RADIUS + 4)
    photo[rim] = (photo[rim] * 0.7 + np.asarray((50, 60, 120)) * 0.3).astype(np.uint8)  # shaded cloth at the edge
    edit = red_disc()
    result = drawn(recoloured(edit, photo, photo), photo)
    beyond = (distance() > RADIUS + 1) & (distance() < RADIUS + 2.5)
    assert (result[beyond][:, 2] - result[beyond][:, 1]).mean() < 4


def test_where_an_edit_shows_the_background_an_unclear_edge_does_too() -> None:
    photo, _ = picture()
    rim = abs(distance() - RADIUS) < 4
    photo[rim] = (20, 160, 20)  # neither the garment nor what is beside it
    edit = red_disc()
    area = np.where(distance() < RADIUS + 12, np.float32(1), edit.area)
    found = recoloured(replace(edit, area=area), photo, np.full_like(photo, 100))
    result = found.over(photo, np.full_like(photo, 100)).astype(float)
    beyond = (distance() > RADIUS + 2) & (distance() < RADIUS + 4)
    assert abs(result[beyond] - 100).mean() < 10
