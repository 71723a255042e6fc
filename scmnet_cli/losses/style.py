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
    product = _products(features)
    return product * _one_by_norm(product)


def _products(features: Tensor) -> Tensor:
    """Return inner products of channels, divided by C·H·W, (B, C, C) float32."""
    _, channels, height, width = features.shape
    with torch.autocast(features.device.type, enabled=False):
        flat = features.permute(0, 2, 3, 1).flatten(1, 2)  # (B, H·W, C), a view of channels-last features
        inner: Tensor = _InnerProducts.apply(flat)
        return inner.float() / (channels * height * width)


def _one_by_norm(product: Tensor) -> Tensor:
    """Return one by the Frobenius norm, (B, 1, 1)."""
    norm: Tensor = torch.linalg.matrix_norm(product, keepdim=True)
    return norm.clamp_min(1e-12).reciprocal()


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


def style_loss(
    generated: Mapping[str, Tensor], target: Mapping[str, Tensor], layers: Sequence[str], *, energy: bool = False
) -> Tensor:
    """Sum the mean absolute differences of Gram matrices over layers, Eq. 7; a mean over images.

    Args:
        generated: features of the generated images, by layer.
        target: features of the images to be reached.
        layers: layers to sum over.
        energy: scale both Gram matrices by the target's norm, so that features with less energy differ.

    Shape:
        generated[l], target[l]: (B, C_l, H_l, W_l); H_l and W_l may differ between the two; result: a float32 scalar.
    """
    terms = []
    for layer in layers:
        drawn, wanted = _products(generated[layer]), _products(target[layer])
        scale = _one_by_norm(wanted)
        terms.append(F.l1_loss(drawn * (scale if energy else _one_by_norm(drawn)), wanted * scale))
    return sum(terms[1:], terms[0])
