"""Pixels near a part's bone that belong to another part of the body, and so do not move with the part.

A sleeve against a coat, or a foot beside the other foot, has no visible border there. Its other side often has one: the
limb is then assumed to be as wide on the hidden side, and pixels beyond that width stay in place when the limb moves. A
hand or a bare forearm does not move the garments beside it, an upper arm not the forearm, and the torso not the arms
beside it. A leg ends where background shows between it and the other leg; where the two touch, the border divides them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.models.arrays import length_of
from scmnet_cli.models.neighbourhoods import dilated
from scmnet_cli.models.part_shapes import BONE_RADII, BONES_BEYOND, Box, PartShapes, pixels
from scmnet_cli.models.parts import FIRST_BONE, HEAD_PART, TORSO_PART

_NUM_ALONG, _OUTWARDS = 16, 20  # sample positions along a bone; steps away from it on either side
_REACH = 0.4  # in torso lengths: distance that the steps cover
_LEAST_WIDTH, _MARGIN, _SOFTNESS = 0.5, 0.15, 0.3  # in radii of the bone
_PAST_END, _PAST_KNEE = 0.12, 0.25  # in lengths of the bone: distance from which pixels are past an elbow or a knee
_LEGS_APART = (0.03, 0.08)  # in torso lengths: distances between the bones of both legs from which they are separable
_BETWEEN = 24  # steps from a leg to the other one, and outwards from each
_TOUCHING, _LOWER_THIGH = ((0.65, 0.8), (1.2, 1.35)), (0.3, 0.6)
"""Two legs touch if their outer widths are together between these shares of their distance; places on the thigh from
which on this is seen."""
_LEG_EDGE = 0.012  # in torso lengths, or half a pixel: softness of the border between two legs
_SURELY = 0.9  # degree to which pixels belong to the other leg, from which on the leg ends there
_ANKLE, _SHOE = (0.6, 0.7), (0.7, 0.9)
"""Lengths of the shin: from where on a gap between two legs is one between the feet, and where a shoe begins."""
_EDGE = 200  # regions are dilated by 1 pixel per this many rows, so that silhouettes keep their edges

_HELD = ((1, 3, 5, 6, 7), (1, 7), (1, 3, 5))
"""Regions that may stay in place: for torso and arms, for legs (not skirt and upper, which hang between), for hands."""
_KIND = (0, 0, *[0] * 4, *[1] * 4)
"""For each part, the index of its entry in ``_HELD``."""
_UPPER, _FOREARMS, _ARM_PARTS, _GARMENTS = (2, 4, 6, 8), (3, 5), (2, 3, 4, 5), 2
_OTHERS: tuple[tuple[int, ...], ...] = ((2, 3, 4, 5), (), *[()] * 4, *[(8, 9)] * 2, *[(6, 7)] * 2)
"""For each part, the other parts whose pixels it does not move."""
_UPPER_BODY, _ARMS, _BARE_LEGS = 5, 6, 7  # region ids
_CUFF, _CUFF_STEPS, _BESIDE_WRIST = 0.35, 14, 0.05
"""Lengths of the forearm past the wrist that a cuff may reach, steps on the way, and torso lengths beside the axis."""
BESIDE_FOREARM = [1, 3, 7]
"""Regions at which a forearm ends as at the background: trousers, skirts and bare legs."""
_ENOUGH, _ALIKE = (3.0, 5.0), 1.25
"""Number of places at which a side of a limb is seen, so that it is known; where it is hidden it is at most this factor
wider."""
LEGS = ((6, 7), (8, 9))
"""Thigh and shin of the right and of the left leg."""
_THIGHS, _FEET, _OTHER_LEG = (6, 8), (7, 9), {6: 8, 7: 9, 8: 6, 9: 7}


def left_behind(
    weights: list[tuple[Tensor, Tensor] | None],
    boxes: list[Box | None],
    total: Tensor,
    masks: Tensor,
    shapes: PartShapes,
) -> tuple[list[Tensor | None], dict[int, Tensor]]:
    """Return, for each part, the degree in [0, 1] to which pixels of its box belong to other parts; None: 0 everywhere.

    Also returns, for each part of a leg, 1 where pixels surely belong to the other leg: there the leg has an edge.

    Args:
        weights: weights of each part in the source, inside its box, and its nearness there.
        boxes: bounding box of each part.
        total: sum of all weights.
        masks: region masks of the source.
        shapes: parts of the source.

    Shape:
        weights, results: (B, h, w) each; total: (B, H, W); masks: (B, 8, H, W).
    """
    shares = [
        None if box is None or weight is None else F.pad(weight[0] / total[(..., *box)], _around(box, total))
        for box, weight in zip(boxes, weights, strict=True)
    ]
    person = 1 - masks[:, 0]
    on_arm = person - masks[:, BESIDE_FOREARM].sum(1)
    ids = [torch.tensor(regions, device=masks.device) for regions in _HELD]
    held = torch.stack([masks.index_select(1, regions).amax(1) for regions in ids], dim=1)
    held = dilated(held, max(round(masks.shape[2] / _EDGE), 1))
    garments = garments_of(masks)
    legs = _Legs(shapes, person, held[:, _KIND[_THIGHS[0]]], masks[:, _BARE_LEGS])
    found: list[Tensor | None] = []
    of_other_leg: dict[int, Tensor] = {}
    for part, (box, share, weight) in enumerate(zip(boxes, shares, weights, strict=True)):
        if box is None or share is None or weight is None or part == HEAD_PART:
            found.append(None)
            continue
        others = torch.zeros_like(share[(..., *box)])
        for other in _OTHERS[part]:
            if (theirs := shares[other]) is not None:
                others += theirs[(..., *box)]
        left = others.sub_(0.5).mul_(4).clamp_(0, 1)
        kept = held[(slice(None), _KIND[part], *box)]
        if part == TORSO_PART:
            left = left.mul_(shapes.outside(part, box)).mul_(kept)
        else:
            bone = Bone.of(shapes, part)
            u, v = bone.local(box)
            distance = _PAST_END if part in _ARM_PARTS else _PAST_KNEE
            past = ((u - 1) / distance).clamp_(0, 1)
            shown = on_arm if part in _FOREARMS else person
            left = torch.maximum(left, _Borders.of(bone, part - FIRST_BONE, shown, share).beyond(u, v))
            if part in _OTHER_LEG:
                beyond = legs.beyond(part, bone, u, v).mul_(kept)
                of_other_leg[part] = (beyond > _SURELY).to(beyond.dtype)
                left = torch.maximum(left, beyond)
            left = torch.maximum(left, past if part in _UPPER else (u / -distance).clamp_(0, 1)).mul_(kept)
            if part in _ARM_PARTS:
                beside = bare_beside(bone, masks, u).mul_(garments[(slice(None), *box)])
                if part in _FOREARMS:
                    past = ((u - 1 - _cuff(bone, masks)) / distance).clamp_(0, 1)
                    beside = torch.maximum(beside, past.mul_(held[(slice(None), _GARMENTS, *box)]))
                left = torch.maximum(left, beside)
        found.append(left.mul_((8 * weight[1]).clamp_(max=1)))
    return found, of_other_leg


def garments_of(masks: Tensor) -> Tensor:
    """Return where garments are, (B, H, W)."""
    return masks.index_select(1, torch.tensor(_HELD[_GARMENTS], device=masks.device)).amax(1)


def _around(box: Box, like: Tensor) -> tuple[int, int, int, int]:
    """Return the padding that extends a box to the canvas: left, right, top, bottom."""
    height, width = like.shape[-2:]
    return box[1].start, width - box[1].stop, box[0].start, height - box[0].stop


def bare_beside(bone: Bone, masks: Tensor, u: Tensor) -> Tensor:
    """Return how bare a forearm is at the height of each pixel, (B, h, w), from 0 to 1."""
    places = torch.linspace(0, 1, _NUM_ALONG, device=u.device)[:, None]
    bare = sampled(masks[:, _ARMS], bone.at(places))
    bare = F.avg_pool1d(F.pad(bare[:, None], (1, 1), mode="replicate"), 3, stride=1)[:, 0]
    return _surely(_along(bare, u))


def _cuff(bone: Bone, masks: Tensor) -> Tensor:
    """Return how far past the wrist a sleeve reaches where a hand comes out of it, in lengths of the bone, (B, 1, 1).

    Else a garment past the wrist is what lies behind a hand.
    """
    places = torch.linspace(1, 1 + _CUFF, _CUFF_STEPS + 1, device=masks.device)[:, None]
    normal = torch.stack([-bone.along[:, 1], bone.along[:, 0]], dim=-1) * (_BESIDE_WRIST * bone.size)[:, None]
    points = torch.cat([bone.at(places) + side * normal[:, None] for side in (-1, 0, 1)], dim=1)
    cloth, bare = (
        _surely(sampled(masks[:, region], points)).view(len(masks), 3, -1).amax(1) for region in (_UPPER_BODY, _ARMS)
    )
    sleeve = running_products(cloth * (1 - bare))
    comes_out = (sleeve[:, :-1] * bare[:, 1:]).amax(1, keepdim=True)
    return (comes_out * sleeve.sum(1, keepdim=True) * (_CUFF / _CUFF_STEPS))[..., None]


@dataclass(frozen=True)
class Bone:
    """The axis of a limb.

    Shape:
        start, along: (B, 2), a unit vector; length, size: (B,), in pixels.
    """

    start: Tensor
    along: Tensor
    length: Tensor
    size: Tensor

    @classmethod
    def of(cls, shapes: PartShapes, part: int) -> Bone:
        """Create it from the parts' shapes."""
        bone = shapes.end[:, part] - shapes.start[:, part]
        length = length_of(*bone.unbind(-1)).clamp(min=1e-3)
        return cls(shapes.start[:, part], bone / length[:, None], length, shapes.size)

    def local(self, box: Box) -> tuple[Tensor, Tensor]:
        """Return pixel coordinates along the bone, in lengths of it, and across it, in torso lengths.

        Shape:
            results: (B, h, w).
        """
        x, y = pixels(box, self.start)
        dx, dy = x - self.start[:, 0, None, None], y - self.start[:, 1, None, None]
        unit_x, unit_y = self.along[..., None, None].unbind(1)
        u, v = dx * unit_x + dy * unit_y, dy * unit_x - dx * unit_y
        return u / self.length[:, None, None], v / self.size[:, None, None]

    def at(self, places: Tensor) -> Tensor:
        """Return the points at K places along the bone, in lengths of it, (K, 1) to (B, K, 2)."""
        return self.start[:, None] + self.along[:, None] * (self.length[:, None, None] * places)


@dataclass(frozen=True)
class _Legs:
    """The border between the two legs.

    Where background shows between them, a leg ends at it. Where they touch, each is as wide towards the other leg as
    outwards. Two feet point the same way, or are mirrored and alike: each is as wide towards the other one as that one
    is outwards.

    Shape:
        person, limbs, shoes: (B, H, W), 1 on the person; on trousers, bare legs and shoes; on the last two.
    """

    shapes: PartShapes
    person: Tensor
    limbs: Tensor
    shoes: Tensor

    def beyond(self, part: int, bone: Bone, u: Tensor, v: Tensor) -> Tensor:
        """Return a soft mask of the pixels beyond the border between a bone's leg and the other one.

        Shape:
            u, v: (B, h, w), coordinates of :meth:`Bone.local`; result: likewise.
        """
        distance, border, known = self._border(part, bone, Bone.of(self.shapes, _OTHER_LEG[part]))
        index, share = _places(u / (1 + BONES_BEYOND[part - FIRST_BONE]))
        side, border, known = (_between(values, index, share) for values in (distance.sign(), border, known))
        half = 0.5 / bone.size[:, None, None]  # a pixel
        past = v.mul(side).sub_(border).sub_(half).div_(half.clamp(min=_LEG_EDGE))
        return past.clamp_(0, 1).mul_(known)

    def _border(self, part: int, own: Bone, other: Bone) -> tuple[Tensor, Tensor, Tensor]:
        """Return where the other bone is, where the border to it is, and whether there is one, at K places of a bone.

        Shape:
            results: (B, K); distances in torso lengths, that of the other bone is signed as v is; the last in [0, 1].
        """
        valid = self.shapes.valid[:, part] & self.shapes.valid[:, _OTHER_LEG[part]]
        places = torch.linspace(0, 1 + BONES_BEYOND[part - FIRST_BONE], _NUM_ALONG, device=self.person.device)
        start, end = own.at(places[:, None]), other.at(places[:, None])  # (B, K, 2)
        normal = torch.stack([-own.along[:, 1], own.along[:, 0]], dim=-1)[:, None]
        distance = ((end - start) * normal).sum(-1) / own.size[:, None]
        apart = distance.abs().clamp(min=1e-3)
        steps = torch.linspace(0, 1, _BETWEEN, device=self.person.device)[:, None]
        between = start[:, :, None] + (end - start)[:, :, None] * steps  # (B, K, J, 2)
        outwards = (normal * (distance.sign() * _REACH * own.size[:, None])[..., None])[:, :, None] * steps
        points = torch.stack([between, start[:, :, None] - outwards, end[:, :, None] + outwards], dim=1)
        on_person = _surely(sampled(self.person, points.flatten(1, 3))).view(points.shape[:-1])
        reached = running_products(on_person)  # (B, 3, K, J)
        inner, outer, others = ((reached.sum(-1) - 0.5).clamp(min=0) / (_BETWEEN - 1)).unbind(1)
        gap = 1 - on_person[:, 0].amin(-1)
        both = ((outer + others) * _REACH / apart).clamp(min=1e-3)
        fits = ramp(both, *_TOUCHING[0]) * (1 - ramp(both, *_TOUCHING[1]))
        on_leg = sampled(self.limbs, start)
        on_legs = on_leg * sampled(self.limbs, end)
        touching = fits * on_legs * (1 - reached[:, 1:, :, -1]).amin(1) * (1 - gap)
        if part in _FEET:
            foot = ramp(places, *_SHOE) * sampled(self.shoes, start)
        else:
            foot, touching = torch.zeros_like(touching), touching * ramp(places, *_LOWER_THIGH)
        share = outer / (outer + others).clamp(min=1e-3)
        theirs = ((running_products(on_person[:, 0].flip(-1)).sum(-1) - 0.5).clamp(min=0)) / (_BETWEEN - 1)
        in_gap, of_foot = (inner + 1 - theirs) / 2 * apart, (1 - share) * apart
        shift = _at_last(gap * ramp(places, *_ANKLE), in_gap - of_foot)
        of_foot = torch.lerp((of_foot + shift).clamp(min=0), in_gap, gap)
        border = torch.lerp(torch.lerp(share, inner, gap) * apart, of_foot, foot)
        known = (
            torch.lerp(torch.maximum(gap * on_leg, touching), on_legs, foot)
            * ramp(apart, *_LEGS_APART)
            * valid[:, None]
        )
        near = _window_sums(known).clamp(min=1e-3)
        return distance, _window_sums(known * border) / near, F.max_pool1d(known[:, None], 3, 1, 1)[:, 0]


def _at_last(there: Tensor, values: Tensor) -> Tensor:
    """Return the value at the last place that is there, (B, 1); 0 if none is.

    Shape:
        there: (B, K) in [0, 1]; values: (B, K).
    """
    after = running_products(1 - there.flip(1)).flip(1)  # of each place and those after it
    later = F.pad(after[:, 1:], (0, 1), value=1.0)
    return (there * later * values).sum(1, keepdim=True)


def _window_sums(values: Tensor) -> Tensor:
    """Return the sums of each value and its neighbours, (B, K)."""
    return F.avg_pool1d(values[:, None], 3, stride=1, padding=1)[:, 0] * 3


@dataclass(frozen=True)
class _Borders:
    """Width of a limb on either side of its bone, at K positions from its start to its tip.

    Shape:
        width: (B, 2, K), in torso lengths, on the sides of positive and negative v, each measured on the opposite side;
        hidden: (B, 2, K) in [0, 1], 1 where a side has no visible border and the opposite side has one.
    """

    width: Tensor
    hidden: Tensor
    number: int

    @classmethod
    def of(cls, bone: Bone, number: int, person: Tensor, share: Tensor) -> _Borders:
        """Walk outwards from the bone of this number on both sides until the background or another part begins.

        Shape:
            person: (B, H, W), 1 on the person; share: (B, H, W), the limb's share of all weights.
        """
        normal = torch.stack([-bone.along[:, 1], bone.along[:, 0]], dim=-1)
        places = torch.linspace(0, 1 + BONES_BEYOND[number], _NUM_ALONG, device=person.device)
        steps = torch.linspace(0, _REACH, _OUTWARDS, device=person.device)
        centres = bone.at(places[:, None])  # (B, K, 2)
        away = normal[:, None] * (bone.size[:, None] * steps)[..., None]  # (B, J, 2)
        points = torch.stack([centres[:, :, None] + away[:, None], centres[:, :, None] - away[:, None]], dim=1)
        extent = points.new_tensor([person.shape[2], person.shape[1]])
        grid = ((2 * points + 1) / extent - 1).flatten(1, 2)
        seen = torch.stack([person, share, torch.ones_like(person)], dim=1)
        values = F.grid_sample(seen, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        on_person, own, inside = (
            _surely(values).view(len(person), 3, 2, _NUM_ALONG, _OUTWARDS).unbind(1)
        )  # (B, 2, K, J)
        on_person = on_person + (1 - inside) * (1 - on_person)  # outside the picture nothing is known
        background = running_products(on_person).sum(-1)
        others = running_products(on_person * own).sum(-1)
        shows = (1 - (background - others)).clamp(0, 1) * on_person[..., 0] * (1 - on_person.amin(-1))
        width = background * (_REACH / (_OUTWARDS - 1))
        there = shows.sum(-1, keepdim=True)
        elsewhere = (shows * width).sum(-1, keepdim=True) / there.clamp(min=1e-3) * _ALIKE
        known = ramp(there, *_ENOUGH)
        least = _LEAST_WIDTH * BONE_RADII[number]
        opposite = width.flip(1).clamp(min=least)
        opposite = torch.lerp(opposite, torch.minimum(opposite, elsewhere), known) + _MARGIN * BONE_RADII[number]
        return cls(opposite, (1 - shows) * shows.flip(1), number)

    def beyond(self, u: Tensor, v: Tensor) -> Tensor:
        """Return a soft mask of the pixels beyond a hidden border: 0 inside, 1 beyond.

        Shape:
            u, v: (B, h, w), coordinates of :meth:`Bone.local`; result: likewise.
        """
        place = (u / (1 + BONES_BEYOND[self.number])).clamp(0, 1) * (_NUM_ALONG - 1)
        first = place.floor().clamp(max=_NUM_ALONG - 2)
        index = first.long().flatten(1) + torch.where(v.flatten(1) > 0, 0, _NUM_ALONG)
        width, hidden = (_between(values.flatten(1), index, place - first) for values in (self.width, self.hidden))
        return ((v.abs() - width) / (_SOFTNESS * BONE_RADII[self.number])).clamp_(0, 1).mul_(hidden)


def sampled(values: Tensor, points: Tensor) -> Tensor:
    """Return the values of maps at points, (B, H, W) and (B, K, 2) to (B, K)."""
    extent = points.new_tensor([values.shape[2], values.shape[1]])
    grid = ((2 * points + 1) / extent - 1)[:, None]
    found = F.grid_sample(values[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)
    return found.flatten(1)


def _along(values: Tensor, u: Tensor) -> Tensor:
    """Interpolate values at K places from 0 to 1 along a bone at coordinates u, (B, K) and (B, h, w) to (B, h, w)."""
    return _between(values, *_places(u))


def _places(u: Tensor) -> tuple[Tensor, Tensor]:
    """Return which of K places coordinates along a bone follow, (B, h * w), and their share of the step, (B, h, w)."""
    place = u.clamp(0, 1) * (_NUM_ALONG - 1)
    first = place.floor().clamp(max=_NUM_ALONG - 2)
    return first.long().flatten(1), place - first


def running_products(values: Tensor) -> Tensor:
    """Return the products of each value and those before it in the last dimension; ONNX has no ``cumprod``."""
    if torch.compiler.is_compiling():
        before = torch.ones(values.shape[-1], values.shape[-1], dtype=torch.bool, device=values.device).tril()
        return torch.where(before, values[..., None, :], 1.0).prod(-1)
    return values.cumprod(-1)


def ramp(values: Tensor, start: float, end: float) -> Tensor:
    """Return 0 up to ``start``, 1 from ``end`` on, and a straight line between them."""
    return ((values - start) / (end - start)).clamp_(0, 1)


def _surely(share: Tensor) -> Tensor:
    """Rescale a share from [0.3, 0.7] to [0, 1], clamped."""
    return ((share - 0.3) / 0.4).clamp(0, 1)


def _between(values: Tensor, index: Tensor, share: Tensor) -> Tensor:
    """Interpolate linearly between a value and the next.

    Shape:
        values: (B, N); index: (B, h * w); share, result: (B, h, w).
    """
    one, other = values.gather(1, index), values.gather(1, index + 1)
    return torch.lerp(one, other, share.flatten(1)).view_as(share)
