"""Region consistency: whether each region keeps the source's colours."""

from __future__ import annotations

import torch
from torch import Tensor

from scmnet_cli.regions import BACKGROUND

MIN_SHARE = 0.001
"""A region with less of the picture than this is taken as absent: a few stray pixels have no colour to keep."""


def region_closeness(output: Tensor, output_masks: Tensor, source: Tensor, source_masks: Tensor) -> Tensor:
    """Return how close each region's colours in the output are to the same region's in the source.

    The mean and the standard deviation of each region and channel are compared:
    1 - mean over channels of sqrt(dmean^2 + dstd^2) / 2. That root is the 2-Wasserstein distance of two Gaussians, at
    most 2 in [-1, 1]. 1: equal mean and deviation; 0: plain black against plain white. NaN where the region is absent
    from either (below :data:`MIN_SHARE` of the picture).

    Shape:
        output: (B, 3, H, W) and source: (B, 3, H', W') in [-1, 1]; output_masks: (B, R, H, W) and source_masks:
        (B, R, H', W') one-hot; result: (B, R), in [0, 1] or NaN.
    """
    output_mean, output_std, in_output = _statistics(output, output_masks)
    source_mean, source_std, in_source = _statistics(source, source_masks)
    distance = torch.hypot(output_mean - source_mean, output_std - source_std).mean(2)  # (B, R)
    return torch.where(in_output & in_source, 1 - distance / 2, torch.nan)


def region_consistency(output: Tensor, output_masks: Tensor, source: Tensor, source_masks: Tensor) -> Tensor:
    """Return the mean of :func:`region_closeness` over the body regions that both show; the background is left out.

    Every region counts alike, however large. NaN where no region is in both.

    Shape:
        as :func:`region_closeness`; result: (B,), in [0, 1] or NaN.
    """
    closeness = region_closeness(output, output_masks, source, source_masks)
    person = torch.arange(closeness.shape[1], device=closeness.device) != BACKGROUND
    return closeness[:, person].nanmean(1)


def region_colour_distance(output: Tensor, output_masks: Tensor, source: Tensor, source_masks: Tensor) -> Tensor:
    """Return how far the mean colours of regions are from the source's: the mean over regions and channels.

    Every region that both show counts alike, but for the background. NaN where there is none.

    Shape:
        as :func:`region_closeness`; result: (B,), 0 to 2 for images in [-1, 1], or NaN.
    """
    output_mean, _, in_output = _statistics(output, output_masks)
    source_mean, _, in_source = _statistics(source, source_masks)
    distance = (output_mean - source_mean).abs().mean(2)  # (B, R)
    distance = torch.where(in_output & in_source, distance, torch.nan)
    person = torch.arange(distance.shape[1], device=distance.device) != BACKGROUND
    return distance[:, person].nanmean(1)


def _statistics(image: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and standard deviation (B, R, 3) of each region's colours, and whether the region is there (B, R)."""
    weights = masks.double().flatten(2)  # (B, R, P)
    pixels = image.double().flatten(2)  # (B, 3, P)
    count = weights.sum(2)[..., None]  # (B, R, 1)
    mean = torch.einsum("brp,bcp->brc", weights, pixels) / count.clamp_min(1)
    square = torch.einsum("brp,bcp->brc", weights, pixels.square()) / count.clamp_min(1)
    std = (square - mean.square()).clamp_min(0).sqrt()
    return mean.float(), std.float(), count[..., 0] >= MIN_SHARE * weights.shape[2]
