"""Read edges from an image: an edge image, a sketch on light or dark paper, or a photo."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from scmnet_cli.edges import CANNY, canny_edges, rescale_edges
from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_photo, whole_box
from scmnet_cli.types import NO_JOINTS, Canvas, Pose, UInt8Array

KINDS = ("edges", "sketch", "photo")

_LEAST_CONTRAST = 24.0
_PAPER, _TINT = 32.0, 8.0
"""Greatest variation of paper in grey levels, and of its colour."""
_LEAST_PAPER, _TWO_LEVELS = 0.55, 0.97
"""Least shares of pixels: of paper in a line drawing, and of the two levels in an edge image."""
_THICKEST = 0.02
"""Widest stroke of a line drawing, as a share of the height."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Drawing(Pose):
    """Edges of an image.

    Attributes:
        taken_from: kind of the image, one of :data:`KINDS`.
    """

    taken_from: str = "edges"


def read_drawing(path: Path, canvas: Canvas, kind: str = "auto") -> Drawing:
    """Read the edges of an image on a canvas, at full height and centred.

    Args:
        path: the image file.
        canvas: size of the edge map.
        kind: ``edges``: lines at full contrast, used unchanged; ``sketch``: strokes of any grey, thinned to lines;
            ``photo``: Canny edges; ``auto``: the most likely kind. Lines may be dark or light.

    Raises:
        ScmError: if it cannot be read, or shows no line.
    """
    image = read_photo(path)
    taken_from = likely_kind(image) if kind == "auto" else kind
    height, width = image.shape[:2]
    box = whole_box(width, height, canvas)
    if taken_from == "photo":
        lines = canny_edges(box.crop_image(image, None))
    else:
        drawn = _lines(image, has_shades=taken_from == "sketch")
        margin = max(0, -box.left)
        drawn = np.pad(drawn, ((0, 0), (margin, max(0, box.left + box.width - width))))
        drawn = drawn[:, box.left + margin : box.left + margin + box.width]
        lines = rescale_edges(CANNY * drawn.astype(np.uint8), Canvas(height, box.width), canvas) > 0
        if taken_from == "sketch":
            lines = _thinned(lines)
    if not lines.any():
        raise ScmError(f"{path}: shows no line, read as {taken_from}; say what it is with --edges-from")
    return Drawing(path.stem, NO_JOINTS, canvas, CANNY * lines.astype(np.uint8), taken_from)


def likely_kind(image: UInt8Array) -> str:
    """Classify an image as edge image, sketch or photo.

    A drawing has thin strokes on paper of one colour; nearly all pixels of an edge image have one of two levels.

    Shape:
        image: (H, W, 3) uint8.
    """
    grey = _grey(image)
    tint = image - grey[..., None]
    if np.abs(tint - np.median(tint, axis=(0, 1))).mean() > _TINT:
        return "photo"
    away = np.abs(grey - np.median(grey))
    if (away <= _PAPER).mean() < _LEAST_PAPER or not _are_thin(away > 2 * _PAPER):
        return "photo"
    farthest = float(np.max(away))
    is_edges = ((away <= _PAPER) | (away >= farthest - _PAPER)).mean() >= _TWO_LEVELS
    return "edges" if is_edges else "sketch"


def _lines(image: UInt8Array, *, has_shades: bool) -> Mask:
    """Return the mask of ink in a drawing; most pixels are paper."""
    grey = _grey(image)
    low, high = float(grey.min()), float(grey.max())
    if float(np.median(grey)) < (low + high) / 2:
        grey = 255 - grey
    if has_shades:
        from scipy.ndimage import gaussian_filter

        ink = gaussian_filter(grey, sigma=max(image.shape[:2]) / 20) - grey  # removes uneven lighting
    else:
        ink = grey.max() - grey
    if high - low < _LEAST_CONTRAST:
        return np.zeros(grey.shape, np.bool_)
    lines: Mask = ink > (_otsu(ink) if has_shades else (high - low) / 2)
    return lines


def _otsu(values: npt.NDArray[np.float32]) -> float:
    from skimage.filters import threshold_otsu

    return max(float(threshold_otsu(values)), _LEAST_CONTRAST / 2)  # type: ignore[no-untyped-call]


def _are_thin(strokes: Mask) -> bool:
    from scipy.ndimage import binary_erosion

    steps = max(2, round(_THICKEST * strokes.shape[0] / 2))
    return float(binary_erosion(strokes, iterations=steps).mean()) < (1 - _TWO_LEVELS) / 3


def _thinned(lines: Mask) -> Mask:
    from skimage.morphology import skeletonize

    thin: Mask = skeletonize(lines)  # type: ignore[no-untyped-call]
    return thin


def _grey(image: UInt8Array) -> npt.NDArray[np.float32]:
    return np.asarray(Image.fromarray(image).convert("L"), np.float32)
