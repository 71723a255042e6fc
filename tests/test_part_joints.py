"""Missing joints are placed from the others, and any joints give finite affine maps."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_body import Person
from slow_part_warp import maps
from torch import Tensor
from warped_people import (
    WIDTH,
    labels_of,
    moved,
    noise,
    on_boxes,
    people,
    standing,
)

from scmnet_cli.models.part_joints import body_size, complete_joints
from scmnet_cli.models.part_transforms import part_transforms
from scmnet_cli.models.part_warp import warp_parts
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.regions import one_hot
from scmnet_cli.skeleton import JOINTS


def size_of(joints: Tensor) -> float:
    return float(body_size(joints))


def test_the_size_of_a_body_is_its_torso_length() -> None:
    assert size_of(standing()) == pytest.approx(25)
    assert size_of(standing("left_hip")) == pytest.approx(np.hypot(5, 25))


def test_without_a_torso_other_bones_give_the_size() -> None:
    without = standing("neck", "right_hip", "left_hip")
    expected = max(1.45 * 16, 1.7 * np.hypot(5, 11), 1.9 * np.hypot(3, 10), 1.2 * 15)
    assert size_of(without) == pytest.approx(expected, rel=1e-5)


def test_a_foreshortened_torso_does_not_make_the_body_small() -> None:
    joints = standing()
    joints[:, [JOINTS.index(name) for name in ("right_hip", "left_hip")], 1] = 35
    assert size_of(joints) > 20


def test_a_body_is_at_least_8_pixels_large() -> None:
    assert size_of(torch.zeros(1, 18, 3)) == 8


def placed(name: str, *missing: str) -> tuple[float, float, float]:
    x, y, score = complete_joints(standing(*missing))[0, JOINTS.index(name)].tolist()
    return x, y, score


def test_known_joints_are_unchanged() -> None:
    joints = people(5)
    completed = complete_joints(joints)
    known = joints[..., 2] > 0
    assert torch.equal(completed[known], joints[known])


@pytest.mark.parametrize(
    ("name", "missing", "expected"),
    [
        ("neck", ("neck",), (40, 28)),  # between the shoulders
        ("right_shoulder", ("right_shoulder",), (32, 26)),  # mirrors the left one at the neck
        ("left_shoulder", ("left_shoulder",), (48, 26)),
        ("right_hip", ("right_hip",), (35.4, 52)),  # 0.6 shoulder widths from the left hip
        ("left_hip", ("left_hip",), (44.6, 52)),
    ],
)
def test_a_missing_torso_joint_is_placed_from_the_others(
    name: str, missing: tuple[str, ...], expected: tuple[float, float]
) -> None:
    assert placed(name, *missing) == pytest.approx((*expected, 0.1), abs=0.01)


def test_missing_hips_are_placed_one_torso_length_below_the_neck() -> None:
    missing = ("right_hip", "left_hip", "right_knee", "left_knee", "right_ankle", "left_ankle")
    size = size_of(standing(*missing))
    assert placed("right_hip", *missing) == pytest.approx((40 - 4.8, 27 + size, 0.1), abs=0.01)
    assert placed("left_hip", *missing) == pytest.approx((40 + 4.8, 27 + size, 0.1), abs=0.01)
    assert placed("right_knee", *missing) == pytest.approx((35.2, 27 + 1.85 * size, 0.1), abs=0.01)
    assert placed("right_ankle", *missing) == pytest.approx((35.2, 27 + 2.65 * size, 0.1), abs=0.01)


def test_missing_ankles_are_below_the_knees_and_missing_wrists_continue_their_limb() -> None:
    assert placed("left_ankle", "left_ankle") == pytest.approx((46, 68 + 0.8 * 25, 0.1), abs=0.01)
    elbow, shoulder = torch.tensor([27.0, 39]), torch.tensor([32.0, 28])
    along = (elbow - shoulder) / (elbow - shoulder).norm()
    expected = elbow + along * 0.5 * 25
    assert placed("right_wrist", "right_wrist") == pytest.approx((*expected.tolist(), 0.1), abs=0.01)
    assert placed("right_elbow", "right_elbow", "right_wrist") == pytest.approx((32, 28 + 0.6 * 25, 0.1), abs=0.01)


def test_missing_joints_of_the_head_stay_missing() -> None:
    missing = ("nose", "right_eye", "left_ear")
    completed = complete_joints(standing(*missing))
    assert not completed[0, [JOINTS.index(name) for name in missing]].any()


def test_without_joints_no_joint_is_placed() -> None:
    assert not complete_joints(torch.zeros(2, 18, 3)).any()
    warp = warp_parts(noise(), one_hot(labels_of(standing())), torch.zeros(1, 18, 3), standing())
    assert not warp.coverage.any()
    assert (warp.image == PLAIN_BACKGROUND).all()


def test_legs_are_warped_only_if_the_source_shows_them() -> None:
    source = standing("right_knee", "left_knee", "right_ankle", "left_ankle")
    source = moved(source, torch.eye(2), torch.tensor([0.0, 38.0]))  # hips at row 90
    warp = warp_parts(noise(), one_hot(labels_of(source)), source, standing())
    assert warp.coverage[0, 0, 40, 40] > 0.9
    assert not warp.coverage[0, 0, 75:].any()


@st.composite
def strange_joints(draw: st.DrawFn) -> Tensor:
    """Return subsets of joints: all at one point, outside the canvas, of length 0, far away."""
    kind = draw(st.sampled_from(["standing", "one spot", "anywhere", "outside", "flat"]))
    joints = standing()[0]
    numbers = st.floats(-4 * WIDTH, 4 * WIDTH, width=32, allow_subnormal=False)
    if kind == "one spot":
        joints[:, :2] = torch.tensor([draw(numbers), draw(numbers)])
    elif kind == "anywhere":
        joints[:, :2] = torch.tensor(draw(st.lists(numbers, min_size=36, max_size=36))).view(18, 2)
    elif kind == "outside":
        joints[:, :2] += torch.tensor([draw(st.sampled_from([-500.0, 500])), draw(st.sampled_from([-500.0, 500]))])
    elif kind == "flat":
        joints[:, 1] = 40
    present = draw(st.lists(st.booleans(), min_size=18, max_size=18))
    joints[:, 2] = torch.tensor(present, dtype=torch.float32)
    return joints * joints[:, 2:].sign() if draw(st.booleans()) else joints


@on_boxes
@settings(max_examples=60, deadline=None)
@given(source=strange_joints(), target=strange_joints())
def test_arbitrary_joints_give_finite_numbers_and_no_warning(source: Tensor, target: Tensor, boxed: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warp = warp_parts(noise(), one_hot(labels_of(standing())), source[None], target[None], on_boxes=boxed)
    assert all(bool(part.isfinite().all()) for part in (warp.channels(), warp.coordinates))
    assert warp.coverage.min() >= 0
    assert warp.coverage.max() <= 1
    assert warp.image.min() >= -1 - 1e-3
    assert warp.image.max() <= 1 + 1e-3


@settings(max_examples=100, deadline=None)
@given(source=strange_joints(), target=strange_joints())
def test_every_affine_map_is_finite_and_within_its_limits(source: Tensor, target: Tensor) -> None:
    completed = [complete_joints(joints[None]) for joints in (source, target)]
    transforms = part_transforms(*completed)
    assert transforms.matrix.isfinite().all()
    assert transforms.offset.isfinite().all()
    scale = size_of(completed[0]) / size_of(completed[1])
    for part, (matrix, valid) in enumerate(zip(transforms.matrix[0], transforms.valid[0], strict=True)):
        least, most = {0: (0.45, 2.5), 1: (0.7, 1.4)}.get(part, (0.4, 2.5))
        strengths = torch.linalg.svdvals(matrix.double()) / scale
        assert strengths.max() < most * 1.01 or not valid
        assert strengths.min() > least * 0.99 or not valid


def test_affine_maps_of_random_poses_equal_the_oracle() -> None:
    source, target = (complete_joints(people(40, seed=seed).double()) for seed in (1, 2))
    transforms = part_transforms(source, target)
    for row in range(40):
        for part, found in enumerate(maps(Person.of(source[row]), Person.of(target[row]))):
            assert bool(transforms.valid[row, part]) == (found is not None)
            if found is not None:
                np.testing.assert_allclose(transforms.matrix[row, part], found[0], atol=1e-6)
                np.testing.assert_allclose(transforms.offset[row, part], found[1], atol=1e-4)
