"""Perceptual loss: L1 of VGG features (the paper's Eq. 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor
from torch.nn import functional as F


def perceptual_loss(generated: Mapping[str, Tensor], target: Mapping[str, Tensor], layers: Sequence[str]) -> Tensor:
    """Sum the mean absolute differences of features over layers, Eq. 6; a mean over images.

    Shape:
        generated[l], target[l]: (B, C_l, H_l, W_l); result: a float32 scalar.
    """
    terms = [_mean_absolute_difference(generated[layer].float(), target[layer].float()) for layer in layers]
    return sum(terms[1:], terms[0])


def _mean_absolute_difference(a: Tensor, b: Tensor) -> Tensor:
    # Not reduction="mean": its contiguous gradient is slow together with channels-last features.
    return F.l1_loss(a, b, reduction="sum") / a.numel()
