"""Means over a mask of each image."""

from __future__ import annotations

from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return each image's mean over channels and the pixels of its mask; NaN if the mask is empty.

    Shape:
        values: (B, C, H, W); mask: (B or 1, 1, H, W), bool or weights in [0, 1], None for the whole image;
        result: (B,) float32.
    """
    means = values.float().mean(1, keepdim=True)
    if mask is None:
        return means.mean((1, 2, 3))
    weight = mask.to(means).expand_as(means)
    return (means * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))
