"""Sample a source at the places from which a part of the body takes its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scmnet_cli.models.arrays import as_tensor, constant, is_traced
from scmnet_cli.models.part_shapes import ROW_STEP, Box, pixels
from scmnet_cli.models.part_transforms import PartTransforms

if TYPE_CHECKING:
    from torch import Tensor


def sampled_at(source: Tensor, grid: Tensor) -> Tensor:
    """Sample layers at places; the rows of one image are divided among threads, as torch does with images of a batch.

    Shape:
        source: (B, C, H, W); grid: (B, 2, h, w); result: (B, C, h, w).
    """
    if isinstance(source, np.ndarray):
        return as_tensor(_sampled_array(source, grid))
    import torch
    import torch.nn.functional as F

    strips = ROW_STEP if len(grid) == 1 and grid.shape[2] % ROW_STEP == 0 and not is_traced(source) else 1
    if strips == 1:
        places = grid.permute(0, 2, 3, 1)
        return F.grid_sample(source, places, mode="bilinear", padding_mode="zeros", align_corners=False)
    places = torch.unflatten(grid[0], 1, (strips, -1)).permute(1, 2, 3, 0)  # (strips, h / strips, w, 2)
    source = source.expand(strips, -1, -1, -1)
    found = F.grid_sample(source, places, mode="bilinear", padding_mode="zeros", align_corners=False)
    return found.transpose(0, 1).flatten(1, 2)[None]


def _sampled_array(source: npt.NDArray[Any], grid: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sample bilinearly, with zeros outside, as torch does it.

    Shape:
        source: (1, C, H, W); grid: (1, 2, h, w); result: (1, C, h, w).
    """
    _, channels, height, width = source.shape
    x, y = (((grid[0, axis] + 1) * length - 1) / 2 for axis, length in ((0, width), (1, height)))
    left, top = np.floor(x), np.floor(y)
    right_share, lower_share = (x - left).ravel(), (y - top).ravel()
    left, top = (
        place.clip(-2, length + 1).astype(np.int64).ravel() for place, length in ((left, width), (top, height))
    )
    flat = source.reshape(channels, -1)
    found = np.zeros((channels, right_share.size), source.dtype)
    for down, share_down in ((0, 1 - lower_share), (1, lower_share)):
        row = top + down
        for across, share_across in ((0, 1 - right_share), (1, right_share)):
            column = left + across
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            place = np.where(inside, row * width + column, 0)
            found += flat.take(place, axis=1) * (share_down * share_across * inside)
    return found.reshape(1, channels, *x.shape)


def sampling_grid(transforms: PartTransforms, part: int, box: Box, size: tuple[int, int]) -> Tensor:
    """Return the source positions of a box's target pixels, x and y in the [-1, 1] coordinates of grid_sample.

    Shape:
        result: (B, 2, h, w).
    """
    matrix, offset = transforms.matrix[:, part], transforms.offset[:, part]
    extent = constant([size[1], size[0]], matrix)
    change = matrix * (2 / extent[:, None])
    across, down = change[..., 0], change[..., 1]  # (B, 2): change per column and per row
    origin = (2 * offset + 1) / extent - 1
    x, y = pixels(box, matrix)
    return across[..., None, None] * x[:, None] + (down[..., None, None] * y[:, None] + origin[..., None, None])


def counted(sampled: Tensor) -> Tensor:
    """Set the last channel of samples to 1, so that its sum counts the weights; in place, but not in a graph.

    Shape:
        sampled, result: (B, C, h, w).
    """
    if is_traced(sampled):
        import torch

        return torch.cat([sampled[:, :-1], torch.ones_like(sampled[:, -1:])], dim=1)
    sampled[:, -1] = 1
    return sampled
