"""Blocks that several networks share."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

NormName = Literal["instance", "batch", "group", "none"]


def norm_layer(norm: NormName, channels: int) -> nn.Module:
    """Return a normalisation layer with learnt scale and shift.

    Instance norm is spelt as a group norm with one channel a group: the same equation, and many times faster on a CPU.
    """
    if norm == "instance":
        return nn.GroupNorm(channels, channels)
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "group":
        return nn.GroupNorm(max(1, channels // 16), channels)
    return nn.Identity()


class ConvBlock(nn.Sequential):
    """Convolution, normalisation, ReLU; the size is kept, or halved at stride 2.

    Shape:
        input: (B, in_channels, H, W); output: (B, out_channels, H / stride, W / stride).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, norm: NormName = "none") -> None:
        padding = (kernel - 1) // 2
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=norm == "none"),
            norm_layer(norm, out_channels),
            nn.ReLU(),
        )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside the identity.

    Shape:
        input, output: (B, channels, H, W).
    """

    def __init__(self, channels: int, norm: NormName) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvBlock(channels, channels, 3, norm=norm),
            nn.Conv2d(channels, channels, 3, padding=1, bias=norm == "none"),
            norm_layer(norm, channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Add what the two convolutions make of the features to them."""
        out: Tensor = features + self.body(features)
        return out
