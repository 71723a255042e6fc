"""Widths of limbs in a source photo, measured where one side of a limb borders on the background.

A sleeve that lies against a coat, or a foot beside the other foot, shows no border to it. Its other side often does:
then the limb is taken to be as wide on the hidden side, and what lies beyond stays behind when the limb moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.models.part_joints import FIRST_BONE, length_of
from scmnet_cli.models.part_shapes import BONE_RADII, BONES_BEYOND, Box, PartShapes, pixels

_ALONG, _OUTWARDS = 16, 20  # places along a bone; steps away from it on either side
_REACH = 0.4  # torso lengths that the steps cover
_LEAST_WIDTH = 0.5  # of a bone's typical radius
_MARGIN, _SOFTNESS = 0.15, 0.3  # of a bone's typical radius


@dataclass(frozen=True)
class LimbWidths:
    """How far each limb reaches on either side of its bone, in torso lengths, where only the other side shows it.

    Shape:
        limit: (B, 8, 2, K), for the side of positive v and that of negative v, at K places from the bone's start to its
        tip; infinite where the side shows its own border, or neither does.
    """

    limit: Tensor
    shapes: PartShapes

    @classmethod
    def of(cls, shapes: PartShapes, person: Tensor, shares: list[tuple[Box, Tensor] | None]) -> LimbWidths:
        """Measure the widths.

        Args:
            shapes: the source's parts.
            person: 1 on the person.
            shares: for each part its box and its share there of all parts' weights.

        Shape:
            person: (B, H, W); shares: (B, h, w) each.
        """
        batch = len(person)
        limits = []
        for bone, share in enumerate(shares[FIRST_BONE:]):
            if share is None:
                limits.append(person.new_full((batch, 2, _ALONG), float("inf")))
                continue
            box, values = share
            seen = torch.stack([person[(..., *box)], values], dim=1)
            limits.append(_limits(shapes, bone, box, seen))
        return cls(torch.stack(limits, dim=1), shapes)

    def beyond(self, part: int, box: Box) -> Tensor:
        """Return how surely the pixels of a box lie beyond the limb's hidden border: 0 inside, 1 beyond.

        Shape:
            result: (B, h, w).
        """
        bone = part - FIRST_BONE
        start, along, length = _axis(self.shapes, part)
        x, y = pixels(box, start)
        dx, dy = x - start[:, 0, None, None], y - start[:, 1, None, None]
        unit_x, unit_y = along.unsqueeze(-1).unsqueeze(-1).unbind(1)
        place = (dx * unit_x + dy * unit_y) / (length * (1 + BONES_BEYOND[bone]))[:, None, None]
        v = (dy * unit_x - dx * unit_y) / self.shapes.size[:, None, None]
        index = (place.clamp(0, 1) * (_ALONG - 1)).round().long().flatten(1)
        index += torch.where(v.flatten(1) > 0, 0, _ALONG)
        limit = self.limit[:, bone].flatten(1).gather(1, index).view_as(v)
        return ((v.abs() - limit) / (_SOFTNESS * BONE_RADII[bone])).clamp(0, 1)

    def past(self, part: int, box: Box) -> Tensor:
        """Return how surely the pixels of a box lie past a limb's last joint: 0 before it, 1 a quarter limb further on.

        Shape:
            result: (B, h, w).
        """
        start, along, length = _axis(self.shapes, part)
        x, y = pixels(box, start)
        unit_x, unit_y = along.unsqueeze(-1).unsqueeze(-1).unbind(1)
        u = (x - start[:, 0, None, None]) * unit_x + (y - start[:, 1, None, None]) * unit_y
        return ((u / length[:, None, None] - 1) * 4).clamp(0, 1)


def _axis(shapes: PartShapes, part: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return a bone's start (B, 2), unit vector (B, 2) and length (B,)."""
    start, bone = shapes.start[:, part], shapes.end[:, part] - shapes.start[:, part]
    length = length_of(*bone.unbind(-1)).clamp(min=1e-3)
    return start, bone / length[:, None], length


def _limits(shapes: PartShapes, bone: int, box: Box, seen: Tensor) -> Tensor:
    """Walk from a bone outwards on both sides, to the background or to what other parts own.

    Shape:
        seen: (B, 2, h, w), person and the bone's share on its box; result: (B, 2, K).
    """
    start, along, length = _axis(shapes, FIRST_BONE + bone)
    normal = torch.stack([-along[:, 1], along[:, 0]], dim=-1)
    places = torch.linspace(0, 1 + BONES_BEYOND[bone], _ALONG, device=seen.device)
    steps = torch.linspace(0, _REACH, _OUTWARDS, device=seen.device)
    centres = start[:, None] + along[:, None] * (length[:, None] * places)[..., None]  # (B, K, 2)
    away = normal[:, None] * (shapes.size[:, None] * steps)[..., None]  # (B, J, 2)
    points = torch.stack([centres[:, :, None] + away[:, None], centres[:, :, None] - away[:, None]], dim=1)
    rows, columns = box
    extent = points.new_tensor([columns.stop - columns.start, rows.stop - rows.start])
    grid = (2 * (points - points.new_tensor([columns.start, rows.start])) + 1) / extent - 1
    values = F.grid_sample(seen, grid.flatten(1, 2), mode="bilinear", padding_mode="zeros", align_corners=False)
    person, share = values.unflatten(2, (2, _ALONG)).unbind(1)  # (B, 2, K, J)
    on_person = (person > 0.5).to(seen.dtype)
    own = on_person * (share > 0.5).to(seen.dtype)
    until_background = on_person.cumprod(-1).sum(-1)
    until_others = own.cumprod(-1).sum(-1)
    shows = (until_background <= until_others) & (until_background > 0)
    width = until_background * (_REACH / (_OUTWARDS - 1))
    width = width.clamp(min=_LEAST_WIDTH * BONE_RADII[bone]) + _MARGIN * BONE_RADII[bone]
    hidden = ~shows & shows.flip(1)
    return torch.where(hidden, width.flip(1), float("inf"))
