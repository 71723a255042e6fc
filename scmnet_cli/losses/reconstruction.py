"""Reconstruction loss: L1 of the images (the paper's Eq. 5)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def reconstruction_loss(
    generated: Tensor, target: Tensor, person: Tensor | None = None, person_weight: float = 1.0
) -> Tensor:
    """Return the mean absolute difference, Eq. 5; pixels of the person count ``person_weight`` times.

    Weights are normalised in each image, so the loss is a mean over images, however a batch is split.

    Shape:
        generated, target: (B, 3, H, W); person: (B, 1, H, W) in {0, 1}; result: a scalar.
    """
    if person is None or person_weight == 1:
        return F.l1_loss(generated, target)
    weight = 1 + (person_weight - 1) * person
    weight = weight / weight.mean((1, 2, 3), keepdim=True)
    return ((generated - target).abs() * weight).mean()
