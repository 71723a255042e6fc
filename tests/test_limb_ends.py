"""Wrists and ankles beyond the region map are moved to its end before a photo is warped."""

from __future__ import annotations

import pytest
import torch

from scmnet_cli.inference.limbs.crossed_arms import PersonToWarp
from scmnet_cli.models.limb_ends import within_map
from scmnet_cli.regions import NUM_REGIONS, region_id
from scmnet_cli.skeleton import JOINTS, NUM_JOINTS

ELBOW, WRIST = JOINTS.index("left_elbow"), JOINTS.index("left_wrist")
SIZE = 80


def masks(right: int) -> torch.Tensor:
    """A person in columns 10 to ``right`` of rows 20 to 40."""
    found = torch.zeros(1, NUM_REGIONS, SIZE, SIZE)
    found[:, region_id("upper"), 20:40, 10:right] = 1
    found[:, 0] = 1 - found.sum(1)
    return found


def arm(elbow: float = 20, wrist: float = 60) -> torch.Tensor:
    joints = torch.zeros(1, NUM_JOINTS, 3)
    joints[0, ELBOW] = torch.tensor([elbow, 30.0, 1.0])
    joints[0, WRIST] = torch.tensor([wrist, 30.0, 0.8])
    return joints


@pytest.mark.parametrize(
    ("right", "wanted"),
    [(70, 60.0), (58, 60.0), (50, 49.0), (40, 39.0), (25, 60.0), (10, 60.0)],
    ids=["on the map", "at its edge", "beyond", "far beyond", "most of the forearm", "the whole forearm"],
)
def test_a_wrist_beyond_the_map_moves_to_its_end_and_others_stay(right: int, wanted: float) -> None:
    moved = within_map(arm(), masks(right))
    assert moved[0, WRIST, 0].item() == pytest.approx(wanted, abs=1.1)
    assert moved[0, WRIST, 1:].tolist() == pytest.approx([30, 0.8])
    others = [joint for joint in range(NUM_JOINTS) if joint != WRIST]
    assert torch.equal(moved[:, others], arm()[:, others])


def test_a_missing_joint_is_not_moved() -> None:
    for joint in (ELBOW, WRIST):
        joints = arm()
        joints[0, joint] = 0
        assert torch.equal(within_map(joints, masks(40)), joints)


def test_the_warped_forearm_shows_the_person_up_to_its_end() -> None:
    image = torch.full((1, 3, SIZE, SIZE), 0.8)
    image[..., :40] = -0.5  # the arm
    joints = arm()
    for name, x, y in (("neck", 12, 22), ("left_shoulder", 14, 24), ("right_shoulder", 10, 24), ("left_hip", 14, 60)):
        joints[0, JOINTS.index(name)] = torch.tensor([x, y, 1.0])
    warp = PersonToWarp(image, masks(40), joints).warp(joints)
    along = warp.regions[0, region_id("upper"), 30, 42:58]
    assert (along > 0.5).all(), "without the move these are background"
