"""Edge F1: whether an image has the edges it was generated from."""

from __future__ import annotations

import torch
from torch import Tensor

from scmnet_cli.edges import distance_to_edges

TOLERANCE = 1.0
"""L1 distance in pixels within which an edge counts as found."""


def edge_f1(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the F1 of edges: the harmonic mean of precision and recall within :data:`TOLERANCE`.

    Two unrelated images full of edges score well above 0, since some edge is near everywhere.

    Shape:
        found, wanted: (B, H, W) bool; result: (B,), 0 to 1; NaN if no edge is wanted.
    """
    precision = _share(found, distance_to_edges(wanted) <= TOLERANCE)
    recall = _share(wanted, distance_to_edges(found) <= TOLERANCE)
    f1 = 2 * precision * recall / (precision + recall).clamp(min=1e-6)
    return torch.where(wanted.flatten(1).any(1), f1, torch.nan)


def _share(edges: Tensor, near: Tensor) -> Tensor:
    return (edges & near).flatten(1).sum(1) / edges.flatten(1).sum(1).clamp(min=1)
