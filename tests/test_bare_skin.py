"""Legs that an edit bares: their light, colour and width are those of the leg that shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage
from test_editing import PANTS, full_size, regions_of
from test_fitting import relabelled

from scmnet_cli.images import PLAIN_GREY
from scmnet_cli.inference.edits.bare_skin import _rounded, bare_limbs, legs_continued, like_skin
from scmnet_cli.inference.edits.uncovered import frayed
from scmnet_cli.inference.limb_places import limb_places, torso_length
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import FloatArray, Person


def test_a_bared_leg_has_the_light_of_the_leg_below() -> None:
    person = full_size(PANTS, "wearer", {})
    legs = regions_of(person, "pants")
    place, away = limb_places(person)[2]
    limb = (away < 0.1) & (place > 0.2) & (place < 1.8) & (away < limb_places(person)[3][1])
    skin = limb & (place < 1.2)
    person = relabelled(person, legs, "background", PLAIN_GREY)
    person = relabelled(person, limb & ~skin, "legs")
    bone = np.interp(np.arange(len(legs)), person.joints[[8, 9, 10], 1], person.joints[[8, 9, 10], 0])[:, None]
    lit = np.arange(legs.shape[1]) > bone
    image = person.image.copy()
    image[limb & lit], image[limb & ~lit] = (230, 190, 160), (120, 80, 60)
    person = replace(person, image=image)
    drawn = legs_continued(person, np.zeros((*legs.shape, 3), np.float32), skin)
    edge = abs(np.arange(legs.shape[1]) - bone) > 0.05 * torso_length(person)
    assert drawn[skin & lit & edge].mean() > drawn[skin & ~lit & edge].mean() + 50
    assert (drawn[~skin] == 0).all()
    without = relabelled(person, regions_of(person, "legs"), "background")
    assert (legs_continued(without, np.zeros((*legs.shape, 3), np.float32), skin) == 0).all(), "no leg shows"


def bared_leg() -> tuple[Person, FloatArray, FloatArray, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return a wearer whose trousers go above a bare shin, places on that leg, its pixels, and those that are bared."""
    person = full_size(PANTS, "wearer", {})
    place, away = limb_places(person)[2]
    limb = (away < 0.1) & (place > 0.2) & (place < 1.8) & (away < limb_places(person)[3][1])
    skin = limb & (place < 1.2)
    person = relabelled(person, regions_of(person, "pants"), "background", PLAIN_GREY)
    return relabelled(person, limb & ~skin, "legs", (230, 180, 150)), place, away, limb, skin


def test_a_bared_leg_meets_the_leg_below_without_a_step_in_colour() -> None:
    person, place, away, limb, skin = bared_leg()
    shade = limb & (place >= 1.2) & (place < 1.3)
    image = person.image.copy()
    image[shade] = (150, 110, 90)  # below the old hem the leg lies in shadow
    person = replace(person, image=image)
    drawn = legs_continued(person, np.zeros((*skin.shape, 3), np.float32), skin)
    assert abs(drawn[skin & (place > 1.17) & (away < 0.05)] - (150, 110, 90)).mean() < 10
    assert drawn[skin & (place < 0.3) & (away < 0.05)].mean() > 140, "farther up it is lit"


def test_socks_and_ground_are_no_skin() -> None:
    person = full_size(PANTS, "wearer", {})
    legs = regions_of(person, "pants")
    skin = np.median(person.image[regions_of(person, "face", "arms")], axis=0)
    for colour, found in ((skin, True), (skin * 0.6, True), ((235, 235, 240), False), ((120, 118, 118), False)):
        assert like_skin(relabelled(person, legs, "legs", colour))[legs].all() == found, colour


def test_a_bared_leg_is_as_wide_as_the_leg_that_shows() -> None:
    person = full_size(PANTS, "wearer", {})
    person = relabelled(person, regions_of(person, "pants"), "background")
    widths = []
    for half in (0.06, 0.12):
        shown = np.zeros(person.regions.shape, bool)
        for place, away in limb_places(person)[2:]:
            shown |= (away < half) & (place > 1.2) & (place < 1.7)
        inside, _ = bare_limbs(relabelled(person, shown, "legs"))
        knee = round(float(person.joints[JOINTS.index("right_knee"), 1]))
        widths.append(int((inside[knee] > 0.5).sum()))
    assert widths[0] < 0.8 * widths[1]


def test_a_bared_leg_is_as_wide_on_each_side_as_the_leg_below_where_they_meet() -> None:
    person = full_size(PANTS, "wearer", {})
    place, away = limb_places(person)[2]
    bone = np.interp(np.arange(len(away)), person.joints[[8, 9, 10], 1], person.joints[[8, 9, 10], 0])[:, None]
    outer = np.arange(away.shape[1]) < bone
    mine = away < limb_places(person)[3][1]
    leg = mine & (away < np.where(outer, 0.15, 0.08)) & (place > 1.2) & (place < 1.8)
    person = relabelled(person, regions_of(person, "pants"), "background", PLAIN_GREY)
    person = relabelled(person, leg, "legs")
    inside, _ = bare_limbs(person)
    above = mine & (place > 1.1) & (place < 1.18)
    assert (inside[above & outer & (away > 0.115) & (away < 0.132)] > 0.5).mean() > 0.7
    assert (inside[above & ~outer & (away > 0.1) & (away < 0.12)] > 0.5).mean() < 0.2


def test_a_bared_leg_has_no_step_where_the_leg_begins_to_show() -> None:
    person = full_size(PANTS, "wearer", {})
    person = relabelled(person, regions_of(person, "pants"), "background", PLAIN_GREY)
    place, away = limb_places(person)[2]
    mine = away < limb_places(person)[3][1]
    shown = mine & (place > 1.4) & (away < 0.07)
    person = relabelled(person, shown & (place < 1.85), "legs")
    person = relabelled(person, mine & (place > 0.2) & (place <= 1.4) & (away < 0.2), "pants")
    first = np.flatnonzero((shown & (place < 1.85)).any(1))[0]
    widths = (bare_limbs(person)[0] * mine)[first - 12 : first + 8].sum(1)
    assert abs(np.diff(widths)).max() < 0.9


def test_a_spot_of_shadow_at_the_ankle_is_no_stripe_along_the_leg() -> None:
    person, place, _, limb, skin = bared_leg()
    bone = np.interp(np.arange(len(skin)), person.joints[[8, 9, 10], 1], person.joints[[8, 9, 10], 0])[:, None]
    columns = np.arange(skin.shape[1])
    spot = limb & (place >= 1.2) & (place < 1.5) & (columns > bone + 3) & (columns < bone + 8)
    image = person.image.copy()
    image[spot] = (190, 110, 90)
    drawn = legs_continued(replace(person, image=image), np.zeros((*skin.shape, 3), np.float32), skin)
    row = np.flatnonzero((skin & (place > 0.3)).any(1))[0]
    above = drawn[row, (columns > bone[row] + 3) & (columns < bone[row] + 8), 1]
    assert above.mean() > 145, "most of the leg has 180"


def test_shoes_keep_their_upper_edge_where_trousers_above_them_go() -> None:
    person = full_size(PANTS, "wearer", {})
    place, away = limb_places(person)[2]
    mine = away < limb_places(person)[3][1]
    trousers, below = mine & (away < 0.12) & (place > 0.3) & (place < 1.97), mine & (away < 0.12) & (place >= 1.97)
    person = relabelled(person, regions_of(person, "pants") | regions_of(person, "legs"), "background", PLAIN_GREY)
    person = relabelled(relabelled(person, trousers, "pants"), below, "legs", (90, 50, 30))
    size = torso_length(person)
    shoe = below & (ndimage.distance_transform_edt(~trousers) > 0.012 * size)
    assert below.any()
    assert not frayed(person, trousers)[shoe].any()
    bare = mine & (away < 0.12) & (place > 1.2) & (place < 1.6)
    ankle = relabelled(relabelled(person, mine & (place < 1.2) & (away < 0.12), "pants"), bare, "legs", (220, 170, 140))
    assert frayed(ankle, mine & (place < 1.2) & (away < 0.12))[bare].any(), "skin mixes farther"


@pytest.mark.parametrize("slices", [[0], [16], [0, 16], [5]])
def test_a_leg_of_which_one_slice_shows_has_light_across_it(slices: list[int]) -> None:
    counts = np.full(len(slices), 20)
    curve = _rounded(np.array(slices), np.full(len(slices), 100, np.float32), counts)
    assert curve.shape == (17,)
    assert np.isfinite(curve).all()
    assert abs(curve[slices] - 1).max() < 0.3
