"""A leg that the region map lost comes from the mirrored photo where a pose moves it."""

from __future__ import annotations

import pytest
import torch
from test_extremities import HEIGHT, WIDTH, standing
from test_unseen_limbs import joints_with, photo
from torch import Tensor

from scmnet_cli.inference.limbs.crossed_arms import PersonToWarp, limb_kinds, moved_limbs
from scmnet_cli.inference.limbs.unseen_limbs import absent_joints, unseen_limbs
from scmnet_cli.models.part_warp import warp_parts
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import JOINTS, mirror

RIGHT, LEFT = -0.8, 0.3
"""Levels of the two legs of the trousers."""

WALKING = joints_with(right_knee=(60, 168), right_ankle=(44, 208), left_knee=(112, 168), left_ankle=(120, 208))


def dressed(joints: Tensor, lost: tuple[tuple[str, str], ...] = ()) -> tuple[Tensor, Tensor]:
    """Return a person in trousers; ``lost``: bones, by their two joints, that are background in photo and map."""
    image, masks = photo(joints)
    labels = masks.argmax(1)[0]
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    for side, level in (("right", RIGHT), ("left", LEFT)):
        for bone in (("hip", "knee"), ("knee", "ankle")):
            start, end = (joints[0, JOINTS.index(f"{side}_{name}"), :2] for name in bone)
            is_lost = (side, bone[0]) in lost
            for share in torch.linspace(0.1, 1, 60):
                place = torch.lerp(start, end, share)
                near = (x - place[0]).square() + (y - place[1]).square() < 60
                labels[near] = region_id("background" if is_lost else "pants")
                image[:, :, near] = PLAIN_BACKGROUND if is_lost else level
    return image, torch.nn.functional.one_hot(labels, 8).permute(2, 0, 1)[None].float()


def at(warped: Tensor, joints: Tensor, name: str) -> float:
    x, y = joints[0, JOINTS.index(name), :2].long().tolist()
    return float(warped[0, 0, y, x])


def test_both_legs_of_a_standing_person_are_seen() -> None:
    assert not unseen_limbs(dressed(standing())[1], standing()).any()


@pytest.mark.parametrize("bone", ["hip", "knee"], ids=["thigh", "shin"])
def test_a_leg_with_a_lost_bone_is_found_on_either_side(bone: str) -> None:
    masks = dressed(standing(), (("right", bone),))[1]
    assert unseen_limbs(masks, standing()).tolist() == [[False, False, True, False]]
    assert unseen_limbs(masks.flip(3), mirror(standing(), WIDTH)).tolist() == [[False, False, False, True]]


def test_without_a_leg_that_shows_none_is_replaced() -> None:
    assert not unseen_limbs(dressed(standing(), (("right", "hip"), ("left", "knee")))[1], standing()).any()
    half = dressed(standing(), (("right", "knee"),))[1]
    assert not unseen_limbs(half, standing("left_ankle")).any(), "where the other ankle is, is not known"


def test_an_unknown_ankle_of_a_leg_that_shows_is_no_reason() -> None:
    assert not unseen_limbs(dressed(standing())[1], standing("right_ankle")).any()


def test_the_other_leg_steps_in_and_all_else_is_the_photos_own() -> None:
    image, masks = dressed(standing(), (("right", "knee"),))
    alone, warp = warp_parts(image, masks, standing(), WALKING), PersonToWarp(image, masks, standing()).warp(WALKING)
    for name in ("right_knee", "right_ankle", "left_knee", "left_ankle"):
        assert at(warp.image, WALKING, name) == pytest.approx(LEFT, abs=0.05)
    assert at(alone.image, WALKING, "right_ankle") != pytest.approx(LEFT, abs=0.3)
    x, y = WALKING[0, JOINTS.index("right_ankle"), :2].long().tolist()
    origin = standing()[0, JOINTS.index("left_ankle"), :2]
    assert (warp.coordinates[0, :, y, x] - origin).norm() < 4, "the origin is the other leg in the photo"
    assert torch.allclose(warp.image[:, :, :90], alone.image[:, :, :90], atol=1e-4), "above the hips"


def test_a_leg_that_stays_is_the_photos_own() -> None:
    image, masks = dressed(standing(), (("right", "knee"),))
    assert not moved_limbs(limb_kinds(masks, standing()), standing(), standing()).any()
    assert moved_limbs(limb_kinds(masks, standing()), standing(), WALKING).tolist() == [[0, 0, 1, 0]]
    warp = PersonToWarp(image, masks, standing()).warp(standing())
    assert torch.equal(warp.image, warp_parts(image, masks, standing(), standing()).image)


def test_what_hangs_over_the_other_thigh_is_not_mirrored_onto_the_body() -> None:
    """The hem of an open jacket on the left hip; mirrored along with the left leg it was a veil on the right hip."""
    image, masks = dressed(standing(), (("right", "knee"),))
    labels = masks.argmax(1)
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    trousers = (y > 110) & (y < 150) & ((x - 88).abs() < 24)
    labels[0, trousers], image[0, :, trousers] = region_id("pants"), RIGHT
    hem = trousers & (x > 96)
    labels[0, hem], image[0, :, hem] = region_id("upper"), 1.0
    masks = torch.nn.functional.one_hot(labels, 8).permute(0, 3, 1, 2).float()
    assert moved_limbs(limb_kinds(masks, standing()), standing(), WALKING).tolist() == [[0, 0, 1, 0]]
    warp = PersonToWarp(image, masks, standing()).warp(WALKING)
    right_hip = (y > 118) & (y < 132) & (x > 66) & (x < 78)
    assert (warp.regions[0, region_id("upper")] > 0.1)[right_hip].float().mean() < 0.1
    left_hip = (y > 118) & (y < 132) & (x > 100) & (x < 108)
    assert (warp.regions[0, region_id("upper")] > 0.8)[left_hip].float().mean() > 0.8


def test_an_arm_and_a_leg_are_replaced_together() -> None:
    joints = joints_with(right_wrist=(54, 99))
    image, masks = dressed(joints, (("left", "knee"),))
    assert unseen_limbs(masks, joints).tolist() == [[True, False, False, True]]
    warp = PersonToWarp(image, masks, joints).warp(WALKING)
    assert at(warp.image, WALKING, "left_ankle") == pytest.approx(RIGHT, abs=0.05)
    assert at(warp.image, WALKING, "right_wrist") == pytest.approx(0.6, abs=0.05)


def test_a_lost_shin_is_left_out_where_nothing_is_mirrored() -> None:
    ankle, knee = JOINTS.index("right_ankle"), JOINTS.index("right_knee")
    masks = dressed(standing(), (("right", "knee"),))[1]
    assert absent_joints(masks, standing()).nonzero()[:, 1].tolist() == [ankle]
    assert absent_joints(masks, standing("right_knee")).nonzero()[:, 1].tolist() == [knee, ankle]
    thigh = dressed(standing(), (("right", "hip"),))[1]
    assert not absent_joints(thigh, standing()).any(), "the shin shows"
