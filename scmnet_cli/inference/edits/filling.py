"""Cloth continued into gaps of a garment: where arms hid it, between legs that stand apart, and up to the waist."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from scmnet_cli.inference.cloth import continued, mirrored, nearest
from scmnet_cli.inference.edits.exemplar_filling import exemplar_filled
from scmnet_cli.inference.limb_places import below_hips
from scmnet_cli.models.part_joints import body_size
from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Person

_BoolArray = npt.NDArray[np.bool_]

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
    cover, bridged = _bridged(cover, colour, sound, torso)
    gap = (cover > 0.5) & torso & ~sound
    cloth = bridged.round().clip(0, 255).astype(np.uint8)
    return cover, exemplar_filled(cloth, ~sound, gap, bridged)


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
    above, below = nearest(sound)
    gap = inside & ~sound & (above >= 0) & (below < len(sound))
    return np.where(gap, np.float32(1), cover), continued(colour, sound, gap)


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
    filled = mirrored(colour, sound, below - rows, below, columns, 1)
    return np.where(gap, np.float32(1), cover), np.where(gap[..., None], filled, colour).astype(np.float32)
