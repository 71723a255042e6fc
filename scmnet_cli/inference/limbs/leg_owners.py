"""Which pixels of a photo belong to which leg: shoes that touch, trousers that meet, one foot before the other.

In the region map both legs are one garment. A pixel belongs to the leg whose axis is nearer along a path within the
legs. Each edge of the photo that a path crosses makes it longer, so the path across the outline of a shoe is long. A
minimum cut then divides the pixels that are about equally near to both legs, preferably along edges.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scmnet_cli.inference.minimum_cut import source_side
from scmnet_cli.models.part_joints import body_size, complete_joints
from scmnet_cli.models.parts import LIMB_PARTS, LIMBS
from scmnet_cli.regions import region_id
from scmnet_cli.types import Canvas, FloatArray, Person, UInt8Array

_LEGS, _LEG_PARTS = LIMBS[2:], LIMB_PARTS[2:]
_LIMBS = (region_id("pants"), region_id("legs"))
_THIGH, _FOOT = 0.4, 0.25
"""Where on the thigh the division begins, and how far a foot continues its shin, in lengths of the bone."""
_APART = 0.09  # torso lengths, at least, between the axes of two legs that do not cross
_CLEAR, _DETOUR, _EDGE = 40.0, 8.0, 3.2
"""Colour difference of a clear edge; how much longer a step across it is, and how much cheaper a cut along it is."""
_SURELY, _NEARER, _UNITS = 0.6, 0.2, 100
"""A leg surely owns a pixel if it is nearer by this share of both distances; cost of giving a pixel to the other leg,
relative to one step of the cut; resolution of the costs."""
_ROWS, _PLACES = 400, 200
"""Rows, at least, on which the legs are divided; places along each bone."""

_BoolArray = npt.NDArray[np.bool_]
_IntArray = npt.NDArray[np.int64]

_NEIGHBOURS: tuple[tuple[Any, Any, float], ...] = (
    (np.s_[1:], np.s_[:-1], 1.0),
    (np.s_[:, 1:], np.s_[:, :-1], 1.0),
    (np.s_[1:, 1:], np.s_[:-1, :-1], 1.41),
    (np.s_[1:, :-1], np.s_[:-1, 1:], 1.41),
)
"""Slices of pixels and of their neighbours, and how far these are."""


def leg_owners(person: Person, canvas: Canvas) -> UInt8Array:
    """Return the part, thigh or shin of one leg, that each pixel of the legs belongs to; 0 where this is not known.

    Nothing is known if the photo lacks a knee, or if the legs cross.

    Args:
        person: the person, on a canvas of the same aspect.
        canvas: size of the result.

    Shape:
        result: (H, W), numbers of parts.
    """
    height, width = person.regions.shape
    nobody = np.zeros((canvas.height, canvas.width), np.uint8)
    of_legs = np.isin(person.regions, _LIMBS)
    if (person.joints[[knee for _, knee, _ in _LEGS], 2] <= 0).any():
        return nobody
    step = max(height // _ROWS, 1)
    legs, size = _bones(person, step)
    own = of_legs[::step, ::step]
    seeds = _seeds(legs, own, size)
    if seeds is None:
        return nobody
    numbers = np.full(own.shape, -1)
    numbers[own] = np.arange(np.count_nonzero(own))
    owner = _nearer_leg(_cells(person.image, step), numbers, seeds)
    parts = np.zeros(own.shape, np.uint8)
    for number, (leg, bones) in enumerate(zip(legs, _LEG_PARTS, strict=True)):
        place = _places_on(leg, own)
        parts[own] = np.where((owner == number) & (place > _THIGH), np.where(place < 1, *bones), parts[own])
    rows = (np.arange(canvas.height) + 0.5) * height / canvas.height
    columns = (np.arange(canvas.width) + 0.5) * width / canvas.width
    owners: UInt8Array = parts[(rows / step).astype(np.int64)[:, None], (columns / step).astype(np.int64)]
    return owners


def mirrored_owners(owners: UInt8Array) -> UInt8Array:
    """Return the owners of a mirrored photo, where each leg is the other one.

    Shape:
        owners, result: (..., H, W).
    """
    of_right, of_left = ((owners >= first) & (owners <= last) for first, last in _LEG_PARTS)
    apart = np.uint8(_LEG_PARTS[1][0] - _LEG_PARTS[0][0])
    mirrored: UInt8Array = (owners + apart * of_right - apart * of_left)[..., ::-1]
    return mirrored


def _bones(person: Person, step: int) -> tuple[list[FloatArray], float]:
    """Return hip, knee and ankle of both legs, (3, 2) each, and the length of the torso, on every ``step`` pixels."""
    joints = complete_joints(person.joints[None])
    size = float(body_size(joints)[0])
    return [(joints[0, list(leg), :2] / step).astype(np.float32) for leg in _LEGS], size / step


def _seeds(legs: list[FloatArray], own: _BoolArray, size: float) -> list[_IntArray] | None:
    """Return the pixels of both legs' axes, x and y, (N, 2) each; None if the legs cross or are hidden."""
    thigh, shin = np.linspace(_THIGH, 1, _PLACES)[:, None], np.linspace(0, 1 + _FOOT, _PLACES)[:, None]
    axes = [np.concatenate([hip + (knee - hip) * thigh, knee + (ankle - knee) * shin]) for hip, knee, ankle in legs]
    apart = np.hypot(*(axes[0][:, None] - axes[1]).transpose(2, 0, 1)).min() / size
    order = np.sign(legs[0][:, 0] - legs[1][:, 0])
    if apart < _APART or len(np.unique(order)) > 1:
        return None
    seeds = []
    for axis in axes:
        pixels = np.rint(axis).astype(np.int64)
        x, y = pixels.T
        pixels = pixels[(x >= 0) & (y >= 0) & (x < own.shape[1]) & (y < own.shape[0])]
        seeds.append(pixels[own[pixels[:, 1], pixels[:, 0]]])
    return seeds if all(map(len, seeds)) else None


def _nearer_leg(image: FloatArray, numbers: _IntArray, seeds: list[_IntArray]) -> _IntArray:
    """Return 0 for pixels of the right leg, 1 for those of the left one, -1 for those connected with neither.

    Shape:
        image: (H, W, 3); numbers: (H, W), -1 beside the legs; result: (n,) for the n pixels of the legs.
    """
    rows, columns = (np.flatnonzero((numbers >= 0).any(axis)) for axis in (1, 0))
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    image, numbers, seeds = image[box], numbers[box], [each - (columns[0], rows[0]) for each in seeds]
    colours = _smoothed(image, numbers >= 0)
    starts, ends, cuts, links = [], [], [], []
    for one, other, step in _NEIGHBOURS:
        linked = (numbers[one] >= 0) & (numbers[other] >= 0)
        edge = (np.sqrt(np.square(colours[one] - colours[other]).sum(-1)) / _CLEAR).clip(max=1)
        starts.append(numbers[one][linked])
        ends.append(numbers[other][linked])
        cuts.append(1 / (step * (1 + _EDGE * edge[linked])))
        links.append(np.where(linked, step * (1 + _DETOUR * edge), np.inf))
    first, second = np.concatenate(starts), np.concatenate(ends)
    right, left = (_distances(links, each, numbers.shape)[numbers >= 0] for each in seeds)
    lead = np.where(np.isfinite(right), 1.0, -1.0)
    both = np.isfinite(right + left)
    lead[both] = (left[both] - right[both]) / (left + right)[both].clip(1e-6)
    of_right = _right_of_cut(lead, first, second, np.concatenate(cuts))
    return np.where(np.isfinite(np.minimum(right, left)), np.where(of_right, 0, 1), -1)


def _distances(links: list[FloatArray], seeds: _IntArray, shape: tuple[int, ...]) -> FloatArray:
    """Return lengths of the shortest paths from the nearest seed, (H, W); infinite where none leads.

    Args:
        links: lengths between neighbours, in the order of ``_NEIGHBOURS``; infinite: not linked.
        seeds: x and y, (N, 2).
        shape: (H, W).
    """
    found = np.full(shape, np.inf)
    found[seeds[:, 1], seeds[:, 0]] = 0
    while True:  # Bellman-Ford; exported models must run without scipy's Dijkstra
        before = found.copy()
        for (one, other, _), length in zip(_NEIGHBOURS, links, strict=True):
            np.minimum(found[one], found[other] + length, out=found[one])
            np.minimum(found[other], found[one] + length, out=found[other])
        if np.array_equal(before, found):
            return found


def _right_of_cut(lead: FloatArray, first: _IntArray, second: _IntArray, costs: FloatArray) -> _BoolArray:
    """Return the pixels of the right leg after a minimum cut of those about as near to both legs.

    Args:
        lead: how much nearer the right leg is than the left one, from -1 to 1.
        first: one of two neighbours each.
        second: the other one.
        costs: costs of a cut between them.

    Shape:
        lead, result: (n,); first, second, costs: (L,).
    """
    doubtful = np.abs(lead) < _SURELY
    num = int(np.count_nonzero(doubtful))
    number = np.where(lead > 0, num, num + 1)
    number[doubtful] = np.arange(num)
    one, other = number[first], number[second]
    linked = (one != other) & (np.minimum(one, other) < num)
    one, other, between = one[linked], other[linked], costs[linked]
    nearer, every = _NEARER * lead[doubtful], np.arange(num)
    starts = np.concatenate([one, other, np.full(num, num), every])
    ends = np.concatenate([other, one, every, np.full(num, num + 1)])
    prices = np.concatenate([between, between, nearer.clip(0), (-nearer).clip(0)])
    found = lead > 0
    found[doubtful] = source_side(starts, ends, (prices * _UNITS).astype(np.int64), num + 2)[:num]
    return found


def _cells(image: UInt8Array, step: int) -> FloatArray:
    """Return the mean colours of cells of ``step`` x ``step`` pixels: their roots, since dark colours differ less."""
    colours = np.sqrt(image.astype(np.float32) * 255)
    padded = np.pad(colours, [(0, -image.shape[0] % step), (0, -image.shape[1] % step), (0, 0)], mode="edge")
    rows, columns, _ = padded.shape
    cells: FloatArray = padded.reshape(rows // step, step, columns // step, step, 3).mean((1, 3))
    return cells


def _smoothed(image: FloatArray, own: _BoolArray) -> FloatArray:
    """Return an image blurred over 3x3 pixels of the legs: what is beside them does not count."""
    layers: npt.NDArray[Any] = np.concatenate([image * own[..., None], own[..., None]], axis=-1)
    for axis in (0, 1):
        padded = np.moveaxis(np.pad(layers, [(1, 1) if each == axis else (0, 0) for each in range(3)]), axis, 0)
        layers = np.moveaxis((padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4, 0, axis)
    smooth: FloatArray = (layers[..., :3] / layers[..., 3:].clip(1e-6)).astype(np.float32)
    return smooth


def _places_on(leg: FloatArray, own: _BoolArray) -> FloatArray:
    """Return where pixels lie along a leg, (n,): 0 at the hip, 1 at the knee, 2 at the ankle."""
    rows, columns = np.nonzero(own)
    pixels = np.stack([columns, rows], axis=1).astype(np.float64)
    places, away = [], []
    for start, end in ((leg[0], leg[1]), (leg[1], leg[2])):
        along = end - start
        place = (pixels - start) @ along / max(float(along @ along), 1e-6)
        away.append(np.hypot(*(pixels - start - place.clip(0, 1)[:, None] * along).T))
        places.append(place)
    found: FloatArray = np.where(away[0] < away[1], places[0].clip(max=0.999), 1 + places[1].clip(0))
    return found
