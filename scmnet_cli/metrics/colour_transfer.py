"""Colour transfer: how much of a source garment's lightness and chroma is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Carried:
    """Regression of the drawn colours on the sources' colours.

    Attributes:
        slope: share of the difference between two sources that is drawn; 1: all of it, 0: none.
        correlation: Pearson's, -1 to 1.
    """

    slope: float
    correlation: float


def region_colours(images: Tensor, masks: Tensor) -> Tensor:
    """Return the mean colour of each region; 0 where the region is absent.

    Shape:
        images: (B, 3, H, W); masks: (B, R, H, W); result: (B, R, 3).
    """
    areas = masks.sum((2, 3)).clamp(min=1)[..., None]
    return torch.einsum("bchw,brhw->brc", images.float(), masks.float()) / areas


def colour_transfer(wanted: Tensor, drawn: Tensor) -> tuple[Carried, Carried]:
    """Return how much lightness, and how much chroma, of ``wanted`` is found in ``drawn``.

    Lightness is the mean of red, green and blue; chroma the two differences red - green and blue - green.

    Shape:
        wanted, drawn: (K, 3), the mean colours of K pairs of a source's region and the same region as drawn.
    """
    carried = []
    for part in (_lightness, _chroma):
        x, y = part(wanted.double()), part(drawn.double())
        x, y = x - x.mean(0), y - y.mean(0)
        product, norm_x, norm_y = (x * y).sum(), x.square().sum(), y.square().sum()
        carried.append(Carried(float(product / norm_x), float(product / (norm_x * norm_y).sqrt())))
    return carried[0], carried[1]


def _lightness(colours: Tensor) -> Tensor:
    return colours.mean(-1, keepdim=True)


def _chroma(colours: Tensor) -> Tensor:
    red, green, blue = colours.unbind(-1)
    return torch.stack([red - green, blue - green], dim=-1)
