"""Edge loss: L1 of soft edges, weighted around the target's edges (ours, for faces from edges)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)
_SMOOTHING = (0.054, 0.244, 0.404, 0.244, 0.054)
"""Gaussian of sigma 1, as Canny's."""
_THRESHOLD = 0.15
"""Sobel magnitude at which a soft edge is one half; Canny's default thresholds are 0.1 and 0.2."""
_IS_EDGE = 0.5
_TINY = 1e-6
"""Keeps the gradient of the square root finite on flat images."""


def soft_edges(image: Tensor) -> Tensor:
    """Return soft edges: the length of Sobel's gradient of the smoothed luma, compressed to [0, 1).

    The direction is left out: it would have to be guessed where a line may be lighter or darker than its surroundings,
    and a loss that compares it fades such lines.

    Shape:
        image: (B, 3, H, W) in [-1, 1]; result: (B, 1, H, W) float32.
    """
    with torch.autocast(image.device.type, enabled=False):
        luma = (image.float() * image.new_tensor(_LUMA, dtype=torch.float32)[:, None, None]).sum(1, keepdim=True)
        smooth = luma.new_tensor(_SMOOTHING)
        grey = F.pad(luma / 2, (2, 2, 2, 2), mode="replicate")
        grey = F.conv2d(F.conv2d(grey, smooth.view(1, 1, 1, 5)), smooth.view(1, 1, 5, 1))
        grey = F.pad(grey, (1, 1, 1, 1), mode="replicate")
        across, along = grey.new_tensor([-1.0, 0, 1]), grey.new_tensor([1.0, 2, 1])
        kernels = torch.stack([along[:, None] * across, across[:, None] * along])[:, None]  # (2, 1, 3, 3)
        square = F.conv2d(grey, kernels).square().sum(1, keepdim=True)
        # A length of _THRESHOLD becomes one half.
        return ((square + _TINY) / (square + 3 * _THRESHOLD**2)).sqrt()


def edge_loss(generated: Tensor, target: Tensor, edge_weight: float) -> Tensor:
    """Return the mean absolute difference of soft edges; pixels around the target's edges count more.

    Weights are normalised in each image, so the loss is a mean over images, however a batch is split.

    Args:
        generated: generated images.
        target: images to be reached.
        edge_weight: weight of pixels within one pixel of the target's edges.

    Shape:
        generated, target: (B, 3, H, W) in [-1, 1]; result: a scalar.
    """
    with torch.no_grad():
        wanted = soft_edges(target)
        band = F.max_pool2d((wanted > _IS_EDGE).float(), 3, stride=1, padding=1)
        weight = 1 + (edge_weight - 1) * band
        weight = weight / weight.mean((1, 2, 3), keepdim=True)
    return ((soft_edges(generated) - wanted).abs() * weight).mean()
