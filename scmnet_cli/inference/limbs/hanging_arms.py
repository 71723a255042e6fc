"""Arms that hang beside or in front of a garment, and their pixels; :mod:`behind_arms` removes them."""

from __future__ import annotations

import torch
from torch import Tensor

from scmnet_cli.models.part_ownership import Bone, bare_beside, sampled
from scmnet_cli.models.part_shapes import BONES_BEYOND, PartShapes
from scmnet_cli.models.parts import FIRST_BONE, FOREARMS, TORSO_PART
from scmnet_cli.regions import BACKGROUND, region_id

_BARE_ARMS = region_id("arms")
_NUM_ALONG, _NUM_INWARDS = 12, 6
_ALONG, _INWARDS = (0.25, 1.15), (0.1, 0.26)  # lengths of the forearm; torso lengths
_TOUCHING = 0.3  # least share of the forearm beside which the person continues
_DOWN = 0.6  # least cosine of the angle between a hanging forearm and the torso
_ON_ARM, _NEAR_ARM, _OUTSIDE = 0.6, 0.5, 0.9  # softness of a forearm; nearness of bare pixels, and of those outside it
_PAST_HAND = 0.3  # lengths of the forearm
_STRAIGHT_DOWN = 0.9  # least cosine of the angle between the torso and a forearm that is the outline of the body
_OUTWARDS, _BESIDE_OUTLINE = (0.3, 1.0), 0.16  # lengths of the forearm; torso lengths: background begins there
_MOSTLY = 0.8  # least share of its places beside which it begins


def hanging_arms(masks: Tensor, shapes: PartShapes) -> Tensor:
    """Return which forearms hang against the body, (B, 2) bool.

    Args:
        masks: region masks of the source.
        shapes: parts of the completed source.

    Shape:
        masks: (B, 8, H, W).
    """
    person = 1 - masks[:, BACKGROUND].float()
    down = _down(shapes)
    places = torch.linspace(*_ALONG, _NUM_ALONG, device=masks.device)[:, None]
    steps = torch.linspace(*_INWARDS, _NUM_INWARDS, device=masks.device)
    found = []
    for part in FOREARMS:
        bone = Bone.of(shapes, part)
        points = bone.at(places)  # (B, K, 2)
        inwards = _normal(bone.along) * (_inwards(shapes, bone) * bone.size)[:, None]
        beside = points[:, :, None] + inwards[:, None, None] * steps[:, None]  # (B, K, J, 2)
        continues = sampled(person, beside.flatten(1, 2)).view(len(masks), _NUM_ALONG, _NUM_INWARDS).amin(2) > 0.5
        touching = continues.float().mean(1) > _TOUCHING
        found.append(touching & ((bone.along * down).sum(-1) > _DOWN))
    return torch.stack(found, dim=1)


def outer_arms(masks: Tensor, shapes: PartShapes) -> Tensor:
    """Return which forearms hang down along the outline of the body, with nothing beside them, (B, 2) bool.

    Shape:
        masks: (B, 8, H, W).
    """
    person = 1 - masks[:, BACKGROUND].float()
    down = _down(shapes)
    places = torch.linspace(*_OUTWARDS, _NUM_ALONG, device=masks.device)[:, None]
    found = []
    for part in FOREARMS:
        bone = Bone.of(shapes, part)
        outwards = _normal(bone.along) * (-_BESIDE_OUTLINE * _inwards(shapes, bone) * bone.size)[:, None]
        ends = sampled(person, bone.at(places) + outwards[:, None]) < 0.5  # (B, K)
        found.append((ends.float().mean(1) > _MOSTLY) & ((bone.along * down).sum(-1) > _STRAIGHT_DOWN))
    return torch.stack(found, dim=1)


def _down(shapes: PartShapes) -> Tensor:
    """Return the direction from the neck to the hips, (B, 2), of length 1."""
    torso = shapes.end[:, TORSO_PART] - shapes.start[:, TORSO_PART]
    down: Tensor = torso / torso.norm(dim=-1, keepdim=True).clamp(min=1e-3)
    return down


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
    other = FOREARMS[1 - FOREARMS.index(part)]
    nearer = shapes.outside(part, whole) <= shapes.outside(other, whole)  # a hand that comes from the other side stays
    is_bare = (masks[:, _BARE_ARMS] > 0.5) & (near > _NEAR_ARM) & nearer
    sleeve = (shapes.outside(part, whole) < _ON_ARM) & ((bare_beside(bone, masks, u) < 0.5) | (u > 1))
    covered = (sleeve | outside & (near > _OUTSIDE)) & (u < 1 + BONES_BEYOND[part - FIRST_BONE] + _PAST_HAND)
    return (masks[:, BACKGROUND] < 0.5) & (is_bare | covered & (u > 0))
