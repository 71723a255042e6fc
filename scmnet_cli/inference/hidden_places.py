"""Name the parts of a person that a photo does not show, so that users know which parts of a picture are invented."""

from __future__ import annotations

import numpy as np

from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import FloatArray, Person

_ARMS = region_id("arms")
_NECK = JOINTS.index("neck")
_SHOULDERS, _ELBOWS, _WRISTS, _HIPS, _KNEES, _ANKLES = (
    [JOINTS.index(f"{side}_{name}") for side in ("right", "left")]
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
)
_FACE = [JOINTS.index(name) for name in ("nose", "right_eye", "left_eye")]

_PAST, _ASIDE = np.linspace(0.02, 0.26, 9), np.linspace(-0.1, 0.1, 7)
"""Where a hand is past the wrist and beside the forearm's axis, in torso lengths."""

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
    """Return whether there is skin beyond a wrist."""
    if (person.joints[[elbow, wrist], 2] <= 0).any():
        return False
    start, end = person.joints[elbow, :2], person.joints[wrist, :2]
    forearm = float(np.linalg.norm(end - start))
    size = _torso(person) or _FOREARMS * forearm
    along: FloatArray = (end - start) * (size / max(forearm, 1e-3))
    across = np.array([-along[1], along[0]])
    points = end + _PAST[:, None, None] * along + _ASIDE[:, None] * across
    x, y = np.moveaxis(np.floor(points + 0.5).astype(int), -1, 0)
    height, width = person.regions.shape
    within = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return bool(np.mean(within & (person.regions[y.clip(0, height - 1), x.clip(0, width - 1)] == _ARMS)) >= _SHOWN)
