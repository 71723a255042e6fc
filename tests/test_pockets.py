"""The background between an arm and the body stays the photo's own."""

from __future__ import annotations

import numpy as np

from scmnet_cli.inference.inputs.framed import _continued_background


def test_a_narrow_gap_in_a_person_keeps_its_middle() -> None:
    rows, columns = np.mgrid[:200, :160]
    person = (abs(columns - 80) < 40) & (rows > 30)
    gap = person & (abs(columns - 60) < 5) & (rows > 80) & (rows < 120)
    person &= ~gap
    ground = np.full((200, 160, 3), 200, np.uint8)
    ground[person], ground[gap] = (180, 60, 60), (20, 40, 20)
    bare = person & (abs(columns - 66) < 3) & (rows > 80) & (rows < 120)  # the body becomes narrower beside it
    behind = _continued_background(ground, person, (bare, np.zeros_like(bare)), 800.0)
    middle = gap & (abs(columns - 60) < 3) & (abs(rows - 100) < 15)
    assert abs(behind[middle] - (20, 40, 20)).max() < 1
    beside = bare & (columns < 66) & (abs(rows - 100) < 12)
    assert behind[beside].mean() < 60, "it goes on beside the gap"
