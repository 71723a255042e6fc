"""Ends of limbs that a region map does not show: a wrist or an ankle beyond the map's end of an arm or a leg."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.models.parts import LIMBS

_STEPS, _NEAREST = 25, 0.4  # places along a bone, and where the first one is, as a share of its length
_BEYOND = 0.12
"""Least share of a bone beyond the map for its end to be moved: outlines are that uncertain."""


def within_map(joints: Tensor, masks: Tensor) -> Tensor:
    """Move wrists and ankles beyond the region map back along the forearm or shin, to the map's end.

    The part warp would else stretch background into the limb's end. A joint is moved if the limb is on the map nearer
    to the elbow or knee.

    Shape:
        joints, result: (B, 18, 3), as detected; masks: (B, 8, H, W), the background first.
    """
    person = 1 - masks[:, :1].float()
    extent = joints.new_tensor([person.shape[3], person.shape[2]])
    shares = torch.linspace(_NEAREST, 1, _STEPS, device=joints.device, dtype=joints.dtype)
    moved = joints.clone()
    for _, middle, end in LIMBS:
        start, bone = joints[:, None, middle, :2], (joints[:, end] - joints[:, middle])[:, None, :2]
        grid = ((2 * (start + shares[:, None] * bone) + 1) / extent - 1)[:, None]  # (B, 1, K, 2)
        on_map = F.grid_sample(person, grid.float(), mode="nearest", padding_mode="zeros", align_corners=False)
        last = (shares * (on_map[:, 0, 0] > 0.5)).amax(1)  # (B,); 0 where the limb is not on the map
        known = (joints[:, [middle, end], 2] > 0).all(1)
        change = known & (last > 0) & (last < 1 - _BEYOND)
        moved[:, end, :2] = torch.where(change[:, None], start[:, 0] + last[:, None] * bone[:, 0], joints[:, end, :2])
    return moved
