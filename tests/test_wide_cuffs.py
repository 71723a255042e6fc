"""Sleeves of a dress over its skirt: narrow ones stay whole, wide cuffs do not lie on the skirt."""

from __future__ import annotations

import numpy as np
from test_editing import PANTS, full_size

from scmnet_cli.inference.edits.garment_warp import wide_cuffs_over
from scmnet_cli.inference.limb_places import limb_places
from scmnet_cli.regions import region_id


def test_only_what_lies_far_from_the_arm_is_cut_off_a_sleeve_over_the_skirt() -> None:
    wearer = full_size(PANTS, "wearer", {})
    away = np.minimum(*(across for _, across in limb_places(wearer)[:2]))
    everywhere = np.ones(wearer.regions.shape, bool)
    cut = wide_cuffs_over(wearer, everywhere, away < 0.2)
    cloth = np.isin(wearer.regions, [region_id("arms"), region_id("upper")])
    assert not cut[away < 0.08].any()
    assert cut[(away > 0.1) & (away < 0.2) & ~cloth].all()
    assert not cut[cloth | (away > 0.2)].any()
    assert not wide_cuffs_over(wearer, ~everywhere, everywhere).any()
