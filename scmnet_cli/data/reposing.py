"""Augmentation ``repose``: warp the training image to another pose and use it as the source (docs/design.md, training).

The paper leaves "spatial transformation" of the training data to future work; the part warp applies it limb by limb.
The target is always the real photo, so the network learns to repair artefacts of the warp: tears, holes, doubled arms.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scmnet_cli.models.part_warp import PLAIN_BACKGROUND, warp_parts
from scmnet_cli.regions import BACKGROUND, one_hot
from scmnet_cli.skeleton import MIRRORED
from scmnet_cli.types import FloatArray

_FROM_DONOR = 0.55  # probability of another person's pose
_MIRROR_DONOR = 0.5  # probability of mirroring that pose
_SCALES = (0.6, 1.6)  # limits of that pose's scale
_HEAD = [0, 14, 15, 16, 17]
_ARMS, _LEGS = ((2, 3, 4), (5, 6, 7)), ((8, 9, 10), (11, 12, 13))
_ARM_TURNS, _LEG_TURNS, _HEAD_TURN = (0.6, 0.7), (0.2, 0.2), 0.15  # standard deviations in radians
_SQUEEZED, _SQUEEZES = 0.5, (0.5, 1.1)  # probability that the torso changes its width, and range of the factor
_LEAST_COVERAGE = 0.25  # pixels with less coverage are background


def other_pose(joints: FloatArray, donor: FloatArray, random: np.random.Generator) -> FloatArray:
    """Sample another pose of a body: a donor's, scaled to this body, or its own with rotated limbs.

    Args:
        joints: the body's own joints; missing ones stay missing.
        donor: another person's joints.
        random: generator of all random choices.

    Shape:
        joints, donor, result: (18, 3), x, y in pixels and a score.
    """
    if random.random() < _FROM_DONOR:
        aligned = align_pose(joints, donor, mirrored=random.random() < _MIRROR_DONOR)
        if aligned is not None:
            return aligned
    turned = joints.copy()
    for limbs, sigmas in ((_ARMS, _ARM_TURNS), (_LEGS, _LEG_TURNS)):
        for start, middle, end in limbs:
            _turn(turned, start, [middle, end], random.normal(0, sigmas[0]))
            _turn(turned, middle, [end], random.normal(0, sigmas[1]))
    _turn(turned, 1, _HEAD, random.normal(0, _HEAD_TURN))
    if random.random() < _SQUEEZED:
        squeeze = random.uniform(*_SQUEEZES) - 1
        for limb in (*_ARMS, *_LEGS):
            turned[list(limb), 0] += squeeze * (turned[limb[0], 0] - turned[1, 0])
    return turned


def align_pose(joints: FloatArray, donor: FloatArray, *, mirrored: bool = False) -> FloatArray | None:
    """Move a donor's joints to this body's neck and scale them to its torso length; None if either has no torso.

    Shape:
        joints, donor, result: (18, 3), x, y in pixels and a score; a joint that either lacks is missing.
    """
    other = donor.copy()
    if mirrored:
        other = other[list(MIRRORED)]
        other[:, 0] = -other[:, 0]
    both = (joints[:, 2] > 0) & (other[:, 2] > 0)
    hips = [hip for hip in (8, 11) if both[hip]]
    if not (both[1] and hips):
        return None
    lengths = [float(np.linalg.norm(pose[1, :2] - pose[hips, :2].mean(0))) for pose in (joints, other)]
    scale = np.clip(lengths[0] / max(lengths[1], 1e-3), *_SCALES)
    other[:, :2] = (other[:, :2] - other[1, :2]) * scale + joints[1, :2]
    other[~both, 2] = 0
    return other


def _turn(joints: FloatArray, pivot: int, moved: list[int], angle: float) -> None:
    cos, sin = np.cos(angle), np.sin(angle)
    rotation: npt.NDArray[np.float64] = np.array([[cos, -sin], [sin, cos]])
    joints[moved, :2] = (joints[moved, :2] - joints[pivot, :2]) @ rotation.T + joints[pivot, :2]


def repose(
    image: Tensor, labels: Tensor, joints: Tensor, posed: Tensor, *, plain: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Warp people to other poses; pixels that the warp does not cover become background.

    Args:
        image: images.
        labels: their label maps.
        joints: their joints.
        posed: the joints to warp to; a person whose joints do not change is returned unchanged.
        plain: whether the background is plain grey; else each image keeps its background, and the mean colour of the
            background fills the area that the person left.

    Shape:
        image: (B, 3, H, W) in [-1, 1]; labels: (B, H, W) uint8; joints, posed: (B, 18, 3); results have the same
        shapes.
    """
    changed = (posed - joints).abs().amax((1, 2)) > 0.5
    if not changed.any():
        return image, labels, joints
    image, labels, joints = image.clone(), labels.clone(), joints.clone()
    chosen = image[changed]
    warp = warp_parts(chosen, one_hot(labels[changed]), joints[changed], posed[changed])
    warped_labels = warp.regions.argmax(1).to(labels.dtype)
    warped_labels = torch.where(warp.coverage[:, 0] > _LEAST_COVERAGE, warped_labels, BACKGROUND)
    behind = torch.full_like(chosen, PLAIN_BACKGROUND)
    if not plain:
        mask = (labels[changed] == BACKGROUND)[:, None]
        mean = (chosen * mask).sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp(min=1)
        behind = torch.where(mask, chosen, mean)
    image[changed] = torch.where((warped_labels != BACKGROUND)[:, None], warp.image, behind)
    labels[changed], joints[changed] = warped_labels, posed[changed]
    return image, labels, joints
