"""Edge maps of faces: detection, storage and network inputs (docs/design.md, section 6).

There are two kinds of edges, as in CoCosNet, stored as bits of one map. ``CANNY``: Canny edges of the whole image
(sigma 1), which need no masks and resemble a sketch. ``PARTS``: Canny edges outside the inner parts of the face, and
borders of all parts, 2 px wide. The networks get every edge of a map; training also draws maps of one kind alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from scmnet_cli.types import Canvas, UInt8Array

if TYPE_CHECKING:
    from torch import Tensor

CANNY, PARTS = 1, 2
"""Bits of an edge map: edges by Canny alone, and by Canny and the parts' borders."""

NUM_EDGE_CHANNELS = 2
"""Channels of the edge maps: the edges and the distance to them."""

_GAP = 8
"""Side of a gap in broken strokes, in pixels."""
_GAP_SHARE = (0.1, 0.4)
"""Least and greatest share of a map without strokes, if they are broken."""
_CANNY_HEIGHT = 128
"""Height up to which Canny's sigma is 1. Beyond, it grows with the height, and thresholds fall as gradients do."""
_THRESHOLDS = (25.5, 51.0)
"""Canny's thresholds of grey levels up to that height, scikit-image's defaults."""
_STEP, _FARTHEST = 3.0, 16.0
"""Distances are divided by ``_STEP`` pixels (at a height of 256) and clipped at ``_FARTHEST``."""


def canny_edges(image: UInt8Array) -> npt.NDArray[np.bool_]:
    """Return the Canny edges of the grey image: at more than 128 rows the same lines as at 128.

    Shape:
        image: (H, W, 3) uint8 RGB; result: (H, W).
    """
    from skimage.feature import canny

    grey = np.asarray(Image.fromarray(image).convert("L"))
    scale = max(1.0, len(grey) / _CANNY_HEIGHT)
    low, high = (threshold / scale for threshold in _THRESHOLDS)
    edges: npt.NDArray[np.bool_] = canny(grey, scale, low, high)  # type: ignore[no-untyped-call]
    return edges


def face_edges(image: UInt8Array, parts: npt.NDArray[np.integer], inner: Collection[int]) -> UInt8Array:
    """Compute the edge map of a face with both kinds of edges.

    Args:
        image: the face.
        parts: ids of its parts.
        inner: parts whose inner Canny edges are removed.

    Shape:
        image: (H, W, 3) uint8; parts: (H, W); result: (H, W) uint8 bits.
    """
    canny = canny_edges(image)
    borders = np.zeros(parts.shape, np.bool_)
    for axis in (0, 1):
        differ = np.diff(parts.astype(np.int16), axis=axis) != 0
        ahead, behind = ((0, 1), (0, 0)), ((1, 0), (0, 0))
        pads = (ahead, behind) if axis == 0 else (ahead[::-1], behind[::-1])
        for pad in pads:  # the pixels on both sides of a border
            borders |= np.pad(differ, pad)
    with_parts = (canny & ~np.isin(parts, list(inner))) | borders
    bits: UInt8Array = (CANNY * canny + PARTS * with_parts).astype(np.uint8)
    return bits


def edge_maps(edges: Tensor, canvas: Canvas) -> Tensor:
    """Draw edge maps for the encoder: the edges, and the distance of each pixel to the nearest edge.

    The L1 distance is divided by 3 px (at a height of 256), clipped at 16, and divided by 16.

    Shape:
        edges: (B, H, W) uint8 bits; result: (B, 2, H, W) float32 in [0, 1].
    """
    import torch

    drawn = edges > 0
    steps = distance_to_edges(drawn) * (256 / canvas.height / _STEP)
    return torch.stack([drawn.float(), steps.clamp(max=_FARTHEST) / _FARTHEST], dim=1)


def distance_to_edges(edges: Tensor) -> Tensor:
    """Return the exact L1 distance to the nearest edge in pixels: a pass along rows, then one along columns.

    Shape:
        edges: (B, H, W) bool; result: (B, H, W) float32; H + W without any edge.
    """
    import torch

    far = float(sum(edges.shape[1:]))
    distance = torch.where(edges, 0.0, far)
    for axis in (2, 1):
        place = torch.arange(edges.shape[axis], device=edges.device, dtype=torch.float32)
        place = place.reshape(-1, *[1] * (2 - axis))
        before = torch.cummin(distance - place, axis).values + place
        after = torch.cummin((distance + place).flip(axis), axis).values.flip(axis) - place
        distance = torch.minimum(before, after)
    return distance.clamp(max=far)


def mirror_edges(edges: Tensor, width: int) -> Tensor:  # noqa: ARG001 - joints need the width
    """Mirror edge maps horizontally.

    Shape:
        edges, result: (B, H, W).
    """
    return edges.flip(2)


@dataclass(frozen=True)
class Strokes:
    """Chances of the kinds of strokes that an edge map is redrawn in, for training (:func:`redrawn`).

    Attributes:
        sketch: of Canny's edges alone.
        outline: of the parts' borders, and Canny's edges outside the inner parts, alone.
        thick: of strokes three pixels wide.
        broken: of gaps in the strokes.
    """

    sketch: float
    outline: float
    thick: float
    broken: float


def redrawn(edges: Tensor, strokes: Strokes, seeds: Sequence[tuple[int, ...]]) -> Tensor:
    """Redraw edge maps as sketches of different kinds.

    Args:
        edges: edge maps with both kinds of edges.
        strokes: chances.
        seeds: seed of each map.

    Shape:
        edges, result: (B, H, W) uint8 bits.
    """
    import torch

    return torch.stack([_redrawn_once(each, strokes, seed) for each, seed in zip(edges, seeds, strict=True)])


def _redrawn_once(edges: Tensor, strokes: Strokes, seed: tuple[int, ...]) -> Tensor:
    import torch
    import torch.nn.functional as F

    random = np.random.default_rng(seed)
    kind, thick, broken = random.random(3)
    if kind < strokes.sketch:
        edges = edges & CANNY
    elif kind < strokes.sketch + strokes.outline:
        edges = edges & PARTS
    if broken < strokes.broken:
        height, width = edges.shape
        coarse = random.random((max(1, height // _GAP), max(1, width // _GAP))) > random.uniform(*_GAP_SHARE)
        kept = torch.from_numpy(coarse.astype(np.float32))[None, None].to(edges.device)
        edges = edges * (F.interpolate(kept, (height, width))[0, 0] > 0)
    if thick < strokes.thick:
        bits = torch.stack([(edges & bit) > 0 for bit in (CANNY, PARTS)]).float()
        canny, parts = F.max_pool2d(bits, 3, stride=1, padding=1) > 0
        edges = (CANNY * canny + PARTS * parts).to(edges.dtype)
    return edges


def rescale_edges(edges: UInt8Array, have: Canvas, want: Canvas) -> UInt8Array:  # noqa: ARG001 - joints need it
    """Resize an edge map to another canvas: a pixel is an edge if any pixel under it is.

    Shape:
        edges: (H, W) uint8 bits; result: (H', W') uint8 bits.
    """
    import torch
    import torch.nn.functional as F

    bits = torch.tensor(np.stack([(edges & bit) > 0 for bit in (CANNY, PARTS)]), dtype=torch.float32)
    canny, parts = F.adaptive_max_pool2d(bits, (want.height, want.width)).numpy() > 0
    scaled: UInt8Array = (CANNY * canny + PARTS * parts).astype(np.uint8)
    return scaled


def draw_edges(picture: UInt8Array, edges: UInt8Array) -> UInt8Array:
    """Draw edges dark on light, in the size of an image.

    Shape:
        picture: (H, W, 3) uint8; edges: (H, W) uint8 bits; result: (H, W, 3) uint8.
    """
    grey = np.where(edges > 0, 40, 250).astype(np.uint8)
    return np.broadcast_to(grey[..., None], picture.shape).copy()
