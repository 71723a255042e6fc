"""First step of an edit: bring the new garment or hair into the wearer's pose, and find what it replaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scmnet_cli.errors import ScmError
from scmnet_cli.inference.edits.behind_hair import (
    beside,
    hair_rim,
    near_eyes,
    strands_beside,
    wisps_beside,
    with_hair_beside_face,
    with_seen_face,
)
from scmnet_cli.inference.edits.filling import torso_filled, waist_filled
from scmnet_cli.inference.edits.fitting import FITTED, fitted, own_collar
from scmnet_cli.inference.edits.garment_warp import warped_garment
from scmnet_cli.inference.edits.new_hair import slits_filled
from scmnet_cli.inference.edits.places import lies_flat
from scmnet_cli.inference.edits.wearer_faults import corrected, trousers_corrected
from scmnet_cli.inference.garments import ON_TORSO
from scmnet_cli.inference.limb_places import below_hips
from scmnet_cli.regions import region_id
from scmnet_cli.types import FloatArray, Person

if TYPE_CHECKING:
    from scmnet_cli.inference.pipeline import Pipeline

_BoolArray = npt.NDArray[np.bool_]

_TAKEN: Mapping[str, tuple[str, ...]] = {"dress": ("upper", "skirt")}
"""Regions of the reference that make up a kind of garment, if not the region of the same name."""

_REPLACED: Mapping[str, tuple[str, ...]] = {
    "pants": ("pants", "skirt"),
    "skirt": ("skirt", "pants"),
    "dress": ("upper", "skirt", "pants"),
}
_IN_FRONT: Mapping[str, tuple[str, ...]] = {
    "upper": ("hair", "face"),
    "dress": ("hair", "face"),
    "pants": ("hair", "face", "upper", "arms"),
    "skirt": ("hair", "face", "upper", "arms"),
    "legs": ("hair", "face", "upper", "arms", "pants", "skirt"),
    "arms": ("hair", "face", "upper"),
    "face": ("hair",),
}
"""Regions of the wearer that occlude a garment."""

_BELOW_WAIST = ("pants", "skirt")
_COAT_SHOWS_TROUSERS = 0.08  # share of the coat's area
_SPLITS_DRESS = {"upper": 0.1, "skirt": 0.33}
"""Kinds of garments that replace half of a dress, and how far above the hips it is divided, in torso lengths."""
_DRESS_BELOW_HIPS = 0.35  # in torso lengths: an upper garment that reaches further down is a dress
_LEAST_GARMENT, _LEAST_HAIR = 0.002, 0.0005  # minimum share of the canvas


@dataclass(frozen=True)
class PutOn:
    """A new garment or new hair on the wearer.

    Attributes:
        wearer: the wearer, with faults of the region map corrected.
        opacity: (H, W) in [0, 1], of what is new; 0 where the wearer's own pixels occlude it.
        colour: (H, W, 3) in 0-255.
        front: (H, W), the wearer's pixels that stay and occlude it.
        old: (H, W), the wearer's pixels that it replaces.
        rim: (H, W), of ``old``, pixels where removed hair mixes with what is beside it.
        wisps: (H, W), strands of removed hair in the background.
    """

    wearer: Person
    opacity: FloatArray
    colour: FloatArray
    front: _BoolArray
    old: _BoolArray
    rim: _BoolArray
    wisps: _BoolArray

    @property
    def worn(self) -> _BoolArray:
        """Where it is seen, (H, W)."""
        return self.opacity > 0.5


def put_on(pipeline: Pipeline, wearer: Person, reference: Person, kind: str) -> PutOn:
    """Bring a reference's garment or hair into the wearer's pose.

    Args:
        pipeline: names the regions of the reference in errors.
        wearer: the photo to edit.
        reference: a person who wears it, or a single garment with its joints.
        kind: kind of garment (``upper``, ``dress``, ``hair`` ...).

    Raises:
        ScmError: if the reference has no such garment.
    """
    wearer = corrected(_dress_split(wearer, kind), kind)
    if kind == "pants":
        reference = trousers_corrected(reference)
    garment, colour, sleeves = warped_garment(wearer, reference, regions_taken(kind), region_drawn(kind), kind)
    if kind in ON_TORSO and not lies_flat(reference):
        garment, colour = torso_filled(wearer, garment, colour)
    if (garment > 0.5).mean() < (_LEAST_HAIR if kind == "hair" else _LEAST_GARMENT):
        names = ", ".join(pipeline.present(reference))
        raise ScmError(f"{reference.name}: has no {kind} that fits {wearer.name}'s pose; it has {names}")
    if kind == "hair":
        wearer = with_hair_beside_face(with_seen_face(wearer))
        return _hair(wearer, *fitted(wearer, kind, (garment, colour), sleeves > 0.5, flat=lies_flat(reference)))
    front = np.isin(wearer.regions, [region_id(name) for name in _IN_FRONT[kind]]) | carried(wearer)
    replaced = np.isin(wearer.regions, [region_id(name) for name in _REPLACED.get(kind, (kind,))])
    if kind in _BELOW_WAIST:
        garment, colour = waist_filled(wearer, replaced, garment, colour)
    if kind in FITTED:
        front |= own_collar(wearer, kind, garment)
        garment, colour = fitted(wearer, kind, (garment, colour), sleeves > 0.5, flat=lies_flat(reference))
    none = np.zeros_like(front)
    return PutOn(wearer, garment * ~front, colour, front, replaced & ~front, none, none)


def _hair(wearer: Person, hair: FloatArray, colour: FloatArray) -> PutOn:
    """Return new hair; strands of the old that lie over the rim of the face go with the old hair."""
    front, had = (wearer.regions == region_id(name) for name in ("face", "hair"))
    rim = hair_rim(wearer) & beside(had & (hair < 0.5), wearer) & ~near_eyes(wearer)
    strands, pure = strands_beside(wearer)
    strands = np.where(rim | (hair >= 0.5), np.float32(0), strands)
    front &= strands == 0
    colour = np.where((strands > 0)[..., None], wearer.image + colour - pure, colour)
    hair = np.where(strands > 0, strands, hair) * ~front
    old = (had & ~front) | rim
    hair, colour = slits_filled(wearer, old, hair, colour)
    return PutOn(wearer, hair, colour, front, old, rim, wisps_beside(wearer))


def regions_taken(kind: str) -> list[int]:
    """Return the ids of the regions that make up a kind of garment."""
    return [region_id(name) for name in _TAKEN.get(kind, (kind,))]


def region_drawn(kind: str) -> int:
    """Return the id of the region that a kind of garment becomes."""
    return region_id("upper" if kind == "dress" else kind)


def carried(wearer: Person) -> _BoolArray:
    """Return what the wearer carries, such as a bag, (H, W)."""
    return np.zeros(wearer.regions.shape, np.bool_) if wearer.carried is None else wearer.carried


def _dress_split(wearer: Person, kind: str) -> Person:
    """Relabel the lower part of a dress as a skirt: a new top does not replace it, and a new skirt does.

    A new top ends at the hips, a new skirt begins at the waist. A coat over trousers is not a dress: it is replaced
    whole.
    """
    upper, pants = (wearer.regions == region_id(name) for name in ("upper", "pants"))
    is_coat = pants.sum() > _COAT_SHOWS_TROUSERS * upper.sum()
    if kind not in _SPLITS_DRESS or is_coat or not (upper & below_hips(wearer, -_DRESS_BELOW_HIPS)).any():
        return wearer
    labels = wearer.regions.copy()
    labels[upper & below_hips(wearer, _SPLITS_DRESS[kind])] = region_id("skirt")
    return replace(wearer, regions=labels)
