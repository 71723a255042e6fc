"""Bared legs lead into shoes of which long trousers showed only the front."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_editing import PANTS, full_size, regions_of
from test_fitting import relabelled

from scmnet_cli.images import PLAIN_GREY
from scmnet_cli.inference.edits.bare_skin import bare_limbs
from scmnet_cli.inference.edits.shoe_tops import aimed_at_shoes, shoe_openings, with_feet, with_soft_edge
from scmnet_cli.inference.limb_places import limb_places, torso_length
from scmnet_cli.skeleton import JOINTS

SHOE = (90, 40, 20)


def in_wide_trousers(colour=SHOE, beside: float = 0.06):
    """Return a person with one shoe below wide trousers, beside the ankle that the joints have; trousers, and shoe."""
    person = full_size(PANTS, "wearer", {})
    person = relabelled(person, regions_of(person, "pants") | regions_of(person, "legs"), "background", PLAIN_GREY)
    size = torso_length(person)
    ankle = person.joints[JOINTS.index("right_ankle")]
    rows, columns = np.mgrid[: len(person.regions), : person.regions.shape[1]]
    mine = limb_places(person)[2][1] < limb_places(person)[3][1]
    hem = round(ankle[1] + 0.04 * size)
    away = abs(columns - ankle[0] + beside * size)
    trousers = mine & (rows < hem) & (rows > ankle[1] - 0.8 * size) & (away < 0.15 * size)
    shoe = mine & (rows >= hem) & (rows < hem + 0.1 * size) & (away < 0.08 * size)
    assert shoe.any()
    return relabelled(relabelled(person, trousers, "pants"), shoe, "legs", colour), trousers, shoe


def test_a_bared_leg_ends_in_its_shoe_though_the_ankle_lay_beside_it() -> None:
    person, trousers, shoe = in_wide_trousers()
    row = np.flatnonzero(shoe.any(1))[0] - 2
    middle = np.flatnonzero(shoe.any(0)).mean()
    before, after = (bare_limbs(one)[0][row] * trousers[row] for one in (person, aimed_at_shoes(person, trousers)))
    places = np.arange(len(before))
    off = [abs(np.average(places, weights=inside) - middle) for inside in (before, after)]
    assert off[1] < 1.5
    assert off[0] > 2 * off[1] + 1


def test_the_opening_of_a_shoe_is_round_and_as_wide_as_most_of_it() -> None:
    person, trousers, shoe = in_wide_trousers()
    opening = shoe_openings(person, trousers)
    assert opening.any()
    assert not (opening & ~shoe).any()
    depths = opening.sum(0)[shoe.any(0)]
    assert depths[len(depths) // 2] == depths.max()
    assert depths[0] == depths[-1] == 0
    assert depths.max() < 0.5 * shoe.sum(0).max()


def test_a_bared_foot_fills_the_opening_of_a_shoe() -> None:
    person, trousers, shoe = in_wide_trousers()
    opening = shoe_openings(person, trousers)
    legs = np.where(shoe, np.float32(0), bare_limbs(aimed_at_shoes(person, trousers))[0])
    feet = with_feet(person, trousers, legs)
    assert (feet[opening] == 1).all()
    above = np.flatnonzero(shoe.any(1))[0] - 1
    assert feet[above].sum() > legs[above].sum(), "the leg widens to the edge of the shoe"
    assert np.array_equal(feet[: above - 20], legs[: above - 20])


@pytest.mark.parametrize(
    "case", ["bare feet", "whole shoes", "narrow trousers", "shoes apart from the cloth", "unknown knee"]
)
def test_legs_that_do_not_end_in_shoes_below_the_cloth_stay_as_they_are(case: str) -> None:
    person, trousers, shoe = in_wide_trousers((225, 180, 150) if case == "bare feet" else SHOE)
    if case == "whole shoes":
        below = trousers & (np.arange(len(trousers))[:, None] > np.flatnonzero(trousers.any(1))[-1] - 20)
        person, trousers = relabelled(person, below, "legs", SHOE), trousers & ~below
    if case == "narrow trousers":
        middle = np.flatnonzero(shoe.any(0)).mean()
        trousers = trousers & (abs(np.arange(trousers.shape[1]) - middle) < 0.03 * torso_length(person))
    if case == "shoes apart from the cloth":
        trousers = trousers & (np.arange(len(trousers))[:, None] < np.flatnonzero(trousers.any(1))[-1] - 30)
    if case == "unknown knee":
        joints = person.joints.copy()
        joints[JOINTS.index("right_knee"), 2] = 0
        person = replace(person, joints=joints)
    else:
        assert not shoe_openings(person, trousers).any()
    assert np.array_equal(aimed_at_shoes(person, trousers).joints, person.joints)


def test_only_the_edge_of_an_opening_is_softened() -> None:
    colour = np.zeros((20, 20, 3), np.float32)
    opening = np.zeros((20, 20), bool)
    opening[5:10, 5:15] = True
    colour[:10] = 200
    shown = np.zeros_like(opening)
    shown[10:15, 5:15] = True
    soft = with_soft_edge(colour, opening, shown)
    assert 20 < soft[10, 8, 0] < 100
    assert np.array_equal(soft[:9], colour[:9])
    assert np.array_equal(soft[12:], colour[12:])
