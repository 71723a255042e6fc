"""Repaint garments in training views: a dress stays one garment, a skirt stays another one, whatever their colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from scmnet_cli.regions import region_id
from scmnet_cli.types import FloatArray, UInt8Array

_GARMENTS = tuple(region_id(name) for name in ("upper", "skirt", "pants"))
_EACH = 0.7
"""Share of the garments of a repainted view that get new colours."""

_PATTERNED = 0.35
_SOFT = 0.8
_LEAST_PIXELS = 30


def repainted(
    image: Image.Image, labels: UInt8Array, pictures: Sequence[Image.Image], random: np.random.Generator
) -> Image.Image:
    """Give garments other colours or patterns; folds and shadows stay.

    Args:
        image: the view.
        labels: its region ids.
        pictures: pictures whose patches are patterns.
        random: source of the choices.

    Shape:
        labels: (H, W), the size of ``image``.
    """
    pixels: FloatArray = np.asarray(image).astype(np.float32)
    for region in _GARMENTS:
        mask = labels == region
        if mask.sum() < _LEAST_PIXELS or random.random() >= _EACH:
            continue
        soft = Image.fromarray(mask * np.uint8(255)).filter(ImageFilter.GaussianBlur(_SOFT))
        share = np.asarray(soft).astype(np.float32)[..., None] / 255
        if pictures and random.random() < _PATTERNED:
            new = _patterned(pixels, mask, pictures, random)
        else:
            new = (pixels @ _colour_change(random) + random.uniform(-25, 25, 3)).astype(np.float32)
        pixels = (pixels * (1 - share) + new * share).astype(np.float32)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _colour_change(random: np.random.Generator) -> FloatArray:
    """Sample a matrix that permutes and mixes the channels, and makes them darker or lighter."""
    mixed = 0.75 * np.eye(3)[random.permutation(3)] + 0.25 * random.dirichlet(np.ones(3), 3)
    changed: FloatArray = (mixed.T * random.uniform(0.45, 1.4) * random.uniform(0.75, 1.25, 3)).astype(np.float32)
    return changed


def _patterned(
    pixels: FloatArray, mask: npt.NDArray[np.bool_], pictures: Sequence[Image.Image], random: np.random.Generator
) -> FloatArray:
    """Multiply a patch of a picture with the shading of a garment."""
    height, width = mask.shape
    picture = pictures[int(random.integers(len(pictures)))].convert("RGB")
    side = float(random.uniform(0.15, 1)) * min(picture.size)
    left, top = (float(random.uniform(0, length - side)) for length in picture.size)
    box = (left, top, left + side, top + side)
    patch = np.asarray(picture.resize((height, height), Image.Resampling.BILINEAR, box=box)).astype(np.float32)
    if random.random() < 0.5:
        patch = patch @ _colour_change(random)
    shading = pixels.mean(2, keepdims=True)
    shading = (shading / max(float(shading[mask].mean()), 8.0)).clip(0.3, 1.8)
    patterned: FloatArray = patch[:, :width] * shading
    return patterned
