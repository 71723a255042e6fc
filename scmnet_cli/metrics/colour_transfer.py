"""Colour transfer: how much of a source garment's lightness and chroma appears in the output."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ColourRegression:
    """Linear regression of the outputs' colours on the sources' colours.

    Attributes:
        slope: share of a difference between two sources that the outputs show; 1: all of it, 0: none.
        correlation: Pearson's correlation coefficient, -1 to 1.
    """

    slope: float
    correlation: float


def region_colours(images: Tensor, masks: Tensor) -> Tensor:
    """Return the mean colour of each region; 0 if the region is absent.

    Shape:
        images: (B, 3, H, W); masks: (B, R, H, W); result: (B, R, 3).
    """
    areas = masks.sum((2, 3)).clamp(min=1)[..., None]
    return torch.einsum("bchw,brhw->brc", images.float(), masks.float()) / areas


def colour_transfer(source: Tensor, output: Tensor) -> tuple[ColourRegression, ColourRegression]:
    """Regress the output's colours on the source's, for lightness and for chroma.

    Lightness is the mean of red, green and blue. Chroma is the two differences red - green and blue - green.

    Shape:
        source, output: (K, 3), mean colours of K regions in the source and in the output.
    """
    regressions = []
    for part in (_lightness, _chroma):
        x, y = part(source.double()), part(output.double())
        x, y = x - x.mean(0), y - y.mean(0)
        product, norm_x, norm_y = (x * y).sum(), x.square().sum(), y.square().sum()
        regressions.append(ColourRegression(float(product / norm_x), float(product / (norm_x * norm_y).sqrt())))
    return regressions[0], regressions[1]


def _lightness(colours: Tensor) -> Tensor:
    return colours.mean(-1, keepdim=True)


def _chroma(colours: Tensor) -> Tensor:
    red, green, blue = colours.unbind(-1)
    return torch.stack([red - green, blue - green], dim=-1)
