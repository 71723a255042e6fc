"""Inputs of losses: seeded values, masks and weights of VGG."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from scmnet_cli.regions import NUM_REGIONS, one_hot
from scmnet_cli.weights import backbone_shapes


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def random_masks(batch: int, height: int, width: int, seed: int = 0) -> Tensor:
    labels = torch.randint(
        0, NUM_REGIONS, (batch, height // 4, width // 4), generator=torch.Generator().manual_seed(seed)
    )
    return one_hot(labels.repeat_interleave(4, 1).repeat_interleave(4, 2))


def whole_image_masks(batch: int, height: int, width: int, region: int) -> Tensor:
    return one_hot(torch.full((batch, height, width), region))


def save_vgg(folder: Path, name: str, last: int) -> None:
    """Write a VGG file of random weights, He-initialised, that ends at convolution ``features.last``."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for key, shape in backbone_shapes(name).items():
        if int(key.split(".")[1]) <= last:
            fan_in = math.prod(shape[1:])
            state[key] = (
                torch.randn(shape, generator=generator) * math.sqrt(2 / fan_in) * (0.1 if len(shape) == 1 else 1)
            )
    torch.save(state, folder / f"{name}-features-fp16.pth")
