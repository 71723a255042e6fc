"""An arm that the photo hardly shows comes from the mirrored photo where a pose moves it. Legs: test_unseen_legs.py."""

from __future__ import annotations

import pytest
import torch
from test_extremities import HEIGHT, STANDING, WIDTH, standing
from torch import Tensor

from scmnet_cli.inference.limbs.crossed_arms import PersonToWarp, limb_kinds, moved_limbs
from scmnet_cli.inference.limbs.unseen_limbs import unseen_limbs
from scmnet_cli.models.part_warp import PartWarp, warp_parts
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.models.warp_mixing import mixed
from scmnet_cli.regions import one_hot, region_id
from scmnet_cli.skeleton import JOINTS, mirror

RIGHT, LEFT = -0.6, 0.6
"""Levels of the two bare arms; the coat is 0."""


def joints_with(**places: tuple[float, float]) -> Tensor:
    """Return a standing person's joints with some of them elsewhere."""
    joints = standing()
    for name, place in places.items():
        joints[0, JOINTS.index(name), :2] = torch.tensor(place, dtype=torch.float32)
    return joints


def photo(joints: Tensor, *, sleeves: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> tuple[Tensor, Tensor]:
    """Return a coat with two bare arms, or sleeves with bare hands; ``without``: forearms that are not in the map."""
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    labels = torch.full((HEIGHT, WIDTH), region_id("background"), dtype=torch.uint8)
    image = torch.full((1, 3, HEIGHT, WIDTH), PLAIN_BACKGROUND)
    labels[58:140, 64:112] = region_id("upper")
    image[:, :, labels == region_id("upper")] = 0
    for side, level in (("right", RIGHT), ("left", LEFT)):
        shoulder, elbow, wrist = (joints[0, JOINTS.index(f"{side}_{n}"), :2] for n in ("shoulder", "elbow", "wrist"))
        for start, end, last in ((shoulder, elbow, 1.0), (elbow, wrist, 0.0 if side in without else 1.35)):
            for share in torch.linspace(0, last, 60 if last else 0):
                place = torch.lerp(start, end, share)
                near = (x - place[0]).square() + (y - place[1]).square() < 30
                is_hand = start is elbow and share > 1.02
                labels[near] = region_id("arms" if is_hand or side not in sleeves else "upper")
                image[:, :, near] = level
    return image, one_hot(labels[None])


SHORT = {"right_wrist": (54, 99)}
"""The right forearm points at the camera."""


def test_both_arms_of_a_standing_person_are_seen() -> None:
    for sleeves in ((), ("right", "left")):
        assert not unseen_limbs(photo(standing(), sleeves=sleeves)[1], standing()).any()


@pytest.mark.parametrize(
    ("joints", "masks"),
    [
        (joints_with(**SHORT), photo(joints_with(**SHORT))[1]),
        (standing("right_wrist"), photo(standing())[1]),
        (standing(), photo(standing(), without=("right",))[1]),
        (standing(), photo(standing(), sleeves=("right",))[1]),
        (joints_with(right_wrist=(76, 120)), photo(standing(), without=("right",))[1]),
    ],
    ids=["points at the camera", "unknown wrist", "not in the map", "covered", "hand hidden by the coat"],
)
def test_an_arm_that_hardly_shows_is_found_on_either_side(joints: Tensor, masks: Tensor) -> None:
    assert unseen_limbs(masks, joints).tolist() == [[True, False, False, False]]
    assert unseen_limbs(masks.flip(3), mirror(joints, WIDTH)).tolist() == [[False, True, False, False]]


def test_if_no_arm_shows_none_is_replaced() -> None:
    joints = joints_with(right_wrist=(54, 99), left_wrist=(122, 99))
    assert not unseen_limbs(photo(joints)[1], joints).any()
    assert not unseen_limbs(one_hot(torch.zeros(1, HEIGHT, WIDTH, dtype=torch.uint8)), standing()).any()


def test_the_other_arm_steps_in() -> None:
    joints = joints_with(**SHORT)
    image, masks = photo(joints)
    alone, warp = warp_parts(image, masks, joints, standing()), PersonToWarp(image, masks, joints).warp(standing())
    for name in ("right_wrist", "left_wrist"):
        x, y = STANDING[name]
        assert warp.image[0, 0, y, x] == pytest.approx(LEFT, abs=0.05)
        assert warp.regions[0, region_id("arms"), y, x] > 0.95
    x, y = STANDING["right_wrist"]
    at = torch.tensor(STANDING["left_wrist"], dtype=torch.float32)
    assert (warp.coordinates[0, :, y, x] - at).norm() < 3, "the origin is the other arm in the photo"
    assert abs(alone.image[0, 0, y, x] - LEFT) > 0.1


def test_what_shows_of_the_arm_does_not_stay() -> None:
    joints = joints_with(right_elbow=(66, 100), right_wrist=(72, 96))
    image, masks = photo(joints)
    assert unseen_limbs(masks, joints).tolist() == [[True, False, False, False]]
    warp = PersonToWarp(image, masks, joints).warp(standing())
    on_coat = warp.image[0, 0, 84:112, 72:100]
    assert on_coat.min() > RIGHT / 3


def test_an_arm_that_stays_is_the_photos_own() -> None:
    joints = joints_with(**SHORT)
    image, masks = photo(joints)
    assert not moved_limbs(limb_kinds(masks, joints), joints, joints).any()
    assert moved_limbs(limb_kinds(masks, joints), joints, standing()).tolist() == [[1, 0, 0, 0]]
    warp, expected = PersonToWarp(image, masks, joints).warp(joints), warp_parts(image, masks, joints, joints)
    assert torch.equal(warp.image, expected.image)


def test_a_pose_without_the_arm_has_none() -> None:
    joints = joints_with(**SHORT)
    assert not moved_limbs(limb_kinds(photo(joints)[1], joints), joints, standing("right_elbow", "right_wrist")).any()


@pytest.mark.parametrize(("covered", "share"), [(0.05, 0.99), (0.02, 0.99), (1e-4, 0.2)])
def test_background_beside_an_arm_does_not_hide_the_body_of_another_photo(covered: float, share: float) -> None:
    """An arm covers 20 times as much as what is behind it; the background beside it must not."""
    labels = [torch.full((1, 4, 4), region_id(name), dtype=torch.uint8) for name in ("background", "skirt")]
    beside, skirt = (
        PartWarp(
            torch.full((1, 3, 4, 4), level),
            one_hot(regions),
            torch.full((1, 1, 4, 4), coverage),
            torch.zeros(1, 2, 4, 4),
        )
        for level, regions, coverage in zip((PLAIN_BACKGROUND, 0.0), labels, (0.95, covered), strict=True)
    )
    both = mixed([beside, skirt], PLAIN_BACKGROUND)
    if covered > 0.01:
        assert both.regions[0, region_id("skirt")].min() > share
    else:
        assert both.regions[0, region_id("skirt")].max() < share, "where a photo hardly shows anything, it gives way"
    assert both.coverage.min() == pytest.approx(0.95 + covered, abs=0.06)


def test_unseen_limbs_found_on_another_canvas_are_taken_over() -> None:
    image, masks = photo(standing())
    target = joints_with(right_wrist=(30, 90), left_wrist=(146, 90))
    own = PersonToWarp(image, masks, standing()).warp(target)
    given = PersonToWarp(image, masks, standing(), replaced=torch.tensor([[True] + [False] * 5])).warp(target)
    assert own.image[0, 0, 90, 30] == pytest.approx(RIGHT, abs=0.1)
    assert given.image[0, 0, 90, 30] == pytest.approx(LEFT, abs=0.1)
