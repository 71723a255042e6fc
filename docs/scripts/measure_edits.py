"""Measure edits of photos: ``python docs/scripts/measure_edits.py DATA [-m MODEL]``.

Val people of a prepared folder wear the shipped garments, each edit another pair. Printed are the slope and the
correlation of lightness and chroma (CIELAB, means over the garment) in the result against those in the garment's photo,
the pixels outside the edited area that changed, and seconds: the first edit of a process, and the median of the others.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from skimage.color import rgb2lab

from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.edits.editing import edit_photo
from scmnet_cli.inference.edits.putting_on import regions_taken
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.inference.wardrobe import SHIPPED_WARDROBE, Wardrobe

NUM = 60
SHIPPED = SHIPPED_WARDROBE.parent / "person.safetensors"


def lightness_and_chroma(pixels: np.ndarray) -> np.ndarray:
    """Return mean lightness and mean chroma of pixels, (N, 3) uint8."""
    lab = rgb2lab(pixels[None])[0]
    return np.array([lab[:, 0].mean(), np.hypot(lab[:, 1], lab[:, 2]).mean()])


def main() -> None:
    """Edit and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("-m", "--model", type=Path, default=SHIPPED)
    given = parser.parse_args()
    pipeline, folder = Pipeline.from_pretrained(given.model, "cpu"), PreparedFolder(given.data)
    people, garments = folder.names("val"), list(Wardrobe.read(SHIPPED_WARDROBE).garments.values())
    wanted, arrived, seconds, outside, refused = [], [], [], 0, 0
    for number in range(NUM):
        wearer = folder.load(people[number * 7 % len(people)])
        garment = garments[number * 5 % len(garments)]
        began = time.perf_counter()
        try:
            edit = edit_photo(pipeline, wearer, {garment.kind: garment.person(pipeline.canvas)})
        except ScmError:
            refused += 1
            continue
        seconds.append(time.perf_counter() - began)
        outside += int((edit.person.image != wearer.image).any(-1)[edit.area == 0].sum())
        worn = np.isin(edit.person.regions, regions_taken(garment.kind)) & (edit.area > 0.99)
        if worn.sum() < 500:
            continue
        wanted.append(lightness_and_chroma(garment.image[garment.image[..., 3] > 127][:, :3]))
        arrived.append(lightness_and_chroma(edit.person.image[worn]))
    sys.stdout.write(f"{len(seconds)} edits, {refused} refused; pixels outside the area that changed: {outside}\n")
    for name, one, other in zip(("lightness", "chroma"), np.transpose(wanted), np.transpose(arrived), strict=True):
        slope, _ = np.polyfit(one, other, 1)
        sys.stdout.write(
            f"{name}: slope {slope:.2f}, correlation {np.corrcoef(one, other)[0, 1]:.2f} over {len(one)} edits\n"
        )
    sys.stdout.write(
        f"seconds: first {seconds[0]:.2f}, median of the others {np.median(seconds[1:]):.2f} at {wearer.canvas}\n"
    )


if __name__ == "__main__":
    main()
