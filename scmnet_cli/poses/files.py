"""Pose files: our own JSON, OpenPose's, COCO's, and bare lists of 18 joints. What a file holds tells which it is.

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

is ours, to be written by hand as well: a joint that is null or not there is missing, and a score may be left out.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scmnet_cli.data.prepared import write_text
from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.skeleton import JOINTS, NUM_JOINTS
from scmnet_cli.types import Canvas, FloatArray, Pose

FORMAT = "scm-net pose"
VERSION = 1

_KNOWN = ("format", "version", "name", "description", "source", "canvas", "joints")
_READS = "one of this program, OpenPose's 'people', COCO's 'annotations' or results, or a list of 18 [x, y, score]"

MIN_SCORE = 0.05
"""A joint of OpenPose's or COCO's with a lower score is missing: OpenPose draws none below it either."""

_MAX_BYTES = 200_000_000
_MAX_PIXEL = 1e6
_MAX_SIDE = 100_000

_OPENPOSE = {18: range(18), 25: (*range(8), *range(9, 19))}
"""By how many joints a person has, where ours stand among them: COCO-18 is ours, BODY_25 adds mid-hip (8) and feet."""

_COCO = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
"""Where our joints stand among COCO's 17; it has no neck."""

_NECK, _SHOULDERS = JOINTS.index("neck"), (JOINTS.index("right_shoulder"), JOINTS.index("left_shoulder"))


@dataclass(frozen=True)
class Posed:
    """What a pose file says of one picture.

    Attributes:
        name: of the picture.
        people: (18, 3) float32 each, in the order of the file.
        canvas: size of the picture; None where the file does not tell.
        problem: why the picture's poses cannot be used, if they cannot.
        description: what the pose is, in a few words.
        source: where it comes from.
    """

    name: str
    people: tuple[FloatArray, ...]
    canvas: Canvas | None = None
    problem: str = ""
    description: str = ""
    source: str = ""

    def person(self, number: int = 0) -> FloatArray:
        """Return the joints of one person.

        Args:
            number: the N-th person of the file, from 1; 0: the most prominent, whose known joints span the largest box,
                times their mean score.

        Shape:
            result: (18, 3).

        Raises:
            ScmError: if there is none, or what the file says of the picture cannot be used.
        """
        if self.problem:
            raise ScmError(self.problem)
        if not self.people:
            raise ScmError(f"{self.name}: no person was found in this picture")
        if number > len(self.people):
            known = len(self.people)
            raise ScmError(f"{self.name}: person {number} is asked for, and the file knows {known} in this picture")
        return max(self.people, key=_prominence) if number == 0 else self.people[number - 1]


def _prominence(joints: FloatArray) -> float:
    known = joints[joints[:, 2] > 0, :2]
    return float(np.prod(np.ptp(known, axis=0)) * joints[:, 2].mean()) if len(known) else -1.0


def read_pose_file(path: Path) -> list[Posed]:
    """Read a JSON file of poses, a picture each.

    Raises:
        ScmError: if the file cannot be read or holds no poses; what is wrong with one of several pictures is told when
            its joints are asked for.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ScmError(f"{path}: is over {_MAX_BYTES // 1_000_000} MB; cut it into smaller pose files")
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ScmError(f"{path}: cannot be read as JSON ({error})") from error
    try:
        return _read(path, values)
    except ScmError as error:
        raise ScmError(f"{path}: {error}") from error


def _read(path: Path, values: Any) -> list[Posed]:
    name = path.stem
    if isinstance(values, list):
        if values and not isinstance(values[0], dict):
            return [Posed(name.removesuffix(".joints"), (_list_of_joints(values),))]
        return _coco_pictures(path, values, {})
    if not isinstance(values, dict):
        raise ScmError(f"holds a {type(values).__name__}, not poses; read is {_READS}")
    if "people" in values:
        return [_openpose(name.removesuffix("_keypoints"), values)]
    if "annotations" in values:
        return _coco_pictures(path, values["annotations"], _coco_images(values.get("images", [])))
    if values.get("format") == FORMAT or "joints" in values:
        return [_ours(name, values)]
    raise ScmError(f"holds no pose; read is {_READS}{nearest(next(iter(values), ''), _KNOWN)}")


def _ours(name: str, values: dict[str, Any]) -> Posed:
    for key in values:
        if key not in _KNOWN:
            raise ScmError(f"unknown '{key[:40]}'{nearest(key, _KNOWN) or '; known: ' + ', '.join(_KNOWN)}")
    version = values.get("version", VERSION)
    if not isinstance(version, int) or version > VERSION:
        raise ScmError(f"has format version {version}, this program reads up to {VERSION}; install a newer one")
    given = values.get("joints")
    if not isinstance(given, dict):
        raise ScmError(f"'joints' is a {type(given).__name__}, expected names of joints with x and y")
    joints = np.zeros((NUM_JOINTS, 3), np.float32)
    for joint, place in given.items():
        if joint not in JOINTS:
            raise ScmError(f"unknown joint '{joint[:40]}'{nearest(joint, JOINTS) or '; known: ' + ', '.join(JOINTS)}")
        if place is None:
            continue
        if not isinstance(place, dict) or not {"x", "y"} <= set(place) <= {"x", "y", "score"}:
            raise ScmError(f"joint '{joint}': expected x and y, and a score from 0 to 1 if it is not 1, or null")
        joints[JOINTS.index(joint)] = _joint(place["x"], place["y"], place.get("score", 1), f"joint '{joint}'")
    canvas = values.get("canvas")
    texts = [values.get(key, "") for key in ("name", "description", "source")]
    if not all(isinstance(text, str) for text in texts):
        raise ScmError("name, description and source must be texts")
    size = None if canvas is None else _canvas(canvas, "canvas")
    return Posed(texts[0] or name, (joints,), size, description=texts[1], source=texts[2])


def _list_of_joints(values: list[Any]) -> FloatArray:
    if len(values) != NUM_JOINTS or not all(isinstance(place, list) and len(place) == 3 for place in values):
        raise ScmError(f"is a list of {len(values)}, expected {NUM_JOINTS} times [x, y, score]")
    return np.array(
        [_joint(place[0], place[1], place[2], name) for name, place in zip(JOINTS, values, strict=True)], np.float32
    )


def _openpose(name: str, values: dict[str, Any]) -> Posed:
    people = []
    for number, person in enumerate(_list(values["people"], "people"), start=1):
        if not isinstance(person, dict):
            raise ScmError(f"person {number} is a {type(person).__name__}, expected pose_keypoints_2d")
        flat = _list(person.get("pose_keypoints_2d", person.get("pose_keypoints")), "pose_keypoints_2d")
        if not flat:  # somebody of whom only hands or a face were seen
            people.append(np.zeros((NUM_JOINTS, 3), np.float32))
            continue
        order = _OPENPOSE.get(len(flat) // 3)
        if order is None or len(flat) % 3:
            raise ScmError(f"person {number} has {len(flat)} numbers; read is BODY_25 (75) and COCO-18 (54)")
        people.append(_detected(flat, order, f"person {number}"))
    known = [joints[joints[:, 2] > 0, :2] for joints in people]
    if any(len(places) > 1 and np.abs(places).max() <= 1 for places in known):
        raise ScmError("its joints lie between 0 and 1, not in pixels; write it with --keypoint_scale 0")
    canvas = None
    if "canvas_height" in values:  # some programs that write OpenPose's form say it, OpenPose itself does not
        canvas = _canvas({"height": values["canvas_height"], "width": values.get("canvas_width")}, "canvas_height")
    return Posed(name, tuple(people), canvas)


def _coco_images(images: Any) -> dict[Any, tuple[str, Canvas | None]]:
    found = {}
    for image in _list(images, "images"):
        if not isinstance(image, dict) or not isinstance(image.get("id"), int | str):
            raise ScmError("an entry of 'images' has no id")
        name = image.get("file_name", image["id"])
        size = _canvas(image, f"image {image['id']}") if "height" in image else None
        found[image["id"]] = (str(name), size)
    return found


def _coco_pictures(path: Path, annotations: Any, images: dict[Any, tuple[str, Canvas | None]]) -> list[Posed]:
    people: dict[Any, list[FloatArray]] = {}
    problems: dict[Any, str] = {}
    for number, annotation in enumerate(_list(annotations, "annotations"), start=1):
        if not isinstance(annotation, dict) or not isinstance(annotation.get("image_id"), int | str):
            raise ScmError(f"annotation {number} has no image_id")
        of = annotation["image_id"]
        try:
            flat = _list(annotation.get("keypoints"), "keypoints")
            if len(flat) != 51:
                raise ScmError(f"has {len(flat)} numbers in 'keypoints', expected COCO's 17 times x, y, v")
            joints = _detected(flat, _COCO, "joint")
        except ScmError as error:
            problems[of] = f"{path}: annotation {number}: {error}"
            continue
        if (joints[:, 2] > 0).any():
            people.setdefault(of, []).append(joints)
    order = dict.fromkeys([*people, *problems])
    named = {of: images.get(of, (str(of), None)) for of in order}
    return [Posed(name, tuple(people.get(of, ())), size, problems.get(of, "")) for of, (name, size) in named.items()]


def _detected(flat: list[Any], order: Any, where: str) -> FloatArray:
    """Bring x, y, score of a detector into our order; a neck that it does not know lies between the shoulders."""
    numbers = np.array([_number(value, where) for value in flat]).reshape(-1, 3)
    joints = np.zeros((NUM_JOINTS, 3))
    for joint, place in enumerate(order):
        if place is not None:
            joints[joint] = numbers[place]
    joints[joints[:, 2] < MIN_SCORE] = 0
    if np.abs(joints[:, :2]).max() > _MAX_PIXEL:
        raise ScmError(f"{where}: {np.abs(joints[:, :2]).max():g} is no pixel")
    joints[:, 2] = joints[:, 2].clip(0, 1)
    right, left = joints[list(_SHOULDERS)]
    if order is _COCO and right[2] > 0 and left[2] > 0:
        joints[_NECK] = (*(right[:2] + left[:2]) / 2, min(right[2], left[2]))
    return joints.astype(np.float32)


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ScmError(f"'{what}' is a {type(value).__name__}, expected a list")
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ScmError(f"{where}: '{str(value)[:40]}' is no number")
    try:
        number = float(value)
    except OverflowError as error:
        raise ScmError(f"{where}: holds a number that is too large") from error
    if not math.isfinite(number):
        raise ScmError(f"{where}: {number} is no number to use")
    return number


def _joint(x: Any, y: Any, score: Any, where: str) -> tuple[float, float, float]:
    place = _number(x, where), _number(y, where), _number(score, where)
    if max(abs(place[0]), abs(place[1])) > _MAX_PIXEL:
        raise ScmError(f"{where}: {max(place, key=abs):g} is no pixel")
    if not 0 <= place[2] <= 1:
        raise ScmError(f"{where}: score {place[2]:g} is beyond 0-1")
    return place if place[2] > 0 else (0.0, 0.0, 0.0)


def _canvas(value: Any, where: str) -> Canvas:
    height, width = (value.get(side) if isinstance(value, dict) else None for side in ("height", "width"))
    if not all(type(side) is int and 1 <= side <= _MAX_SIDE for side in (height, width)):
        raise ScmError(f"{where}: expected height and width in pixels, such as 256 and 176")
    return Canvas(height, width)  # type: ignore[arg-type]


def save_pose(path: Path, pose: Pose, description: str = "", source: str = "") -> None:
    """Write a pose as our JSON, a line a joint.

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
