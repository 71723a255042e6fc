"""Place poses on a canvas: scale them, crop around the person if the aspect differs, or mirror them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scmnet_cli.images import CropBox, crop_around
from scmnet_cli.skeleton import JOINTS, mirror, rescale
from scmnet_cli.types import Canvas, FloatArray, Pose

# Extent of a person beyond the box of the joints, in torso lengths (neck to mid-hip): medians over 848 people of CCP
# with a region map and both ankles.
_ABOVE, _BELOW_ANKLES, _ASIDE = 0.26, 0.38, 0.12
_TORSO_OF_HEIGHT = 1 / 2.96
"""Torso length as a share of the joints' height, over the same people; for poses without a torso."""

_NECK = JOINTS.index("neck")
_HIPS = [JOINTS.index("right_hip"), JOINTS.index("left_hip")]
_ANKLES = [JOINTS.index("right_ankle"), JOINTS.index("left_ankle")]


def place(pose: Pose, canvas: Canvas) -> Pose:
    """Return a pose on another canvas: scaled if the aspect is the same, else cropped around the person.

    The crop is that of photos. Joints beyond the canvas become missing. A pose without joints is returned unchanged.
    """
    return place_together([pose], canvas)[0]


def place_together(poses: Sequence[Pose], canvas: Canvas) -> list[Pose]:
    """Place poses like :func:`place`, with one crop around all poses of the same frame size.

    So a person who moves through the frames of a video also moves in the animation.
    """
    crops: dict[Canvas, CropBox] = {}
    for frame in {pose.canvas for pose in poses if not pose.canvas.has_shape_of(canvas)}:
        boxes = [person_box(pose.joints) for pose in poses if pose.canvas == frame and (pose.joints[:, 2] > 0).any()]
        if boxes:
            low, high = np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]
            left, top, right, bottom = np.concatenate([np.floor(low), np.ceil(high)]).astype(int).tolist()
            crops[frame] = crop_around((left, top, right, bottom), canvas)
    return [_moved(pose, canvas, crops.get(pose.canvas)) for pose in poses]


def mirrored(pose: Pose) -> Pose:
    """Return the horizontally mirrored pose, named ``NAME-mirrored``."""
    return replace(pose, name=f"{pose.name}-mirrored", joints=mirror(pose.joints, pose.canvas.width))


def _moved(pose: Pose, canvas: Canvas, crop: CropBox | None) -> Pose:
    if crop is None:
        if not pose.canvas.has_shape_of(canvas):
            return pose
        return replace(pose, joints=rescale(pose.joints, pose.canvas, canvas), canvas=canvas)
    joints = pose.joints.copy()
    joints[:, :2] = crop.to_canvas(joints[:, :2])
    outside = ((joints[:, :2] < -0.5) | (joints[:, :2] > np.array([canvas.width, canvas.height]) - 0.5)).any(axis=1)
    joints[outside | (pose.joints[:, 2] == 0)] = 0
    return replace(pose, joints=joints, canvas=canvas)


def person_box(joints: FloatArray) -> tuple[float, float, float, float]:
    """Return the box of a person (left, top, right, bottom), estimated from the joints."""
    known = joints[:, 2] > 0
    (left, top), (right, bottom) = joints[known, :2].min(axis=0), joints[known, :2].max(axis=0)
    hips = [hip for hip in _HIPS if known[hip]]
    if known[_NECK] and hips:
        torso = float(np.linalg.norm(joints[hips, :2].mean(axis=0) - joints[_NECK, :2]))
    else:
        torso = float(bottom - top) * _TORSO_OF_HEIGHT
    below = _BELOW_ANKLES if known[_ANKLES].any() else 0.0
    return left - _ASIDE * torso, top - _ABOVE * torso, right + _ASIDE * torso, bottom + below * torso
