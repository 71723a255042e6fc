"""Close-ups: the regions of the upper and of the lower part of a person, at more pixels than the whole person has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from scmnet_cli.analyser.interpolation import interpolated
from scmnet_cli.images import CropBox
from scmnet_cli.images.morphology import components
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.types import FloatArray

_PARTS = ((0.0, 0.6), (0.4, 1.0))
"""Where the close-ups start and end, as shares of the crop's height."""

_MARGIN, _FADE = 0.03, 0.1
"""Border of a close-up that is left out, and where its weight rises to 1, as shares of its size."""

MOST_ENLARGED = 2.9
"""Factor up to which a crop is enlarged to a canvas; the network knows no blur."""

_KINDS = [region_id("pants"), region_id("skirt")]
"""A close-up without the waist does not tell these apart; the whole person does."""

_RARE = 1e-4  # keeps the ratio of two probabilities defined


def closer_regions(
    once: FloatArray, both: FloatArray, crop: CropBox, regions_in: Callable[[CropBox], FloatArray]
) -> FloatArray:
    """Average the regions of a whole person with those of two close-ups, where these show the same pixels.

    Nothing joins the person: a close-up takes passers-by and shadows for it more often. A gap within the person is
    narrow, so it is background if one close-up sees it.

    Args:
        once: probabilities of the regions in the crop of the whole person, from a single pass.
        both: the same, averaged with a mirrored pass; decides what close-ups do not know.
        crop: that crop.
        regions_in: runs the network on a crop of the photo; the result is (R, h, w).

    Shape:
        once, both, result: (R, h, w); ``both`` where the photo has no pixels for close-ups.
    """
    parts = [_part(crop, start, end) for start, end in _PARTS]
    if any(part.canvas.height > MOST_ENLARGED * part.height for part in parts):
        return both
    total, weight = once.copy(), np.ones(once.shape[1:], np.float32)
    empty = np.zeros_like(weight)
    for part in parts:
        found, share = _on_crop(regions_in(part), part, crop)
        total += found * share
        weight += share
        empty = np.maximum(empty, found[BACKGROUND] * share)
    mean: FloatArray = total / weight
    kinds = both[_KINDS] + _RARE
    mean[_KINDS] = mean[_KINDS].sum(0) * kinds / kinds.sum(0)
    background = np.maximum(mean[BACKGROUND], both[BACKGROUND])
    background = np.where(_gaps(empty, background), np.maximum(empty, background), background)
    mean *= (1 - background) / (1 - mean[BACKGROUND]).clip(min=_RARE)
    mean[BACKGROUND] = background
    return mean


def _gaps(empty: FloatArray, background: FloatArray) -> npt.NDArray[np.bool_]:
    """Return where close-ups see background that the person encloses.

    Shape:
        empty, background: (h, w), probabilities of background in close-ups and in all; result: (h, w).
    """
    seen = empty > 0.5
    labels, _ = components(seen | (background > 0.5))
    outside = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return np.asarray(seen & ~np.isin(labels, outside))


def _part(crop: CropBox, start: float, end: float) -> CropBox:
    """Return the crop of a part of the height, around the middle of the width."""
    height = max(1, round((end - start) * crop.height))
    width = max(1, round(height * crop.canvas.width / crop.canvas.height))
    left, top = round(crop.left + (crop.width - width) / 2), round(crop.top + start * crop.height)
    return replace(crop, left=left, top=top, height=height, width=width)


def _on_crop(found: FloatArray, part: CropBox, crop: CropBox) -> tuple[FloatArray, FloatArray]:
    """Sample what was found in a part on the cells of the whole crop, and return it with its weight there.

    Shape:
        found, result: (R, h, w); weight: (h, w).
    """
    rows, columns = found.shape[1:]
    y = ((np.arange(rows) + 0.5) / rows * crop.height + crop.top - part.top) / part.height
    x = ((np.arange(columns) + 0.5) / columns * crop.width + crop.left - part.left) / part.width
    sampled = interpolated(found, y * rows - 0.5, x * columns - 0.5)
    to_edge = [np.minimum(place, 1 - place) - _MARGIN for place in (y, x)]
    weight = (to_edge[0] / _FADE).clip(0, 1)[:, None] * (to_edge[1] > 0)
    return sampled, weight.astype(np.float32)
