"""Perceptual loss: L1 of VGG features (the paper's Eq. 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

_TINY = 1e-6


def perceptual_loss(
    generated: Mapping[str, Tensor], target: Mapping[str, Tensor], layers: Sequence[str], *, scaled: bool = False
) -> Tensor:
    """Sum the mean absolute differences of features over layers, Eq. 6; a mean over images.

    Args:
        generated: features of the generated images, by layer.
        target: features of the images to be reached.
        layers: layers to sum over.
        scaled: divide each layer's features by the mean absolute feature of each target, so that layers count alike.

    Shape:
        generated[l], target[l]: (B, C_l, H_l, W_l); result: a float32 scalar.
    """
    terms = []
    for layer in layers:
        drawn, wanted = generated[layer], target[layer]
        if scaled:
            scale = wanted.float().abs().mean((1, 2, 3), keepdim=True).clamp_min(_TINY).to(wanted.dtype)
            drawn, wanted = drawn / scale, wanted / scale
        terms.append(_mean_absolute_difference(drawn, wanted))
    return sum(terms[1:], terms[0])


def _mean_absolute_difference(a: Tensor, b: Tensor) -> Tensor:
    # Differences keep the features' type, whose gradient is a sign; the sum is float32, or float64 for doubles.
    # Not mean(): its contiguous gradient is slow together with channels-last features.
    total: Tensor = _SumOfAbsolutes.apply(a - b)
    return total / a.numel()


class _SumOfAbsolutes(torch.autograd.Function):
    """Sum absolute values in float32 or wider; torch's own gradient of bf16 takes twice as long."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        context.save_for_backward(values)
        total: Tensor = torch.linalg.vector_norm(values, 1, dtype=torch.promote_types(values.dtype, torch.float32))
        return total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        (values,) = context.saved_tensors
        of_values: Tensor = values.sign() * gradients[0].to(values.dtype)
        return of_values
