"""Check whether a photo shows the place where an edit puts a garment, and from which side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from scmnet_cli.errors import ScmError
from scmnet_cli.models.part_joints import HEAD_JOINTS, body_size
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Person

CUT_OUT = "wardrobe:"
"""Prefix of the names of cut-out garments."""

_NEEDED: Mapping[str, tuple[str, ...]] = {
    "upper": ("right_shoulder", "left_shoulder"),
    "dress": ("right_shoulder", "left_shoulder", "right_hip", "left_hip"),
    "pants": ("right_hip", "left_hip", "right_knee", "left_knee"),
    "skirt": ("right_hip", "left_hip"),
    "legs": ("right_knee", "left_knee"),
    "arms": ("right_elbow", "left_elbow"),
}
_FACE_JOINTS = ("nose", "right_eye", "left_eye")
_SHOULDERS_APART = 0.15


def check_place(wearer: Person, reference: Person, kind: str) -> None:
    """Check that the wearer's photo shows where a garment goes, seen from the same side as the reference.

    Raises:
        ScmError: if not.
    """
    missing = [name for name in _NEEDED.get(kind, ()) if wearer.joints[JOINTS.index(name), 2] <= 0]
    if missing:
        raise ScmError(
            f"{wearer.name}: does not show where {kind} would be ({', '.join(missing).replace('_', ' ')} not found); "
            "take a photo that shows more of the body, or give --force"
        )
    if lies_flat(reference) and not reference.name.startswith(CUT_OUT):
        raise ScmError(
            f"{reference.name}: shows no head, so it seems to have no wearer; give --ref flat:PHOTO for a flat or "
            "hanging garment, or --force"
        )
    if kind in ("hair", "face"):
        if not any(wearer.joints[JOINTS.index(name), 2] > 0 for name in _FACE_JOINTS):
            raise ScmError(f"{wearer.name}: is seen from behind, so {kind} cannot be changed; take a front view")
    elif _side(wearer) * _side(reference) < 0:
        raise ScmError(
            f"{wearer.name}: is seen from another side than {reference.name}; take photos of the same side, or give "
            "--force"
        )


def lies_flat(person: Person) -> bool:
    """Return whether the photo shows a garment without a wearer: no joint of the head is known."""
    return not (person.joints[list(HEAD_JOINTS), 2] > 0).any()


def _side(person: Person) -> float:
    """Return 1 for a person seen from the front, -1 from behind, 0 if the shoulders do not show it."""
    right, left = (person.joints[JOINTS.index(name)] for name in ("right_shoulder", "left_shoulder"))
    if right[2] <= 0 or left[2] <= 0:
        return 0.0
    across = float(left[0] - right[0])
    size = float(body_size(torch.from_numpy(person.joints)[None])[0])
    return 0.0 if abs(across) < _SHOULDERS_APART * size else float(np.sign(across))
