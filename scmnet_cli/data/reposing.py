"""``repose``: warp the training image into another pose and use it as the source (docs/design.md, training).

The paper leaves "spatial transformation" of the training data to future work; the part warp applies it limb by limb.
The target is the real photo, so the network learns to repair what a warp leaves: tears, holes, doubled arms. Photos
hardly show some poses, lifted arms above all: with ``repose_target`` some targets are re-posed too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scmnet_cli.models.part_warp import PLAIN_BACKGROUND, inside_body, warp_parts
from scmnet_cli.regions import BACKGROUND, one_hot
from scmnet_cli.skeleton import MIRRORED
from scmnet_cli.types import FloatArray

_ANOTHERS = 0.55  # chance that the pose is another person's
_MIRRORED_TOO = 0.5  # chance that it is mirrored first
_SCALES = (0.6, 1.6)  # limits of its scale
_HEAD = [0, 14, 15, 16, 17]
_ARMS, _LEGS = ((2, 3, 4), (5, 6, 7)), ((8, 9, 10), (11, 12, 13))
_ARM_TURNS, _LEG_TURNS, _HEAD_TURN = (0.6, 0.7), (0.2, 0.2), 0.15  # standard deviations in radians
_SQUEEZED, _SQUEEZES = 0.5, (0.5, 1.1)  # chance that the torso changes its width, and by which factor
_LIFTED_TURNS = (0.8, 0.8)  # the arms' standard deviations where a target is re-posed
_LEAST_COVERAGE = 0.25  # a pixel that is covered less is background


def other_pose(joints: FloatArray, lender: FloatArray, random: np.random.Generator) -> FloatArray:
    """Return other joints for the same body: another person's, scaled to this one, or its own with limbs turned.

    Args:
        joints: the body's own; a joint that is missing stays missing.
        lender: another person's joints.
        random: source of every random choice.

    Shape:
        joints, lender, result: (18, 3), x, y in pixels and a score.
    """
    if random.random() < _ANOTHERS:
        laid = lay_over(joints, lender, mirrored=random.random() < _MIRRORED_TOO)
        if laid is not None:
            return laid
    turned = _turned(joints, _ARM_TURNS, random)
    if random.random() < _SQUEEZED:
        squeeze = random.uniform(*_SQUEEZES) - 1
        for limb in (*_ARMS, *_LEGS):
            turned[list(limb), 0] += squeeze * (turned[limb[0], 0] - turned[1, 0])
    return turned


def target_pose(joints: FloatArray, random: np.random.Generator) -> FloatArray:
    """Return the body's own joints with limbs turned, the arms further than :func:`other_pose` turns them.

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


def lay_over(joints: FloatArray, lender: FloatArray, *, mirrored: bool = False) -> FloatArray | None:
    """Return the lender's joints at this body's neck and scaled to its torso length; None where either has no torso.

    Shape:
        joints, lender, result: (18, 3), x, y in pixels and a score; a joint that either lacks is missing.
    """
    other = lender.copy()
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
    """People warped into other poses.

    Shape:
        image: (B, 3, H, W) in [-1, 1]; labels: (B, H, W) uint8; joints: (B, 18, 3); sure: (B, 1, H, W), 1 where the
        picture shows what a photo would: 0 where a hole is left inside the body.
    """

    image: Tensor
    labels: Tensor
    joints: Tensor
    sure: Tensor


def repose(image: Tensor, labels: Tensor, joints: Tensor, posed: Tensor, *, plain: bool) -> Reposed:
    """Warp people into other poses; pixels that the warp does not cover become background.

    Args:
        image: pictures.
        labels: their label maps.
        joints: their joints.
        posed: the joints to warp to; a person whose joints do not change is returned unchanged.
        plain: whether the background is plain grey; else each picture keeps its own, and the place that the person left
            gets its mean colour.

    Shape:
        image: (B, 3, H, W) in [-1, 1]; labels: (B, H, W) uint8; joints, posed: (B, 18, 3).
    """
    sure = torch.ones_like(image[:, :1])
    changed = (posed - joints).abs().amax((1, 2)) > 0.5
    if not changed.any():
        return Reposed(image, labels, joints, sure)
    image, labels, joints = image.clone(), labels.clone(), joints.clone()
    chosen = image[changed]
    warp = warp_parts(chosen, one_hot(labels[changed]), joints[changed], posed[changed])
    found = warp.regions.argmax(1).to(labels.dtype)
    covered = warp.coverage > _LEAST_COVERAGE
    found = torch.where(covered[:, 0], found, BACKGROUND)
    behind = torch.full_like(chosen, PLAIN_BACKGROUND)
    if not plain:
        ground = (labels[changed] == BACKGROUND)[:, None]
        mean = (chosen * ground).sum((2, 3), keepdim=True) / ground.sum((2, 3), keepdim=True).clamp(min=1)
        behind = torch.where(ground, chosen, mean)
    image[changed] = torch.where((found != BACKGROUND)[:, None], warp.image, behind)
    inside = inside_body(posed[changed], (image.shape[2], image.shape[3]))
    sure[changed] = torch.where((found != BACKGROUND)[:, None], 1, 1 - inside)
    labels[changed], joints[changed] = found, posed[changed]
    return Reposed(image, labels, joints, sure)
