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
            scale = feature_scale(wanted)
            drawn, wanted = drawn / scale, wanted / scale
        terms.append(_mean_absolute_difference(drawn, wanted))
    return sum(terms[1:], terms[0])


def feature_scale(features: Tensor) -> Tensor:
    """Return the mean absolute feature of each image, at least 1e-6.

    Shape:
        features: (B, C, H, W); result: (B, 1, 1, 1), of their dtype.
    """
    return features.float().abs().mean((1, 2, 3), keepdim=True).clamp_min(_TINY).to(features.dtype)


def _mean_absolute_difference(a: Tensor, b: Tensor) -> Tensor:
    # Differences keep the features' type, whose gradient is a sign; the sum is float32, or float64 for doubles.
    # Not mean(): its contiguous gradient is slow together with channels-last features.
    total: Tensor = _SumOfAbsoluteDifferences.apply(a, b)
    return total / a.numel()


class _SumOfAbsoluteDifferences(torch.autograd.Function):
    """Sum |a - b| in float32 or wider, on a CPU one image at a time, so that differences stay in the cache.

    Shape:
        a, b: (B, ...), of one dtype; result: a scalar.
    """

    @staticmethod
    def forward(context: Any, a: Tensor, b: Tensor) -> Tensor:
        context.save_for_backward(a, b)
        wide = torch.promote_types(a.dtype, torch.float32)
        pairs = zip(_at_once(a), _at_once(b), strict=True)
        return torch.stack([(one - other).abs_().sum(dtype=wide) for one, other in pairs]).sum()

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = context.saved_tensors
        of_a, factor = torch.empty_like(a), gradients[0].to(a.dtype)
        for out, one, other in zip(_at_once(of_a), _at_once(a), _at_once(b), strict=True):
            torch.sub(one, other, out=out).sign_().mul_(factor)
        return of_a if context.needs_input_grad[0] else None, -of_a if context.needs_input_grad[1] else None


def _at_once(values: Tensor) -> tuple[Tensor, ...]:
    return values.unbind() if values.device.type == "cpu" else (values,)
