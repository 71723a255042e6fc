"""Each pixel of the legs belongs to one leg: to which the photo's edges tell, also where both are one in the map."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_exported_warp import assert_same, sessions
from test_extremities import HEIGHT, WIDTH, standing
from test_unseen_limbs import joints_with
from torch import Tensor

from scmnet_cli.inference.exports.exported_warp import ExportedPerson
from scmnet_cli.inference.limbs.crossed_arms import PersonToWarp
from scmnet_cli.inference.limbs.leg_owners import leg_owners, mirrored_owners
from scmnet_cli.inference.limbs.unseen_limbs import NUM_REPLACED
from scmnet_cli.models.leg_parts import LEG_PARTS, of_own_leg
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.regions import one_hot, region_id
from scmnet_cli.types import Canvas, Person

CANVAS = Canvas(HEIGHT, WIDTH)
RIGHT_THIGH, RIGHT_SHIN, LEFT_THIGH, LEFT_SHIN = LEG_PARTS
LEATHER, EDGE = (60, 45, 40), (150, 130, 120)
TOE = (80, 230)
"""Of the left shoe, before the right one: its x and y are nearer to the right leg."""

STEPPING = joints_with(right_knee=(56, 170), right_ankle=(44, 210))


def wearer(joints: Tensor | None = None, *, outlined: bool = True, scale: int = 1) -> Person:
    """Return a person whose left shoe points across the right one, with an edge around it or without."""
    image = np.full((HEIGHT, WIDTH, 3), 230, np.uint8)
    regions = np.zeros((HEIGHT, WIDTH), np.uint8)
    regions[60:130, 66:110], image[60:130, 66:110] = region_id("upper"), (90, 90, 160)
    for x in (73, 103):
        regions[130:216, x - 9 : x + 10], image[130:216, x - 9 : x + 10] = region_id("pants"), (40, 60, 120)
    for rows, columns in ((slice(214, 234), slice(60, 84)), (slice(216, 238), slice(76, 114))):
        regions[rows, columns], image[rows, columns] = region_id("legs"), LEATHER
    if outlined:
        image[216:238, 76:78] = image[216:218, 76:114] = EDGE
    larger = [np.repeat(np.repeat(layer, scale, 0), scale, 1) for layer in (image, regions)]
    places = (standing() if joints is None else joints)[0].numpy().copy()
    places[:, :2] *= scale
    return Person("wearer", *larger, places)


def test_a_shoe_before_the_other_one_belongs_to_its_own_leg() -> None:
    owners = leg_owners(wearer(), CANVAS)
    assert owners[TOE[1], TOE[0]] == LEFT_SHIN
    assert (owners[220:232, 62:74] == RIGHT_SHIN).all()
    assert (owners[220:236, 80:112] == LEFT_SHIN).all()
    without = leg_owners(wearer(outlined=False), CANVAS)
    assert without[TOE[1], TOE[0]] == RIGHT_SHIN, "without an edge the nearer bone decides"


def test_thighs_are_divided_from_shins_at_the_knee_and_nothing_is_known_at_the_hips() -> None:
    owners = leg_owners(wearer(), CANVAS)
    assert (owners[155:168, 70:76] == RIGHT_THIGH).all()
    assert (owners[155:168, 100:106] == LEFT_THIGH).all()
    assert (owners[178:212, 100:106] == LEFT_SHIN).all()
    assert not owners[:140].any()
    assert not owners[:, 85:90][:210].any(), "background between the legs belongs to nobody"


def test_a_larger_photo_is_divided_as_a_small_one() -> None:
    large = leg_owners(wearer(scale=4), CANVAS)
    assert (large == leg_owners(wearer(), CANVAS)).mean() > 0.995


@pytest.mark.parametrize("joints", [
    standing("left_knee", "left_ankle"),
    joints_with(right_ankle=(104, 214), left_ankle=(72, 214)),
    joints_with(right_ankle=(86, 214), left_ankle=(90, 214)),
], ids=["an unknown knee", "crossed legs", "ankles that meet"])  # fmt: skip
def test_legs_that_cannot_be_told_apart_have_no_owner(joints: Tensor) -> None:
    assert not leg_owners(wearer(joints), CANVAS).any()


def test_a_leg_whose_ankle_is_unknown_stands_upright() -> None:
    owners = leg_owners(wearer(standing("right_ankle", "left_ankle")), CANVAS)
    assert (owners[180:210, 70:76] == RIGHT_SHIN).all()
    assert (owners[180:210, 100:106] == LEFT_SHIN).all()


def test_in_a_mirrored_photo_each_leg_is_the_other_one() -> None:
    owners = np.array([[0, *LEG_PARTS]], np.uint8)
    assert mirrored_owners(owners).tolist() == [[RIGHT_SHIN, RIGHT_THIGH, LEFT_SHIN, LEFT_THIGH, 0]]


def layers_of(person: Person) -> tuple[Tensor, Tensor, Tensor]:
    """Return image, masks and joints of a person."""
    image = torch.from_numpy(person.image).permute(2, 0, 1)[None] / 127.5 - 1
    return image, one_hot(torch.from_numpy(person.regions)[None]), torch.from_numpy(person.joints)[None]


def test_a_leg_that_steps_aside_leaves_the_other_shoe_where_it_is() -> None:
    person = wearer()
    image, masks, joints = layers_of(person)
    owners = torch.from_numpy(leg_owners(person, CANVAS))[None]
    none = torch.zeros(1, NUM_REPLACED, dtype=torch.bool)
    with_owners, without = (
        PersonToWarp(image, masks, joints, replaced=none, owners=given).warp(STEPPING) for given in (owners, None)
    )
    beside = (0, slice(None), slice(222, 234), slice(56, 66))  # where the tip of the left shoe would go along
    assert (without.image[beside] < PLAIN_BACKGROUND - 0.3).any(0).sum() > 20
    assert (with_owners.image[beside] < PLAIN_BACKGROUND - 0.3).any(0).sum() < 5
    assert (with_owners.image[0, 0, 220:234, 82:110] < PLAIN_BACKGROUND - 0.3).all(), "the left shoe is whole"


def test_owners_change_the_warp_of_an_exported_model_alike() -> None:
    person = wearer()
    image, masks, joints = layers_of(person)
    owners = leg_owners(person, CANVAS)[None]
    expected = PersonToWarp(image, masks, joints, owners=torch.from_numpy(owners)).warp(STEPPING)
    arrays = image.numpy(), masks.numpy(), joints.numpy()
    found = ExportedPerson(sessions(masks), *arrays, owners=owners).warp(STEPPING.numpy())
    assert_same(found, expected)
    without = ExportedPerson(sessions(masks), *arrays).warp(STEPPING.numpy())
    assert np.abs(without.image - found.image).max() > 0.1


def test_a_pixel_that_was_given_away_comes_back_to_its_leg() -> None:
    own, ends, whole = (
        torch.tensor([[[0.1, 0.8, 0.7]]]),
        torch.tensor([[[1.0, 0.0, 0.0]]]),
        torch.tensor([[[0.2, 0.9, 0.9]]]),
    )
    owners = torch.tensor([[[RIGHT_SHIN, RIGHT_SHIN, LEFT_SHIN]]], dtype=torch.uint8)
    membership, emptied = of_own_leg(RIGHT_SHIN, own, ends, whole, owners)
    assert membership[0, 0, 0] > 0.5
    assert membership[0, 0, 1] == own[0, 0, 1]
    assert emptied.tolist() == [[[0, 0, 1]]]


def test_a_thigh_shows_no_second_shin_where_the_knee_bends() -> None:
    """Past the knee a thigh carries some of the shin along; beside the bent shin it was a flap."""
    image, masks, joints = layers_of(wearer())
    bent = joints_with(right_knee=(74, 172), right_ankle=(50, 212))
    warp = PersonToWarp(image, masks, joints, replaced=torch.zeros(1, NUM_REPLACED, dtype=torch.bool)).warp(bent)
    beside = (0, slice(None), slice(190, 208), slice(72, 84))
    assert (warp.image[beside] < PLAIN_BACKGROUND - 0.3).any(0).float().mean() < 0.5
