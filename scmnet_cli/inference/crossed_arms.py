"""Part warp of photos in which a forearm lies across the body: it moves away and leaves the garment behind it.

The part warp moves the pixels of the torso with the torso, and a hand in front of it is among them: the hand would show
twice. So where a forearm lies across the torso and the pose moves it away, the torso comes from a copy of the photo in
which the garment continues over the forearm.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from scmnet_cli.inference.filling import continued
from scmnet_cli.models.neighbourhoods import dilated
from scmnet_cli.models.part_joints import LIMBS, PARTS, TORSO_PART, body_size, complete_joints
from scmnet_cli.models.part_shapes import PartShapes
from scmnet_cli.models.part_transforms import part_transforms
from scmnet_cli.models.part_warp import PLAIN_BACKGROUND, PartWarp, WarpSource
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


@dataclass(frozen=True)
class PersonToWarp:
    """One person to warp into any number of poses; forearms that a pose takes off the torso do not stay there.

    What the poses share is computed once.

    Shape:
        image: (1, 3, H, W); masks: (1, 8, H, W); joints: (1, 18, 3), as detected.
    """

    image: Tensor
    masks: Tensor
    joints: Tensor
    fill: float = PLAIN_BACKGROUND
    _without: dict[tuple[bool, ...], _WithoutForearms] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def _source(self) -> WarpSource:
        return WarpSource.of_photo(self.image, self.masks, self.joints, self.fill)

    @cached_property
    def _forearms(self) -> _Forearms | None:
        """The forearms; None if none lies across the torso."""
        found = _Forearms.of(self.masks, self.joints)
        return found if found.across.any() else None

    @torch.no_grad()
    def warp(self, poses: Tensor) -> PartWarp:
        """Warp the person into poses.

        Shape:
            poses: (B, 18, 3).
        """
        whole = self._source.warp(poses)
        if self._forearms is None:
            return whole
        leave = self._forearms.leave(poses).tolist()
        if not any(map(any, leave)):
            return whole
        rows = [whole.row(row) for row in range(len(poses))]
        for row, which in enumerate(leave):
            if any(which):
                rows[row] = self._without_forearms(tuple(which)).warp(poses[row : row + 1], rows[row])
        return PartWarp.joined(rows)

    def _without_forearms(self, which: tuple[bool, ...]) -> _WithoutForearms:
        if which not in self._without:
            assert self._forearms is not None
            hidden = self._forearms.pixels(torch.tensor([which], device=self.image.device))
            self._without[which] = _WithoutForearms.of(self._source, hidden)
        return self._without[which]


def forearms_to_remove(masks: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Return the pixels of the forearms that lie on the torso in the source and elsewhere in the target.

    Shape:
        masks: (B, 8, H, W); source, target: (B, 18, 3); result: (B, 1, H, W) in {0, 1}.
    """
    forearms = _Forearms.of(masks, source)
    return forearms.pixels(forearms.leave(target)).to(masks.dtype)


@dataclass(frozen=True)
class _Forearms:
    """The two forearms of a source.

    Shape:
        hidden: (B, 2, H, W) bool, the pixels of each that lie on the torso; across: (B, 2) bool, whether it is known
        and lies across the torso; completed: (B, 18, 3), the completed joints.
    """

    hidden: Tensor
    across: Tensor
    completed: Tensor

    @classmethod
    def of(cls, masks: Tensor, source: Tensor) -> _Forearms:
        """Find the pixels of the forearms on the torso."""
        masks = masks.float()
        completed = complete_joints(source.float())
        shapes = PartShapes.of(completed)
        whole = (slice(0, masks.shape[2]), slice(0, masks.shape[3]))
        on_torso = (masks[:, BACKGROUND] < 0.5) & (shapes.outside(TORSO_PART, whole) < _ON_TORSO)
        hidden, across = [], []
        for part, _, elbow, wrist in _FOREARMS:
            sleeve = shapes.outside(part, whole) < _ON_ARM
            bare = (masks[:, _BARE_ARMS] > 0.5) & (shapes.near(part, whole) > _NEAR_ARM)
            hidden.append(on_torso & (sleeve | bare))
            known = (source[:, [elbow, wrist], 2] > 0).all(1)
            large = hidden[-1].sum((1, 2)) > _LEAST * shapes.size.square()
            across.append(known & large & _lies_across(shapes, completed[:, wrist, :2]))
        return cls(torch.stack(hidden, dim=1), torch.stack(across, dim=1), completed)

    def leave(self, target: Tensor) -> Tensor:
        """Return which forearms lie across the torso in the source and elsewhere in the target.

        Shape:
            target: (B, 18, 3), as detected; result: (B, 2) bool.
        """
        completed, posed = self.completed.expand(len(target), -1, -1), complete_joints(target.float())
        torso = part_transforms(completed, posed)
        back = posed[..., :2] @ torso.matrix[:, TORSO_PART].transpose(1, 2) + torso.offset[:, TORSO_PART, None]
        size = body_size(completed)
        moved = []
        for _, _, elbow, wrist in _FOREARMS:
            known = (target[:, [elbow, wrist], 2] > 0).all(1)
            moved.append(known & ((back[:, wrist] - completed[:, wrist, :2]).norm(dim=-1) > _MOVED * size))
        return self.across & torch.stack(moved, dim=1)

    def pixels(self, which: Tensor) -> Tensor:
        """Return the pixels of the chosen forearms on the torso, (B, 1, H, W) bool, for a choice of (B, 2) bool."""
        return (self.hidden & which[..., None, None]).any(1, keepdim=True)


def _lies_across(shapes: PartShapes, wrist: Tensor) -> Tensor:
    """Return whether a wrist lies on the torso and above the hips, where a hanging arm does not reach, (B,)."""
    start = shapes.start[:, TORSO_PART]
    along, place = shapes.end[:, TORSO_PART] - start, wrist - start
    length = along.norm(dim=-1).clamp(min=1e-3)
    down = (place * along).sum(-1) / length.square()
    across = (place[:, 1] * along[:, 0] - place[:, 0] * along[:, 1]).abs() / length
    lies: Tensor = (down > 0) & (down < _ABOVE_HIPS) & (across < shapes.half + _BESIDE_TORSO * shapes.size)
    return lies


@dataclass(frozen=True)
class _WithoutForearms:
    """A source whose torso comes from the photo without some pixels.

    Attributes:
        below: the photo without these pixels; its torso and sleeves are shown.
        above: the photo; its other parts are shown.

    Shape:
        parts: (1, 10) in {0, 1}, 1 for the parts that come from ``below``.
    """

    below: WarpSource
    above: WarpSource
    parts: Tensor

    @classmethod
    def of(cls, source: WarpSource, hidden: Tensor) -> _WithoutForearms:
        """Continue the garments over the hidden pixels, (1, 1, H, W)."""
        image, masks, fill = source.image.float(), source.masks.float(), source.fill
        size = float(body_size(source.joints.float())[0])
        gap = dilated(hidden.float(), max(round(_RIM * size), 1))
        gap = gap * (1 - masks[:, [BACKGROUND, _HAIR, _FACE]].sum(1, keepdim=True))
        cloth = (1 - gap) * masks[:, [_UPPER, _SKIRT]].sum(1, keepdim=True)
        background = torch.cat([torch.full_like(image, fill), torch.zeros_like(masks)], dim=1)
        background[:, 3 + BACKGROUND] = 1
        layers = torch.where(gap > 0.5, background, torch.cat([image, masks], dim=1))
        layers = _filled(layers, cloth > 0.5, gap > 0.5)
        parts = torch.zeros(1, len(PARTS), device=image.device)
        parts[:, [TORSO_PART, *_sleeves(masks, gap, source.joints)]] = 1
        below = WarpSource(layers[:, :3], layers[:, 3:], _arms_aside(source.joints, size), fill)
        return cls(below, source, parts)

    def warp(self, pose: Tensor, whole: PartWarp) -> PartWarp:
        """Warp into one pose, (1, 18, 3); coordinates come from the warp of the whole photo."""
        above, below = self.above.warp(pose, 1 - self.parts), self.below.warp(pose, self.parts)
        found = mixed([above, below], self.above.fill)
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
