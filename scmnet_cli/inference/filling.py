"""Cloth continued into gaps of a garment: where arms hid it, between legs that stand apart, and up to the waist.

Each edge of a gap is mirrored into it, so that the texture of the cloth continues.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from scmnet_cli.inference.uncovered import below_hips
from scmnet_cli.models.part_joints import body_size
from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Person

_BoolArray = npt.NDArray[np.bool_]
_IntArray = npt.NDArray[np.int64]

_ARMS = region_id("arms")
_BELOW_WAIST = (region_id("pants"), region_id("skirt"))
_WAIST, _COAT = 0.35, 0.9  # torso lengths that a garment is extended upwards: to the waist, or to below a coat
_LEAST_STRETCH, _STRETCHED = 0.02, 4.0
"""Torso lengths from which on a garment is stretched to the waist, and how far down, as a multiple of them."""
_TORSO_MARGIN = 0.12
_FRAYED = 0.015
"""In torso lengths: margin of the torso around its joints, and width of the unreliable edge of a warped piece."""


def torso_filled(
    wearer: Person, cover: npt.NDArray[np.float32], colour: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Fill the gaps that the reference's arms leave in a garment's torso, from the cloth above and below.

    A gap is a run of uncovered pixels in a column between two covered ones, inside the wearer's torso. The wearer's own
    bare arms stay in front.
    """
    from scipy import ndimage

    corners = [JOINTS.index(name) for name in ("right_shoulder", "left_shoulder", "right_hip", "left_hip")]
    joints = wearer.joints[corners]
    if not (joints[:, 2] > 0).all():
        return cover, colour
    size = float(body_size(torch.from_numpy(wearer.joints)[None])[0])
    reach = _TORSO_MARGIN * size
    left, top = joints[:, :2].min(0) - reach
    right, bottom = joints[:, :2].max(0) + reach
    rows, columns = np.mgrid[: cover.shape[0], : cover.shape[1]]
    dressed = np.isin(wearer.regions, [region_id(name) for name in ("upper", "skirt", "pants")])
    near = ndimage.distance_transform_edt(~dressed) <= reach / 2 if dressed.any() else dressed
    torso = (columns >= left) & (columns <= right) & (rows >= top) & (rows <= bottom)
    torso &= near & (wearer.regions != _ARMS)
    # the outermost pixels of a piece are already mixed with whatever occluded the garment
    sound = ndimage.binary_erosion(cover > 0.99, iterations=max(1, round(_FRAYED * size))) & torso
    return _bridged(cover, colour, sound, torso)


def wedge_filled(
    wearer: Person, cover: npt.NDArray[np.float32], colour: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Fill the wedge that opens in a skirt between legs that stand apart, from the cloth on both sides."""
    from scipy import ndimage

    size = float(body_size(torch.from_numpy(wearer.joints)[None])[0])
    sound = ndimage.binary_erosion(cover > 0.99, iterations=max(1, round(_FRAYED * size)))
    below = np.broadcast_to(below_hips(wearer), sound.shape)
    across, pixels = _bridged(cover.T, colour.swapaxes(0, 1), sound.T, below.T & (wearer.regions != _ARMS).T)
    return across.T, pixels.swapaxes(0, 1)


def _bridged(
    cover: npt.NDArray[np.float32], colour: npt.NDArray[np.float32], sound: _BoolArray, inside: _BoolArray
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Fill gaps between two sound pixels of a column.

    Each edge of the gap is mirrored into it and the two mirror images are blended, so that the texture of the cloth
    continues.

    Args:
        cover: where the garment is.
        colour: its colours.
        sound: pixels whose colours may be used.
        inside: pixels that may be filled.

    Shape:
        cover, sound, inside: (H, W); colour: (H, W, 3).
    """
    above, below = _nearest(sound)
    gap = inside & ~sound & (above >= 0) & (below < len(sound))
    return np.where(gap, np.float32(1), cover), continued(colour, sound, gap)


def continued(
    colour: npt.NDArray[np.float32], sound: _BoolArray, gap: _BoolArray, kind: npt.NDArray[np.uint8] | None = None
) -> npt.NDArray[np.float32]:
    """Fill a gap from the sound pixels above and below it in each column, mirrored at the gap's edges and blended.

    Pixels with sound pixels on one side only take the mirror image of that side; pixels without any stay.

    Args:
        colour: the pixels.
        sound: pixels that may be continued.
        gap: pixels to fill.
        kind: garment of each pixel: between two different ones the nearer one is continued. None: all are alike.

    Shape:
        colour: (H, W, C); sound, gap, kind: (H, W).
    """
    rows, columns = np.mgrid[: sound.shape[0], : sound.shape[1]]
    above, below = _nearest(sound)
    has_above, has_below = above >= 0, below < len(sound)
    gap = gap & (has_above | has_below)
    if not gap.any():
        return colour
    from_above, from_below = rows - above, below - rows
    share = from_below / np.maximum(from_above + from_below, 1)
    if kind is not None:
        other = kind[above.clip(0), columns] != kind[below.clip(max=len(sound) - 1), columns]
        share = np.where(other, from_above <= from_below, share)
    share = np.where(has_above & has_below, share, has_above)[..., None]
    upper = _mirrored(colour, sound, from_above, above, columns, -1)
    lower = _mirrored(colour, sound, from_below, below, columns, 1)
    blended = np.where(gap[..., None], upper * share + lower * (1 - share), colour)
    return blended.astype(np.float32)


def _nearest(sound: _BoolArray) -> tuple[_IntArray, _IntArray]:
    """Return the rows of the nearest sound pixels above (-1: none) and below (H: none), at each pixel."""
    rows = np.arange(len(sound))[:, None]
    above = np.maximum.accumulate(np.where(sound, rows, -1), axis=0)
    below = np.minimum.accumulate(np.where(sound, rows, len(sound))[::-1], axis=0)[::-1]
    return above, below


def waist_filled(
    wearer: Person, old: _BoolArray, cover: npt.NDArray[np.float32], colour: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Extend a skirt or trousers upwards to where the old garment began: stretch all of it, then fill each column."""
    cover, colour = _stretched_upwards(wearer, old, cover, colour)
    return _extended_upwards(wearer, cover > 0.99, old, _WAIST, cover, colour)


def _stretched_upwards(
    wearer: Person, old: _BoolArray, cover: npt.NDArray[np.float32], colour: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Move a garment's upper edge to that of the old garment, the more the higher a pixel lies."""
    from scipy import ndimage

    size = float(body_size(torch.from_numpy(wearer.joints)[None])[0])
    worn = cover > 0.99
    both = worn.any(0) & old.any(0)
    if not both.any():
        return cover, colour
    tops, starts = worn.argmax(0)[both], old.argmax(0)[both]
    up = float(np.median(tops - starts))
    if not _LEAST_STRETCH * size < up < _WAIST * size:
        return cover, colour
    rows, columns = np.mgrid[: cover.shape[0], : cover.shape[1]].astype(np.float32)
    start = float(np.median(starts))
    taken = rows + up * (1 - (rows - start) / (_STRETCHED * up)).clip(0, 1)
    layers = [
        ndimage.map_coordinates(layer, [taken, columns], order=1, mode="constant" if layer is cover else "nearest")
        for layer in (cover, *np.moveaxis(colour, -1, 0))
    ]
    return layers[0], np.stack(layers[1:], axis=-1)


def trousers_extended(
    wearer: Person, bare: _BoolArray, cover: npt.NDArray[np.float32], colour: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Extend the wearer's own trousers or skirt upwards to a new top that is shorter than the old one."""
    worn = np.isin(wearer.regions, _BELOW_WAIST)
    own = np.where(worn[..., None], wearer.image.astype(np.float32), colour)
    below_waist = below_hips(wearer, _WAIST)
    cover, extended = _extended_upwards(wearer, worn, bare & below_waist, _COAT, cover, own)
    return cover, np.where(worn[..., None], colour, extended)


def _extended_upwards(
    wearer: Person,
    piece: _BoolArray,
    free: _BoolArray,
    reach: float,
    cover: npt.NDArray[np.float32],
    colour: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Extend a garment upwards over free pixels, by up to ``reach`` torso lengths, with its cloth mirrored at its edge.

    Returns:
        cover and colour with the extension.
    """
    from scipy import ndimage

    size = float(body_size(torch.from_numpy(wearer.joints)[None])[0])
    rows, columns = np.mgrid[: piece.shape[0], : piece.shape[1]]
    sound = ndimage.binary_erosion(piece, iterations=max(1, round(_FRAYED * size)))
    below = np.minimum.accumulate(np.where(sound, rows, len(rows))[::-1], axis=0)[::-1]
    above = np.maximum.accumulate(sound, axis=0)
    gap = free & ~sound & ~above & (below < len(rows)) & (below - rows < reach * size)
    filled = _mirrored(colour, sound, below - rows, below, columns, 1)
    return np.where(gap, np.float32(1), cover), np.where(gap[..., None], filled, colour).astype(np.float32)


def _mirrored(
    colour: npt.NDArray[np.float32], sound: _BoolArray, away: _IntArray, edge: _IntArray, columns: _IntArray, step: int
) -> npt.NDArray[np.float32]:
    """Return the colours of a column's sound run next to a gap, mirrored at the gap's edge and again at its other end.

    Args:
        colour: the colours.
        sound: pixels whose colours may be used.
        away: distance of each pixel from the gap's edge, at least 1 in the gap.
        edge: row of the sound pixel next to the gap.
        columns: column of each pixel.
        step: direction from the edge into the run: -1 upwards, 1 downwards.
    """
    edge = edge.clip(0, len(colour) - 1)
    length = _run_lengths(sound, step)[edge, columns].clip(min=1)
    place = (away - 1) % (2 * length)
    place = np.minimum(place, 2 * length - 1 - place)
    picked: npt.NDArray[np.float32] = colour[(edge + step * place).clip(0, len(colour) - 1), columns]
    return picked


def _run_lengths(sound: _BoolArray, step: int) -> _IntArray:
    """Return, at each sound pixel, the number of sound pixels from it on in one direction, itself included."""
    ordered = sound if step < 0 else sound[::-1]
    number = np.arange(len(ordered))[:, None]
    gap_before = np.maximum.accumulate(np.where(ordered, -1, number), axis=0)
    lengths = number - gap_before
    return lengths if step < 0 else lengths[::-1]
