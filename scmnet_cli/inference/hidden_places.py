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

_ALONG = np.linspace(1.05, 1.4, 8)
"""Where a hand is along its forearm, in lengths of it from the elbow."""

_ASIDE = np.linspace(-0.2, 0.2, 5)
"""Where it is beside the forearm's axis, in lengths of the forearm."""

_SHOWN = 0.15
"""Least share of skin where a hand is."""

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
    if not (known[_SHOULDERS].all() and known[_HIPS].any() and known[_NECK]):
        return False
    torso = np.linalg.norm(joints[_NECK] - joints[_HIPS][known[_HIPS]].mean(0))
    return bool(np.linalg.norm(joints[_SHOULDERS[0]] - joints[_SHOULDERS[1]]) < _FROM_THE_SIDE * torso)


def _shows_hand(person: Person, elbow: int, wrist: int) -> bool:
    """Return whether there is skin beyond a wrist."""
    if (person.joints[[elbow, wrist], 2] <= 0).any():
        return False
    start, end = person.joints[elbow, :2], person.joints[wrist, :2]
    along: FloatArray = end - start
    across = np.array([-along[1], along[0]])
    points = start + _ALONG[:, None, None] * along + _ASIDE[:, None] * across
    x, y = np.moveaxis(points.round().astype(int), -1, 0)
    height, width = person.regions.shape
    within = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return bool(np.mean(within & (person.regions[y.clip(0, height - 1), x.clip(0, width - 1)] == _ARMS)) > _SHOWN)
