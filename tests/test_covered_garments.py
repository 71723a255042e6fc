"""References whose garment something covers for a large part."""

from __future__ import annotations

import numpy as np
import pytest
from test_editing import PANTS, SKIRT, full_size, regions_of
from test_fitting import relabelled

from scmnet_cli.errors import ScmError
from scmnet_cli.inference.edits.places import check_place, covered_shares


@pytest.mark.parametrize(("region", "named"), [("upper", "a top or jacket covers"), ("arms", "an arm covers")])
def test_a_skirt_that_is_covered_for_a_large_part_is_refused_and_what_covers_it_is_named(
    region: str, named: str
) -> None:
    wearer, reference = full_size(PANTS, "wearer", {}), full_size(SKIRT, "reference", {})
    check_place(wearer, reference, "skirt")
    skirt = regions_of(reference, "skirt")
    rows, columns = np.nonzero(skirt)
    first, last = np.quantile(rows, (0.2, 0.8))
    number = np.arange(skirt.shape[0])[:, None]
    middle = (number > first) & (number < last) & (np.arange(skirt.shape[1]) > np.median(columns))
    covered = relabelled(reference, skirt & middle, region)
    with pytest.raises(ScmError, match=rf"reference: {named} \d\d% of the skirt; take a photo .* --force"):
        check_place(wearer, covered, "skirt")
    assert covered_shares(covered, "skirt")[region] > 0.18
    assert covered_shares(reference, "skirt")[region] < 0.05
