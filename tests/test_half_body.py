"""A half body is the upper half of a person, enlarged to the canvas."""

from __future__ import annotations

import numpy as np

from scmnet_cli.evaluation.half_body import half_body
from scmnet_cli.regions import region_id
from scmnet_cli.types import Canvas, Person


def test_joints_below_the_hips_are_missing_in_a_half_body_and_the_others_are_where_it_shows_them() -> None:
    joints = np.zeros((18, 3), np.float32)
    places = {0: (24, 8), 1: (24, 14), 2: (18, 14), 4: (6, 40), 5: (30, 14), 8: (20, 31), 11: (28, 33), 9: (20, 45)}
    for joint, place in places.items():
        joints[joint] = (*place, 0.5)
    regions = np.zeros((64, 48), np.uint8)
    regions[4:60, 4:44] = region_id("upper")  # so wide that the frame reaches below the cut
    image = np.full((64, 48, 3), 230, np.uint8)
    for joint in (0, 2):
        image[places[joint][1], places[joint][0]] = (joint, 0, 0)
    half = half_body(Person("wide", image, regions, joints), Canvas(128, 96), "plain")
    assert set(np.flatnonzero(half.joints[:, 2])) == {0, 1, 2, 5, 8, 11}  # not the wrist and the knee
    for joint in (0, 2):
        x, y = half.joints[joint, :2].round().astype(int)
        around = half.image[y - 1 : y + 2, x - 1 : x + 2, 1]
        assert around.min() == half.image[:, :, 1][y - 4 : y + 5, x - 4 : x + 5].min() < 150
