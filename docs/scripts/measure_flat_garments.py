"""Measure how garments that lie flat are read: ``python docs/scripts/measure_flat_garments.py GARMENTS``.

GARMENTS holds images/, masks/ and garments.csv as docs/scripts/write_wardrobe.py reads them. Printed are the overlap of
each cut-out with its mask, and how far joints lie from the annotated ones in shares of the garment's longer side, each
garment by the outlines of all others of the shipped wardrobe.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from scmnet_cli.images import read_photo
from scmnet_cli.inference.edits.flat_garments import find_garment, outline_joints
from scmnet_cli.inference.wardrobe import SHIPPED_WARDROBE, Wardrobe
from scmnet_cli.skeleton import JOINTS


def annotated(row: dict[str, str]) -> np.ndarray:
    """Return the joints of a row of garments.csv, (18, 3)."""
    places = [(row.get(f"{name}_x"), row.get(f"{name}_y")) for name in JOINTS]
    return np.array([[float(x), float(y), 1] if x and y else [0, 0, 0] for x, y in places])


def main() -> None:
    """Measure and print."""
    folder = Path(sys.argv[1])
    garments = Wardrobe.read(SHIPPED_WARDROBE).garments
    overlaps, away = [], []
    with (folder / "garments.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        name = row["name"]
        truth = np.asarray(Image.open(folder / f"masks/{name}.png").convert("L")) > 127
        mask = find_garment(read_photo(folder / f"images/{name}.jpg"))
        overlaps.append((mask & truth).sum() / (mask | truth).sum())
        others = Wardrobe(garment for garment in garments.values() if garment.name != name)
        joints, wanted = outline_joints(mask, row["kind"], others)[0], annotated(row)
        both = (joints[:, 2] > 0) & (wanted[:, 2] > 0)
        side = max(truth.any(0).sum(), truth.any(1).sum())
        away += list(np.linalg.norm((joints - wanted)[both, :2], axis=1) / side)
    sys.stdout.write(
        f"{len(rows)} garments: IoU {np.mean(overlaps):.3f} in the mean, {np.min(overlaps):.2f} at worst, "
        f"{np.mean(np.array(overlaps) > 0.9):.0%} above 0.9\n"
        f"joints: off by {np.median(away):.3f} in the median, {np.quantile(away, 0.9):.3f} at the ninth decile\n"
    )


if __name__ == "__main__":
    main()
