"""Reference implementation of the part warp: one person, one part and one pose at a time, in float64.

It is the oracle of test_part_warp.py. It shares no code with the package and holds its own copy of every constant, so a
constant that changes there without being meant to shows here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

NECK, SHOULDERS, HIPS = 1, (2, 5), (8, 11)
TORSO = (1, 2, 5, 8, 11)
HEAD = (0, 14, 15, 16, 17)
FACE = 4  # region


@dataclass(frozen=True)
class Bone:
    """A limb part: its joints, then its radius, its length beyond the last joint and its depth, in torso lengths."""

    start: int
    end: int
    radius: float
    beyond: float
    in_front: float


BONES = (
    Bone(2, 3, 0.16, 0.0, 1.8), Bone(3, 4, 0.13, 0.35, 3.0), Bone(5, 6, 0.16, 0.0, 1.8), Bone(6, 7, 0.13, 0.35, 3.0),
    Bone(8, 9, 0.24, 0.0, 0.0), Bone(9, 10, 0.18, 0.25, 0.0), Bone(11, 12, 0.24, 0.0, 0.0),
    Bone(12, 13, 0.18, 0.25, 0.0),
)  # fmt: skip
FROM_BONE = {
    (2, 5): 1.45, (2, 3): 1.7, (5, 6): 1.7, (3, 4): 1.9, (6, 7): 1.9, (8, 9): 1.15, (11, 12): 1.15, (9, 10): 1.2,
    (12, 13): 1.2, (0, 1): 2.6, (8, 11): 2.4,
}  # fmt: skip


@dataclass(frozen=True)
class Person:
    """Joints as complex numbers x + i y, and which are known."""

    at: npt.NDArray[np.complex128]
    has: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, joints: npt.ArrayLike) -> Person:
        """Read (18, 3) joints."""
        values = np.asarray(joints, np.float64)
        has = values[:, 2] > 0
        return cls(np.where(has, values[:, 0] + 1j * values[:, 1], 0), has)

    def middle(self, pair: tuple[int, int]) -> complex | None:
        """Return the middle of two joints, or the known one."""
        there = [self.at[joint] for joint in pair if self.has[joint]]
        return complex(np.mean(there)) if there else None

    @property
    def size(self) -> float:
        """The torso's length, or an estimate from the longest other bone if it is missing or foreshortened."""
        hips = self.middle(HIPS)
        torso = abs(self.at[NECK] - hips) if hips is not None and self.has[NECK] else None
        others = [
            factor * abs(self.at[start] - self.at[end])
            for (start, end), factor in FROM_BONE.items()
            if self.has[start] and self.has[end]
        ]
        longest = max(others, default=0.0)
        if torso is not None and torso > 0.6 * longest:
            return max(float(torso), 8.0)
        return float(max(longest, torso or 0.0, 8.0))


@dataclass(frozen=True)
class Similarity:
    """source = factor * target + shift, of the target's mirror image (x negated) where mirrored."""

    factor: complex
    mirrored: bool
    error: float

    @classmethod
    def of(cls, target: Array, source: Array, weight: Array, *, mirrored: bool) -> Similarity:
        """Fit centred points by least squares."""
        z = -np.conj(target) if mirrored else target
        norm = max(float((weight * abs(z) ** 2).sum()), 1e-3)
        factor = (weight * np.conj(z) * source).sum() / norm
        error = (weight * abs(factor * z - source) ** 2).sum() / max(weight.sum(), 1e-6)
        return cls(complex(factor), mirrored, float(error))

    def scaled(self, scale: float, limits: tuple[float, float]) -> Array:
        """Return the matrix with its scale clamped to ``limits`` times ``scale``; upright if the scale is 0."""
        own = abs(self.factor)
        if own <= 1e-3 * scale:
            return np.eye(2) * scale
        factor = self.factor / own * min(max(own, limits[0] * scale), limits[1] * scale)
        columns = [factor * (-1 if self.mirrored else 1), factor * 1j]
        return np.array([[column.real for column in columns], [column.imag for column in columns]])


def _centred(target: Person, source: Person, joints: tuple[int, ...], weight: Array) -> tuple[Array, ...]:
    total = max(weight.sum(), 1e-6)
    means = [(person.at[list(joints)] * weight).sum() / total for person in (target, source)]
    return target.at[list(joints)] - means[0], source.at[list(joints)] - means[1], *means


def _vector(value: complex) -> Array:
    return np.array([value.real, value.imag])


def maps(source: Person, target: Person) -> Iterator[tuple[Array, Array] | None]:
    """Yield matrix and offset of each of the ten parts, target to source; None where a part has no joints."""
    scale = source.size / target.size
    both = source.has & target.has
    weight = both[list(TORSO)].astype(float)
    z, w, target_mean, source_mean = _centred(target, source, TORSO, weight)
    plain, mirror = (Similarity.of(z, w, weight, mirrored=mirrored) for mirrored in (False, True))
    mirrored = bool(mirror.error < 0.7 * plain.error and weight.sum() >= 3)
    towards = (mirror if mirrored else plain).scaled(scale, (1, 1)) if weight.sum() >= 2 else np.eye(2) * scale
    if weight.any():
        ridge = 0.03 * target.size**2
        points, wanted = np.stack([z.real, z.imag]), np.stack([w.real, w.imag])  # (2, 5)
        cross = (wanted * weight) @ points.T + ridge * towards
        matrix = cross @ np.linalg.inv((points * weight) @ points.T + ridge * np.eye(2))
        left, values, right = np.linalg.svd(matrix)
        matrix = left @ np.diag(values.clip(0.45 * scale, 2.5 * scale)) @ right
        yield matrix, _vector(source_mean) - matrix @ _vector(target_mean)
    else:
        yield None

    if both[list(HEAD)].any():
        joints = (*HEAD, NECK)
        weight = both[list(joints)] * np.array([1, 1, 1, 1, 1, 0.5])
        z, w, target_mean, source_mean = _centred(target, source, joints, weight)
        matrix = np.eye(2) * scale
        if (weight > 0).sum() >= 2:
            matrix = Similarity.of(z, w, weight, mirrored=mirrored).scaled(scale, (0.7, 1.4))
        yield matrix, _vector(source_mean) - matrix @ _vector(target_mean)
    else:
        yield None

    for bone in BONES:
        if not (both[bone.start] and both[bone.end]):
            yield None
            continue
        along = [person.at[bone.end] - person.at[bone.start] for person in (source, target)]
        length = [max(abs(value), 1e-3) for value in along]
        units = [value / abs(value) if abs(value) > 1e-3 else 1j for value in along]
        stretch = min(max(length[0] / length[1], 0.4 * scale), 2.5 * scale)
        across = -scale if mirrored else scale
        frames = [np.column_stack([_vector(unit), _vector(unit * 1j)]) for unit in units]
        matrix = frames[0] @ np.diag([stretch, across]) @ frames[1].T
        yield matrix, _vector(source.at[bone.start]) - matrix @ _vector(target.at[bone.start])


def memberships(person: Person, height: int, width: int) -> Iterator[tuple[Array, Array]]:
    """Yield, for each part, exp(-cost) times nearness, and nearness, of every pixel."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    pixel = x + 1j * y
    size = person.size
    shoulders = person.middle(SHOULDERS)
    shoulders = shoulders if shoulders is not None else complex(person.at[NECK])
    hips = person.middle(HIPS)
    hips = hips if hips is not None else shoulders + 1j * size
    along = hips - shoulders
    length = max(abs(along), 1e-3)
    local = (pixel - shoulders) * np.conj(along / length)  # real along the torso, imaginary across it
    wide = 0.95 * abs(person.at[2] - person.at[5]) / 2 if person.has[list(SHOULDERS)].all() else 0
    beyond = np.maximum(-local.real, local.real - length).clip(0)
    beside = (abs(local.imag) - max(wide, 0.18 * size)).clip(0)
    distance = np.hypot(beyond, beside) / size
    near = ((0.55 - distance) / 0.2).clip(0, 1)
    yield np.exp(-np.minimum((distance / 0.15) ** 2, 40)) * near, near

    there = [person.at[joint] for joint in HEAD if person.has[joint]]
    distance = (abs(pixel - (np.mean(there) if there else 0)) / size - 0.22).clip(0)
    near = ((0.55 - distance) / 0.2).clip(0, 1)
    yield np.exp(-np.minimum((distance / 0.15) ** 2, 40)) * near, near

    for bone in BONES:
        along = person.at[bone.end] - person.at[bone.start]
        length = max(abs(along), 1e-3)
        local = (pixel - person.at[bone.start]) * np.conj(along / length)
        nearest = local.real.clip(0, length * (1 + bone.beyond))
        away = local - nearest
        if bone.start in SHOULDERS:  # above a shoulder the arm ends sooner
            away = np.where(away.real < 0, 2 * away.real, away.real) + 1j * away.imag
        distance = (abs(away) / size - 0.6 * bone.radius).clip(0)
        near = ((0.55 - distance) / 0.2).clip(0, 1)
        cost = (distance / (0.5 * bone.radius)) ** 2
        cost = cost - bone.in_front * np.exp(-((distance / (0.3 * bone.radius)) ** 2))
        yield np.exp(-np.minimum(cost, 40)) * near, near


def sampled(values: Array, x: Array, y: Array) -> Array:
    """Sample (K, H, W) bilinearly, 0 outside the picture."""
    height, width = values.shape[1:]
    left, top = np.floor(x), np.floor(y)
    total = np.zeros((len(values), *x.shape))
    for column, row in ((0, 0), (1, 0), (0, 1), (1, 1)):
        at_x, at_y = left + column, top + row
        share = (1 - abs(x - at_x)) * (1 - abs(y - at_y))
        inside = (at_x >= 0) & (at_x < width) & (at_y >= 0) & (at_y < height)
        index = at_y.clip(0, height - 1).astype(int), at_x.clip(0, width - 1).astype(int)
        total += values[:, index[0], index[1]] * np.where(inside, share, 0)
    return total


def ramp(values: Array | float, start: float, end: float) -> Array:
    """Return 0 up to ``start``, 1 from ``end`` on."""
    return np.clip((values - start) / (end - start), 0, 1)


def grown(masks: Array, regions: list[int]) -> Array:
    """Return where one of these regions, each grown by a pixel for 200 rows of the picture, lies."""
    height, width = masks.shape[1:]
    radius = max(round(height / 200), 1)
    wide = np.pad(masks[regions].max(0), radius)
    windows = np.lib.stride_tricks.sliding_window_view(wide, (2 * radius + 1, 2 * radius + 1))
    assert windows.shape[:2] == (height, width)
    return np.asarray(windows.max((2, 3)))


def beyond_borders(person: Person, bone: Bone, on_person: Array, share: Array) -> Array:
    """Return how surely each pixel lies further from a bone than the other side's border, where its own is hidden."""
    height, width = on_person.shape
    along = person.at[bone.end] - person.at[bone.start]
    length = max(abs(along), 1e-3)
    unit, reach, step = along / length, 1 + bone.beyond, 0.4 / 19
    y, x = np.mgrid[:height, :width].astype(np.float64)
    local = (x + 1j * y - person.at[bone.start]) * np.conj(unit)
    place = (local.real / length / reach).clip(0, 1)
    v = local.imag / person.size
    maps_ = np.stack([on_person, share, np.ones_like(share)])
    shown: dict[int, list[float]] = {1: [], -1: []}
    border: dict[int, list[float]] = {1: [], -1: []}
    for number in range(16):
        centre = person.at[bone.start] + unit * length * reach * number / 15
        for side in (1, -1):
            ray = centre + side * 1j * unit * person.size * step * np.arange(20)
            seen, own, inside = ramp(sampled(maps_, ray.real, ray.imag), 0.3, 0.7)
            seen = 1 - inside * (1 - seen)
            until_background, until_others = np.cumprod(seen).sum(), np.cumprod(seen * own).sum()
            shown[side].append(np.clip(1 - (until_background - until_others), 0, 1) * seen[0] * (1 - seen.min()))
            border[side].append(until_background * step)
    result = np.zeros((height, width))
    widths = {}
    for side in (1, -1):  # as wide as on the other side, and not much wider than where this side is seen
        there = sum(shown[-side])
        elsewhere = 1.25 * np.dot(shown[-side], border[-side]) / max(there, 1e-3)
        opposite = np.maximum(border[side], 0.5 * bone.radius)
        least = np.minimum(opposite, elsewhere)
        widths[side] = opposite + (least - opposite) * float(ramp(there, 3, 5)) + 0.15 * bone.radius
    border = widths
    for side in (1, -1):
        hidden = np.interp(place * 15, range(16), (1 - np.array(shown[side])) * shown[-side])
        far = ramp(abs(v) - np.interp(place * 15, range(16), border[-side]), 0, 0.3 * bone.radius)
        result = np.where((v > 0) == (side > 0), hidden * far, result)
    return result


def beyond_leg(person: Person, number: int, known: bool, masks: Array) -> Array:
    """Return how surely each pixel lies beyond the border between a leg's bone and the other leg's."""
    height, width = masks.shape[1:]
    bone, other = BONES[number], BONES[number ^ 2]
    along = person.at[bone.end] - person.at[bone.start]
    theirs = person.at[other.end] - person.at[other.start]
    length, reach = max(abs(along), 1e-3), 1 + bone.beyond
    unit, size = along / length, person.size
    their_length = max(abs(theirs), 1e-3)
    on_legs = grown(masks, [1, 7])
    sides, borders, sure, feet, shift = [], [], [], [], 0.0
    for place in np.linspace(0, reach, 16):
        start = person.at[bone.start] + unit * length * place
        end = person.at[other.start] + theirs / their_length * their_length * place
        distance = ((end - start) * np.conj(unit)).imag / size
        apart, side = max(abs(distance), 1e-3), np.sign(distance)
        steps = np.linspace(0, 1, 24)
        out = side * 1j * unit * size * 0.4
        seen = [
            ramp(at_points(1 - masks[0], ray), 0.3, 0.7)
            for ray in (start + (end - start) * steps, start - out * steps, end + out * steps)
        ]
        inner, ours, others = (max(np.cumprod(values).sum() - 0.5, 0) / 23 for values in seen)
        gap = 1 - seen[0].min()
        both = max((ours + others) * 0.4 / apart, 1e-3)
        on_leg = at_points(on_legs, np.array([start]))[0]
        legs = on_leg * at_points(on_legs, np.array([end]))[0]
        touching = ramp(both, 0.65, 0.8) * (1 - ramp(both, 1.2, 1.35)) * legs * (1 - gap)
        touching *= 1 - max(np.cumprod(values)[-1] for values in seen[1:])
        share = ours / max(ours + others, 1e-3)
        if number % 2 == 1:
            foot = ramp(place, 0.7, 0.9) * at_points(masks[7], np.array([start]))[0]
            theirs_in = max(np.cumprod(seen[0][::-1]).sum() - 0.5, 0) / 23
        else:
            foot, touching = 0.0, touching * ramp(place, 0.3, 0.6)
        leg = (share * (1 - gap) + inner * gap) * apart
        if number % 2 == 1:  # below the last gap a foot ends as far aside of its usual border as in this gap
            feet.append((leg, (1 - share) * apart, (inner + 1 - theirs_in) / 2 * apart, gap, foot))
            there = gap * ramp(place, 0.6, 0.7)
            shift = (1 - there) * shift + there * (feet[-1][2] - feet[-1][1])
        surely = max(gap * on_leg, touching) * (1 - foot) + legs * foot
        sides.append(side)
        borders.append(leg)
        sure.append(surely * ramp(apart, 0.03, 0.08) * known)
    for place, (leg, usual, middle, gap, foot) in enumerate(feet):
        borders[place] = leg * (1 - foot) + (max(usual + shift, 0) * (1 - gap) + middle * gap) * foot
    weights = np.pad(sure, 1)
    summed = np.pad(np.array(sure) * borders, 1)
    near = np.maximum(weights[:-2] + weights[1:-1] + weights[2:], 1e-3)
    border = (summed[:-2] + summed[1:-1] + summed[2:]) / near
    surely = np.maximum(np.maximum(weights[:-2], weights[1:-1]), weights[2:])
    y, x = np.mgrid[:height, :width].astype(np.float64)
    local = (x + 1j * y - person.at[bone.start]) * np.conj(unit)
    place = (local.real / length / reach).clip(0, 1) * 15
    towards = local.imag / size * np.interp(place, range(16), sides)
    past = ramp(towards - np.interp(place, range(16), border) - 0.5 / size, 0, max(0.012, 0.5 / size))
    return past * np.interp(place, range(16), surely) * on_legs


def at_points(values: Array, points: npt.NDArray[np.complex128]) -> Array:
    """Sample (H, W) at points; outside the picture lies its border."""
    height, width = values.shape
    return sampled(values[None], points.real.clip(0, width - 1), points.imag.clip(0, height - 1))[0]


def bareness(person: Person, bone: Bone, masks: Array, place: Array) -> Array:
    """Return how bare an arm is beside each pixel; ``place``: in lengths of the bone."""
    height, width = masks.shape[1:]
    axis = person.at[bone.start] + (person.at[bone.end] - person.at[bone.start]) * np.linspace(0, 1, 16)
    axis = axis.real.clip(0, width - 1) + 1j * axis.imag.clip(0, height - 1)
    skin = np.pad(sampled(masks[6:7], axis.real, axis.imag)[0], 1, mode="edge")
    skin = (skin[:-2] + skin[1:-1] + skin[2:]) / 3
    return ramp(np.interp(place.clip(0, 1) * 15, range(16), skin), 0.3, 0.7)


def behind(person: Person, owned: list[Array], masks: Array, other_legs: dict[int, Array]) -> Iterator[Array]:
    """Yield how surely each part leaves each pixel of the source behind; ``owned``: its share of all weights."""
    height, width = masks.shape[1:]
    y, x = np.mgrid[:height, :width].astype(np.float64)
    hips, shoulders = person.middle(HIPS), person.middle(SHOULDERS)
    shoulders = shoulders if shoulders is not None else complex(person.at[NECK])
    hips = hips if hips is not None else shoulders + 1j * person.size
    length = max(abs(hips - shoulders), 1e-3)
    local = (x + 1j * y - shoulders) * np.conj((hips - shoulders) / length)
    wide = 0.95 * abs(person.at[2] - person.at[5]) / 2 if person.has[list(SHOULDERS)].all() else 0
    apart = np.hypot(
        np.maximum(-local.real, local.real - length).clip(0),
        (abs(local.imag) - max(wide, 0.18 * person.size)).clip(0),
    )
    arms = ramp(sum(owned[2:6]), 0.5, 0.75) * ramp(apart / person.size, 0, 0.15)
    yield arms * grown(masks, [1, 3, 5, 6, 7])
    yield np.zeros((height, width))
    for number, bone in enumerate(BONES):
        along = person.at[bone.end] - person.at[bone.start]
        length = max(abs(along), 1e-3)
        place = ((x + 1j * y - person.at[bone.start]) * np.conj(along / length)).real / length
        on_limb = 1 - masks[0] - (masks[[1, 3, 7]].sum(0) if number in (1, 3) else 0)
        left = beyond_borders(person, bone, on_limb, owned[2 + number])
        if number < 4:
            left = left * grown(masks, [1, 3, 5, 6, 7])
        else:
            other_leg = owned[8] + owned[9] if number < 6 else owned[6] + owned[7]
            left = np.maximum(left, ramp(other_leg, 0.5, 0.75)) * grown(masks, [1, 7])
        if number >= 4:
            left = np.maximum(left, other_legs[number])
        past = 0.12 if number < 4 else 0.25
        other_half = ramp(place, 1, 1 + past) if number % 2 == 0 else ramp(-place, 0, past)
        left = np.maximum(left, other_half * grown(masks, [1, 3, 5, 6, 7] if number < 4 else [1, 7]))
        if number < 4:  # a hand ends the sleeve, and a bare arm has none
            hand = ramp(place, 1, 1.12) if number % 2 == 1 else 0
            bare = bareness(person, bone, masks, place)
            left = np.maximum(np.maximum(left, hand * grown(masks, [1, 3, 5])), bare * masks[[1, 3, 5]].max(0))
        yield left


def faces_away(source: Person, target: Person) -> bool:
    """Whether the face is not warped: the target has none, or one is seen from behind."""
    if not target.has[[0, 14, 15]].any():
        return True
    sides = []
    for person in (source, target):
        across = person.at[5].real - person.at[2].real
        known = person.has[list(SHOULDERS)].all() and abs(across) > 0.15 * person.size
        sides.append(np.sign(across) if known else 0)
    return bool(sides[0] * sides[1] < 0)


def in_front(target: Person, number: int, parts: list[object]) -> bool:
    """Whether a forearm or shin crosses the other one and ends lower in the picture."""
    other = {3: 5, 5: 3, 7: 9, 9: 7}[number]
    if parts[number] is None or parts[other] is None:
        return False
    one, two = (BONES[limb - 2] for limb in (number, other))
    along = np.linspace(0, 1, 9)
    points = [target.at[bone.start] + along * (target.at[bone.end] - target.at[bone.start]) for bone in (one, two)]
    if abs(points[0][:, None] - points[1][None]).min() / target.size >= 0.3:
        return False
    heights = target.at[one.end].imag, target.at[two.end].imag
    return bool(heights[0] > heights[1] if number < other else heights[0] >= heights[1])


def slow_part_warp(
    image: Array, masks: Array, source: Person, target: Person, *, hidden: bool, fill: float
) -> tuple[Array, Array, Array, Array]:
    """Return image (3, H, W), regions (8, H, W), coverage (H, W) and coordinates (2, H, W) of one person.

    Joints are completed already; ``hidden`` is :func:`faces_away` of the joints before that.
    """
    height, width = image.shape[1:]
    y, x = np.mgrid[:height, :width].astype(np.float64)
    parts = list(maps(source, target))
    in_source = [weight for weight, _ in memberships(source, height, width)]
    own = [weight if part else 0 * weight for part, weight in zip(parts, in_source, strict=True)]
    everyone = np.maximum(sum(own), 1e-30)
    known = [part is not None for part in parts[2:]]
    other_legs = {
        number: beyond_leg(source, number, known[number] and known[number ^ 2], masks) for number in range(4, 8)
    }
    left = list(behind(source, [weight / everyone for weight in own], masks, other_legs))
    nearness = [near for _, near in memberships(source, height, width)]
    left = [lost * (8 * near).clip(max=1) for near, lost in zip(nearness, left, strict=True)]
    own = [weight * (1 - lost) for weight, lost in zip(own, left, strict=True)]
    everyone = np.maximum(sum(own), 1e-30)
    own_shares = [  # no share, not even the least, of what is left behind
        weight / everyone - lost * (weight / everyone + 0.05 / 0.95) for weight, lost in zip(own, left, strict=True)
    ]
    shown_face = 1 - masks[FACE] if hidden else np.ones((height, width))
    channels = np.concatenate([image - fill, masks])
    sums, weights, total = np.zeros_like(channels), np.zeros((height, width)), np.zeros((height, width))
    mixture = np.zeros((height, width))
    nearness, best, coordinates = np.zeros((height, width)), np.zeros((height, width)), np.zeros((2, height, width))
    for number, (part, (weight, near)) in enumerate(zip(parts, memberships(target, height, width), strict=True)):
        if part is None:
            continue
        matrix, offset = part
        from_x = matrix[0, 0] * x + matrix[0, 1] * y + offset[0]
        from_y = matrix[1, 0] * x + matrix[1, 1] * y + offset[1]
        shown = channels
        if number >= 6:  # a leg ends where the other one begins
            theirs = sum(own[8:] if number < 8 else own[6:8])
            owned = sum(own_shares[8:] if number < 8 else own_shares[6:8])
            theirs_alone = (owned > 0.5) & (theirs > 0.08 * in_source[number])
            emptied = (other_legs[number - 2] > 0.9) & theirs_alone
            known_empty = (other_legs[number - 2] > 0.9) & (theirs_alone | (masks[0] > 0.5))
            shown = np.where(emptied, 0, channels)
            shown[3] += emptied
        if 2 <= number < 6:  # an arm ends where trousers, a skirt or bare legs begin that another part shows
            others = (sum(own) - own[number] > 0.08 * own[number]) & (in_source[number] > 0)
            bone = BONES[number - 2]
            along = source.at[bone.end] - source.at[bone.start]
            place = ((x + 1j * y - source.at[bone.start]) * np.conj(along)).real / max(abs(along), 1e-3) ** 2
            bare = bareness(source, bone, masks, place) * ((1 - place if number in (2, 4) else place) > 0.03)
            garments = bare * masks[[1, 3, 5]].max(0) > 0.45  # where it is bare, at all garments
            garments &= (sum(own) - own[number] > 0.08 * in_source[number].clip(max=1)) & (in_source[number] > 0)
            emptied = garments | ((masks[[1, 3, 7]].max(0) > 0.5) & others)
            shown = np.where(emptied, 0, channels)
            shown[3] += emptied
        found = sampled(shown, from_x, from_y)
        inside = found[3:].sum(0).clip(max=1)
        membership = own_shares[number]
        if number >= 6:
            membership = np.maximum(membership, 0.04 * known_empty)
        if 2 <= number < 6:
            membership = np.where(garments, 0.08, np.where(emptied, 0.04, membership))
        if number == 1:  # the head
            membership = membership * shown_face
            inside = inside * (1 - found[3 + FACE] if hidden else 1)
        # Never carried: pants, skirt and legs by head and arms, arms by the head, hair and face by limbs, arms by legs.
        foreign = [] if number == 0 else [1, 3, 6, 7] if number == 1 else [1, 2, 3, 4, 7] if number < 6 else [2, 4, 6]
        inside = inside * (1 - sum(found[3 + region] for region in foreign))
        own_share = sampled(membership[None], from_x, from_y)[0]
        share = weight * (0.95 * own_share + 0.05).clip(0) * inside
        # An arm lies in front of the torso, the background beside it does not.
        background = (0.2 if number == 1 else 0.03) / np.maximum(weight, 1)
        if number >= 2:
            background = background * (2 * own_share).clip(0.08, 1) ** 3
        visible = share * (1 - (1 - background) * found[3])
        if number in (3, 5, 7, 9) and in_front(target, number, parts):
            regions = [5, 6] if number < 6 else [1, 7]
            visible = visible * (1 + 30 * (2 * own_share - 1).clip(0, 1) * found[[3 + one for one in regions]].sum(0))
        if number == 1:  # hair and neck that the torso brings along end where the head has background
            neck = found[3] * (6 * own_share - 0.3).clip(0, 1) * (sums[3 + 2] + sums[3 + 4]) / mixture.clip(1e-25)
            sums, mixture = sums * (1 - neck), mixture * (1 - neck)
        sums += visible * found
        mixture += visible
        weights += share
        total += weight
        nearness = np.maximum(nearness, near)
        coordinates = np.where(share > best, np.stack([from_x, from_y]), coordinates)
        best = np.maximum(best, share)
    coverage = (weights / np.maximum(total, 1e-25)).clip(0, 1) * nearness
    covered = coverage > 0.02
    mixed = sums / np.maximum(mixture, 1e-25) * covered
    return mixed[:3] + fill, mixed[3:], coverage * covered, coordinates * covered
