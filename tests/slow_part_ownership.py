"""Reference implementation of what a part leaves to others, for the slow part warp."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from slow_body import (
    BONES,
    HIPS,
    NECK,
    SHOULDERS,
    Array,
    Bone,
    Person,
    at_points,
    grown,
    ramp,
    sampled,
)


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


def bareness(person: Person, bone: Bone, masks: Array, place: Array) -> Array:
    """Return how bare an arm is beside each pixel; ``place``: in lengths of the bone."""
    height, width = masks.shape[1:]
    axis = person.at[bone.start] + (person.at[bone.end] - person.at[bone.start]) * np.linspace(0, 1, 16)
    axis = axis.real.clip(0, width - 1) + 1j * axis.imag.clip(0, height - 1)
    skin = np.pad(sampled(masks[6:7], axis.real, axis.imag)[0], 1, mode="edge")
    skin = (skin[:-2] + skin[1:-1] + skin[2:]) / 3
    return ramp(np.interp(place.clip(0, 1) * 15, range(16), skin), 0.3, 0.7)


def cuff(person: Person, bone: Bone, masks: Array) -> float:
    """Return how far past the wrist a sleeve reaches out of which a hand comes, in lengths of the bone; 0 without."""
    height, width = masks.shape[1:]
    along = person.at[bone.end] - person.at[bone.start]
    aside = 1j * along / max(abs(along), 1e-3) * person.size * 0.05
    sleeve, reach, comes_out = 1.0, 0.0, 0.0
    for place in np.linspace(1, 1.35, 15):
        points = person.at[bone.start] + along * place + aside * np.array([-1, 0, 1])
        points = points.real.clip(0, width - 1) + 1j * points.imag.clip(0, height - 1)
        cloth, bare = ramp(sampled(masks[[5, 6]], points.real, points.imag), 0.3, 0.7).max(1)
        comes_out = max(comes_out, sleeve * bare) if place > 1 else 0.0
        sleeve *= cloth * (1 - bare)
        reach += sleeve * 0.35 / 14
    return comes_out * reach


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
            hand = ramp(place - cuff(person, bone, masks), 1, 1.12) if number % 2 == 1 else 0
            bare = bareness(person, bone, masks, place)
            left = np.maximum(np.maximum(left, hand * grown(masks, [1, 3, 5])), bare * masks[[1, 3, 5]].max(0))
        yield left
