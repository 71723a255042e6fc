"""Sample a source at the places from which a part of the body takes its pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.models.part_shapes import ROW_STEP, Box, pixels
from scmnet_cli.models.part_transforms import PartTransforms


def sampled_at(source: Tensor, grid: Tensor) -> Tensor:
    """Sample layers at places; the rows of one image are divided among threads, as torch does with images of a batch.

    Shape:
        source: (B, C, H, W); grid: (B, 2, h, w); result: (B, C, h, w).
    """
    strips = ROW_STEP if len(grid) == 1 and grid.shape[2] % ROW_STEP == 0 and not torch.compiler.is_compiling() else 1
    if strips == 1:
        places = grid.permute(0, 2, 3, 1)
        return F.grid_sample(source, places, mode="bilinear", padding_mode="zeros", align_corners=False)
    places = torch.unflatten(grid[0], 1, (strips, -1)).permute(1, 2, 3, 0)  # (strips, h / strips, w, 2)
    source = source.expand(strips, -1, -1, -1)
    found = F.grid_sample(source, places, mode="bilinear", padding_mode="zeros", align_corners=False)
    return found.transpose(0, 1).flatten(1, 2)[None]


def sampling_grid(transforms: PartTransforms, part: int, box: Box, size: tuple[int, int]) -> Tensor:
    """Return the source positions of a box's target pixels, x and y in the [-1, 1] coordinates of grid_sample.

    Shape:
        result: (B, 2, h, w).
    """
    matrix, offset = transforms.matrix[:, part], transforms.offset[:, part]
    extent = matrix.new_tensor([size[1], size[0]])
    across, down = (matrix * (2 / extent[:, None])).unbind(-1)  # (B, 2): change per column and per row
    origin = (2 * offset + 1) / extent - 1
    x, y = pixels(box, matrix)
    return across[..., None, None] * x[:, None] + (down[..., None, None] * y[:, None] + origin[..., None, None])


def counted(sampled: Tensor) -> Tensor:
    """Set the last channel of samples to 1, so that its sum counts the weights; in place, but not in a graph.

    Shape:
        sampled, result: (B, C, h, w).
    """
    if torch.compiler.is_compiling():
        return torch.cat([sampled[:, :-1], torch.ones_like(sampled[:, -1:])], dim=1)
    sampled[:, -1] = 1
    return sampled
