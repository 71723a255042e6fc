"""Divide a sleeve that hangs against the body from the garment beside it, by what separates the two in the photo.

To the region map sleeve and trunk are one garment. The part warp assumes that a sleeve is as wide on its inner side as
on its outer one, and shows some more of it, so the flap of a jacket, a tie or the wall between arm and body moves along
with an arm. The colours of the sleeve's outer half show where it ends: at the first pixels that it lacks, be it a
crease, a wall, or the garment beside it. Beyond is background. If it ends nearer to its axis than outwards, something
lies on the sleeve, which is then continued by its own cloth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scmnet_cli.images.morphology import largest_around
from scmnet_cli.inference.graph_cut import unlikeness
from scmnet_cli.inference.limbs.behind_arms import background_like
from scmnet_cli.inference.limbs.limb_maps import LimbMaps
from scmnet_cli.models.parts import FOREARMS, TORSO_PART, UPPER_ARMS
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.types import FloatArray

_BoolArray = npt.NDArray[np.bool_]
_IntArray = npt.NDArray[np.int64]

_UPPER = region_id("upper")
_BESIDE = [region_id(name) for name in ("pants", "skirt", "upper", "legs")]
_FIRST, _SLICE, _NUM_SLICES, _ELBOW = 0.4, 0.05, 34, 12
"""Where along an arm slices of it begin, their length, in lengths of its bones, their number, and the elbow's."""
_BONES = (slice(_ELBOW), slice(_ELBOW, None))
_STEP, _NUM_STEPS, _BEFORE = 0.01, 34, 8  # torso lengths across a slice; of these steps before its axis
_EVENED = 7  # slices whose median is a width
_MIXED = 2  # pixels at an outline whose colours mix
_LEAST = 50  # pixels of a sleeve whose colours are known
_FOREIGN = 9.0  # negative log-likelihood of a colour that a sleeve lacks
_MOST = 0.5  # share of a step's pixels from which on it is foreign, or beside the garment
_ON_SLEEVE = 0.9  # least width of a sleeve on the inner side, relative to the outer one
_DOUBTFUL, _MOSTLY = 0.45, 0.8
"""If more than the second share of the places where a sleeve ends are nearer than the first, in outer widths, its inner
half lies in shadow."""
_LAG, _PATTERNED = 3, 40.0  # steps that pairs of compared ones are apart; median of a pattern's own differences, levels
_EDGE = 20.0  # levels: least step to foreign colours; light changes a sleeve's colours gradually
_COVERED = 0.5  # least share of cloth along a bone's axis
_SOFT_BORDER = 0.06  # torso lengths beyond the outer width that the part warp shows
_NUM_FOREIGN = 4  # slices that end at foreign pixels, at least
_NEAR = 4  # slices between two such ones that end between them
_ARMPIT, _NUM_OPEN = 0.06, 6  # torso lengths that a sleeve widens by in its first slices, and their number
_SLOPE = 0.02  # torso lengths by which a sleeve widens from one slice to the next, at most
_WIDEST, _NO_BORDER = 0.25, 1.0  # torso lengths


def sleeve_alone(layers: FloatArray, maps: LimbMaps[FloatArray], arm: int, fill: float) -> FloatArray:
    """Return a photo and its regions in which a hanging sleeve ends where the photo shows it; the same if none does.

    Args:
        layers: image in [-1, 1] and masks.
        maps: how the limbs of the source lie.
        arm: 0 for the right one, 1 for the left.
        fill: value of the background.

    Shape:
        layers, result: (H, W, 3 + 8).
    """
    joints = np.stack([maps.starts[0, UPPER_ARMS[arm]], maps.starts[0, FOREARMS[arm]], maps.ends[0, FOREARMS[arm]]])
    first, last = joints.min(0) - maps.size[0] / 2, joints.max(0) + maps.size[0] / 2
    columns, rows = (
        slice(min(max(int(low), 0), size - 1), min(max(int(high), 1), size))
        for low, high, size in zip(first, last, layers.shape[1::-1], strict=True)
    )
    near = _alone(layers[rows, columns], _Axis.of(maps, arm, (rows, columns)), fill)
    if near is None:
        return layers
    result = layers.copy()
    result[rows, columns] = near
    return result


def _alone(layers: FloatArray, axis: _Axis, fill: float) -> FloatArray | None:
    """Return the surroundings of an arm with its sleeve alone; None if nothing in the photo shows where it ends."""
    cloth = layers[..., 3 + _UPPER] > 0.5
    width = axis.outer_widths(cloth)
    first, border = _Slices.of(layers, cloth, axis, width).ends(width)
    first = np.where(first < border, first, np.inf)
    for bone in _BONES:
        if (first < _DOUBTFUL * width)[bone].sum() > _MOSTLY * np.isfinite(first[bone]).sum():
            first[bone] = np.inf
    if np.isfinite(first).sum() < _NUM_FOREIGN:
        return None
    end = np.where(np.isfinite(first), np.minimum(first.clip(_ON_SLEEVE * width), border), border)
    start = np.where(np.isfinite(first), (first - _MIXED / axis.size).clip(0), np.inf)
    end, start = (_between(places) for places in (end, start))
    start = np.min(_windows(start, 3), axis=1)
    slices = np.arange(_NUM_SLICES)
    end += _ARMPIT * np.linspace(1, 0, _NUM_OPEN + 1)[slices.clip(max=_NUM_OPEN)]
    end = (end + _SLOPE * abs(slices[:, None] - slices)).min(1)
    start = np.where(start < _ON_SLEEVE * width, start, end)
    end, start = axis.at(end), axis.at(start)
    beyond = np.isin(layers[..., 3:].argmax(-1), _BESIDE) & axis.along & (axis.across > end)
    hidden = (cloth | beyond) & axis.along & (axis.across > start) & (axis.across <= end + _MIXED / axis.size)
    hidden &= axis.across < _WIDEST
    result = layers.copy()
    away = 2 * (axis.across - start) * axis.size
    rows, columns = np.nonzero(hidden)
    sources = axis.inwards[rows, columns] * -away[rows, columns, None]
    from_rows = (rows + sources[:, 1]).round().astype(np.int64).clip(0, len(cloth) - 1)
    from_columns = (columns + sources[:, 0]).round().astype(np.int64).clip(0, cloth.shape[1] - 1)
    found = cloth[from_rows, from_columns]
    result[beyond] = background_like(layers, fill)
    result[rows[found], columns[found], :3] = layers[from_rows[found], from_columns[found], :3]
    return result


@dataclass(frozen=True, eq=False)
class _Axis:
    """Where pixels lie on an arm.

    Attributes:
        size: pixels of a torso length.
        place: where along the arm, in slices, (H, W).
        number: which slice of the arm, (H, W).
        along: whether it is one of the slices, and on this side of the trunk, (H, W) bool.
        across: torso lengths from the bones, positive inwards, (H, W).
        inwards: the direction inwards across the bone, x and y, (H, W, 2).
    """

    size: float
    place: FloatArray
    number: _IntArray
    along: _BoolArray
    across: FloatArray
    inwards: FloatArray

    @classmethod
    def of(cls, maps: LimbMaps[FloatArray], arm: int, window: tuple[slice, slice]) -> _Axis:
        size = float(maps.size[0])
        rows, columns = np.mgrid[window].astype(np.float32)
        trunk = (maps.starts[0, TORSO_PART] + maps.ends[0, TORSO_PART]) / 2
        bones = []
        for part in (UPPER_ARMS[arm], FOREARMS[arm]):
            start, bone = maps.starts[0, part], maps.ends[0, part] - maps.starts[0, part]
            length = max(float(np.hypot(*bone)), 1e-3)
            normal = np.array([-bone[1], bone[0]], np.float32) / length
            normal *= np.sign((trunk - start) @ normal) or 1
            x, y = columns - start[0], rows - start[1]
            bones.append(((x * bone[0] + y * bone[1]) / length**2, (x * normal[0] + y * normal[1]) / size, normal))
        (u, across, normal), (lower_u, lower_across, lower_normal) = bones
        from_upper = np.hypot(across, np.maximum(u - 1, 0) + np.maximum(-u, 0))
        is_lower = np.hypot(lower_across, np.maximum(-lower_u, 0)) < from_upper
        place = np.where(is_lower, 1 + lower_u.clip(0), u.clip(max=1))
        place = (place - _FIRST) / _SLICE
        number = np.floor(place).astype(np.int64)
        neck, down = maps.starts[0, TORSO_PART], maps.ends[0, TORSO_PART] - maps.starts[0, TORSO_PART]
        side = (columns - neck[0]) * down[1] - (rows - neck[1]) * down[0]
        elbow = maps.starts[0, FOREARMS[arm]] - neck
        return cls(
            size=size,
            place=place,
            number=number.clip(0, _NUM_SLICES - 1),
            along=(number >= 0) & (number < _NUM_SLICES) & (side * (elbow[0] * down[1] - elbow[1] * down[0]) > 0),
            across=np.where(is_lower, lower_across, across),
            inwards=np.where(is_lower[..., None], lower_normal, normal),
        )

    def at(self, values: FloatArray) -> FloatArray:
        """Interpolate values of the slices at each pixel, (34,) to (H, W)."""
        return np.asarray(np.interp(self.place, np.arange(_NUM_SLICES) + 0.5, values), np.float32)

    def outer_widths(self, cloth: _BoolArray) -> FloatArray:
        """Return how wide each slice of the sleeve is on its outer side, in torso lengths, (34,)."""
        outer = cloth & self.along & (self.across < 0) & (self.across > -_WIDEST)
        number, across = self.number[outer], -self.across[outer]
        slices = [across[number == each] for each in range(_NUM_SLICES)]
        found = np.array([np.quantile(each, 0.9) if len(each) else 0 for each in slices], np.float32)
        return np.asarray(np.median(_windows(found, _EVENED), axis=1), np.float32)


@dataclass(frozen=True, eq=False)
class _Slices:
    """Counts of pixels on a grid along an arm: a row for each slice across it, a column for each step inwards.

    Shape:
        own, foreign, other, total: (34, 34), numbers of pixels: of cloth, of cloth with colours that the sleeve lacks,
        of other garments or background, of all; step: (34, 34), by how many levels the colours change there.
    """

    own: FloatArray
    foreign: FloatArray
    other: FloatArray
    total: FloatArray
    step: FloatArray

    @classmethod
    def of(cls, layers: FloatArray, cloth: _BoolArray, axis: _Axis, width: FloatArray) -> _Slices:
        """Count the pixels and their colours."""
        levels = (layers[..., :3] + 1) * 127.5
        outer = axis.along & (axis.across < 0) & (axis.across > -width[axis.number])
        sure = cloth & ~largest_around(~cloth, _MIXED) & outer
        steps = np.floor(axis.across / _STEP).astype(np.int64) + _BEFORE
        inner = axis.along & (steps >= 0) & (steps < _NUM_STEPS)
        foreign = np.zeros_like(cloth)
        for bone in (axis.number < _ELBOW, axis.number >= _ELBOW):
            if (known := sure & bone).sum() >= _LEAST:
                asked = inner & cloth & bone
                foreign[asked] = unlikeness(levels, known, asked) > _FOREIGN
        cell = axis.number * _NUM_STEPS + steps.clip(0, _NUM_STEPS - 1)

        def sums(mask: _BoolArray, values: FloatArray | None = None) -> FloatArray:
            weights = np.ones(int(mask.sum()), np.float32) if values is None else values[mask]
            found = np.bincount(cell[mask], weights, _NUM_SLICES * _NUM_STEPS)
            return found.astype(np.float32).reshape(_NUM_SLICES, _NUM_STEPS)

        own = sums(inner & cloth)
        colours = np.stack([sums(inner & cloth, level) for level in levels.transpose(2, 0, 1)]) / own.clip(1)
        pairs, change = colours[..., :-1] + colours[..., 1:], np.zeros_like(own)
        change[:, _LAG:-1] = abs(pairs[..., _LAG:] - pairs[..., :-_LAG]).max(0) / 2
        other = inner & np.isin(layers[..., 3:].argmax(-1), [BACKGROUND, *_BESIDE]) & ~cloth
        return cls(own, sums(foreign), sums(other), sums(inner), change)

    def ends(self, width: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return where each slice of a sleeve has colours first that it lacks, inwards from its axis, and no cloth.

        In torso lengths, (34,) each; infinite where this is not as far as the part warp shows the sleeve.
        """
        foreign = (self.foreign > _MOST * self.total) & (self.step > _EDGE)
        foreign, other = foreign[:, _BEFORE:], (self.other > _MOST * self.total)[:, _BEFORE:]
        other &= ~other[:, :1]  # beside the axis nothing is known
        outer = slice(_LAG + 1, _BEFORE)
        for bone in _BONES:
            changes = self.step[bone, outer][self.own[bone, outer] > 0]
            bare = self.own[bone, _BEFORE].sum() < _COVERED * self.total[bone, _BEFORE].sum()  # or hidden
            if bare or (len(changes) and np.median(changes) > _PATTERNED):
                foreign[bone] = other[bone] = False
        places = np.arange(_NUM_STEPS - _BEFORE) * _STEP
        on_sleeve = places < _ON_SLEEVE * width[:, None]
        lacking = (self.foreign > _MOST * self.total)[:, _BEFORE:] & on_sleeve
        lacking, sleeve = (np.cumsum(mask[:, ::-1], axis=1)[:, ::-1] for mask in (lacking, on_sleeve))  # from there on
        foreign &= lacking >= _MOST * sleeve  # a zip on a sleeve is no flap
        shown = places < (width + _SOFT_BORDER)[:, None]
        first, border = (
            np.where((at & shown).any(1), places[(at & shown).argmax(1)], np.inf) for at in (foreign, other)
        )
        return first, border


def _between(values: FloatArray) -> FloatArray:
    """Interpolate unknown values, which are infinite, between near known ones, and even them out; others are large."""
    known = np.flatnonzero(np.isfinite(values))
    if len(known) == 0:
        return np.full_like(values, _NO_BORDER)
    every = np.arange(len(values))
    between = np.interp(every, known, values[known]).astype(np.float32)
    found = np.median(_windows(between, _EVENED // 2), axis=1)
    found = _windows(found, 3).mean(1)
    return np.where(abs(every[:, None] - known).min(1) <= _NEAR, found, _NO_BORDER)


def _windows(values: FloatArray, num: int) -> FloatArray:
    """Return each value and those around it, of the ends repeatedly, (n,) to (n, num)."""
    return np.lib.stride_tricks.sliding_window_view(np.pad(values, num // 2, mode="edge"), num)
