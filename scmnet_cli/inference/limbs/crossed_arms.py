"""Part warp of photos in which a forearm lies across the body, or a limb is hardly seen, where the pose moves it.

This finds such limbs; ``photo_versions.py`` says what the parts of the body come from instead of the photo.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property

import torch
from torch import Tensor

from scmnet_cli.inference.limbs.hanging_arms import hanging_arms, outer_arms, pixels_of_arm
from scmnet_cli.inference.limbs.leg_owners import mirrored_owners
from scmnet_cli.inference.limbs.limb_maps import LimbMaps
from scmnet_cli.inference.limbs.photo_versions import ON_ARM, PhotoVersion, mixed_versions, photo_versions
from scmnet_cli.inference.limbs.unseen_limbs import ENDS, MIDDLES, point_at_camera, replaced_limbs
from scmnet_cli.models.limb_ends import within_map
from scmnet_cli.models.neighbourhoods import dilated
from scmnet_cli.models.part_joints import body_size, complete_joints
from scmnet_cli.models.part_shapes import PartShapes
from scmnet_cli.models.part_transforms import part_transforms
from scmnet_cli.models.part_warp import PartWarp, WarpSource
from scmnet_cli.models.parts import FOREARMS, LIMB_PARTS, LIMBS, TORSO_PART, UPPER_ARMS
from scmnet_cli.models.photo_end import within_photo
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.types import FloatArray

_NUM_ARMS = 2  # of the limbs
_HAIR, _BARE_ARMS = region_id("hair"), region_id("arms")
_MOVED, _UNSEEN_MOVED, _HANGING_MOVED = 0.3, 0.1, 0.1
"""Torso lengths: a wrist that moves less on the torso stays where it is; so do the joints of an unseen limb, and the
wrist of an arm that hangs."""
_NEAR_ARM, _ON_TORSO = 0.5, 1.0  # nearness of a bare hand, softness of the torso
_LEAST, _LEAST_HAIR = 0.02, 0.004  # of the torso length squared: smaller overlaps of an arm are ignored
_ABOVE_SHOULDERS, _ABOVE_HIPS, _BESIDE_TORSO = 0.6, 0.95, 0.1  # shares of the torso's length twice, torso lengths


@dataclass(frozen=True)
class PersonToWarp:
    """One person to warp into any number of poses; arms that a pose moves away do not stay, unseen limbs are replaced.

    What the poses share is computed once.

    Attributes:
        replaced: the unseen limbs and hidden hands, as found on another canvas, so that pictures of all sizes agree;
            None: they are found.

    Shape:
        image: (1, 3, H, W); masks: (1, 8, H, W); joints: (1, 18, 3), as detected; replaced: (1, 6) bool, see
        :func:`replaced_limbs`; owners: (1, H, W), see :func:`leg_owners`.
    """

    image: Tensor
    masks: Tensor
    joints: Tensor
    fill: float = PLAIN_BACKGROUND
    replaced: Tensor | None = None
    owners: Tensor | None = None
    _versions: dict[tuple[bool, ...], list[tuple[PhotoVersion, WarpSource]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @cached_property
    def _source(self) -> WarpSource:
        return WarpSource.of_photo(self.image, self.masks, self.joints, self.fill, self.owners)

    @cached_property
    def _limbs(self) -> LimbMaps[Tensor]:
        return limb_maps(self.masks, self.joints, self.replaced)

    @torch.no_grad()
    def warp(self, poses: Tensor, parts: Tensor | None = None) -> PartWarp:
        """Warp the person, or some parts, into poses.

        Shape:
            poses: (B, 18, 3); parts: (1, 10) in {0, 1}, None: all.
        """
        if not self._has_limbs:
            return self._source.warp(poses, None if parts is None else parts.expand(len(poses), -1))
        leave = moved_limbs(self._limbs.kinds, self.joints, poses).gt(0.5).tolist()
        if not any(map(any, leave)):
            return self._source.warp(poses, None if parts is None else parts.expand(len(poses), -1))
        rows = []
        for pose, which in zip(torch.split(poses, 1), leave, strict=True):
            rows.append(self._warp_without(tuple(which), pose, parts) if any(which) else self._source.warp(pose, parts))
        return PartWarp.joined(rows)

    @cached_property
    def _has_limbs(self) -> bool:
        """Whether a limb lies on the body or is unseen."""
        return bool(self._limbs.kinds.any())

    def _warp_without(self, leaving: tuple[bool, ...], pose: Tensor, parts: Tensor | None) -> PartWarp:
        """Warp all or some parts into one pose that some limbs leave for."""
        sources = self._sources(leaving)
        kept = {id(version): source for version, source in sources}

        def warp(version: PhotoVersion, own: FloatArray) -> PartWarp:
            return kept[id(version)].warp(pose, torch.from_numpy(own).to(pose.device))

        versions = [version for version, _ in sources]
        chosen = None if parts is None else parts.cpu().numpy()
        return mixed_versions(versions, chosen, warp, dilated, self.fill)

    def _sources(self, leaving: tuple[bool, ...]) -> list[tuple[PhotoVersion, WarpSource]]:
        """Return the versions for poses that these limbs leave for, ready to be warped."""
        if leaving not in self._versions:
            maps = LimbMaps(*(getattr(self._limbs, each.name).cpu().numpy() for each in fields(LimbMaps)))
            image, masks = (layers.float().cpu().numpy() for layers in (self.image, self.masks))
            self._versions[leaving] = [
                (version, self._source if version.is_original else self._changed(version))
                for version in photo_versions(image, masks, maps, leaving, self.fill)
            ]
        return self._versions[leaving]

    def _changed(self, version: PhotoVersion) -> WarpSource:
        layers = (torch.from_numpy(each) for each in (version.image, version.masks, version.joints))
        image, masks, joints = (each.to(self.image.device) for each in layers)
        owners = self.owners
        if owners is not None and version.is_mirrored:
            owners = torch.from_numpy(mirrored_owners(owners.cpu().numpy()).copy()).to(owners.device)
        return WarpSource(image, within_photo(masks, self.joints), joints, self.fill, owners)


def limb_kinds(masks: Tensor, source: Tensor) -> Tensor:
    """Return how the limbs of a source lie on the body or are hidden: five kinds, each a reason to leave their place.

    Shape:
        masks: (B, 8, H, W); source: (B, 18, 3), as detected; result: (B, 5, 4) in {0, 1}.
    """
    return limb_maps(masks, source).kinds


def moved_limbs(kinds: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Return which limbs lie on the body (forearms only) or are unseen in the source, and move in the target.

    Shape:
        kinds: (B, 5, 4), see :func:`limb_kinds`; source: (B, 18, 3) or (1, 18, 3), target: (B, 18, 3), as detected;
        result: (B, 4) in {0, 1}, right and left arm, then legs.
    """
    across, hanging, *replaced = (kinds > 0.5).unbind(1)
    completed = complete_joints(torch.cat([source, target]).float())
    completed, posed = completed[: len(source)].expand(len(target), -1, -1), completed[len(source) :]
    torso = part_transforms(completed, posed)
    back = posed[..., :2] @ torso.matrix[:, TORSO_PART].transpose(1, 2) + torso.offset[:, TORSO_PART, None]
    distances = (back - completed[..., :2]).norm(dim=-1) / body_size(completed)[:, None]  # (B, 18)
    moved = across & (distances[:, ENDS] > _MOVED) | hanging & (distances[:, ENDS] > _HANGING_MOVED)
    farther = torch.maximum(distances[:, MIDDLES], distances[:, ENDS])
    moved = moved | torch.stack(replaced, dim=1).any(1) & (farther > _UNSEEN_MOVED)
    known = (target[:, MIDDLES, 2] > 0) & (target[:, ENDS, 2] > 0)
    leaving: Tensor = known & moved
    return leaving.to(kinds.dtype)


def limb_maps(masks: Tensor, source: Tensor, replaced: Tensor | None = None) -> LimbMaps[Tensor]:
    """Find the forearms on the torso and their pixels, and what is to be replaced unless it is given.

    Shape:
        masks: (B, 8, H, W); source: (B, 18, 3), as detected; replaced: (B, 6), see :func:`replaced_limbs`.
    """
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
    near = [shapes.near(part, whole) for part in FOREARMS]
    hangs, outer = hanging_arms(masks, shapes), outer_arms(masks, shapes)
    on_body, of_unseen, across, hanging, below_hair = [], [], [], [], []
    for arm, part in enumerate(FOREARMS):
        _, elbow, wrist = LIMBS[arm]
        sleeve = shapes.outside(part, whole) < ON_ARM
        known = (source[:, [elbow, wrist], 2] > 0).all(1)
        of_torso = on_torso & (sleeve | is_bare & (near[arm] > _NEAR_ARM))
        large = of_torso.sum((1, 2)) > _LEAST * shapes.size.square()
        aside = hangs[:, arm] & outer[:, arm] & ~unseen[:, arm]
        across.append(known & large & ~aside & _lies_across(shapes, completed[:, wrist, :2]))
        hanging.append(known & hangs[:, arm] & ~across[arm])
        hair = (masks[:, _HAIR] > 0.5) & (shapes.outside(UPPER_ARMS[arm], whole) < ON_ARM)
        below_hair.append(known & (hair.sum((1, 2)) > _LEAST_HAIR * shapes.size.square()))
        sleeve = sleeve & before[:, arm, None, None]
        whole_arm = person & (sleeve | is_bare & (near[arm] > near[1 - arm]))
        on_body.append(of_torso)
        of_unseen.append(torch.where(known[:, None, None], whole_arm.float(), of_torso.float()))  # ONNX: no bool
    of_legs = [torch.zeros_like(across[0])] * (len(LIMB_PARTS) - _NUM_ARMS)
    lies, hangs, hair = (torch.stack([*arms, *of_legs], dim=1) for arms in (across, hanging, below_hair))
    handless = torch.cat([handless, torch.stack(of_legs, dim=1)], dim=1)
    ending = within_map(source, masks)  # as the part warp has it
    own = complete_joints(ending.float())
    shapes = PartShapes.of(own)
    maps = LimbMaps(
        kinds=torch.stack([lies, hangs, unseen, hair, handless], dim=1),
        on_map=ending,
        completed=own,
        starts=shapes.start,
        ends=shapes.end,
        half=shapes.half,
        size=shapes.size,
        across=torch.stack(on_body, dim=1),
        whole=torch.stack(of_unseen, dim=1),
        hanging=torch.stack([pixels_of_arm(masks, shapes, part) for part in FOREARMS], dim=1),
        outside=torch.stack([shapes.outside(part, whole) for part in UPPER_ARMS], dim=1),
    )
    return LimbMaps(*(getattr(maps, each.name).to(masks.dtype) for each in fields(maps)))


def _lies_across(shapes: PartShapes, wrist: Tensor) -> Tensor:
    """Return whether a wrist lies on the torso, above where a hanging arm reaches, or at the head, (B,)."""
    start = shapes.start[:, TORSO_PART]
    along, place = shapes.end[:, TORSO_PART] - start, wrist - start
    length = along.norm(dim=-1).clamp(min=1e-3)
    down = (place * along).sum(-1) / length.square()
    across = (place[:, 1] * along[:, 0] - place[:, 0] * along[:, 1]).abs() / length
    lies: Tensor = (
        (down > -_ABOVE_SHOULDERS) & (down < _ABOVE_HIPS) & (across < shapes.half + _BESIDE_TORSO * shapes.size)
    )
    return lies
