"""Style of a source: features that the correlation field compares, and colours that it only moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Style:
    """Style features, and colours that move along the field with them.

    Shape:
        features: F_s, (B, C, H/8, W/8).
        means: (B, 4 * 8, H/8, W/8), each region's mean red, green, blue and mask at a position, or (B, 3, H/8, W/8)
            without the DSE; None without ``carry_colours``.
        cells: (B, 4 d^2, H/8, W/8), the d x d cells of each position, summed over regions, or (B, 3 d^2, H/8, W/8)
            without the DSE; None without ``carry_detail``.
    """

    features: Tensor
    means: Tensor | None = None
    cells: Tensor | None = None

    @property
    def given(self) -> list[Tensor]:
        """The tensors that are not None, in the order features, means, cells."""
        return [tensor for tensor in (self.features, self.means, self.cells) if tensor is not None]

    def like(self, tensors: Sequence[Tensor]) -> Style:
        """Return a style with other tensors, one for each of :attr:`given`."""
        rest = list(tensors)
        return Style(
            rest.pop(0),
            rest.pop(0) if self.means is not None else None,
            rest.pop(0) if self.cells is not None else None,
        )

    def expand(self, batch: int) -> Style:
        """Repeat the style of one source for a batch of poses without copying."""
        return self.like([tensor.expand(batch, -1, -1, -1) for tensor in self.given])

    def packed(self) -> Tensor:
        """Return all tensors concatenated, (B, K, H/8, W/8), the layout of files and ONNX graphs."""
        return torch.cat(self.given, dim=1)
