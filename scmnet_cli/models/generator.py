"""Translation generator (the paper's 3.4): a U-Net that generates the image from the rearranged style features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmnet_cli.models.choices import NormName
from scmnet_cli.models.layers import ConvBlock, ResidualBlock, halved_edges, in_format_of
from scmnet_cli.models.part_warp import NUM_WARP_CHANNELS, PartWarp

_MAX_COLOUR = 0.95
"""Base colours are clamped to this magnitude, so that atanh stays finite."""
_SCALES = (4, 2, 1)
"""Pixels along each side of a feature, after each upsampling."""
_MIN_COVERAGE = 0.05
"""Pixels with less coverage are generated, never blended from the warp."""
_BASE_BLOCK = 4
"""Side of the blocks over which the base colours are averaged: sharp detail comes from the blended pixels."""


@dataclass(frozen=True)
class Rendering:
    """A generated image and the masks that composed it.

    Shape:
        image: (B, 3, H, W) in [-1, 1]; drawn: (B, 3, H, W), the network's own image, before warped pixels and
        background are blended in; blend: c, (B, 1, H, W) in [0, 1], the share of the warped pixels; both are None
        without a part warp; foreground: logits of alpha, (B, 1, H, W), None if the background is kept.
    """

    image: Tensor
    drawn: Tensor | None = None
    blend: Tensor | None = None
    foreground: Tensor | None = None

    def row(self, row: int) -> Rendering:
        """Return the rendering of one image of the batch, (1, ..., H, W)."""
        fields = (self.image, self.drawn, self.blend, self.foreground)
        rows = (None if field is None else field[row : row + 1] for field in fields)
        return Rendering(*rows)  # type: ignore[arg-type]

    @classmethod
    def joined(cls, renderings: Sequence[Rendering]) -> Rendering:
        """Return renderings of one network as one batch."""
        parts = [[getattr(each, name) for each in renderings] for name in ("image", "drawn", "blend", "foreground")]
        return cls(*(None if part[0] is None else torch.cat(part) for part in parts))  # type: ignore[arg-type]

    @property
    def alpha(self) -> Tensor | None:
        """The foreground mask alpha, (B, 1, H, W) in [0, 1]."""
        return None if self.foreground is None else torch.sigmoid(self.foreground.float())


@dataclass(frozen=True)
class DecoderInput:
    """Inputs of the decoder, the part of the generator that draws.

    Shape:
        features: (B, C, H/32, W/32); skips: (B, C_i, H/8, W/8) and (B, C_j, H/16, W/16); base: colours to which the
        output is added, (B, 3, h, w); guides: structure maps and part warp, (B, K, H, W); both are None if unused.
    """

    features: Tensor
    skips: tuple[Tensor, ...]
    base: Tensor | None = None
    guides: Tensor | None = None


class TranslationGenerator(nn.Module):
    """U-Net over H/8, H/16 and H/32 with skips, then three x2 upsamplings and tanh.

    A residual block refines the features at H/8, H/4 and H/2, where it is cheap. Each upsampling stage also reads
    optional inputs. With ``reads_base`` it reads the base colours to which the network adds its output. With
    ``num_maps`` it reads the structure maps, their pixels unshuffled into channels: lines thinner than a feature
    position reach the image in no other way.

    With ``part_warp`` it also reads the part warp. The last layer then predicts a blend map c and, if ``background`` is
    a plain colour, a foreground mask alpha: image = alpha (c warped + (1 - c) drawn) + (1 - alpha) background. Where c
    is 1, source pixels are copied unchanged. The drawn image then starts from low-pass filtered base colours.

    With ``half_size`` all of this draws at half the size from halved edge maps. A fourth upsampling reads the edge maps
    at full size and adds detail to the image before tanh; at first it adds nothing.

    Shape:
        rearranged: (B, C, H/8, W/8), of any size: upsampling goes to the skip's size; with ``half_size`` H/16, W/16.
    """

    def __init__(
        self,
        features: int,
        channels: Sequence[int],
        up_channels: Sequence[int],
        num_blocks: int,
        norm: NormName,
        *,
        reads_base: bool = False,
        num_maps: int = 0,
        part_warp: bool = False,
        background: float | None = None,
        half_size: bool = False,
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
        self.reads_base, self.num_maps, self.part_warp, self.background = reads_base, num_maps, part_warp, background
        num_guides = num_maps + (NUM_WARP_CHANNELS if part_warp else 0)
        extra = [(3 if reads_base else 0) + num_guides * scale**2 for scale in _SCALES]
        quarter, half, full = up_channels
        self.draw = nn.ModuleList(
            [
                nn.Sequential(ConvBlock(top + extra[0], quarter, 3, norm=norm), ResidualBlock(quarter, norm)),  # H/4
                nn.Sequential(ConvBlock(quarter + extra[1], half, 3, norm=norm), ResidualBlock(half, norm)),  # H/2
                ConvBlock(half + extra[2], full, 3, norm=norm),  # H
            ]
        )
        num_masks = part_warp + (part_warp and background is not None)
        self.to_rgb = nn.Conv2d(up_channels[-1], 3 + num_masks, 3, padding=1)
        if num_masks:
            with torch.no_grad():  # c and alpha start near one half
                self.to_rgb.weight[3:].mul_(0.1)
                assert self.to_rgb.bias is not None
                self.to_rgb.bias[3:] = 0
        self.half_size = half_size
        if half_size:
            self.fine = nn.ModuleList(
                [ConvBlock(full + num_guides, full, 3, norm=norm), ConvBlock(full, full, 3, norm=norm)]
            )
            self.to_detail = nn.Conv2d(full, 3, 3, padding=1)
            for parameter in self.to_detail.parameters():
                nn.init.zeros_(parameter)

    def forward(
        self,
        rearranged: Tensor,
        colours: Tensor | None = None,
        maps: Tensor | None = None,
        warp: PartWarp | None = None,
        guides: Tensor | None = None,
    ) -> Rendering:
        """Generate the image from rearranged features, and from what else this network reads.

        Shape:
            colours: (B, 3, h, w) in [-1, 1], coarse base colours; maps: (B, num_maps, H, W), structure maps;
            warp: (B, ..., H, W); guides: (B, num_maps + 12, H, W), maps and warp as one tensor; None: joined here.
        """
        return self.decode(self.encode(rearranged, colours, maps, warp, guides), warp)

    def encode(
        self,
        rearranged: Tensor,
        colours: Tensor | None = None,
        maps: Tensor | None = None,
        warp: PartWarp | None = None,
        guides: Tensor | None = None,
    ) -> DecoderInput:
        """Return the decoder's inputs; arguments as in :meth:`forward`."""
        guides = self._guides(maps, warp) if guides is None else guides
        features = self.enter(rearranged)
        skips = []
        for down in self.down:
            skips.append(features)
            features = down(features)
        return DecoderInput(self.blocks(features), tuple(skips), self._base_colours(colours, warp), guides)

    def decode(self, given: DecoderInput, warp: PartWarp | None = None) -> Rendering:
        """Generate the image from the decoder's inputs and the part warp that they were made with."""
        features, base, guides = given.features, given.base, given.guides
        for up, skip in zip(self.up, reversed(given.skips), strict=True):
            features = F.interpolate(features, size=skip.shape[-2:], mode="nearest")
            features = up(torch.cat([features, skip], dim=1))
        features = self.refine(features)
        guides = None if guides is None else in_format_of(features, guides.to(features.dtype))
        whole_guides = guides
        if self.half_size and guides is not None:
            guides = halved_edges(guides)
        for draw, scale in zip(self.draw, _SCALES, strict=True):
            inputs = [F.interpolate(features, scale_factor=2, mode="nearest")]
            if self.reads_base:
                assert base is not None
                size = (inputs[0].shape[2], inputs[0].shape[3])
                mode = "bilinear" if warp is None else "area"
                same = size == (base.shape[2], base.shape[3])
                colour = base if same else F.interpolate(base, size=size, mode=mode)
                inputs.append(in_format_of(features, colour.to(features.dtype)))
            block, *refine = [draw] if isinstance(draw, ConvBlock) else draw.children()
            assert isinstance(block, ConvBlock)
            features = _joined(block, inputs, guides, scale)
            for module in refine:
                features = module(features)
        if self.half_size:
            return self._add_detail(features, base, whole_guides)
        return self._compose(self.to_rgb(features), base, warp)

    def _add_detail(self, features: Tensor, base: Tensor | None, guides: Tensor | None) -> Rendering:
        """Draw the image at twice the size of features: theirs, enlarged, and the detail of the fourth upsampling."""
        coarse = self._with_base(self.to_rgb(features), base)
        coarse = F.interpolate(coarse, scale_factor=2, mode="bilinear")
        first, second = self.fine
        assert isinstance(first, ConvBlock)
        features = second(_joined(first, [F.interpolate(features, scale_factor=2, mode="nearest")], guides, 1))
        return Rendering(torch.tanh(coarse + self.to_detail(features)))

    def _with_base(self, output: Tensor, base: Tensor | None) -> Tensor:
        """Add base colours to the last layer's output, before tanh."""
        if base is None:
            return output
        offset = torch.atanh(base.clamp(-_MAX_COLOUR, _MAX_COLOUR))
        size = (output.shape[2], output.shape[3])
        return output + F.interpolate(offset, size=size, mode="bilinear").to(output.dtype)

    def _guides(self, maps: Tensor | None, warp: PartWarp | None) -> Tensor | None:
        """Return the maps that each upsampling stage reads, (B, K, H, W)."""
        guides = []
        if self.num_maps:
            assert maps is not None
            guides.append(maps)
        if self.part_warp:
            assert warp is not None
            guides.append(warp.channels())
        return torch.cat(guides, dim=1) if guides else None

    def _base_colours(self, colours: Tensor | None, warp: PartWarp | None) -> Tensor | None:
        """Return the colours that the output is added to: warped where covered, else moved by the field."""
        if warp is None or colours is None:
            return colours
        size = (warp.image.shape[2], warp.image.shape[3])
        moved = F.interpolate(colours.float(), size=size, mode="bilinear")
        return (warp.coverage * warp.image + (1 - warp.coverage) * moved).clamp(-1, 1)

    def _compose(self, output: Tensor, base: Tensor | None, warp: PartWarp | None) -> Rendering:
        """Turn the last layer's output into the image: add the base colours, then blend warp and background."""
        size = (output.shape[2], output.shape[3])
        if warp is None:
            return Rendering(torch.tanh(self._with_base(output, base)))
        output = output.float()
        colours = output[:, :3]  # before tanh
        if base is not None:
            coarse = F.interpolate(F.avg_pool2d(base, _BASE_BLOCK), size=size, mode="bilinear")
            colours = colours + torch.atanh(coarse.clamp(-_MAX_COLOUR, _MAX_COLOUR))
        blend = torch.sigmoid(output[:, 3:4]) * (warp.coverage > _MIN_COVERAGE)
        drawn = torch.tanh(colours)
        image = blend * warp.image + (1 - blend) * drawn
        if self.background is None:
            return Rendering(image, drawn, blend)
        foreground = output[:, 4:5]
        alpha = torch.sigmoid(foreground)
        return Rendering(alpha * image + (1 - alpha) * self.background, drawn, blend, foreground)


def _joined(block: ConvBlock, inputs: Sequence[Tensor], guides: Tensor | None, scale: int) -> Tensor:
    """Apply a block to its inputs and to the guides, whose ``scale`` x ``scale`` pixels are unshuffled into channels.

    In training each input goes through its part of the convolution alone, and the sum is the same: nobody needs the
    gradient of the guides, which takes longer than that of the features, and no gradient is cut out of a larger one.

    Shape:
        inputs: (B, C_i, h, w) each; guides: (B, K, scale h, scale w).
    """
    if not torch.is_grad_enabled():
        unshuffled = [] if guides is None else [guides if scale == 1 else F.pixel_unshuffle(guides, scale)]
        drawn: Tensor = block(torch.cat([*inputs, *unshuffled], dim=1))
        return drawn
    parts = [*inputs, *([] if guides is None else [_in_blocks(guides, scale)])]
    convolution, *others = block
    assert isinstance(convolution, nn.Conv2d)
    padding = convolution.kernel_size[0] // 2
    weights = list(torch.split(convolution.weight, [part.shape[1] for part in parts], dim=1))
    if guides is not None:
        weights[-1] = _for_blocks(weights[-1], scale)
    features = F.conv2d(parts[0], weights[0], convolution.bias, padding=padding)
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        features.add_(F.conv2d(part, weight, padding=padding))
    for module in others:
        features = module(features)
    return features


def _in_blocks(maps: Tensor, side: int) -> Tensor:
    """Unshuffle pixels into channels like :func:`F.pixel_unshuffle`, but with the maps' channels last: a faster copy.

    Shape:
        maps: (B, K, H, W); result: (B, side^2 K, H / side, W / side), channels-last.
    """
    if side == 1:
        return maps
    batch, num, height, width = maps.shape
    blocks = maps.permute(0, 2, 3, 1).reshape(batch, height // side, side, width // side, side * num)
    return blocks.transpose(2, 3).flatten(3).permute(0, 3, 1, 2)


def _for_blocks(weight: Tensor, side: int) -> Tensor:
    """Bring a convolution's weights into the order of channels of :func:`_in_blocks`.

    Shape:
        weight: (O, K side^2, k, k), for pixels unshuffled by torch; result: the same shape.
    """
    if side == 1:
        return weight
    blocks = torch.unflatten(weight, 1, (-1, side, side))  # (O, K, side, side, k, k)
    return blocks.permute(0, 2, 3, 1, 4, 5).flatten(1, 3)
