"""Inputs of metrics: seeded pictures, regions and a mask."""

from __future__ import annotations

import torch
from torch import Tensor


def random_images(batch: int, height: int = 48, width: int = 32, seed: int = 0) -> Tensor:
    """Smooth coloured noise on the 8-bit grid, in [-1, 1]."""
    coarse = torch.rand(batch, 3, height // 4, width // 4, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return (smooth * 255).round() / 127.5 - 1


def random_labels(batch: int, height: int = 48, width: int = 32, seed: int = 0) -> Tensor:
    coarse = torch.randint(0, 8, (batch, height // 8, width // 8), generator=torch.Generator().manual_seed(seed))
    return coarse.repeat_interleave(8, 1).repeat_interleave(8, 2)


def left_half(height: int = 48, width: int = 32) -> Tensor:
    return (torch.arange(width) < width // 2).expand(1, 1, height, width)
