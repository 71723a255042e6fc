"""Answers that need no model."""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import Tensor

from scmnet_cli.regions import BACKGROUND


class Method(StrEnum):
    """An answer that needs no model."""

    source_copy = "source-copy"
    region_mean = "region-mean"


TITLES = {Method.source_copy: "source unchanged", Method.region_mean: "mean colour of each region"}


def region_mean(source: Tensor, source_masks: Tensor, target_masks: Tensor) -> Tensor:
    """Paint the mean colour of each source region into the target's region.

    A region that the source lacks is painted in the mean colour of the source's whole person.

    Shape:
        source: (B, 3, H, W); source_masks, target_masks: (B, 8, H, W) one-hot; result: (B, 3, H, W).
    """
    areas = source_masks.sum((2, 3))  # (B, 8)
    colours = torch.einsum("bchw,brhw->brc", source, source_masks) / areas.clamp(min=1)[..., None]
    person = 1 - source_masks[:, BACKGROUND : BACKGROUND + 1]
    overall = (source * person).sum((2, 3)) / person.sum((2, 3)).clamp(min=1)  # (B, 3)
    colours = torch.where(areas[..., None] > 0, colours, overall[:, None])
    return torch.einsum("brc,brhw->bchw", colours, target_masks)
