"""Correct joints of people seen from behind by the region map: their head is hair without a face.

The training set has few people seen from behind. On them the network hallucinates a nose on the back of the head, and
swaps left and right as if seen from the front.
"""

from __future__ import annotations

import numpy as np

from scmnet_cli.analyser.answers import REGION_STRIDE
from scmnet_cli.models.part_joints import body_size
from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import JOINTS, MIRRORED
from scmnet_cli.types import FloatArray

_FACE_JOINTS = [JOINTS.index(name) for name in ("nose", "right_eye", "left_eye")]
_HEAD_JOINTS = [*_FACE_JOINTS, *(JOINTS.index(name) for name in ("right_ear", "left_ear"))]
_SHOULDERS = JOINTS.index("right_shoulder"), JOINTS.index("left_shoulder")
_ON_FACE = 0.3
_HEAD_RADIUS = 0.4  # torso lengths
_LEAST_FACE, _LEAST_HEAD = 0.12, 4.0  # share of a head that is face; positions of a head


def facing_corrected(joints: FloatArray, probabilities: FloatArray, visible: float) -> FloatArray:
    """Drop face joints outside the face region, and swap left and right of a person seen from behind.

    Args:
        joints: detected joints.
        probabilities: probabilities of the regions.
        visible: least score of a joint that counts as found.

    Shape:
        joints, result: (18, 3) in pixels of the crop; probabilities: (8, h, w) on the grid of the crop.
    """
    found = joints[:, 2] >= visible
    if not found[_HEAD_JOINTS].any():
        return joints
    corrected = joints.copy()
    on_face = [index for index in _FACE_JOINTS if found[index] and _face_at(probabilities, joints[index]) >= _ON_FACE]
    for index in _FACE_JOINTS:
        if found[index] and index not in on_face:
            corrected[index, 2] = 0
    if on_face or _face_share(joints, found, probabilities) >= _LEAST_FACE:
        return corrected
    corrected[_FACE_JOINTS, 2] = 0
    right, left = _SHOULDERS
    as_in_front = found[right] and found[left] and joints[left, 0] > joints[right, 0]
    return corrected[list(MIRRORED)] if as_in_front else corrected


def _face_at(probabilities: FloatArray, joint: FloatArray) -> float:
    """Return the largest probability of the face region around a joint."""
    column, row = ((joint[:2] + 0.5) / REGION_STRIDE).astype(int)
    around = probabilities[region_id("face"), max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
    return float(around.max()) if around.size else 0.0


def _face_share(joints: FloatArray, found: np.ndarray, probabilities: FloatArray) -> float:
    """Return the share of the head that is face; 1 if no head is visible."""
    known = [index for index in _HEAD_JOINTS if found[index]]
    centre = (joints[known, :2].mean(0) + 0.5) / REGION_STRIDE - 0.5
    counted = np.where(found[:, None], joints, 0).astype(np.float32)
    radius = _HEAD_RADIUS * float(body_size(counted[None])[0]) / REGION_STRIDE
    rows, columns = np.mgrid[: probabilities.shape[1], : probabilities.shape[2]]
    head = (columns - centre[0]) ** 2 + (rows - centre[1]) ** 2 < max(radius, 2.0) ** 2
    face, hair = (float(probabilities[region_id(name)][head].sum()) for name in ("face", "hair"))
    return face / (face + hair) if face + hair >= _LEAST_HEAD else 1.0
