"""Reference implementation of the part warp: one person, one part and one pose at a time, in float64.

It is the oracle of test_part_warp.py. It shares no code with the package and holds its own copy of every constant, so a
constant that changes there without being meant to shows here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from slow_body import (
    BONES,
    FACE,
    HEAD,
    HIPS,
    NECK,
    SHOULDERS,
    TORSO,
    Array,
    Person,
    sampled,
)
from slow_part_ownership import bareness, behind, beyond_leg


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
        person = 1 - found[3]
        if number in (6, 8):  # past the knee a thigh shows a straight leg
            person = person * (2 * own_share).clip(0.08, 1) ** 3
        visible = share * (person + background * found[3])
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
