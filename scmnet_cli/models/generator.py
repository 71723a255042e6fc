"""Translation generator (the paper's 3.4): a U-Net that draws the image from the rearranged style features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmnet_cli.models.choices import NormName
from scmnet_cli.models.layers import ConvBlock, ResidualBlock

_BRIGHTEST = 0.95
_PIXELS = (4, 2, 1)
"""Pixels along each side of a feature, after each upsampling."""


class TranslationGenerator(nn.Module):
    """U-Net over H/8, H/16 and H/32 with skips, then three x2 upsamplings and tanh.

    A residual block refines at H/8, H/4 and H/2, where it costs little. With ``shows_ground`` each upsampling also sees
    the colours that the image is drawn on: it has to know what of them to paint over. With ``num_maps`` it also sees
    the structure maps, all their pixels in channels: lines thinner than a position of the field have no other way.

    Shape:
        rearranged: (B, C, H/8, W/8), any size: odd ones are met again on the way up; output: (B, 3, H, W) in [-1, 1].
    """

    def __init__(
        self,
        features: int,
        channels: Sequence[int],
        up_channels: Sequence[int],
        num_blocks: int,
        norm: NormName,
        *,
        shows_ground: bool = False,
        num_maps: int = 0,
    ) -> None:
        super().__init__()
        top, middle, bottom = channels
        self.enter = ConvBlock(features, top, 3, norm=norm)  # H/8
        self.down = nn.ModuleList(
            [
                ConvBlock(top, middle, 3, stride=2, norm=norm),  # H/16
                ConvBlock(middle, bottom, 3, stride=2, norm=norm),  # H/32
            ]
        )
        self.blocks = nn.Sequential(*[ResidualBlock(bottom, norm) for _ in range(num_blocks)])
        self.up = nn.ModuleList(
            [
                ConvBlock(bottom + middle, middle, 3, norm=norm),  # H/16
                ConvBlock(middle + top, top, 3, norm=norm),  # H/8
            ]
        )
        self.refine = ResidualBlock(top, norm)
        self.shows_ground, self.num_maps = shows_ground, num_maps
        seen = [(3 if shows_ground else 0) + num_maps * pixels**2 for pixels in _PIXELS]
        quarter, half, full = up_channels
        self.draw = nn.ModuleList(
            [
                nn.Sequential(ConvBlock(top + seen[0], quarter, 3, norm=norm), ResidualBlock(quarter, norm)),  # H/4
                nn.Sequential(ConvBlock(quarter + seen[1], half, 3, norm=norm), ResidualBlock(half, norm)),  # H/2
                ConvBlock(half + seen[2], full, 3, norm=norm),  # H
            ]
        )
        self.to_rgb = nn.Conv2d(up_channels[-1], 3, 3, padding=1)

    def forward(self, rearranged: Tensor, colours: Tensor | None = None, maps: Tensor | None = None) -> Tensor:
        """Draw the image; on top of coarser colours, (B, 3, h, w) in [-1, 1], where they are given.

        Structure maps, (B, num_maps, H, W), are needed where the generator sees them, and else not read.
        """
        features = self.enter(rearranged)
        skips = []
        for down in self.down:
            skips.append(features)
            features = down(features)
        features = self.blocks(features)
        for up in self.up:
            skip = skips.pop()
            features = F.interpolate(features, size=skip.shape[-2:], mode="nearest")
            features = up(torch.cat([features, skip], dim=1))
        features = self.refine(features)
        for draw, pixels in zip(self.draw, _PIXELS, strict=True):
            features = F.interpolate(features, scale_factor=2, mode="nearest")
            if self.shows_ground:
                assert colours is not None
                ground = F.interpolate(colours, size=features.shape[2:], mode="bilinear").to(features.dtype)
                features = torch.cat([features, ground], dim=1)
            if self.num_maps:
                assert maps is not None
                features = torch.cat([features, F.pixel_unshuffle(maps, pixels).to(features.dtype)], dim=1)
            features = draw(features)
        drawn = self.to_rgb(features)
        if colours is not None:
            ground = torch.atanh(colours.clamp(-_BRIGHTEST, _BRIGHTEST))
            drawn = drawn + F.interpolate(ground, size=drawn.shape[2:], mode="bilinear").to(drawn.dtype)
        return torch.tanh(drawn)
