"""Pose files of other programs: other orders of points, coordinates in 0-1, missing points, lists of frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.poses.files import PoseEntry, read_pose_file
from scmnet_cli.poses.orders import order_of_names
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Canvas, FloatArray

if TYPE_CHECKING:
    from conftest import Place, Scm

COCO = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
SIZE = Canvas(400, 200)
NECK = JOINTS.index("neck")


def place(joint: str) -> tuple[float, float]:
    """Return the place of a joint in all poses here: left joints on the right, rows by joint index."""
    side = {"left": 30, "right": -30}.get(joint.split("_")[0], 0)
    return 100 + side, 40 + 18 * JOINTS.index(joint)


def expected(*missing: str) -> FloatArray:
    joints = np.array([[*place(joint), 1] if joint not in missing else [0, 0, 0] for joint in JOINTS], np.float32)
    shoulders = {"left_shoulder", "right_shoulder"}
    if not shoulders & set(missing):
        joints[NECK, :2] = np.mean([place(joint) for joint in shoulders], axis=0)
    return joints


def points(names: tuple[str, ...] = COCO, score: float = 2, by: Canvas | None = None) -> list[list[float]]:
    """Return x, y, score of the named points; with ``by``, as fractions of a picture of that size."""
    width, height = (by.width, by.height) if by else (1, 1)
    found = []
    for name in names:
        x, y = place(name) if name in JOINTS else (7, 7)
        found.append([x / width, y / height, score])
    return found


def flat(rows: list[list[float]]) -> list[float]:
    return [value for row in rows for value in row]


def coco(
    keypoints: list[float], names: tuple[str, ...] | None = COCO, category: str = "person", **more: Any
) -> dict[str, Any]:
    described: dict[str, Any] = {"id": 1, "name": category}
    if names is not None:
        described["keypoints"] = list(names)
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "height": SIZE.height, "width": SIZE.width}],
        "categories": [described],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "keypoints": keypoints}],
    } | more


def read(folder: Path, values: Any, name: str = "a.json") -> list[PoseEntry]:
    path = folder / name
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return read_pose_file(path)


def only(folder: Path, values: Any) -> PoseEntry:
    (posed,) = read(folder, values)
    return posed


# Order by names


OTHER = tuple(sorted(COCO))
SHORT = tuple(name.replace("left_", "L").replace("right_", "R") for name in OTHER)
H36M = (
    "root", "right_hip", "right_knee", "right_foot", "left_hip", "left_knee", "left_foot", "spine", "thorax",
    "neck_base", "head", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
)  # fmt: skip
POSETRACK = (
    "nose", "head_bottom", "head_top", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip


@pytest.mark.parametrize("spelt", ["{}", "{:upper}", "l_", "Left Hip", "hip-left"])
def test_keypoints_in_another_order_are_mapped_by_their_names(tmp_path: Path, spelt: str) -> None:
    spell = {
        "{}": str, "{:upper}": str.upper,
        "l_": lambda name: name.replace("left_", "l_").replace("right_", "r_"),
        "Left Hip": lambda name: name.replace("_", " ").title(),
        "hip-left": lambda name: "-".join(reversed(name.split("_"))),
    }[spelt]  # fmt: skip
    values = coco(flat(points(OTHER)), tuple(spell(name) for name in OTHER))
    assert np.array_equal(only(tmp_path, values).person(), expected())


def test_names_without_separators_are_understood() -> None:
    assert order_of_names(SHORT, "x") == tuple(OTHER.index(name) if name in OTHER else None for name in JOINTS)
    assert order_of_names([name.lower() for name in SHORT], "x") == order_of_names(SHORT, "x")


def test_human36m_has_no_face_and_its_feet_are_ankles(tmp_path: Path) -> None:
    standing = tuple(name.replace("foot", "ankle") for name in H36M)
    joints = only(tmp_path, coco(flat(points(standing)), H36M)).person()
    face = [joint for joint in JOINTS if joint.endswith(("eye", "ear", "nose"))]
    named = [place_ for joint, place_ in zip(JOINTS, joints, strict=True) if joint not in face and joint != "neck"]
    assert all(joint[2] == 1 for joint in named)
    assert tuple(joints[JOINTS.index("left_ankle"), :2]) == place("left_ankle")
    assert not joints[[JOINTS.index(joint) for joint in face]].any()


def test_a_neck_at_the_chin_is_not_taken_for_the_neck_of_openpose(tmp_path: Path) -> None:
    joints = only(tmp_path, coco(flat(points(POSETRACK)), POSETRACK)).person()
    assert np.array_equal(joints, expected("left_eye", "right_eye"))


@pytest.mark.parametrize("number", [17, 26, 133, 136])
def test_without_names_the_first_17_points_are_read_as_coco(tmp_path: Path, number: int) -> None:
    rows = points() + [[7.0, 7.0, 2.0]] * (number - 17)
    assert np.array_equal(only(tmp_path, coco(flat(rows), None)).person(), expected())
    results = [{"image_id": "b.jpg", "category_id": 1, "keypoints": flat(rows), "score": 2.9}]
    assert np.array_equal(only(tmp_path, results).person(), expected())


@pytest.mark.parametrize(
    ("names", "category", "says"),
    [
        (("nose", "neck", "tail_start", "left_front_paw", *COCO[4:]), "dog", "'dog' is not of people.*left_front_paw"),
        (tuple(f"thumb{n}" for n in range(17)), "hand", "'hand' has 0 of the 18 joints.*thumb0, thumb1"),
        (None, "antelope", "'antelope' does not name its keypoints"),
        ((*COCO[:16], "l_hip"), "person", "names 'left_hip' twice, as 'left_hip' and 'l_hip'"),
    ],
)
def test_categories_other_than_people_are_refused_by_name(
    tmp_path: Path, names: tuple[str, ...] | None, category: str, says: str
) -> None:
    with pytest.raises(ScmError, match=says):
        read(tmp_path, coco([5.0] * 51, names, category))


def test_annotations_of_other_categories_and_without_keypoints_are_skipped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dog = {"id": 2, "name": "dog", "keypoints": ["nose", "tail"]}
    values = coco(flat(points()))
    values["categories"].append(dog)
    values["annotations"] += [
        {"image_id": 1, "category_id": 2, "keypoints": [5, 5, 2, 9, 9, 2]},
        {"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]},
        {"image_id": 1, "category_id": 1, "keypoints": []},
    ]
    posed = only(tmp_path, values)
    assert len(posed.people) == 1
    assert "1 annotations are left out: category 'dog' is not of people" in caplog.text
    with pytest.raises(ScmError, match="has no annotation with 'keypoints'"):
        read(tmp_path, coco([], None) | {"annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4]}]})


def test_the_number_of_points_must_match_the_names(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match="has 54 numbers in 'keypoints', expected x, y, v of 17 keypoints"):
        only(tmp_path, coco([9.0] * 54)).person()


# Joints in 0-1


@pytest.mark.parametrize("form", ["coco", "openpose", "ours", "mediapipe"])
def test_joints_between_0_and_1_are_scaled_if_the_size_is_known_and_refused_otherwise(
    tmp_path: Path, form: str
) -> None:
    ours = {
        joint: {"x": x / SIZE.width, "y": y / SIZE.height}
        for joint, (x, y) in ((joint, place(joint)) for joint in JOINTS)
    }
    size = {"height": SIZE.height, "width": SIZE.width}
    known: dict[str, dict[str, Any]] = {
        "coco": coco(flat(points(by=SIZE))),
        "openpose": {"people": [{"pose_keypoints_2d": flat(points(JOINTS, 1, SIZE))}], **size},
        "ours": {"joints": ours, "canvas": size},
        "mediapipe": {"landmarks": [{"x": x, "y": y, "z": 0, "visibility": 1} for x, y, _ in mediapipe(SIZE)], **size},
    }
    posed = only(tmp_path, known[form])
    assert posed.canvas == SIZE
    neck = np.arange(18) != NECK
    assert np.allclose(posed.person()[neck], expected()[neck], atol=0.02)
    unknown = {key: value for key, value in known[form].items() if key not in ("height", "width", "canvas", "images")}
    posed = only(tmp_path, unknown)
    with pytest.raises(ScmError, match="lie between 0 and 1, not in pixels; give the picture's size with --frame HxW"):
        posed.person()
    assert np.allclose(posed.person(frame=SIZE)[neck], expected()[neck], atol=0.02)


def test_joints_around_the_middle_of_the_picture_are_refused_whatever_its_size(tmp_path: Path) -> None:
    values = coco(flat([[2 * x - 1, 2 * y - 1, s] for x, y, s in points(by=SIZE)]))
    with pytest.raises(ScmError, match="lie between -1 and 1, not in pixels"):
        only(tmp_path, values).person()


def mediapipe(by: Canvas | None = None) -> list[list[float]]:
    inner = {
        0: "nose", 2: "left_eye", 5: "right_eye", 7: "left_ear", 8: "right_ear", 11: "left_shoulder",
        12: "right_shoulder", 13: "left_elbow", 14: "right_elbow", 15: "left_wrist", 16: "right_wrist", 23: "left_hip",
        24: "right_hip", 25: "left_knee", 26: "right_knee", 27: "left_ankle", 28: "right_ankle",
    }  # fmt: skip
    return points(tuple(inner.get(number, "other") for number in range(33)), 1, by)


# Lists


@pytest.mark.parametrize("number", [1, 2])
def test_a_list_of_openpose_frames_gives_one_pose_per_frame(tmp_path: Path, number: int) -> None:
    frame = {"people": [{"pose_keypoints_2d": flat(points(JOINTS, 0.9)), "face_keypoints_2d": None}]}
    frames = [frame | {"canvas_height": 400, "canvas_width": 200} for _ in range(number)]
    found = read(tmp_path, frames)
    assert [posed.name for posed in found] == (["a"] if number == 1 else ["a_0001", "a_0002"])
    assert {posed.canvas for posed in found} == {SIZE}
    assert all(posed.person()[:, 2].all() for posed in found)


def test_width_and_height_beside_people_set_the_frame(tmp_path: Path) -> None:
    values = {"people": [{"pose_keypoints_2d": flat(points(JOINTS, 1))}], "width": 200, "height": 400}
    assert only(tmp_path, values).canvas == SIZE


def test_predictions_of_other_programs_are_read(tmp_path: Path) -> None:
    xy = [row[:2] for row in points()]
    mmpose = [{"keypoints": xy, "keypoint_scores": [1.0] * 17, "bbox": [[0, 0, 9, 9]], "bbox_score": 0.9}]
    video = {"meta_info": {"dataset_name": "coco"}, "instance_info": [{"frame_id": 1, "instances": mmpose}] * 2}
    yolo_points = {"x": [x for x, _ in xy], "y": [y for _, y in xy], "visible": [1.0] * 17}
    yolo = [{"name": "person", "class": 0, "box": {}, "keypoints": yolo_points}]
    tfjs = [
        {
            "keypoints": [
                {"x": x, "y": y, "score": 1, "name": n} for n, (x, y, _) in zip(OTHER, points(OTHER), strict=True)
            ]
        }
    ]
    alphapose = {"b.jpg": {"version": "AlphaPose v0.3", "bodies": [{"joints": flat(points(JOINTS, 1))}]}}
    for values, names in ((mmpose, ["a"]), (video, ["a_0001", "a_0002"]), (yolo, ["a"]), (tfjs, ["a"])):
        found = read(tmp_path, values)
        assert [posed.name for posed in found] == names
        assert all(np.array_equal(posed.person(), expected()) for posed in found)
    posed = only(tmp_path, alphapose)
    assert posed.name == "b"
    assert [tuple(joint[:2]) for joint in posed.person()] == [place(joint) for joint in JOINTS]
    assert np.array_equal(only(tmp_path, points(score=1)).person(), expected())
    assert np.array_equal(only(tmp_path, mediapipe()).person(), expected())


AP10K = (
    "L_Eye", "R_Eye", "Nose", "Neck", "Root of tail", "L_Shoulder", "L_Elbow", "L_F_Paw", "R_Shoulder", "R_Elbow",
    "R_F_Paw", "L_Hip", "L_Knee", "L_B_Paw", "R_Hip", "R_Knee", "R_B_Paw",
)  # fmt: skip


def mmpose(names: tuple[str, ...], placed: tuple[str, ...]) -> dict[str, Any]:
    """Return what MMPose's demos write with --save-predictions: names of the data set beside the people."""
    rows = points(placed)
    person = {"keypoints": [row[:2] for row in rows], "keypoint_scores": [1.0] * len(rows), "bbox": [[0, 0, 9, 9]]}
    id2name = {str(number): name for number, name in enumerate(names)}
    return {"meta_info": {"dataset_name": "x", "keypoint_id2name": id2name}, "instance_info": [person]}


def test_predictions_of_mmpose_are_mapped_by_the_names_beside_them(tmp_path: Path) -> None:
    """Human3.6M and AP-10K have 17 points too: read as COCO's, a person would come out in knots."""
    standing = tuple(name.replace("foot", "ankle") for name in H36M)
    joints = only(tmp_path, mmpose(H36M, standing)).person()
    assert tuple(joints[JOINTS.index("left_ankle"), :2]) == place("left_ankle")
    assert tuple(joints[JOINTS.index("right_hip"), :2]) == place("right_hip")
    assert np.array_equal(only(tmp_path, mmpose(OTHER, OTHER)).person(), expected())
    with pytest.raises(ScmError, match="person 1 is not of people; its keypoints are L_Eye, R_Eye, Nose"):
        read(tmp_path, mmpose(AP10K, COCO))
    with pytest.raises(ScmError, match="person 1 has 17 points and 16 names of points"):
        read(tmp_path, mmpose(COCO[:16], COCO))
    with pytest.raises(ScmError, match="'keypoint_id2name' does not hold the names of keypoints 0, 1, 2"):
        read(tmp_path, mmpose(COCO, COCO) | {"meta_info": {"keypoint_id2name": {"7": "nose"}}})


def test_a_prediction_without_people_says_so(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match="a: no person was found in this picture"):
        only(tmp_path, []).person()


@pytest.mark.parametrize("form", ["python", "nested", "web", "android"])
def test_mediapipes_landmarks_are_read_as_its_interfaces_write_them(tmp_path: Path, form: str) -> None:
    dicts = [{"x": x, "y": y, "z": -0.1, "visibility": 1.0} for x, y, _ in mediapipe(SIZE)]
    world = [{"x": 0.1, "y": -0.5, "z": 0.2, "visibility": 1.0}] * 33
    values: dict[str, dict[str, Any]] = {
        "python": {"landmark": dicts},  # MessageToDict of NormalizedLandmarkList
        "nested": {"pose_landmarks": {"landmark": dicts}, "pose_world_landmarks": {"landmark": world}},
        "web": {"poseLandmarks": dicts, "poseWorldLandmarks": world},
        "android": {"landmarks": [dicts], "worldLandmarks": [world]},  # PoseLandmarker: a list of people
    }
    posed = only(tmp_path, values[form])
    assert len(posed.people) == 1
    neck = np.arange(18) != NECK
    assert np.allclose(posed.person(frame=SIZE)[neck], expected()[neck], atol=0.02)


@pytest.mark.parametrize("missing", [[0, 0, 1], [0, 0, 0], None, [None, None, None], [float("nan"), 3, 1]])
def test_a_joint_at_0_0_or_null_or_nan_is_missing(tmp_path: Path, missing: Any) -> None:
    rows: list[Any] = points(JOINTS, 1)
    rows[4] = missing
    joints = only(tmp_path, rows).person()
    assert not joints[4].any()
    assert joints[:4].all()
    assert joints[5:].all()
    if missing is not None:
        assert not only(tmp_path, {"people": [{"pose_keypoints_2d": flat(rows)}]}).person()[4].any()


# What is refused


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"version": "5.0", "flags": {}, "shapes": [], "imagePath": "a.jpg"}, "is a LabelMe annotation"),
        ({"version": "5.0", "flags": {}}, "holds no pose but 'version', 'flags'"),
        ([{"id": 1, "annotations": [{"result": []}], "data": {"img": "a.jpg"}}], "is a Label Studio export"),
        ([[9.0, 9.0, 1.0]] * 21, "the list has 21 points, expected"),
        ([{"keypoints": [[1, 2]] * 17, "keypoint_scores": [1]}], "has 17 keypoints and 1 scores"),
        ([{"keypoints": {"x": [1], "y": []}}], "has 1 x, 0 y and 1 scores"),
        ([{"people": []}, 3], "frame 2 has no 'people'"),
        ({"landmarks": [{"x": 1}] * 33}, "a point has no x and y"),
    ],
)
def test_an_unknown_format_is_a_one_line_error_without_a_wrong_suggestion(
    tmp_path: Path, values: Any, says: str
) -> None:
    with pytest.raises(ScmError, match=says) as caught:
        read(tmp_path, values)
    assert "did you mean" not in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'a.json'}: ")


def test_a_correctly_spelled_word_gets_no_suggestion() -> None:
    assert nearest("version", ["version", "versions"]) == ""
    assert nearest("versoin", ["version"]) == "; did you mean 'version'?"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_in_other_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.json").write_bytes(json.dumps(coco(flat(points()))).encode(encoding))
    assert np.array_equal(read_pose_file(tmp_path / "a.json")[0].person(), expected())
    (tmp_path / "b.json").write_bytes('{"name": "fünf"}'.encode("cp1252"))
    with pytest.raises(ScmError, match=r"b\.json: .*save it as UTF-8"):
        read_pose_file(tmp_path / "b.json")


CVAT = '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <image id="0" name="a.jpg">\n</annotations>\n'
YOLO = "0 0.5 0.5 0.3 0.8 " + " ".join(f"0.4 0.{n} 2" for n in range(20, 37)) + "\n"
IS_XML = "is XML, as CVAT writes its annotations; export the skeletons as COCO keypoints"
IS_YOLO = "is a label file of YOLO, which does not say what its points are; export the skeletons as COCO keypoints"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.xml", CVAT, IS_XML),
        ("a.txt", CVAT, IS_XML),
        ("a.txt", YOLO, IS_YOLO),
        ("a.txt", "1 0.5 0.5 0.2 0.2", IS_YOLO),
    ],
)
def test_cvats_xml_and_yolos_labels_are_refused_with_a_remedy(
    place: Place, scm: Scm, name: str, content: str, says: str
) -> None:
    Path(name).write_text(content)
    Path("labels").mkdir()
    (Path("labels") / name).write_text(content)
    for command in (
        ("poses", name, "--frame", "256x176", "--save", "saved"),
        ("transfer", "--src", "data/anna", "--pose", name, "-m", "run"),
        ("preprocess", "data/images", "-o", "out", "--layout", "folder", "--joints", name),
        ("preprocess", "data/images", "-o", "out", "--layout", "folder", "--joints", "labels"),
    ):
        done = scm(*command)
        assert done.code == 2
        assert len(done.errors) == 1
        assert f"{name}{' ' if 'labels' in command else ': '}{says}" in done.errors[0]


# The command


def test_the_command_scales_0_1_with_frame_and_refuses_without(place: Place, scm: Scm) -> None:
    Path("norm.json").write_text(json.dumps([{"image_id": "a.jpg", "keypoints": flat(points(by=SIZE)), "score": 1}]))
    refused = scm("poses", "norm.json", "--save", "saved")
    assert refused.code == 2
    assert "--frame HxW" in refused.errors[0]
    done = scm("poses", "norm.json", "--frame", "400x200", "--save", "saved")
    assert np.allclose(read_pose_file(done.paths[0])[0].person(), expected(), atol=0.02)
