"""Pose encoder (the paper's 3.2): pose maps to features aligned with the image to generate."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from scmnet_cli.models.choices import NormName
from scmnet_cli.models.layers import ConvBlock


class PoseEncoder(nn.Module):
    """Encoder of F_p: a 7x7 convolution, three of stride 2, and a 3x3 convolution to C channels.

    It encodes any structure that is aligned with the image; only ``in_channels`` differs.

    Shape:
        maps: (B, in_channels, H, W); output: (B, features, H/8, W/8).
    """

    def __init__(self, in_channels: int, channels: Sequence[int], features: int, norm: NormName) -> None:
        super().__init__()
        first, *halved = channels
        layers: list[nn.Module] = [ConvBlock(in_channels, first, 7, norm=norm)]
        for before, after in zip(channels, halved, strict=False):
            layers.append(ConvBlock(before, after, 4, stride=2, norm=norm))  # H/2, H/4, H/8
        layers.append(ConvBlock(channels[-1], features, 3, norm=norm))
        self.layers = nn.Sequential(*layers)

    def forward(self, maps: Tensor) -> Tensor:
        """Encode pose maps as F_p."""
        out: Tensor = self.layers(maps)
        return out
