"""People, poses and pictures for tests of the part warp."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from scmnet_cli.models.part_warp import PartWarp
from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import JOINTS

HEIGHT, WIDTH = 96, 80
FACE = region_id("face")
REGION_OF_JOINT = [4, 5, 5, 6, 6, 5, 6, 6, 5, 1, 7, 5, 1, 7, 4, 4, 4, 4]
STANDING = {
    "nose": (40, 17), "right_eye": (38, 15), "left_eye": (42, 15), "right_ear": (35, 16), "left_ear": (45, 16),
    "neck": (40, 27), "right_shoulder": (32, 28), "left_shoulder": (48, 28), "right_elbow": (27, 39),
    "left_elbow": (53, 39), "right_wrist": (24, 49), "left_wrist": (56, 49), "right_hip": (35, 52),
    "left_hip": (45, 52), "right_knee": (34, 68), "left_knee": (46, 68), "right_ankle": (34, 83),
    "left_ankle": (46, 83),
}  # fmt: skip
"""A person facing the camera: their right side is on the left of the picture."""

on_boxes = pytest.mark.parametrize("boxed", [True, False], ids=["on boxes", "whole canvases"])


def standing(*missing: str) -> Tensor:
    """Return the joints of one standing person, (1, 18, 3)."""
    places = [(*STANDING[name], 0.0 if name in missing else 1.0) for name in JOINTS]
    return torch.tensor(places)[None] * torch.tensor([1.0, 1.0, 1.0])


def moved(joints: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    return torch.cat([joints[..., :2] @ matrix.T + offset, joints[..., 2:]], dim=-1)


def turned(joints: Tensor, pivot: str, names: tuple[str, ...], degrees: float) -> Tensor:
    """Rotate some joints about another one."""
    angle = torch.deg2rad(torch.tensor(degrees))
    rotation = torch.tensor([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]])
    result, about = joints.clone(), joints[:, JOINTS.index(pivot), :2]
    rows = [JOINTS.index(name) for name in names]
    result[:, rows, :2] = (joints[:, rows, :2] - about) @ rotation.T + about
    return result


def noise(batch: int = 1, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def ramp() -> Tensor:
    """A picture whose red is the column and green the row, in pixels, so that bilinear samples are exact."""
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    return torch.stack([x, y, x - y])[None]


def labels_of(joints: Tensor, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """Return the usual region of the nearest joint, (B, H, W) uint8."""
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    distance = (torch.stack([x, y], -1)[None, None] - joints[:, :, None, None, :2]).norm(dim=-1)  # (B, 18, H, W)
    nearest = torch.tensor(REGION_OF_JOINT)[distance.argmin(1)]
    return torch.where(distance.amin(1) < 0.1 * height, nearest, 0).to(torch.uint8)


def without_face(labels: Tensor) -> Tensor:
    return torch.where(labels == FACE, region_id("hair"), labels)


def people(batch: int, height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> Tensor:
    """Return joints of people in random poses, some of them missing, (B, 18, 3)."""
    random = np.random.default_rng(seed)
    scale = torch.tensor([width / WIDTH, height / HEIGHT])
    found = []
    for _ in range(batch):
        joints = standing()
        for pivot, names in (
            ("right_shoulder", ("right_elbow", "right_wrist")), ("left_shoulder", ("left_elbow", "left_wrist")),
            ("right_elbow", ("right_wrist",)), ("left_elbow", ("left_wrist",)),
            ("right_hip", ("right_knee", "right_ankle")), ("left_hip", ("left_knee", "left_ankle")),
            ("neck", ("nose", "right_eye", "left_eye", "right_ear")),
        ):  # fmt: skip
            joints = turned(joints, pivot, names, random.normal(0, 30))
        joints[..., :2] = (joints[..., :2] * random.uniform(0.7, 1.1) + torch.tensor(random.normal(0, 5, 2))) * scale
        joints[..., :2] += torch.tensor(random.normal(0, 1, (18, 2)))
        joints[:, random.random(18) < random.choice([0, 0.15, 0.4]), 2] = 0
        found.append(joints)
    return torch.cat(found).float()


def covered(warp: PartWarp, least: float = 0.5) -> Tensor:
    mask = warp.coverage[:, 0] > least
    assert mask.sum() > 200, "too little is covered to say anything"
    return mask


def assert_moved(warp: PartWarp, expected: Tensor, least: float = 0.5) -> None:
    """Check the picture against the expected one, to 1e-3, where the expected one is inside the source."""
    mask = covered(warp, least) & expected.isfinite().all(1)
    difference = (warp.image - expected.nan_to_num()).abs().amax(1)
    assert difference[mask].max() < 1e-3


def gathered(image: Tensor, find: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Tensor:
    """Return the image at the integer pixels that ``find`` returns for x and y; nan outside."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    from_x, from_y = (found.round().long() for found in find(x, y))
    inside = (from_x >= 0) & (from_x < WIDTH) & (from_y >= 0) & (from_y < HEIGHT)
    return torch.where(inside, image[:, :, from_y.clamp(0, HEIGHT - 1), from_x.clamp(0, WIDTH - 1)], torch.nan)
