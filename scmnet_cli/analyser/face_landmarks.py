"""Five landmarks of a face: from the parts of CelebAMask-HQ, and the window that aligns them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scmnet_cli.analyser.subjects import FACES
from scmnet_cli.analyser.windows import Window
from scmnet_cli.regions import CELEBAMASK_PARTS
from scmnet_cli.types import FloatArray, UInt8Array

NUM_LANDMARKS = len(FACES.joints)

ALIGNED: npt.NDArray[np.float64] = np.array(
    [[0.379, 0.478], [0.621, 0.478], [0.499, 0.577], [0.393, 0.732], [0.607, 0.732]]
)
"""Landmarks of an aligned face as shares of its height: medians over the train faces of CelebAMask-HQ's subset."""

EYES_APART = float(ALIGNED[1, 0] - ALIGNED[0, 0])
"""Distance of the eyes in an aligned face as a share of its height."""

_SMALLEST = 0.0002
"""Least share of the image that a part must cover to give a landmark."""


def landmarks_of(parts: UInt8Array) -> FloatArray:
    """Compute the landmarks of a face from its parts; a hidden landmark has score 0.

    Eyes and nose are the centroids of their parts; the mouth's corners are its leftmost and rightmost columns.

    Shape:
        parts: (H, W) ids of :data:`~scmnet_cli.regions.CELEBAMASK_PARTS`; result: (5, 3).
    """
    points = np.zeros((NUM_LANDMARKS, 3), np.float32)
    # Some maps swap left and right: the eye further left in the image is always the right eye.
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
    """Return the square window that aligns landmarks by translation, rotation and scale; None with fewer than two.

    It is a least squares fit weighted by the scores.

    Shape:
        landmarks: (5, 3), x and y in pixels of the photo and a score.
    """
    weights = landmarks[:, 2].clip(0).astype(np.float64)
    if (weights > 0).sum() < 2:
        return None
    weights /= weights.sum()
    # As complex numbers: a rotation and a scale together are one factor.
    photo = landmarks[:, 0].astype(np.float64) + 0.5 + 1j * (landmarks[:, 1] + 0.5)
    aligned = ALIGNED[:, 0] + 1j * ALIGNED[:, 1]
    photo_mean, aligned_mean = (weights * photo).sum(), (weights * aligned).sum()
    spread = (weights * abs(aligned - aligned_mean) ** 2).sum()
    factor = (weights * (aligned - aligned_mean).conj() * (photo - photo_mean)).sum() / spread
    if abs(factor) < 1:
        return None
    centre = photo_mean + factor * (0.5 + 0.5j - aligned_mean)
    return Window(float(centre.real), float(centre.imag), float(abs(factor)), angle=float(np.angle(factor)))
