"""Ankles of legs that stand apart lie on their own feet."""

from __future__ import annotations

import numpy as np
import pytest

from scmnet_cli.analyser.legs import ankles_apart
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import FloatArray

RIGHT, LEFT = JOINTS.index("right_ankle"), JOINTS.index("left_ankle")
FEET = {"right": (16, 60), "left": (30, 60)}  # x, y in cells of the heatmaps


def heat_of(right: dict[str, float], left: dict[str, float]) -> FloatArray:
    """Return heatmaps whose ankles have peaks of these probabilities on the feet, (18, 72, 48) logits."""
    likely = np.full((18, 72, 48), 1e-8, np.float32)
    y, x = np.mgrid[:72, :48]
    for joint, peaks in ((RIGHT, right), (LEFT, left)):
        for foot, share in peaks.items():
            column, row = FEET[foot]
            likely[joint] += share * np.exp(-((x - column) ** 2 + (y - row) ** 2) / 2) / (2 * np.pi)
    return np.log(likely)


def joints_on(right: str, left: str) -> FloatArray:
    """Return joints whose ankles lie on these feet, in pixels of the crop."""
    joints = np.ones((18, 3), np.float32)
    for side, foot in (("right", right), ("left", left)):
        column, row = FEET[foot]
        joints[JOINTS.index(f"{side}_ankle"), :2] = (column + 0.5) * 4 - 0.5, (row + 0.5) * 4 - 0.5
        joints[JOINTS.index(f"{side}_knee"), :2] = (FEET[side][0] + 0.5) * 4 - 0.5, 160
    return joints


def legs(*, apart: bool = True) -> FloatArray:
    """Return probabilities of regions: two legs with background between them, or one long skirt, (8, 144, 96)."""
    person = np.zeros((144, 96), np.float32)
    for column, _ in FEET.values():
        person[70:128, 2 * column - 5 : 2 * column + 7] = 1
    if not apart:
        person[70:128, 27:68] = 1
    regions = np.zeros((8, 144, 96), np.float32)
    regions[0], regions[7] = 1 - person, person
    return regions


@pytest.mark.parametrize("side", ["right", "left"])
def test_an_ankle_on_the_other_foot_moves_to_its_own(side: str) -> None:
    other = "left" if side == "right" else "right"
    sure, unsure = {other: 1.0}, {other: 0.7, side: 0.3}
    heat = heat_of(unsure, sure) if side == "right" else heat_of(sure, unsure)
    found = ankles_apart(joints_on(other, other), heat, legs())
    assert np.allclose(found, joints_on("right", "left"), atol=0.5)


def test_ankles_on_their_own_feet_stay() -> None:
    joints = joints_on("right", "left")
    heat = heat_of({"right": 0.6, "left": 0.4}, {"left": 1.0})
    assert ankles_apart(joints, heat, legs()) is joints


@pytest.mark.parametrize(
    ("second", "apart"), [(0.02, True), (0.3, False)], ids=["no clear second peak", "no background between the legs"]
)
def test_ankles_that_may_be_right_stay_together(second: float, apart: bool) -> None:
    joints = joints_on("left", "left")
    heat = heat_of({"left": 1 - second, "right": second}, {"left": 1.0})
    assert ankles_apart(joints, heat, legs(apart=apart)) is joints


def test_a_peak_beside_the_person_is_ignored() -> None:
    joints = joints_on("left", "left")
    regions = legs()
    regions[7, :, :45], regions[0, :, :45] = 0, 1
    assert ankles_apart(joints, heat_of({"left": 0.6, "right": 0.4}, {"left": 1.0}), regions) is joints


def test_missing_legs_give_no_warning() -> None:
    joints = np.zeros((18, 3), np.float32)
    with np.errstate(all="raise"):
        ankles_apart(joints, np.zeros((18, 72, 48), np.float32), legs())
