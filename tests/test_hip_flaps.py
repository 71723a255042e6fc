"""Flaps between trousers and a hand go; hips, and trousers between a bag and a hand, stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_editing import PANTS, dressed

from scmnet_cli.inference.edits.hip_flaps import flaps_at_hands, without_hip_bumps
from scmnet_cli.inference.limb_places import torso_length
from scmnet_cli.regions import region_id

WEARER = dressed(PANTS)
SIZE = torso_length(WEARER)


def standing(*, mirrored: bool = False, bag: bool = False, hand: bool = True, tall: float = 0.2):
    """Return a wearer with straight trousers and a flap that reaches to a hand, and the flap."""
    height, width = WEARER.regions.shape
    rows, columns = np.mgrid[:height, :width]
    regions = np.zeros((height, width), np.uint8)
    middle, half = width // 2, round(0.3 * SIZE)
    top = round(0.45 * height)
    regions[(rows >= top) & (rows < top + 1.6 * SIZE) & (abs(columns - middle) < half)] = region_id("pants")
    beside = (columns >= middle + half) & (columns < middle + half + round(0.12 * SIZE))
    flap = beside & (rows >= top + 0.5 * SIZE) & (rows < top + (0.5 + tall) * SIZE)
    regions[flap] = region_id("pants")
    arm = (columns >= middle + half + round(0.12 * SIZE)) & (columns < middle + half + round(0.2 * SIZE))
    if hand:
        regions[arm & (rows < top + 0.9 * SIZE)] = region_id("arms")
    carried = beside & ~flap if bag else None
    if mirrored:
        regions, flap = regions[:, ::-1], flap[:, ::-1]
        carried = None if carried is None else carried[:, ::-1]
    return replace(WEARER, regions=np.ascontiguousarray(regions), carried=carried), flap


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_flap_that_reaches_to_a_hand_is_found(mirrored: bool) -> None:
    wearer, flap = standing(mirrored=mirrored)
    assert np.array_equal(flaps_at_hands(wearer), flap)


def test_trousers_between_a_bag_and_a_hand_stay() -> None:
    assert not flaps_at_hands(standing(bag=True)[0]).any()


def test_a_bump_without_a_hand_and_wide_hips_stay() -> None:
    assert not flaps_at_hands(standing(hand=False)[0]).any()
    assert not flaps_at_hands(standing(tall=0.6)[0]).any()


def test_no_trousers_have_no_flaps() -> None:
    wearer, _ = standing()
    assert not flaps_at_hands(replace(wearer, regions=np.zeros_like(wearer.regions))).any()


@pytest.mark.parametrize("mirrored", [False, True])
def test_new_trousers_do_not_stick_out_at_the_hips(mirrored: bool) -> None:
    rows, columns = np.mgrid[:200, :100]
    legs = (rows >= 20) & (abs(columns - 50) < 20) & ((abs(columns - 50) > 2) | (rows < 60))
    bump = (rows >= 20) & (rows < 40) & (columns >= 70) & (columns < 85)
    if mirrored:
        legs, bump = legs[:, ::-1], bump[:, ::-1]
    kept = without_hip_bumps(legs | bump, 80)
    assert kept[legs].all()
    assert kept[bump].mean() < 0.3


def test_a_leg_that_a_bag_hides_does_not_narrow_the_hips() -> None:
    rows, columns = np.mgrid[:200, :100]
    legs = (rows >= 20) & (abs(columns - 50) < 20) & ((columns < 50) | (rows < 90))
    assert np.array_equal(without_hip_bumps(legs, 80), legs)
