"""Bags taken off: where a bag hides the side of a garment, its cloth continues behind the bag.

To the region map a bag is background, so a pose would show a notch. The hidden outline is taken to be a straight line
from where the bag begins to where it ends.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.types import Person

_SKIRT, _PANTS, _UPPER = (region_id(name) for name in ("skirt", "pants", "upper"))
_TORSO = 0.3  # of the person's height: a torso length; of a half body it is too long, which does no harm
_LEAST_HIDDEN = 0.002  # torso lengths squared: smaller gaps stay
_RIM = 0.05  # torso lengths around a bag in which an outline is the bag's, and rows that give the outline beside it

_ABOVE, _WIDE = 6, 0.8
"""Rims above a bag whose outline counts for upper garments, and its quantile: the arm that holds the bag hides some."""

_BoolArray = npt.NDArray[np.bool_]


def without_bags(person: Person) -> Person:
    """Return a person whose clothes continue behind bags; the same person if no bag hides them.

    Args:
        person: the person on a canvas, with the mask of what they carry.
    """
    if person.carried is None or not person.carried.any():
        return person
    from scipy import ndimage

    size = _TORSO * int(np.count_nonzero(person.regions.any(1)))
    rim = max(1, round(_RIM * size))
    near = ndimage.binary_dilation(person.carried, iterations=rim)
    image, regions = person.image, person.regions
    for region in (_SKIRT, _PANTS, _UPPER):
        worn = _largest(person.regions == region)
        free = regions == BACKGROUND
        above = (_ABOVE * rim, _WIDE) if region == _UPPER else (rim, 0.5)
        hidden = free & (_behind(worn, near, rim, above) | _behind(worn[:, ::-1], near[:, ::-1], rim, above)[:, ::-1])
        if np.count_nonzero(hidden & near) < _LEAST_HIDDEN * size**2:
            continue
        from scmnet_cli.inference.filling import continued  # imports torch: only if there is something to fill

        cloth = ndimage.binary_erosion(worn, iterations=max(1, rim // 2)) & ~near
        colours = image.astype(np.float32)
        if region == _UPPER:  # beside a bag are buttons, a lining and a shirt; above and below it is the same cloth
            filled = continued(colours, cloth, hidden)
        else:
            filled = continued(colours.swapaxes(0, 1), cloth.T, hidden.T).swapaxes(0, 1)
        image = filled.round().clip(0, 255).astype(np.uint8)
        regions = np.where(hidden, np.uint8(region), regions)
    return replace(person, image=image, regions=regions)


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
        runs[-1:] = (
            [(runs[-1][0], stop)] if runs and start - runs[-1][1] < shortest_gap else [*runs[-1:], (start, stop)]
        )
    return runs


def _largest(mask: _BoolArray) -> _BoolArray:
    """Return the largest connected piece of a mask."""
    from scipy import ndimage

    labels, num = ndimage.label(mask)
    return mask if num == 0 else np.asarray(labels == np.bincount(labels.ravel())[1:].argmax() + 1)
