"""Drawn faces, their source folder, and the config of a tiny face model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from scmnet_cli.config import Config, parse_config
from scmnet_cli.images import save_png
from scmnet_cli.regions import CELEBAMASK_PARTS
from scmnet_cli.types import Canvas, UInt8Array

CANVAS = Canvas(32, 32)


def part(name: str) -> int:
    return CELEBAMASK_PARTS.index(name)


def drawn_face(seed: int, size: int = 64) -> tuple[UInt8Array, UInt8Array]:
    """A face of ellipses in random colours, and its parts."""
    random = np.random.default_rng(seed)
    image, parts = Image.new("RGB", (size, size), (200, 210, 220)), Image.new("L", (size, size), 0)
    shift = int(random.integers(-3, 4))
    shapes = {
        "cloth": (10, 54, 54, 70), "hair": (12, 4, 52, 50), "skin": (18, 12, 46, 54), "l_eye": (24, 26, 30, 30),
        "r_eye": (35, 26, 41, 30), "nose": (30, 30, 35, 38), "u_lip": (26, 42, 39, 45), "l_lip": (26, 45, 39, 48),
    }  # fmt: skip
    for name, box in shapes.items():
        box = tuple((place + shift * (i % 2 == 0)) * size / 64 for i, place in enumerate(box))
        ImageDraw.Draw(image).ellipse(box, fill=tuple(random.integers(0, 256, 3).tolist()))
        ImageDraw.Draw(parts).ellipse(box, fill=part(name))
    return np.asarray(image), np.asarray(parts)


def write_source(folder: Path, num: int = 12) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for seed in range(num):
        image, parts = drawn_face(seed)
        save_png(folder / "images" / f"face{seed:02d}.png", image)
        palette = Image.fromarray(parts).convert("P")
        palette.putdata(parts.reshape(-1).tolist())
        palette.putpalette([255 - i // 3 for i in range(768)])
        palette.save(folder / "masks" / f"face{seed:02d}.png")
    return folder


def face_config(**model: object) -> Config:
    tiny = {"domain": "face", "size": "tiny", "height": 32, "width": 32, "carry_colours": True, "show_structure": True}
    loss = {"perceptual": 0, "style": 0, "bsr": 0}
    train = {"images": 8, "batch": 4, "num_samples": 2, "learning_rate": 1e-3}
    return parse_config({"model": tiny | model, "loss": loss, "train": train}, "test")
