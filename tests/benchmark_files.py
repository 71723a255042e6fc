"""Pictures, maps, rows of joints and names in the forms of the benchmark, for tests of the layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from scmnet_cli.cli.main import main
from scmnet_cli.sources.deepfashion import DeepFashionSource
from scmnet_cli.types import Canvas, UInt8Array

FRAME = Canvas(256, 176)

SIZES = {"176x256": (256, 176), "256x256": (256, 256), "750x1101": (1101, 750)}

CANVASES = [Canvas(256, 176), Canvas(256, 256)]

A = "fashionWOMENBlouses_Shirtsid0000000102_1front"
B = "fashionWOMENBlouses_Shirtsid0000000102_3back"
C = "fashionMENDenimid0000008001_7additional"
D = "fashionMENTees_Tanksid0000009907_4full"

RAW = {
    A: "WOMEN/Blouses_Shirts/id_00000001/02_1_front", B: "WOMEN/Blouses_Shirts/id_00000001/02_3_back",
    C: "MEN/Denim/id_00000080/01_7_additional", D: "MEN/Tees_Tanks/id_00000099/07_4_full",
}  # fmt: skip

POINTS = [(88, 30), (88, 60), (60, 60), (50, 100), (40, 140), (116, 62), (126, 101), (136, 141), (70, 150)]
"""Some joints on the 256x176 frame, x and y; the others are missing."""


def at(size: tuple[int, int]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the rows and columns of a picture of this size on the 256x176 frame."""
    height, width = size
    scale = 256 / height
    return (np.arange(height) + 0.5) * scale - 0.5, (np.arange(width) + 0.5 - width / 2) * scale + 88 - 0.5


def picture(size: tuple[int, int], seed: int = 0) -> UInt8Array:
    """Draw a picture whose red and green encode the place on the frame, and whose blue identifies the picture."""
    y, x = at(size)
    image = np.full((*size, 3), 255, np.uint8)
    inside = (x > -0.6) & (x < 175.6)
    image[:, inside, 0] = x[inside].round().clip(0, 175)
    image[..., 1] = y.round().clip(0, 255)[:, None]
    image[..., 2] = seed
    return image


def labels(size: tuple[int, int], ids: tuple[int, int]) -> UInt8Array:
    """Draw a map: the first id left of the middle of a box around (88, 128), the second right of it."""
    y, x = at(size)
    found = np.zeros(size, np.uint8)
    found[np.ix_((y > 20) & (y < 236), (x > 40) & (x < 87.5))] = ids[0]
    found[np.ix_((y > 20) & (y < 236), (x > 87.5) & (x < 136))] = ids[1]
    return found


def row(name: str, points: list[tuple[int, int]] = POINTS, space: str = "") -> str:
    places = [*points, *[(-1, -1)] * (18 - len(points))]
    return f"{name}:{space}{[y for _, y in places]}:{space}{[x for x, _ in places]}"


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def save(path: Path, pixels: npt.NDArray[np.generic]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        Image.fromarray(np.asarray(pixels)).save(path)
    return path


HEADER = "name:keypoints_y:keypoints_x"


def scm(*arguments: object) -> None:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    assert not caught.value.code, arguments


def a_benchmark(root: Path) -> Path:
    """Four people with synthetic lists: raw photos, ADGAN's maps, pairs and joints in the benchmark's spelling."""
    for number, (name, raw) in enumerate(RAW.items()):
        save(root / "img" / f"{raw}.png", picture((256, 256), number))
        save(root / "semantic_merge3" / f"{raw}.npy", labels((256, 176), (5, 1)).astype(np.int64))
        assert name == DeepFashionSource.key(DeepFashionSource.__new__(DeepFashionSource), f"img/{raw}.jpg")
    write(root / "train.lst", f"{C}.jpg", f"{D}.jpg")
    write(root / "test.lst", f"{A}.jpg", f"{B}.jpg")
    write(root / "fashion-resize-pairs-test.csv", "from,to", f"{A}.jpg,{B}.jpg", f"{B}.jpg,{A}.jpg")
    write(root / "fashion-resize-annotation-train.csv", HEADER, row(f"{C}.jpg"), row(f"{D}.jpg"))
    write(root / "fashion-resize-annotation-test.csv", HEADER, row(f"{A}.jpg"), row(f"{B}.jpg"))
    return root
