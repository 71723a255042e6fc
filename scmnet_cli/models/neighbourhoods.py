"""Filters over the square around each pixel: by shifts, which is fast on a CPU, and by pooling in an exported graph.

Pooling is one node of a graph instead of a hundred, but on a CPU it takes ten times as long as shifting.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor


def dilated(masks: Tensor, radius: int) -> Tensor:
    """Return the largest value in the square around each pixel.

    Shape:
        masks, result: (B, K, H, W), at least 0, or bool.
    """
    if masks.dtype == torch.bool:
        if torch.compiler.is_compiling():
            return dilated(masks.float(), radius) > 0.5
        return dilated(masks.view(torch.uint8), radius).view(torch.bool)
    if torch.compiler.is_compiling():
        return F.max_pool2d(masks, 2 * radius + 1, stride=1, padding=radius)
    for dim in (2, 3):
        masks = _largest(masks, dim, radius)
    return masks


def averaged(maps: Tensor, radius: int) -> Tensor:
    """Return the mean of the square around each pixel; values outside the maps are 0.

    Shape:
        maps, result: (B, K, H, W).
    """
    side = 2 * radius + 1
    if torch.compiler.is_compiling():
        return F.avg_pool2d(maps, side, stride=1, padding=radius)
    for dim in (2, 3):
        first, *others = _shifted(maps, dim, radius)
        maps = first.clone()
        for other in others:
            maps += other
    return maps.div_(side**2)


def spread(found: Tensor, within: Tensor, steps: int, radius: int = 1) -> Tensor:
    """Grow masks inside other masks by ``radius`` pixels in each step.

    Shape:
        found, within, result: (B, K, H, W) bool; found lies in ``within``.
    """
    for _ in range(steps):
        before, found = found, dilated(found, radius) & within
        if not torch.compiler.is_compiling() and torch.equal(before, found):
            break
    return found


def _largest(masks: Tensor, dim: int, radius: int) -> Tensor:
    """Return the largest value within ``radius`` pixels along a dimension, over windows that double in length."""
    size, window, length = masks.shape[dim], 2 * radius + 1, 1
    masks = F.pad(masks, (0, 0, radius, radius) if dim == 2 else (radius, radius))
    while 2 * length <= window:
        rest = masks.shape[dim] - length
        masks = torch.maximum(masks.narrow(dim, 0, rest), masks.narrow(dim, length, rest))
        length *= 2
    return torch.maximum(masks.narrow(dim, 0, size), masks.narrow(dim, window - length, size))


def _shifted(maps: Tensor, dim: int, radius: int) -> Iterator[Tensor]:
    """Yield maps, padded with 0, shifted along a dimension by up to ``radius`` pixels either way."""
    size, padded = maps.shape[dim], F.pad(maps, (0, 0, radius, radius) if dim == 2 else (radius, radius))
    for shift in range(2 * radius + 1):
        yield padded.narrow(dim, shift, size)
