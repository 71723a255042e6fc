"""Legs that a photo of half a body lacks, in the colour of the trousers that it shows.

The network draws them darker, and a line shows where the photo ends. So each row of them gets the mean colour of the
trousers, and the photo's pixels fade at their end.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scmnet_cli.models.neighbourhoods import averaged
from scmnet_cli.models.part_warp import PartWarp

_PANTS = 1  # region id
_LEAST = 0.02  # area of the photo's trousers, in torso lengths squared
_TROUSERS = 0.6  # least share of them among the clothes on these legs
_STRONGEST = (0.5, 2.5)  # factors of a colour
_DARK = 0.06  # added to both colours, in [0, 1], so that black stays black
_ROWS = 2.0  # pixels that the mean of all rows counts in each row
_SEAM = 64  # the photo's pixels fade towards the drawn ones over about one of this many parts of the height


def like_trousers(drawn: Tensor, warp: PartWarp, legs: Tensor, inner: Tensor, size: Tensor) -> Tensor:
    """Return the drawn picture with the mean colour of the warped trousers on drawn legs.

    Args:
        drawn: the network's picture at the warp's size.
        warp: the photo in this pose.
        legs: soft mask of the legs that are drawn.
        inner: their middle, without outlines.
        size: torso lengths in pixels.

    Shape:
        drawn, result: (B, 3, H, W) in [-1, 1]; legs, inner: (B, 1, H, W) in [0, 1]; size: (B,).
    """
    person = warp.regions[:, 1:].sum(1, keepdim=True)
    shown = warp.regions[:, _PANTS, None] * (warp.coverage > 0.5)
    free = (1 - person + warp.regions[:, _PANTS, None]).clamp(0, 1)  # of other clothes
    missing = inner * free
    clothes = (legs * person * (warp.coverage > 0.5)).sum((1, 2, 3))
    trousers = (legs * shown).sum((1, 2, 3))
    known = (trousers > _LEAST * size.square()) & (trousers > _TROUSERS * clothes)
    wanted = _mean((warp.image + 1) / 2, legs * shown)
    radius = max(drawn.shape[2] // _SEAM, 1)
    colours = torch.cat([(drawn + 1) / 2 * missing, missing], dim=1).sum(3, keepdim=True)
    colours = averaged(colours.expand(-1, -1, -1, 2 * radius + 1), radius)[..., radius, None]
    whole = colours.sum(2, keepdim=True)
    colours = colours + whole * (_ROWS / whole[:, 3:].clamp(min=1))
    have = colours[:, :3] / colours[:, 3:].clamp(min=1e-3)
    factor = ((wanted + _DARK) / (have + _DARK)).clamp(*_STRONGEST)  # (B, 3, H, 1)
    coloured = ((drawn + 1) * factor - 1).clamp(-1, 1)
    where = legs * free * known[:, None, None, None]
    return torch.lerp(drawn, coloured, averaged(where, radius) * legs)


def fading(warp: PartWarp, legs: Tensor) -> Tensor:
    """Return the share of the warped pixels that stays where they end on drawn legs, (B, 1, H, W) in [0, 1]."""
    covered = (warp.coverage > 0).to(legs.dtype)
    near_end = averaged(1 - covered, max(legs.shape[2] // _SEAM, 1))
    return 1 - legs * (2 * near_end).clamp(max=1)


def _mean(image: Tensor, mask: Tensor) -> Tensor:
    return (image * mask).sum((2, 3), keepdim=True) / mask.sum((2, 3), keepdim=True).clamp(min=1)
