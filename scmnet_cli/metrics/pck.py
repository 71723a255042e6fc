"""PCK, percentage of correct keypoints: how well the pose of the output matches the target's."""

from __future__ import annotations

import torch
from torch import Tensor

NEAR = 0.1
"""Distance within which a joint is correct, relative to the larger side of the bounding box of the target's joints."""


def pck(found: Tensor, wanted: Tensor, near: float = NEAR) -> Tensor:
    """Return the share of the target's joints, 0 to 1, that are found within the threshold distance.

    A joint that is not found is wrong; one that the target lacks does not count. NaN if the target has none.

    Shape:
        found, wanted: (B, 18, 3), x, y in pixels of one canvas and a score, 0 if missing; result: (B,).
    """
    there = wanted[..., 2] > 0  # (B, 18)
    points = wanted[..., :2]
    high = torch.where(there[..., None], points, -torch.inf).amax(1)
    low = torch.where(there[..., None], points, torch.inf).amin(1)
    size = (high - low).amax(1, keepdim=True)  # (B, 1)
    distance = (found[..., :2] - points).norm(dim=2)
    right = there & (found[..., 2] > 0) & (distance <= near * size)
    share: Tensor = right.sum(1).float() / there.sum(1)
    return share
