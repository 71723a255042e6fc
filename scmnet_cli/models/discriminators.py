"""The two discriminators of the adversarial loss (the paper's Eq. 4), and one that sees VGG features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from scmnet_cli.models.choices import NormName
from scmnet_cli.models.layers import ConvBlock, ResidualBlock


class PatchDiscriminator(nn.Sequential):
    """PatchGAN discriminator: a 7x7 convolution, two of stride 2, residual blocks, one output channel.

    Shape:
        input: (B, in_channels, H, W); output: (B, 1, H/4, W/4) logits.
    """

    def __init__(self, in_channels: int, channels: Sequence[int], num_blocks: int, norm: NormName = "instance") -> None:
        first, middle, last = channels
        super().__init__(
            ConvBlock(in_channels, first, 7),
            ConvBlock(first, middle, 4, stride=2, norm=norm),
            ConvBlock(middle, last, 4, stride=2, norm=norm),
            *[ResidualBlock(last, norm) for _ in range(num_blocks)],
            nn.Conv2d(last, 1, 3, padding=1),
        )


class Discriminators(nn.Module):
    """D_s sees the image alone; D_p sees the image together with its pose maps.

    Shape:
        image: (B, 3, H, W); maps: (B, pose_channels, H, W); output: two (B, 1, H/4, W/4) logits, D_s then D_p.
    """

    def __init__(self, pose_channels: int, channels: Sequence[int], num_blocks: int) -> None:
        super().__init__()
        self.style = PatchDiscriminator(3, channels, num_blocks)
        self.pose = PatchDiscriminator(3 + pose_channels, channels, num_blocks)

    def forward(self, image: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of D_s and D_p."""
        return self.style(image), self.pose(torch.cat([image, maps.to(image.dtype)], dim=1))


class FeatureDiscriminator(nn.Module):
    """Projected discriminator: a small convolutional head on each layer of a frozen network.

    Spectral norm (Miyato et al. 2018) bounds the heads, so that they stay useful with few images.

    Args:
        channels: number of channels of each layer, by its name.
        width: number of channels of a head.

    Shape:
        features[l]: (B, C_l, H_l, W_l); output: (B, 1, H_l, W_l) logits for each layer.
    """

    def __init__(self, channels: Mapping[str, int], width: int = 64) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({layer: _feature_head(count, width) for layer, count in channels.items()})

    def forward(self, features: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the logits of each layer."""
        return {layer: head(features[layer]) for layer, head in self.heads.items()}


def _feature_head(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        spectral_norm(nn.Conv2d(channels, width, 1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(width, width, 3, padding=1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(width, 1, 1)),
    )
