"""A moving limb takes its own pixels along; the clothes, limbs and background beside it stay in place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from warped_people import (
    FACE,
    HEIGHT,
    WIDTH,
    labels_of,
    noise,
    on_boxes,
    standing,
    turned,
)

from scmnet_cli.models.part_warp import warp_parts
from scmnet_cli.regions import one_hot, region_id
from scmnet_cli.skeleton import JOINTS

# Poses whose pixels are known -----------------------------------------------------------------------------------------


def standing_with_legs_at(right: float, left: float) -> Tensor:
    """Return the joints of a standing person whose knees and ankles have these columns, (1, 18, 3)."""
    joints = standing()
    for side, place in (("right", right), ("left", left)):
        for joint in ("knee", "ankle"):
            joints[0, JOINTS.index(f"{side}_{joint}"), 0] = place
    return joints


def dressed(joints: Tensor) -> tuple[Tensor, Tensor]:
    """Return a person in a wide coat, and labels: sleeves lie against the coat, the outside borders on background."""
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    labels = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    sleeves = 12 + (y - 28).clamp(0, 24) * (8 / 21)  # four pixels outside the bones of the arms
    labels[((x - 40).abs() <= sleeves) & (y >= 26) & (y <= 60)] = region_id("upper")
    labels[((x - 34).abs() <= 6) & (y > 60) & (y <= 93)] = region_id("pants")
    labels[((x - 46).abs() <= 6) & (y > 60) & (y <= 93)] = region_id("pants")
    labels[((x - 40).abs() <= 6) & (y >= 10) & (y < 26)] = FACE
    return labels[None], joints


@on_boxes
def test_an_arm_that_lifts_leaves_the_coat_beside_it_behind(boxed: bool) -> None:
    """Its outer border shows how wide the sleeve is; without it a web of the coat hangs below the lifted arm."""
    labels, joints = dressed(standing())
    target = turned(joints, "left_shoulder", ("left_elbow", "left_wrist"), -80)  # straight out, to our right
    warp = warp_parts(noise(), one_hot(labels), joints, target, on_boxes=boxed)
    elbow, wrist = (target[0, JOINTS.index(name), :2] for name in ("left_elbow", "left_wrist"))
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    along = (wrist - elbow) / (wrist - elbow).norm()
    u = (x - elbow[0]) * along[0] + (y - elbow[1]) * along[1]
    v = ((x - elbow[0]) * along[1] - (y - elbow[1]) * along[0]).abs()
    person = warp.regions[0, 1:].sum(0) * (warp.coverage[0, 0] > 0.06) > 0.5
    assert person[(u > 4) & (u < 9) & (v < 2)].all(), "the sleeve"
    assert not person[(u > 4) & (v < 15) & (v > 5)].any(), "nothing hangs below it"
    assert not person[(u > 17) & (v < 15)].any(), "nor from the hand"
    assert person[40, 41], "the coat stays"


def bare_armed(joints: Tensor) -> Tensor:
    """Return labels of a person whose bare forearms hang beside a narrow body, on the right one against the shirt."""
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    labels = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    labels[((x - 40).abs() <= 11) & (y >= 26) & (y <= 39)] = region_id("upper")
    labels[(x >= 28) & (x <= 50) & (y > 39) & (y <= 56)] = region_id("upper")
    for side, inwards in (("right", 28), ("left", 80)):
        elbow, wrist = (joints[0, JOINTS.index(f"{side}_{name}"), :2] for name in ("elbow", "wrist"))
        centre = elbow[0] + (y - elbow[1]) / (wrist[1] - elbow[1]) * (wrist[0] - elbow[0])
        labels[((x - centre).abs() <= 2) & (y > 36) & (y <= 54) & (x < inwards)] = region_id("arms")
    return labels[None]


@on_boxes
def test_a_bare_arm_that_lifts_does_not_stay_beside_the_body(boxed: bool) -> None:
    joints = standing()
    target = turned(joints, "left_shoulder", ("left_elbow", "left_wrist"), -80)
    warp = warp_parts(noise(), one_hot(bare_armed(joints)), joints, target, on_boxes=boxed)
    beside = warp.regions[0, region_id("arms"), 42:54, 52:60] * (warp.coverage[0, 0, 42:54, 52:60] > 0.02)
    assert beside.max() < 0.05
    assert warp.regions[0, region_id("upper"), 42:54, 34:48].min() > 0.9, "the shirt stays"


@on_boxes
def test_a_bare_forearm_leaves_the_shirt_beside_it_behind(boxed: bool) -> None:
    joints = standing()
    target = turned(joints, "right_elbow", ("right_wrist",), 90)  # straight out, to our left
    warp = warp_parts(noise(), one_hot(bare_armed(joints)), joints, target, on_boxes=boxed)
    shirt = warp.regions[0, region_id("upper"), :, :22] * (warp.coverage[0, 0, :, :22] > 0.06)
    assert shirt.max() < 0.05
    assert (warp.regions[0, region_id("arms"), :, :22] > 0.5).sum() > 20, "the forearm"


def test_a_cuff_that_reaches_past_the_wrist_stays_between_sleeve_and_hand() -> None:
    """A grey veil used to remain there. If no hand shows, the cloth past the wrist stays behind."""
    labels, joints = dressed(standing())
    x, wrist = (round(value) for value in joints[0, JOINTS.index("left_wrist"), :2].tolist())
    target = turned(joints, "left_shoulder", ("left_elbow", "left_wrist"), -80)
    start, end = (target[0, JOINTS.index(name), :2] for name in ("left_elbow", "left_wrist"))
    along = (end - start) / (joints[0, JOINTS.index("left_wrist")] - joints[0, JOINTS.index("left_elbow")])[:2].norm()

    def cuff(hand: bool) -> float:
        worn = labels.clone()
        worn[0, wrist - 2 : wrist + 3, x - 3 : x + 4] = region_id("upper")
        worn[0, wrist + 3 :, 48:] = 0
        worn[0, wrist + 3 : wrist + 8, x - 3 : x + 4] = region_id("arms" if hand else "background")
        warp = warp_parts(noise(), one_hot(worn), joints, target)
        column, row = (end + 2 * along).round().int().tolist()
        return float((warp.coverage[0, 0] * warp.regions[0, region_id("upper")])[row, column])

    assert cuff(hand=True) > 0.6
    assert cuff(hand=False) < 0.2


@on_boxes
def test_a_leg_leaves_the_other_leg_behind(boxed: bool) -> None:
    labels, joints = dressed(standing())
    target = turned(joints, "left_knee", ("left_ankle",), 40)  # across, to our left
    target = turned(target, "right_hip", ("right_knee", "right_ankle"), 25)
    warp = warp_parts(noise(), one_hot(labels), joints, target, on_boxes=boxed)
    shown = warp.coverage[0, 0] > 0.02
    from_right_leg = shown & (warp.coordinates[0, 0] < 40) & (warp.coordinates[0, 1] > 70)
    ankle, knee = target[0, JOINTS.index("right_ankle"), :2], target[0, JOINTS.index("right_knee"), :2]
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    along = (ankle - knee) / (ankle - knee).norm()
    across = ((x - knee[0]) * along[1] - (y - knee[1]) * along[0]).abs()
    person = warp.regions[0, 1:].sum(0) > 0.5
    assert (from_right_leg & person).sum() > 40
    assert across[from_right_leg & person].max() < 12, "pixels of the right leg lie along the right leg alone"


@on_boxes
@pytest.mark.parametrize(
    ("rows", "region", "gap"), [((80, 89), "legs", 0), ((60, 82), "pants", 2)], ids=["shoes that touch", "trousers"]
)
def test_each_of_two_legs_that_stand_together_keeps_its_own_pixels(
    rows: tuple[int, int], region: str, gap: int, boxed: bool
) -> None:
    """Both legs are within the width of either shin: the border between them is halfway between their bones."""
    joints = standing_with_legs_at(38, 42)
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    labels = dressed(joints)[0]
    labels[:, 61:] = 0
    labels[0][(y >= rows[0]) & (y <= rows[1]) & ((x - 39.5).abs() <= 8) & ((x - 39.5).abs() >= gap)] = region_id(region)
    image = torch.where(x < 40, -1.0, 1.0).expand(1, 3, -1, -1)  # the right one is black, the left one white
    target = turned(joints, "left_hip", ("left_knee", "left_ankle"), -20)
    target = turned(target, "right_hip", ("right_knee", "right_ankle"), 20)
    warp = warp_parts(image, one_hot(labels), joints, target, on_boxes=boxed)
    shown = (warp.regions[0, region_id(region)] > 0.5) & (warp.coverage[0, 0] > 0.3) & (y > 75)
    for side, sign in (((x < 36) & shown, -1), ((x > 44) & shown, 1)):
        assert side.sum() > 25
        assert (warp.image[0, 0][side] * sign > 0).float().mean() > 0.9, "all but the column on the border"


@pytest.mark.parametrize(
    ("border", "gap"), [(39.5, 0), (37.5, 1)], ids=["trousers that touch", "a narrow gap beside the middle"]
)
def test_legs_that_step_apart_end_at_their_own_edge(border: float, gap: int) -> None:
    """At 256x176, with joints that are not in the middle of a leg; strips of the other leg moved along before."""
    scale, height, width = 256 / HEIGHT, 256, 176
    joints = standing_with_legs_at(35.5, 44)
    joints[..., :2] *= scale
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    labels = torch.zeros(1, height, width, dtype=torch.uint8)
    legs = (y > 52 * scale) & (y < 90 * scale) & ((x - 40 * scale).abs() <= 8.5 * scale)
    labels[0][legs & ((x - border * scale).abs() >= gap * scale / 2)] = region_id("pants")
    image = torch.where(x < border * scale, -1.0, 1.0).expand(1, 3, -1, -1)  # the right leg is black, the other white
    target = turned(joints, "left_hip", ("left_knee", "left_ankle"), -14)
    target = turned(target, "right_hip", ("right_knee", "right_ankle"), 14)
    warp = warp_parts(image, one_hot(labels), joints, target)
    shins = (warp.regions[0, region_id("pants")] > 0.5) & (warp.coverage[0, 0] > 0.05) & (y > 70 * scale)
    for side, sign in (((x < 40 * scale) & shins, -1), ((x > 40 * scale) & shins, 1)):
        assert side.sum() > 400
        assert (warp.image[0, 0][side] * sign < 0).sum() < 0.12 * side.sum()


def test_two_shoes_part_below_the_gap_between_them() -> None:
    """The toe of the other shoe hooked up beside each; the gap between the ankles is aside of the middle."""
    scale, height, width, border = 256 / HEIGHT, 256, 176, 41.5
    joints = standing_with_legs_at(36, 44)
    joints[..., :2] *= scale
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    labels = torch.zeros(1, height, width, dtype=torch.uint8)
    legs = (y > 52 * scale) & (y < 88 * scale) & ((x - 40 * scale).abs() <= 8 * scale)
    gap = ((x - border * scale).abs() < scale / 2) & (y < 84 * scale)
    labels[0][legs & ~gap] = region_id("legs")
    image = torch.where(x < border * scale, -1.0, 1.0).expand(1, 3, -1, -1)  # the right leg is black, the other white
    target = turned(joints, "left_hip", ("left_knee", "left_ankle"), -14)
    target = turned(target, "right_hip", ("right_knee", "right_ankle"), 14)
    warp = warp_parts(image, one_hot(labels), joints, target)
    shoes = (warp.regions[0, region_id("legs")] > 0.5) & (warp.coverage[0, 0] > 0.05) & (y > 80 * scale)
    for side, sign in (((x < 40 * scale) & shoes, -1), ((x > 40 * scale) & shoes, 1)):
        assert side.sum() > 200
        assert (warp.image[0, 0][side] * sign < 0).float().mean() < 0.15, "0.22 before"


def test_a_forearm_ends_at_the_trousers_beside_it() -> None:
    """Uncovered, the network drew a second sleeve there."""
    joints = standing()
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    labels = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    labels[(y > 26) & (y < 40) & ((x - 40).abs() < 16)] = region_id("upper")
    labels[(y >= 40) & (y < 92) & ((x - 40).abs() < 13)] = region_id("pants")
    labels[(y >= 39) & (y < 54) & (x > 20) & (x < 28)] = region_id("arms")
    target = turned(joints, "right_elbow", ("right_wrist",), 70)  # away from the trousers
    warp = warp_parts(noise(), one_hot(labels[None]), joints, target)
    elbow, wrist = (target[0, JOINTS.index(f"right_{name}"), :2] for name in ("elbow", "wrist"))
    along = (wrist - elbow) / (wrist - elbow).norm()
    across = torch.stack([-along[1], along[0]])
    across = across if across[1] > 0 else -across
    for u in (4, 7):
        beside = elbow + u * along + 5 * across  # where the trousers were
        column, row = beside.round().int().tolist()
        assert warp.coverage[0, 0, row, column] > 0.05
        assert warp.regions[0, 0, row, column] > 0.9


@pytest.mark.parametrize("half", ["upper arm", "forearm"])
def test_a_bare_arm_ends_at_the_shirt_beside_it(half: str) -> None:
    """Uncovered, the network drew a ragged brown rim there."""
    joints = standing()
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    labels = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    labels[(y > 26) & (y < 54) & ((x - 40).abs() < 16)] = region_id("upper")
    shoulder, elbow, wrist = (joints[0, JOINTS.index(f"right_{name}"), :2] for name in ("shoulder", "elbow", "wrist"))
    for start, end in ((shoulder, elbow), (elbow, wrist)):
        centre = start[0] + (y - start[1]) / (end[1] - start[1]) * (end[0] - start[0])
        labels[((x - centre).abs() <= 2) & (y >= start[1] + 2) & (y <= end[1])] = region_id("arms")
    target = turned(joints, "right_shoulder", ("right_elbow", "right_wrist"), 70)  # straight out, away from the shirt
    warp = warp_parts(noise(), one_hot(labels[None]), joints, target)
    names = ("shoulder", "elbow") if half == "upper arm" else ("elbow", "wrist")
    start, end = (target[0, JOINTS.index(f"right_{name}"), :2] for name in names)
    along = (end - start) / (end - start).norm()
    across = torch.stack([along[1], -along[0]])
    across = across if across[1] > 0 else -across
    for u in (4, 7):
        column, row = (start + u * along + 4 * across).round().int().tolist()  # where the shirt was
        assert warp.coverage[0, 0, row, column] > 0.05
        assert warp.regions[0, 0, row, column] > 0.9


def test_a_leaning_head_has_one_neck() -> None:
    """The neck that the torso brought along stuck out beside it."""
    joints = standing()
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    labels = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    labels[(y > 8) & (y < 28) & ((x - 40).abs() < 4)] = region_id("face")
    labels[(y >= 28) & (y < 54) & ((x - 40).abs() < 12)] = region_id("upper")
    head = [JOINTS.index(name) for name in ("nose", "right_eye", "left_eye", "right_ear", "left_ear")]
    target = joints.clone()
    target[:, head, 0] -= 6  # to the left
    warp = warp_parts(noise(), one_hot(labels[None]), joints, target)
    face = (warp.regions[0, region_id("face")] > 0.5) & (warp.coverage[0, 0] > 0.05)
    assert face[24].sum() <= 9, "as wide as in the photo, 7, up to resampling; 11 with the neck of the torso"


def test_a_head_brings_along_no_hand() -> None:
    joints = standing()
    labels = labels_of(joints)
    labels[0, 12:22, 46:52] = region_id("arms")  # a hand at the ear
    head = [JOINTS.index(name) for name in ("nose", "right_eye", "left_eye", "right_ear", "left_ear")]
    target = joints.clone()
    target[:, head, 0] -= 6
    warp = warp_parts(noise(), one_hot(labels), joints, target)
    assert (warp.regions[0, region_id("arms"), 14:19, 42:46] * (warp.coverage[0, 0, 14:19, 42:46] > 0.02)).max() < 0.1


def test_of_two_legs_that_cross_the_lower_foot_is_in_front() -> None:
    """Both at once were see-through; the right leg is black, the left one white."""
    labels, joints = dressed(standing())
    x = torch.arange(float(WIDTH))
    image = torch.where(x < 40, -1.0, 1.0).expand(1, 3, HEIGHT, -1)
    target = joints.clone()
    for name, place in (("right_knee", (42, 66)), ("right_ankle", (45, 84)), ("left_knee", (43, 66))):
        target[0, JOINTS.index(name), :2] = torch.tensor(place, dtype=torch.float)
    for left_ankle, front in (((38, 80), -1), ((38, 88), 1)):
        target[0, JOINTS.index("left_ankle"), :2] = torch.tensor(left_ankle, dtype=torch.float)
        warp = warp_parts(image, one_hot(labels), joints, target)
        crossing = warp.image[0, 0, 70:74, 40:44] * front
        assert crossing.min() > 0.8


def test_where_parts_disagree_the_person_wins_against_the_background() -> None:
    """Legs that close bring the background between them along; the legs are in front of it."""
    labels, joints = dressed(standing())
    apart = turned(
        turned(joints, "left_hip", ("left_knee", "left_ankle"), -12), "right_hip", ("right_knee", "right_ankle"), 12
    )
    labels = torch.where(labels == region_id("pants"), 0, labels)
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    for side in ("right", "left"):
        hip, ankle = (apart[0, JOINTS.index(f"{side}_{name}"), :2] for name in ("hip", "ankle"))
        share = ((y - hip[1]) / (ankle[1] - hip[1])).clamp(0, 1)
        labels[0, ((x - hip[0] - share * (ankle[0] - hip[0])).abs() < 4) & (y > 52) & (y < 86)] = region_id("pants")
    warp = warp_parts(noise(), one_hot(labels), apart, joints)
    for x_leg in (34, 46):
        assert warp.regions[0, 1:, 72:82, x_leg - 1 : x_leg + 2].sum(0).min() > 0.9


@on_boxes
def test_the_background_beside_a_hand_does_not_hide_the_body_behind_it(boxed: bool) -> None:
    labels, joints = dressed(standing())
    hand = labels[0, 50:60, 18:24]
    hand[:] = 0
    target = joints.clone()  # right hand on the belly, elbow out
    target[0, JOINTS.index("right_elbow"), :2] = torch.tensor([16.0, 42.0])
    target[0, JOINTS.index("right_wrist"), :2] = torch.tensor([36.0, 46.0])
    warp = warp_parts(noise(), one_hot(labels), joints, target, on_boxes=boxed)
    person = warp.regions[0, 1:].sum(0)
    assert person[46:52, 34:48].mean() > 0.9


def test_a_leg_is_not_veiled_by_the_background_beside_the_other() -> None:
    """Legs that cross: beside one thigh the source has background, where the other thigh is in the pose."""
    labels, joints = dressed(standing())
    closed = turned(
        turned(joints, "left_hip", ("left_knee", "left_ankle"), 9), "right_hip", ("right_knee", "right_ankle"), -9
    )
    labels = torch.where(labels == region_id("pants"), 0, labels)
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    for hip in (35, 45):
        labels[0, ((x - hip).abs() < 4) & (y > 52) & (y < 86)] = region_id("pants")
    warp = warp_parts(noise(), one_hot(labels), joints, closed)
    assert warp.regions[0, 1:, 66:72, 36:45].sum(0).quantile(0.2) > 0.95
