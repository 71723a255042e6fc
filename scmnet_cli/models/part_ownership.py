"""Pixels near a part's bone that belong to another part of the body, and so do not move with the part.

A sleeve against a coat, or a foot beside the other foot, has no visible border there. Its other side often has one: the
limb is then assumed to be as wide on the hidden side, and pixels beyond that width stay in place when the limb moves. A
hand does not move the garments around it, an upper arm not the forearm, a leg not the other leg, and the torso not the
arms beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.models.part_joints import FIRST_BONE, HEAD_PART, TORSO_PART, length_of
from scmnet_cli.models.part_shapes import BONE_RADII, BONES_BEYOND, Box, PartShapes, pixels

_ALONG, _OUTWARDS = 16, 20  # sample positions along a bone; steps away from it on either side
_REACH = 0.4  # in torso lengths: distance that the steps cover
_LEAST_WIDTH, _MARGIN, _SOFTNESS = 0.5, 0.15, 0.3  # in radii of the bone
_PAST_END = 0.25  # in lengths of the bone: distance past a joint from which pixels certainly are past it
_EDGE = 200  # regions are dilated by 1 pixel per this many rows, so that silhouettes keep their edges

_FOREARMS, _GARMENTS = (3, 5), [1, 3, 5]
_HELD = ([1, 3, 5, 7], [], *[[1, 3, 5, 6, 7]] * 4, *[[1, 7]] * 4)
"""For each part, the regions that may stay in place; for legs neither skirt nor upper, which hang between both legs."""
_OTHERS: tuple[tuple[int, ...], ...] = ((2, 3, 4, 5), (), *[()] * 4, *[(8, 9)] * 2, *[(6, 7)] * 2)
"""For each part, the other parts whose pixels it does not move."""


def left_behind(
    weights: list[Tensor | None], boxes: list[Box | None], total: Tensor, masks: Tensor, shapes: PartShapes
) -> list[Tensor | None]:
    """Return, for each part, the degree in [0, 1] to which pixels of its box belong to other parts; None: 0 everywhere.

    Args:
        weights: weights of each part in the source, inside its box.
        boxes: bounding box of each part.
        total: sum of all weights.
        masks: region masks of the source.
        shapes: parts of the source.

    Shape:
        weights, results: (B, h, w) each; total: (B, H, W); masks: (B, 8, H, W).
    """
    shares = [
        None if box is None or weight is None else F.pad(weight / total[(..., *box)], _around(box, total))
        for box, weight in zip(boxes, weights, strict=True)
    ]
    person = 1 - masks[:, 0]
    radius = max(round(masks.shape[2] / _EDGE), 1)
    grown = F.max_pool2d(masks, 2 * radius + 1, stride=1, padding=radius)
    found: list[Tensor | None] = []
    for part, (box, share) in enumerate(zip(boxes, shares, strict=True)):
        if box is None or share is None or part == HEAD_PART:
            found.append(None)
            continue
        others = torch.zeros_like(share[(..., *box)])
        for other in _OTHERS[part]:
            if (theirs := shares[other]) is not None:
                others += theirs[(..., *box)]
        left = others.sub_(0.5).mul_(4).clamp_(0, 1)
        if part == TORSO_PART:
            left *= shapes.outside(part, box)
        else:
            left = torch.maximum(left, _Borders.of(shapes, part, person, share).beyond(box))
            bone, upper = _Bone.of(shapes, part), (part - FIRST_BONE) % 2 == 0
            left = torch.maximum(left, bone.past(box) if upper else bone.before(box))
        left *= grown[(slice(None), _HELD[part], *box)].amax(1)
        if part in _FOREARMS:
            garments = grown[(slice(None), _GARMENTS, *box)].amax(1)
            left = torch.maximum(left, garments * _Bone.of(shapes, part).past(box))
        found.append(left * (8 * shapes.near(part, box)).clamp_(max=1))
    return found


def _around(box: Box, like: Tensor) -> tuple[int, int, int, int]:
    """Return the padding that extends a box to the canvas: left, right, top, bottom."""
    height, width = like.shape[-2:]
    return box[1].start, width - box[1].stop, box[0].start, height - box[0].stop


@dataclass(frozen=True)
class _Bone:
    """The axis of a limb.

    Shape:
        start, along: (B, 2), a unit vector; length, size: (B,), in pixels.
    """

    start: Tensor
    along: Tensor
    length: Tensor
    size: Tensor

    @classmethod
    def of(cls, shapes: PartShapes, part: int) -> _Bone:
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

    def past(self, box: Box) -> Tensor:
        """Return a soft mask of the pixels past the bone's last joint, (B, h, w)."""
        return ((self.local(box)[0] - 1) / _PAST_END).clamp(0, 1)

    def before(self, box: Box) -> Tensor:
        """Return a soft mask of the pixels before the bone's first joint, (B, h, w)."""
        return (self.local(box)[0] / -_PAST_END).clamp(0, 1)


@dataclass(frozen=True)
class _Borders:
    """Width of a limb on either side of its bone, at K positions from its start to its tip.

    Shape:
        width: (B, 2, K), in torso lengths, on the sides of positive and negative v, each measured on the opposite side;
        hidden: (B, 2, K) in [0, 1], 1 where a side has no visible border and the opposite side has one.
    """

    width: Tensor
    hidden: Tensor
    bone: _Bone
    number: int

    @classmethod
    def of(cls, shapes: PartShapes, part: int, person: Tensor, share: Tensor) -> _Borders:
        """Walk outwards from the bone on both sides until the background or another part begins.

        Shape:
            person: (B, H, W), 1 on the person; share: (B, H, W), the limb's share of all weights.
        """
        bone, number = _Bone.of(shapes, part), part - FIRST_BONE
        normal = torch.stack([-bone.along[:, 1], bone.along[:, 0]], dim=-1)
        places = torch.linspace(0, 1 + BONES_BEYOND[number], _ALONG, device=person.device)
        steps = torch.linspace(0, _REACH, _OUTWARDS, device=person.device)
        centres = bone.start[:, None] + bone.along[:, None] * (bone.length[:, None] * places)[..., None]  # (B, K, 2)
        away = normal[:, None] * (bone.size[:, None] * steps)[..., None]  # (B, J, 2)
        points = torch.stack([centres[:, :, None] + away[:, None], centres[:, :, None] - away[:, None]], dim=1)
        extent = points.new_tensor([person.shape[2], person.shape[1]])
        grid = ((2 * points + 1) / extent - 1).flatten(1, 2)
        seen = torch.stack([person, share, torch.ones_like(person)], dim=1)
        values = F.grid_sample(seen, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        on_person, own, inside = _surely(values).view(len(person), 3, 2, _ALONG, _OUTWARDS).unbind(1)  # (B, 2, K, J)
        on_person = on_person + (1 - inside) * (1 - on_person)  # outside the picture nothing is known
        background = on_person.cumprod(-1).sum(-1)
        others = (on_person * own).cumprod(-1).sum(-1)
        shows = (1 - (background - others)).clamp(0, 1) * on_person[..., 0] * (1 - on_person.amin(-1))
        width = background * (_REACH / (_OUTWARDS - 1))
        width = width.clamp(min=_LEAST_WIDTH * BONE_RADII[number]) + _MARGIN * BONE_RADII[number]
        return cls(width.flip(1), (1 - shows) * shows.flip(1), bone, number)

    def beyond(self, box: Box) -> Tensor:
        """Return a soft mask of the pixels beyond a hidden border, (B, h, w): 0 inside, 1 beyond."""
        u, v = self.bone.local(box)
        place = (u / (1 + BONES_BEYOND[self.number])).clamp(0, 1) * (_ALONG - 1)
        first = place.floor().clamp(max=_ALONG - 2)
        index = first.long().flatten(1) + torch.where(v.flatten(1) > 0, 0, _ALONG)
        width, hidden = (_between(values.flatten(1), index, place - first) for values in (self.width, self.hidden))
        return ((v.abs() - width) / (_SOFTNESS * BONE_RADII[self.number])).clamp_(0, 1).mul_(hidden)


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
