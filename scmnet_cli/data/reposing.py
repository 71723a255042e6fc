"""Augmentation ``repose``: warp the training image to another pose and use it as the source (docs/design.md, training).

The paper leaves "spatial transformation" of the training data to future work; the part warp applies it limb by limb.
The target is the real photo, so the network learns to repair artefacts of the warp: tears, holes, doubled arms. Some
poses are rare in photos, lifted arms above all: ``repose_target`` warps some of the targets too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scmnet_cli.models.part_warp import inside_body, warp_parts
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.regions import BACKGROUND, one_hot
from scmnet_cli.skeleton import MIRRORED
from scmnet_cli.types import FloatArray

_FROM_DONOR = 0.55  # probability of another person's pose
_MIRROR_DONOR = 0.5  # probability of mirroring that pose
_SCALES = (0.6, 1.6)  # limits of that pose's scale
_HEAD = [0, 14, 15, 16, 17]
_ARMS, _LEGS = ((2, 3, 4), (5, 6, 7)), ((8, 9, 10), (11, 12, 13))
_ARM_TURNS, _LEG_TURNS, _HEAD_TURN = (0.6, 0.7), (0.2, 0.2), 0.15  # standard deviations in radians
_LIFTED_TURNS = (0.8, 0.8)  # standard deviations of the arms of a re-posed target
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
    turned = _turned(joints, _ARM_TURNS, random)
    if random.random() < _SQUEEZED:
        squeeze = random.uniform(*_SQUEEZES) - 1
        for limb in (*_ARMS, *_LEGS):
            turned[list(limb), 0] += squeeze * (turned[limb[0], 0] - turned[1, 0])
    return turned


def target_pose(joints: FloatArray, random: np.random.Generator) -> FloatArray:
    """Sample the body's own joints with rotated limbs, the arms rotated further than by :func:`other_pose`.

    Shape:
        joints, result: (18, 3), x, y in pixels and a score.
    """
    return _turned(joints, _LIFTED_TURNS, random)


def _turned(joints: FloatArray, arm_turns: tuple[float, float], random: np.random.Generator) -> FloatArray:
    turned = joints.copy()
    for limbs, sigmas in ((_ARMS, arm_turns), (_LEGS, _LEG_TURNS)):
        for start, middle, end in limbs:
            _turn(turned, start, [middle, end], random.normal(0, sigmas[0]))
            _turn(turned, middle, [end], random.normal(0, sigmas[1]))
    _turn(turned, 1, _HEAD, random.normal(0, _HEAD_TURN))
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


@dataclass(frozen=True)
class Reposed:
    """People warped to other poses.

    Shape:
        image: (B, 3, H, W) in [-1, 1]; labels: (B, H, W) uint8; joints: (B, 18, 3); sure: (B, 1, H, W), 0 in holes
        inside the body, which the warp cannot fill, else 1; covered: (B, 1, H, W) bool, where pixels are the photo's.
    """

    image: Tensor
    labels: Tensor
    joints: Tensor
    sure: Tensor
    covered: Tensor

    @property
    def visible_joints(self) -> Tensor:
        """The joints, those outside the picture missing, as a photo has them; (B, 18, 3)."""
        places, limit = self.joints[..., :2], self.joints.new_tensor([self.image.shape[3], self.image.shape[2]]) - 1
        inside = ((places >= 0) & (places <= limit)).all(-1) & (self.joints[..., 2] > 0)
        return self.joints * inside[..., None]


def repose(image: Tensor, labels: Tensor, joints: Tensor, posed: Tensor, *, plain: bool) -> Reposed:
    """Warp people to other poses; pixels that the warp does not cover become background.

    Args:
        image: images.
        labels: their label maps.
        joints: their joints.
        posed: the joints to warp to; a person whose joints do not change is returned unchanged.
        plain: whether the background is plain grey; else each image keeps its background, and the mean colour of the
            background fills the area that the person left.

    Shape:
        image: (B, 3, H, W) in [-1, 1]; labels: (B, H, W) uint8; joints, posed: (B, 18, 3).
    """
    sure = torch.ones_like(image[:, :1])
    changed = (posed - joints).abs().amax((1, 2)) > 0.5
    covered = torch.ones_like(sure, dtype=torch.bool)
    if not changed.any():
        return Reposed(image, labels, joints, sure, covered)
    image, labels, joints = image.clone(), labels.clone(), joints.clone()
    chosen = image[changed]
    warp = warp_parts(chosen, one_hot(labels[changed]), joints[changed], posed[changed])
    warped_labels = warp.regions.max(1).indices.to(labels.dtype)  # argmax takes five times as long
    covered[changed] = warp.coverage > _LEAST_COVERAGE
    warped_labels = torch.where(covered[changed][:, 0], warped_labels, BACKGROUND)
    behind = torch.full_like(chosen, PLAIN_BACKGROUND)
    if not plain:
        mask = (labels[changed] == BACKGROUND)[:, None]
        mean = (chosen * mask).sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp(min=1)
        behind = torch.where(mask, chosen, mean)
    person = (warped_labels != BACKGROUND)[:, None]
    image[changed] = torch.where(person, warp.image, behind)
    sure[changed] = torch.where(person, 1, 1 - inside_body(posed[changed], (image.shape[2], image.shape[3])))
    labels[changed], joints[changed] = warped_labels, posed[changed]
    return Reposed(image, labels, joints, sure, covered)
