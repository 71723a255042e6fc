"""Batches of views, and the losses of the analyser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.analyser.answers import HEAT_STRIDE
from scmnet_cli.analyser.network import Analysed, mean_places
from scmnet_cli.analyser.training.views import ONE_OF, TrainingPhoto, View

_HEAT_SIGMA = 1.2


@dataclass(frozen=True)
class ViewBatch:
    """A batch of views.

    Shape:
        image: (B, 3, H, W) in [-1, 1]; labels: (B, H/2, W/2) int64, 255 unknown; joints: (B, J, 3) in pixels;
        person: (B,) float32, 1, 0, or -1 if unclear.
    """

    image: Tensor
    labels: Tensor
    joints: Tensor
    person: Tensor

    @classmethod
    def of(cls, views: Sequence[View]) -> ViewBatch:
        """Stack views."""
        image = torch.from_numpy(np.stack([view.image for view in views])).permute(0, 3, 1, 2)
        return cls(
            image.float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last),
            torch.from_numpy(np.stack([view.labels for view in views])).long(),
            torch.from_numpy(np.stack([view.joints for view in views])),
            torch.tensor([float(view.person) for view in views]),
        )


def losses(found: Analysed, batch: ViewBatch, class_weights: Tensor, one_of: Sequence[int] = ()) -> dict[str, Tensor]:
    """Compute the unweighted losses.

    * regions: cross-entropy where regions are annotated; for pixels labelled ``ONE_OF`` the probability is summed over
      the regions ``one_of``.
    * overlap: soft Dice of the annotated regions.
    * heat: cross-entropy of the heatmap with a Gaussian around the joint, for joints in the image.
    * place: smooth L1 of the heatmap's mean position, in cells, for joints in the image.
    * visible, person: binary cross-entropy.
    """
    regions = found.regions.float()
    known = batch.labels < regions.shape[1]
    labels = batch.labels.masked_fill(~known, 0)
    entropy = F.cross_entropy(regions, labels, class_weights, reduction="none") * known
    annotated = known
    if one_of:
        partly = batch.labels == ONE_OF
        entropy = entropy - regions.log_softmax(1)[:, list(one_of)].logsumexp(1) * partly
        annotated = known | partly
    terms = {"regions": entropy.sum() / annotated.sum().clamp(min=1)}
    likely = regions.softmax(1) * known[:, None]
    true = F.one_hot(labels, regions.shape[1]).permute(0, 3, 1, 2) * known[:, None]
    shared, both = (likely * true).sum((0, 2, 3)), (likely + true).sum((0, 2, 3))
    present = true.sum((0, 2, 3)) > 0
    missed = 1 - (2 * shared + 1) / (both + 1)
    terms["overlap"] = (missed * present).sum() / present.sum().clamp(min=1)

    inside = batch.joints[..., 2] > 0  # (B, J)
    places = (batch.joints[..., :2] + 0.5) / HEAT_STRIDE - 0.5
    heat = found.heat.float()
    target = gaussian_heatmaps(places, heat.shape[2], heat.shape[3])
    num = inside.sum().clamp(min=1)
    off = -(heat.flatten(2).log_softmax(-1) * target.flatten(2)).sum(-1)
    terms["heat"] = (off * inside).sum() / num
    away = F.smooth_l1_loss(mean_places(heat), places, reduction="none").sum(-1)
    terms["place"] = (away * inside).sum() / num

    sure = batch.joints[..., 2] >= 0
    visible = F.binary_cross_entropy_with_logits(found.visible.float(), inside.float(), reduction="none")
    terms["visible"] = (visible * sure).sum() / sure.sum().clamp(min=1)
    sure = batch.person >= 0
    person = F.binary_cross_entropy_with_logits(found.person.float(), batch.person.clamp(min=0), reduction="none")
    terms["person"] = (person * sure).sum() / sure.sum().clamp(min=1)
    return terms


def gaussian_heatmaps(places: Tensor, height: int, width: int) -> Tensor:
    """Return a Gaussian heatmap around each position, (B, J, height, width), which sums to 1."""
    x = torch.arange(width, dtype=torch.float32)
    y = torch.arange(height, dtype=torch.float32)
    across = torch.exp(-((x - places[..., 0:1]) ** 2) / (2 * _HEAT_SIGMA**2))
    down = torch.exp(-((y - places[..., 1:2]) ** 2) / (2 * _HEAT_SIGMA**2))
    heatmaps = down[..., :, None] * across[..., None, :]
    return heatmaps / heatmaps.sum((2, 3), keepdim=True).clamp(min=1e-6)


def class_weights_of(photos: Sequence[TrainingPhoto], num_regions: int, balance: float = 0.25) -> Tensor:
    """Return class weights: each region's share of the pixels to the power ``-balance``, relative to the background.

    Weights above 1 find more of a rare region, and widen it at its edges: thin arms come out too thick.
    """
    counts = np.ones(num_regions)
    for photo in photos:
        if photo.labels is not None:
            counts += np.bincount(np.asarray(photo.labels).ravel(), minlength=num_regions)[:num_regions]
    weights = (counts / counts.sum()) ** -balance
    return torch.tensor(weights / weights[0], dtype=torch.float32)
