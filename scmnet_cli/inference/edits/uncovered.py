"""Areas that an edit uncovers: bare skin, with the shape and colour of the wearer's limbs, or background.

A garment is wider than the limb in it. So bare arms and legs have typical widths around the wearer's bones, and the
colour of the skin that the photo shows.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from scmnet_cli.inference.edits.bare_skin import like_skin
from scmnet_cli.inference.edits.behind_hair import over_clothes, whole_head
from scmnet_cli.inference.garments import ON_TORSO
from scmnet_cli.inference.limb_places import below_hips, bone_coordinates, limb_places, torso_length
from scmnet_cli.models.part_joints import complete_joints
from scmnet_cli.models.part_shapes import PartShapes
from scmnet_cli.models.parts import FIRST_BONE, HEAD_PART, PARTS, TORSO_PART
from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import FloatArray, Person

_BoolArray = npt.NDArray[np.bool_]

SHOULDER = 0.35
"""Where on an upper arm sleeves begin, in lengths of its bone."""

_FIRST_LEG = 6  # part
_ON_LIMB = 0.3  # of the soft border of a part
_BARE_ABOVE_ANKLE = 0.12  # torso lengths: a garment that ends higher leaves legs bare, and what is higher is no shoe
_ARM_REACH, _SLEEVE, _ARM, _BONE, _FRAYED = 0.3, 0.15, 0.07, 0.05, 0.03
"""In torso lengths: distance from an arm up to which pixels are the arm's; half widths of a sleeve, of an arm and of an
arm's middle; width of the skin that mixes with cloth."""
_SHOE_EDGE, _FEET, _ABOVE_SHOE = 0.008, 1.95, 1.85
"""Torso lengths: width of the edge of a shoe that mixes with the trousers above it; where feet begin, and what is no
skin may be a shoe, in lengths of the bones of a leg."""
_OVERLAP = 0.15  # lengths of an arm's bone by which drawn skin overlaps with skin that shows
_SOCKS = 0.25  # torso lengths above the hem of trousers from which bare legs may still show


def gone(wearer: Person, kind: str, worn: _BoolArray) -> _BoolArray:
    """Return the wearer's pixels that become background around a new garment or hair.

    They are bare legs beside new trousers, an old sleeve beside a narrower one, and hair beside the body.
    """
    lost = np.zeros_like(worn)
    outside = outside_parts(wearer, worn.shape)
    if kind == "pants" and worn.any():
        size = torso_length(wearer)
        above = np.arange(len(worn))[:, None] < np.flatnonzero(worn.any(1))[-1] - _SOCKS * size
        old = np.isin(wearer.regions, [region_id(name) for name in ("legs", "skirt", "pants")])
        lost = old & ~worn & above & below_hips(wearer)
    if kind in ON_TORSO:
        old = (wearer.regions == region_id("upper")) & ~worn
        past, on_arms = _past_sleeves(wearer, worn), _on_arms(outside)
        flaps = _nearest_to_arms(outside) & ~on_arms & ~_in_arms(wearer)  # a wide cuff sticks out beside its arm
        lost = old & np.where(past, flaps, on_arms)
    if kind == "hair":
        beside = np.delete(outside, HEAD_PART, axis=0).min(0) > _ON_LIMB
        lost = (
            (wearer.regions == region_id("hair")) & ~worn & beside & (whole_head(wearer) == 0) & ~over_clothes(wearer)
        )
    return lost


def frayed(wearer: Person, bare: _BoolArray, times: float = 1) -> _BoolArray:
    """Return the skin beside removed cloth, whose pixels mix with it, or ``times`` as far from it, (H, W).

    Shoes below trousers have a sharp edge.
    """
    from scipy import ndimage

    size = torso_length(wearer)
    skin = np.isin(wearer.regions, [region_id("legs"), region_id("arms")])
    if not bare.any():
        return bare
    legs = limb_places(wearer)[2:]
    place = np.where(legs[0][1] < legs[1][1], legs[0][0], legs[1][0])
    dark = ndimage.binary_opening(~like_skin(wearer), iterations=2) & (place > _ABOVE_SHOE)
    shoes = (wearer.regions == region_id("legs")) & ((place > _FEET) | dark)
    away = ndimage.distance_transform_edt(~bare)
    near: _BoolArray = skin & (away <= np.where(shoes, _SHOE_EDGE, times * _FRAYED) * size)
    return near


def _on_arms(outside: FloatArray) -> _BoolArray:
    """Return the pixels on an arm and beside the torso and legs, from the result of :func:`outside_parts`."""
    on_arms: _BoolArray = (outside[FIRST_BONE:_FIRST_LEG].min(0) < _ON_LIMB) & _nearest_to_arms(outside)
    return on_arms


def _nearest_to_arms(outside: FloatArray) -> _BoolArray:
    """Return the pixels beside the torso that are nearer to an arm than to a leg, or far from all legs."""
    arms, legs = outside[FIRST_BONE:_FIRST_LEG].min(0), outside[_FIRST_LEG:].min(0)
    return np.asarray((outside[TORSO_PART] > _ON_LIMB) & ((legs > arms) | (legs == 1)), np.bool_)


def outside_parts(wearer: Person, size: tuple[int, ...]) -> FloatArray:
    """Return a soft mask of the pixels outside each part of a body, (10, H, W)."""
    joints = complete_joints(torch.from_numpy(wearer.joints)[None])
    shapes = PartShapes.of(joints)
    whole = (slice(0, size[0]), slice(0, size[1]))
    return np.stack([shapes.outside(part, whole)[0].numpy() for part in range(len(PARTS))])


def uncovered_skin(wearer: Person, kind: str, bare: _BoolArray, worn: _BoolArray) -> _BoolArray:
    """Return the uncovered pixels that are skin: arms that end a shorter sleeve, legs below a skirt or shorts."""
    skin = np.zeros_like(bare)
    if kind in ON_TORSO:
        on_arms = _on_arms(outside_parts(wearer, bare.shape)) | _in_arms(wearer)
        skin |= bare & on_arms & _past_sleeves(wearer, worn) & _in_sleeves(wearer)
    rows = np.flatnonzero(worn.any(1))
    if kind in ("pants", "skirt", "dress") and len(rows) and _ends_above_ankles(wearer, rows[-1]):
        number = np.arange(len(bare))[:, None]
        hem = np.where(worn.any(0), np.where(worn, number, 0).max(0), rows[-1])
        skin |= bare & (number > hem) & below_hips(wearer)
    return skin


def sleeve_end(place: FloatArray, sleeve: _BoolArray, arm: _BoolArray) -> float:
    """Return how far along an arm a sleeve reaches: to the first tenth of a bone of which it covers less than half."""
    for start in np.arange(SHOULDER, 2.05, 0.1):
        part = arm & (place >= start) & (place < start + 0.1)
        if part.any() and sleeve[part].mean() < 0.5:
            return float(start)
    return 2.1


def _past_sleeves(wearer: Person, worn: _BoolArray) -> _BoolArray:
    """Return the pixels along the wearer's arms past the ends of a garment's sleeves, (H, W)."""
    past = np.zeros(worn.shape, bool)
    beside = outside_parts(wearer, worn.shape)[TORSO_PART] > _ON_LIMB
    for (u, v), (lower_u, lower_v) in bone_coordinates(wearer)[:2]:
        place = np.where((lower_u > 0) & (lower_v < _ARM_REACH), 1 + lower_u, u)
        away = np.where(place > 1, lower_v, v)
        end = sleeve_end(place, worn, (away < _BONE) & beside & (place < 2))
        past |= (away < _ARM_REACH) & (place > end)
    return past


def _in_arms(wearer: Person) -> _BoolArray:
    """Return the pixels nearer to an arm's bones than an arm is wide, (H, W)."""
    return np.asarray(np.minimum.reduce([away for _, away in limb_places(wearer)[:2]]) < _ARM, np.bool_)


def _in_sleeves(wearer: Person) -> _BoolArray:
    """Return the pixels along the wearer's arms up to where their bare arms begin, (H, W)."""
    arms = limb_places(wearer)[:2]
    nearest = np.argmin([away for _, away in arms], axis=0)
    inside = np.zeros(wearer.regions.shape, bool)
    for index, (place, away) in enumerate(arms):
        mine = nearest == index
        bare = place[mine & (away < _SLEEVE) & (wearer.regions == region_id("arms"))]
        inside |= mine & (place < (np.quantile(bare, 0.05) + _OVERLAP if len(bare) else np.inf))
    return inside


def _ends_above_ankles(wearer: Person, row: int) -> bool:
    """Return whether a garment's last row lies so far above both ankles that what is below is bare legs, not shoes."""
    size = torso_length(wearer)
    return row < _lower_ankle(wearer) - _BARE_ABOVE_ANKLE * size


def _lower_ankle(wearer: Person) -> float:
    """Return the row of the lower ankle; -infinity if none is known."""
    ankles = [wearer.joints[JOINTS.index(name)] for name in ("right_ankle", "left_ankle")]
    return max((float(ankle[1]) for ankle in ankles if ankle[2] > 0), default=-np.inf)
