"""Keypoint orders of other data sets and models, and their names for our 18 joints."""

from __future__ import annotations

import re
from collections.abc import Sequence

from scmnet_cli.errors import ScmError
from scmnet_cli.skeleton import JOINTS

Order = tuple[int | None, ...]
"""Index of each of our joints among the keypoints of another order; None if the order lacks it."""

OPENPOSE_18: Order = tuple(range(18))
BODY_25: Order = (*range(8), *range(9, 19))
"""Mid-hip (8) and feet are left out; BODY_25B is another order."""

COCO_17: Order = (0, None, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
MEDIAPIPE_33: Order = (0, None, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)

OPENPOSE = {18: OPENPOSE_18, 25: BODY_25, 135: BODY_25}
"""Orders by the number of keypoints in OpenPose's ``pose_keypoints_2d``; BODY_135 starts with BODY_25."""

COCO = {17: COCO_17, 26: COCO_17, 133: COCO_17, 136: COCO_17}
"""Orders by the number of keypoints of a COCO annotation without names; COCO, Halpe-26, COCO-WholeBody and Halpe-136
all start with COCO's 17."""

LANDMARKS = {**COCO, 18: OPENPOSE_18, 33: MEDIAPIPE_33}
"""Orders by the number of points of one person in a list without names."""

MIN_JOINTS = 6
"""A named order with fewer of our joints does not describe a person."""

_SIDES = {"left": "left", "l": "left", "right": "right", "r": "right"}
_PARTS = {
    "nose": "nose", "neck": "neck", "thorax": "neck", "sternum": "neck", "neckbase": "neck",
    "shoulder": "shoulder", "sho": "shoulder", "shldr": "shoulder", "elbow": "elbow", "elb": "elbow",
    "wrist": "wrist", "wri": "wrist", "hip": "hip", "knee": "knee", "ankle": "ankle", "ank": "ankle", "foot": "ankle",
    "eye": "eye", "ear": "ear",
}  # fmt: skip
_SECOND_CHOICE = ("thorax", "sternum", "neckbase", "foot")
"""Names that are used for a joint only if there is no better one: Human3.6M calls ankles feet."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[A-Z]")
_ANIMAL = re.compile(r"paw|tail|hoof|withers|muzzle|snout|wing|beak|mane|fin\b|antenna", re.IGNORECASE)
_PERSON = re.compile(
    r"person|people|human|\bm[ae]n\b|\bwom[ae]n\b|body|pose|skeleton|pedestrian|player|child|kid|model|figure",
    re.IGNORECASE,
)


def is_person(category: str) -> bool:
    """Return whether the name of a category without keypoint names suggests people."""
    return bool(_PERSON.search(category))


def order_of_names(names: Sequence[str], what: str) -> Order:
    """Return the index of each of our joints among named keypoints.

    Names are compared without case and separators, and with the usual synonyms (``l_hip``, ``LHip``, ``hip_left``). A
    neck at the chin (``head_bottom``, ``upper_neck``) is not OpenPose's neck, which is between the shoulders.

    Args:
        names: names of the keypoints, in order.
        what: the owner of the keypoints, for messages.

    Raises:
        ScmError: if they are an animal's, too few are our joints, or two name the same joint.
    """
    listed = ", ".join(str(name)[:30] for name in names[:40])
    if any(_ANIMAL.search(str(name)) for name in names):
        raise ScmError(f"{what} is not of people; its keypoints are {listed}")
    first: dict[str, int] = {}
    second: dict[str, int] = {}
    for place, name in enumerate(names):
        joint, is_second_choice = _joint_of(str(name))
        if joint is None:
            continue
        found = second if is_second_choice else first
        if joint in found and not is_second_choice:
            raise ScmError(f"{what} names '{joint}' twice, as '{names[found[joint]]}' and '{name}'; rename one")
        found.setdefault(joint, place)
    order = tuple(first.get(joint, second.get(joint)) for joint in JOINTS)
    num_known = sum(place is not None for place in order)
    if num_known < MIN_JOINTS:
        raise ScmError(f"{what} has {num_known} of the 18 joints, fewer than {MIN_JOINTS}; its keypoints are {listed}")
    return order


def _joint_of(name: str) -> tuple[str | None, bool]:
    """Return the joint that a keypoint's name means, and whether it is only a second choice."""
    words = [word.lower() for word in _WORD.findall(name)]
    sides = [word for word in words if word in _SIDES]
    rest = [word for word in words if word not in _SIDES]
    side = _SIDES[sides[0]] if len(sides) == 1 else ""
    part = "".join(rest)
    if not side and part[:1] in ("l", "r") and part[1:] in _PARTS and part not in _PARTS:  # lhip, rshoulder
        side, part = _SIDES[part[0]], part[1:]
    joint = _PARTS.get(part)
    if joint is None or len(sides) > 1:
        return None, False
    full = f"{side}_{joint}" if side else joint
    return (full if full in JOINTS else None), part in _SECOND_CHOICE
