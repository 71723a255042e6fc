"""Which way a person faces, by the region map."""

from __future__ import annotations

import numpy as np

from scmnet_cli.analyser.answers import REGION_STRIDE
from scmnet_cli.analyser.facing import facing_corrected
from scmnet_cli.regions import NUM_REGIONS, region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import FloatArray

PLACES = {
    "nose": (40, 20), "right_eye": (37, 18), "left_eye": (43, 18), "right_ear": (34, 19), "left_ear": (46, 19),
    "neck": (40, 32), "right_shoulder": (28, 32), "left_shoulder": (52, 32), "right_wrist": (26, 70),
    "left_wrist": (54, 70), "right_hip": (33, 72), "left_hip": (47, 72),
}  # fmt: skip


def front_view() -> FloatArray:
    joints = np.zeros((len(JOINTS), 3), np.float32)
    for name, (x, y) in PLACES.items():
        joints[JOINTS.index(name)] = x, y, 0.9
    return joints


def head_of(region: str, lower: str | None = None) -> FloatArray:
    """Return probabilities whose head is one region, or another one in its lower half."""
    probabilities = np.zeros((NUM_REGIONS, 120 // REGION_STRIDE, 80 // REGION_STRIDE), np.float32)
    probabilities[0] = 1
    y, x = np.mgrid[: probabilities.shape[1], : probabilities.shape[2]] * REGION_STRIDE
    head = (x - 40) ** 2 + (y - 18) ** 2 < 12**2
    for name, mask in ((region, head), (lower or region, head & (y >= 16))):
        probabilities[:, mask] = 0
        probabilities[region_id(name), mask] = 1
    return probabilities


def score(joints: FloatArray, name: str) -> float:
    return float(joints[JOINTS.index(name), 2])


def test_a_face_with_hair_above_it_stays_as_it_was_found() -> None:
    joints = front_view()
    assert np.array_equal(facing_corrected(joints, head_of("hair", "face"), 0.5), joints)


def test_a_head_that_is_all_hair_loses_its_face_joints_and_swaps_sides() -> None:
    joints = front_view()
    corrected = facing_corrected(joints, head_of("hair"), 0.5)
    assert [score(corrected, name) for name in ("nose", "right_eye", "left_eye")] == [0, 0, 0]
    for right, left in (("right_shoulder", "left_shoulder"), ("right_wrist", "left_wrist"), ("right_ear", "left_ear")):
        assert np.array_equal(corrected[JOINTS.index(right)], joints[JOINTS.index(left)])
        assert np.array_equal(corrected[JOINTS.index(left)], joints[JOINTS.index(right)])
    assert np.array_equal(corrected[JOINTS.index("neck")], joints[JOINTS.index("neck")])


def test_a_back_view_whose_sides_are_right_already_keeps_them() -> None:
    joints = front_view()
    joints[:, 0] = 80 - joints[:, 0]
    corrected = facing_corrected(joints, head_of("hair"), 0.5)
    assert np.array_equal(corrected[JOINTS.index("right_wrist")], joints[JOINTS.index("right_wrist")])


def test_only_a_nose_outside_the_face_is_dropped() -> None:
    joints = front_view()
    joints[JOINTS.index("nose"), :2] = 70, 90
    corrected = facing_corrected(joints, head_of("hair", "face"), 0.5)
    assert score(corrected, "nose") == 0
    assert score(corrected, "left_eye") > 0.5


def test_without_a_visible_head_joints_are_unchanged() -> None:
    joints = front_view()
    nothing = np.zeros((NUM_REGIONS, 120 // REGION_STRIDE, 80 // REGION_STRIDE), np.float32)
    nothing[0] = 1
    corrected = facing_corrected(joints, nothing, 0.5)
    assert np.array_equal(corrected[JOINTS.index("right_wrist")], joints[JOINTS.index("right_wrist")])
