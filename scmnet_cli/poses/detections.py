"""Read joints from the output of detectors and annotation tools: OpenPose, COCO, and lists of other programs.

All readers call :func:`detected_joints`, so they treat missing joints, scores and the neck in the same way.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scmnet_cli.errors import ScmError
from scmnet_cli.poses.entry import PoseEntry
from scmnet_cli.poses.joints import known_joints, number_or_nan
from scmnet_cli.poses.orders import COCO, LANDMARKS, OPENPOSE, Order, is_person, order_of_names
from scmnet_cli.skeleton import JOINTS, NUM_JOINTS
from scmnet_cli.types import Canvas, FloatArray

_log = logging.getLogger(__name__)

MIN_SCORE = 0.05
"""Joints with a lower score are missing; OpenPose does not draw them either."""

_MAX_SIDE = 100_000
_NUM_MEDIAPIPE = 33
_NECK, _SHOULDERS = JOINTS.index("neck"), (JOINTS.index("right_shoulder"), JOINTS.index("left_shoulder"))
_HEIGHTS, _WIDTHS = ("canvas_height", "height", "image_height"), ("canvas_width", "width", "image_width")

LANDMARK_KEYS = ("pose_landmarks", "poseLandmarks", "landmarks", "landmark", "keypoints")
"""Keys of the landmarks of one image."""


def detected_joints(keypoints: npt.NDArray[np.float64], order: Order, where: str) -> FloatArray:
    """Convert keypoints of another order to our joints.

    Joints with a score below :data:`MIN_SCORE` are missing; scores above 1 (COCO's visibility) count as 1. If the order
    has no neck, it is the midpoint of the shoulders, like OpenPose's.

    Shape:
        keypoints: (K, 3) x, y, score; result: (18, 3) float32.

    Raises:
        ScmError: if a coordinate is not a valid pixel.
    """
    joints = np.zeros((NUM_JOINTS, 3))
    for joint, index in enumerate(order):
        if index is not None:
            joints[joint] = keypoints[index]
    joints[~(joints[:, 2] >= MIN_SCORE)] = 0
    joints[:, 2] = joints[:, 2].clip(0, 1)
    known = known_joints(joints, where)
    right, left = known[list(_SHOULDERS)]
    if order[_NECK] is None and right[2] > 0 and left[2] > 0:
        known[_NECK] = (*(right[:2] + left[:2]) / 2, min(right[2], left[2]))
    return known


def canvas_of(values: Mapping[str, Any], where: str) -> Canvas | None:
    """Return the image size given with the poses; None without one.

    Raises:
        ScmError: if it is not a valid size.
    """
    heights = [key for key in _HEIGHTS if key in values]
    if not heights:
        return None
    width = values.get(_WIDTHS[_HEIGHTS.index(heights[0])])
    return read_size({"height": values[heights[0]], "width": width}, where or heights[0])


def read_size(value: Any, where: str) -> Canvas:
    """Read ``{"height": H, "width": W}`` as a size.

    Raises:
        ScmError: if it is something else.
    """
    height, width = (value.get(side) if isinstance(value, dict) else None for side in ("height", "width"))
    if not all(type(side) is int and 1 <= side <= _MAX_SIDE for side in (height, width)):
        raise ScmError(f"{where}: expected height and width in pixels, such as 256 and 176")
    return Canvas(height, width)  # type: ignore[arg-type]


def as_list(value: Any, what: str) -> list[Any]:
    """Return a JSON value after checking that it is a list.

    Raises:
        ScmError: if it is not.
    """
    if not isinstance(value, list):
        raise ScmError(f"'{what}' is a {type(value).__name__}, expected a list")
    return value


def read_openpose(name: str, values: Mapping[str, Any]) -> PoseEntry:
    """Read a frame in OpenPose's format, which DWPose, ComfyUI nodes, pose editors and AlphaPose write too.

    The size of the frame is ``canvas_height`` and ``canvas_width``, or ``height`` and ``width``.

    Raises:
        ScmError: if it is damaged, or its people have another number of keypoints than OpenPose's.
    """
    people = []
    key = "people" if "people" in values else "bodies"  # AlphaPose's --format cmu
    for count, person in enumerate(as_list(values[key], key), start=1):
        if not isinstance(person, dict):
            raise ScmError(f"person {count} is a {type(person).__name__}, expected pose_keypoints_2d")
        given = person.get("pose_keypoints_2d", person.get("pose_keypoints", person.get("joints")))
        flat = as_list(given, "pose_keypoints_2d")
        if not flat:  # only hands or a face were detected
            people.append(np.zeros((NUM_JOINTS, 3), np.float32))
            continue
        order = OPENPOSE.get(len(flat) // 3)
        if order is None or len(flat) % 3:
            raise ScmError(f"person {count} has {len(flat)} numbers; expected BODY_25 (75) or COCO-18 (54)")
        people.append(detected_joints(_triples(flat, f"person {count}"), order, f"person {count}"))
    return PoseEntry(name, tuple(people), canvas_of(values, ""))


def read_openpose_frames(name: str, frames: Sequence[Any]) -> list[PoseEntry]:
    """Read a list of OpenPose frames, as ComfyUI nodes save it: one image each, numbered from 1 if there are several.

    Raises:
        ScmError: if one of them is damaged.
    """
    found = []
    for count, frame in enumerate(frames, start=1):
        if not isinstance(frame, dict) or not {"people", "bodies"} & frame.keys():
            raise ScmError(f"frame {count} has no 'people'")
        found.append(read_openpose(name if len(frames) == 1 else f"{name}_{count:04d}", frame))
    return found


@dataclass(frozen=True)
class _Category:
    """How to read the keypoints of a COCO category: by name, by their number, or not at all.

    Attributes:
        order: index of each of our joints, if the keypoints are named.
        num_keypoints: number of named keypoints.
        refusal: the reason if the category cannot be read.
    """

    order: Order | None = None
    num_keypoints: int = 0
    refusal: str = ""


def read_coco(path: Path, values: Mapping[str, Any]) -> list[PoseEntry]:
    """Read COCO annotations (``images``, ``annotations``, ``categories``) or results, one entry per image.

    Keypoints are mapped by the names in ``categories``; without names they are COCO's 17, or a set that starts with
    them. A damaged annotation sets its image's :attr:`PoseEntry.problem`.

    Raises:
        ScmError: if there is no annotation with keypoints of people, or the file is damaged.
    """
    images = _coco_images(values.get("images", []))
    categories = _coco_categories(values.get("categories", []))
    people: dict[Any, list[FloatArray]] = {}
    problems: dict[Any, str] = {}
    refusals: list[str] = []
    for count, annotation in enumerate(as_list(values["annotations"], "annotations"), start=1):
        if not isinstance(annotation, dict) or not isinstance(annotation.get("image_id"), int | str):
            raise ScmError(f"annotation {count} has no image_id")
        if annotation.get("keypoints") in (None, []):
            continue
        image, category = annotation["image_id"], _category_of(annotation, categories)
        if category.refusal:
            refusals.append(category.refusal)
            continue
        try:
            joints = _coco_person(annotation["keypoints"], category)
        except ScmError as error:
            problems[image] = f"{path}: annotation {count}: {error}"
            continue
        found = people.setdefault(image, [])
        if (joints[:, 2] > 0).any():
            found.append(joints)
    if not people and not problems:
        raise ScmError(next(iter(refusals), "has no annotation with 'keypoints'; export it as COCO keypoints"))
    for refusal in dict.fromkeys(refusals):
        _log.warning("%s: %d annotations are left out: %s", path, refusals.count(refusal), refusal)
    named = {image: images.get(image, (str(image), None)) for image in [*people, *problems]}
    found_in = {image: tuple(joints) for image, joints in people.items()}
    return [
        PoseEntry(name, found_in.get(image, ()), size, problems.get(image, ""))
        for image, (name, size) in named.items()
        if found_in.get(image) or image in problems
    ]


def _coco_person(keypoints: Any, category: _Category) -> FloatArray:
    flat = as_list(keypoints, "keypoints")
    num = len(flat) // 3
    order = category.order if category.order is not None else COCO.get(num)
    if len(flat) % 3 or order is None or category.num_keypoints not in (0, num):
        expected = category.num_keypoints or ", ".join(map(str, COCO))
        raise ScmError(f"has {len(flat)} numbers in 'keypoints', expected x, y, v of {expected} keypoints")
    return detected_joints(_triples(flat, "joint"), order, "joint")


def _coco_images(images: Any) -> dict[Any, tuple[str, Canvas | None]]:
    found = {}
    for image in as_list(images, "images"):
        if not isinstance(image, dict) or not isinstance(image.get("id"), int | str):
            raise ScmError("an entry of 'images' has no id")
        name = str(image.get("file_name", image["id"])).replace("\\", "/")
        size = read_size(image, f"image {image['id']}") if image.get("height") else None
        found[image["id"]] = (name, size)
    return found


def _coco_categories(categories: Any) -> dict[Any, _Category]:
    found = {}
    for category in as_list(categories, "categories"):
        if not isinstance(category, dict) or not isinstance(category.get("id"), int | str):
            raise ScmError("an entry of 'categories' has no id")
        name, names = str(category.get("name", ""))[:60], category.get("keypoints")
        what = f"category '{name}'"
        if names:
            try:
                names = as_list(names, "keypoints")
                found[category["id"]] = _Category(order_of_names(names, what), len(names))
            except ScmError as error:
                found[category["id"]] = _Category(refusal=str(error))
        elif name and not is_person(name):
            reason = (
                f"{what} does not name its keypoints; list their names there, or call it 'person' if they are COCO's"
            )
            found[category["id"]] = _Category(refusal=reason)
        else:
            found[category["id"]] = _Category()
    return found


def _category_of(annotation: Mapping[str, Any], categories: dict[Any, _Category]) -> _Category:
    wanted = annotation.get("category_id")
    if isinstance(wanted, int | str) and wanted in categories:
        return categories[wanted]
    return next(iter(categories.values())) if len(categories) == 1 else _Category()


def read_people(name: str, people: Sequence[Any], names: Sequence[str] = ()) -> PoseEntry:
    """Read the people of one image from a list of dicts with ``keypoints``: MMPose, Ultralytics, TensorFlow.js.

    Args:
        name: name of the image.
        people: the dicts.
        names: names of the keypoints in order, if the file gives them.

    Raises:
        ScmError: if one of them is damaged.
    """
    found = []
    for count, person in enumerate(people, start=1):
        if not isinstance(person, dict) or "keypoints" not in person:
            raise ScmError(f"person {count} has no 'keypoints'")
        found.append(read_landmarks(person["keypoints"], f"person {count}", person.get("keypoint_scores"), names))
    return PoseEntry(name, tuple(found))


def mmpose_names(meta_info: Any) -> tuple[str, ...]:
    """Return the names of keypoints that MMPose writes beside its predictions, in order; empty without them.

    Raises:
        ScmError: if they are damaged.
    """
    by_id = meta_info.get("keypoint_id2name") if isinstance(meta_info, dict) else None
    if not by_id:
        return ()
    if not isinstance(by_id, dict) or set(by_id) != {str(number) for number in range(len(by_id))}:
        raise ScmError("'keypoint_id2name' does not hold the names of keypoints 0, 1, 2 ...; save the predictions anew")
    return tuple(str(by_id[str(number)]) for number in range(len(by_id)))


def read_landmarks(points: Any, where: str, scores: Any = None, names: Sequence[str] = ()) -> FloatArray:
    """Read the points of one person.

    Points are ``[x, y, score]``; ``[x, y]`` with a separate list of scores; MediaPipe's ``[x, y, z, visibility]``;
    Dress Code's 18 ``[x, y, score, index]``; dicts with x, y and score, visibility or presence (mapped by ``name`` if
    they have one); or separate lists of x, y and ``visible``.

    Args:
        points: the points of the person.
        where: description of the person, for error messages.
        scores: scores of the points, if they are in a separate list.
        names: names of the points in order, if the file gives them elsewhere.

    Shape:
        result: (18, 3) float32.

    Raises:
        ScmError: if they have another form, or no known order has this number of points.
    """
    if isinstance(points, dict):
        points = points["landmark"] if "landmark" in points else _columns(points, where)
    points = as_list(points, "keypoints")
    if points and isinstance(points[0], int | float) and not isinstance(points[0], bool) and len(points) % 3 == 0:
        points = [points[first : first + 3] for first in range(0, len(points), 3)]
    if points and all(isinstance(point, dict) for point in points):
        names = [str(point["name"]) for point in points if "name" in point] or names
        points = [_from_dict(point, where) for point in points]
    if scores is not None:
        points = _with_scores(points, as_list(scores, "keypoint_scores"), where)
    if names and len(names) != len(points):
        raise ScmError(f"{where} has {len(points)} points and {len(names)} names of points")
    order = order_of_names(names, where) if names else LANDMARKS.get(len(points))
    if order is None:
        known = ", ".join(map(str, sorted(LANDMARKS)))
        raise ScmError(f"{where} has {len(points)} points, expected [x, y, score] of {known} points")
    return detected_joints(_rows(points, where), order, where)


def _rows(points: list[Any], where: str) -> npt.NDArray[np.float64]:
    rows = []
    for place, point in enumerate(points):
        label = f"{where}: {JOINTS[place] if len(points) == NUM_JOINTS else f'point {place + 1}'}"
        if point is None:
            rows.append([np.nan] * 3)
            continue
        if isinstance(point, list) and len(point) == 4:
            point = _without_fourth(point, len(points), label)
        if not isinstance(point, list) or len(point) != 3:
            raise ScmError(f"{label}: expected [x, y, score]")
        rows.append([number_or_nan(value, label) for value in point])
    return np.array(rows, np.float64).reshape(-1, 3)


def _without_fourth(point: list[Any], num_points: int, where: str) -> list[Any]:
    """Return x, y and score of a point of four numbers."""
    x, y, third, fourth = point
    if num_points == _NUM_MEDIAPIPE:
        return [x, y, fourth]
    if num_points == NUM_JOINTS and _is_index(fourth):
        return [x, y, third]
    raise ScmError(
        f"{where}: has four numbers; expected [x, y, score], MediaPipe's 33 [x, y, z, visibility], or Dress Code's 18 "
        "[x, y, score, index]"
    )


def _is_index(value: Any) -> bool:
    """Return whether a number is an index of a detection, from 0, or -1 for a missing joint."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= -1 and value == int(value)


def _from_dict(point: Mapping[str, Any], where: str) -> list[Any]:
    if not {"x", "y"} <= point.keys():
        raise ScmError(f"{where}: a point has no x and y")
    score = next((point[key] for key in ("score", "visibility", "presence", "confidence") if key in point), 1)
    return [point["x"], point["y"], score]


def _columns(points: Mapping[str, Any], where: str) -> list[list[Any]]:
    """Return the points of ``{"x": [...], "y": [...], "visible": [...]}``."""
    x, y = as_list(points.get("x"), "x"), as_list(points.get("y"), "y")
    scores = as_list(points.get("visible", [1] * len(x)), "visible")
    if not len(x) == len(y) == len(scores):
        raise ScmError(f"{where}: has {len(x)} x, {len(y)} y and {len(scores)} scores")
    return [list(point) for point in zip(x, y, scores, strict=True)]


def _with_scores(points: list[Any], scores: list[Any], where: str) -> list[Any]:
    if len(points) != len(scores):
        raise ScmError(f"{where}: has {len(points)} keypoints and {len(scores)} scores")
    return [
        [*point[:2], score] if isinstance(point, list) else point for point, score in zip(points, scores, strict=True)
    ]


def _triples(flat: list[Any], where: str) -> npt.NDArray[np.float64]:
    return np.array([number_or_nan(value, where) for value in flat]).reshape(-1, 3)
