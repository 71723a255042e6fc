"""Correspondence losses: self-supervision of the correlation field (docs/design.md, section 3; not in the paper).

The source in training is a moved copy of the target. The field moves the source's region maps and colours to the pose,
where they should equal the target's.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_EPS = 1e-6


def findable(target_masks: Tensor, source_masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the share of each position's target regions that the source shows at all, in [0, 1].

    A source without a region gives no supervision there: those positions get weight 0.

    Shape:
        target_masks: (B, R, H, W); source_masks: (B, R, H', W'), both one-hot; size: (h, w); result: (B, 1, h, w).
    """
    shown = (source_masks.flatten(2).amax(2) > 0).to(torch.float32)[:, :, None, None]  # (B, R, 1, 1)
    return (_to_grid(target_masks, size) * shown).sum(1, keepdim=True)


def field_region_loss(moved_regions: Tensor, target_masks: Tensor, source_masks: Tensor | None = None) -> Tensor:
    """Compute cross-entropy between moved source regions and target regions; a mean over images.

    The loss of an image is the mean over positions of -sum_r t_r log(m_r + 1e-6), where t are the target's region
    shares at the position. If a position spans several regions, its minimum is the entropy of t, not 0.

    With ``source_masks``, regions absent from the source are left out of the sum, and each position is weighted by the
    share that remains: a position whose regions the source lacks does not count.

    Shape:
        moved_regions: (B, R, h, w) probabilities over R; target_masks: (B, R, H, W) one-hot;
        source_masks: (B, R, H', W') one-hot; result: a float32 scalar.
    """
    size = (moved_regions.shape[2], moved_regions.shape[3])
    target = _to_grid(target_masks, size)
    if source_masks is not None:
        target = target * (source_masks.flatten(2).amax(2) > 0).to(target)[:, :, None, None]
    nll = -(target * (moved_regions.float() + _EPS).log()).sum(1)  # (B, h, w)
    return (nll.sum((1, 2)) / target.sum((1, 2, 3)).clamp_min(_EPS)).mean()


def field_colour_loss(moved_colours: Tensor, target_image: Tensor, weight: Tensor | None = None) -> Tensor:
    """Compute L1 between the moved source colours and the downsized target; a mean over images.

    Shape:
        moved_colours: (B, 3, h, w) in [-1, 1]; target_image: (B, 3, H, W), averaged by area to (h, w);
        weight: (B, 1, h, w), non-negative, for example :func:`findable`; result: a float32 scalar.
    """
    size = (moved_colours.shape[2], moved_colours.shape[3])
    error = (moved_colours.float() - _to_grid(target_image, size)).abs().mean(1, keepdim=True)  # (B, 1, h, w)
    if weight is None:
        return error.mean()
    weight = weight.float()
    return ((error * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp_min(_EPS)).mean()


def _to_grid(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps.float(), size=size, mode="area")
