"""Wide and bright cuffs of an old top: they go with it, and so does its colour in the hair before it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage
from test_editing import GREEN, PANTS, RED, edit, full_size, regions_of, save_part_warp_model
from test_fitting import relabelled
from test_wearer_faults import SKIN, in_scene

from scmnet_cli.inference.edits.cuffs import cuffs_at_hands
from scmnet_cli.inference.edits.sleeves import sleeved
from scmnet_cli.inference.edits.through_hair import share_through_hair
from scmnet_cli.inference.edits.uncovered import gone
from scmnet_cli.inference.edits.wearer_faults import corrected
from scmnet_cli.inference.limb_places import limb_places, torso_length
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Person

Mask = npt.NDArray[np.bool_]

HAIR = (180, 160, 130)


def with_lifted_arm(sleeve: tuple[int, int, int] = RED, skin: tuple[int, int, int] = SKIN) -> tuple[Person, Mask, Mask]:
    """Return a person with a lifted right arm in a sleeve, the end of the sleeve that counts as arm, and the hand."""
    person = full_size(PANTS, "wearer", {"upper": sleeve, "face": skin})
    joints, size = person.joints.copy(), torso_length(person)
    shoulder, elbow, wrist = (JOINTS.index(f"right_{name}") for name in ("shoulder", "elbow", "wrist"))
    joints[elbow, :2] = joints[shoulder, :2] + (-0.35 * size, 0.3 * size)
    joints[wrist, :2] = joints[elbow, :2] + (-0.45 * size, -0.1 * size)
    person = replace(person, joints=joints)
    place, away = limb_places(person)[0]
    arm = (away < 0.07) & (place > 0.4) & (place < 2.3)
    person = relabelled(person, arm & (place < 1.7), "upper", sleeve)
    cuff, hand = arm & (place >= 1.7) & (place < 1.95), arm & (place >= 1.95)
    person = relabelled(person, cuff, "arms", sleeve)
    return in_scene(relabelled(person, hand, "arms", skin)), cuff, hand


def test_a_bright_cuff_that_counts_as_a_hand_goes_with_the_sleeve() -> None:
    person, cuff, hand = with_lifted_arm()
    found = cuffs_at_hands(person)
    assert cuff.sum() > 30
    assert found[cuff].mean() > 0.95
    assert not found[hand].any()
    assert (corrected(person, "upper").regions[cuff] == region_id("upper")).mean() > 0.95


def test_a_sleeve_with_the_colour_of_skin_tells_nothing() -> None:
    person, _, _ = with_lifted_arm(sleeve=SKIN)
    assert not cuffs_at_hands(person).any()


def test_what_a_hand_holds_is_no_cuff() -> None:
    person, cuff, hand = with_lifted_arm()
    ball = hand & ndimage.binary_erosion(hand, iterations=2)
    image = person.image.copy()
    image[ball], image[cuff] = RED, SKIN
    assert ball.any()
    assert not cuffs_at_hands(replace(person, image=image)).any()


def with_wide_cuff() -> tuple[Person, Mask]:
    """Return a person whose long sleeve widens at the wrist, and the part of the cuff beside the arm."""
    person, cuff, _ = with_lifted_arm()
    person = relabelled(person, cuff, "upper")
    place, away = limb_places(person)[0]
    free = ~regions_of(person, "upper", "arms", "hair", "face")
    above = np.arange(len(away))[:, None] < person.joints[JOINTS.index("right_wrist"), 1]
    wide = free & above & (away >= 0.07) & (away < 0.25) & (place > 1.6) & (place < 1.95)
    return relabelled(person, wide, "upper", RED), wide


def test_a_shorter_sleeve_leaves_no_scrap_of_a_wide_cuff() -> None:
    person, wide = with_wide_cuff()
    place, away = limb_places(person)[0]
    target, _ = sleeved(person, (away < 0.07) & (place > 0) & (place < 0.9), regions_of(person, "upper"))
    assert wide.sum() > 100
    assert not target[wide].any()
    assert target[regions_of(person, "upper") & (away > 0.5)].all(), "the top itself stays"


def test_a_wide_cuff_beside_the_arm_becomes_background() -> None:
    person, wide = with_wide_cuff()
    place, _ = limb_places(person)[0]
    worn = regions_of(person, "upper") & (place < 0.9)
    lost = gone(person, "upper", worn)
    assert lost[wide & (limb_places(person)[0][1] > 0.15)].mean() > 0.9
    arm = regions_of(person, "upper") & (limb_places(person)[0][1] < 0.05) & (place > 1.1)
    assert not lost[arm].any(), "the arm itself does not"


def with_hair_over_the_top(share: float, top: tuple[int, int, int] = RED) -> tuple[Person, Mask]:
    """Return a person with long hair through which the top shines, and the hair over the top."""
    person = full_size(PANTS, "wearer", {"upper": top, "hair": HAIR})
    size = torso_length(person)
    x, y = person.joints[JOINTS.index("neck"), :2]
    rows, columns = np.mgrid[: person.regions.shape[0], : person.regions.shape[1]]
    lock = (abs(columns - x - 0.15 * size) < 0.1 * size) & (rows < y + 0.3 * size) & (rows > y - 0.6 * size)
    over = lock & (rows > y + 0.05 * size)
    person = relabelled(person, lock, "hair", HAIR)
    mixed = tuple((1 - share) * np.array(HAIR) + share * np.array(top))
    return relabelled(person, over, "hair", mixed), over


def test_the_share_of_the_top_in_hair_is_found() -> None:
    person, over = with_hair_over_the_top(0.4)
    found = share_through_hair(person, regions_of(person, "upper"))
    assert found is not None
    share, top = found
    assert np.allclose(top, RED)
    assert abs(np.median(share[over]) - 0.4) < 0.05
    assert not share[~over & ~ndimage.binary_dilation(over, iterations=3)].any()


def test_hair_with_the_colour_of_the_top_tells_no_share() -> None:
    person, _ = with_hair_over_the_top(0.4, top=(190, 170, 140))
    assert share_through_hair(person, regions_of(person, "upper")) is None


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return Pipeline.from_pretrained(save_part_warp_model(tmp_path_factory.mktemp("model") / "model.safetensors"), "cpu")


def test_the_old_top_shines_through_no_hair_of_an_edit(pipeline: Pipeline) -> None:
    person, over = with_hair_over_the_top(0.4)
    inner = ndimage.binary_erosion(over, iterations=3)
    image = edit(pipeline, person, "upper", full_size(PANTS, "donor", {"upper": GREEN})).person.image
    wanted = 0.6 * np.array(HAIR) + 0.4 * np.array(GREEN)
    assert inner.sum() > 100
    assert np.median(abs(image[inner] - wanted).max(-1)) < 25
    assert np.median(abs(person.image[inner] - wanted).max(-1)) > 40
