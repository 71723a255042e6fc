"""Parts of the result and single pixels: from which source positions each takes its style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.domains import Domain
from scmnet_cli.models.correlation import Field
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.types import FloatArray, UInt8Array

_SMALLEST_PART = 0.004  # share of the canvas; smaller parts get no arrow, except the largest part of a region


@dataclass(frozen=True)
class Part:
    """A connected part of a region of the result, for example an arm, and the origin of its style.

    Attributes:
        region: name of the region.
        size: share of the canvas that it covers.
        place: x, y of its centre in the result, in pixels of the canvas.
        origin: x, y of the source position with most of its weight.
        right_share: share of its weight, 0 to 1, on the same region of the source.
    """

    region: str
    size: float
    place: tuple[float, float]
    origin: tuple[float, float]
    right_share: float


@dataclass(frozen=True)
class PointOfField:
    """The correlation field of one pixel of the result.

    Attributes:
        x, y: the pixel of the result.
        weights: (h, w), weights of the source's positions, which sum to 1.
        entropy: entropy of the weights in nats.
        region_shares: share of the weight on each region of the source, largest first.
    """

    x: int
    y: int
    weights: FloatArray
    entropy: float
    region_shares: dict[str, float]


def find_parts(
    domain: Domain, regions: UInt8Array, field: Field, moved_regions: Tensor, singles: list[int]
) -> tuple[tuple[Part, ...], list[FloatArray]]:
    """Return the parts of the region map with their origins, and the field's rows of single positions."""
    pieces = _pieces(regions)
    masks = np.array([piece for _, piece in pieces], bool).reshape(-1, *regions.shape)
    stride = regions.shape[0] // field.size[0]
    covered = F.avg_pool2d(torch.tensor(masks).float(), stride).flatten(1).to(moved_regions.device)  # (P, N)
    covered = covered / covered.sum(1, keepdim=True)
    part_rows, point_rows = field_rows(field, covered, singles)
    by_part = (covered @ moved_regions[0].flatten(1).T).tolist()  # (P, 8)
    parts = tuple(
        Part(domain.regions[region], float(piece.mean()), _middle(piece), _peak(row, stride), of_regions[region])
        for (region, piece), row, of_regions in zip(pieces, part_rows, by_part, strict=True)
    )
    return parts, point_rows


def field_rows(field: Field, covered: Tensor, singles: list[int]) -> tuple[list[FloatArray], list[FloatArray]]:
    """Return the field's mean row over each part, weighted by its coverage of each position, and some single rows.

    Shape:
        covered: (P, N), each row sums to 1; results: (h, w) each.
    """
    height, width = field.size
    means = torch.zeros_like(covered)
    chosen = torch.zeros(len(singles), covered.shape[1], device=covered.device)
    start = 0
    for block in field.rows():
        stop = start + block.shape[1]
        means += covered[:, start:stop] @ block[0]
        for number, position in enumerate(singles):
            if start <= position < stop:
                chosen[number] = block[0, position - start]
        start = stop
    maps = [rows.view(-1, height, width).cpu().numpy() for rows in (means, chosen)]
    return list(maps[0]), list(maps[1])


def _pieces(regions: UInt8Array) -> list[tuple[int, npt.NDArray[np.bool_]]]:
    """Return the connected components of the person's regions as masks, large ones first."""
    from skimage.measure import label

    found = []
    for region in np.unique(regions[regions != BACKGROUND]):
        numbered: npt.NDArray[np.int64] = label(regions == region, connectivity=2)  # type: ignore[no-untyped-call]
        pieces = [numbered == number for number in range(1, int(numbered.max()) + 1)]
        pieces.sort(key=np.sum, reverse=True)
        found += [
            (int(region), piece) for rank, piece in enumerate(pieces) if rank == 0 or piece.mean() >= _SMALLEST_PART
        ]
    return sorted(found, key=lambda piece: int(piece[1].sum()), reverse=True)


def _middle(piece: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return the component's pixel nearest to its centroid."""
    places = np.argwhere(piece)
    y, x = places[((places - places.mean(0)) ** 2).sum(1).argmin()]
    return float(x), float(y)


def _peak(weights: FloatArray, stride: int) -> tuple[float, float]:
    """Return the weighted centre, in pixels, of the 3x3 positions with most of the weight."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(weights, 1), (3, 3))  # (h, w, 3, 3)
    y, x = np.unravel_index(windows.sum((2, 3)).argmax(), weights.shape)
    window = windows[y, x] / windows[y, x].sum()
    aside = np.array([-1.0, 0.0, 1.0])
    return _pixel(x + float(window.sum(0) @ aside), stride), _pixel(y + float(window.sum(1) @ aside), stride)


def _pixel(position: float, stride: int) -> float:
    return (position + 0.5) * stride - 0.5


def shares_by_region(source_shares: FloatArray, weights: FloatArray, names: Sequence[str]) -> dict[str, float]:
    """Return the share of the weights on each region of the source by name, largest first."""
    shares = (source_shares * weights).sum((1, 2))
    order = [int(region) for region in np.argsort(-shares, kind="stable") if shares[region] > 0]
    return {names[region]: float(shares[region]) for region in order}
