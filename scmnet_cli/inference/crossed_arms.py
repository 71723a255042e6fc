"""Part warp of photos in which a forearm lies across the body: it moves away and leaves the garment behind it.

The part warp moves the pixels of the torso with the torso, and a hand in front of it is among them: the hand would show
twice. So where a forearm lies across the torso and the pose moves it away, the torso comes from a copy of the photo in
which the garment continues over the forearm.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scmnet_cli.inference.filling import continued
from scmnet_cli.models.neighbourhoods import dilated
from scmnet_cli.models.part_joints import LIMBS, PARTS, TORSO_PART, body_size, complete_joints
from scmnet_cli.models.part_shapes import PartShapes
from scmnet_cli.models.part_transforms import part_transforms
from scmnet_cli.models.part_warp import PLAIN_BACKGROUND, PartWarp, warp_parts
from scmnet_cli.models.warp_mixing import mixed
from scmnet_cli.regions import BACKGROUND, region_id

_FOREARMS = ((3, *LIMBS[0]), (5, *LIMBS[1]))  # part, shoulder, elbow, wrist
_UPPER_ARMS = (2, 4)  # parts
_HAIR, _SKIRT, _FACE, _UPPER, _BARE_ARMS = (region_id(name) for name in ("hair", "skirt", "face", "upper", "arms"))
_MOVED = 0.3  # torso lengths: a wrist that moves less on the torso stays where it is
_ON_ARM, _NEAR_ARM, _ON_TORSO = 0.6, 0.5, 1.0  # softness of a forearm, nearness of a bare hand, softness of the torso
_LEAST = 0.02  # of the torso length squared: smaller overlaps are ignored
_ABOVE_HIPS, _BESIDE_TORSO = 0.95, 0.1  # shares of the torso's length, torso lengths
_RIM = 0.02  # torso lengths
_REACH = 0.55  # torso lengths that a forearm is placed away from the elbow where it does not hide the torso


def warp_person(
    image: Tensor, masks: Tensor, source: Tensor, target: Tensor, fill: float = PLAIN_BACKGROUND
) -> PartWarp:
    """Warp a source into a target pose; forearms that the pose takes off the torso do not stay there.

    Arguments, shapes and result are those of :func:`scmnet_cli.models.part_warp.warp_parts`.
    """
    whole = warp_parts(image, masks, source, target, fill)
    with torch.no_grad():
        hidden = forearms_to_remove(masks, source, target)
        if not hidden.any():
            return whole
        rows = [whole.row(row) for row in range(len(image))]
        for row in hidden.amax((1, 2, 3)).nonzero().flatten().tolist():
            part = slice(row, row + 1)
            args = image[part].float(), masks[part].float(), source[part], target[part]
            rows[row] = _without_forearms(*args, hidden[part], fill, rows[row])
        return PartWarp.joined(rows)


def forearms_to_remove(masks: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Return the pixels of the forearms that lie on the torso in the source and elsewhere in the target.

    Shape:
        masks: (B, 8, H, W); source, target: (B, 18, 3); result: (B, 1, H, W) in {0, 1}.
    """
    masks = masks.float()
    completed, posed = complete_joints(torch.cat([source, target]).float()).chunk(2)
    shapes = PartShapes.of(completed)
    whole = (slice(0, masks.shape[2]), slice(0, masks.shape[3]))
    size = body_size(completed)
    torso = part_transforms(completed, posed)
    back = posed[..., :2] @ torso.matrix[:, TORSO_PART].transpose(1, 2) + torso.offset[:, TORSO_PART, None]
    on_torso = shapes.outside(TORSO_PART, whole) < _ON_TORSO
    person = masks[:, BACKGROUND] < 0.5
    found = torch.zeros_like(person)
    for part, _, elbow, wrist in _FOREARMS:
        moved = (back[:, wrist] - completed[:, wrist, :2]).norm(dim=-1) > _MOVED * size
        known = (source[:, [elbow, wrist], 2] > 0).all(1) & (target[:, [elbow, wrist], 2] > 0).all(1)
        sleeve = shapes.outside(part, whole) < _ON_ARM
        bare = (masks[:, _BARE_ARMS] > 0.5) & (shapes.near(part, whole) > _NEAR_ARM)
        hidden = person & on_torso & (sleeve | bare)
        large = hidden.sum((1, 2)) > _LEAST * size.square()
        across = _lies_across(shapes, completed[:, wrist, :2])
        found |= hidden & (moved & known & large & across)[:, None, None]
    return found[:, None].to(masks.dtype)


def _lies_across(shapes: PartShapes, wrist: Tensor) -> Tensor:
    """Return whether a wrist lies on the torso and above the hips, where a hanging arm does not reach, (B,)."""
    start = shapes.start[:, TORSO_PART]
    along, place = shapes.end[:, TORSO_PART] - start, wrist - start
    length = along.norm(dim=-1).clamp(min=1e-3)
    down = (place * along).sum(-1) / length.square()
    across = (place[:, 1] * along[:, 0] - place[:, 0] * along[:, 1]).abs() / length
    lies: Tensor = (down > 0) & (down < _ABOVE_HIPS) & (across < shapes.half + _BESIDE_TORSO * shapes.size)
    return lies


def _without_forearms(
    image: Tensor, masks: Tensor, source: Tensor, target: Tensor, hidden: Tensor, fill: float, whole: PartWarp
) -> PartWarp:
    """Warp one source; its torso comes from the photo without the hidden pixels, (1, 1, H, W)."""
    size = float(body_size(source.float())[0])
    gap = dilated(hidden, max(round(_RIM * size), 1))
    gap = gap * (1 - masks[:, [BACKGROUND, _HAIR, _FACE]].sum(1, keepdim=True))
    cloth = (1 - gap) * masks[:, [_UPPER, _SKIRT]].sum(1, keepdim=True)
    background = torch.cat([torch.full_like(image, fill), torch.zeros_like(masks)], dim=1)
    background[:, 3 + BACKGROUND] = 1
    layers = torch.where(gap > 0.5, background, torch.cat([image, masks], dim=1))
    layers = _filled(layers, cloth > 0.5, gap > 0.5)
    aside = _arms_aside(source, size)
    parts = torch.zeros(1, len(PARTS), device=image.device)
    parts[:, [TORSO_PART, *_sleeves(masks, gap, source)]] = 1
    below = warp_parts(layers[:, :3], layers[:, 3:], aside, target, fill, parts=parts)
    above = warp_parts(image, masks, source, target, fill, parts=1 - parts)
    found = mixed([above, below], fill)
    return PartWarp(found.image, found.regions, found.coverage, whole.coordinates)


def _filled(layers: Tensor, cloth: Tensor, gap: Tensor) -> Tensor:
    """Continue the cloth around a gap over the gap; image and regions alike.

    Shape:
        layers, result: (1, C, H, W); cloth, gap: (1, 1, H, W) bool.
    """
    colour = layers[0].permute(1, 2, 0).cpu().numpy()
    filled = continued(colour, cloth[0, 0].cpu().numpy(), gap[0, 0].cpu().numpy())
    return torch.from_numpy(filled).permute(2, 0, 1)[None].to(layers.device)


def _sleeves(masks: Tensor, gap: Tensor, source: Tensor) -> list[int]:
    """Return the upper arms that a garment covers: a hand in front of them is on the garment too."""
    shapes = PartShapes.of(complete_joints(source.float()))
    whole = (slice(0, masks.shape[2]), slice(0, masks.shape[3]))
    covered = []
    for part in _UPPER_ARMS:
        own = (shapes.outside(part, whole) < _ON_ARM) & (gap[:, 0] < 0.5)
        if (masks[:, _UPPER] * own).sum() > (masks[:, _BARE_ARMS] * own).sum():
            covered.append(part)
    return covered


def _arms_aside(source: Tensor, size: float) -> Tensor:
    """Return joints whose forearms point outwards from the elbows, so that they own no pixel of the torso."""
    joints = complete_joints(source.float())
    middle = joints[:, [shoulder for _, shoulder, _, _ in _FOREARMS], 0].mean(1)
    for _, _, elbow, wrist in _FOREARMS:
        outwards = torch.where(joints[:, elbow, 0] < middle, -1.0, 1.0)
        joints[:, wrist, 0] = joints[:, elbow, 0] + outwards * _REACH * size
        joints[:, wrist, 1:] = joints[:, elbow, 1:]
    return joints
