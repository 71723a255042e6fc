"""Name the parts of a person that a photo does not show, so that users know which parts of a picture are invented."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import FloatArray, Person

_ARMS, _GARMENTS = region_id("arms"), [region_id(name) for name in ("pants", "skirt", "upper")]
_Places = npt.NDArray[np.floating[Any]]

_NECK = JOINTS.index("neck")
_SHOULDERS, _ELBOWS, _WRISTS, _HIPS, _KNEES, _ANKLES = (
    [JOINTS.index(f"{side}_{name}") for side in ("right", "left")]
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
)
_FACE = [JOINTS.index(name) for name in ("nose", "right_eye", "left_eye")]

_PAST, _ASIDE = np.linspace(0.02, 0.26, 9), np.linspace(-0.1, 0.1, 7)
"""Where a hand is past the wrist and beside the forearm's axis, in torso lengths."""

_ALONG, _ACROSS, _SHORT = np.linspace(0, 0.5, 51), np.linspace(-0.08, 0.08, 9), 0.165
"""Torso lengths past the wrist and across; a hand that is shorter and ends at garments is in a pocket."""

_SHOWN = 0.1
"""Least share of skin where a hand is. These are the measures of ``unseen_limbs.py``, which decides what is drawn."""

_FOREARMS = 1.9  # torso lengths are estimated as this many forearms where hips or neck are unknown

_FROM_THE_SIDE = 0.42
"""Shoulders that are nearer to each other than this share of the distance from neck to hips: a side view."""


def hidden_places(person: Person) -> list[str]:
    """Say what a photo of a person does not show, one sentence each; empty for a photo that shows all.

    A pose may need these places. What the picture has there is invented, or is the other limb, mirrored.

    Args:
        person: the person on a canvas, with region map and joints.
    """
    if person.domain == "face":
        return []
    known = person.joints[:, 2] > 0
    found = []
    if known[_SHOULDERS].all() and not known[_FACE].any():
        found.append("the person is seen from behind: there is no face to draw")
    elif from_the_side(person):
        found.append("the person is seen from the side: the chest and the far side of the clothes are invented")
    hands = [_shows_hand(person, elbow, wrist) for elbow, wrist in zip(_ELBOWS, _WRISTS, strict=True)]
    if not any(hands):
        found.append("neither hand shows: both are invented")
    elif not all(hands):
        found.append("one hand does not show: it is invented, or the other one mirrored")
    if not known[[*_KNEES, *_ANKLES]].any():
        found.append("no leg shows: both are invented")
    elif not known[_ANKLES].any():
        found.append("no foot shows: both are invented")
    return found


def from_the_side(person: Person) -> bool:
    """Return whether a person is seen from the side; False if the joints do not show it."""
    joints, known = person.joints[:, :2], person.joints[:, 2] > 0
    torso = _torso(person)
    if torso is None or not known[_SHOULDERS].all():
        return False
    return bool(np.linalg.norm(joints[_SHOULDERS[0]] - joints[_SHOULDERS[1]]) < _FROM_THE_SIDE * torso)


def _torso(person: Person) -> float | None:
    """Return the distance from neck to hips in pixels; None if one of them is unknown."""
    joints, known = person.joints[:, :2], person.joints[:, 2] > 0
    if not (known[_NECK] and known[_HIPS].any()):
        return None
    return float(np.linalg.norm(joints[_NECK] - joints[_HIPS][known[_HIPS]].mean(0)))


def _shows_hand(person: Person, elbow: int, wrist: int) -> bool:
    """Return whether there is skin beyond a wrist, and the hand is in no pocket."""
    if (person.joints[[elbow, wrist], 2] <= 0).any():
        return False
    start, end = person.joints[elbow, :2], person.joints[wrist, :2]
    forearm = float(np.linalg.norm(end - start))
    size = _torso(person) or _FOREARMS * forearm
    along: FloatArray = (end - start) * (size / max(forearm, 1e-3))
    if np.mean(_regions_past(person, end, along, _PAST, _ASIDE) == _ARMS) < _SHOWN:
        return False
    regions = _regions_past(person, end, along, _ALONG, _ACROSS)
    length = int(np.logical_and.accumulate((regions == _ARMS).any(1)).sum())
    at_garment = np.isin(regions[min(length + 1, len(regions) - 1)], _GARMENTS).mean() > 0.5
    return not (0 < length < _SHORT * (len(regions) - 1) / _ALONG[-1] and at_garment)


def _regions_past(
    person: Person, wrist: FloatArray, along: FloatArray, past: _Places, aside: _Places
) -> npt.NDArray[np.int64]:
    """Return the regions on a grid past a wrist, (K, J); -1 outside the canvas.

    Args:
        person: the person.
        wrist: where the wrist is.
        along: a torso length along the forearm.
        past: torso lengths along the forearm.
        aside: torso lengths across it.

    Shape:
        wrist, along: (2,); past: (K,); aside: (J,).
    """
    across = np.array([-along[1], along[0]])
    points = wrist + past[:, None, None] * along + aside[:, None] * across
    x, y = np.moveaxis(np.floor(points + 0.5).astype(int), -1, 0)
    height, width = person.regions.shape
    within = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    found = person.regions[y.clip(0, height - 1), x.clip(0, width - 1)].astype(np.int64)
    return np.where(within, found, -1)
