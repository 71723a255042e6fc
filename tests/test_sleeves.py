"""Sleeves of new tops: their width where the wearer's own sleeve was shorter."""

from __future__ import annotations

import numpy as np
from test_editing import GREEN, PANTS, full_size, regions_of
from test_fitting import relabelled

from scmnet_cli.inference.edits.sleeves import sleeved, without_bumps
from scmnet_cli.inference.limb_places import limb_places
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.types import Person


def with_bare_forearm_below_a_cuff() -> tuple[Person, np.ndarray, np.ndarray, np.ndarray]:
    """Return a wearer with a sleeve that ends in a wide cuff, where pixels are on that arm, and the cuff's bulge."""
    wearer = full_size(PANTS, "wearer", {})
    place, away = limb_places(wearer)[0]
    arm = np.arange(away.shape[1]) < wearer.joints[2:5, 0].max()
    wearer = relabelled(wearer, (away < 0.06) & (place > 0.9) & (place < 2.1), "arms")
    wearer = relabelled(wearer, (away < 0.07) & (place > 0) & (place < 0.9), "upper", GREEN)
    bulge = (away > 0.08) & (away < 0.13) & (place > 0.75) & (place < 0.9) & arm & (wearer.regions == BACKGROUND)
    return relabelled(wearer, bulge, "upper", GREEN), place, away, bulge


def test_a_longer_sleeve_does_not_bulge_where_the_old_one_had_a_cuff() -> None:
    wearer, place, away, bulge = with_bare_forearm_below_a_cuff()
    assert bulge.sum() > 20
    sleeves = (away < 0.07) & (place > 0) & (place < 1.9)
    target, _ = sleeved(wearer, sleeves, regions_of(wearer, "upper"))
    assert target[bulge].mean() < 0.3
    assert target[(away < 0.05) & (place > 0.5) & (place < 1.85)].mean() > 0.95


def test_a_longer_sleeve_is_wider_than_the_arm_that_it_covers() -> None:
    wearer, place, away, _ = with_bare_forearm_below_a_cuff()
    sleeves = (away < 0.1) & (place > 0) & (place < 1.9)
    target, _ = sleeved(wearer, sleeves, regions_of(wearer, "upper"))
    outer = np.arange(away.shape[1]) < np.interp(np.arange(len(away)), *wearer.joints[2:5, 1::-1].T)[:, None]
    beside = outer & (away > 0.065) & (away < 0.09) & (place > 1.2) & (place < 1.8) & (wearer.regions == BACKGROUND)
    assert beside.sum() > 20
    assert target[beside].mean() > 0.9


def test_a_sleeve_does_not_cover_the_bag_beside_it() -> None:
    wearer, place, away, _ = with_bare_forearm_below_a_cuff()
    bag = (away > 0.065) & (away < 0.2) & (place > 1.2) & (place < 2) & (wearer.regions == BACKGROUND)
    wearer = Person(wearer.name, wearer.image, wearer.regions, wearer.joints, carried=bag)
    target, _ = sleeved(wearer, (away < 0.1) & (place > 0) & (place < 1.9), regions_of(wearer, "upper"))
    assert not target[bag].any()


def test_a_bump_of_a_warped_sleeve_is_left_out_and_its_width_stays() -> None:
    wearer, place, away, _ = with_bare_forearm_below_a_cuff()
    sleeves = (away < 0.08) & (place > 0) & (place < 1.9)
    outer = np.arange(away.shape[1]) < wearer.joints[2:5, 0].min()
    bump = (away >= 0.08) & (away < 0.16) & (place > 0.9) & (place < 1.2) & outer
    worn = sleeves | bump
    kept = without_bumps(wearer, worn, worn)
    assert bump.sum() > 20
    assert kept[bump].mean() < 0.35
    assert kept[sleeves].mean() > 0.97
