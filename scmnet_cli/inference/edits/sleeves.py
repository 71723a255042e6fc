"""Sleeves of a new top or dress: where they end, how wide they are, and what becomes of the wearer's own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from scmnet_cli.inference.edits.uncovered import SHOULDER, sleeve_end
from scmnet_cli.inference.limb_places import beyond_torso, limb_places, torso_length
from scmnet_cli.inference.shape_matching import distance_outside
from scmnet_cli.models.part_joints import complete_joints
from scmnet_cli.models.parts import LIMBS
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.types import FloatArray, Person

_BoolArray = npt.NDArray[np.bool_]

_ARMS = region_id("arms")
_SAME_SLEEVE, _MUCH_LONGER = 0.45, 0.8
"""Ends of sleeves that are nearer than this share of a bone are the same. Sleeves are cut off only if they are longer
by the second share: bare arms are drawn, and not as good as cloth."""
_SLEEVE, _ARM = 0.2, 0.07
"""Torso lengths from an arm's bones that a sleeve may be wide, and from which on cloth beside the torso is its own."""
_CUFF = 0.2
"""Lengths of an arm's bone by which a sleeve may reach over the place where it covers half an arm."""
_BONE = 0.05  # half width of a limb's middle in torso lengths
_OLD_CUFF = (0.6, 0.3)
"""Lengths of an arm's bone above the end of the old sleeve between which a longer one takes its own width."""
_SLICE, _SLICES, _EVENED = 0.05, 45, 15
"""Length of the slices, in lengths of an arm's bone, in which a sleeve's width is measured, their number, and how many
a median evens out."""
_BUMP, _BAG_EDGE = -0.01, 0.03
"""Torso lengths: what is farther outside is a bump, negative; and the background beside a bag, which stays."""


def sleeved(wearer: Person, sleeves: _BoolArray, own: _BoolArray) -> tuple[_BoolArray, _BoolArray]:
    """Return the wearer's own top with the new one's sleeves, and the pixels on arms."""
    target, on_arms = own.copy(), np.zeros_like(own)
    arms = limb_places(wearer)[:2]
    nearest = np.argmin([away for _, away in arms], axis=0)
    for index, (place, away) in enumerate(arms):
        mine = (
            (nearest == index)
            & (away < _SLEEVE)
            & (place > SHOULDER)
            & (place < 2.2)
            & (away < beyond_torso(wearer, index))
            & ((away < _ARM) | ~_inside_arm(wearer, index, place))
        )
        on_bone = (nearest == index) & (away < _BONE)
        new = sleeve_end(place, sleeves, on_bone)
        old = sleeve_end(place, own, on_bone & (own | (wearer.regions == _ARMS)))
        on_arms |= mine
        if abs(new - old) < _SAME_SLEEVE or old - _MUCH_LONGER < new < old:
            continue
        if new > old:
            arm = (nearest == index) & (away < _SLEEVE) & (wearer.regions == _ARMS)
            covered = arm & (place <= min(new, 2.0)) & (sleeves | (place > SHOULDER))
            covered |= arm & sleeves & (place > SHOULDER) & (place < new + _CUFF)
            target |= covered
            share = ((place - old + _OLD_CUFF[0]) / (_OLD_CUFF[0] - _OLD_CUFF[1])).clip(0, 1)
            free = mine & (share > 0) & (own | ((wearer.regions == BACKGROUND) & ~_at_bag(wearer)))
            tube = _tube(wearer, index, (place, away), ((nearest == index) & sleeves, arm)) & (place < new)
            outlines = (distance_outside(target), distance_outside(tube))
            target = np.where(free, outlines[0] * (1 - share) + outlines[1] * share < 0, target)
        else:
            target &= ~(mine & (place > new))
            target &= ~_scraps(target, (nearest == index) & (place > new))
    return target, on_arms


def _scraps(target: _BoolArray, past: _BoolArray) -> _BoolArray:
    """Return the pieces of a top that lie past the end of its sleeve, such as a wide cuff of the old one, (H, W)."""
    from scipy import ndimage

    pieces, num = ndimage.label(target, np.ones((3, 3)))
    belong = np.bincount(pieces[target & ~past], minlength=num + 1) > 0
    return np.asarray((pieces > 0) & ~belong[pieces], np.bool_)


def without_bumps(wearer: Person, worn: _BoolArray, sleeves: _BoolArray) -> _BoolArray:
    """Return a warped garment without bumps at the outer sides of its sleeves, such as bent elbows leave.

    Shape:
        worn, sleeves, result: (H, W).
    """
    arms = limb_places(wearer)[:2]
    nearest = np.argmin([away for _, away in arms], axis=0)
    bumps = np.zeros_like(worn)
    for index, (place, away) in enumerate(arms):
        mine = sleeves & (nearest == index)
        if mine.any():
            outer = (place > SHOULDER) & ~_inside_arm(wearer, index, place) & (beyond_torso(wearer, index) > away)
            bumps |= mine & outer & ~_tube(wearer, index, (place, away + _BUMP), (mine,))
    return np.asarray(worn & ~bumps, np.bool_)


def _tube(
    wearer: Person, index: int, places: tuple[FloatArray, FloatArray], layers: tuple[_BoolArray, ...]
) -> _BoolArray:
    """Return a sleeve as wide along the arm as the widest of some layers on each side, evened out, (H, W).

    Args:
        wearer: the person.
        index: 0 for the right arm, 1 for the left.
        places: coordinates along the arm and across it, as of ``limb_places``.
        layers: masks of the warped sleeve and of the bare arm.
    """
    from scipy import ndimage

    place, away = places
    number = (place / _SLICE).astype(np.int64).clip(0, _SLICES - 1)
    inside = _inside_arm(wearer, index, place)
    tube = np.zeros_like(inside)
    for side in (inside, ~inside):
        widest = np.zeros(_SLICES)
        for layer in layers:
            near = layer & side & (away < _SLEEVE)
            widths = np.zeros(_SLICES)
            np.maximum.at(widths, number[near], away[near])
            seen = np.flatnonzero(widths)
            if len(seen):
                even = ndimage.median_filter(widths[seen], _EVENED, mode="nearest")
                widest = np.maximum(widest, np.interp(np.arange(_SLICES), seen, even))
        tube |= side & (away < ndimage.gaussian_filter1d(widest, 2, mode="nearest")[number])
    return tube


def _at_bag(wearer: Person) -> _BoolArray:
    """Return the pixels of bags and right beside them, (H, W)."""
    from scipy import ndimage

    if wearer.carried is None:
        return np.zeros(wearer.regions.shape, np.bool_)
    width = max(1, round(_BAG_EDGE * torso_length(wearer)))
    return np.asarray(ndimage.binary_dilation(wearer.carried, iterations=width), np.bool_)


def _inside_arm(wearer: Person, index: int, place: FloatArray) -> _BoolArray:
    """Return the pixels between an arm's bones and the torso, (H, W); ``place`` is where they are along the arm."""
    beyond = beyond_torso(wearer, index)
    joints = complete_joints(torch.from_numpy(wearer.joints)[None])[0].numpy()[list(LIMBS[index])]
    rows, columns = (joints[:, axis].round().astype(int).clip(0, beyond.shape[1 - axis] - 1) for axis in (1, 0))
    return np.asarray(beyond < np.interp(place, np.arange(len(joints)), beyond[rows, columns]), np.bool_)
