"""Pose files: our own JSON, and formats of detectors and annotation tools, recognised by their content.

```
{
  "format": "scm-net pose",
  "version": 1,
  "name": "walking",
  "canvas": {"height": 256, "width": 176},
  "joints": {
    "nose": {"x": 88.2, "y": 30.1, "score": 1},
    "neck": null
  }
}
```

is our format, which can be written by hand: a joint that is null or absent is missing, and a score can be left out.
``docs/formats.md`` lists the other formats.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.files import read_text, write_text
from scmnet_cli.poses.detections import (
    LANDMARK_KEYS,
    as_list,
    canvas_of,
    mmpose_names,
    read_coco,
    read_landmarks,
    read_openpose,
    read_openpose_frames,
    read_people,
    read_size,
)
from scmnet_cli.poses.entry import PoseEntry
from scmnet_cli.poses.joints import known_joints, number, number_or_nan
from scmnet_cli.skeleton import JOINTS, NUM_JOINTS
from scmnet_cli.types import FloatArray, Pose

__all__ = ["FORMAT", "VERSION", "XML_REMEDY", "PoseEntry", "list_of_joints", "read_pose_file", "save_pose"]

FORMAT = "scm-net pose"
VERSION = 1

_KNOWN = ("format", "version", "name", "description", "source", "canvas", "joints")
_READS = (
    "read are this program's poses, OpenPose's 'people', COCO's 'annotations' or results, predictions of MMPose and "
    "Ultralytics, MediaPipe's landmarks, or a list of 18 [x, y, score]"
)
_TOOLS = (
    (
        ("shapes", "imagePath"),
        "is a LabelMe annotation, which holds shapes and no skeleton; export it as COCO keypoints",
    ),
    (("result", "data"), "is a Label Studio export; export it as COCO keypoints"),
    (("annotations", "data"), "is a Label Studio export; export it as COCO keypoints"),
    (("_via_img_metadata",), "is a VIA project; export it as COCO keypoints"),
    (("layout", "pose_estimator"), "is the manifest of a prepared folder; give the folder itself"),
)
"""Unsupported files of other tools, by their keys, with the remedy."""

XML_REMEDY = "is XML, as CVAT writes its annotations; export the skeletons as COCO keypoints"


def read_pose_file(path: Path) -> list[PoseEntry]:
    """Read a JSON file of poses, one entry per image.

    Raises:
        ScmError: if the file cannot be read or holds no poses. An error in one of several images is raised when its
            joints are read.
    """
    text = read_text(path, "JSON")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ScmError(f"{path}: cannot be read as JSON ({error})") from error
    try:
        return _read(path, values)
    except ScmError as error:
        raise ScmError(f"{path}: {error}") from error


def _read(path: Path, values: Any) -> list[PoseEntry]:
    name = path.stem.removesuffix(".joints").removesuffix("_keypoints")
    if isinstance(values, list):
        return _read_list(path, name, values)
    if not isinstance(values, dict):
        raise ScmError(f"holds a {type(values).__name__}, not poses; {_READS}")
    _refuse_other_tools(values)
    if "people" in values or "bodies" in values:
        return [read_openpose(name, values)]
    if "annotations" in values:
        return read_coco(path, values)
    if values.get("format") == FORMAT or "joints" in values:
        return [_read_ours(path.stem, values)]
    if "instance_info" in values:  # MMPose's --save-predictions, of a video or of one picture
        names = mmpose_names(values.get("meta_info"))
        return _read_mmpose(name, as_list(values["instance_info"], "instance_info"), names)
    for key in LANDMARK_KEYS:
        if key in values:
            return [_read_one_picture(name, values[key], values)]
    if values and all(isinstance(frame, dict) and {"people", "bodies"} & frame.keys() for frame in values.values()):
        return [read_openpose(Path(picture).stem, frame) for picture, frame in values.items()]  # AlphaPose, one file
    raise ScmError(_no_pose(values))


def _read_list(path: Path, name: str, values: list[Any]) -> list[PoseEntry]:
    if not values:  # MMPose's prediction of a picture without people
        return [PoseEntry(name, ())]
    first = next((value for value in values if value is not None), None)
    if not isinstance(first, dict):
        joints = list_of_joints(values) if len(values) == NUM_JOINTS else None
        return [PoseEntry(name, (read_landmarks(values, "the list") if joints is None else joints,))]
    if any(isinstance(value, dict) and {"people", "bodies"} & value.keys() for value in values):
        return read_openpose_frames(name, values)
    _refuse_other_tools(first)
    if "image_id" in first:
        return read_coco(path, {"annotations": values})
    if "instances" in first:
        return _read_mmpose(name, values)
    if {"x", "y"} <= first.keys():
        return [PoseEntry(name, (read_landmarks(values, "the list"),))]
    if "keypoints" in first:
        return [read_people(name, values)]
    raise ScmError(_no_pose(first))


def _no_pose(values: dict[str, Any]) -> str:
    keys = ", ".join(f"'{str(key)[:30]}'" for key in list(values)[:6]) or "nothing"
    known = (*_KNOWN, "people", "annotations", *LANDMARK_KEYS)
    unknown = next((key for key in values if key not in known), "")
    return f"holds no pose but {keys}; {_READS}{nearest(unknown, known)}"


def _refuse_other_tools(values: dict[str, Any]) -> None:
    for keys, what in _TOOLS:
        if all(key in values for key in keys):
            raise ScmError(what)


def _read_mmpose(name: str, frames: list[Any], names: Sequence[str] = ()) -> list[PoseEntry]:
    if frames and all(isinstance(frame, dict) and "instances" in frame for frame in frames):
        named = [f"{name}_{count:04d}" if len(frames) > 1 else name for count in range(1, len(frames) + 1)]
        return [
            read_people(of, as_list(frame["instances"], "instances"), names)
            for of, frame in zip(named, frames, strict=True)
        ]
    return [read_people(name, frames, names)]


def _read_one_picture(name: str, given: Any, values: dict[str, Any]) -> PoseEntry:
    """Read the landmarks of one person or of several people in one image."""
    canvas = canvas_of(values, "")
    is_several = isinstance(given, list) and bool(given) and isinstance(given[0], list) and _holds_points(given[0])
    people = given if is_several else [given]
    scores = None if is_several else values.get("keypoint_scores")
    return PoseEntry(name, tuple(read_landmarks(person, "landmarks", scores) for person in people), canvas)


def _holds_points(person: list[Any]) -> bool:
    return bool(person) and isinstance(person[0], dict | list)


def _read_ours(name: str, values: dict[str, Any]) -> PoseEntry:
    for key in values:
        if key not in _KNOWN:
            raise ScmError(f"unknown '{key[:40]}'{nearest(key, _KNOWN) or '; known: ' + ', '.join(_KNOWN)}")
    version = values.get("version", VERSION)
    if not isinstance(version, int) or version > VERSION:
        raise ScmError(f"has format version {version}, this program reads up to {VERSION}; install a newer one")
    given = values.get("joints")
    if not isinstance(given, dict):
        raise ScmError(f"'joints' is a {type(given).__name__}, expected names of joints with x and y")
    joints = np.zeros((NUM_JOINTS, 3))
    for joint, place in given.items():
        if joint not in JOINTS:
            raise ScmError(f"unknown joint '{joint[:40]}'{nearest(joint, JOINTS) or '; known: ' + ', '.join(JOINTS)}")
        if place is None:
            continue
        if not isinstance(place, dict) or not {"x", "y"} <= set(place) <= {"x", "y", "score"}:
            raise ScmError(f"joint '{joint}': expected x and y, and a score from 0 to 1 if it is not 1, or null")
        at = [number(place.get(part, 1), f"joint '{joint}'") for part in ("x", "y", "score")]
        _check_joint(at, f"joint '{joint}'")
        joints[JOINTS.index(joint)] = at
    texts = [values.get(key, "") for key in ("name", "description", "source")]
    if not all(isinstance(text, str) for text in texts):
        raise ScmError("name, description and source must be texts")
    canvas = None if values.get("canvas") is None else read_size(values["canvas"], "canvas")
    return PoseEntry(texts[0] or name, (known_joints(joints),), canvas, description=texts[1], source=texts[2])


def list_of_joints(values: Any) -> FloatArray:
    """Read a list of 18 ``[x, y, score]`` as joints; null marks a missing joint.

    Shape:
        result: (18, 3) float32.

    Raises:
        ScmError: if it is something else.
    """
    if not isinstance(values, list) or len(values) != NUM_JOINTS:
        what = f"a list of {len(values)}" if isinstance(values, list) else f"a {type(values).__name__}"
        raise ScmError(f"is {what}, expected {NUM_JOINTS} times [x, y, score]")
    joints = np.zeros((NUM_JOINTS, 3))
    for place, (name, joint) in enumerate(zip(JOINTS, values, strict=True)):
        if joint is None:
            continue
        if not isinstance(joint, list) or len(joint) != 3:
            raise ScmError(f"{name}: expected [x, y, score] or null; the file is a list of {NUM_JOINTS}")
        at = [number_or_nan(value, name) for value in joint]
        _check_joint(at, name)
        joints[place] = at
    return known_joints(joints)


def _check_joint(joint: list[float], where: str) -> None:
    """Check a single joint, so that the message can name it."""
    row = np.zeros((NUM_JOINTS, 3))
    row[0] = joint
    known_joints(row, where)


def save_pose(path: Path, pose: Pose, description: str = "", source: str = "") -> None:
    """Write a pose as our JSON, one line per joint.

    Raises:
        ScmError: if the file cannot be written.
    """
    head = {"format": FORMAT, "version": VERSION, "name": pose.name}
    head |= {key: text for key, text in (("description", description), ("source", source)) if text}
    head["canvas"] = {"height": pose.canvas.height, "width": pose.canvas.width}
    lines = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}," for key, value in head.items()]
    places = [
        f'    "{name}": ' + (json.dumps(_place(joint)) if joint[2] > 0 else "null")
        for name, joint in zip(JOINTS, pose.joints, strict=True)
    ]
    write_text(path, "\n".join(["{", *lines, '  "joints": {', ",\n".join(places), "  }", "}"]) + "\n")


def _place(joint: FloatArray) -> dict[str, float]:
    return {part: round(float(value), 3) for part, value in zip(("x", "y", "score"), joint, strict=True)}
