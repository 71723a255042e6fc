"""Training by re-posing: new poses, warped sources, joints that move with the image, and the training stream."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from scmnet_cli.config import DataConfig
from scmnet_cli.data.augmentation import close_up, draw_moves, move, move_joints
from scmnet_cli.data.reposing import Reposed, other_pose, repose
from scmnet_cli.models.part_warp import warp_parts
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.regions import BACKGROUND, one_hot
from scmnet_cli.skeleton import MIRRORED
from scmnet_cli.types import FloatArray
from tests.people_to_repose import HEIGHT, WIDTH, joints_of, people

CPU = torch.device("cpu")
NOTHING = DataConfig(flip=0, rotate=0, scale=0, shift=0, warp=0, drop_region=0, half_body=0, mirror=0)


def lengths(joints: FloatArray) -> FloatArray:
    bones = [(2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (11, 12), (12, 13)]
    found: FloatArray = np.array([np.linalg.norm(joints[a, :2] - joints[b, :2]) for a, b in bones], np.float32)
    return found


# Other poses ----------------------------------------------------------------------------------------------------------


def test_another_pose_depends_only_on_its_random_generator() -> None:
    mine, donor = joints_of(0), joints_of(1)
    one, same, other = (other_pose(mine, donor, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert np.array_equal(mine, joints_of(0)), "what is given stays as it is"


@pytest.mark.parametrize("seed", range(30))
def test_missing_joints_stay_missing_and_all_values_are_finite(seed: int) -> None:
    mine = joints_of(0)
    mine[[4, 9, 10]] = 0
    posed = other_pose(mine, joints_of(seed), np.random.default_rng(seed))
    assert not posed[[4, 9, 10], 2].any()
    assert np.isfinite(posed).all()


def poses_of(donor: FloatArray) -> list[FloatArray]:
    mine = joints_of(0)
    return [other_pose(mine, donor, np.random.default_rng(seed)) for seed in range(60)]


def test_half_of_the_poses_are_a_donors_at_this_bodys_neck_and_torso_length() -> None:
    mine, donor = joints_of(0), joints_of(2)
    torsos = [np.linalg.norm(pose[1, :2] - pose[[8, 11], :2].mean(0)) for pose in (mine, donor)]
    wanted = (donor[:, :2] - donor[1, :2]) * (torsos[0] / torsos[1]) + mine[1, :2]
    exchanged = donor[list(MIRRORED), :2] * [-1, 1]
    mirrored = (exchanged - exchanged[1]) * (torsos[0] / torsos[1]) + mine[1, :2]
    laid = [
        any(np.allclose(pose[both, :2], expected[both], atol=1e-3) for expected in (wanted, mirrored))
        for pose in poses_of(donor)
        if (both := pose[:, 2] > 0).any()
    ]
    assert 0.35 < np.mean(laid) < 0.75


def test_rotated_limbs_keep_their_lengths_and_the_body_stays() -> None:
    """Without a donor pose, limbs turn at random, sometimes on a narrower torso."""
    mine = joints_of(0)
    for pose in poses_of(np.zeros((18, 3), np.float32)):
        np.testing.assert_allclose(lengths(pose), lengths(mine), rtol=1e-3)
        np.testing.assert_allclose(pose[1], mine[1])
        narrowing = (pose[[2, 5, 8, 11], 0] - mine[1, 0]) / (mine[[2, 5, 8, 11], 0] - mine[1, 0])
        assert np.ptp(narrowing) < 1e-3
        assert 0.5 <= narrowing[0] <= 1.1


def parts_of(reposed: Reposed) -> tuple[Tensor, ...]:
    return reposed.image, reposed.labels, reposed.joints, reposed.sure


# Warped sources -------------------------------------------------------------------------------------------------------


def test_a_person_who_keeps_the_pose_is_unchanged() -> None:
    image, labels, joints = people(3)
    posed = joints.clone()
    posed[1, 4, :2] += 9
    result = repose(image, labels, joints, posed, plain=True)
    for before, after in zip((image, labels, joints), parts_of(result)[:3], strict=True):
        assert torch.equal(before[[0, 2]], after[[0, 2]])
        assert not torch.equal(before[1], after[1])
    assert result.covered[[0, 2]].all()
    assert not result.covered[1].all()
    again = people(3)
    assert all(torch.equal(one, other) for one, other in zip((image, labels, joints), again, strict=True))


def test_a_reposed_source_equals_its_part_warp_on_a_plain_background() -> None:
    image, labels, joints = people(2)
    posed = joints.flip(0)
    moved, found, where, _ = parts_of(repose(image, labels, joints, posed, plain=True))
    warp = warp_parts(image, one_hot(labels), joints, posed)
    assert torch.equal(where, posed)
    covered = repose(image, labels, joints, posed, plain=True).covered
    assert torch.equal(covered, warp.coverage > 0.25)
    person = found != BACKGROUND
    assert 0.3 < person.float().mean() / (labels != BACKGROUND).float().mean() < 2
    assert torch.equal(moved.permute(0, 2, 3, 1)[person], warp.image.permute(0, 2, 3, 1)[person])
    assert (moved.permute(0, 2, 3, 1)[~person] == PLAIN_BACKGROUND).all()
    assert (warp.coverage[:, 0][person] > 0.25).all()


def test_a_kept_background_stays_and_its_mean_fills_the_persons_area() -> None:
    image, labels, joints = people(1)
    ground = labels == BACKGROUND
    image = torch.where(ground[:, None], torch.rand(1, 3, HEIGHT, WIDTH), image)
    posed = joints.clone()
    posed[:, [3, 4], 0] -= 12
    moved, found, *_ = parts_of(repose(image, labels, joints, posed, plain=False))
    stays, hole = ground & (found == BACKGROUND), ~ground & (found == BACKGROUND)
    assert hole.any()
    assert torch.equal(moved.permute(0, 2, 3, 1)[stays], image.permute(0, 2, 3, 1)[stays])
    mean = image.permute(0, 2, 3, 1)[ground].mean(0)
    torch.testing.assert_close(moved.permute(0, 2, 3, 1)[hole], mean.expand(int(hole.sum()), 3))


def test_a_reposed_batch_equals_its_members_bit_for_bit() -> None:
    image, labels, joints = people(6)
    posed = joints.roll(1, 0)
    whole = parts_of(repose(image, labels, joints, posed, plain=True))
    for row in range(6):
        one = slice(row, row + 1)
        alone = parts_of(repose(image[one], labels[one], joints[one], posed[one], plain=True))
        assert all(torch.equal(part[one], single) for part, single in zip(whole, alone, strict=True))


# Joints that move with the image --------------------------------------------------------------------------------------


def dots(joints: Tensor) -> Tensor:
    """Draw each joint as a soft bright dot in its own channel, (B, 18, H, W)."""
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    away = (x - joints[..., 0, None, None]).square() + (y - joints[..., 1, None, None]).square()
    return torch.exp(-away / (2 * 2.0**2))


def found_again(picture: Tensor, name: int) -> Tensor:
    """Return the centre of mass of a dot, x and y."""
    weights = picture[name].clamp(min=0.1) - 0.1
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    return torch.stack([(weights * x).sum(), (weights * y).sum()]) / weights.sum()


def well_inside(place: Tensor, margin: float = 7) -> bool:
    limits = place.new_tensor([WIDTH, HEIGHT])
    return bool((place > margin).all() and (place < limits - margin).all())


def all_person(num: int) -> Tensor:
    return torch.full((num, HEIGHT, WIDTH), 5, dtype=torch.uint8)


@pytest.mark.parametrize("flip", [0.0, 1.0], ids=["as it is", "mirrored"])
def test_anti_copy_moves_joints_with_the_image(flip: float) -> None:
    num = 12
    joints = torch.from_numpy(np.stack([joints_of(seed) for seed in range(num)]))
    joints[..., 2] = 1
    labels = all_person(num)
    moves = draw_moves(DataConfig(flip=flip, drop_region=0, half_body=0), 3, range(num))
    pictures, moved_labels = move(dots(joints), labels, moves, 0.0)
    moved = move_joints(joints, moves, moved_labels)
    names = list(MIRRORED) if flip else list(range(18))
    checked = 0
    for row in range(num):
        for name in range(18):
            seen = found_again(pictures[row], names[name])
            if pictures[row, names[name]].max() > 0.8 and well_inside(seen):
                assert moved[row, name, 2] == 1
                assert (moved[row, name, :2] - seen).norm() < 0.7, (row, name)
                checked += 1
    assert checked > 100


def test_joints_outside_the_image_become_missing() -> None:
    joints = torch.from_numpy(joints_of(0))[None]
    joints[..., 2] = 1
    moves = draw_moves(NOTHING.model_copy(update={"shift": 0.9}), 0, range(40))
    picture, labels = move(dots(joints).expand(40, -1, -1, -1), all_person(40), moves, 0.0)
    moved = move_joints(joints.expand(40, -1, -1), moves, labels)
    gone = moved[..., 2] == 0
    assert gone.any()
    assert (~gone).any()
    assert picture.amax((2, 3))[gone].max() < 0.95
    assert not moved[gone].any(), "a missing joint has no place"


def test_a_dropped_lower_half_drops_its_joints() -> None:
    image, labels, joints = people(3)
    joints[..., 2] = 1
    moves = draw_moves(NOTHING.model_copy(update={"half_body": 1.0}), 0, range(3))
    _, kept = move(image, labels, moves, PLAIN_BACKGROUND)
    moved = move_joints(joints, moves, kept)
    for row in range(3):
        last = int((kept[row] != BACKGROUND).any(1).nonzero().max())
        assert not moved[row, joints[row, :, 1] > last + 0.06 * HEIGHT + 1, 2].any()
        assert moved[row, joints[row, :, 1] < last - 1, 2].all()


def test_missing_joints_stay_missing_when_moved() -> None:
    joints = torch.from_numpy(joints_of(0))[None]
    joints[:, 3:6] = 0
    moved = move_joints(joints, draw_moves(DataConfig(flip=0), 0, [0]), all_person(1))
    assert not moved[:, 3:6].any()


def test_moved_joints_depend_only_on_their_own_move_bit_for_bit() -> None:
    joints = torch.from_numpy(np.stack([joints_of(seed) for seed in range(7)]))
    moves = draw_moves(DataConfig(), 0, range(7))
    whole = move_joints(joints, moves, all_person(7))
    for row in range(7):
        alone = move_joints(joints[row : row + 1], draw_moves(DataConfig(), 0, [row]), all_person(1))
        assert torch.equal(alone[0], whole[row])


def test_a_close_up_moves_joints_with_the_image() -> None:
    num = 8
    _, labels, joints = people(num)
    joints[..., 2] = 1
    seeds, everyone = [(1, place) for place in range(num)], torch.ones(num, dtype=torch.bool)
    cropped, _, moved = close_up(dots(joints), labels, joints, everyone, seeds)
    checked = 0
    for row in range(num):
        for name in range(18):
            seen = found_again(cropped[row], name)
            if cropped[row, name].max() > 0.8 and well_inside(seen, 12):
                assert moved[row, name, 2] == 1
                assert (moved[row, name, :2] - seen).norm() < 0.8
                checked += 1
            elif cropped[row, name].max() < 0.2:
                assert not moved[row, name].any()
    assert checked > 40
