"""Region consistency: how well each region keeps the source's colours."""

from __future__ import annotations

import torch
from torch import Tensor

from scmnet_cli.regions import BACKGROUND

MIN_SHARE = 0.001
"""A region with a smaller share of the image counts as absent: a few stray pixels have no meaningful colour."""


def region_closeness(output: Tensor, output_masks: Tensor, source: Tensor, source_masks: Tensor) -> Tensor:
    """Return the similarity of each region's colours in output and source.

    It is 1 - mean over channels of sqrt(dmean^2 + dstd^2) / 2, with the differences of the region's mean and standard
    deviation. The root is the 2-Wasserstein distance of two Gaussians, at most 2 for values in [-1, 1]. 1: equal mean
    and deviation; 0: plain black against plain white. NaN if the region is absent from either (below :data:`MIN_SHARE`
    of the image).

    Shape:
        output: (B, 3, H, W) and source: (B, 3, H', W') in [-1, 1]; output_masks: (B, R, H, W) and source_masks:
        (B, R, H', W') one-hot; result: (B, R), in [0, 1] or NaN.
    """
    output_mean, output_std, in_output = _statistics(output, output_masks)
    source_mean, source_std, in_source = _statistics(source, source_masks)
    distance = torch.hypot(output_mean - source_mean, output_std - source_std).mean(2)  # (B, R)
    return torch.where(in_output & in_source, 1 - distance / 2, torch.nan)


def region_consistency(output: Tensor, output_masks: Tensor, source: Tensor, source_masks: Tensor) -> Tensor:
    """Return the mean of :func:`region_closeness` over the regions that both show, without the background.

    Every region has the same weight, whatever its size. NaN if no region is in both.

    Shape:
        as :func:`region_closeness`; result: (B,), in [0, 1] or NaN.
    """
    return mean_over_person(region_closeness(output, output_masks, source, source_masks))


def mean_over_person(values: Tensor) -> Tensor:
    """Return the mean over the regions that are not NaN, without the background.

    Shape:
        values: (B, R); result: (B,), NaN if no region is left.
    """
    person = torch.arange(values.shape[1], device=values.device) != BACKGROUND
    return values[:, person].nanmean(1)


def region_colour_distance(output: Tensor, output_masks: Tensor, source: Tensor, source_masks: Tensor) -> Tensor:
    """Return the mean absolute difference of the regions' mean colours in output and source.

    Every region that both show has the same weight; the background is left out. NaN if there is none.

    Shape:
        as :func:`region_closeness`; result: (B,), 0 to 2 for images in [-1, 1], or NaN.
    """
    output_mean, _, in_output = _statistics(output, output_masks)
    source_mean, _, in_source = _statistics(source, source_masks)
    distance = (output_mean - source_mean).abs().mean(2)  # (B, R)
    return mean_over_person(torch.where(in_output & in_source, distance, torch.nan))


def _statistics(image: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and standard deviation of each region's colours, (B, R, 3), and whether it is present, (B, R)."""
    weights = masks.double().flatten(2)  # (B, R, P)
    pixels = image.double().flatten(2)  # (B, 3, P)
    count = weights.sum(2)[..., None]  # (B, R, 1)
    mean = torch.einsum("brp,bcp->brc", weights, pixels) / count.clamp_min(1)
    square = torch.einsum("brp,bcp->brc", weights, pixels.square()) / count.clamp_min(1)
    std = (square - mean.square()).clamp_min(0).sqrt()
    return mean.float(), std.float(), count[..., 0] >= MIN_SHARE * weights.shape[2]
