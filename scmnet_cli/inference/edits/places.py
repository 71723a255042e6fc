"""Check whether photos show the place where an edit puts a garment and enough of the garment, from the same side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from scmnet_cli.errors import ScmError
from scmnet_cli.models.part_joints import body_size
from scmnet_cli.models.parts import HEAD_JOINTS
from scmnet_cli.regions import BACKGROUND, region_id
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
_COVERING: Mapping[str, tuple[str, ...]] = {
    "pants": ("arms", "hair", "upper"),
    "skirt": ("arms", "hair", "upper"),
}
"""Regions that may cover much of a garment; bags too. What arms hide of a top is filled (``filling.torso_filled``)."""
_NAMES = {"arms": "an arm", "hair": "hair", "upper": "a top or jacket", "bag": "a bag"}
_MOST_COVERED, _MENTIONED = 0.18, 0.05
"""Share of a reference's garment that may be covered, and of it that something covers to be named. Of 18 pairs of
trousers and skirts in 19 photos 16 have at most 0.16; the other two, 0.21 and 0.27, are skirts below a jacket."""
_FACE_JOINTS = ("nose", "right_eye", "left_eye")
_SHOULDERS_APART = 0.15


def check_place(wearer: Person, reference: Person, kind: str) -> None:
    """Check that the wearer's photo shows where a garment goes, from the same side as the reference shows most of it.

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
    _check_covered(reference, kind)
    if kind in ("hair", "face"):
        if not any(wearer.joints[JOINTS.index(name), 2] > 0 for name in _FACE_JOINTS):
            raise ScmError(f"{wearer.name}: is seen from behind, so {kind} cannot be changed; take a front view")
    elif _side(wearer) * _side(reference) < 0:
        raise ScmError(
            f"{wearer.name}: is seen from another side than {reference.name}; take photos of the same side, or give "
            "--force"
        )


def _check_covered(reference: Person, kind: str) -> None:
    """Check that arms, hair, bags and other clothes leave most of a reference's garment free.

    Raises:
        ScmError: if not.
    """
    if kind not in _COVERING or lies_flat(reference):
        return
    shares = covered_shares(reference, kind)
    if sum(shares.values()) > _MOST_COVERED:
        names = [_NAMES[name] for name, share in shares.items() if share > _MENTIONED]
        raise ScmError(
            f"{reference.name}: {' and '.join(names)} cover{'s' * (len(names) == 1)} {sum(shares.values()):.0%} of the "
            f"{kind}; take a photo that shows it whole, or give --force to draw it anyway"
        )


def covered_shares(person: Person, kind: str) -> dict[str, float]:
    """Return the shares of a garment that arms, hair, bags or other clothes cover, most first.

    A garment is taken for convex.
    """
    from skimage.morphology import convex_hull_image

    garment = person.regions == region_id(kind)
    if not garment.any():
        return {}
    hull = np.asarray(convex_hull_image(garment), np.bool_)  # type: ignore[no-untyped-call]
    covers = {name: hull & (person.regions == region_id(name)) for name in _COVERING[kind]}
    if person.carried is not None:
        covers["bag"] = hull & person.carried & (person.regions == BACKGROUND)
    whole = int((garment & hull).sum()) + sum(int(cover.sum()) for cover in covers.values())
    shares = {name: float(cover.sum()) / max(whole, 1) for name, cover in covers.items()}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


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
