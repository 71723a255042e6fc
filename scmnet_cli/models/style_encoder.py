"""Decomposed style encoder (DSE) and Cross Channel Fusion (CCF), the paper's 3.2.

The image is split into its eight regions. One encoder, shared by all regions, gives the features F_s^i of each; their
concatenation is F_s. The convolutions have no bias and nothing normalises over space. Therefore

- a region that is not in the image encodes to exactly zero, so it is never computed;
- the surroundings of a region do not change its features, so it may be encoded on its bounding box.

With ``carry_colours`` each region's features end with its own colours and mask. They are averaged over 8x8 pixels or,
with ``carry_detail`` d, over each of the d x d cells of a position, which the field then moves as one block. They skip
the CCF and the correlation; the generator uses the moved colours as a base. Without them a short training transfers a
garment's brightness but not its colour, and with d = 1 no pattern (docs/lab/settings.md).

A bias-free network cannot distinguish a grey pixel (value 0) from no pixel. With ``mask_channel`` it reads
(image, 1) x mask instead of image x mask: the mask acts as a bias of the first layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scmnet_cli.models.choices import NormName
from scmnet_cli.models.layers import ConvBlock
from scmnet_cli.models.positions import STRIDE, affected_positions

NUM_PARTS = 8
_CROP_STEP = 4
"""Sizes of crops in training are multiples of this many feature positions."""


def _bias_free_encoder(in_channels: int, channels: Sequence[int], out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(in_channels, channels[0], 7, padding=3, bias=False), nn.ReLU(inplace=True)]
    for before, after in pairwise(channels):
        layers += [nn.Conv2d(before, after, 4, 2, padding=1, bias=False), nn.ReLU(inplace=True)]
    layers.append(nn.Conv2d(channels[-1], out_channels, 4, 2, padding=1, bias=False))
    return nn.Sequential(*layers)


class DecomposedStyleEncoder(nn.Module):
    """Encode image x mask_i with one shared encoder to F_s^i, i = 1..8.

    Shape:
        image: (B, 3, H, W) in [-1, 1]; masks: (B, 8, H, W); output: (B, 8, C/8, H/8, W/8); with ``carry_colours``, 4
        d^2 further channels: red, green, blue and mask of d x d cells.
    """

    def __init__(self, channels: Sequence[int], features: int, mask_channel: bool, carried_cells: int) -> None:
        super().__init__()
        self.mask_channel = mask_channel
        self.part_features = features // NUM_PARTS
        self.carried_cells = carried_cells
        self.num_carried = 4 * carried_cells**2
        self.encoder = _bias_free_encoder(3 + mask_channel, channels, self.part_features)

    def forward(self, image: Tensor, masks: Tensor) -> Tensor:
        """Encode the regions that are present; the features of the others are zero."""
        present = masks.flatten(2).amax(-1) > 0  # (B, 8)
        if image.device.type != "cpu":
            return self._encode_whole(image, masks, present)
        encode = self._encode_on_crops if torch.is_grad_enabled() else self._encode_on_boxes
        return encode(image, masks, present)

    def encode_region(self, image: Tensor, mask: Tensor) -> Tensor:
        """Encode one region of each image, on the whole canvas or a part of it that holds the region.

        Shape:
            image: (B, 3, H, W) in [-1, 1]; mask: (B, 1, H, W); result: (B, C/8, H/8, W/8), with carried channels.
        """
        colours = image * mask
        with_mask = torch.cat([colours, mask.to(colours.dtype)], dim=1)
        encoded: Tensor = self.encoder(with_mask if self.mask_channel else colours)
        if self.num_carried:
            encoded = torch.cat([encoded, _in_cells(with_mask, self.carried_cells).to(encoded.dtype)], dim=1)
        return encoded

    def _encode_whole(self, image: Tensor, masks: Tensor, present: Tensor) -> Tensor:
        """Encode each region on the whole canvas: no place of a region is read back from a GPU."""
        owner, part = present.nonzero(as_tuple=True)
        regions = masks[owner, part][:, None]  # (P, 1, H, W), P regions in the batch
        encoded = self.encode_region(image[owner], regions)  # (P, C/8, H/8, W/8)
        out = encoded.new_zeros(*present.shape, *encoded.shape[1:])
        return out.index_put((owner, part), encoded)

    def _encode_on_boxes(self, image: Tensor, masks: Tensor, present: Tensor) -> Tensor:
        """Encode each region on its bounding box: the same features for a third of the work."""
        out = self._nothing(image).repeat(*present.shape, 1, 1, 1)
        for owner, part in present.nonzero().tolist():
            (top, left), (high, wide) = _box(masks[owner, part])
            box = (..., *_pixels((top, left), (high, wide)))
            encoded = self.encode_region(image[owner : owner + 1][box], masks[owner : owner + 1, part : part + 1][box])
            out[owner, part, :, top : top + high, left : left + wide] = encoded[0]
        return out

    def _encode_on_crops(self, image: Tensor, masks: Tensor, present: Tensor) -> Tensor:
        """Encode each region of all images together, on crops of one size that hold its bounding boxes.

        Boxes one by one gain nothing in training, where small convolutions are slow.
        """
        nothing = self._nothing(image)
        rows, columns = nothing.shape[1:]
        maps: dict[tuple[int, int], Tensor] = {}
        for part in range(NUM_PARTS):
            owners = present[:, part].nonzero()[:, 0].tolist()
            if not owners:
                continue
            (high, wide), corners = _crops([_box(masks[owner, part]) for owner in owners], (rows, columns))
            places = [(owner, _pixels(corner, (high, wide))) for owner, corner in zip(owners, corners, strict=True)]
            crops = torch.stack([image[(owner, ..., *place)] for owner, place in places])
            regions = torch.stack([masks[(owner, part, *place)] for owner, place in places])[:, None]
            encoded = self.encode_region(crops, regions).unbind()
            for owner, (top, left), features in zip(owners, corners, encoded, strict=True):
                maps[owner, part] = F.pad(features, (left, columns - wide - left, top, rows - high - top))
        nothing = next(iter(maps.values()), nothing).new_zeros(nothing.shape)
        parts = [maps.get((owner, part), nothing) for owner in range(len(image)) for part in range(NUM_PARTS)]
        return torch.stack(parts).view(len(image), NUM_PARTS, *nothing.shape)

    def _nothing(self, image: Tensor) -> Tensor:
        """Return the features of an absent region, (C/8, H/8, W/8), with carried channels."""
        size = (image.shape[2] // STRIDE, image.shape[3] // STRIDE)
        return image.new_zeros(self.part_features + self.num_carried, *size)


def _in_cells(image: Tensor, cells: int) -> Tensor:
    """Average-pool over the ``cells`` x ``cells`` cells of each position.

    Shape:
        image: (B, K, H, W); result: (B, K cells^2, H/8, W/8).
    """
    return F.pixel_unshuffle(F.avg_pool2d(image, STRIDE // cells), cells)


def _box(mask: Tensor) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the first row and column, and the number of rows and columns, of the positions that a region changes.

    Shape:
        mask: (H, W), not empty.
    """
    (top, bottom), (left, right) = (_affected(mask.amax(axis)) for axis in (1, 0))
    return (top, left), (bottom - top, right - left)


def _affected(line: Tensor) -> tuple[int, int]:
    """Return the range of feature positions that a region changes; ``line`` is its projection on an axis."""
    seen = line.nonzero()
    return affected_positions(int(seen[0]), int(seen[-1]), len(line))


def _crops(
    boxes: Sequence[tuple[tuple[int, int], tuple[int, int]]], canvas: tuple[int, int]
) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """Return one size that holds every box, and the crops' first rows and columns; all in feature positions."""
    largest = (max(size[axis] for _, size in boxes) for axis in range(2))
    # Few different sizes: a convolution is prepared once for each.
    high, wide = (min(-(-size // _CROP_STEP) * _CROP_STEP, most) for size, most in zip(largest, canvas, strict=True))
    return (high, wide), [(min(top, canvas[0] - high), min(left, canvas[1] - wide)) for (top, left), _ in boxes]


def _pixels(corner: tuple[int, int], size: tuple[int, int]) -> tuple[slice, slice]:
    """Return the pixels of a rectangle of feature positions."""
    (top, left), (high, wide) = corner, size
    return slice(STRIDE * top, STRIDE * (top + high)), slice(STRIDE * left, STRIDE * (left + wide))


class GlobalStyleEncoder(nn.Module):
    """The ablation "w/o DSE": one encoder reads the whole image and outputs all C channels.

    Shape:
        image: (B, 3, H, W) in [-1, 1]; output: (B, C, H/8, W/8); with ``carry_colours``, 3 d^2 further channels.
    """

    def __init__(self, channels: Sequence[int], features: int, carried_cells: int) -> None:
        super().__init__()
        self.part_features = features
        self.carried_cells = carried_cells
        self.num_carried = 3 * carried_cells**2
        self.encoder = _bias_free_encoder(3, channels, features)

    def forward(self, image: Tensor, masks: Tensor) -> Tensor:  # noqa: ARG002 - same signature as the DSE
        """Encode the whole image; ``masks`` are ignored."""
        out: Tensor = self.encoder(image)
        if self.num_carried:
            out = torch.cat([out, _in_cells(image, self.carried_cells).to(out.dtype)], dim=1)
        return out


class CrossChannelFusion(nn.Sequential):
    """Cross Channel Fusion: two blocks of 1x1 convolution, norm and ReLU mix the regions' features at each position.

    Shape:
        input, output: (B, C, H/8, W/8).
    """

    def __init__(self, features: int, norm: NormName) -> None:
        super().__init__(ConvBlock(features, features, 1, norm=norm), ConvBlock(features, features, 1, norm=norm))
