"""Mix part warps of several photos, or of several versions of a photo, in one pose."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from scmnet_cli.models.part_warp import PartWarp

_BACKGROUND_COUNTS = 0.01
"""Weight of background relative to the person; arms, in front, cover up to 20 times as much as what is behind them."""


def mixed(warps: Sequence[PartWarp], fill: float) -> PartWarp:
    """Average warps of disjoint parts, weighted by coverage; the background beside a part hides no other part.

    Coordinates are those of the warp with the largest weight.
    """
    weights = [warp.coverage * (1 - (1 - _BACKGROUND_COUNTS) * warp.regions[:, :1]) for warp in warps]
    image, regions = warps[0].image * weights[0], warps[0].regions * weights[0]
    coverage, total, largest = warps[0].coverage, weights[0], weights[0]
    coordinates = warps[0].coordinates
    for warp, weight in zip(warps[1:], weights[1:], strict=True):
        image.addcmul_(warp.image, weight)
        regions.addcmul_(warp.regions, weight)
        coverage, total = coverage + warp.coverage, total + weight
        coordinates = torch.where(weight > largest, warp.coordinates, coordinates)
        largest = torch.maximum(largest, weight)
    scale = 1 / total.clamp(min=1e-6)
    image.mul_(scale).add_(fill * (1 - total * scale))
    return PartWarp(image, regions.mul_(scale), coverage.clamp(max=1), coordinates)


def over(front: PartWarp, behind: PartWarp, fill: float) -> PartWarp:
    """Composite one warp over another: the one behind fills where it covers more."""
    filled = (behind.coverage - front.coverage).clamp(min=0)
    coverage = front.coverage + filled
    share, rest = front.coverage / coverage.clamp(min=1e-6), filled / coverage.clamp(min=1e-6)
    image = (front.image - fill) * share + (behind.image - fill) * rest + fill
    return PartWarp(image, front.regions * share + behind.regions * rest, coverage, front.coordinates)
