"""Region maps from probabilities: keep the main person, remove specks, enlarge to the photo."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from scmnet_cli.analyser.answers import REGION_STRIDE
from scmnet_cli.analyser.photo_edges import cells_between, labels_along_edges
from scmnet_cli.images import CropBox, nearest_places
from scmnet_cli.images.morphology import components, grown, shrunk
from scmnet_cli.regions import BACKGROUND, NUM_REGIONS, region_id
from scmnet_cli.skeleton import JOINTS, LIMBS
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

VISIBLE = 0.5

_AS_TALL = 0.4

_MAX_MAP_PIXELS = 2_000_000
_NEAR = 0.05

_SPECK = 6
_SMALL_PIECE = 0.35
_PANTS, _SKIRT, _UPPER, _ARMS = (region_id(name) for name in ("pants", "skirt", "upper", "arms"))

_ARM_JOINTS = [JOINTS.index(f"{side}_{name}") for side in ("right", "left") for name in ("elbow", "wrist")]
_ARM_BONES = [(_ARM_JOINTS[0], _ARM_JOINTS[1]), (_ARM_JOINTS[2], _ARM_JOINTS[3])]
_ALONG_ARM = np.linspace(0, 1.3, 12)
"""Shares of the way from elbow to wrist, and on to the hand."""

_ARM_REACH = 0.05
"""Distance from an arm's axis that its pixels may have, relative to the height of the skeleton."""

_WITHIN = 0.8
_NOT_ON_ARMS = tuple(region_id(name) for name in ("hair", "pants", "skirt", "legs"))
_BRACELET = 0.02
"""Half of the greatest width of what is part of a bare forearm, relative to the height of the skeleton."""

_CLOTHES = (_PANTS, _SKIRT, _UPPER)
_TRUNK = [JOINTS.index(f"{side}_{name}") for name in ("shoulder", "hip") for side in ("right", "left")]
_TRUNK_MARGIN, _BELOW_HIPS = 0.2, 1.6
"""How far the trunk reaches beyond the joints, in its widths, and down from the shoulders, in its heights."""

_CARRIED = 0.1
"""Mean probability from which a hole may be a carried object."""

_BoolArray = npt.NDArray[np.bool_]


def main_person_mask(mask: _BoolArray, joints: FloatArray, strength: FloatArray) -> _BoolArray:
    """Keep the connected components of a person mask that belong to the most prominent person.

    The main component is the one that most of the skeleton crosses (without a skeleton, the strongest). Kept too are
    components that the skeleton crosses, unless they are another person beside it, and small components next to it.

    Shape:
        mask, strength: (h, w) on the grid of region logits; joints: (18, 3) in pixels of the canvas.
    """
    labels, num = components(mask)
    if num <= 1:
        return mask
    sizes = np.bincount(labels.ravel(), strength.ravel())
    sizes[0] = 0
    crossed = np.zeros(num + 1)
    for point in _skeleton_points(joints):
        column, row = ((point + 0.5) / REGION_STRIDE).astype(int)
        if 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]:
            crossed[labels[row, column]] += 1
    crossed[0] = 0
    main = int((sizes * (0.1 + crossed / max(1.0, crossed.sum()))).argmax())
    rows, columns = np.nonzero(labels == main)
    reach = max(2, round(_NEAR * (rows.max() - rows.min() + 1)))
    keep = np.zeros(num + 1, bool)
    keep[main] = True
    for part in range(1, num + 1):
        if part == main:
            continue
        r, c = np.nonzero(labels == part)
        near = (
            r.max() >= rows.min() - reach
            and r.min() <= rows.max() + reach
            and c.max() >= columns.min() - reach
            and c.min() <= columns.max() + reach
        )
        is_another = np.ptp(r) > _AS_TALL * np.ptp(rows) and (c.min() > columns.max() or c.max() < columns.min())
        crosses = crossed[part] >= 2 and not is_another
        keep[part] = sizes[part] >= _SPECK and (crosses or (near and sizes[part] < 0.1 * sizes[main]))
    return keep[labels]


def _skeleton_points(joints: FloatArray) -> FloatArray:
    points = [
        joints[a, :2] + share * (joints[b, :2] - joints[a, :2])
        for a, b in LIMBS
        if joints[a, 2] >= VISIBLE and joints[b, 2] >= VISIBLE
        for share in np.linspace(0, 1, 8)
    ]
    return np.array(points, np.float32).reshape(-1, 2)


def clean_probabilities(probabilities: FloatArray, joints: FloatArray, carried: FloatArray | None = None) -> FloatArray:
    """Remove other people, and specks of a region within another.

    Args:
        probabilities: probabilities of the regions.
        joints: of the person, in pixels of the canvas.
        carried: probabilities of what the person carries, such as a bag; None: not known.

    Shape:
        probabilities, result: (8, h, w); joints: (18, 3); carried: (h, w).
    """
    cleaned = probabilities.copy()
    chosen = likeliest(cleaned)
    person = chosen != BACKGROUND
    others = person & ~main_person_mask(person, joints, 1 - cleaned[BACKGROUND])
    cleaned[:, others] = 0
    cleaned[BACKGROUND, others] = 1
    chosen[others] = BACKGROUND
    without_specks(cleaned, chosen)
    _order_garments(cleaned, chosen)
    _cover_stray_arms(cleaned, chosen, joints)
    _join_broken_arms(cleaned, chosen, joints)
    _fill_holes_of_trunk(cleaned, chosen, joints, carried)
    without_specks(cleaned, chosen)  # what was renamed may leave some
    return cleaned


def _fill_holes_of_trunk(
    probabilities: FloatArray, chosen: UInt8Array, joints: FloatArray, carried: FloatArray | None
) -> None:
    """Let holes in the clothes of the trunk become the garment around them, in place.

    A bag or a watering can before the body is no background: cut out of the clothes, its hole would move with them.
    The gap between an arm and the body is beside the trunk; what is carried may reach beyond it.

    Shape:
        probabilities: (8, h, w); chosen: (h, w), the likeliest of each cell; carried: (h, w).
    """
    if (joints[_TRUNK, 2] < VISIBLE).any():
        return
    shoulders, hips = ((joints[pair, :2] + 0.5) / REGION_STRIDE - 0.5 for pair in (_TRUNK[:2], _TRUNK[2:]))
    height = max(float(hips[:, 1].mean() - shoulders[:, 1].mean()), 1.0)
    for hole in _pieces(chosen == BACKGROUND):
        if hole[[0, -1]].any() or hole[:, [0, -1]].any():
            continue
        around = chosen[grown(hole) & ~hole]
        y, x = np.argwhere(hole).mean(0)
        down = (y - shoulders[:, 1].mean()) / height
        left, right = np.sort(shoulders[:, 0] + min(down, 1.0) * (hips[:, 0] - shoulders[:, 0]))
        maybe_carried = carried is None or carried[hole].mean() > _CARRIED
        wider = _TRUNK_MARGIN * (right - left) if maybe_carried else 0.0
        if 0 < down < _BELOW_HIPS and left - wider < x < right + wider and np.isin(around, _CLOTHES).mean() > _WITHIN:
            rename(probabilities, chosen, hole, BACKGROUND, int(np.bincount(around).argmax()))


def _cover_stray_arms(probabilities: FloatArray, chosen: UInt8Array, joints: FloatArray) -> None:
    """Rename pieces of arms that lie within the upper garment, away from both arms of the skeleton, in place.

    A spot on the chest that is taken for skin is no arm. A piece stays if an elbow or a wrist is missing: it may be the
    hand of that arm.

    Shape:
        probabilities: (8, h, w); chosen: (h, w), the likeliest of each cell.
    """
    if (joints[_ARM_JOINTS, 2] < VISIBLE).any():
        return
    bones = [(joints[a, :2] + share * (joints[b, :2] - joints[a, :2])) for a, b in _ARM_BONES for share in _ALONG_ARM]
    places = (np.array(bones) + 0.5) / REGION_STRIDE - 0.5
    rows = joints[joints[:, 2] >= VISIBLE, 1]
    reach = _ARM_REACH * np.ptp(rows) / REGION_STRIDE
    for piece in _pieces(chosen == _ARMS):
        around = chosen[grown(piece) & ~piece]
        cells = np.argwhere(piece)[:, None, ::-1]
        away = np.linalg.norm(cells - places, axis=-1).min() > reach
        if away and (around == _UPPER).mean() > _WITHIN:
            rename(probabilities, chosen, piece, _ARMS, _UPPER)


def _join_broken_arms(probabilities: FloatArray, chosen: UInt8Array, joints: FloatArray) -> None:
    """Let narrow pieces of other regions across a bare forearm, such as bracelets, become part of it, in place.

    Shape:
        probabilities: (8, h, w); chosen: (h, w), the likeliest of each cell.
    """
    rows = joints[joints[:, 2] >= VISIBLE, 1]
    places = [
        joints[a, :2] + share * (joints[b, :2] - joints[a, :2])
        for a, b in _ARM_BONES
        if joints[a, 2] >= VISIBLE and joints[b, 2] >= VISIBLE
        for share in _ALONG_ARM
    ]
    if not places:
        return
    height = float(np.ptp(rows)) / REGION_STRIDE
    width = max(1, round(_BRACELET * height))
    gaps = shrunk(grown(chosen == _ARMS, width), width) & np.isin(chosen, _NOT_ON_ARMS)
    cells = np.argwhere(gaps)
    axes = ((np.array(places) + 0.5) / REGION_STRIDE - 0.5).astype(np.float32)
    away = np.linalg.norm(cells[:, None, ::-1] - axes, axis=-1).min(1, initial=np.inf)
    gaps[tuple(cells[away > _ARM_REACH * height].T)] = False
    for region in _NOT_ON_ARMS:
        rename(probabilities, chosen, gaps & (chosen == region), region, _ARMS)
    for piece in sorted(_pieces(chosen == _UPPER), key=np.count_nonzero)[:-1]:
        if _crosses_arm(piece, chosen == _ARMS, axes, _ARM_REACH * height):
            rename(probabilities, chosen, piece, _UPPER, _ARMS)


def _crosses_arm(piece: _BoolArray, arms: _BoolArray, axes: FloatArray, reach: float) -> bool:
    """Return whether a piece lies on the axis of an arm, with skin above and below it, as bracelets do.

    Shape:
        piece, arms: (h, w); axes: (n, 2), places on the axes of forearms, x and y in cells, n / 12 arms.
    """
    beside = np.argwhere(grown(piece) & arms)[:, ::-1]
    cells = np.argwhere(piece)[:, ::-1]
    for axis in axes.reshape(-1, len(_ALONG_ARM), 2):
        away = np.linalg.norm(cells[:, None] - axis, axis=-1)
        if not len(beside) or (away.min(1) > reach).any():
            continue
        along = (axis[-1] - axis[0]) / max(float(np.linalg.norm(axis[-1] - axis[0])), 1e-6)
        places, skin = cells @ along, beside @ along
        if skin.min() < places.mean() - places.std() and skin.max() > places.mean() + places.std():
            return True
    return False


def _order_garments(probabilities: FloatArray, chosen: UInt8Array) -> None:
    """Rename pieces of garments that are out of order, in place.

    A piece of upper garment that hangs on pants is pants. One that hangs on a much larger skirt is skirt; else both are
    a dress, which counts as upper garment. A piece of pants that touches a larger skirt and ends above its hem is
    skirt. A piece of skirt that hangs on pants, or touches much larger ones, is pants; a small one
    that touches nothing of the person is background.

    Shape:
        probabilities: (8, h, w); chosen: (h, w), the likeliest of each cell.
    """
    for piece in _pieces(chosen == _UPPER)[1:]:  # below the first, from the top
        skirt = chosen == _SKIRT
        if _hangs_on(piece, chosen == _PANTS):
            rename(probabilities, chosen, piece, _UPPER, _PANTS)
        elif _hangs_on(piece, skirt) and piece.sum() < _SMALL_PIECE * skirt.sum():
            rename(probabilities, chosen, piece, _UPPER, _SKIRT)
        elif _hangs_on(piece, skirt):
            rename(probabilities, chosen, skirt, _SKIRT, _UPPER)
    skirt = chosen == _SKIRT
    hem = int(np.nonzero(skirt)[0].max(initial=-1))
    for piece in _pieces(chosen == _PANTS):
        if piece.sum() < skirt.sum() and np.nonzero(piece)[0].max() <= hem and (grown(piece) & skirt).any():
            rename(probabilities, chosen, piece, _PANTS, _SKIRT)
    pants = chosen == _PANTS
    for piece in _pieces(chosen == _SKIRT):
        beside = grown(piece) & ~piece
        if piece.sum() < _SMALL_PIECE * (chosen != BACKGROUND).sum() and (chosen[beside] == BACKGROUND).all():
            rename(probabilities, chosen, piece, _SKIRT, BACKGROUND)
        elif _hangs_on(piece, pants) or (piece.sum() < _SMALL_PIECE * pants.sum() and (beside & pants).any()):
            rename(probabilities, chosen, piece, _SKIRT, _PANTS)


def _hangs_on(piece: _BoolArray, garment: _BoolArray) -> bool:
    """Return whether most of what lies on the upper edge of a piece is a garment."""
    rows, columns = np.nonzero(piece & ~_moved_down(piece))
    return bool(garment[np.maximum(rows - 1, 0), columns].mean() > 0.5)


def rename(
    probabilities: FloatArray, chosen: npt.NDArray[np.integer], piece: _BoolArray, region: int, other: int
) -> None:
    """Give a piece's probability of one region to another region, in place.

    Shape:
        probabilities: (8, h, w); chosen: (h, w), the likeliest of each cell; piece: (h, w).
    """
    probabilities[other, piece] += probabilities[region, piece]
    probabilities[region, piece] = 0
    chosen[piece] = probabilities[:, piece].argmax(0)


def _pieces(mask: _BoolArray) -> list[_BoolArray]:
    """Return the connected components, from the top down."""
    labels, num = components(mask)
    pieces = [labels == number for number in range(1, num + 1)]
    return sorted(pieces, key=lambda piece: int(piece.any(1).argmax()))


def _moved_down(mask: _BoolArray) -> _BoolArray:
    return np.concatenate([np.zeros_like(mask[:1]), mask[:-1]])


def without_specks(probabilities: FloatArray, chosen: UInt8Array) -> None:
    """Reassign small specks of a region to the next most likely region, in place.

    Shape:
        probabilities: (8, h, w); chosen: (h, w), the likeliest of each cell.
    """
    for region in range(NUM_REGIONS):
        labels, _ = components(chosen == region)
        specks = (np.bincount(labels.ravel()) < _SPECK)[labels] & (labels > 0)
        if specks.any():
            probabilities[region, specks] = 0
            chosen[specks] = probabilities[:, specks].argmax(0)


def likeliest(probabilities: FloatArray) -> UInt8Array:
    """Return the most likely region of each cell; nine times as fast as numpy's argmax."""
    best = probabilities[0]
    chosen = np.zeros(best.shape, np.uint8)
    for region in range(1, len(probabilities)):
        better = probabilities[region] > best
        chosen[better] = region
        best = np.maximum(best, probabilities[region])
    return chosen


def enlarged(probabilities: FloatArray, rows: int, columns: int) -> UInt8Array:
    """Return the most likely region of each pixel of bilinearly enlarged probabilities.

    Where the four cells around a pixel agree, so does any interpolation; only the other pixels are interpolated.

    Shape:
        probabilities: (R, h, w); result: (rows, columns).
    """
    regions, height, width = probabilities.shape
    y, below, down = cells_between(rows, height)
    x, beside, across = cells_between(columns, width)
    chosen = likeliest(probabilities)
    labels: UInt8Array = chosen[y][:, x]
    under, right = chosen[np.minimum(np.arange(height) + 1, height - 1)], np.minimum(np.arange(width) + 1, width - 1)
    agree = (chosen == under) & (chosen == chosen[:, right]) & (chosen == under[:, right])
    r, c = np.nonzero(~agree[y][:, x])
    cells = np.ascontiguousarray(probabilities.reshape(regions, -1).T)  # (h w, R)
    across, down = across[c, None], down[r, None]
    above = cells[y[r] * width + x[c]] * (1 - across) + cells[y[r] * width + beside[c]] * across
    under = cells[below[r] * width + x[c]] * (1 - across) + cells[below[r] * width + beside[c]] * across
    labels[r, c] = (above * (1 - down) + under * down).argmax(1)
    return labels


def regions_on_photo(
    probabilities: FloatArray, crop: CropBox, size: tuple[int, int], guide: UInt8Array | None = None
) -> UInt8Array:
    """Enlarge probabilities to the photo and return the most likely region; background beyond the crop.

    Args:
        probabilities: probabilities of the regions in the crop.
        crop: the crop of the photo.
        size: height and width of the photo.
        guide: the photo, whose edges the borders shall follow; None: up to a cell of the probabilities off.

    Shape:
        probabilities: (R, h, w); guide: (H, W, 3); result: (H, W).
    """
    scale = min(1.0, math.sqrt(_MAX_MAP_PIXELS / (crop.width * crop.height)))
    rows, columns = max(1, round(crop.height * scale)), max(1, round(crop.width * scale))
    labels = enlarged(probabilities, rows, columns)
    if guide is not None:
        coarse, fine = (
            replace(crop, canvas=canvas).crop_image(guide, None, Image.Resampling.BILINEAR)
            for canvas in (crop.canvas, Canvas(rows, columns))
        )
        labels = labels_along_edges(probabilities, coarse, fine, labels)
    whole = np.zeros(size, np.uint8)
    top, left = max(0, crop.top), max(0, crop.left)
    bottom, right = min(size[0], crop.top + crop.height), min(size[1], crop.left + crop.width)
    if bottom > top and right > left:
        # Only inside the photo: the crop of a panorama can be a hundred times as large as the photo.
        r = nearest_places(rows, crop.height)[top - crop.top : bottom - crop.top]
        c = nearest_places(columns, crop.width)[left - crop.left : right - crop.left]
        whole[top:bottom, left:right] = labels[r[:, None], c]
    return whole
