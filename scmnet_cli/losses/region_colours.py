"""Loss of crossed pairs: each region has the colours of the same region of the source (ours, for faces from edges)."""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST_SHARE = 0.001
"""A region with a smaller share of either image does not count: a few pixels have no meaningful colour."""


def region_colour_loss(image: Tensor, masks: Tensor, source: Tensor, source_masks: Tensor) -> Tensor:
    """Compute L1 between the mean colours of the regions of image and source; a mean over images.

    Each region that both show has the same weight.

    Shape:
        image, source: (B, 3, H, W); masks, source_masks: (B, R, H, W) one-hot; result: a float32 scalar.
    """
    mean, share = _means(image, masks)
    wanted, source_share = _means(source, source_masks)
    counts = ((share >= _LEAST_SHARE) & (source_share >= _LEAST_SHARE)).float()  # (B, R)
    distance = (mean - wanted).abs().mean(2)
    return ((distance * counts).sum(1) / counts.sum(1).clamp_min(1)).mean()


def _means(image: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return each region's mean colour, (B, R, 3), and its share of the image, (B, R)."""
    with torch.autocast(image.device.type, enabled=False):
        weights, pixels = masks.float().flatten(2), image.float().flatten(2)
        total = torch.einsum("brp,bcp->brc", weights, pixels)
        count = weights.sum(2)
        return total / count.clamp_min(1)[..., None], count / weights.shape[2]
