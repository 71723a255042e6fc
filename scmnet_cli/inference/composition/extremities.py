"""Head, hands, feet and limbs of an enlarged picture: pixels and outlines of the photo instead of the network's.

On the network's canvas a hand or a shoe has a few pixels, and the network draws it as a stump with a wide, dark rim.
The part warp has the person's own hand and shoe at the photo's resolution. So near the wrists and ankles its pixels are
shown, and along the limbs its silhouette bounds the foreground mask. The head is warped as a whole; drawn anew beside
it, hair smears. So where the warp shows the face, hair, face and outline of the head are the warp's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.models.arrays import is_traced, length_of
from scmnet_cli.models.neighbourhoods import averaged, dilated, spread
from scmnet_cli.models.part_ownership import ramp
from scmnet_cli.models.part_shapes import PartShapes, pixels
from scmnet_cli.models.part_warp import PartWarp
from scmnet_cli.models.parts import FIRST_BONE, HEAD_PART, TORSO_PART

_HAIR, _FACE, _BARE_ARMS, _BARE_LEGS = 2, 4, 6, 7  # region ids
_ARMS, _FOREARMS, _THIGHS, _SHINS = slice(0, 4), slice(1, 4, 2), slice(4, 8, 2), slice(5, 8, 2)  # of the eight bones

# In torso lengths, along the bone from its end and across it:
_FADE, _ACROSS_FADE = 0.06, 0.05
_HAND, _FOOT = (-0.12, 0.5, 0.2), (-0.12, 0.8, 0.4)  # first, last and half width of the pixels that are shown
_ON_LIMB, _ON_FOREARM = (-0.42, 0, 0.35), (-0.8, -0.12, 0.35)  # whose outline is the warp's
_ON_THIGH = (-1.0, 0, 0.35)
_ON_HAND, _WHOLE_HAND = (-0.3, 0.5, 0.3), 0.005  # least area of a hand whose outline is known, in torso lengths squared
_ON_SHIN, _ON_FOOT = (-2.0, 0.06, 0.3), (-0.1, 0.5, 0.3)
_AXIS = 0.04  # half width of the bone's axis
_HEAD, _NECK, _MIDDLE = 0.5, 0.36, 0.1  # radius of the head with its hair, with the neck, and of the middle of the face
_SHOWS_FACE = 0.5  # least share of the face in the middle of a head that is shown

_SURELY_COVERED = 0.2
_SEEN = (0.02, 0.1)
"""Values of coverage between which the warp says where a person ends: a hidden hand leaves uncovered pixels."""
_WHOLE, _NEARLY_WHOLE = 0.85, 0.7
"""Least share of a bone's axis on the warped person, and that of a forearm up to shortly before the wrist: beside a
larger hole in the region map the limb's outline is unknown."""
_HAND_ALPHA, _FOOT_ALPHA, _HEAD_ALPHA = (0.02, 0.12), (0.15, 0.35), (0.05, 0.2)
"""Values of alpha between which hands, feet and heads fade in: what the network takes for background is debris."""
_BESIDE_HEAD, _BEYOND_HAND, _CELLS, _BEYOND = 140, 36, 210, 10
"""One of this many parts of the height is how far the photo's head may lie beside the network's, its hand beyond it;
rows of the grid on which feet are connected, and its cells that they may reach beyond the network's."""
_BOTH_LEGS, _CORE = ((4, 6), (5, 7)), 0.05  # thighs and shins of the eight bones; torso lengths beside a bone
_HOLE, _SLIT, _BRACELET, _HEAD_SLIT = 64, 128, 42, 300
"""Holes and notches of a limb, slits beside an arm, gaps across it, and slits of a neck that are narrower than twice
one of this many parts of the height are closed."""
_IN_THIGH, _BESIDE_THIGH = (-2.0, 0.1, 0.13), (-2.0, 0.1, 0.3)
_LEG, _INNER_LEG = (-0.85, 0.3, 0.34), (-0.85, 0.0, 0.08)
_HARDLY, _DRAWN_RIM = 0.5, 4
"""Share of a shin's axis on the warped person below which the network draws the leg, and pixels beside uncovered ones
whose regions are uncertain."""
_IN_ARM = (-0.8, 0.05, 0.07)  # torso lengths: a gap across an arm is closed there, not the one between arm and body
_AROUND_ARM, _BESIDE_ARM = (-0.8, 0.05, 0.09), (-0.8, 0.05, 0.2)
"""Where holes and notches of an arm are closed, and where closed ones are drawn."""
_ELBOW, _FROM_ELBOW = 0.3, (-0.1, -0.06)  # torso lengths: outside an elbow no more is drawn than the warp shows
_OUTSIDE_TORSO = 3.0  # how many times as steep as the torso's soft border is the mask that no arm bounds
_SPECK, _ARM_SPECK, _HEAD_SPECK, _LEGS_APART = 100, 300, 60, 220
"""A part of the outline that is thinner than twice one of this many parts of the height is no limb, arm or head, and no
gap between two legs."""
_REACH, _LEAST_REACH, _STEP = 30, 8, 400
"""A thin end may be this fraction of the height (1/30) away from a thick part, and at least 8 pixels; the mask grows by
1/400 of the height in each step."""


@dataclass(frozen=True)
class Extremities:
    """Masks of the pixels around the head and near the ends of the limbs.

    Shape:
        shown: (B, 1, H, W) in [0, 1], 1 where the warped pixels are shown; outline: (B, 1, H, W) in [0, 1], the largest
        possible alpha; holes: (B, 1, H, W) in [0, 1], 1 where the warped person has a hole that is closed; legs, inner:
        (B, 1, H, W) in [0, 1], legs whose shin the warp lacks, and their middle.
    """

    shown: Tensor
    outline: Tensor
    holes: Tensor
    legs: Tensor
    inner: Tensor

    @classmethod
    def of(cls, shapes: PartShapes, warp: PartWarp, alpha: Tensor | None) -> Extremities:
        """Compute the masks.

        Args:
            shapes: parts of the completed target pose, in pixels of the warp.
            warp: the source in this pose.
            alpha: the foreground mask of the network at the warp's size; None if it has none.

        Shape:
            alpha: (B, 1, H, W).
        """
        limbs = _Limbs.of(shapes, (warp.image.shape[2], warp.image.shape[3]))
        alpha = torch.ones_like(warp.coverage) if alpha is None else alpha.detach()
        shown = torch.zeros_like(alpha)
        for bones, region, where, sure in (
            (_FOREARMS, _BARE_ARMS, _HAND, _HAND_ALPHA),
            (_SHINS, _BARE_LEGS, _FOOT, _FOOT_ALPHA),
        ):
            bare = warp.regions[:, region : region + 1]
            whole = (_whole_hands if region == _BARE_ARMS else _whole_feet)(bare > 0.5, alpha > sure[1])
            own = _smoothed(bare) * torch.maximum(ramp(alpha, *sure), whole)
            shown = torch.maximum(shown, limbs.near(bones, where).amax(1, keepdim=True) * own)
        head, neck = _head(shapes, warp)
        own = _smoothed(warp.regions[:, _HAIR, None] + warp.regions[:, _FACE, None])
        own = own * ramp(dilated(alpha, max(alpha.shape[2] // _BESIDE_HEAD, 1)), *_HEAD_ALPHA)
        shown = torch.maximum(shown, head * own) * (warp.coverage > _SURELY_COVERED)
        person = warp.regions[:, 1:].sum(1, keepdim=True)
        slit = _closed(person, _HEAD_SLIT)
        closed, bridged = _closed(person, _HOLE), _closed(person, _BRACELET) * limbs.near(_ARMS, _IN_ARM).amax(1, True)
        share = limbs.share_on(person)
        hips, unsure, legs, inner = limbs.lacking(share[:, _SHINS] < _HARDLY, warp.coverage)
        thighs = torch.maximum(limbs.near(_THIGHS, _IN_THIGH).amax(1, True), hips)
        around = limbs.near(_ARMS, _AROUND_ARM).amax(1, True)
        whole = torch.maximum(_closed(person, _SLIT), closed * around)
        arms = torch.stack([whole, bridged, limbs.torso, thighs]).amax(0)  # an arm does not bound trunk and thighs
        apart = limbs.between & (connected(1 - slit, _LEGS_APART) > 0.5)  # a gap between two legs is no hole
        legs_closed = torch.where(apart, slit, closed)
        masks = torch.cat([arms, legs_closed, person], dim=1)
        joined = torch.cat([connected(masks[:, :1], _ARM_SPECK), connected(masks[:, 1:], _SPECK)], dim=1)
        head_closed = torch.lerp(closed, slit, neck)
        beside_head = 1 - _smoothed(head_closed) * connected(closed, _HEAD_SPECK)
        soft = _smoothed(masks)
        beside_torso, beside_closed, beside_person = torch.split(1 - soft * joined, 1, dim=1)
        beside_elbows = limbs.outside_elbows() * (1 - soft[:, 1:2])  # also of thin arms
        beside_torso = beside_torso * ramp(warp.coverage, *_SEEN) * (1 - unsure)
        seen = ramp(_closed(warp.coverage, _SLIT), *_SEEN)  # a seam of two legs is no edge
        beside_closed = beside_closed * seen * (1 - unsure)
        outline = 1 - head * beside_head
        for bones, where, least, outside in (
            (_ARMS, _ON_LIMB, _WHOLE, beside_torso), (_FOREARMS, _ON_FOREARM, _NEARLY_WHOLE, beside_torso),
            (_THIGHS, _ON_THIGH, _WHOLE, beside_closed), (_SHINS, _ON_SHIN, _WHOLE, beside_closed),
            (_SHINS, _ON_FOOT, _WHOLE, beside_person),
        ):  # fmt: skip
            limb = (limbs.near(bones, where) * (share[:, bones] > least)).amax(1, keepdim=True)
            outline = torch.minimum(outline, 1 - limb * outside)
        near = limbs.near(_FOREARMS, _ON_HAND)
        hands = (near * warp.regions[:, _BARE_ARMS, None]).sum((2, 3), keepdim=True)
        whole = (hands > _WHOLE_HAND * shapes.size.square()[:, None, None, None]) & (
            share[:, _FOREARMS] > _NEARLY_WHOLE
        )
        outline = torch.minimum(outline, 1 - (near * whole).amax(1, keepdim=True) * beside_torso)
        outline = torch.minimum(outline, 1 - beside_elbows)
        holes = (closed - person) * limbs.near(_ARMS, _BESIDE_ARM).amax(1, keepdim=True)
        return cls(shown, outline, holes, legs, inner)


@dataclass(frozen=True)
class _Limbs:
    """Coordinates of all pixels relative to the eight bones of a pose, in torso lengths.

    Shape:
        past, across: (B, 8, H, W), past the bone's end and across the bone; length: (B, 8, 1, 1); valid: (B, 8, 1, 1)
        bool; torso: (B, 1, H, W) in [0, 1], a soft mask; between: (B, 1, H, W) bool, what both legs have on their inner
        side.
    """

    past: Tensor
    across: Tensor
    length: Tensor
    valid: Tensor
    torso: Tensor
    between: Tensor

    @classmethod
    def of(cls, shapes: PartShapes, size: tuple[int, int]) -> _Limbs:
        box = (slice(0, size[0]), slice(0, size[1]))
        start = shapes.start[:, FIRST_BONE:]
        along = shapes.end[:, FIRST_BONE:] - start
        length = length_of(*along.unbind(-1)).clamp(min=1e-3)  # (B, 8)
        unit = along / length[..., None]
        unit_x, unit_y = unit[..., None, None].unbind(2)  # (B, 8, 1, 1)
        x, y = (places[:, None] for places in pixels(box, start))
        dx, dy = x - start[..., 0, None, None], y - start[..., 1, None, None]  # (B, 8, 1, W) and (B, 8, H, 1)
        torso_length = shapes.size[:, None, None, None]
        length = length[..., None, None] / torso_length
        past = (dx * unit_x + dy * unit_y).div_(torso_length).sub_(length)
        across = (dy * unit_x - dx * unit_y).div_(torso_length)
        between = _between(across, past > -length, start, unit)
        across.abs_()
        torso = (1 - _OUTSIDE_TORSO * shapes.outside(TORSO_PART, box)[:, None]).clamp(min=0)
        return cls(past, across, length, shapes.valid[:, FIRST_BONE:, None, None], torso, between)

    def near(self, bones: slice, where: tuple[float, float, float]) -> Tensor:
        """Return soft masks of the pixels along some bones, (B, n, H, W); 0 if the limb is missing."""
        first, last, half = where
        past, across = self.past[:, bones], self.across[:, bones]
        inside = ramp(past, first, first + _FADE).mul_(ramp(-past, -last, _FADE - last))
        return inside.mul_(ramp(-across, -half, _ACROSS_FADE - half)).mul_(self.valid[:, bones])

    def outside_elbows(self) -> Tensor:
        """Return a soft mask of the corners at bent elbows, past the upper arm and before the forearm, (B, 1, H, W)."""
        upper, fore = slice(0, 4, 2), slice(1, 4, 2)
        corner = ramp(self.past[:, upper], *_FROM_ELBOW)
        corner.mul_(ramp(-self.past[:, fore] - self.length[:, fore], *_FROM_ELBOW))
        corner.mul_(ramp(-self.past[:, upper], -_ELBOW, _ACROSS_FADE - _ELBOW))
        corner.mul_(ramp(-self.across[:, upper], -_ELBOW, _ACROSS_FADE - _ELBOW))
        return corner.mul_(self.valid[:, upper] & self.valid[:, fore]).amax(1, keepdim=True)

    def lacking(self, lacks: Tensor, coverage: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return where a photo that lacks a shin leaves a leg to the network.

        Args:
            lacks: whether it lacks a leg's shin.
            coverage: coverage of the warp.

        Shape:
            lacks: (B, 2, 1, 1) bool; coverage: (B, 1, H, W); results: (B, 1, H, W) in [0, 1], hips and thighs, of these
            the pixels whose regions are uncertain, whole legs, and their middle.
        """
        if not is_traced(coverage) and not lacks.any():
            return (torch.zeros_like(coverage),) * 4
        hips = (self.near(_THIGHS, _BESIDE_THIGH) * lacks).amax(1, True)
        legs, inner = (
            (torch.maximum(self.near(_THIGHS, where), self.near(_SHINS, where)) * lacks).amax(1, True)
            for where in (_LEG, _INNER_LEG)
        )
        return hips, hips * dilated((coverage <= 0).to(coverage.dtype), _DRAWN_RIM), legs, inner

    def share_on(self, person: Tensor) -> Tensor:
        """Return the share of each bone's axis that lies on a person, (B, 8, 1, 1)."""
        axis = ((self.past < 0) & (self.past > -self.length) & (self.across < _AXIS)).to(person.dtype)
        total = axis.sum((2, 3), keepdim=True)
        return (axis * person).sum((2, 3), keepdim=True) / total.clamp(min=1)


def _between(across: Tensor, beside: Tensor, start: Tensor, unit: Tensor) -> Tensor:
    """Return which pixels lie between both thighs or both shins, (B, 1, H, W).

    Above crossed shins, their lines diverge again, around arms and hips.

    Shape:
        across: (B, 8, H, W), signed; beside: (B, 8, H, W) bool, not before a bone's start; start,
        unit: (B, 8, 2), starts of the bones and their directions.
    """
    found = []
    for right, left in _BOTH_LEGS:
        inner = []
        for one, other in ((right, left), (left, right)):
            to_other = start[:, other] - start[:, one]
            side = unit[:, one, 0] * to_other[:, 1] - unit[:, one, 1] * to_other[:, 0]
            inner.append((across[:, one] * side.sign()[:, None, None] > _CORE) & beside[:, one])
        found.append(inner[0] & inner[1])
    return (found[0] | found[1])[:, None]


def _head(shapes: PartShapes, warp: PartWarp) -> tuple[Tensor, Tensor]:
    """Return soft masks of the pixels around the head and down to the neck, 0 if the warp does not show the face there.

    The head is warped as a whole, so its pixels and its outline are the photo's own.

    Shape:
        results: (B, 1, H, W).
    """
    box = (slice(0, warp.image.shape[2]), slice(0, warp.image.shape[3]))
    x, y = pixels(box, shapes.start)
    dx, dy = x - shapes.start[:, HEAD_PART, 0, None, None], y - shapes.start[:, HEAD_PART, 1, None, None]
    distance = length_of(dx, dy) / shapes.size[:, None, None]
    middle = (distance < _MIDDLE).to(distance.dtype)
    face = (middle * warp.regions[:, _FACE]).sum((1, 2)) / middle.sum((1, 2)).clamp(min=1)
    shows = shapes.valid[:, HEAD_PART] & (face > _SHOWS_FACE)
    shown = shows[:, None, None].to(distance.dtype)
    head, neck = (ramp(-distance, -radius, _FADE - radius) * shown for radius in (_HEAD, _NECK))
    return head[:, None], neck[:, None]


def _whole_hands(bare: Tensor, drawn: Tensor) -> Tensor:
    """Return where hands reach beyond the network's, which end like stumps: bare arms connected with what it drew.

    Lines of single pixels connect nothing: scraps of a torn arm hang together by them.

    Shape:
        bare, drawn: (B, 1, H, W), bool; result: likewise, 0 or 1.
    """
    core = ~dilated(~bare, 1)
    found = spread(core & drawn, core, max(bare.shape[2] // _BEYOND_HAND, 1))
    return (dilated(found, 1) & bare).to(torch.float32)


def _whole_feet(bare: Tensor, drawn: Tensor) -> Tensor:
    """Return where feet reach beyond the network's, on a coarse grid: a shoe reaches farther than fingers.

    Shape:
        bare, drawn: (B, 1, H, W), bool; result: likewise, 0 or 1.
    """
    height, width = bare.shape[2:]
    cell = max(height // _CELLS, 1)
    found, within = (F.max_pool2d(mask.to(torch.float32), cell, ceil_mode=True) > 0 for mask in (bare & drawn, bare))
    found = spread(found, within, _BEYOND)
    near = F.interpolate(found.to(torch.float32), scale_factor=float(cell), mode="nearest")[:, :, :height, :width]
    return near * bare


def _closed(person: Tensor, hole: int) -> Tensor:
    """Return a person's mask without holes narrower than twice one of ``hole`` parts of the height."""
    radius = max(person.shape[2] // hole, 1)
    return 1 - dilated(1 - dilated(person, radius), radius)


def _smoothed(masks: Tensor) -> Tensor:
    """Return masks with a soft rim of even width."""
    return ramp(averaged(masks, 2), 0.45, 0.75)


def connected(person: Tensor, thin: int) -> Tensor:
    """Return a person's masks without specks: parts that are thin and far from thick ones.

    Args:
        person: the masks.
        thin: a thin part has less than twice one of this many parts of the height.

    Shape:
        person, result: (B, K, H, W).
    """
    radius = max(person.shape[2] // thin, 1)
    mask = person > 0.5
    thick = dilated(~dilated(~mask, radius), radius + 1) & mask
    step = max(person.shape[2] // _STEP, 1)
    reach = max(person.shape[2] // _REACH, _LEAST_REACH)
    return dilated(spread(thick, mask, reach // step, step), 1).to(person.dtype)  # with the soft rim
