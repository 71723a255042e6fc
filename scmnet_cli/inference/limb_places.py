"""Where pixels lie on a person's limbs: along the bones and across them, in units of the body."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from scmnet_cli.models.part_joints import body_size, complete_joints
from scmnet_cli.models.parts import LIMBS
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import FloatArray, Person

BESIDE_CLOTHES = 0.3
"""Torso lengths above the hips below which hanging arms lie beside the clothes."""


def torso_length(person: Person) -> float:
    """Return the length of a person's torso in pixels, the unit of the distances here."""
    return float(body_size(person.joints[None])[0])


def limb_places(wearer: Person) -> list[tuple[FloatArray, FloatArray]]:
    """Return, for each arm and leg, pixel coordinates along the limb and across it.

    Along the limb they are 0 at the shoulder or hip, 1 at the elbow or knee, 2 at the wrist or ankle; across it they
    are torso lengths, infinite if the limb is unknown.
    """
    found = []
    for (u, v), (lower_u, lower_v) in bone_coordinates(wearer):
        upper = np.hypot(v, np.maximum(u - 1, 0) + np.maximum(-u, 0))
        lower = np.hypot(lower_v, np.maximum(-lower_u, 0))
        past = lower < upper
        found.append((np.where(past, 1 + lower_u.clip(min=0), u.clip(max=1)), np.where(past, lower, upper)))
    return found


def within(place: FloatArray, ends: tuple[float, float]) -> npt.NDArray[np.bool_]:
    """Return which pixels lie between two places along a limb, both excluded, (H, W)."""
    return np.asarray((place > ends[0]) & (place < ends[1]), np.bool_)


def bone_coordinates(wearer: Person) -> list[list[tuple[FloatArray, FloatArray]]]:
    """Return, for both bones of arms and legs, pixel coordinates along the bone and across it, in torso lengths.

    Along the bone they are 0 at its start and 1 at its end; across it they are infinite if the limb is unknown.
    """
    joints = complete_joints(wearer.joints[None])[0]
    size = torso_length(wearer)
    rows, columns = np.mgrid[: len(wearer.regions), : wearer.regions.shape[1]].astype(np.float32)
    found = []
    for limb in LIMBS:
        bones = []
        for start, end in pairwise(joints[list(limb)]):
            along = end[:2] - start[:2]
            length = max(float(np.hypot(*along)), 1e-3)
            x, y = columns - start[0], rows - start[1]
            across = abs(y * along[0] - x * along[1]) / (length * size)
            known = start[2] > 0 and end[2] > 0
            bones.append(((x * along[0] + y * along[1]) / length**2, across if known else np.full_like(across, np.inf)))
        found.append(bones)
    return found


def column_of_limb(wearer: Person, limb: tuple[int, ...]) -> FloatArray:
    """Return the column of a limb's bones in each row, beyond its ends that of the nearest joint, (H,)."""
    joints = complete_joints(wearer.joints[None])[0][list(limb)]
    order = np.argsort(joints[:, 1])
    return np.asarray(np.interp(np.arange(len(wearer.regions)), joints[order, 1], joints[order, 0]), np.float32)


def beyond_torso(wearer: Person, index: int) -> FloatArray:
    """Return how far pixels lie outside the line from shoulder to hip, in torso lengths.

    Args:
        wearer: the person.
        index: 0 for the right side, 1 for the left.

    Shape:
        result: (H, W), negative on the torso.
    """
    joints = complete_joints(wearer.joints[None])[0]
    (shoulder, hip), other = joints[[(2, 8), (5, 11)][index], :2], joints[[(5, 11), (2, 8)][index], :2].mean(0)
    rows, columns = np.mgrid[: len(wearer.regions), : wearer.regions.shape[1]].astype(np.float32)
    x, y = hip - shoulder
    across = ((columns - shoulder[0]) * y - (rows - shoulder[1]) * x) / max(float(np.hypot(x, y)), 1e-3)
    inside = (other[0] - shoulder[0]) * y - (other[1] - shoulder[1]) * x
    return np.asarray(-np.sign(inside) * across / torso_length(wearer), np.float32)


def below_hips(person: Person, above: float = 0) -> npt.NDArray[np.bool_]:
    """Return the rows below a person's hips, or ``above`` torso lengths higher, (H, 1); none if hips are unknown."""
    hips = [person.joints[JOINTS.index(name)] for name in ("right_hip", "left_hip")]
    known = [hip[1] for hip in hips if hip[2] > 0]
    line = float(np.mean(known)) if known else float("inf")
    line -= above * torso_length(person)
    below: npt.NDArray[np.bool_] = np.arange(len(person.regions))[:, None] > line
    return below
