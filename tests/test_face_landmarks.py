"""Landmarks of faces, and the window that aligns them."""

from __future__ import annotations

import numpy as np
import pytest
from faces_of_discs import SMALL, TURNED, parts_of

from scmnet_cli.analyser.face_landmarks import ALIGNED, aligning, landmarks_of


def test_the_aligning_window_brings_landmarks_to_their_places() -> None:
    there = TURNED.to_photo((ALIGNED * 64 - 0.5).astype(np.float32), SMALL)
    window = aligning(np.column_stack([there, np.ones(5)]).astype(np.float32))
    assert window is not None
    assert (window.centre_x, window.centre_y, window.height) == pytest.approx((90, 70, 80), abs=0.01)
    assert window.angle == pytest.approx(0.4, abs=1e-3)
    np.testing.assert_allclose(window.to_canvas(there, SMALL), ALIGNED * 64 - 0.5, atol=0.01)


def test_hidden_landmarks_are_ignored_in_alignment_and_one_landmark_is_not_enough() -> None:
    there = TURNED.to_photo((ALIGNED * 64 - 0.5).astype(np.float32), SMALL)
    landmarks = np.column_stack([there, np.ones(5)]).astype(np.float32)
    landmarks[1] = 0
    window = aligning(landmarks)
    assert window is not None
    assert (window.centre_x, window.height) == pytest.approx((90, 80), abs=0.01)
    landmarks[1:] = 0
    assert aligning(landmarks) is None


def test_the_eye_on_the_left_of_the_picture_is_the_right_eye_whatever_its_mask_is_called() -> None:
    face = [("nose", 32, 36), ("u_lip", 30, 46), ("l_lip", 36, 47)]
    for right, left in (("r_eye", "l_eye"), ("l_eye", "r_eye")):
        landmarks = landmarks_of(parts_of((right, 20, 30), (left, 44, 31), *face))
        np.testing.assert_allclose(landmarks[:3], [[20, 30, 1], [44, 31, 1], [32, 36, 1]])
        np.testing.assert_allclose(landmarks[3:], [[28, 46, 1], [38, 47, 1]])


def test_eyes_behind_glasses_are_missing_and_a_single_eye_is_on_its_side_of_the_nose() -> None:
    landmarks = landmarks_of(parts_of(("eye_g", 20, 30), ("r_eye", 44, 30), ("nose", 32, 36)))
    assert landmarks[:, 2].tolist() == [0, 1, 1, 0, 0]
    assert landmarks[1, :2].tolist() == [44, 30]


def test_points_survive_the_round_trip_to_the_canvas() -> None:
    points = np.array([[3.0, 5.0], [100.0, 60.0]], np.float32)
    np.testing.assert_allclose(TURNED.to_photo(TURNED.to_canvas(points, SMALL), SMALL), points, atol=1e-3)
