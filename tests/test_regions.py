"""Other label sets lead into the eight body regions as DESIGN section 1 lists them."""

from __future__ import annotations

import numpy as np
import pytest

from scmnet_cli.errors import ScmError
from scmnet_cli.regions import BODY_REGIONS, LABEL_SETS, SKIN, ccp_regions, region_id, to_regions

LIP = {
    "background": [0], "pants": [9], "hair": [1, 2], "skirt": [12], "face": [4, 13], "upper": [5, 6, 7, 10, 11],
    "arms": [3, 14, 15], "legs": [8, 16, 17, 18, 19],
}  # fmt: skip
CIHP = LIP | {"face": [4, 10, 13], "upper": [5, 6, 7, 11]}
SPL8 = {"background": [0], "pants": [4, 5], "hair": [1, 2], "skirt": [], "face": [7], "upper": [3], "arms": [6]}


@pytest.mark.parametrize(("name", "ids"), [("lip20", LIP), ("cihp20", CIHP), ("spl8", SPL8)])
def test_a_published_label_set_is_converted_id_by_id(name: str, ids: dict[str, list[int]]) -> None:
    labels = np.arange(len(LABEL_SETS[name]), dtype=np.uint8)[None]
    assert sorted(i for members in ids.values() for i in members) == list(labels[0])
    regions = to_regions(labels, LABEL_SETS[name])[0]
    for region, members in ids.items():
        assert {BODY_REGIONS[regions[i]] for i in members} <= {region}


def test_our_own_ids_stay_as_they_are() -> None:
    labels = np.arange(8, dtype=np.uint8).reshape(2, 4)
    assert np.array_equal(to_regions(labels, LABEL_SETS["regions"]), labels)


@pytest.mark.parametrize("foreign", [8, 255, -1])
def test_an_id_beyond_the_set_is_named(foreign: int) -> None:
    labels = np.array([[0, foreign]], np.int16)
    with pytest.raises(ScmError, match=f"holds id {foreign}, beyond 0-7"):
        to_regions(labels, LABEL_SETS["regions"])


def test_ccp_labels_are_converted_by_name_in_whatever_order_they_come() -> None:
    expected = {
        "null": "background", "bag": "background", "jeans": "pants", "shorts": "pants", "hat": "hair", "skirt": "skirt",
        "dress": "upper", "scarf": "upper", "sunglasses": "face", "watch": "arms", "tights": "legs", "boots": "legs",
        "skin": SKIN,
    }  # fmt: skip
    assert ccp_regions(list(expected)) == tuple(expected.values())
    assert ccp_regions(list(expected)[::-1]) == tuple(expected.values())[::-1]


def test_a_label_that_ccp_does_not_have_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ScmError, match=r"'jean' is none of the 59.*did you mean 'jeans'"):
        ccp_regions(["null", "jean"])


def test_a_region_is_named_never_numbered() -> None:
    assert [region_id(name) for name in BODY_REGIONS] == list(range(8))
    with pytest.raises(ScmError, match="did you mean 'pants'"):
        region_id("pant")
