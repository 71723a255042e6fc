"""A face is not turned by more than its person: an alignment to a lying square is tried again or refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from faces_of_discs import COLOURS, SMALL, Colours, a_face, in_photo, nobody, person_with_head
from torch import Tensor

from scmnet_cli.analyser.analysis import Analysis
from scmnet_cli.analyser.face_landmarks import ALIGNED
from scmnet_cli.analyser.faces import FaceParser, heads
from scmnet_cli.analyser.network import Analysed
from scmnet_cli.analyser.windows import Window
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import FloatArray, UInt8Array


class Astray(Colours):
    """Network stub that sees small faces lying, and stays with what it has if a face lies."""

    always = False

    def forward(self, image: Tensor) -> Analysed:
        pixels = (image.float() + 1) * 127.5
        right, left = (
            ((pixels[0] - torch.tensor(colour)[:, None, None]).abs().sum(0) < 60).nonzero().float().mean(0)
            for colour in COLOURS[:2]
        )
        down, across = (left - right).tolist()
        if self.always or math.hypot(down, across) < 10:
            return super().forward(torch.rot90(image, 1, (2, 3)))
        if abs(down) > abs(across):
            return super().forward(torch.rot90(image, 1 if down > 0 else -1, (2, 3)))
        return super().forward(image)


def test_a_face_that_would_be_aligned_lying_is_tried_again_upright() -> None:
    parser = FaceParser(Astray(), SMALL, analyser=nobody)  # type: ignore[arg-type]
    for angle in (0.0, 0.3):
        photo = in_photo(a_face(256), Window(120, 120, 80, angle=angle), 240, 240)
        face = parser(photo)
        assert face is not None
        assert face.window.angle == pytest.approx(angle, abs=0.06)
        assert (face.window.centre_x, face.window.centre_y) == pytest.approx((120, 120), abs=3)


def test_a_face_that_stays_lying_in_a_photo_of_an_upright_person_is_refused() -> None:
    net = Astray()
    net.always = True
    photo = in_photo(a_face(256), Window(120, 120, 140), 240, 240)
    assert FaceParser(net, SMALL, analyser=nobody)(photo) is None  # type: ignore[arg-type]


def joints_of_head(window: Window, neck: tuple[float, float]) -> FloatArray:
    """Joints of the eyes and the nose of a face in a window of a photo, and of its neck."""
    joints = np.zeros((18, 3), np.float32)
    known = window.to_photo((ALIGNED * 64 - 0.5).astype(np.float32), SMALL)
    for name, place in zip(("right_eye", "left_eye", "nose"), known, strict=False):
        joints[JOINTS.index(name)] = (*place, 1)
    joints[JOINTS.index("neck")] = (*neck, 1)
    return joints


def test_a_lying_face_is_found_if_its_person_lies() -> None:
    window = Window(120, 120, 120, angle=math.pi / 2)
    photo = in_photo(a_face(256), window, 240, 240)

    class Lying:
        def __call__(self, image: UInt8Array) -> Analysis:
            return person_with_head(image, joints_of_head(window, (30, 120)))

        def people(self, image: UInt8Array) -> list[Analysis]:
            return [self(image)]

    for analyser, is_found in ((nobody, False), (Lying, True)):
        face = FaceParser(Colours(), SMALL, analyser=analyser)(photo)  # type: ignore[arg-type]
        assert (face is not None) == is_found
        if face is not None:
            assert face.window.angle == pytest.approx(math.pi / 2, abs=0.05)


def test_eyes_that_contradict_the_neck_do_not_turn_the_window_of_a_head() -> None:
    image = np.zeros((240, 240, 3), np.uint8)
    turned = joints_of_head(Window(120, 100, 120, angle=math.pi), (120, 170))
    (window,) = heads([person_with_head(image, turned)])
    assert window.angle == 0
    lying = joints_of_head(Window(120, 100, 120, angle=math.pi), (20, 100))
    (window,) = heads([person_with_head(image, lying)])
    assert window.angle == pytest.approx(math.pi / 2, abs=0.1)
    tilted = joints_of_head(Window(120, 100, 120, angle=0.5), (120, 190))
    (window,) = heads([person_with_head(image, tilted)])
    assert window.angle == pytest.approx(0.5, abs=0.01)
