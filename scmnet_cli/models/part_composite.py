"""Blend the parts of a part warp, by the equations of ``part_warp.py``: of tensors or of arrays alike.

Importing this imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Protocol

import numpy as np

from scmnet_cli.models.arrays import add_product_, as_type, clip_, constant, is_traced, namespace, norm, zeros
from scmnet_cli.models.part_shapes import Box, PartShapes
from scmnet_cli.models.part_transforms import PartTransforms
from scmnet_cli.models.parts import FIRST_BONE, HEAD_PART, THIGHS
from scmnet_cli.models.sampling import counted, sampled_at, sampling_grid

if TYPE_CHECKING:
    from torch import Tensor

NUM_SAMPLED = 12
"""Channels that a part samples: image (3), regions (8), and the degree to which a pixel belongs to the part."""

_HAIR, FACE = 2, 4  # region ids
_CROSSING_LIMBS = ((3, 5), (7, 9))  # parts: forearms and shins, right and left
_LIMB_REGIONS = {3: (5, 6), 5: (5, 6), 7: (1, 7), 9: (1, 7)}
_IN_FRONT, _CROSSING, _ALONG_LIMB = 30.0, 0.3, 9
"""Additional weight of a limb before the other one; torso lengths between limbs that cross; places to measure this."""
_LEAST_COVERAGE = 0.02
LEAST_SOURCE = 0.05
"""Weight of a source pixel that another part owns."""
FAINT = 0.08
"""Cube root of the least weight of a leg's background."""

_ON_HEAD, _ON_ARMS, _ON_LEGS = (1, 3, 6, 7), (1, 2, 3, 4, 7), (2, 4, 6)
_FOREIGN = ((), _ON_HEAD, *[_ON_ARMS] * 4, *[_ON_LEGS] * 4)
"""For each part, the regions that never move with it: pants beside a hand stay in place when the arm moves."""

_BACKGROUND_COUNTS, _AROUND_HEAD_COUNTS = 0.03, 0.2
"""Weight of a background pixel relative to a pixel of the person where parts overlap."""


class Layers(Protocol):
    """The layers of a source that are sampled."""

    @property
    def image(self) -> Tensor:
        """The source minus the value of uncovered pixels, (B, 3, H, W)."""

    @property
    def other_leg(self) -> dict[int, Tensor]:
        """For legs and forearms, where pixels belong to another limb."""

    def parts(self, hidden: Tensor) -> Iterator[Tensor]:
        """Yield the layers that each part samples, (B, 12, H, W).

        Shape:
            hidden: (B, 1, 1) in {0, 1}, 1 where the face is not warped.
        """


def composite(
    layers: Layers,
    hidden: Tensor,
    fill: float,
    transforms: PartTransforms,
    target: PartShapes,
    *,
    boxed: bool,
    parts: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sample every part and blend.

    Args:
        layers: the source.
        hidden: whether the face must not be warped.
        fill: value of uncovered pixels.
        transforms: maps of the parts from the pose to the source.
        target: shapes of the parts in the pose.
        boxed: evaluate each part only inside its bounding box.
        parts: weight of each part; None: all 1.

    Shape:
        hidden: (B,) bool; parts: (B, 10) in [0, 1]; results: image, regions, coverage and coordinates, (B, ..., H, W),
        see :class:`~scmnet_cli.models.warp_fields.WarpFields`.
    """
    image, xp = layers.image, namespace(layers.image)
    batch, (height, width) = len(hidden), image.shape[2:]
    hidden = as_type(hidden[:, None, None], image)
    sums = zeros(image, batch, NUM_SAMPLED, height, width)  # the last channel sums the weights
    total, shares, nearness, best = (zeros(image, batch, 1, height, width) for _ in range(4))
    places = zeros(image, batch, 2, height, width)
    boxes = target.boxes((height, width), boxed=boxed)
    in_front = _before_other_limb(target)
    for part, (box, source) in enumerate(zip(boxes, layers.parts(hidden), strict=True)):
        if box is None:
            continue
        weight, near = (value[:, None] for value in target.weight(part, box))
        at = at_box(box, sums)
        total[at] += weight
        xp.maximum(nearness[at], near, out=nearness[at])
        if parts is not None and not is_traced(image) and not parts[:, part].any():
            continue
        grid = sampling_grid(transforms, part, box, (height, width))
        sampled = sampled_at(source, grid)
        share = sampled[:, -1:] * (1 - LEAST_SOURCE)
        share += LEAST_SOURCE
        share = clip_(share, 0, None)
        share *= weight
        share *= clip_(sampled[:, 3:-1].sum(1)[:, None], None, 1)  # 0 outside the picture
        if part == HEAD_PART:
            share *= 1 - sampled[:, 3 + FACE, None] * hidden[:, None]
        if foreign := _FOREIGN[part]:
            share *= 1 - _of_regions(sampled, foreign)
        if parts is not None:
            share *= parts[:, part, None, None, None]
        shares[at] += share
        behind = (_AROUND_HEAD_COUNTS if part == HEAD_PART else _BACKGROUND_COUNTS) / weight.clip(1)
        if part >= FIRST_BONE:
            behind = behind * clip_(2 * sampled[:, -1:], FAINT, 1.0) ** 3
        person = 1 - sampled[:, 3:4]
        if part in THIGHS:  # past the knee a thigh shows the shin as if the knee were straight
            person *= clip_(2 * sampled[:, -1:], FAINT, 1.0) ** 3
        seen = share * (person + behind * sampled[:, 3:4])
        if part == HEAD_PART:  # the sums are the torso's so far
            sums[at] *= _no_second_neck(sums[at], sampled)
        if part in in_front and (not boxed or in_front[part].any()):
            own = clip_(2 * sampled[:, -1:] - 1, 0, 1) * _of_regions(sampled, _LIMB_REGIONS[part])
            seen = seen * (1 + _IN_FRONT * in_front[part] * own)
        add_product_(sums[at], counted(sampled), seen)
        leads = share > best[at]
        places[at] = xp.where(leads, grid, places[at])
        xp.maximum(best[at], share, out=best[at])
    coverage = clip_(shares / clip_(total, 1e-25, None), 0, 1)
    coverage *= nearness
    covered = as_type(coverage > _LEAST_COVERAGE, coverage)
    mixed = sums[:, :-1] * (covered / sums[:, -1:].clip(1e-25))
    extent = constant([width, height], places)[:, None, None]
    coordinates = ((places + 1) * extent - 1) * (covered / 2)
    return mixed[:, :3] + fill, mixed[:, 3:], coverage * covered, coordinates


def _no_second_neck(torso: Tensor, head: Tensor) -> Tensor:
    """Return the share of the torso's sums that stays, (B, 1, h, w): hair and neck end where the head has background.

    A head that leans shows its own neck; the one that the torso brings along stuck out beside it.

    Shape:
        torso: (B, 12, h, w), the sums of the torso; head: likewise, the samples of the head.
    """
    beside = head[:, 3:4] * clip_(6 * head[:, -1:] - 0.3, 0, 1)
    return 1 - beside * _of_regions(torso, (_HAIR, FACE)) / torso[:, -1:].clip(1e-25)


def _of_regions(sampled: Tensor, regions: Sequence[int]) -> Tensor:
    """Return the sum of sampled shares of some regions, (B, 1, h, w)."""
    channels = [3 + region for region in regions]
    if isinstance(sampled, np.ndarray):
        shares: Tensor = sampled[:, channels].sum(1)[:, None]
        return shares
    import torch

    return sampled.index_select(1, torch.tensor(channels, device=sampled.device)).sum(1, keepdim=True)


def with_background(layers: Tensor, share: Tensor) -> Tensor:
    """Return image and masks with background in place of a share of each pixel, (B, 11, h, w) and (B, h, w)."""
    layers = layers * (1 - share[:, None])
    parts = [layers[:, :3], layers[:, 3:4] + share[:, None], layers[:, 4:]]
    joined: Tensor = namespace(layers).concatenate(parts, 1)
    return joined


def _before_other_limb(target: PartShapes) -> dict[int, Tensor]:
    """Return, for forearms and shins, whether each lies before the other one, (B, 1, 1, 1) in {0, 1}: where both cross.

    In front is the limb whose end is lower in the picture.
    """
    xp = namespace(target.size)
    shares = constant([place / (_ALONG_LIMB - 1) for place in range(_ALONG_LIMB)], target.size)[:, None]
    found = {}
    for right, left in _CROSSING_LIMBS:
        one, other = (
            target.start[:, limb, None] + (target.end - target.start)[:, limb, None] * shares for limb in (right, left)
        )
        nearest = xp.amin(norm(one[:, :, None] - other[:, None]).reshape(len(one), -1), 1) / target.size
        crossing = target.valid[:, right] & target.valid[:, left] & (nearest < _CROSSING)
        right_is_lower = target.end[:, right, 1] > target.end[:, left, 1]
        for limb, before in ((right, right_is_lower), (left, ~right_is_lower)):
            found[limb] = as_type(crossing & before, nearest)[:, None, None, None]
    return found


def at_box(box: Box, like: Tensor) -> tuple[EllipsisType | slice, ...]:
    """Return the index of a box; of the whole canvas none, since a graph copies what is written into a slice."""
    return (...,) if box == (slice(0, like.shape[-2]), slice(0, like.shape[-1])) else (..., *box)
