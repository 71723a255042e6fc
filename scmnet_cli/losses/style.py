"""Style loss: L1 between normalised Gram matrices of VGG features (the paper's Eq. 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

STYLE_LAYERS: dict[str, tuple[str, ...]] = {
    "vgg19": ("relu2_2", "relu3_4", "relu4_4", "relu5_2"),
    "vgg16": ("relu2_2", "relu3_3", "relu4_3", "relu5_2"),
}
"""Default layers of the style loss."""


def gram(features: Tensor) -> Tensor:
    """Return each image's Gram matrix, divided by C·H·W and scaled to unit Frobenius norm, in float32.

    Inner products of bf16 features are computed in bf16: their rounding is far below that of the features themselves.

    The magnitude of VGG features differs by orders of magnitude between layers; the unit norm removes it. The division
    by C·H·W then only matters for features close to zero. All-zero features give a zero matrix and zero gradients.

    Shape:
        features: (B, C, H, W); result: (B, C, C) float32, symmetric.
    """
    _, channels, height, width = features.shape
    with torch.autocast(features.device.type, enabled=False):
        flat = features.permute(0, 2, 3, 1).flatten(1, 2)  # (B, H·W, C), a view of channels-last features
        inner: Tensor = _InnerProducts.apply(flat)
        product = inner.float() / (channels * height * width)  # (B, C, C)
        norm = torch.linalg.matrix_norm(product, keepdim=True)  # (B, 1, 1)
        unit: Tensor = product * norm.clamp_min(1e-12).reciprocal()
        return unit


class _InnerProducts(torch.autograd.Function):
    """Inner products of channels; backwards it is one matrix product, where autograd has one for each factor.

    Shape:
        input: (B, N, C); output: (B, C, C).
    """

    @staticmethod
    def forward(context: Any, flat: Tensor) -> Tensor:
        context.save_for_backward(flat)
        return flat.transpose(1, 2) @ flat

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        (flat,) = context.saved_tensors
        of_flat: Tensor = flat @ (gradients[0] + gradients[0].transpose(1, 2))
        return of_flat


def style_loss(generated: Mapping[str, Tensor], target: Mapping[str, Tensor], layers: Sequence[str]) -> Tensor:
    """Sum the mean absolute differences of Gram matrices over layers, Eq. 7; a mean over images.

    Shape:
        generated[l], target[l]: (B, C_l, H_l, W_l); H_l and W_l may differ between the two; result: a float32 scalar.
    """
    terms = [F.l1_loss(gram(generated[layer]), gram(target[layer])) for layer in layers]
    return sum(terms[1:], terms[0])
