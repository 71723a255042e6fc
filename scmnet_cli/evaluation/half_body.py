"""Half-body sources: people cut off at the hips, for the half-to-full-body evaluation."""

from __future__ import annotations

from scmnet_cli.data.cropping import crop_person
from scmnet_cli.errors import ScmError
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Canvas, FloatArray, Person

_FULL_BODY = [JOINTS.index(name) for name in (
    "neck", "right_hip", "left_hip", "right_knee", "left_knee", "right_ankle", "left_ankle",
)]  # fmt: skip
_HIPS = [JOINTS.index("right_hip"), JOINTS.index("left_hip")]


def is_full_body(joints: FloatArray) -> bool:
    """Return whether neck, hips, knees and ankles are all known, and the neck is above the hips.

    Shape:
        joints: (18, 3).
    """
    known = len(joints) > 0 and bool((joints[_FULL_BODY, 2] > 0).all())
    return known and bool(joints[JOINTS.index("neck"), 1] < joints[_HIPS, 1].mean())


def half_body(person: Person, canvas: Canvas, background: str) -> Person:
    """Cut off a person below the hips and crop the rest to the canvas, like a prepared photo that ends at the hips.

    Args:
        person: a person with both hips known. Joints below the hips are missing in the result.
        canvas: size of the result.
        background: background of the prepared folder, ``plain`` or ``keep``.

    Raises:
        ScmError: if the region map is empty above the hips.
    """
    hips = round(float(person.joints[_HIPS, 1].mean()))
    joints = person.joints.copy()
    below = joints[:, 1] >= hips
    below[_HIPS] = False  # the cut is at the mean height of the two
    joints[below] = 0
    half = Person(person.name, person.image[:hips], person.regions[:hips], joints)
    try:
        return crop_person(half, canvas, background)[0]
    except ScmError as error:
        raise ScmError(f"{person.name}: above the hips {error}; prepare it again, or leave it out") from error
