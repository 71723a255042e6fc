"""Arms that hang beside or in front of a garment: their pixels, and what the garment looks like without them.

When such an arm moves, its hand and cuff must not stay on the coat or the trousers. What lies behind a hand is unknown:
the garment's border is taken for a straight line from where the arm leaves the body to where the garment shows again
below the hand.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from scmnet_cli.inference.cloth import continued
from scmnet_cli.models.neighbourhoods import dilated
from scmnet_cli.models.part_ownership import Bone, bare_beside, sampled
from scmnet_cli.models.part_shapes import BONES_BEYOND, PartShapes
from scmnet_cli.models.parts import FIRST_BONE, TORSO_PART
from scmnet_cli.regions import BACKGROUND, region_id

_BoolArray = npt.NDArray[np.bool_]

_FOREARMS = (3, 5)  # parts
_CLOTH = [region_id(name) for name in ("pants", "skirt", "upper", "legs")]
_BARE_ARMS, _UPPER = region_id("arms"), region_id("upper")
_NUM_ALONG, _NUM_INWARDS = 12, 6
_ALONG, _INWARDS = (0.25, 1.15), (0.1, 0.26)  # lengths of the forearm; torso lengths
_TOUCHING = 0.3  # least share of the forearm beside which the person continues
_DOWN = 0.6  # least cosine of the angle between a hanging forearm and the torso
_ON_ARM, _NEAR_ARM, _OUTSIDE = 0.6, 0.5, 0.9  # softness of a forearm; nearness of bare pixels, and of those outside it
_PAST_HAND = 0.3  # lengths of the forearm
_RIM = 0.03  # torso lengths: colours of the arm on the background beside it, see outlines.py
_ARMPIT = 0.4  # lengths of the upper arm: where the arm leaves the body


def hanging_arms(masks: Tensor, shapes: PartShapes) -> Tensor:
    """Return which forearms hang against the body, (B, 2) bool.

    Args:
        masks: region masks of the source.
        shapes: parts of the completed source.

    Shape:
        masks: (B, 8, H, W).
    """
    person = 1 - masks[:, BACKGROUND].float()
    torso = shapes.end[:, TORSO_PART] - shapes.start[:, TORSO_PART]
    down = torso / torso.norm(dim=-1, keepdim=True).clamp(min=1e-3)
    places = torch.linspace(*_ALONG, _NUM_ALONG, device=masks.device)[:, None]
    steps = torch.linspace(*_INWARDS, _NUM_INWARDS, device=masks.device)
    found = []
    for part in _FOREARMS:
        bone = Bone.of(shapes, part)
        points = bone.at(places)  # (B, K, 2)
        inwards = _normal(bone.along) * (_inwards(shapes, bone) * bone.size)[:, None]
        beside = points[:, :, None] + inwards[:, None, None] * steps[:, None]  # (B, K, J, 2)
        continues = sampled(person, beside.flatten(1, 2)).view(len(masks), _NUM_ALONG, _NUM_INWARDS).amin(2) > 0.5
        touching = continues.float().mean(1) > _TOUCHING
        found.append(touching & ((bone.along * down).sum(-1) > _DOWN))
    return torch.stack(found, dim=1)


def _inwards(shapes: PartShapes, bone: Bone) -> Tensor:
    """Return the side of a forearm on which the axis of the torso lies: 1 where v is positive, else -1, (B,)."""
    start, end = shapes.start[:, TORSO_PART], shapes.end[:, TORSO_PART]
    normal = _normal(end - start)
    middle = bone.start + bone.along * bone.length[:, None] / 2
    away = ((middle - start) * normal).sum(-1) * (_normal(bone.along) * normal).sum(-1)
    return torch.where(away > 0, -1.0, 1.0)


def _normal(along: Tensor) -> Tensor:
    return torch.stack([-along[:, 1], along[:, 0]], dim=-1)


def pixels_of_arm(masks: Tensor, shapes: PartShapes, part: int) -> Tensor:
    """Return the pixels of a hanging forearm and of all that lies outside it, (B, H, W) bool.

    Shape:
        masks: (B, 8, H, W).
    """
    whole = (slice(0, masks.shape[2]), slice(0, masks.shape[3]))
    bone = Bone.of(shapes, part)
    u, v = bone.local(whole)
    outside = v * _inwards(shapes, bone)[:, None, None] < 0
    near = shapes.near(part, whole)
    other = _FOREARMS[1 - _FOREARMS.index(part)]
    nearer = shapes.outside(part, whole) <= shapes.outside(other, whole)  # a hand that comes from the other side stays
    is_bare = (masks[:, _BARE_ARMS] > 0.5) & (near > _NEAR_ARM) & nearer
    sleeve = (shapes.outside(part, whole) < _ON_ARM) & ((bare_beside(bone, masks, u) < 0.5) | (u > 1))
    covered = (sleeve | outside & (near > _OUTSIDE)) & (u < 1 + BONES_BEYOND[part - FIRST_BONE] + _PAST_HAND)
    return (masks[:, BACKGROUND] < 0.5) & (is_bare | covered & (u > 0))


def without_arm(layers: Tensor, gap: Tensor, shapes: PartShapes, part: int, background: Tensor) -> Tensor:
    """Return a photo and its regions without a hanging arm: the garment behind it continues, the rest is background.

    Args:
        layers: image and masks.
        gap: pixels of the arm.
        shapes: parts of the completed source.
        part: the forearm.
        background: image and masks of the background.

    Shape:
        layers, background, result: (1, 3 + 8, H, W); gap: (1, 1, H, W) bool.
    """
    hole = gap[0, 0].cpu().numpy()
    if not hole.any():
        return layers
    kind = layers[0, 3:].argmax(0).to(torch.uint8).cpu().numpy()
    cloth = np.isin(kind, _CLOTH) & ~hole
    behind = _behind(cloth, hole, shapes, part)
    rim = dilated(gap, max(round(_RIM * float(shapes.size[0])), 2)) & (layers[:, 3 + BACKGROUND, None] > 0.5)
    filled = torch.where(gap | rim, background, layers)[0].permute(1, 2, 0).cpu().numpy()
    rows, columns = _span(hole, axis=1), _span(hole, axis=0)
    turned = filled[rows].swapaxes(0, 1), cloth[rows].T, behind[rows].T
    filled[rows] = continued(*turned, kind[rows].T).swapaxes(0, 1)
    below = cloth & (kind == _UPPER) & (np.arange(len(kind))[:, None] > (rows.start + rows.stop) / 2)
    coat = below[:, columns]
    hangs_over = behind[:, columns] & np.logical_or.accumulate(coat[::-1], axis=0)[::-1]
    hangs_over &= filled[:, columns, 3 + _UPPER] < 0.5
    filled[:, columns] = continued(filled[:, columns], coat, hangs_over)
    return torch.from_numpy(filled).permute(2, 0, 1)[None].to(layers.device)


def _span(hole: _BoolArray, axis: int) -> slice:
    places = np.flatnonzero(hole.any(axis))
    return slice(int(places[0]), int(places[-1]) + 1)


def _behind(cloth: _BoolArray, hole: _BoolArray, shapes: PartShapes, part: int) -> _BoolArray:
    """Return the pixels of a hole behind which the garment lies, (H, W)."""
    height, width = hole.shape
    elbow, wrist = (ends[0, part].cpu().numpy() for ends in (shapes.start, shapes.end))
    shoulder = shapes.start[0, part - 1].cpu().numpy()
    neck, hips = (ends[0, TORSO_PART].cpu().numpy() for ends in (shapes.start, shapes.end))
    middle = (elbow + wrist) / 2
    slant = (hips[0] - neck[0]) / max(hips[1] - neck[1], 1.0)
    side = 1 if middle[0] > neck[0] + (middle[1] - neck[1]) * slant else -1
    top, bottom = shoulder[1] + _ARMPIT * (elbow[1] - shoulder[1]), int(np.flatnonzero(hole.any(1))[-1])
    first = neck[0] + (top - neck[1]) * slant + side * float(shapes.half[0])
    below = np.flatnonzero(cloth[min(bottom + 1, height - 1)])
    last = first if not len(below) else below[-1] if side > 0 else below[0]
    border = np.interp(np.arange(height), [top, max(bottom, top + 1)], [first, last])
    inside = (np.arange(width) - border[:, None]) * side <= 0
    from_left, from_right = _next_to_cloth(cloth, hole), _next_to_cloth(cloth[:, ::-1], hole[:, ::-1])[:, ::-1]
    both = from_left & from_right
    behind: _BoolArray = both | inside & (from_left if side > 0 else from_right)
    return behind


def _next_to_cloth(cloth: _BoolArray, hole: _BoolArray) -> _BoolArray:
    """Return the pixels of a hole with cloth at the left end of its row."""
    columns = np.arange(hole.shape[1])
    before = np.maximum.accumulate(np.where(hole, -1, columns), axis=1)
    found: _BoolArray = hole & (before >= 0) & np.take_along_axis(cloth, before.clip(0), axis=1)
    return found
