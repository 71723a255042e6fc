"""Faces drawn as discs, photos of them, and a face parser whose network knows them by their colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from scmnet_cli.analyser.analysis import Analysis
from scmnet_cli.analyser.face_landmarks import ALIGNED
from scmnet_cli.analyser.faces import FaceParser
from scmnet_cli.analyser.network import Analysed
from scmnet_cli.analyser.people import Analyser
from scmnet_cli.analyser.windows import Window
from scmnet_cli.images import CropBox
from scmnet_cli.regions import CELEBAMASK_PARTS
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

SMALL = Canvas(64, 64)

COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40), (40, 200, 200))

SKIN, GROUND = (225, 170, 150), (60, 70, 60)


def a_face(side: int = 64, hidden: tuple[int, ...] = ()) -> UInt8Array:
    """Draw a disc of skin with a dot of another colour at each landmark."""
    rows, columns = np.mgrid[:side, :side] + 0.5
    image = np.full((side, side, 3), GROUND, np.uint8)
    image[np.hypot(rows - 0.6 * side, columns - 0.5 * side) < 0.34 * side] = SKIN
    for number, (x, y) in enumerate(ALIGNED * side):
        if number not in hidden:
            image[np.hypot(rows - y, columns - x) < 0.06 * side] = COLOURS[number]
    return image


def in_photo(face: UInt8Array, window: Window, height: int, width: int) -> UInt8Array:
    """Put an aligned face where a window of a photo shows it."""
    side = len(face)
    matrix = window.matrix(Canvas(side, side))
    back = np.linalg.inv(matrix[:, :2])
    coefficients = tuple(np.column_stack([back, -back @ matrix[:, 2]]).ravel())
    turned = Image.fromarray(face).transform(
        (width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR, fillcolor=GROUND
    )
    return np.asarray(turned)


class Colours(nn.Module):
    """Network stub for drawn faces: derives regions and landmarks from colours."""

    knows_noses = True

    def forward(self, image: Tensor) -> Analysed:
        pixels = (image.float() + 1) * 127.5
        near = [(pixels - torch.tensor(colour)[:, None, None]).abs().sum(1) < 60 for colour in COLOURS]
        dots = torch.stack(near, 1).float()  # (B, 5, H, W)
        heat = (nn.functional.avg_pool2d(dots, 4) + 1e-9).log()  # uniform over the dot, so the mean is its centre
        visible = dots.flatten(2).sum(-1) * 10 - 5
        skin = ((pixels - torch.tensor(SKIN)[:, None, None]).abs().sum(1) < 60) | (dots.sum(1) > 0)
        on_skin = nn.functional.avg_pool2d(skin[:, None].float(), 2)
        regions = torch.full((len(image), 8, *on_skin.shape[2:]), -20.0)
        regions[:, 0], regions[:, 1] = 5 - 10 * on_skin[:, 0], 10 * on_skin[:, 0] - 5
        if self.knows_noses:
            nose = nn.functional.max_pool2d(dots[:, 2:3], 5, 1, 2)  # a nose is larger than its dot
            regions[:, 5] = 20 * nn.functional.avg_pool2d(nose, 2)[:, 0] - 9
        return Analysed(regions, heat, visible, (visible > 0).sum(1) * 4.0 - 10)


def nobody() -> Analyser:
    """Analyser stub that finds no person."""

    class Nobody:
        def __call__(self, image: UInt8Array) -> Analysis:
            return replace(person_with_head(image, np.zeros((18, 3), np.float32)), person=0.0)

        def people(self, image: UInt8Array) -> list[Analysis]:
            del image
            return []

    return Nobody()  # type: ignore[return-value]


def person_with_head(image: UInt8Array, joints: FloatArray) -> Analysis:
    height, width = image.shape[:2]
    likely = np.full((8, 4, 4), 1 / 8, np.float32)
    return Analysis(1.0, joints, likely, CropBox(0, 0, width, height, SMALL), image)


def a_parser(analyser: Callable[[], Analyser] = nobody) -> FaceParser:
    return FaceParser(Colours(), SMALL, analyser=analyser)  # type: ignore[arg-type]


TURNED = Window(90, 70, 80, angle=0.4)


def parts_of(*named: tuple[str, int, int]) -> UInt8Array:
    parts = np.zeros((64, 64), np.uint8)
    for part, x, y in named:
        parts[y - 1 : y + 2, x - 2 : x + 3] = CELEBAMASK_PARTS.index(part)
    return parts
