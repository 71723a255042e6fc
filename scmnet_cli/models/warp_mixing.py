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
    total = torch.stack([warp.coverage for warp in warps]).sum(0)
    weights = [warp.coverage * (1 - (1 - _BACKGROUND_COUNTS) * warp.regions[:, :1]) for warp in warps]
    sums = torch.stack(weights).sum(0).clamp(min=1e-6)
    shares = [weight / sums for weight in weights]
    image = sum(((warp.image - fill) * share for warp, share in zip(warps, shares, strict=True)), torch.zeros(()))
    regions = sum((warp.regions * share for warp, share in zip(warps, shares, strict=True)), torch.zeros(()))
    largest = torch.stack(weights).argmax(0)  # (B, 1, H, W)
    coordinates = warps[0].coordinates
    for number, warp in enumerate(warps[1:], start=1):
        coordinates = torch.where(largest == number, warp.coordinates, coordinates)
    return PartWarp(image + fill, regions, total.clamp(max=1), coordinates)


def over(front: PartWarp, behind: PartWarp, fill: float) -> PartWarp:
    """Composite one warp over another: the one behind fills where it covers more."""
    filled = (behind.coverage - front.coverage).clamp(min=0)
    coverage = front.coverage + filled
    share, rest = front.coverage / coverage.clamp(min=1e-6), filled / coverage.clamp(min=1e-6)
    image = (front.image - fill) * share + (behind.image - fill) * rest + fill
    return PartWarp(image, front.regions * share + behind.regions * rest, coverage, front.coordinates)
