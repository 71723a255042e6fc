"""Palettes of label maps: recover ids from maps that hold colours instead."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scmnet_cli.errors import ScmError
from scmnet_cli.types import UInt8Array

_NEAR = 3
"""Tolerance per channel: quantisation moves a colour by a few levels at most."""

_FEWEST_COLOURS = 2
"""With fewer colours besides black, palettes cannot be distinguished."""

_MOST_COLOURS = 256

# The palette of LIP and CIHP in maps of CIHP_PGN, JPPNet and VITON-HD.
_LIP = (
    (0, 0, 0), (128, 0, 0), (255, 0, 0), (0, 85, 0), (170, 0, 51), (255, 85, 0), (0, 0, 85), (0, 119, 221), (85, 85, 0),
    (0, 85, 85), (85, 51, 0), (52, 86, 128), (0, 128, 0), (0, 0, 255), (51, 170, 221), (0, 255, 255), (85, 255, 170),
    (170, 255, 85), (255, 255, 0), (255, 170, 0),
)  # fmt: skip


def _voc_colours(num: int) -> tuple[tuple[int, int, int], ...]:
    """Return the palette of Pascal VOC and SCHP: bits of the id spread over three channels."""
    found = []
    for label in range(num):
        colour = [0, 0, 0]
        for bit in range(8):
            for channel in range(3):
                colour[channel] |= ((label >> (3 * bit + channel)) & 1) << (7 - bit)
        found.append((colour[0], colour[1], colour[2]))
    return tuple(found)


_PALETTES = {"Pascal VOC's": _voc_colours(64), "LIP's": _LIP}
_PAINTED_AS_LIP = ("lip20", "cihp20", "schp-lip")
"""Label sets that use LIP's palette; its colours are too common to search for in other maps."""


def ids_of_colours(
    colours: npt.NDArray[np.integer], ids: npt.NDArray[np.integer], labels: str
) -> tuple[str, UInt8Array]:
    """Find the palette of some colours, and the id of each colour in it.

    Args:
        colours: the colours of a map.
        ids: the ids of these colours in the map.
        labels: the expected label set of the map.

    Shape:
        colours: (K, 3); ids: (K,); result: (K,) uint8.

    Returns:
        The palette's name and its ids; an empty name if the map's ids are right or the palette is not known.

    Raises:
        ScmError: if the colours fit two palettes with different ids.
    """
    own = np.asarray(ids, np.uint8)
    candidates: list[tuple[str, UInt8Array]] = []
    for name, palette in _PALETTES.items():
        if name == "LIP's" and labels not in _PAINTED_AS_LIP:
            continue
        distance = np.abs(np.asarray(colours, int)[:, None] - np.array(palette)[None]).max(axis=2)  # (K, P)
        if (distance.min(axis=1) > _NEAR).any():
            continue
        found = distance.argmin(axis=1).astype(np.uint8)
        if np.array_equal(found, own):
            return "", own
        candidates.append((name, found))
    if not candidates or (np.asarray(colours).max(axis=1) > _NEAR).sum() < _FEWEST_COLOURS:
        return "", own
    if any(not np.array_equal(found, candidates[0][1]) for _, found in candidates):
        raise ScmError("holds colours that Pascal VOC and LIP give different ids; save the ids themselves, as grey")
    return candidates[0]


def ids_of_picture(pixels: UInt8Array, labels: str) -> tuple[str, UInt8Array]:
    """Return name of the palette and ids of a coloured map; an empty name and the values of a grey one.

    Shape:
        pixels: (H, W, 3) uint8; result: (H, W) uint8.

    Raises:
        ScmError: if the palette is not known.
    """
    if (pixels == pixels[..., :1]).all():
        return "", np.ascontiguousarray(pixels[..., 0])
    packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)  # (H, W)
    used, places = np.unique(packed, return_inverse=True)
    if len(used) <= _MOST_COLOURS:
        colours = np.stack([used >> 16, used >> 8 & 255, used & 255], axis=1)
        name, ids = ids_of_colours(colours, np.full(len(used), 255), labels)
        if name:
            return name, ids[places].reshape(packed.shape)
    raise ScmError("holds colours of no known palette; a label map is a PNG of one channel, grey or palette, with ids")
