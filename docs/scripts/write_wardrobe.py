"""Write the wardrobe that ships, of train photos of Clothing Co-Parsing.

``python docs/scripts/write_wardrobe.py DATA MODEL OUT``

Kept are a region's features and the means of its colours over 8x8 pixels, of which no photo can be made.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.inference.wardrobe import Wardrobe, style_fingerprint, take
from scmnet_cli.regions import region_id

GARMENTS = {
    "upper": {
        "brown-jacket": "0003", "gold-jacket": "0005", "checked-blazer": "0008", "striped-jumper": "0010",
        "olive-shirt": "0028", "trench-coat": "0050", "green-blouse": "0058", "camel-coat": "0060",
        "burgundy-blazer": "0062", "grey-coat": "0068", "light-blue-shirt": "0080", "white-top": "0084",
        "blue-dress": "0129", "green-print-dress": "0134", "red-jacket": "0161", "yellow-cardigan": "0173",
        "red-striped-dress": "0183", "purple-dress": "0205", "denim-jacket": "0410", "magenta-cape": "0418",
        "blue-blazer": "0420", "teal-check-dress": "0448", "pink-sweater": "0482", "blue-leather-jacket": "0486",
        "white-blouse": "0504", "yellow-coat": "0554", "green-jumper": "0558",
    },
    "pants": {
        "green-trousers": "0013", "sand-trousers": "0058", "khaki-chinos": "0080", "jeans": "0084",
        "light-jeans": "0203", "coral-trousers": "0474", "white-trousers": "0401", "flowered-trousers": "0460",
        "black-trousers": "0509",
    },
    "skirt": {
        "plum-skirt": "0018", "red-skirt": "0042", "denim-skirt": "0185", "brown-skirt": "0512",
        "patterned-skirt": "0388", "yellow-skirt": "0526",
    },
    "hair": {
        "red-hair": "0003", "fair-short-hair": "0008", "black-bob": "0020", "fair-long-hair": "0143",
        "dark-curls": "0116", "dark-long-hair": "0139",
    },
}  # fmt: skip
_LEAST_SHARE = 0.004


def main(data: Path, model: Path, out: Path) -> None:
    """Encode the garments and write them."""
    folder, pipeline = PreparedFolder(data), Pipeline.from_pretrained(model)
    train = set(folder.names("train"))
    garments = []
    for region, named in GARMENTS.items():
        for name, photo in named.items():
            if photo not in train:
                raise SystemExit(f"{photo} is not in the train list")
            person = folder.load(photo)
            share = float(np.mean(person.regions == region_id(region)))
            if share < _LEAST_SHARE:
                raise SystemExit(f"{name}: {region} is {share:.2%} of {photo}")
            garments.append(take(pipeline, person, region, name, f"CCP {photo}", patterns=False))
    Wardrobe(style_fingerprint(pipeline.model), garments).write(out)
    sys.stdout.write(f"{len(garments)} garments, {out.stat().st_size / 1e6:.2f} MB: {out}\n")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
