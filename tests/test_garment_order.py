"""Pieces of garments in region maps that are out of order are renamed: nobody wears a top below trousers."""

from __future__ import annotations

import numpy as np
import pytest

from scmnet_cli.analyser.answers import REGION_STRIDE
from scmnet_cli.analyser.region_maps import clean_probabilities, likeliest
from scmnet_cli.regions import NUM_REGIONS, region_id
from scmnet_cli.skeleton import JOINTS, NUM_JOINTS

HEIGHT, WIDTH = 64, 44
NOBODY = np.zeros((NUM_JOINTS, 3), np.float32)


def dressed(*bands: tuple[str, int, int, int, int]) -> np.ndarray:
    """Return probabilities of regions, each a box of rows and columns, later ones on top."""
    labels = np.zeros((HEIGHT, WIDTH), int)
    for name, top, bottom, left, right in bands:
        labels[top:bottom, left:right] = region_id(name)
    certain = np.eye(NUM_REGIONS, dtype=np.float32)[labels].transpose(2, 0, 1)
    return np.ascontiguousarray(0.9 * certain + 0.1 / NUM_REGIONS, np.float32)


TOP = ("upper", 8, 28, 12, 32)


@pytest.mark.parametrize(
    ("bands", "at", "wanted"),
    [
        ([TOP, ("pants", 28, 60, 12, 32), ("upper", 40, 52, 14, 30)], (45, 20), "pants"),
        ([TOP, ("skirt", 28, 60, 12, 32), ("upper", 50, 54, 14, 24)], (52, 20), "skirt"),
        ([TOP, ("skirt", 28, 36, 12, 32), ("upper", 36, 60, 10, 34)], (31, 20), "upper"),
        ([TOP, ("skirt", 28, 60, 12, 32), ("pants", 34, 40, 14, 20)], (36, 16), "skirt"),
        ([TOP, ("pants", 28, 60, 12, 32), ("skirt", 34, 40, 14, 20)], (36, 16), "pants"),
        ([TOP, ("skirt", 28, 46, 12, 32), ("pants", 46, 60, 14, 20)], (50, 16), "pants"),
        ([("upper", 8, 50, 12, 32), ("pants", 50, 60, 14, 30)], (40, 20), "upper"),
        ([TOP, ("pants", 28, 50, 12, 32), ("skirt", 50, 60, 10, 34)], (55, 20), "pants"),
    ],
    ids=[
        "top in trousers",
        "top in a skirt",
        "a dress",
        "trousers in a skirt",
        "skirt in trousers",
        "leggings",
        "a coat",
        "wide trouser legs",
    ],
)
def test_a_piece_that_is_out_of_order_is_renamed_and_others_stay(
    bands: list[tuple[str, int, int, int, int]], at: tuple[int, int], wanted: str
) -> None:
    chosen = likeliest(clean_probabilities(dressed(*bands), NOBODY))
    assert chosen[at] == region_id(wanted)
    assert chosen[15, 20] == region_id("upper")
    assert (chosen != 0).sum() == (likeliest(dressed(*bands)) != 0).sum(), "nothing of the person is lost"


def test_a_piece_of_skirt_apart_from_the_person_is_background_and_one_below_a_bag_stays() -> None:
    """A bag beside the legs is no skirt. A skirt whose waist a bag hides has legs below it."""
    apart = dressed(TOP, ("legs", 28, 60, 14, 24), ("skirt", 36, 44, 27, 33))
    below = dressed(TOP, ("arms", 28, 34, 10, 13), ("skirt", 34, 46, 12, 32), ("legs", 46, 60, 14, 24))
    assert likeliest(clean_probabilities(apart, NOBODY))[40, 30] == region_id("background")
    assert likeliest(clean_probabilities(below, NOBODY))[40, 20] == region_id("skirt")


def arms_at(elbows: tuple[int, int], wrists: tuple[int, int]) -> np.ndarray:
    """Return joints with arms that hang at two columns, and the rest of the body's height, in pixels of the canvas."""
    joints = NOBODY.copy()
    for side, elbow, wrist in (("right", elbows[0], wrists[0]), ("left", elbows[1], wrists[1])):
        joints[JOINTS.index(f"{side}_elbow")] = (elbow * REGION_STRIDE, 18 * REGION_STRIDE, 1)
        joints[JOINTS.index(f"{side}_wrist")] = (wrist * REGION_STRIDE, 28 * REGION_STRIDE, 1)
    joints[JOINTS.index("nose")] = (22 * REGION_STRIDE, 4 * REGION_STRIDE, 1)
    joints[JOINTS.index("right_ankle")] = (18 * REGION_STRIDE, 60 * REGION_STRIDE, 1)
    return joints


def test_a_spot_of_arm_on_the_chest_is_upper_garment_and_a_hand_before_it_stays() -> None:
    spot = dressed(TOP, ("arms", 14, 18, 20, 24))
    hanging, before = arms_at((10, 34), (9, 35)), arms_at((10, 34), (22, 35))
    one_missing = hanging.copy()
    one_missing[JOINTS.index("left_wrist")] = 0
    at = (16, 22)
    assert likeliest(clean_probabilities(spot, hanging))[at] == region_id("upper")
    assert likeliest(clean_probabilities(spot, one_missing))[at] == region_id("arms"), "it may be the missing hand"
    hand = dressed(TOP, ("arms", 24, 28, 20, 24))
    assert likeliest(clean_probabilities(hand, before))[26, 22] == region_id("arms")
    beside = dressed(TOP, ("arms", 10, 28, 32, 36))
    assert likeliest(clean_probabilities(beside, hanging))[20, 34] == region_id("arms")


def test_a_bag_before_the_trunk_is_no_hole_and_the_gap_beside_an_arm_is_one() -> None:
    joints = NOBODY.copy()
    for name, column, row in (("right_shoulder", 14, 10), ("left_shoulder", 30, 10), ("right_hip", 16, 26)):
        joints[JOINTS.index(name)] = (column * REGION_STRIDE, row * REGION_STRIDE, 1)
    without_a_hip = joints.copy()
    joints[JOINTS.index("left_hip")] = (28 * REGION_STRIDE, 26 * REGION_STRIDE, 1)
    coat = ("upper", 8, 50, 2, 42)
    bag, gap = ("background", 28, 34, 18, 23), ("background", 18, 28, 33, 37)
    cleaned = likeliest(clean_probabilities(dressed(coat, bag, gap), joints))
    assert cleaned[30, 20] == region_id("upper")
    assert cleaned[22, 35] == region_id("background")
    assert likeliest(clean_probabilities(dressed(coat, bag), without_a_hip))[30, 20] == region_id("background")
    handle = dressed(coat, bag, ("arms", 26, 28, 16, 25), ("arms", 28, 34, 16, 18), ("arms", 28, 34, 23, 25))
    assert likeliest(clean_probabilities(handle, joints))[30, 20] == region_id("background"), "between arms"


def test_a_narrow_gap_beside_the_trunk_is_no_bag() -> None:
    """The network knows bags: what is not carried is a hole of the trunk only between shoulders and hips."""
    joints = NOBODY.copy()
    for name, column, row in (("shoulder", 8, 10), ("hip", 7, 26)):
        for side, sign in (("right", -1), ("left", 1)):
            joints[JOINTS.index(f"{side}_{name}")] = ((22 + sign * column) * 2, row * 2, 1)
    nothing, bag = np.zeros((HEIGHT, WIDTH), np.float32), np.full((HEIGHT, WIDTH), 0.5, np.float32)
    for place, filled in (((18, 28, 30, 33), False), ((14, 20, 20, 24), True)):
        coat = dressed(("upper", 8, 50, 2, 42), ("background", *place))
        at = (place[0] + 1, place[2] + 1)
        chosen = [likeliest(clean_probabilities(coat, joints, carried))[at] for carried in (nothing, bag, None)]
        assert [region != 0 for region in chosen] == [filled, True, True], place


def test_a_bracelet_is_part_of_the_arm_and_trousers_beside_it_are_not() -> None:
    joints = arms_at((10, 34), (9, 35))
    bands = [("upper", 8, 22, 12, 32), ("pants", 22, 60, 12, 32), ("arms", 12, 32, 8, 12), ("pants", 24, 26, 8, 12)]
    chosen = likeliest(clean_probabilities(dressed(*bands), joints))
    assert (chosen[24:26, 8:12] == region_id("arms")).all()
    assert (chosen[24:26, 13:32] == region_id("pants")).all()
    assert (chosen[22:60, 13:32] == region_id("pants")).all()


def test_many_bracelets_are_part_of_the_arm_and_a_sleeve_is_not() -> None:
    """Bracelets up to half of the forearm look like cloth to the network; a sleeve has skin on one side only."""
    joints = arms_at((10, 34), (9, 35))
    clothes = [("upper", 8, 20, 14, 32), ("pants", 20, 60, 12, 32)]
    worn = [*clothes, ("arms", 12, 34, 8, 12), ("upper", 22, 28, 8, 12)]
    sleeve = [*clothes, ("upper", 12, 20, 8, 12), ("arms", 20, 34, 8, 12)]
    assert (likeliest(clean_probabilities(dressed(*worn), joints))[12:34, 8:12] == region_id("arms")).all()
    assert (likeliest(clean_probabilities(dressed(*sleeve), joints))[12:20, 8:12] == region_id("upper")).all()
