"""The eight regions of a body or a face: names, ids, colours, and conversion of label maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.types import UInt8Array

if TYPE_CHECKING:
    from torch import Tensor

BODY_REGIONS = ("background", "pants", "hair", "skirt", "face", "upper", "arms", "legs")
"""Names of the body regions; the index is the id in every label map."""

FACE_REGIONS = ("background", "skin", "hair", "brows", "eyes", "nose", "mouth", "cloth")
"""Names of the face regions; the index is the id."""

NUM_REGIONS = len(BODY_REGIONS)
BACKGROUND = 0

COLOURS = (
    (230, 230, 230), (31, 96, 180), (110, 64, 30), (190, 80, 190),
    (245, 190, 150), (220, 60, 50), (250, 160, 60), (60, 160, 80),
)  # fmt: skip
"""RGB colour of each region in drawings."""

_LIP20 = (
    "background", "hair", "hair", "arms", "face", "upper", "upper", "upper", "legs", "pants",
    "upper", "upper", "skirt", "face", "arms", "arms", "legs", "legs", "legs", "legs",
)  # fmt: skip

SKIN = "skin"
"""Label of a label set that is not a region: skin of face, arms and legs; the nearest limb decides."""

# Classes of ATR, in the order of SCHP's ATR model too (simple_extractor.py of its repository).
_ATR18 = {
    "Background": "background", "Hat": "hair", "Hair": "hair", "Sunglasses": "face", "Upper-clothes": "upper",
    "Skirt": "skirt", "Pants": "pants", "Dress": "upper", "Belt": "upper", "Left-shoe": "legs", "Right-shoe": "legs",
    "Face": "face", "Left-leg": "legs", "Right-leg": "legs", "Left-arm": "arms", "Right-arm": "arms",
    "Bag": "background", "Scarf": "upper",
}  # fmt: skip

# SCHP's Pascal-Person-Part model (the same file): parts of the body, dressed or not, so clothes are a guess.
_SCHP_PASCAL = {
    "Background": "background", "Head": "face", "Torso": "upper", "Upper Arms": "arms", "Lower Arms": "arms",
    "Upper Legs": "pants", "Lower Legs": "legs",
}  # fmt: skip

# FASHN Human Parser (labels.py of fashn-human-parser 0.1.1); its torso is bare skin, like CIHP's label 10.
_FASHN18 = {
    "background": "background", "face": "face", "hair": "hair", "top": "upper", "dress": "upper", "skirt": "skirt",
    "pants": "pants", "belt": "upper", "bag": "background", "hat": "hair", "scarf": "upper", "glasses": "face",
    "arms": "arms", "hands": "arms", "legs": "legs", "feet": "legs", "torso": "face", "jewelry": SKIN,
}  # fmt: skip

_CCP59 = {
    "background": "null bag purse wallet accessories",
    "pants": "jeans leggings pants shorts panties",
    "hair": "hair hat",
    "skirt": "skirt",
    "face": "glasses sunglasses earrings",
    "upper": "belt blazer blouse bodysuit bra cape cardigan coat dress hoodie intimate jacket jumper necklace romper "
    "scarf shirt suit sweater sweatshirt swimwear t-shirt tie top vest",
    "arms": "bracelet gloves ring watch",
    "legs": "boots clogs flats heels loafers pumps sandals shoes sneakers socks stockings tights wedges",
}


def ccp_regions(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the body region of each label of Clothing Co-Parsing, in order; ``skin`` stays ``skin``.

    Raises:
        ScmError: if a label is not one of CCP's 59.
    """
    region_of = {label: region for region, words in _CCP59.items() for label in words.split()} | {SKIN: SKIN}
    for label in labels:
        if label not in region_of:
            raise ScmError(f"label '{label}' is not one of the 59 of Clothing Co-Parsing{nearest(label, region_of)}")
    return tuple(region_of[label] for label in labels)


LABEL_SETS: Mapping[str, tuple[str, ...]] = {
    "regions": BODY_REGIONS,
    "lip20": _LIP20,
    "cihp20": (*_LIP20[:10], "face", *_LIP20[11:]),
    "atr18": tuple(_ATR18.values()),
    "schp-lip": _LIP20,
    "schp-atr": tuple(_ATR18.values()),
    "schp-pascal": tuple(_SCHP_PASCAL.values()),
    "fashn18": tuple(_FASHN18.values()),
    # Clothing Co-Parsing's label_list.mat: null, then the others in alphabetical order.
    "ccp59": ccp_regions(["null", *sorted({SKIN, *" ".join(_CCP59.values()).split()} - {"null"})]),
    "spl8": ("background", "hair", "hair", "upper", "pants", "pants", "arms", "face"),
}
"""Published label sets: the body region of each label in order of its id (docs/design.md, section 1).

CIHP-20 differs from LIP-20 in label 10: torso skin, not jumpsuits. PISE's SPL8 has neither skirt nor legs: its lower
body is pants.
"""


CELEBAMASK_PARTS = (
    "background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip",
    "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth",
)  # fmt: skip
"""CelebAMask-HQ's parts of a face by id, with the names of its files (``eye_g``: glasses; ``neck_l``: a necklace)."""

CELEBAMASK19 = (
    "background", "skin", "nose", "eyes", "eyes", "eyes", "brows", "brows", "skin", "skin", "mouth", "mouth", "mouth",
    "hair", "hair", "skin", "skin", "skin", "cloth",
)  # fmt: skip
"""The face region of each part of CelebAMask-HQ."""


def region_id(name: str, regions: Sequence[str] = BODY_REGIONS) -> int:
    """Return the id of a named region among ``regions``.

    Raises:
        ScmError: if there is no such region.
    """
    if name not in regions:
        raise ScmError(f"region '{name}' is not one of {', '.join(regions)}{nearest(name, regions)}")
    return list(regions).index(name)


def one_hot(labels: Tensor) -> Tensor:
    """Convert label maps to one mask per region.

    Shape:
        labels: (B, H, W) integers 0-7; result: (B, 8, H, W) float32, one-hot over regions.
    """
    import torch

    ids = torch.arange(NUM_REGIONS, device=labels.device, dtype=labels.dtype)
    return (labels[:, None] == ids[None, :, None, None]).float()


def to_regions(
    labels: npt.NDArray[np.integer], regions: Sequence[str], names: Sequence[str] = BODY_REGIONS
) -> UInt8Array:
    """Convert a label map of another label set to the eight regions.

    Args:
        labels: ids of the other set.
        regions: the region of each of its ids, such as a value of :data:`LABEL_SETS`.
        names: names of the eight regions, of a body or of a face.

    Shape:
        labels: (H, W) integers; result: (H, W) uint8 0-7.

    Raises:
        ScmError: if an id is not in the set.
    """
    low, high = int(labels.min(initial=0)), int(labels.max(initial=0))
    if low < 0 or high >= len(regions):
        raise ScmError(f"holds id {low if low < 0 else high}, beyond 0-{len(regions) - 1}")
    table = np.array([region_id(region, names) for region in regions], np.uint8)
    regions_of_photo: UInt8Array = table[labels]
    return regions_of_photo
