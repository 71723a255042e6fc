"""Baselines that need no model."""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import Tensor

from scmnet_cli.data.dataset import TrainingBatch
from scmnet_cli.data.reposing import repose
from scmnet_cli.domains import Domain
from scmnet_cli.regions import BACKGROUND, one_hot


class Method(StrEnum):
    """A baseline."""

    source_copy = "source-copy"
    region_mean = "region-mean"
    part_warp = "part-warp"


TITLES = {
    Method.source_copy: "source unchanged",
    Method.region_mean: "mean colour of each region",
    Method.part_warp: "part warp alone",
}


def methods_for(domain: Domain) -> tuple[Method, ...]:
    """Return the baselines of a domain; the part warp needs joints, which faces lack."""
    return tuple(method for method in Method if method is not Method.part_warp or domain.has_joints)


def draw_baseline(method: Method, batch: TrainingBatch, *, plain: bool) -> Tensor:
    """Compute the images of a baseline.

    Args:
        method: the baseline.
        batch: sources, and targets of the same canvas; of the targets only regions and joints are used.
        plain: whether backgrounds are plain grey; it decides how the part warp fills the background.

    Shape:
        result: (B, 3, H, W) in [-1, 1].
    """
    source, target = batch.source, batch.target
    if method is Method.source_copy:
        return source.image
    if method is Method.region_mean:
        return region_mean(source.image, one_hot(source.labels), one_hot(target.labels))
    return repose(source.image, source.labels, source.structure, target.structure, plain=plain).image


def region_mean(source: Tensor, source_masks: Tensor, target_masks: Tensor) -> Tensor:
    """Fill each target region with the mean colour of the same source region.

    A region that the source lacks gets the mean colour of the source's whole person.

    Shape:
        source: (B, 3, H, W); source_masks, target_masks: (B, 8, H, W) one-hot; result: (B, 3, H, W).
    """
    areas = source_masks.sum((2, 3))  # (B, 8)
    colours = torch.einsum("bchw,brhw->brc", source, source_masks) / areas.clamp(min=1)[..., None]
    person = 1 - source_masks[:, BACKGROUND : BACKGROUND + 1]
    overall = (source * person).sum((2, 3)) / person.sum((2, 3)).clamp(min=1)  # (B, 3)
    colours = torch.where(areas[..., None] > 0, colours, overall[:, None])
    return torch.einsum("brc,brhw->bchw", colours, target_masks)
