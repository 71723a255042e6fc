"""Bags: a person keeps those that touch the clothes; the garment of a reference continues behind them.

To the region map a bag is background, so a pose would show a notch in the clothes, and a garment that somebody else
puts on would have a hole. The outline behind a bag is taken to be a straight line from where the bag begins to where it
ends.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.types import Person, UInt8Array

_GARMENTS = _SKIRT, _PANTS, _UPPER = tuple(region_id(name) for name in ("skirt", "pants", "upper"))
_TORSO = 0.3  # of the person's height: a torso length; of a half body it is too long, which does no harm
_TOUCHING, _MOSTLY = 0.25, 0.38
"""Shares of a bag's surroundings that are clothes, from which on the bag stays with them: if it lies between clothes,
and anywhere. What hangs beside the body would fade half way, since a part's pixels do not reach so far."""

_BETWEEN = 0.3  # share of a bag with clothes above and below it, or on both sides: it lies between clothes
_LEAST_HIDDEN = 0.002  # torso lengths squared: smaller gaps stay
_RIM = 0.05  # torso lengths around a bag in which an outline is the bag's, and rows that give the outline beside it

_ABOVE, _WIDE = 6, 0.8
"""Rims above a bag whose outline counts for upper garments, and its quantile: the arm that holds the bag hides some."""

_BoolArray = npt.NDArray[np.bool_]


def with_bags(person: Person) -> Person:
    """Return a person with the bags that touch the clothes: each moves with the garment that it touches most.

    Args:
        person: the person on a canvas, with the mask of what they carry and, if the background is plain, the scene.
    """
    if person.carried is None or not person.carried.any():
        return person
    from scipy import ndimage

    rim = _rim(person)
    photo = person.image if person.scene is None else person.scene
    image, regions = person.image, person.regions
    bags, num = ndimage.label(person.carried)
    clothes = np.isin(person.regions, _GARMENTS)
    between = _between(clothes) | _between(clothes.T).T
    for number in range(1, num + 1):
        bag = bags == number
        around = ndimage.binary_dilation(bag, iterations=rim) & ~bag
        touching = {region: np.count_nonzero(around & (person.regions == region)) for region in _GARMENTS}
        lies_between = np.count_nonzero(between & bag) > _BETWEEN * np.count_nonzero(bag)
        if sum(touching.values()) > (_TOUCHING if lies_between else _MOSTLY) * np.count_nonzero(around):
            closed = ndimage.binary_closing(np.pad(bag, rim), iterations=rim)[rim:-rim, rim:-rim]
            kept = closed & (regions == BACKGROUND)
            image = np.where(kept[..., None], photo, image)
            regions = np.where(kept, np.uint8(max(touching, key=lambda region: touching[region])), regions)
    return person if image is person.image else replace(person, image=image, regions=regions)


def without_bags(person: Person) -> Person:
    """Return a person whose clothes continue behind bags; the same person if no bag hides them.

    Args:
        person: the person on a canvas, with the mask of what they carry.
    """
    if person.carried is None or not person.carried.any():
        return person
    from scipy import ndimage

    rim = _rim(person)
    near = ndimage.binary_dilation(person.carried, iterations=rim)
    image, regions = person.image, person.regions
    for region in _GARMENTS:
        hidden = _hidden(regions, region, near, rim)
        if np.count_nonzero(hidden & near) >= _LEAST_HIDDEN * (rim / _RIM) ** 2:
            image = _continued(image, _largest(regions == region) & ~near, hidden, rim, upwards=region == _UPPER)
            regions = np.where(hidden, np.uint8(region), regions)
    return person if image is person.image else replace(person, image=image, regions=regions)


def _between(clothes: _BoolArray) -> _BoolArray:
    """Return the pixels with clothes above and below them."""
    above = np.logical_or.accumulate(clothes, axis=0)
    return np.asarray(above & np.logical_or.accumulate(clothes[::-1], axis=0)[::-1])


def _rim(person: Person) -> int:
    """Return the width of a bag's rim in pixels."""
    return max(1, round(_RIM * _TORSO * int(np.count_nonzero(person.regions.any(1)))))


def _hidden(regions: UInt8Array, region: int, near: _BoolArray, rim: int) -> _BoolArray:
    """Return the background between a garment and its outline on both sides, where a bag hides that."""
    worn = _largest(regions == region)
    above = (_ABOVE * rim, _WIDE) if region == _UPPER else (rim, 0.5)
    behind = _behind(worn, near, rim, above) | _behind(worn[:, ::-1], near[:, ::-1], rim, above)[:, ::-1]
    return np.asarray(behind & (regions == BACKGROUND))


def _continued(image: UInt8Array, worn: _BoolArray, hidden: _BoolArray, rim: int, *, upwards: bool) -> UInt8Array:
    """Continue a garment over what is hidden: from above and below, or from the sides.

    Beside a bag before an upper garment are buttons, a lining and a shirt; above and below it is the same cloth.
    """
    from scipy import ndimage

    from scmnet_cli.inference.cloth import continued

    cloth = ndimage.binary_erosion(worn, iterations=max(1, rim // 2))
    colours = image.astype(np.float32)
    if upwards:
        filled = continued(colours, cloth, hidden)
    else:
        filled = continued(colours.swapaxes(0, 1), cloth.T, hidden.T).swapaxes(0, 1)
    pixels: UInt8Array = filled.round().clip(0, 255).astype(np.uint8)
    return pixels


def _behind(worn: _BoolArray, near: _BoolArray, rim: int, above: tuple[int, float]) -> _BoolArray:
    """Return the pixels between a garment and its outline on the right, where a bag hides that.

    Args:
        worn: the garment's mask.
        near: the bag's, and what is near it.
        rim: rows below the bag that give the outline there.
        above: number of rows above the bag that give the outline there, and the quantile of it.

    Shape:
        worn, near, result: (H, W).
    """
    rows = np.flatnonzero(worn.any(1))
    hidden = np.zeros_like(worn)
    if len(rows) == 0:
        return hidden
    outline = worn.shape[1] - 1 - worn[rows, ::-1].argmax(1)
    touched = near[rows, np.minimum(outline + 1, worn.shape[1] - 1)]
    for start, stop in _runs(touched, rim):
        before, below = outline[max(0, start - above[0]) : start], outline[stop : stop + rim]
        if len(below):  # at the waist the outline starts where it is seen
            ends = (float(np.quantile(before if len(before) else outline[start], above[1])), float(np.median(below)))
            line = np.interp(np.arange(start, stop), [start, stop], ends)
            columns = np.arange(worn.shape[1])
            hidden[rows[start:stop]] = (columns > outline[start:stop, None]) & (columns <= line[:, None])
    return hidden


def _runs(mask: npt.NDArray[np.bool_], shortest_gap: int) -> list[tuple[int, int]]:
    """Return start and end of each run of True; runs with a shorter gap between them are one."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    runs: list[tuple[int, int]] = []
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if runs and start - runs[-1][1] < shortest_gap:
            runs[-1] = (runs[-1][0], stop)
        else:
            runs.append((start, stop))
    return runs


def _largest(mask: _BoolArray) -> _BoolArray:
    """Return the largest connected piece of a mask."""
    from scipy import ndimage

    labels, num = ndimage.label(mask)
    return mask if num == 0 else np.asarray(labels == np.bincount(labels.ravel())[1:].argmax() + 1)
