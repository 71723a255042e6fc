"""Correct legs that stand apart: both ankles at times land on one foot.

The heatmap of the wrong ankle then often has a second peak on the other foot. It is used if background shows between
the two, so that legs that really stand or cross close together keep their ankles.
"""

from __future__ import annotations

import numpy as np

from scmnet_cli.analyser.answers import HEAT_STRIDE, REGION_STRIDE
from scmnet_cli.images.morphology import largest_around
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import FloatArray

_ANKLES = [JOINTS.index("right_ankle"), JOINTS.index("left_ankle")]
_KNEES = [JOINTS.index("right_knee"), JOINTS.index("left_knee")]
_TOGETHER = 0.2  # shin lengths: closer ankles lie on one foot, and a second peak is farther away than this
_LEAST_SHARE = 0.1  # probability around a second peak
_PEAK, _AROUND = (
    2,
    2,
)  # cells: a peak is the largest value within this distance, and its place a mean over this distance
_RISE = 4  # cells above the ankles in which background is searched, too
_PERSON = 0.5


def ankles_apart(joints: FloatArray, heat: FloatArray, probabilities: FloatArray) -> FloatArray:
    """Move one of two ankles that lie on one foot to the other foot, if its heatmap has a peak there.

    Args:
        joints: detected joints.
        heat: logits of the heatmaps of all joints.
        probabilities: probabilities of the regions.

    Shape:
        joints, result: (18, 3) in pixels of the crop; heat: (18, h, w); probabilities: (8, H, W) on the crop's grid.
    """
    ankles, knees = ((joints[index, :2] + 0.5) / HEAT_STRIDE - 0.5 for index in (_ANKLES, _KNEES))
    shin = float(np.hypot(*(ankles - knees).T).mean())
    if np.hypot(*(ankles[0] - ankles[1])) > _TOGETHER * shin:
        return joints
    person = 1 - probabilities[BACKGROUND]
    peaks = [_second_peak(heat[_ANKLES[i]], ankles[1 - i], _TOGETHER * shin) for i in (0, 1)]
    wrong = int(peaks[1][1] > peaks[0][1])
    place, share = peaks[wrong]
    apart = share >= _LEAST_SHARE and _at(person, place[None])[0] >= _PERSON
    if not apart or _least_between(person, ankles[1 - wrong], place) >= _PERSON:
        return joints
    corrected = joints.copy()
    corrected[_ANKLES[wrong], :2] = (place + 0.5) * HEAT_STRIDE - 0.5
    return corrected


def _second_peak(heat: FloatArray, other: FloatArray, away: float) -> tuple[FloatArray, float]:
    """Return the place of the largest peak at least ``away`` cells from the other ankle, and its probability."""
    likely = np.exp(heat - heat.max())
    likely /= likely.sum()
    rows, columns = np.mgrid[: heat.shape[0], : heat.shape[1]]
    allowed = np.hypot(columns - other[0], rows - other[1]) >= away
    peaks = np.where(allowed & (largest_around(likely, _PEAK) == likely), likely, 0)
    row, column = np.unravel_index(peaks.argmax(), peaks.shape)
    near = np.where((abs(rows - row) <= _AROUND) & (abs(columns - column) <= _AROUND), likely, 0)
    share = float(near.sum()) if peaks.max() > 0 else 0.0
    place = np.array([(near * columns).sum(), (near * rows).sum()]) / max(float(near.sum()), 1e-12)
    return place.astype(np.float32), share


def _least_between(person: FloatArray, one: FloatArray, other: FloatArray) -> float:
    """Return the smallest probability of a person on the lines between two places, at and above the ankles."""
    share = np.linspace(0, 1, 24)[:, None]
    lines = [one * (1 - share) + other * share - (0, rise) for rise in range(_RISE)]
    return float(_at(person, np.concatenate(lines)).min())


def _at(person: FloatArray, places: FloatArray) -> FloatArray:
    """Return the probabilities at places in cells of the heatmaps, (N, 2)."""
    cells = np.round((places + 0.5) * (HEAT_STRIDE / REGION_STRIDE) - 0.5).astype(int)
    columns, rows = cells.T
    found: FloatArray = person[rows.clip(0, len(person) - 1), columns.clip(0, person.shape[1] - 1)]
    return found
