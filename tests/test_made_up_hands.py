"""A person whose hands the photo hides gets drawn ones where a pose moves the arms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_extremities import WIDTH, standing
from test_unseen_limbs import LEFT, RIGHT, joints_with, photo
from torch import Tensor

from scmnet_cli.inference.hidden_places import hidden_places
from scmnet_cli.inference.limbs.crossed_arms import PersonToWarp, limb_kinds, moved_limbs
from scmnet_cli.inference.limbs.drawn_hand import drawn_hand
from scmnet_cli.inference.limbs.made_up_hands import _colour
from scmnet_cli.inference.limbs.unseen_limbs import hidden_hands
from scmnet_cli.regions import one_hot, region_id
from scmnet_cli.skeleton import JOINTS, mirror
from scmnet_cli.types import Person

ARMS, UPPER, BACKGROUND = (region_id(name) for name in ("arms", "upper", "background"))
SKIN = 0.4
LIFTED = joints_with(right_elbow=(36, 90), right_wrist=(10, 90), left_elbow=(140, 90), left_wrist=(166, 90))


def in_sleeves(*, face: bool = True, hands: bool = False) -> tuple[Tensor, Tensor]:
    """Return a person in a coat with long sleeves that end at the wrists."""
    image, masks = photo(standing(), sleeves=("right", "left"))
    if not hands:
        bare = masks[:, ARMS] > 0.5
        masks[:, ARMS][bare], masks[:, BACKGROUND][bare] = 0, 1
        image = torch.where(bare[:, None], image[..., :1, :1], image)
    if face:
        labels = masks.argmax(1)[0].to(torch.uint8)
        labels[20:40, 76:100] = region_id("face")
        image[:, :, 20:40, 76:100] = SKIN
        masks = one_hot(labels[None])
    return image, masks


def test_the_drawn_hand_has_its_thumb_on_one_side_and_starts_at_the_wrist() -> None:
    mask, shade = drawn_hand()
    assert mask.shape == (200, 120)
    assert mask[0, 45:75].min() == 1
    assert mask[70, 95:].sum() > 5
    assert mask[70, :25].sum() == 0
    assert mask[175:].sum() == 0
    assert shade[mask > 0.5].min() > 0.3
    assert shade[mask > 0.5].max() < 1.1


def test_the_drawn_hand_is_round_and_its_fingers_are_apart() -> None:
    mask, shade = drawn_hand()
    row = shade[110][mask[110] > 0.5]
    assert row[len(row) // 2] > row[-1] + 0.1, "it is darker where it turns away from the light"
    valleys = (row[1:-1] < row[:-2]) & (row[1:-1] < row[2:])
    assert valleys.sum() >= 2, "shadows lie between the fingers"


def test_hands_are_hidden_where_the_sleeves_end_without_skin() -> None:
    assert hidden_hands(in_sleeves()[1], standing()).all()
    assert not hidden_hands(in_sleeves(hands=True)[1], standing()).any()


def test_a_scrap_of_skin_at_the_end_of_a_sleeve_is_no_hand() -> None:
    """It fills a tenth of a hand's place: a finger that shows beside a pocket."""
    masks = in_sleeves()[1]
    scrap = masks[..., 128:133, 41:46]
    scrap[:] = one_hot(torch.full((1, 5, 5), ARMS, dtype=torch.uint8))
    assert hidden_hands(masks, standing()).all()
    scrap = masks[..., 126:132, 40:46]
    scrap[:] = one_hot(torch.full((1, 6, 6), ARMS, dtype=torch.uint8))
    assert not hidden_hands(masks, standing()).all()


def in_pockets(long: int, below: str = "pants") -> tuple[Tensor, Tensor]:
    """Return a person with bare arms whose hands end so many pixels past the wrists, at trousers."""
    image, masks = photo(standing())
    labels = masks.argmax(1)[0].to(torch.uint8)
    for x in (44, 132):
        end = 124 + long
        labels[end:, x - 14 : x + 15] = region_id("background")
        labels[end : end + 30, x - 14 : x + 15] = region_id(below)
    labels[20:40, 76:100] = region_id("face")
    image[:, :, 20:40, 76:100] = -0.2
    return image, one_hot(labels[None])


def test_hands_that_end_at_trousers_are_in_pockets_and_hidden() -> None:
    assert hidden_hands(in_pockets(8)[1], standing()).all()
    assert not hidden_hands(in_pockets(8, "background")[1], standing()).any(), "a fist"
    assert not hidden_hands(in_pockets(13)[1], standing()).any()


def test_a_hand_at_a_bare_arm_has_the_colour_of_its_wrist() -> None:
    image, masks = in_pockets(8)
    warp = PersonToWarp(image, masks, standing()).warp(LIFTED)
    for columns, arm in ((slice(0, 6), RIGHT), (slice(171, WIDTH), LEFT)):
        hand = warp.regions[0, ARMS, :, columns] > 0.9
        assert hand.any()
        assert float(warp.image[0, 0, :, columns][hand].median()) == pytest.approx(arm, abs=0.25)


def test_lifted_arms_get_hands_of_the_faces_colour() -> None:
    image, masks = in_sleeves()
    warp = PersonToWarp(image, masks, standing()).warp(LIFTED)
    before = PersonToWarp(*in_sleeves(hands=True), standing()).warp(LIFTED)
    for columns in (slice(0, 10), slice(167, WIDTH)):
        hand = warp.regions[0, ARMS, :, columns] > 0.5
        assert 0.5 < hand.sum() / (before.regions[0, ARMS, :, columns] > 0.5).sum() < 2, "as large as a real one"
        colours = warp.image[0, 0, :, columns][hand]
        assert SKIN - 0.5 < float(colours.median()) <= SKIN + 0.05
    assert (warp.regions[0, UPPER, 88:92, 18:30] > 0.5).all(), "the sleeve stays"


def test_a_forearm_that_points_away_gets_a_hand_of_the_same_length() -> None:
    """The part warp stretches such a forearm, and its hand was a long mitten."""

    pose = joints_with(right_elbow=(64, 90), right_wrist=(38, 90), left_elbow=(112, 90), left_wrist=(138, 90))

    def length(*, wrists: float) -> float:
        joints = joints_with(right_wrist=(44, wrists), left_wrist=(132, wrists))
        image, masks = photo(joints, sleeves=("right", "left"))
        labels = masks.argmax(1)[0].to(torch.uint8)
        labels[labels == ARMS] = BACKGROUND
        labels[20:40, 76:100] = region_id("face")
        warp = PersonToWarp(image, one_hot(labels[None]), joints).warp(pose)
        return float((warp.regions[0, ARMS, 90, :38] > 0.5).sum())

    assert length(wrists=116) == pytest.approx(length(wrists=126), abs=2)


def test_a_mirrored_photo_gives_mirrored_hands() -> None:
    image, masks = in_sleeves()
    warp = PersonToWarp(image, masks, standing()).warp(LIFTED)
    other = PersonToWarp(image.flip(3), masks.flip(3), mirror(standing(), WIDTH)).warp(mirror(LIFTED, WIDTH))
    different = (warp.image - other.image.flip(3)).abs().amax(1) > 0.2
    assert different.float().mean() < 0.003


@pytest.mark.parametrize(
    ("given", "pose"),
    [
        (in_sleeves(), standing()),
        (in_sleeves(hands=True), LIFTED),
        (in_sleeves(face=False), LIFTED),
    ],
    ids=["the arms do not move", "the hands show", "no skin shows"],
)
def test_no_hand_is_drawn(given: tuple[Tensor, Tensor], pose: Tensor) -> None:
    warp = PersonToWarp(*given, standing()).warp(pose)
    hands = warp.regions[0, ARMS] > 0.5
    if given[1][:, ARMS].any():
        assert (warp.image[0, 0][hands] - SKIN).abs().min() > 0.1
    else:
        assert not hands.any()


def test_hidden_hands_count_as_leaving_where_the_pose_moves_them() -> None:
    masks = in_sleeves()[1]
    assert moved_limbs(limb_kinds(masks, standing()), standing(), LIFTED).tolist() == [[1, 1, 0, 0]]
    assert not moved_limbs(limb_kinds(masks, standing()), standing(), standing()).any()


# messages about hidden parts


def person_of(image: Tensor, masks: Tensor, joints: Tensor) -> Person:
    pixels = ((image[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
    return Person("me", pixels, masks.argmax(1)[0].byte().numpy(), joints[0].numpy())


def test_a_photo_that_shows_all_has_nothing_hidden() -> None:
    assert hidden_places(person_of(*in_sleeves(hands=True), standing())) == []


def test_hidden_hands_legs_and_sides_are_named() -> None:
    hidden = hidden_places(person_of(*in_sleeves(), standing()))
    assert hidden == ["neither hand shows: both are invented"]
    image, masks = in_sleeves(hands=True)
    below = [f"{side}_{name}" for side in ("right", "left") for name in ("knee", "ankle")]
    assert hidden_places(person_of(image, masks, standing(*below))) == ["no leg shows: both are invented"]
    assert hidden_places(person_of(image, masks, standing(*below[1::2]))) == ["no foot shows: both are invented"]
    behind = standing("nose", "right_eye", "left_eye")
    assert hidden_places(person_of(image, masks, behind)) == [
        "the person is seen from behind: there is no face to draw"
    ]
    joints = joints_with(right_shoulder=(84, 60), left_shoulder=(92, 60))
    assert "from the side" in hidden_places(person_of(image, masks, joints))[0]


def test_one_hidden_hand_is_named() -> None:
    image, masks = in_sleeves(hands=True)
    half = masks.clone()
    middle = WIDTH // 2
    half[:, ARMS, :, :middle], half[:, BACKGROUND, :, :middle] = 0, masks[:, [ARMS, BACKGROUND], :, :middle].sum(1)
    assert hidden_places(person_of(image, half, standing())) == [
        "one hand does not show: it is invented, or the other one mirrored"
    ]


@pytest.mark.parametrize("wide", [0, 3, 6, 10, 16])
@pytest.mark.parametrize("long", [3, 5, 8])
def test_what_is_told_about_hands_is_what_is_drawn(wide: int, long: int) -> None:
    """Of both hands a strip shows below the wrists, so that some widths are hands and some are not."""
    image, masks = in_sleeves()
    labels = masks.argmax(1)[0].to(torch.uint8)
    joints = standing()
    for side in ("right", "left"):
        x, y = joints[0, JOINTS.index(f"{side}_wrist"), :2].int().tolist()
        labels[y + 2 : y + 2 + long, x - wide // 2 : x - wide // 2 + wide] = ARMS
    masks = one_hot(labels[None])
    hidden = bool(hidden_hands(masks, joints).all())
    assert hidden == ("neither hand shows: both are invented" in hidden_places(person_of(image, masks, joints)))


@pytest.mark.parametrize("long", range(4, 16))
@pytest.mark.parametrize("below", ["pants", "upper", "background"])
def test_what_is_told_about_hands_in_pockets_is_what_is_drawn(long: int, below: str) -> None:
    image, masks = in_pockets(long, below)
    hidden = bool(hidden_hands(masks, standing()).all())
    assert hidden == ("neither hand shows: both are invented" in hidden_places(person_of(image, masks, standing())))


def test_two_pixels_of_skin_have_a_colour() -> None:
    layers = np.zeros((1, 2, 11), np.float32)
    layers[0, :, :3] = [[0.2] * 3, [0.6] * 3]
    colour = _colour(layers, np.ones((1, 2), np.bool_), 1)
    assert colour is not None
    assert np.isfinite(colour).all()
