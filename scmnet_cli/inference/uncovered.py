"""Areas that an edit uncovers: bare skin, with the shape and colour of the wearer's limbs, or background.

A garment is wider than the limb in it. So bare arms and legs have typical widths around the wearer's bones, and the
colour of the skin that the photo shows.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

from scmnet_cli.inference.behind_hair import over_clothes, whole_head
from scmnet_cli.models.part_joints import FIRST_BONE, HEAD_PART, LIMBS, PARTS, TORSO_PART, body_size, complete_joints
from scmnet_cli.models.part_shapes import PartShapes
from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import FloatArray, Person

_BoolArray = npt.NDArray[np.bool_]

ON_TORSO = ("upper", "dress")
"""Kinds of garments that have sleeves."""

_FIRST_LEG = 6  # part
_ON_LIMB = 0.3  # of the soft border of a part
_BARE_ABOVE_ANKLE = 0.3  # torso lengths: a garment that ends higher leaves legs bare
_LEG_WIDTHS = ((0.17, 0.16, 0.13, 0.11), (0.11, 0.12, 0.105, 0.075, 0.06))
_ARM_WIDTHS = ((0.12, 0.095, 0.085), (0.085, 0.08, 0.06, 0.055))
"""Half widths of bare legs and arms at equal distances along their two bones, in torso lengths."""
_PAST_END = 1.3  # lengths of a bone
_LIMB_EDGE, _ARM_REACH, _SLEEVE = 0.008, 0.3, 0.15
"""In torso lengths: soft edge of a bare limb; distance from an arm up to which pixels are the arm's; half width within
which a garment is a sleeve."""
_SHADING = 0.25  # how much darker a bare limb is at its outline
_SOCKS = 0.25  # torso lengths above the hem of trousers from which bare legs may still show
_LEGS_BELOW = 0.2  # torso lengths of bare leg that show its colour
_LEAST_SKIN = 0.001  # share of the canvas
_VARIATION = 20.0  # of 255: the largest deviation from the skin's colour


def gone(wearer: Person, kind: str, worn: _BoolArray) -> _BoolArray:
    """Return the wearer's pixels that become background around a new garment or hair.

    They are bare legs beside new trousers, an old sleeve beside a narrower one, and hair beside the body.
    """
    lost = np.zeros_like(worn)
    outside = outside_parts(wearer, worn.shape)
    if kind == "pants" and worn.any():
        size = float(body_size(torch.from_numpy(wearer.joints)[None])[0])
        above = np.arange(len(worn))[:, None] < np.flatnonzero(worn.any(1))[-1] - _SOCKS * size
        lost = (wearer.regions == region_id("legs")) & ~worn & above
    if kind in ON_TORSO:
        old = (wearer.regions == region_id("upper")) & ~worn
        lost = old & _on_arms(outside) & ~_past_sleeves(wearer, worn)
    if kind == "hair":
        beside = np.delete(outside, HEAD_PART, axis=0).min(0) > _ON_LIMB
        lost = (
            (wearer.regions == region_id("hair")) & ~worn & beside & (whole_head(wearer) == 0) & ~over_clothes(wearer)
        )
    return lost


def _on_arms(outside: FloatArray) -> _BoolArray:
    """Return the pixels on an arm and beside the torso and legs, from the result of :func:`outside_parts`."""
    arms, legs = outside[FIRST_BONE:_FIRST_LEG].min(0), outside[_FIRST_LEG:].min(0)
    on_arms: _BoolArray = (arms < _ON_LIMB) & (outside[TORSO_PART] > _ON_LIMB) & (legs > arms)
    return on_arms


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
        skin |= bare & _on_arms(outside_parts(wearer, bare.shape)) & _past_sleeves(wearer, worn)
    rows = np.flatnonzero(worn.any(1))
    if kind in ("pants", "skirt", "dress") and len(rows) and _ends_above_ankles(wearer, rows[-1]):
        number = np.arange(len(bare))[:, None]
        hem = np.where(worn.any(0), np.where(worn, number, 0).max(0), rows[-1])
        skin |= bare & (number > hem) & below_hips(wearer)
    return skin


def bare_limbs(wearer: Person) -> tuple[FloatArray, FloatArray]:
    """Return a soft mask of bare limbs around the wearer's joints, and their shading: darker towards their outlines.

    Garments are wider than the limbs inside.

    Shape:
        results: (H, W) in [0, 1].
    """
    inside = np.zeros(wearer.regions.shape, np.float32)
    edge = np.ones(wearer.regions.shape, np.float32)
    for bones, widths_of_bones in zip(
        _limb_coordinates(wearer), (_ARM_WIDTHS, _ARM_WIDTHS, _LEG_WIDTHS, _LEG_WIDTHS), strict=True
    ):
        for (u, v), widths in zip(bones, widths_of_bones, strict=True):
            width = np.interp(u, np.linspace(0, 1, len(widths)), widths)
            width = np.where((u > -0.1) & (u < _PAST_END), width, 0)
            inside = np.maximum(inside, ((width - v) / _LIMB_EDGE).clip(0, 1))
            edge = np.minimum(edge, v / width.clip(min=1e-6))
    return inside.astype(np.float32), (1 - _SHADING * edge.clip(0, 1) ** 2).astype(np.float32)


def _limb_coordinates(wearer: Person) -> list[list[tuple[FloatArray, FloatArray]]]:
    """Return, for both bones of arms and legs, pixel coordinates along the bone and across it, in torso lengths.

    Along the bone they are 0 at its start and 1 at its end; across it they are infinite if the limb is unknown.
    """
    joints = complete_joints(torch.from_numpy(wearer.joints)[None])[0].numpy()
    size = float(body_size(torch.from_numpy(wearer.joints)[None])[0])
    rows, columns = np.mgrid[: len(wearer.regions), : wearer.regions.shape[1]].astype(np.float32)
    found = []
    for limb in LIMBS:
        bones = []
        for start, end in pairwise(joints[list(limb)]):
            along = end[:2] - start[:2]
            length = max(float(np.hypot(*along)), 1e-3)
            x, y = columns - start[0], rows - start[1]
            across = abs(y * along[0] - x * along[1]) / (length * size)
            known = start[2] > 0 and end[2] > 0
            bones.append(((x * along[0] + y * along[1]) / length**2, across if known else np.full_like(across, np.inf)))
        found.append(bones)
    return found


def _past_sleeves(wearer: Person, worn: _BoolArray) -> _BoolArray:
    """Return the pixels along the wearer's arms past the ends of a garment's sleeves, (H, W)."""
    past = np.zeros(worn.shape, bool)
    beside = outside_parts(wearer, worn.shape)[TORSO_PART] > _ON_LIMB
    for (u, v), (lower_u, lower_v) in _limb_coordinates(wearer)[:2]:
        place = np.where((lower_u > 0) & (lower_v < _ARM_REACH), 1 + lower_u, u)
        away = np.where(place > 1, lower_v, v)
        sleeve = place[worn & (away < _SLEEVE) & beside & (place < 1 + _PAST_END)]
        past |= (away < _ARM_REACH) & (place > (np.quantile(sleeve, 0.98) if len(sleeve) else 0))
    return past


def skin_toned(wearer: Person, drawn: npt.NDArray[np.float32], skin: _BoolArray) -> npt.NDArray[np.float32]:
    """Give drawn pixels the wearer's skin colour: that of the legs just below, else of face and arms.

    What the drawn pixels vary by stays, halved, up to a limit.
    """
    own = np.isin(wearer.regions, [region_id("arms"), region_id("face")])
    rows = np.flatnonzero(skin.any(1))
    if len(rows):
        size = float(body_size(torch.from_numpy(wearer.joints)[None])[0])
        legs = (wearer.regions == region_id("legs")) & skin.any(0)
        legs[: rows[-1]], legs[rows[-1] + round(_LEGS_BELOW * size) :] = False, False
        if legs.any(1).sum() >= _LEGS_BELOW / 2 * size and _ends_above_ankles(wearer, rows[-1]):
            own = legs
    if not skin.any() or own.mean() <= _LEAST_SKIN:
        return drawn
    colour = np.median(wearer.image[own], axis=0).astype(np.float32)
    toned = colour + ((drawn - np.median(drawn[skin], axis=0)) / 2).clip(-_VARIATION, _VARIATION)
    return np.where(skin[..., None], toned.clip(0, 255), drawn).astype(np.float32)


def _ends_above_ankles(wearer: Person, row: int) -> bool:
    """Return whether a garment's last row lies so far above both ankles that what is below is bare legs, not shoes."""
    ankles = [wearer.joints[JOINTS.index(name)] for name in ("right_ankle", "left_ankle")]
    known = [float(ankle[1]) for ankle in ankles if ankle[2] > 0]
    size = float(body_size(torch.from_numpy(wearer.joints)[None])[0])
    return bool(known) and row < max(known) - _BARE_ABOVE_ANKLE * size


def below_hips(person: Person, above: float = 0) -> _BoolArray:
    """Return the rows below a person's hips, or ``above`` torso lengths higher, (H, 1); none if hips are unknown."""
    hips = [person.joints[JOINTS.index(name)] for name in ("right_hip", "left_hip")]
    known = [hip[1] for hip in hips if hip[2] > 0]
    line = float(np.mean(known)) if known else float("inf")
    line -= above * float(body_size(torch.from_numpy(person.joints)[None])[0])
    below: _BoolArray = np.arange(len(person.regions))[:, None] > line
    return below
