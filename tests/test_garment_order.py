"""Pieces of garments in region maps that are out of order are renamed: nobody wears a top below trousers."""

from __future__ import annotations

import numpy as np
import pytest

from scmnet_cli.analyser.region_maps import clean_probabilities, likeliest
from scmnet_cli.regions import NUM_REGIONS, region_id
from scmnet_cli.skeleton import NUM_JOINTS

HEIGHT, WIDTH = 64, 44
NOBODY = np.zeros((NUM_JOINTS, 3), np.float32)


def dressed(*bands: tuple[str, int, int, int, int]) -> np.ndarray:
    """Return probabilities of regions, each a box of rows and columns, later ones on top."""
    labels = np.zeros((HEIGHT, WIDTH), int)
    for name, top, bottom, left, right in bands:
        labels[top:bottom, left:right] = region_id(name)
    certain = np.eye(NUM_REGIONS, dtype=np.float32)[labels].transpose(2, 0, 1)
    return np.ascontiguousarray(0.9 * certain + 0.1 / NUM_REGIONS, np.float32)


TOP = ("upper", 8, 28, 12, 32)


@pytest.mark.parametrize(
    ("bands", "at", "wanted"),
    [
        ([TOP, ("pants", 28, 60, 12, 32), ("upper", 40, 52, 14, 30)], (45, 20), "pants"),
        ([TOP, ("skirt", 28, 60, 12, 32), ("upper", 50, 54, 14, 24)], (52, 20), "skirt"),
        ([TOP, ("skirt", 28, 36, 12, 32), ("upper", 36, 60, 10, 34)], (31, 20), "upper"),
        ([TOP, ("skirt", 28, 60, 12, 32), ("pants", 34, 40, 14, 20)], (36, 16), "skirt"),
        ([TOP, ("pants", 28, 60, 12, 32), ("skirt", 34, 40, 14, 20)], (36, 16), "pants"),
        ([TOP, ("skirt", 28, 46, 12, 32), ("pants", 46, 60, 14, 20)], (50, 16), "pants"),
        ([("upper", 8, 50, 12, 32), ("pants", 50, 60, 14, 30)], (40, 20), "upper"),
    ],
    ids=[
        "top in trousers",
        "top in a skirt",
        "a dress",
        "trousers in a skirt",
        "skirt in trousers",
        "leggings",
        "a coat",
    ],
)
def test_a_piece_that_is_out_of_order_is_renamed_and_others_stay(
    bands: list[tuple[str, int, int, int, int]], at: tuple[int, int], wanted: str
) -> None:
    chosen = likeliest(clean_probabilities(dressed(*bands), NOBODY))
    assert chosen[at] == region_id(wanted)
    assert chosen[15, 20] == region_id("upper")
    assert (chosen != 0).sum() == (likeliest(dressed(*bands)) != 0).sum(), "nothing of the person is lost"
