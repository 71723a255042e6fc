"""Drawn joints, labels and noise: people for tests of re-posing."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.sources.drawn import draw_person
from scmnet_cli.types import FloatArray

HEIGHT, WIDTH = 96, 64


def joints_of(seed: int) -> FloatArray:
    """Return the joints of a drawn person on this canvas, (18, 3)."""
    joints = draw_person(seed).joints.copy()
    joints[:, :2] *= [WIDTH / 224, HEIGHT / 320]
    return joints


def people(num: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return random images, labels and joints of people."""
    joints = torch.from_numpy(np.stack([joints_of(seed) for seed in range(num)]))
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    distance = (torch.stack([x, y], -1)[None, None] - joints[:, :, None, None, :2]).norm(dim=-1)
    distance = torch.where(joints[:, :, 2, None, None] > 0, distance, torch.inf)
    labels = torch.where(distance.amin(1) < 8, distance.argmin(1) % 7 + 1, BACKGROUND).to(torch.uint8)
    image = torch.rand(num, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return torch.where(labels[:, None] > 0, image, PLAIN_BACKGROUND), labels, joints
