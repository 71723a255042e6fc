"""Body structure retaining (BSR) loss: L1 between graphs of body regions (the paper's Eq. 8, Figure 5)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_EMPTY = 1e-6


@dataclass(frozen=True)
class BodyGraph:
    """The body graph M(I, S) of each image.

    Shape:
        nodes: (B, R, C) float32, the mean feature of each region; 0 if the region is absent.
        edges: (B, R, R) float32, cosine similarity of each pair of nodes; 0 if one of them is absent.
        present: (B, R) bool, the regions that the image has.
    """

    nodes: Tensor
    edges: Tensor
    present: Tensor


def body_graph(features: Tensor, masks: Tensor) -> BodyGraph:
    """Pool features by region into a graph, in float32.

    Shape:
        features: (B, C, h, w); masks: (B, R, H, W) one-hot, resized to (h, w) by area.
    """
    with torch.autocast(features.device.type, enabled=False):
        features = features.float()
        shares = F.interpolate(masks.float(), size=features.shape[2:], mode="area")  # (B, R, h, w)
        area = shares.sum((2, 3))  # (B, R), in feature positions
        present = area > 0
        nodes = torch.einsum("bchw,brhw->brc", features, shares) / area.clamp_min(_EMPTY)[..., None]
        directions = F.normalize(nodes, dim=2, eps=_EMPTY)
        edges = directions @ directions.transpose(1, 2)  # (B, R, R)
    return BodyGraph(nodes, edges, present)


def body_structure_loss(generated_features: Tensor, target_features: Tensor, masks: Tensor) -> Tensor:
    """Compute L1 between the body graphs of generated and target image under the same masks, Eq. 8; a mean over images.

    The loss of an image is the mean over the nodes' features plus the mean over the unordered pairs of different
    regions. Absent regions do not count. With fewer than two regions the edge term is 0.

    Shape:
        generated_features, target_features: (B, C, h, w); masks: (B, R, H, W) one-hot; result: a float32 scalar.
    """
    generated, target = body_graph(generated_features, masks), body_graph(target_features, masks)
    # Absent regions are 0 in both graphs, so only the counts need a mask.
    num_nodes = target.present.sum(1)  # (B,)
    num_edges = num_nodes * (num_nodes - 1) // 2
    nodes = (generated.nodes - target.nodes).abs().mean(2).sum(1) / num_nodes.clamp_min(1)  # (B,)
    edges = (generated.edges - target.edges).abs().triu(1).sum((1, 2)) / num_edges.clamp_min(1)  # (B,)
    return (nodes + edges).mean()
