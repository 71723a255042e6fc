"""Versions of a photo for a pose that moves an arm off the body, or a limb that the photo hardly shows.

The part warp moves the pixels of the torso with the torso, and a hand in front of it is among them: the hand would show
twice. So the torso comes from a copy of the photo in which the garment continues over the arm. A limb that the photo
hardly shows comes from the mirrored photo. All this is done with arrays, for every runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scmnet_cli.images.morphology import largest_around
from scmnet_cli.inference.cloth import continued
from scmnet_cli.inference.limbs.behind_arms import background_like, without_arm
from scmnet_cli.inference.limbs.hanging_sleeves import sleeve_alone
from scmnet_cli.inference.limbs.limb_maps import LimbMaps
from scmnet_cli.inference.limbs.made_up_hands import with_hands
from scmnet_cli.models.parts import FOREARMS, HEAD_PART, LIMB_PARTS, LIMBS, PARTS, THIGHS, TORSO_PART, UPPER_ARMS
from scmnet_cli.models.warp_mixing import WarpT, giving_way, in_photo, mixed
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.skeleton import mirror
from scmnet_cli.types import FloatArray

_BoolArray = npt.NDArray[np.bool_]

ON_ARM = 0.6
"""Softness up to which pixels lie on an arm."""

_NUM_ARMS = 2  # of the limbs
_HAIR, _SKIRT, _PANTS, _FACE, _UPPER, _BARE_ARMS = (
    region_id(name) for name in ("hair", "skirt", "pants", "face", "upper", "arms")
)
_RIM, _UNSEEN_RIM = 0.02, 0.06  # torso lengths; maps cut the fingers of a hand before the chest
_HAIR_RIM = 0.05  # torso lengths: strands and shadow of hair beside what the map calls hair
_IN_ARM, _PART_OF_ARM = 0.3, 0.15  # softness of an upper arm; least share of its sleeve, and of its bare part
_MUCH_HAIR, _LITTLE_HAIR = (
    0.3,
    0.1,
)  # shares of an upper arm below hair from which on it is hidden, up to which it shows
_REACH = 0.55  # torso lengths that a forearm is placed away from the elbow where it does not hide the torso


@dataclass(frozen=True)
class PhotoVersion:
    """One version of a photo, with the parts of the person that it shows.

    Attributes:
        is_original: whether it is the photo itself.
        is_mirrored: whether it is mirrored, so that each limb is the other one.

    Shape:
        image: (1, 3, H, W); masks: (1, 8, H, W); joints: (1, 18, 3); parts: (1, 10) in {0, 1}.
    """

    image: FloatArray
    masks: FloatArray
    joints: FloatArray
    parts: FloatArray
    is_original: bool
    is_mirrored: bool


def photo_versions(
    image: FloatArray, masks: FloatArray, maps: LimbMaps[FloatArray], leaving: Sequence[bool], fill: float
) -> tuple[PhotoVersion, ...]:
    """Return versions of a photo that together show all parts, for poses in which some limbs leave their place.

    What lies behind arms comes from a photo without them, and unseen limbs from the mirrored photo.

    Args:
        image: the photo.
        masks: its region masks.
        maps: how its limbs lie.
        leaving: the limbs that leave their place: right and left arm, right and left leg.
        fill: value of the background.

    Shape:
        image: (1, 3, H, W); masks: (1, 8, H, W).
    """
    photo = _Photo(np.concatenate([image[0], masks[0]]).transpose(1, 2, 0).astype(np.float32), maps.on_map[0])
    chosen = np.asarray(leaving, np.bool_)
    _, hanging, unseen, below_hair, handless = (maps.kinds[0] > 0.5) & chosen
    crossed = (chosen & ~hanging)[:_NUM_ARMS]
    shown_by = [photo] * len(PARTS)
    behind = photo
    trunk = (TORSO_PART,) if _at_head(maps) else (TORSO_PART, HEAD_PART)  # together, so that no neck shows twice
    if crossed.any():
        gap = _gap(photo, _hidden(maps, unseen, crossed), maps, _UNSEEN_RIM if unseen[:_NUM_ARMS].any() else _RIM)
        behind = _without(photo, gap, maps, fill)
        for part in (*trunk, *_sleeves(photo, gap, maps)):
            shown_by[part] = behind
    if hanging.any():
        behind = _without_hanging(behind, photo, maps, hanging, fill)
        for part in (*trunk, *THIGHS):
            shown_by[part] = behind
    arms = _without_hair(photo, maps) if below_hair.any() else photo
    arms = _with_sleeves_alone(arms, maps, hanging, fill)
    for limb, parts in enumerate(LIMB_PARTS):
        version = (arms if limb < _NUM_ARMS else behind).mirrored() if unseen[limb] else arms
        for part in parts if unseen[limb] or below_hair[limb] or (limb < _NUM_ARMS and hanging[limb]) else ():
            shown_by[part] = version
    mirrored = _hidden_by_hair(photo, maps) & below_hair[:_NUM_ARMS] & ~unseen[:_NUM_ARMS]
    for part, other in zip(UPPER_ARMS, mirrored, strict=True):
        shown_by[part] = arms.mirrored() if other else shown_by[part]
    if handless.any():
        hands = with_hands(arms.layers, arms.joints, maps, handless[:_NUM_ARMS], fill)
        armed = arms if hands is None else _Photo(*hands)
        for arm, part in enumerate(FOREARMS):
            if handless[arm]:
                shown_by[part] = armed
    found = []
    for version in {id(version): version for version in shown_by}.values():
        own = np.array([[shown is version for shown in shown_by]], np.float32)
        pixels = version.layers.transpose(2, 0, 1)[None]
        pair = (image, masks) if version is photo else (_contiguous(pixels[:, :3]), _contiguous(pixels[:, 3:]))
        found.append(PhotoVersion(*pair, version.joints[None], own, version is photo, version.is_mirrored))
    return tuple(found)


def mixed_versions(
    versions: Sequence[PhotoVersion],
    parts: FloatArray | None,
    warp: Callable[[PhotoVersion, FloatArray], WarpT],
    dilated: Callable[[Any, int], Any],
    fill: float,
) -> WarpT:
    """Warp versions of a photo into one pose and mix them.

    Args:
        versions: versions that together show all parts.
        parts: the parts to warp; None: all.
        warp: function that warps some parts of a version into the pose.
        dilated: function that returns the largest value in a square around each pixel of a field.
        fill: value of uncovered pixels.

    Shape:
        parts: (1, 10) in {0, 1}, also those of ``warp``.
    """
    shown = [(version, version.parts if parts is None else version.parts * parts) for version in versions]
    wanted = [(version, own) for version, own in shown if own.any()] or shown[:1]
    warps = [warp(version, own) for version, own in wanted]
    width = versions[0].image.shape[3]
    mirrored = [version.is_mirrored for version, _ in wanted]
    warps = [in_photo(each, width) if other else each for each, other in zip(warps, mirrored, strict=True)]
    if any(mirrored) and not all(mirrored):
        own_warp = mixed([each for each, other in zip(warps, mirrored, strict=True) if not other], fill)
        warps = [
            giving_way(each, own_warp, dilated) if other else each for each, other in zip(warps, mirrored, strict=True)
        ]
    return mixed(warps, fill)


@dataclass(frozen=True, eq=False)
class _Photo:
    """A photo and its region masks side by side.

    Shape:
        layers: (H, W, 3 + 8); joints: (18, 3).
    """

    layers: FloatArray
    joints: FloatArray
    is_mirrored: bool = False

    def mirrored(self) -> _Photo:
        """Return the mirrored photo."""
        return _Photo(self.layers[:, ::-1], mirror(self.joints, self.layers.shape[1]), is_mirrored=True)

    @property
    def masks(self) -> FloatArray:
        """The region masks, (H, W, 8)."""
        return self.layers[..., 3:]


def _at_head(maps: LimbMaps[FloatArray]) -> bool:
    """Return whether a hand is beside the head: it is above its shoulder."""
    heights = maps.completed[0, :, 1]
    return any(heights[wrist] < heights[shoulder] for shoulder, _, wrist in LIMBS[:_NUM_ARMS])


def _contiguous(layers: FloatArray) -> FloatArray:
    return np.ascontiguousarray(layers, np.float32)


def _hidden(maps: LimbMaps[FloatArray], unseen: _BoolArray, arms: _BoolArray) -> _BoolArray:
    """Return the pixels of chosen arms that hide the torso, (H, W)."""
    each = [(maps.whole if unseen[arm] else maps.across)[0, arm] for arm in np.flatnonzero(arms)]
    hidden: _BoolArray = np.any(each, axis=0)
    return hidden


def _gap(photo: _Photo, hidden: _BoolArray, maps: LimbMaps[FloatArray], rim: float) -> _BoolArray:
    """Return hidden pixels and a rim around them on clothes and limbs, (H, W)."""
    near = largest_around(hidden, max(round(rim * float(maps.size[0])), 1))
    gap: _BoolArray = near & (photo.masks[..., [BACKGROUND, _HAIR, _FACE]].sum(-1) < 0.5)
    return gap


def _without(photo: _Photo, gap: _BoolArray, maps: LimbMaps[FloatArray], fill: float) -> _Photo:
    """Return the photo with its garments continued over a gap, and with forearms that do not hide the torso."""
    cloth = ~gap & (photo.masks[..., [_UPPER, _SKIRT, _PANTS]].sum(-1) > 0.5)
    layers = np.where(gap[..., None], background_like(photo.layers, fill), photo.layers)
    return _Photo(_filled(layers, cloth, gap), _arms_aside(maps.completed[0], maps))


def _without_hanging(
    behind: _Photo, photo: _Photo, maps: LimbMaps[FloatArray], hanging: _BoolArray, fill: float
) -> _Photo:
    """Return a version of a photo without some hanging arms of the photo."""
    layers = behind.layers
    for arm in np.flatnonzero(hanging[:_NUM_ARMS]):
        gap = _gap(photo, maps.hanging[0, arm] > 0.5, maps, _RIM)
        layers = without_arm(layers, gap, maps, FOREARMS[arm], fill)
    joints = maps.completed[0] if behind is photo else behind.joints
    return _Photo(layers, _arms_aside(joints, maps, hanging))


def _with_sleeves_alone(photo: _Photo, maps: LimbMaps[FloatArray], hanging: _BoolArray, fill: float) -> _Photo:
    """Return the photo in which hanging sleeves end where the photo shows it; the same if none does."""
    layers = photo.layers
    for arm in range(_NUM_ARMS):
        layers = sleeve_alone(layers, maps, arm, fill) if hanging[arm] else layers
    return photo if layers is photo.layers else _Photo(layers, photo.joints)


def _hidden_by_hair(photo: _Photo, maps: LimbMaps[FloatArray]) -> _BoolArray:
    """Return which upper arms have a sleeve that ends below hair, somewhere, while the other arm shows where, (2,)."""
    shares = np.array([photo.masks[outside < _IN_ARM].mean(0) for outside in maps.outside[0]])  # (2, 8)
    ends = (shares[:, [_UPPER, _BARE_ARMS]] > _PART_OF_ARM).all(1) & (shares[:, _HAIR] < _LITTLE_HAIR)
    hidden: _BoolArray = (shares[:, _HAIR] > _MUCH_HAIR) & ends[::-1]
    return hidden


def _without_hair(photo: _Photo, maps: LimbMaps[FloatArray]) -> _Photo:
    """Return the photo with the upper arms continued below the hair that lies on them: sleeves, or bare arms."""
    layers, hair = photo.layers, photo.masks[..., _HAIR] > 0.5
    kinds = [photo.masks[..., region] > 0.5 for region in (_UPPER, _BARE_ARMS)]
    rim = max(round(_HAIR_RIM * float(maps.size[0])), 1)
    for outside in maps.outside[0]:
        on_arm = outside < ON_ARM
        near = largest_around(hair & on_arm, rim)
        sleeve, bare = (np.count_nonzero(kind & on_arm & ~near) for kind in kinds)
        cloth = kinds[0] if sleeve >= bare else kinds[1]
        gap = near & on_arm & (hair | cloth)
        layers = _filled(layers, cloth & ~near & (outside < 1), gap)
    return _Photo(layers, photo.joints)


def _filled(layers: FloatArray, cloth: _BoolArray, gap: _BoolArray) -> FloatArray:
    """Continue the cloth around a gap over the gap, between two garments the nearer one; image and regions alike."""
    return continued(layers, cloth, gap, layers[..., 3:].argmax(-1).astype(np.uint8))


def _sleeves(photo: _Photo, gap: _BoolArray, maps: LimbMaps[FloatArray]) -> list[int]:
    """Return the upper arms that a garment covers: a hand in front of them is on the garment too."""
    covered = []
    for part, outside in zip(UPPER_ARMS, maps.outside[0], strict=True):
        own = (outside < ON_ARM) & ~gap
        if photo.masks[own, _UPPER].sum() > photo.masks[own, _BARE_ARMS].sum():
            covered.append(part)
    return covered


def _arms_aside(
    completed: FloatArray, maps: LimbMaps[FloatArray], which: Sequence[bool] | _BoolArray = (True, True)
) -> FloatArray:
    """Return joints whose forearms point outwards from the elbows, so that they own no pixel of the torso."""
    joints = completed.copy()
    middle = np.mean([joints[shoulder, 0] for shoulder, _, _ in LIMBS[:_NUM_ARMS]], dtype=np.float32)
    for arm, (_, elbow, wrist) in enumerate(LIMBS[:_NUM_ARMS]):
        if which[arm]:
            outwards = -1 if joints[elbow, 0] < middle else 1
            joints[wrist, 0] = joints[elbow, 0] + outwards * _REACH * float(maps.size[0])
            joints[wrist, 1:] = joints[elbow, 1:]
    return joints
