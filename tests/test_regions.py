"""Other label sets map to the eight body regions as listed in docs/design.md, section 1."""

from __future__ import annotations

import numpy as np
import pytest

from scmnet_cli.errors import ScmError
from scmnet_cli.regions import BODY_REGIONS, LABEL_SETS, SKIN, ccp_regions, region_id, to_regions

LIP = {
    "background": "Background", "pants": "Pants", "hair": "Hat Hair", "skirt": "Skirt", "face": "Sunglasses Face",
    "upper": "Upper-clothes Dress Coat Jumpsuits Scarf", "arms": "Glove Left-arm Right-arm",
    "legs": "Socks Left-leg Right-leg Left-shoe Right-shoe",
}  # fmt: skip
CIHP = LIP | {"face": "Sunglasses Torso-skin Face", "upper": "Upper-clothes Dress Coat Scarf"}
ATR = {
    "background": "Background Bag", "pants": "Pants", "hair": "Hat Hair", "skirt": "Skirt", "face": "Sunglasses Face",
    "upper": "Upper-clothes Dress Belt Scarf", "arms": "Left-arm Right-arm",
    "legs": "Left-shoe Right-shoe Left-leg Right-leg",
}  # fmt: skip
PASCAL = {
    "background": "Background", "face": "Head", "upper": "Torso", "arms": "Upper-Arms Lower-Arms",
    "pants": "Upper-Legs", "legs": "Lower-Legs",
}  # fmt: skip
FASHN = {
    "background": "background bag", "pants": "pants", "hair": "hair hat", "skirt": "skirt",
    "face": "face glasses torso", "upper": "top dress belt scarf", "arms": "arms hands", "legs": "legs feet",
    SKIN: "jewelry",
}  # fmt: skip
CCP = {
    "background": "null bag purse wallet accessories", "pants": "jeans leggings pants shorts panties",
    "hair": "hair hat", "skirt": "skirt", "face": "glasses sunglasses earrings", "arms": "gloves watch ring bracelet",
    SKIN: "skin",
    "upper": "blazer blouse bodysuit bra cape cardigan coat dress hoodie intimate jacket jumper romper shirt suit "
    "sweater sweatshirt swimwear t-shirt top vest scarf tie belt necklace",
    "legs": "boots clogs flats heels loafers pumps sandals shoes sneakers wedges socks stockings tights",
}  # fmt: skip
SPL8 = {
    "background": "background", "hair": "hat hair", "upper": "upper", "pants": "lower-1 lower-2", "arms": "skin",
    "face": "face",
}  # fmt: skip

LIP_CLASSES = (
    "Background Hat Hair Glove Sunglasses Upper-clothes Dress Coat Socks Pants Jumpsuits Scarf Skirt Face Left-arm "
    "Right-arm Left-leg Right-leg Left-shoe Right-shoe"
)
ATR_CLASSES = (
    "Background Hat Hair Sunglasses Upper-clothes Skirt Pants Dress Belt Left-shoe Right-shoe Face Left-leg Right-leg "
    "Left-arm Right-arm Bag Scarf"
)
CCP_CLASSES = (
    "null accessories bag belt blazer blouse bodysuit boots bra bracelet cape cardigan clogs coat dress earrings flats "
    "glasses gloves hair hat heels hoodie intimate jacket jeans jumper leggings loafers necklace panties pants pumps "
    "purse ring romper sandals scarf shirt shoes shorts skin skirt sneakers socks stockings suit sunglasses sweater "
    "sweatshirt swimwear t-shirt tie tights top vest wallet watch wedges"
)
PUBLISHED = {
    "lip20": (LIP_CLASSES, LIP),
    "cihp20": (LIP_CLASSES.replace("Jumpsuits", "Torso-skin"), CIHP),
    "atr18": (ATR_CLASSES, ATR),
    "schp-lip": (LIP_CLASSES, LIP),
    "schp-atr": (ATR_CLASSES, ATR),
    "schp-pascal": ("Background Head Torso Upper-Arms Lower-Arms Upper-Legs Lower-Legs", PASCAL),
    "fashn18": (
        "background face hair top dress skirt pants belt bag hat scarf glasses arms hands legs feet torso jewelry",
        FASHN,
    ),
    "ccp59": (CCP_CLASSES, CCP),
    "spl8": ("background hat hair upper lower-1 lower-2 skin face", SPL8),
}
"""The published classes of each label set, ordered by id, and the region of each class."""


@pytest.mark.parametrize(
    ("name", "number", "label"),
    [(name, number, label) for name, (labels, _) in PUBLISHED.items() for number, label in enumerate(labels.split())],
)
def test_every_class_of_a_published_label_set_maps_to_its_region(name: str, number: int, label: str) -> None:
    (region,) = [region for region, labels in PUBLISHED[name][1].items() if label in labels.split()]
    assert LABEL_SETS[name][number] == region


def test_every_published_label_set_is_covered_whole() -> None:
    assert {"regions", *PUBLISHED} == set(LABEL_SETS)
    for name, (labels, _) in PUBLISHED.items():
        assert len(LABEL_SETS[name]) == len(labels.split())


def test_a_map_of_another_set_is_converted_id_by_id() -> None:
    ids = np.arange(20, dtype=np.uint8).reshape(4, 5)
    found = to_regions(ids, LABEL_SETS["lip20"])
    assert [BODY_REGIONS[region] for region in found.reshape(-1)] == list(LABEL_SETS["lip20"])


def test_our_own_ids_are_unchanged() -> None:
    labels = np.arange(8, dtype=np.uint8).reshape(2, 4)
    assert np.array_equal(to_regions(labels, LABEL_SETS["regions"]), labels)


@pytest.mark.parametrize("foreign", [8, 255, -1])
def test_an_id_beyond_the_set_is_named(foreign: int) -> None:
    labels = np.array([[0, foreign]], np.int16)
    with pytest.raises(ScmError, match=f"holds id {foreign}, beyond 0-7"):
        to_regions(labels, LABEL_SETS["regions"])


def test_ccp_labels_are_converted_by_name_in_any_order() -> None:
    expected = {
        "null": "background", "bag": "background", "jeans": "pants", "shorts": "pants", "hat": "hair", "skirt": "skirt",
        "dress": "upper", "scarf": "upper", "sunglasses": "face", "watch": "arms", "tights": "legs", "boots": "legs",
        "skin": SKIN,
    }  # fmt: skip
    assert ccp_regions(list(expected)) == tuple(expected.values())
    assert ccp_regions(list(expected)[::-1]) == tuple(expected.values())[::-1]


def test_an_unknown_ccp_label_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ScmError, match=r"'jean' is not one of the 59.*did you mean 'jeans'"):
        ccp_regions(["null", "jean"])


def test_a_region_is_named_never_numbered() -> None:
    assert [region_id(name) for name in BODY_REGIONS] == list(range(8))
    with pytest.raises(ScmError, match="did you mean 'pants'"):
        region_id("pant")
