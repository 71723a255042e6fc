"""Pose files: ours, OpenPose's and COCO's are read into 18 joints; anything else is a one-line error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scmnet_cli.errors import ScmError
from scmnet_cli.poses.files import PoseEntry, read_pose_file, save_pose
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Canvas, Pose

COCO_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
BODY_25_NAMES = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye",
    "right_ear", "left_ear", *["foot"] * 6,
)  # fmt: skip


def write(path: Path, values: Any) -> Path:
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return path


def flat(names: tuple[str, ...], score: float = 1, scale: float = 1) -> list[float]:
    """Return x, y, score of joints, each at the position of its name."""
    return [value for name in names for value in (*(scale * part for part in place(name)), score)]


def place(name: str) -> tuple[float, float]:
    return (10 + JOINTS.index(name), 100 + 2 * JOINTS.index(name)) if name in JOINTS else (900, 900)


def openpose(*people: list[float]) -> dict[str, Any]:
    return {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": person} for person in people]}


def only(path: Path) -> PoseEntry:
    (posed,) = read_pose_file(path)
    return posed


def test_body_25_is_read_without_mid_hip_and_feet(tmp_path: Path) -> None:
    posed = only(write(tmp_path / "clip_000000000012_keypoints.json", openpose(flat(BODY_25_NAMES, 0.8))))
    assert (posed.name, posed.canvas) == ("clip_000000000012", None)
    assert [tuple(joint) for joint in posed.person()[:, :2]] == [place(name) for name in JOINTS]
    assert np.allclose(posed.person()[:, 2], 0.8)


def test_coco_18_is_our_own_order(tmp_path: Path) -> None:
    joints = only(write(tmp_path / "a.json", openpose(flat(JOINTS)))).person()
    assert [tuple(joint) for joint in joints[:, :2]] == [place(name) for name in JOINTS]


def test_joints_that_openpose_did_not_find_are_missing(tmp_path: Path) -> None:
    person = flat(JOINTS)
    person[0:3] = [0, 0, 0]
    person[3:6] = [50, 60, 0.01]
    joints = only(write(tmp_path / "a.json", openpose(person))).person()
    assert joints[:2].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert joints[2, 2] == 1


def test_the_most_prominent_person_is_chosen_unless_a_number_is_given(tmp_path: Path) -> None:
    small, large, faint = flat(JOINTS), flat(JOINTS, scale=3), flat(JOINTS, 0.06, scale=4)
    posed = only(write(tmp_path / "a.json", openpose(small, [], large, faint)))
    assert posed.person()[0, 0] == 30
    assert [posed.person(number)[0, 0] for number in (1, 3, 4)] == [10, 30, 40]
    assert not posed.person(2).any()
    with pytest.raises(ScmError, match="a: there is no person 5; the file has 4 in this picture"):
        posed.person(5)


def test_a_picture_without_people_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match="a: no person was found in this picture"):
        only(write(tmp_path / "a.json", openpose())).person()


def test_the_canvas_in_the_file_is_the_frame(tmp_path: Path) -> None:
    values = openpose(flat(JOINTS)) | {"canvas_height": 768, "canvas_width": 512}
    assert only(write(tmp_path / "a.json", values)).canvas == Canvas(768, 512)


def coco_annotations(*annotations: dict[str, Any]) -> dict[str, Any]:
    images = [
        {"id": 7, "file_name": "a.jpg", "height": 480, "width": 320},
        {"id": 8, "file_name": "b.jpg", "height": 300, "width": 200},
    ]
    return {"info": {}, "images": images, "annotations": list(annotations), "categories": []}


def test_coco_annotations_have_picture_sizes_and_get_a_neck_between_the_shoulders(tmp_path: Path) -> None:
    labelled, hidden = flat(COCO_NAMES, 2), flat(COCO_NAMES, 1)
    hidden[5 * 3 : 6 * 3] = [0, 0, 0]  # the left shoulder
    values = coco_annotations({"image_id": 8, "keypoints": labelled}, {"image_id": 7, "keypoints": hidden})
    second, first = read_pose_file(write(tmp_path / "person_keypoints_val.json", values))
    assert (second.name, second.canvas, first.name, first.canvas) == (
        "b.jpg", Canvas(300, 200), "a.jpg", Canvas(480, 320)
    )  # fmt: skip
    joints = second.person()
    neck = JOINTS.index("neck")
    for number, name in enumerate(JOINTS):
        if number != neck:
            assert tuple(joints[number]) == (*place(name), 1)
    right, left = place("right_shoulder"), place("left_shoulder")
    assert tuple(joints[neck]) == ((right[0] + left[0]) / 2, (right[1] + left[1]) / 2, 1)
    assert first.person()[neck].tolist() == [0, 0, 0]
    assert (first.person()[:, 2] > 0).sum() == 16


def test_coco_results_have_scores_but_no_sizes_and_people_without_joints_are_skipped(tmp_path: Path) -> None:
    values = [
        {"image_id": 7, "category_id": 1, "keypoints": flat(COCO_NAMES, 0.5), "score": 0.9},
        {"image_id": 9, "category_id": 1, "keypoints": [0] * 51, "score": 0.9},
        {"image_id": 7, "category_id": 1, "keypoints": flat(COCO_NAMES, 7.5, 2), "score": 0.1},
    ]
    (posed,) = read_pose_file(write(tmp_path / "results.json", values))
    assert (posed.name, posed.canvas, len(posed.people)) == ("7", None, 2)
    assert set(posed.person(1)[:, 2]) == {0.5}
    assert set(posed.person(2)[:, 2]) == {1.0}


def test_one_damaged_annotation_does_not_affect_other_pictures(tmp_path: Path) -> None:
    values = coco_annotations({"image_id": 7, "keypoints": [1, 2]}, {"image_id": 8, "keypoints": flat(COCO_NAMES, 2)})
    good, bad = sorted(read_pose_file(write(tmp_path / "c.json", values)), key=lambda posed: posed.problem)
    assert good.person().any()
    with pytest.raises(ScmError, match=r"c\.json: annotation 1: has 2 numbers in 'keypoints', expected x, y, v of 17"):
        bad.person()


def test_a_list_of_18_joints_is_a_pose(tmp_path: Path) -> None:
    posed = only(write(tmp_path / "anna.joints.json", [[*place(name), 0.5] for name in JOINTS]))
    assert posed.name == "anna"
    assert posed.person()[3].tolist() == [*place(JOINTS[3]), 0.5]


def test_a_saved_pose_is_read_back_unchanged(tmp_path: Path) -> None:
    joints = np.array([[*place(name), 0.25] for name in JOINTS], np.float32)
    joints[4] = 0
    pose = Pose("stepping", joints, Canvas(300, 200))
    save_pose(tmp_path / "a.json", pose, "one step", "photo 12")
    posed = only(tmp_path / "a.json")
    assert (posed.name, posed.canvas, posed.description, posed.source) == (
        "stepping", Canvas(300, 200), "one step", "photo 12"
    )  # fmt: skip
    assert np.array_equal(posed.person(), joints)
    assert '    "right_wrist": null,\n' in (tmp_path / "a.json").read_text()
    assert '    "neck": {"x": 11.0, "y": 102.0, "score": 0.25},\n' in (tmp_path / "a.json").read_text()


def test_a_pose_written_by_hand_needs_only_joints(tmp_path: Path) -> None:
    posed = only(write(tmp_path / "mine.json", '{"joints": {"nose": {"x": 3, "y": 4}, "neck": null}}'))
    assert (posed.name, posed.canvas) == ("mine", None)
    assert posed.person()[0].tolist() == [3, 4, 1]
    assert not posed.person()[1:].any()


def ours(**joints: Any) -> dict[str, Any]:
    return {"format": "scm-net pose", "joints": joints}


DEEP = "[" * 100_000 + "]" * 100_000
HUGE = 10**400


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ("", "cannot be read as JSON"),
        ("{", "cannot be read as JSON"),
        (DEEP, "cannot be read as JSON"),
        ('{"joints": ' + DEEP + "}", "cannot be read as JSON"),
        ("3", "holds a int, not poses"),
        ('"walking"', "holds a str, not poses"),
        ({}, "holds no pose"),
        ({"peopel": []}, "holds no pose"),
        ({"version": 1, "layout": "ccp"}, "holds no pose"),
        ([[1, 2, 1]], "the list has 1 points, expected"),
        ([1] * 18, r"nose: expected \[x, y, score\]"),
        ([[1, 2]] * 18, r"nose: expected \[x, y, score\]"),
        ([["1", 2, 1]] * 18, "nose: '1' is not a number"),
        ([[1, 2, 7]] * 18, "nose: score 7 is not between 0 and 1"),
        ([[1, HUGE, 1]] * 18, "nose: holds a number that is too large"),
        ({"people": {}}, "'people' is a dict, expected a list"),
        ({"people": [3]}, "person 1 is a int"),
        ({"people": [{}]}, "'pose_keypoints_2d' is a NoneType, expected a list"),
        (openpose([1.0] * 45), r"person 1 has 45 numbers; expected BODY_25 \(75\) or COCO-18 \(54\)"),
        (openpose([1.0] * 55), "person 1 has 55 numbers"),
        (openpose([1e300] * 54), "person 1: 1e[+]300 is not a pixel"),
        (openpose([HUGE] * 54), "person 1: holds a number that is too large"),
        (openpose([float("inf")] * 54), "person 1: inf is not a finite number"),
        (openpose(["7"] * 54), "person 1: '7' is not a number"),
        (openpose([True] * 54), "person 1: 'True' is not a number"),
        (openpose([[1]] * 54), r"person 1: '\[1\]' is not a number"),
        (openpose(flat(JOINTS)) | {"canvas_height": 10}, "canvas_height: expected height and width"),
        (openpose(flat(JOINTS)) | {"canvas_height": 10**9, "canvas_width": 9}, "canvas_height: expected height and"),
        ({"annotations": 3}, "'annotations' is a int, expected a list"),
        ({"annotations": [3]}, "annotation 1 has no image_id"),
        ({"annotations": [{"image_id": [1]}]}, "annotation 1 has no image_id"),
        ({"annotations": [], "images": [{}]}, "an entry of 'images' has no id"),
        ({"annotations": [], "images": [{"id": 1, "height": -3, "width": 3}]}, "image 1: expected height and width"),
        ([{"image_id": 1}, {}], "annotation 2 has no image_id"),
        (ours(nose=[1, 2]), "joint 'nose': expected x and y"),
        (ours(nose={"x": 1}), "joint 'nose': expected x and y"),
        (ours(nose={"x": 1, "y": 2, "z": 3}), "joint 'nose': expected x and y"),
        (ours(nose={"x": 1, "y": "2"}), "joint 'nose': '2' is not a number"),
        (ours(nose={"x": 1, "y": float("nan")}), "joint 'nose': nan is not a finite number"),
        (ours(nose={"x": 1e9, "y": 1}), r"joint 'nose': 1e\+09 is not a pixel"),
        (ours(nose={"x": 1, "y": 1, "score": 2}), "joint 'nose': score 2 is not between 0 and 1"),
        (ours(nsoe={"x": 1, "y": 1}), "unknown joint 'nsoe'; did you mean 'nose'"),
        (ours() | {"canvs": {}}, "unknown 'canvs'; did you mean 'canvas'"),
        (ours() | {"canvas": [256, 176]}, "canvas: expected height and width in pixels"),
        (ours() | {"canvas": {"height": 0, "width": 3}}, "canvas: expected height and width in pixels"),
        (ours() | {"canvas": {"height": True, "width": 3}}, "canvas: expected height and width in pixels"),
        (ours() | {"name": 3}, "name, description and source must be texts"),
        (ours() | {"version": 2}, "has format version 2, this program reads up to 1"),
        (ours() | {"version": "x"}, "has format version x"),
        ({"format": "scm-net pose", "joints": []}, "'joints' is a list, expected names of joints"),
    ],
)  # fmt: skip
def test_any_other_file_is_a_one_line_error_that_names_it(tmp_path: Path, values: Any, says: str) -> None:
    path = write(tmp_path / "a.json", values)
    with pytest.raises(ScmError, match=says) as caught:
        read_pose_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_binary_files_and_folders_are_one_line_errors(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00{")
    for path in (tmp_path / "a.json", tmp_path):
        with pytest.raises(ScmError, match="cannot be read as JSON"):
            read_pose_file(path)
