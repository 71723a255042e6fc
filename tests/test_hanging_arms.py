"""An arm that hangs against a coat and moves shows once: the coat continues behind it, and no hand stays on it."""

from __future__ import annotations

import pytest
import torch
from test_extremities import HEIGHT, WIDTH, standing
from torch import Tensor

from scmnet_cli.inference.limbs.crossed_arms import PersonToWarp, limb_kinds, moved_limbs
from scmnet_cli.models.neighbourhoods import dilated
from scmnet_cli.models.part_warp import warp_parts
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.regions import BACKGROUND, one_hot, region_id
from scmnet_cli.skeleton import JOINTS

SKIN, COAT, TROUSERS = 1.0, -1.0, 0.3
ON_COAT = (slice(134, 142), slice(50, 53))
"""Where the right hand of :func:`photo` lies on the coat."""


def lifted(*sides: str) -> Tensor:
    """Return a standing person with forearms that point sideways."""
    joints = standing()
    for side in sides or ("right", "left"):
        elbow = joints[0, JOINTS.index(f"{side}_elbow"), :2]
        outwards = torch.tensor([-28.0 if side == "right" else 28.0, -4.0])
        joints[0, JOINTS.index(f"{side}_wrist"), :2] = elbow + outwards
    return joints


def photo(hem: int = 190, half: int = 44) -> tuple[Tensor, Tensor]:
    """Return a wide coat whose sleeves end in bare hands that lie on it, (1, 3, H, W) and (1, 8, H, W)."""
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    labels = torch.full((HEIGHT, WIDTH), region_id("background"), dtype=torch.uint8)
    labels[130:214, 66:112] = region_id("pants")
    labels[(y >= 60) & (y < hem) & ((x - 88).abs() <= 24 + (y - 60) * (half - 24) / 40) & ((x - 88).abs() <= half)] = (
        region_id("upper")
    )
    for column in (44, 132):
        labels[120:146, column - 8 : column + 9] = region_id("arms")
    image = torch.full((1, 3, HEIGHT, WIDTH), PLAIN_BACKGROUND)
    for region, level in (("upper", COAT), ("arms", SKIN), ("pants", TROUSERS)):
        image[:, :, labels == region_id(region)] = level
    return image, one_hot(labels[None])


def test_a_hanging_hand_does_not_stay_on_the_coat() -> None:
    image, masks = photo()
    before = warp_parts(image, masks, standing(), lifted())
    after = PersonToWarp(image, masks, standing()).warp(lifted())
    assert (before.image[0, 0][ON_COAT] > 0).any(), "the hand would show twice"
    assert after.image[0, 0][ON_COAT].max() < COAT + 0.05
    assert after.regions[0, region_id("upper")][ON_COAT].min() > 0.95, "the coat continues behind it"


@pytest.mark.parametrize(("wrist", "is_across"), [((67, 120), 0), ((78, 118), 1)], ids=["beside", "in front"])
def test_a_forearm_that_is_the_outline_of_the_body_hangs_and_does_not_lie_across(
    wrist: tuple[int, int], is_across: int
) -> None:
    """Its hand is behind the back, above the hips: the garment was removed where the sleeve touched it."""
    joints = standing()
    for joint, place in (("elbow", (66, 96)), ("wrist", wrist)):
        joints[0, JOINTS.index(f"right_{joint}"), :2] = torch.tensor(place, dtype=torch.float32)
    labels = torch.full((HEIGHT, WIDTH), region_id("background"), dtype=torch.uint8)
    labels[58:124, 60:114] = region_id("upper")
    labels[124:214, 64:112] = region_id("pants")
    across, hangs = limb_kinds(one_hot(labels[None]), joints)[0, :2, 0].tolist()
    assert across == is_across
    assert hangs == 1 - is_across


def test_no_outline_of_the_hand_stays_on_the_background() -> None:
    """The colours of a cut-out person continue two pixels beyond the outline."""
    image, masks = photo()
    edge = (masks[:, BACKGROUND, None] > 0.5) & (dilated(masks[:, [region_id("arms")]], 2) > 0.5)
    image = torch.where(edge, SKIN, image)
    after = PersonToWarp(image, masks, standing()).warp(lifted())
    beside = (slice(124, 150), slice(24, 42))
    shown = after.coverage[0, 0][beside] > 0.05
    assert ((after.image[0, 0][beside] - PLAIN_BACKGROUND).abs() * shown).max() < 0.05


def test_the_hand_shows_where_the_pose_has_it() -> None:
    image, masks = photo()
    warp = PersonToWarp(image, masks, standing()).warp(lifted())
    x, y = lifted()[0, JOINTS.index("right_wrist"), :2].round().int().tolist()
    assert warp.image[0, 0, y, x - 4] > 0.5


def test_the_other_hand_that_reaches_across_the_body_stays_where_it_is() -> None:
    image, masks = photo()
    joints = standing()
    joints[0, JOINTS.index("left_wrist"), :2] = torch.tensor([80.0, 124.0])
    hand = (slice(118, 130), slice(66, 110))  # with the bare forearm
    image[(0, slice(None), *hand)], masks[(0, slice(None), *hand)] = SKIN, 0
    masks[(0, region_id("arms"), *hand)] = 1
    target = lifted("right")
    target[0, JOINTS.index("left_wrist"), :2] = joints[0, JOINTS.index("left_wrist"), :2]
    warp = PersonToWarp(image, masks, joints).warp(target)
    assert warp.regions[(0, BACKGROUND, *hand)].max() < 0.05, "no hole"
    assert warp.image[0, 0, 124, 70:78].min() > 0.5


def test_a_coat_that_ends_above_the_hand_does_not_continue_behind_it() -> None:
    image, masks = photo(hem=116)
    warp = PersonToWarp(image, masks, standing()).warp(lifted())
    shown = warp.regions[0, 1:].sum(0) * (warp.coverage[0, 0] > 0.02)
    assert shown[126:144, 36:50].max() < 0.05, "beside the trousers is background"
    assert warp.regions[0, region_id("pants"), 140:156, 70:80].min() > 0.95


def test_a_coat_over_trousers_continues_as_a_coat() -> None:
    """Behind the hand lies the coat that shows below it, although trousers show beside it."""
    image, masks = photo()
    open_coat = (slice(None), slice(None), slice(100, 214), slice(56, 112))
    masks[open_coat] = 0
    masks[:, region_id("pants")][open_coat[1:]] = 1
    image[open_coat] = TROUSERS
    warp = PersonToWarp(image, masks, standing()).warp(lifted())
    assert warp.regions[0, region_id("upper"), 134:142, 50:53].mean() > 0.8


@pytest.mark.parametrize(
    "target", [standing(), standing() + torch.tensor([1.0, 2.0, 0.0])], ids=["the same pose", "moved as a whole"]
)
def test_an_arm_that_stays_is_warped_as_ever(target: Tensor) -> None:
    image, masks = photo()
    warp, expected = PersonToWarp(image, masks, standing()).warp(target), warp_parts(image, masks, standing(), target)
    torch.testing.assert_close(warp.image, expected.image, atol=1e-5, rtol=0)


def test_only_arms_that_touch_the_body_and_move_are_taken_off() -> None:
    masks = photo()[1]
    narrow = photo(half=24)[1]
    narrow[:, :, 120:146, 60:116] = 0
    narrow[:, 0, 120:146, 60:116] = 1  # background between the hands
    assert moved_limbs(limb_kinds(masks, standing()), standing(), lifted()).tolist() == [[1, 1, 0, 0]]
    assert moved_limbs(limb_kinds(masks, standing()), standing(), lifted("left")).tolist() == [[0, 1, 0, 0]]
    assert not moved_limbs(limb_kinds(narrow, standing()), standing(), lifted()).any()
    unknown = standing("right_wrist", "left_elbow")
    assert not moved_limbs(limb_kinds(masks, unknown), unknown, lifted()).any()


def test_the_sleeve_continues_below_hair_when_the_arm_moves() -> None:
    image, masks = photo()
    on_arm = (slice(None), slice(None), slice(74, 84), slice(56, 66))
    masks[on_arm], image[on_arm] = 0, SKIN
    masks[:, region_id("hair")][(slice(None), *on_arm[2:])] = 1
    warp = PersonToWarp(image, masks, standing()).warp(lifted())
    alone = warp_parts(image, masks, standing(), lifted())
    arm = (slice(70, 96), slice(50, 64))
    covered = [float((w.regions[0, region_id("upper")] * (w.coverage[0, 0] > 0.1))[arm].mean()) for w in (warp, alone)]
    assert covered[0] > covered[1] + 0.05, "hair leaves no hole in the sleeve"
    same, expected = (
        PersonToWarp(image, masks, standing()).warp(standing()),
        warp_parts(image, masks, standing(), standing()),
    )
    assert torch.equal(same.image, expected.image), "an arm that stays is warped as ever"


def test_a_short_sleeve_that_ends_below_hair_is_the_other_one_mirrored() -> None:
    """Nobody knows where it ends; the cloth of the trunk went on down to the elbow."""
    image, masks = photo()
    labels = masks.argmax(1)[0].to(torch.uint8)
    for column in (52, 124):
        labels[84:120, column - 10 : column + 11] = region_id("arms")
        image[:, :, 84:120, column - 10 : column + 11] = SKIN
    labels[64:94, 44:76] = region_id("hair")
    warp = PersonToWarp(image, one_hot(labels[None]), standing()).warp(lifted())
    (x, y), (end, below) = (standing()[0, JOINTS.index(f"right_{name}"), :2].tolist() for name in ("shoulder", "elbow"))
    sleeve, bare = ((round(y + share * (below - y)), round(x + share * (end - x))) for share in (0.4, 0.8))
    assert warp.regions[0, region_id("upper"), sleeve[0], sleeve[1]] > 0.8
    assert warp.regions[0, region_id("arms"), bare[0], bare[1]] > 0.8


def test_a_mirrored_leg_brings_no_hand_along() -> None:
    """Fingers before the thigh, which the map calls trousers."""
    image, masks = photo(hem=116, half=30)
    masks[:, :, 120:146, 124:141] = 0
    masks[:, 0, 120:146, 124:141] = 1
    image[:, :, 140:156, 70:80] = SKIN
    masks[:, :, 160:214, 90:112] = 0  # the map lost the left shin
    masks[:, 0, 160:214, 90:112] = 1
    joints, target = standing(), lifted()
    joints[0, JOINTS.index("right_elbow"), :2] = torch.tensor([66.0, 104.0])
    joints[0, JOINTS.index("right_wrist"), :2] = torch.tensor([74.0, 140.0])
    target[0, JOINTS.index("left_ankle"), 0] += 20
    warp = PersonToWarp(image, masks, joints).warp(target)
    assert warp.image[0, 0, 136:160, 92:108].max() < TROUSERS + 0.05
