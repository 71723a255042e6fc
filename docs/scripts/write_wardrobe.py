"""Write the wardrobe that ships, of single garments with masks and joints.

``python docs/scripts/write_wardrobe.py GARMENTS OUT``: GARMENTS holds images/NAME.jpg, masks/NAME.png and garments.csv
with the columns name, kind, source and JOINT_x, JOINT_y.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from scmnet_cli.inference.wardrobe import Garment, Wardrobe, cut_out
from scmnet_cli.skeleton import JOINTS, NUM_JOINTS

ABOUT = (
    "Photos of alexeygrigorev/clothing-dataset-small (HEAD 1196151), CC0 1.0 Universal; masks and joints CC0 1.0. "
    "https://github.com/alexeygrigorev/clothing-dataset-small"
)


def main(folder: Path, out: Path) -> None:
    """Cut every garment out and write them."""
    garments = []
    with (folder / "garments.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            name = row["name"]
            image = np.asarray(Image.open(folder / "images" / f"{name}.jpg").convert("RGB"))
            mask = np.asarray(Image.open(folder / "masks" / f"{name}.png").convert("L")) > 127
            joints = np.zeros((NUM_JOINTS, 3), np.float32)
            for number, joint in enumerate(JOINTS):
                if row.get(f"{joint}_x"):
                    joints[number] = float(row[f"{joint}_x"]), float(row[f"{joint}_y"]), 1
            about = name.replace("-", " ")
            garments.append(cut_out(image, mask, joints, Garment(name, row["kind"], image, joints, about)))
    order = {"upper": 0, "dress": 1, "skirt": 2, "pants": 3}
    garments.sort(key=lambda garment: (order[garment.kind], garment.name))
    Wardrobe(garments, ABOUT).write(out)
    sys.stdout.write(f"{out}: {len(garments)} garments, {out.stat().st_size / 1e6:.1f} MB\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
