"""Translation generator (the paper's 3.4): a U-Net that draws the image from the rearranged style features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmnet_cli.models.choices import NormName
from scmnet_cli.models.layers import ConvBlock, ResidualBlock
from scmnet_cli.models.part_warp import NUM_WARP_CHANNELS, PartWarp

_BRIGHTEST = 0.95
_PIXELS = (4, 2, 1)
"""Pixels along each side of a feature, after each upsampling."""
_LEAST_COVERED = 0.05
"""Pixels that the warp covers less are drawn, never blended in."""
_COARSER = 4
"""Side of the blocks over which the ground is averaged: sharp detail comes from the blended pixels."""


@dataclass(frozen=True)
class Rendering:
    """A picture and the masks it was composed with.

    Shape:
        image: (B, 3, H, W) in [-1, 1]; drawn: likewise, before warped pixels and background are blended in; blend: c,
        (B, 1, H, W) in [0, 1], the share of the warped pixels; both None without a part warp; foreground: logits of
        alpha, (B, 1, H, W); None where the background is not replaced.
    """

    image: Tensor
    drawn: Tensor | None = None
    blend: Tensor | None = None
    foreground: Tensor | None = None

    def row(self, row: int) -> Rendering:
        """Return the rendering of one picture of the batch, (1, ..., H, W)."""
        fields = (self.image, self.drawn, self.blend, self.foreground)
        rows = (None if field is None else field[row : row + 1] for field in fields)
        return Rendering(*rows)  # type: ignore[arg-type]

    @property
    def alpha(self) -> Tensor | None:
        """The foreground mask alpha, (B, 1, H, W) in [0, 1]."""
        return None if self.foreground is None else torch.sigmoid(self.foreground.float())


class TranslationGenerator(nn.Module):
    """U-Net over H/8, H/16 and H/32 with skips, then three x2 upsamplings and tanh.

    A residual block refines at H/8, H/4 and H/2, where it costs little. With ``shows_ground`` each upsampling also sees
    the colours that the image is drawn on: it has to know what of them to paint over. With ``num_maps`` it also sees
    the structure maps, all their pixels in channels: lines thinner than a position of the field have no other way.

    With ``part_warp`` it also sees the part warp, and its last layer gives a blend map c and, over a plain
    ``background``, a foreground mask alpha: image = alpha (c warped + (1 - c) drawn) + (1 - alpha) background. Where c
    is 1 the source's own pixels arrive untouched. What is drawn then starts from a low-passed ground.

    Shape:
        rearranged: (B, C, H/8, W/8), any size: odd ones are met again on the way up.
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
        part_warp: bool = False,
        background: float | None = None,
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
        self.shows_ground, self.num_maps, self.part_warp, self.background = (
            shows_ground,
            num_maps,
            part_warp,
            background,
        )
        num_seen = num_maps + (NUM_WARP_CHANNELS if part_warp else 0)
        seen = [(3 if shows_ground else 0) + num_seen * pixels**2 for pixels in _PIXELS]
        quarter, half, full = up_channels
        self.draw = nn.ModuleList(
            [
                nn.Sequential(ConvBlock(top + seen[0], quarter, 3, norm=norm), ResidualBlock(quarter, norm)),  # H/4
                nn.Sequential(ConvBlock(quarter + seen[1], half, 3, norm=norm), ResidualBlock(half, norm)),  # H/2
                ConvBlock(half + seen[2], full, 3, norm=norm),  # H
            ]
        )
        num_masks = part_warp + (part_warp and background is not None)
        self.to_rgb = nn.Conv2d(up_channels[-1], 3 + num_masks, 3, padding=1)
        if num_masks:
            with torch.no_grad():  # c and alpha start near one half
                self.to_rgb.weight[3:].mul_(0.1)
                assert self.to_rgb.bias is not None
                self.to_rgb.bias[3:] = 0

    def forward(
        self,
        rearranged: Tensor,
        colours: Tensor | None = None,
        maps: Tensor | None = None,
        warp: PartWarp | None = None,
    ) -> Rendering:
        """Draw the image; on top of coarser colours, (B, 3, h, w) in [-1, 1], where they are given.

        Structure maps, (B, num_maps, H, W), are needed where the generator sees them, and else not read; a part warp,
        (B, ..., H, W), likewise.
        """
        seen = self._seen(maps, warp)
        ground = self._drawn_on(colours, warp)
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
            inputs = [F.interpolate(features, scale_factor=2, mode="nearest")]
            if self.shows_ground:
                assert ground is not None
                size = (inputs[0].shape[2], inputs[0].shape[3])
                mode = "bilinear" if warp is None else "area"
                inputs.append(F.interpolate(ground, size=size, mode=mode).to(features.dtype))
            if seen is not None:
                inputs.append(F.pixel_unshuffle(seen, pixels).to(features.dtype))
            features = draw(torch.cat(inputs, dim=1))
        return self._compose(self.to_rgb(features), ground, warp)

    def _seen(self, maps: Tensor | None, warp: PartWarp | None) -> Tensor | None:
        """Return the maps that each upsampling sees, at full size."""
        seen = []
        if self.num_maps:
            assert maps is not None
            seen.append(maps)
        if self.part_warp:
            assert warp is not None
            seen.append(warp.channels())
        return torch.cat(seen, dim=1) if seen else None

    def _drawn_on(self, colours: Tensor | None, warp: PartWarp | None) -> Tensor | None:
        """Return the colours that are drawn on: the warped ones where covered, else those that the field moved."""
        if warp is None or colours is None:
            return colours
        size = (warp.image.shape[2], warp.image.shape[3])
        moved = F.interpolate(colours.float(), size=size, mode="bilinear")
        return (warp.coverage * warp.image + (1 - warp.coverage) * moved).clamp(-1, 1)

    def _compose(self, drawn: Tensor, ground: Tensor | None, warp: PartWarp | None) -> Rendering:
        size = (drawn.shape[2], drawn.shape[3])
        if warp is None:
            if ground is not None:
                light = torch.atanh(ground.clamp(-_BRIGHTEST, _BRIGHTEST))
                drawn = drawn + F.interpolate(light, size=size, mode="bilinear").to(drawn.dtype)
            return Rendering(torch.tanh(drawn))
        drawn = drawn.float()
        colours = drawn[:, :3]  # before tanh
        if ground is not None:
            coarse = F.interpolate(F.avg_pool2d(ground, _COARSER), size=size, mode="bilinear")
            colours = colours + torch.atanh(coarse.clamp(-_BRIGHTEST, _BRIGHTEST))
        blend = torch.sigmoid(drawn[:, 3:4]) * (warp.coverage > _LEAST_COVERED)
        painted = torch.tanh(colours)
        image = blend * warp.image + (1 - blend) * painted
        if self.background is None:
            return Rendering(image, painted, blend)
        foreground = drawn[:, 4:5]
        alpha = torch.sigmoid(foreground)
        return Rendering(alpha * image + (1 - alpha) * self.background, painted, blend, foreground)
