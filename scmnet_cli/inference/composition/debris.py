"""Remove slivers, and pixels that float beside the person: pieces of a sleeve whose limb the source does not show."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.inference.composition.extremities import connected
from scmnet_cli.models.neighbourhoods import dilated, spread
from scmnet_cli.models.part_shapes import PartShapes
from scmnet_cli.models.part_warp import PartWarp
from scmnet_cli.models.parts import FIRST_BONE, HEAD_PART, TORSO_PART

_LEGS = tuple(range(FIRST_BONE + 4, FIRST_BONE + 8))
_ROWS = 128  # of the grid on which pixels are connected: gaps narrower than one of its cells are no gaps
_STEPS = 80  # cells from the trunk or a leg to the farthest pixel of the person
_PRESENT = 0.2
_INSIDE = 0.5
_SURELY_COVERED, _SLIVER = 0.3, 140
"""Least coverage of background that the warp surely shows; what is thinner than twice one of this many parts of the
height is a sliver."""


def attached(shapes: PartShapes, alpha: Tensor) -> Tensor:
    """Return a mask of the pixels that are connected with the head, the trunk or a leg of the pose.

    Args:
        shapes: parts of the completed pose, in pixels.
        alpha: the foreground mask.

    Shape:
        alpha: (B, 1, H, W); result: likewise, 0 or 1.
    """
    height, width = alpha.shape[2:]
    cell = max(height // _ROWS, 1)
    canvas = (slice(0, height), slice(0, width))
    body = torch.stack([1 - shapes.outside(part, canvas) for part in (HEAD_PART, TORSO_PART, *_LEGS)]).amax(0)[:, None]
    present = _coarse(alpha, cell) > _PRESENT
    found = _coarse(body * (alpha > _PRESENT), cell) > _INSIDE
    nobody = ~found.flatten(1).any(1)[:, None, None, None]
    found = dilated(spread(found, present, _STEPS), 1) | nobody
    return F.interpolate(found.to(alpha.dtype), scale_factor=float(cell), mode="nearest")[:, :, :height, :width]


def slivers(alpha: Tensor, warp: PartWarp) -> Tensor:
    """Return a mask of what is drawn apart from the person, thin, where the warp shows background.

    The soft edge of a coat that the network drew too wide was a pale line beside the hem.

    Shape:
        alpha: (B, 1, H, W), the foreground mask; result: likewise, 0 or 1.
    """
    background = warp.regions[:, :1] * (warp.coverage > _SURELY_COVERED) > 0.5
    return (background & (connected(alpha, _SLIVER) < 0.5)).to(alpha.dtype)


def _coarse(values: Tensor, cell: int) -> Tensor:
    return F.max_pool2d(values, cell, ceil_mode=True)
