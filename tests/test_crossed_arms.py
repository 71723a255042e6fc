"""An arm across the body that a pose takes away shows once, and the garment continues where it lay."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_extremities import HEIGHT, STANDING, WIDTH, standing
from torch import Tensor

from scmnet_cli.inference.cloth import continued
from scmnet_cli.inference.limbs.crossed_arms import PersonToWarp, limb_kinds, moved_limbs
from scmnet_cli.models.part_warp import PartWarp, warp_parts
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.regions import one_hot, region_id
from scmnet_cli.skeleton import JOINTS

SKIN, COAT = 1.0, -1.0
CENTRE = (slice(90, 112), slice(80, 98))
"""Where the hand of :func:`crossed` lies, on the coat."""


def crossed(wrist: tuple[float, float] = (92, 100)) -> Tensor:
    """Return the joints of a standing person with the right forearm across the body, (1, 18, 3)."""
    joints = standing()
    joints[0, JOINTS.index("right_elbow"), :2] = torch.tensor([60.0, 98.0])
    joints[0, JOINTS.index("right_wrist"), :2] = torch.tensor(wrist)
    return joints


def photo(joints: Tensor) -> tuple[Tensor, Tensor]:
    """Return a coat with a bare right forearm, (1, 3, H, W) and (1, 8, H, W)."""
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    labels = torch.full((HEIGHT, WIDTH), region_id("background"), dtype=torch.uint8)
    labels[58:140, 64:112] = region_id("upper")
    elbow, wrist = (joints[0, JOINTS.index(f"right_{name}"), :2] for name in ("elbow", "wrist"))
    for share in torch.linspace(0, 1.3, 60):
        place = torch.lerp(elbow, wrist, share)
        labels[(x - place[0]).square() + (y - place[1]).square() < 36] = region_id("arms")
    image = torch.full((1, 3, HEIGHT, WIDTH), PLAIN_BACKGROUND)
    image[:, :, labels == region_id("upper")] = COAT
    image[:, :, labels == region_id("arms")] = SKIN
    return image, one_hot(labels[None])


def skin_on(warp: PartWarp, where: tuple[slice, slice] = CENTRE) -> int:
    return int((warp.image[0, 0][where] > 0).sum())


def test_a_forearm_that_leaves_the_torso_does_not_stay_there() -> None:
    joints = crossed()
    image, masks = photo(joints)
    before, after = warp_parts(image, masks, joints, standing()), PersonToWarp(image, masks, joints).warp(standing())
    assert skin_on(before) > 30, "the hand would show twice"
    assert skin_on(after) == 0
    assert (after.image[0, 0][CENTRE] + 1).abs().max() < 0.05, "the coat continues"
    assert after.regions[0, region_id("upper")][CENTRE].min() > 0.95
    assert after.coverage[0, 0][CENTRE].min() > 0.5


def test_a_hand_at_the_head_does_not_stay_on_the_shoulder() -> None:
    """A forearm that leads up to the ear hides the shoulder; a rest of it stayed there."""
    joints = crossed((80, 50))
    image, masks = photo(joints)
    coat = masks[0, region_id("background"), 58:110, 48:64].clone()  # with a sleeve
    masks[0, region_id("upper"), 58:110, 48:64] += coat
    masks[0, region_id("background"), 58:110, 48:64] -= coat
    shoulder = (slice(62, 76), slice(66, 82))
    assert skin_on(warp_parts(image, masks, joints, joints), shoulder) > 30
    after = PersonToWarp(image, masks, joints).warp(standing())
    assert after.regions[0, region_id("arms")][shoulder].max() < 0.05
    assert after.regions[0, region_id("upper")][shoulder].min() > 0.9


def test_the_forearm_shows_where_the_pose_has_it() -> None:
    joints = crossed()
    image, masks = photo(joints)
    warp = PersonToWarp(image, masks, joints).warp(standing())
    x, y = (round(value) for value in np.add(STANDING["right_elbow"], STANDING["right_wrist"]) / 2)
    assert warp.image[0, 0, y, x] > 0.5


@pytest.mark.parametrize(
    ("source", "target"),
    [(standing(), crossed()), (crossed(), crossed()), (crossed(), crossed((88, 104))), (standing(), standing())],
    ids=["an arm comes", "the same pose", "the hand moves a little", "no arm across"],
)
def test_other_poses_are_warped_as_ever(source: Tensor, target: Tensor) -> None:
    image, masks = photo(source)
    warp, expected = PersonToWarp(image, masks, source).warp(target), warp_parts(image, masks, source, target)
    assert torch.equal(warp.image, expected.image)
    assert torch.equal(warp.coverage, expected.coverage)


@pytest.mark.parametrize("missing", ["right_wrist", "right_elbow"])
def test_an_unknown_forearm_is_not_removed(missing: str) -> None:
    joints = crossed()
    joints[0, JOINTS.index(missing), 2] = 0
    assert not moved_limbs(limb_kinds(photo(crossed())[1], joints), joints, standing()).any()


@pytest.mark.parametrize("source", [crossed(), standing()], ids=["an arm across", "no arm across"])
def test_a_batch_of_poses_equals_its_members(source: Tensor) -> None:
    image, masks = photo(source)
    poses = torch.cat([standing(), crossed(), standing("nose", "left_wrist"), standing()])
    person = PersonToWarp(image, masks, source)
    batch = person.warp(poses)
    for row, pose in enumerate(poses.split(1)):
        for alone in (person.warp(pose), PersonToWarp(image, masks, source).warp(pose)):
            for name in ("image", "regions", "coverage", "coordinates"):
                torch.testing.assert_close(getattr(batch.row(row), name), getattr(alone, name), atol=1e-5, rtol=0)


def column(values: list[float]) -> np.ndarray:
    return np.array(values, np.float32)[:, None, None]


def test_between_two_garments_the_nearer_one_continues() -> None:
    mask = np.array([True, True, False, False, False, True, True])[:, None]
    kind = np.array([5, 5, 0, 0, 0, 1, 1], np.uint8)[:, None]
    filled = continued(column([1, 2, 0, 0, 0, 8, 9]), mask, ~mask, kind)
    np.testing.assert_array_equal(filled, column([1, 2, 2, 1, 8, 8, 9]))


def test_a_narrow_garment_at_a_gap_is_mirrored_without_the_one_beyond_it() -> None:
    """The hem of a top below a gap, and trousers below it: trousers are not drawn above the hem."""
    top, trousers = region_id("upper"), region_id("pants")
    kind = np.array([0, 0, 0, 0, top, trousers, trousers], np.uint8)[:, None]
    mask = np.array([False] * 4 + [True] * 3)[:, None]
    filled = continued(column([0, 0, 0, 0, 5, 8, 9]), mask, ~mask, kind)
    assert filled[:, 0, 0].tolist() == [5, 5, 5, 5, 5, 8, 9]


@pytest.mark.parametrize(
    ("sound", "expected"),
    [
        ("110000", [1, 2, 2, 1, 1, 2]),  # mirrored at the gap, and again at the other end of the cloth
        ("000011", [5, 6, 6, 5, 5, 6]),
        ("110011", [1, 2, 2 * 2 / 3 + 6 / 3, 1 / 3 + 5 * 2 / 3, 5, 6]),
        ("000000", [1, 2, 3, 4, 5, 6]),
    ],
    ids=["from above", "from below", "blended", "nothing"],
)
def test_cloth_continues_mirrored_over_a_gap(sound: str, expected: list[float]) -> None:
    mask = np.array([value == "1" for value in sound])[:, None]
    filled = continued(column([1, 2, 3, 4, 5, 6]), mask, ~mask)
    np.testing.assert_allclose(filled, column(expected), atol=1e-6)
