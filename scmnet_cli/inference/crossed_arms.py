"""Part warp of photos in which a forearm lies across the body, or a limb is hardly seen, where the pose moves it.

The part warp moves the pixels of the torso with the torso, and a hand in front of it is among them: the hand would show
twice. So where a forearm lies across the torso and the pose moves it away, the torso comes from a copy of the photo in
which the garment continues over the forearm. A limb that the photo hardly shows comes from the mirrored photo.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from scmnet_cli.inference.cloth import continued
from scmnet_cli.inference.hanging_arms import hanging_arms, pixels_of_arm, without_arm
from scmnet_cli.inference.made_up_hands import with_hands
from scmnet_cli.inference.unseen_limbs import (
    ENDS,
    LIMB_PARTS,
    MIDDLES,
    MirroredPhoto,
    point_at_camera,
    replaced_limbs,
)
from scmnet_cli.models.neighbourhoods import dilated
from scmnet_cli.models.part_joints import body_size, complete_joints
from scmnet_cli.models.part_shapes import PartShapes
from scmnet_cli.models.part_transforms import part_transforms
from scmnet_cli.models.part_warp import PartWarp, WarpSource
from scmnet_cli.models.parts import LIMBS, PARTS, TORSO_PART
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.models.warp_mixing import mixed
from scmnet_cli.regions import BACKGROUND, region_id

_FOREARMS = ((3, *LIMBS[0]), (5, *LIMBS[1]))  # part, shoulder, elbow, wrist
_UPPER_ARMS, _THIGHS = (2, 4), (6, 8)  # parts
_NUM_ARMS = 2  # of the limbs
_HAIR, _SKIRT, _PANTS, _FACE, _UPPER, _BARE_ARMS = (
    region_id(name) for name in ("hair", "skirt", "pants", "face", "upper", "arms")
)
_MOVED, _UNSEEN_MOVED, _HANGING_MOVED = 0.3, 0.1, 0.1
"""Torso lengths: a wrist that moves less on the torso stays where it is; so do the joints of an unseen limb, and the
wrist of an arm that hangs."""
_ON_ARM, _NEAR_ARM, _ON_TORSO = 0.6, 0.5, 1.0  # softness of a forearm, nearness of a bare hand, softness of the torso
_LEAST, _LEAST_HAIR = 0.02, 0.004  # of the torso length squared: smaller overlaps of an arm are ignored
_ABOVE_HIPS, _BESIDE_TORSO = 0.95, 0.1  # shares of the torso's length, torso lengths
_RIM, _UNSEEN_RIM = 0.02, 0.06  # torso lengths; maps cut the fingers of a hand before the chest
_HAIR_RIM = 0.05  # torso lengths: strands and shadow of hair beside what the map calls hair
_OWN_COUNTS, _OTHER_RIM = 4.0, 0.006
"""The mirrored photo gives way wholly where the photo's own coverage is the inverse of the first; rim around the places
where both show different regions, as a share of the height."""
_REACH = 0.55  # torso lengths that a forearm is placed away from the elbow where it does not hide the torso


@dataclass(frozen=True)
class PersonToWarp:
    """One person to warp into any number of poses; arms that a pose moves away do not stay, unseen limbs are replaced.

    What the poses share is computed once.

    Attributes:
        replaced: the unseen limbs and hidden hands, as found on another canvas, so that pictures of all sizes agree;
            None: they are found.

    Shape:
        image: (1, 3, H, W); masks: (1, 8, H, W); joints: (1, 18, 3), as detected; replaced: (1, 6) bool, see
        :func:`replaced_limbs`.
    """

    image: Tensor
    masks: Tensor
    joints: Tensor
    fill: float = PLAIN_BACKGROUND
    replaced: Tensor | None = None
    _without: dict[tuple[bool, ...], _Versions] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def _source(self) -> WarpSource:
        return WarpSource.of_photo(self.image, self.masks, self.joints, self.fill)

    @cached_property
    def _limbs(self) -> _Limbs | None:
        """The limbs; None if none lies on the body or is unseen."""
        found = _Limbs.of(self.masks, self.joints, self.replaced)
        return found if found.kinds.any() else None

    @torch.no_grad()
    def warp(self, poses: Tensor, parts: Tensor | None = None) -> PartWarp:
        """Warp the person, or some parts, into poses.

        Shape:
            poses: (B, 18, 3); parts: (1, 10) in {0, 1}, None: all.
        """
        leave = [] if self._limbs is None else self._limbs.leave(poses).tolist()
        if not any(map(any, leave)):
            return self._source.warp(poses, None if parts is None else parts.expand(len(poses), -1))
        rows = []
        for pose, which in zip(torch.split(poses, 1), leave, strict=True):
            version = self._without_limbs(tuple(which)) if any(which) else self._source
            rows.append(version.warp(pose, parts))
        return PartWarp.joined(rows)

    def _without_limbs(self, which: tuple[bool, ...]) -> _Versions:
        if which not in self._without:
            assert self._limbs is not None
            chosen = torch.tensor([which], device=self.image.device)
            limbs = self._limbs
            unseen, hanging = (limbs.unseen & chosen)[0].tolist(), (limbs.hanging & chosen)[0].tolist()
            crossed = chosen & ~limbs.hanging
            hidden = limbs.pixels(crossed) if crossed[:, :_NUM_ARMS].any() else None
            below_hair = (limbs.below_hair & chosen)[0].tolist()
            handless = (limbs.handless & chosen)[0].tolist()
            self._without[which] = _Versions.of(self._source, hidden, unseen, hanging, below_hair, handless)
        return self._without[which]


def limb_kinds(masks: Tensor, source: Tensor) -> Tensor:
    """Return how the limbs of a source lie on the body or are hidden: five kinds, each a reason to leave their place.

    Shape:
        masks: (B, 8, H, W); source: (B, 18, 3), as detected; result: (B, 5, 4) in {0, 1}.
    """
    return _Limbs.of(masks, source).kinds.to(masks.dtype)


def moved_limbs(kinds: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Return which limbs lie on the body (forearms only) or are unseen in the source, and move in the target.

    Shape:
        kinds: (B, 5, 4), see :func:`limb_kinds`; source, target: (B, 18, 3), as detected; result: (B, 4) in {0, 1},
        right and left arm, then legs.
    """
    return _leaving(kinds > 0.5, complete_joints(source.float()), target).to(kinds.dtype)


@dataclass(frozen=True)
class _Limbs:
    """The limbs of a source.

    Shape:
        hidden: (B, 2, H, W) bool, the pixels of each forearm that lie on the torso, of an unseen arm its bare pixels
        and those that point at the camera; across, hanging: (B, 4) bool, whether it is a known forearm that lies across
        the torso, or hangs against the body; below_hair: (B, 4) bool, whether hair lies on an upper arm; unseen:
        (B, 4) bool, see :func:`unseen_limbs`; handless: (B, 4) bool, see :func:`hidden_hands`; completed:
        (B, 18, 3), the completed joints.
    """

    hidden: Tensor
    across: Tensor
    hanging: Tensor
    below_hair: Tensor
    unseen: Tensor
    handless: Tensor
    completed: Tensor

    @classmethod
    def of(cls, masks: Tensor, source: Tensor, replaced: Tensor | None = None) -> _Limbs:
        """Find the pixels of the forearms on the torso, and what is to be replaced unless it is given."""
        masks = masks.float()
        completed = complete_joints(source.float())
        shapes = PartShapes.of(completed)
        whole = (slice(0, masks.shape[2]), slice(0, masks.shape[3]))
        person = masks[:, BACKGROUND] < 0.5
        on_torso = person & (shapes.outside(TORSO_PART, whole) < _ON_TORSO)
        is_bare = masks[:, _BARE_ARMS] > 0.5
        replaced = replaced_limbs(masks, source) if replaced is None else replaced
        unseen, handless = torch.split(replaced, [len(LIMB_PARTS), _NUM_ARMS], dim=1)
        before = point_at_camera(completed)
        near = [shapes.near(part, whole) for part, *_ in _FOREARMS]
        hangs = hanging_arms(masks, shapes)
        hidden, across, hanging, below_hair = [], [], [], []
        for arm, (part, _, elbow, wrist) in enumerate(_FOREARMS):
            sleeve = shapes.outside(part, whole) < _ON_ARM
            known = (source[:, [elbow, wrist], 2] > 0).all(1)
            of_torso = on_torso & (sleeve | is_bare & (near[arm] > _NEAR_ARM))
            large = of_torso.sum((1, 2)) > _LEAST * shapes.size.square()
            across.append(known & large & _lies_across(shapes, completed[:, wrist, :2]))
            hanging.append(known & hangs[:, arm] & ~across[arm])
            hair = (masks[:, _HAIR] > 0.5) & (shapes.outside(_UPPER_ARMS[arm], whole) < _ON_ARM)
            below_hair.append(known & (hair.sum((1, 2)) > _LEAST_HAIR * shapes.size.square()))
            sleeve = sleeve & before[:, arm, None, None]
            whole_arm = person & (sleeve | is_bare & (near[arm] > near[1 - arm]))
            hidden.append(torch.where((unseen[:, arm] & known)[:, None, None], whole_arm, of_torso))
        of_legs = [torch.zeros_like(across[0])] * (len(LIMB_PARTS) - _NUM_ARMS)
        lies, hangs, hair = (torch.stack([*arms, *of_legs], dim=1) for arms in (across, hanging, below_hair))
        handless = torch.cat([handless, torch.stack(of_legs, dim=1)], dim=1)
        return cls(torch.stack(hidden, dim=1), lies, hangs, hair, unseen, handless, completed)

    @property
    def kinds(self) -> Tensor:
        """The five kinds of limbs that a pose may move away, (B, 5, 4) bool."""
        return torch.stack([self.across, self.hanging, self.unseen, self.below_hair, self.handless], dim=1)

    def leave(self, target: Tensor) -> Tensor:
        """Return which limbs lie on the body or are unseen in the source, and are elsewhere in the target.

        Shape:
            target: (B, 18, 3), as detected; result: (B, 4) bool.
        """
        return _leaving(self.kinds, self.completed.expand(len(target), -1, -1), target)

    def pixels(self, which: Tensor) -> Tensor:
        """Return the hidden pixels of the chosen forearms, (B, 1, H, W) bool, for a choice of (B, 4) bool."""
        return (self.hidden & which[:, :_NUM_ARMS, None, None]).any(1, keepdim=True)


def _leaving(kinds: Tensor, completed: Tensor, target: Tensor) -> Tensor:
    """Return which limbs of these kinds are elsewhere in the target, (B, 4) bool."""
    across, hanging, *replaced = kinds.unbind(1)
    posed = complete_joints(target.float())
    torso = part_transforms(completed, posed)
    back = posed[..., :2] @ torso.matrix[:, TORSO_PART].transpose(1, 2) + torso.offset[:, TORSO_PART, None]
    distances = (back - completed[..., :2]).norm(dim=-1) / body_size(completed)[:, None]  # (B, 18)
    moved = across & (distances[:, ENDS] > _MOVED) | hanging & (distances[:, ENDS] > _HANGING_MOVED)
    farther = torch.maximum(distances[:, MIDDLES], distances[:, ENDS])
    moved = moved | torch.stack(replaced, dim=1).any(1) & (farther > _UNSEEN_MOVED)
    known = (target[:, MIDDLES, 2] > 0) & (target[:, ENDS, 2] > 0)
    leaving: Tensor = known & moved
    return leaving


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
class _Versions:
    """Versions of a photo, each with the parts of the person that it shows.

    Shape:
        versions: pairs of a version and its parts, (1, 10) in {0, 1}; together they are all parts.
    """

    versions: tuple[tuple[WarpSource | MirroredPhoto, Tensor], ...]
    fill: float

    @classmethod
    def of(
        cls,
        source: WarpSource,
        hidden: Tensor | None,
        unseen: Sequence[bool],
        hanging: Sequence[bool],
        below_hair: Sequence[bool],
        handless: Sequence[bool],
    ) -> _Versions:
        """Let what lies behind arms come from a photo without them, and unseen limbs from the mirrored photo.

        Args:
            source: the photo.
            hidden: pixels of forearms, (1, 1, H, W) bool; None: no forearm leaves the torso.
            unseen: the unseen limbs that move.
            hanging: the hanging arms that move.
            below_hair: the arms below hair that move.
            handless: the arms that move and need a hand.
        """
        shown_by: list[WarpSource | MirroredPhoto] = [source] * len(PARTS)
        behind = source
        if hidden is not None:
            gap = _gap(source, hidden, _UNSEEN_RIM if any(unseen[:_NUM_ARMS]) else _RIM)
            behind = _without(source, gap)
            for part in (TORSO_PART, *_sleeves(source.masks.float(), gap, source.joints)):
                shown_by[part] = behind
        if any(hanging):
            behind = _without_hanging(behind, source, hanging)
            for part in (TORSO_PART, *_THIGHS):
                shown_by[part] = behind
        arms = _without_hair(source) if any(below_hair) else source
        for limb, parts in enumerate(LIMB_PARTS):
            version: WarpSource | MirroredPhoto = arms
            if unseen[limb]:
                version = MirroredPhoto(arms if limb < _NUM_ARMS else behind)
            for part in parts if unseen[limb] or below_hair[limb] else ():
                shown_by[part] = version
        if any(handless):
            armed = with_hands(arms, handless[:_NUM_ARMS])
            for arm, (part, *_) in enumerate(_FOREARMS):
                if handless[arm]:
                    shown_by[part] = armed
        versions = {id(version): version for version in shown_by}
        chosen = [
            (version, _chosen([part for part in range(len(PARTS)) if shown_by[part] is version], source.image.device))
            for version in versions.values()
        ]
        return cls(tuple(chosen), source.fill)

    def warp(self, pose: Tensor, parts: Tensor | None = None) -> PartWarp:
        """Warp all or some parts into one pose.

        Shape:
            pose: (1, 18, 3); parts: (1, 10) in {0, 1}, None: all.
        """
        shown = [(version, own if parts is None else own * parts) for version, own in self.versions]
        wanted = [(version, own) for version, own in shown if own.any()] or shown[:1]
        warps = [version.warp(pose, own) for version, own in wanted]
        mirrored = [isinstance(version, MirroredPhoto) for version, _ in wanted]
        if any(mirrored) and not all(mirrored):
            of_photo = [warp for warp, is_mirrored in zip(warps, mirrored, strict=True) if not is_mirrored]
            shown_there = mixed(of_photo, self.fill)
            warps = [
                _giving_way(warp, shown_there) if is_mirrored else warp
                for warp, is_mirrored in zip(warps, mirrored, strict=True)
            ]
        return mixed(warps, self.fill)


def _giving_way(warp: PartWarp, own: PartWarp) -> PartWarp:
    """Return a warp of the mirrored photo that gives way where the photo itself shows another region of the person.

    A mirrored thigh brings along the hem of an open jacket, which hangs on the other side; both at once were a veil.
    """
    person = own.regions[:, 1:].sum(1, keepdim=True)
    same = torch.minimum(own.regions[:, 1:], warp.regions[:, 1:]).sum(1, keepdim=True)
    other = dilated((1 - same / person.clamp(min=1e-3)).clamp(0, 1), max(round(_OTHER_RIM * person.shape[2]), 1))
    return replace(warp, coverage=warp.coverage * (1 - other * (_OWN_COUNTS * own.coverage * person).clamp(max=1)))


def _chosen(parts: Collection[int], device: torch.device) -> Tensor:
    """Return a mask of some parts, (1, 10)."""
    mask = torch.zeros(1, len(PARTS), device=device)
    mask[:, list(parts)] = 1
    return mask


def _gap(source: WarpSource, hidden: Tensor, rim: float) -> Tensor:
    """Return the hidden pixels and a rim around them on clothes and limbs, (1, 1, H, W) in [0, 1]."""
    gap = dilated(hidden.float(), max(round(rim * float(body_size(source.joints.float())[0])), 1))
    return gap * (1 - source.masks[:, [BACKGROUND, _HAIR, _FACE]].float().sum(1, keepdim=True))


def _without(source: WarpSource, gap: Tensor) -> WarpSource:
    """Return the photo with its garments continued over a gap, and with forearms that do not hide the torso."""
    image, masks, fill = source.image.float(), source.masks.float(), source.fill
    cloth = (1 - gap) * masks[:, [_UPPER, _SKIRT, _PANTS]].sum(1, keepdim=True)
    layers = torch.where(gap > 0.5, _background(source), torch.cat([image, masks], dim=1))
    layers = _filled(layers, cloth > 0.5, gap > 0.5)
    joints = _arms_aside(source.joints, float(body_size(source.joints.float())[0]))
    return WarpSource(layers[:, :3], layers[:, 3:], joints, fill)


def _without_hanging(photo: WarpSource, source: WarpSource, hanging: Sequence[bool]) -> WarpSource:
    """Return a photo without some hanging arms of its source."""
    masks, fill = source.masks.float(), source.fill
    shapes = PartShapes.of(source.completed)
    layers = torch.cat([photo.image.float(), photo.masks.float()], dim=1)
    background = _background(source)
    for arm, (part, *_) in enumerate(_FOREARMS):
        if hanging[arm]:
            pixels = pixels_of_arm(masks, shapes, part)[:, None]
            gap = _gap(source, pixels, _RIM) > 0.5
            layers = without_arm(layers, gap, shapes, part, background)
    joints = _arms_aside(photo.joints, float(body_size(photo.joints.float())[0]), hanging)
    return WarpSource(layers[:, :3], layers[:, 3:], joints, fill)


def _without_hair(source: WarpSource) -> WarpSource:
    """Return the photo with the upper arms continued below the hair that lies on them: sleeves, or bare arms."""
    masks = source.masks.float()
    shapes = PartShapes.of(source.completed)
    whole = (slice(0, masks.shape[2]), slice(0, masks.shape[3]))
    layers = torch.cat([source.image.float(), masks], dim=1)
    rim = max(round(_HAIR_RIM * float(shapes.size[0])), 1)
    for part in _UPPER_ARMS:
        outside = shapes.outside(part, whole)[:, None]
        on_arm = outside < _ON_ARM
        near = dilated((masks[:, [_HAIR]] > 0.5) & on_arm, rim)
        kinds = masks[:, [_UPPER, _BARE_ARMS]] > 0.5
        num = (kinds & on_arm & ~near).sum((2, 3), keepdim=True)
        cloth = torch.where(num[:, :1] >= num[:, 1:], kinds[:, :1], kinds[:, 1:])
        gap = near & on_arm & ((masks[:, [_HAIR]] > 0.5) | cloth)
        layers = _filled(layers, cloth & ~near & (outside < 1), gap)
    return WarpSource(layers[:, :3], layers[:, 3:], source.joints, source.fill)


def _background(source: WarpSource) -> Tensor:
    """Return an image and masks of background, (1, 3 + 8, H, W)."""
    background = torch.cat(
        [torch.full_like(source.image.float(), source.fill), torch.zeros_like(source.masks.float())], 1
    )
    background[:, 3 + BACKGROUND] = 1
    return background


def _filled(layers: Tensor, cloth: Tensor, gap: Tensor) -> Tensor:
    """Continue the cloth around a gap over the gap, between two garments the nearer one; image and regions alike.

    Shape:
        layers, result: (1, C, H, W); cloth, gap: (1, 1, H, W) bool.
    """
    colour = layers[0].permute(1, 2, 0).cpu().numpy()
    kind = layers[0, 3:].argmax(0).to(torch.uint8).cpu().numpy()
    filled = continued(colour, cloth[0, 0].cpu().numpy(), gap[0, 0].cpu().numpy(), kind)
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


def _arms_aside(source: Tensor, size: float, which: Sequence[bool] = (True, True)) -> Tensor:
    """Return joints whose forearms point outwards from the elbows, so that they own no pixel of the torso."""
    joints = complete_joints(source.float())
    middle = joints[:, [shoulder for _, shoulder, _, _ in _FOREARMS], 0].mean(1)
    for arm, (_, _, elbow, wrist) in enumerate(_FOREARMS):
        if not which[arm]:
            continue
        outwards = torch.where(joints[:, elbow, 0] < middle, -1.0, 1.0)
        joints[:, wrist, 0] = joints[:, elbow, 0] + outwards * _REACH * size
        joints[:, wrist, 1:] = joints[:, elbow, 1:]
    return joints
