"""What a part of the part warp leaves behind: pixels near its bone that belong to another part of the body.

A sleeve that lies against a coat, or a foot beside the other foot, shows no border to it. Its other side often does:
then the limb is taken to be as wide on the hidden side, and what lies beyond stays behind when the limb moves. A hand
leaves the garments around it behind, an upper arm the forearm, a leg the other leg, and the torso the arms beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.models.part_joints import FIRST_BONE, HEAD_PART, TORSO_PART, length_of
from scmnet_cli.models.part_shapes import BONE_RADII, BONES_BEYOND, Box, PartShapes, pixels

_ALONG, _OUTWARDS = 16, 20  # places along a bone; steps away from it on either side
_REACH = 0.4  # torso lengths that the steps cover
_LEAST_WIDTH, _MARGIN, _SOFTNESS = 0.5, 0.15, 0.3  # of a bone's typical radius
_PAST_END = 0.25  # of a bone's length: so far past a joint, pixels are surely past it
_EDGE = 200  # rows of a picture to each pixel by which regions are grown: the edge of a silhouette stays with it

_FOREARMS, _GARMENTS = (3, 5), [1, 3, 5]
_HELD = ([1, 3, 5, 7], [], *[[1, 3, 5, 6, 7]] * 4, *[[1, 7]] * 4)
"""For each part the regions that it may leave behind: a skirt or a coat hangs between both legs."""
_OTHERS: tuple[tuple[int, ...], ...] = ((2, 3, 4, 5), (), *[()] * 4, *[(8, 9)] * 2, *[(6, 7)] * 2)
"""For each part those whose pixels it leaves behind."""


def left_behind(
    weights: list[Tensor | None], boxes: list[Box | None], total: Tensor, masks: Tensor, shapes: PartShapes
) -> list[Tensor | None]:
    """Return how surely each part leaves the pixels of its box behind; None: nothing.

    Args:
        weights: each part's weight in the source, on its box.
        boxes: the boxes.
        total: the sum of all weights.
        masks: the source's region masks.
        shapes: the source's parts.

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
    """Return the columns left and right, and the rows above and below, of a box."""
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
        """Read it off the parts' shapes."""
        bone = shapes.end[:, part] - shapes.start[:, part]
        length = length_of(*bone.unbind(-1)).clamp(min=1e-3)
        return cls(shapes.start[:, part], bone / length[:, None], length, shapes.size)

    def local(self, box: Box) -> tuple[Tensor, Tensor]:
        """Return how far pixels lie along the bone, in its lengths, and across it, in torso lengths.

        Shape:
            results: (B, h, w).
        """
        x, y = pixels(box, self.start)
        dx, dy = x - self.start[:, 0, None, None], y - self.start[:, 1, None, None]
        unit_x, unit_y = self.along[..., None, None].unbind(1)
        u, v = dx * unit_x + dy * unit_y, dy * unit_x - dx * unit_y
        return u / self.length[:, None, None], v / self.size[:, None, None]

    def past(self, box: Box) -> Tensor:
        """Return how surely pixels lie past the bone's last joint, (B, h, w)."""
        return ((self.local(box)[0] - 1) / _PAST_END).clamp(0, 1)

    def before(self, box: Box) -> Tensor:
        """Return how surely pixels lie before the bone's first joint, (B, h, w)."""
        return (self.local(box)[0] / -_PAST_END).clamp(0, 1)


@dataclass(frozen=True)
class _Borders:
    """How far a limb reaches on either side of its bone, at K places from its start to its tip.

    Shape:
        width: (B, 2, K), in torso lengths, on the sides of positive and of negative v, as the other side shows it;
        hidden: (B, 2, K) in [0, 1], how surely a side hides its border while the other one shows it.
    """

    width: Tensor
    hidden: Tensor
    bone: _Bone
    number: int

    @classmethod
    def of(cls, shapes: PartShapes, part: int, person: Tensor, share: Tensor) -> _Borders:
        """Walk from the bone outwards on both sides, to the background or to what other parts own.

        Shape:
            person: (B, H, W), 1 on the person; share: (B, H, W), the limb's of all weights.
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
        on_person = on_person + (1 - inside) * (1 - on_person)  # nobody knows what lies outside the picture
        background = on_person.cumprod(-1).sum(-1)
        others = (on_person * own).cumprod(-1).sum(-1)
        shows = (1 - (background - others)).clamp(0, 1) * on_person[..., 0] * (1 - on_person.amin(-1))
        width = background * (_REACH / (_OUTWARDS - 1))
        width = width.clamp(min=_LEAST_WIDTH * BONE_RADII[number]) + _MARGIN * BONE_RADII[number]
        return cls(width.flip(1), (1 - shows) * shows.flip(1), bone, number)

    def beyond(self, box: Box) -> Tensor:
        """Return how surely the pixels of a box lie beyond a hidden border, (B, h, w): 0 inside, 1 beyond."""
        u, v = self.bone.local(box)
        place = (u / (1 + BONES_BEYOND[self.number])).clamp(0, 1) * (_ALONG - 1)
        first = place.floor().clamp(max=_ALONG - 2)
        index = first.long().flatten(1) + torch.where(v.flatten(1) > 0, 0, _ALONG)
        width, hidden = (_between(values.flatten(1), index, place - first) for values in (self.width, self.hidden))
        return ((v.abs() - width) / (_SOFTNESS * BONE_RADII[self.number])).clamp_(0, 1).mul_(hidden)


def _surely(share: Tensor) -> Tensor:
    """Return 1 from a share of 0.7 on, 0 up to 0.3."""
    return ((share - 0.3) / 0.4).clamp(0, 1)


def _between(values: Tensor, index: Tensor, share: Tensor) -> Tensor:
    """Interpolate linearly between a value and the next.

    Shape:
        values: (B, N); index: (B, h * w); share, result: (B, h, w).
    """
    one, other = values.gather(1, index), values.gather(1, index + 1)
    return torch.lerp(one, other, share.flatten(1)).view_as(share)
