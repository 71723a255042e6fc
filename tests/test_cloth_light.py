"""Light and folds of the old garment on a flat new one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_editing import PANTS, full_size, regions_of

from scmnet_cli.inference.edits.cloth_light import shading


@pytest.mark.parametrize(("light", "shows"), [(1.3, True), (2.2, False)], ids=["folds", "highlights"])
def test_folds_of_cloth_show_on_the_new_garment_and_highlights_of_leather_do_not(light: float, shows: bool) -> None:
    wearer = full_size(PANTS, "wearer", {"upper": (90, 60, 40)})
    own = regions_of(wearer, "upper")
    rows = np.arange(len(own))[:, None]
    waves = 1 + (light - 1) * (np.sin(rows / 2.5) > 0.6)
    image = np.where(own[..., None], (wearer.image * waves[..., None]).clip(0, 255), wearer.image).astype(np.uint8)
    gain = shading(replace(wearer, image=image), "upper", own)
    inside = own & (np.arange(own.shape[1]) % 2 == 0)
    assert (gain[inside].std() > 0.03) == shows


def test_a_buckle_on_dark_trousers_does_not_show_on_the_new_ones() -> None:
    wearer = full_size(PANTS, "wearer", {"pants": (34, 38, 46)})
    own = regions_of(wearer, "pants")
    rows, columns = (np.flatnonzero(own.any(axis)) for axis in (1, 0))
    middle = (rows[0] + 12, int(np.median(columns[own[rows[0] + 12, columns]])))
    buckle = np.s_[middle[0] - 3 : middle[0] + 3, middle[1] - 5 : middle[1] + 5]
    image = wearer.image.copy()
    image[buckle] = 130
    gain = shading(replace(wearer, image=image), "pants", own)
    plain = shading(wearer, "pants", own)
    assert abs(gain - plain)[buckle].max() < 0.25
