"""Five points of a face: where CelebAMask-HQ's parts have them, and the window that brings them to their places."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scmnet_cli.analyser.subjects import FACES
from scmnet_cli.analyser.windows import Window
from scmnet_cli.regions import CELEBAMASK_PARTS
from scmnet_cli.types import FloatArray, UInt8Array

NUM_LANDMARKS = len(FACES.joints)

PLACES: npt.NDArray[np.float64] = np.array(
    [[0.379, 0.478], [0.621, 0.478], [0.499, 0.577], [0.393, 0.732], [0.607, 0.732]]
)
"""Where the points lie in an aligned face: medians over the train faces of CelebAMask-HQ's subset, over its height."""

EYES_APART = float(PLACES[1, 0] - PLACES[0, 0])
"""Distance of the eyes in an aligned face, over its height."""

_SMALLEST = 0.0002
"""Share of the picture that a part covers at least to say where it is."""


def landmarks_of(parts: UInt8Array) -> FloatArray:
    """Return the points of a face whose parts are known; one whose part is hidden has score 0.

    Eyes and nose are at their centres of gravity, the mouth's corners where it ends left and right.

    Shape:
        parts: (H, W) ids of :data:`~scmnet_cli.regions.CELEBAMASK_PARTS`; result: (5, 3).
    """
    points = np.zeros((NUM_LANDMARKS, 3), np.float32)
    # Some maps have left and right exchanged: of two eyes, the one on the left of the picture is the right one.
    eyes = [centre for part in ("r_eye", "l_eye") if (centre := _centre(parts, part)) is not None]
    if len(eyes) == 2:
        points[:2] = sorted(eyes, key=lambda eye: float(eye[0]))
    nose = _centre(parts, "nose")
    if nose is not None:
        points[2] = nose
        if len(eyes) == 1:
            points[int(eyes[0][0] > nose[0])] = eyes[0]
    mouth = np.isin(parts, [CELEBAMASK_PARTS.index(part) for part in ("mouth", "u_lip", "l_lip")])
    if mouth.mean() >= _SMALLEST:
        rows, columns = np.nonzero(mouth)
        for corner, column in ((3, columns.min()), (4, columns.max())):
            points[corner] = column, rows[columns == column].mean(), 1
    return points


def _centre(parts: UInt8Array, part: str) -> FloatArray | None:
    rows, columns = np.nonzero(parts == CELEBAMASK_PARTS.index(part))
    if len(rows) < _SMALLEST * parts.size:
        return None
    return np.array([columns.mean(), rows.mean(), 1], np.float32)


def aligning(landmarks: FloatArray) -> Window | None:
    """Return the square window that brings points closest to their places: moved, turned and scaled.

    Least squares, each point weighed by its score.

    Shape:
        landmarks: (5, 3), x and y in pixels of the photo and a score; None if fewer than two are there.
    """
    weights = landmarks[:, 2].clip(0).astype(np.float64)
    if (weights > 0).sum() < 2:
        return None
    weights /= weights.sum()
    there = landmarks[:, 0].astype(np.float64) + 0.5 + 1j * (landmarks[:, 1] + 0.5)  # as complex numbers, a turn and
    here = PLACES[:, 0] + 1j * PLACES[:, 1]  # a scale together are one factor
    middle_there, middle_here = (weights * there).sum(), (weights * here).sum()
    spread = (weights * abs(here - middle_here) ** 2).sum()
    factor = (weights * (here - middle_here).conj() * (there - middle_there)).sum() / spread
    if abs(factor) < 1:
        return None
    centre = middle_there + factor * (0.5 + 0.5j - middle_here)
    return Window(float(centre.real), float(centre.imag), float(abs(factor)), angle=float(np.angle(factor)))
