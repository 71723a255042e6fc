"""The end of a photo of half a body: below it nothing is known.

A crop is larger than such a photo, and what lies below the photo is grey and background in its region map. A part would
move this background along, and it would cut the legs that the network draws. The functions take tensors or arrays.
"""

from __future__ import annotations

import numpy as np

from scmnet_cli.models.arrays import ValuesT
from scmnet_cli.models.parts import LIMBS

_BACKGROUND = 0  # region id
_ANKLES = [end for _, _, end in LIMBS[2:]]
_ABOVE, _STRAIGHT = 50, 0.6
"""A photo ends at a row if the person is nearly as wide there as one of this many parts of the height above it."""
_RIM = 400  # rows of a resized photo that mix with what lies below it: one of this many parts of the height


def within_photo(masks: ValuesT, joints: ValuesT) -> ValuesT:
    """Return region masks that are all 0 below the end of a photo of half a body, as outside the picture.

    The photo ends where a person without feet ends at a straight row.

    Shape:
        masks: (1, 8, H, W); joints: (1, 18, 3), as detected; result: ``masks`` itself if no such end is seen.
    """
    if (joints[:, _ANKLES, 2] > 0).any():
        return masks
    background = masks[0, _BACKGROUND]
    person = (background if isinstance(background, np.ndarray) else background.cpu().numpy()) < 0.5
    rows = np.flatnonzero(person.any(1))
    height = len(person)
    if not len(rows) or rows[-1] >= height - 1:
        return masks
    last = int(rows[-1])
    above = person[max(last - height // _ABOVE, 0)]
    if (person[last] & above).sum() < _STRAIGHT * above.sum():
        return masks
    known = masks.copy() if isinstance(masks, np.ndarray) else masks.clone()
    known[:, :, last + 1 - height // _RIM :] = 0
    return known
