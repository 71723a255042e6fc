"""Complete a garment behind a hanging arm.

When the arm moves, its hand and cuff must not stay on the coat or the trousers. The photo does not show what lies
behind the hand. So the border of the garment is assumed to be straight, from where the arm leaves the body to where the
garment shows again below the hand.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scmnet_cli.images.morphology import largest_around
from scmnet_cli.inference.cloth import continued
from scmnet_cli.inference.limbs.limb_maps import LimbMaps
from scmnet_cli.models.parts import TORSO_PART
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.types import FloatArray

_BoolArray = npt.NDArray[np.bool_]

_CLOTH = [region_id(name) for name in ("pants", "skirt", "upper", "legs")]
_UPPER = region_id("upper")
_RIM = 0.03  # torso lengths: colours of the arm on the background beside it, see outlines.py
_ARMPIT = 0.4  # lengths of the upper arm: where the arm leaves the body


def without_arm(layers: FloatArray, hole: _BoolArray, maps: LimbMaps[FloatArray], part: int, fill: float) -> FloatArray:
    """Return a photo and its regions without a hanging arm: the garment behind it continues, the rest is background.

    Args:
        layers: image and masks.
        hole: pixels of the arm.
        maps: how the limbs of the source lie.
        part: the forearm.
        fill: value of the background.

    Shape:
        layers, result: (H, W, 3 + 8); hole: (H, W).
    """
    if not hole.any():
        return layers
    kind = layers[..., 3:].argmax(-1).astype(np.uint8)
    cloth = np.isin(kind, _CLOTH) & ~hole
    behind = _behind(cloth, hole, maps, part)
    rim = largest_around(hole, max(round(_RIM * float(maps.size[0])), 2)) & (layers[..., 3 + BACKGROUND] > 0.5)
    filled = np.where((hole | rim)[..., None], background_like(layers, fill), layers)
    rows, columns = _span(hole, axis=1), _span(hole, axis=0)
    turned = filled[rows].swapaxes(0, 1), cloth[rows].T, behind[rows].T
    filled[rows] = continued(*turned, kind[rows].T).swapaxes(0, 1)
    below = cloth & (kind == _UPPER) & (np.arange(len(kind))[:, None] > (rows.start + rows.stop) / 2)
    coat = below[:, columns]
    hangs_over = behind[:, columns] & np.logical_or.accumulate(coat[::-1], axis=0)[::-1]
    hangs_over &= filled[:, columns, 3 + _UPPER] < 0.5
    filled[:, columns] = continued(filled[:, columns], coat, hangs_over)
    return filled


def background_like(layers: FloatArray, fill: float) -> FloatArray:
    """Return one pixel of background for image and masks, (3 + 8,)."""
    background = np.zeros(layers.shape[-1], np.float32)
    background[:3], background[3 + BACKGROUND] = fill, 1
    return background


def _span(hole: _BoolArray, axis: int) -> slice:
    places = np.flatnonzero(hole.any(axis))
    return slice(int(places[0]), int(places[-1]) + 1)


def _behind(cloth: _BoolArray, hole: _BoolArray, maps: LimbMaps[FloatArray], part: int) -> _BoolArray:
    """Return the pixels of a hole behind which the garment lies, (H, W)."""
    height, width = hole.shape
    starts, ends = maps.starts[0], maps.ends[0]
    elbow, wrist, shoulder = starts[part], ends[part], starts[part - 1]
    neck, hips = starts[TORSO_PART], ends[TORSO_PART]
    middle = (elbow + wrist) / 2
    slant = (hips[0] - neck[0]) / max(hips[1] - neck[1], 1.0)
    side = 1 if middle[0] > neck[0] + (middle[1] - neck[1]) * slant else -1
    top, bottom = shoulder[1] + _ARMPIT * (elbow[1] - shoulder[1]), int(np.flatnonzero(hole.any(1))[-1])
    first = neck[0] + (top - neck[1]) * slant + side * float(maps.half[0])
    below = np.flatnonzero(cloth[min(bottom + 1, height - 1)])
    last = first if not len(below) else below[-1] if side > 0 else below[0]
    border = np.interp(np.arange(height), [top, max(bottom, top + 1)], [first, last])
    inside = (np.arange(width) - border[:, None]) * side <= 0
    from_left, from_right = _next_to_cloth(cloth, hole), _next_to_cloth(cloth[:, ::-1], hole[:, ::-1])[:, ::-1]
    both = from_left & from_right
    behind: _BoolArray = both | inside & (from_left if side > 0 else from_right)
    return behind


def _next_to_cloth(cloth: _BoolArray, hole: _BoolArray) -> _BoolArray:
    """Return the pixels of a hole with cloth at the left end of its row."""
    columns = np.arange(hole.shape[1])
    before = np.maximum.accumulate(np.where(hole, -1, columns), axis=1)
    found: _BoolArray = hole & (before >= 0) & np.take_along_axis(cloth, before.clip(0), axis=1)
    return found
