"""Decomposed style encoding and Cross Channel Fusion (the paper's 3.2).

The image is cut into its eight regions; one encoder, shared by all of them, gives each region's features F_s^i, and
their concatenation is F_s. The convolutions carry no bias and nothing normalises over space, so

- a region that is not in the image encodes to exactly zero, as an all-zero input does: it is never computed;
- what surrounds a region does not change its features: it may be encoded on its bounding box.

A bias-free network cannot tell a grey pixel (value 0) from none. With ``mask_channel`` it reads (image, 1) x mask
instead of image x mask: the mask is the constant from which the first layer makes its biases.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from scmnet_cli.models.layers import ConvBlock, NormName

NUM_PARTS = 8


def _bias_free_encoder(in_channels: int, channels: Sequence[int], out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(in_channels, channels[0], 7, padding=3, bias=False), nn.ReLU()]
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 4, 2, padding=1, bias=False), nn.ReLU()]
    layers.append(nn.Conv2d(channels[-1], out_channels, 4, 2, padding=1, bias=False))
    return nn.Sequential(*layers)


class DecomposedStyleEncoder(nn.Module):
    """F_s^i for i = 1..8: image x mask_i, each through the same encoder.

    Shape:
        image: (B, 3, H, W) in [-1, 1]; masks: (B, 8, H, W); output: (B, 8, C/8, H/8, W/8).
    """

    def __init__(self, channels: Sequence[int], features: int, mask_channel: bool) -> None:
        super().__init__()
        self.mask_channel = mask_channel
        self.part_features = features // NUM_PARTS
        self.encoder = _bias_free_encoder(3 + mask_channel, channels, self.part_features)

    def forward(self, image: Tensor, masks: Tensor) -> Tensor:
        """Encode the regions that are present, all of the batch in one pass; the others are zero."""
        batch, _, height, width = image.shape
        present = masks.flatten(2).amax(-1) > 0  # (B, 8)
        owner, part = present.nonzero(as_tuple=True)
        mask = masks[owner, part][:, None]  # (P, 1, H, W), P regions present in the batch
        parts = image[owner] * mask
        if self.mask_channel:
            parts = torch.cat([parts, mask.to(parts.dtype)], dim=1)
        encoded: Tensor = self.encoder(parts)  # (P, C/8, H/8, W/8)
        out = encoded.new_zeros(batch, NUM_PARTS, self.part_features, height // 8, width // 8)
        return out.index_put((owner, part), encoded)


class GlobalStyleEncoder(nn.Module):
    """The ablation "w/o DSE": one encoder reads the whole image; it has the channels of all parts together.

    Shape:
        image: (B, 3, H, W) in [-1, 1]; output: (B, C, H/8, W/8).
    """

    def __init__(self, channels: Sequence[int], features: int) -> None:
        super().__init__()
        self.encoder = _bias_free_encoder(3, channels, features)

    def forward(self, image: Tensor, masks: Tensor) -> Tensor:  # noqa: ARG002 - called as the DSE is
        """Encode the whole image; ``masks`` are not read."""
        out: Tensor = self.encoder(image)
        return out


class CrossChannelFusion(nn.Sequential):
    """CCF: two blocks of 1x1 convolution, norm and ReLU let each position select among the regions' features.

    Shape:
        input, output: (B, C, H/8, W/8).
    """

    def __init__(self, features: int, norm: NormName) -> None:
        super().__init__(ConvBlock(features, features, 1, norm=norm), ConvBlock(features, features, 1, norm=norm))
