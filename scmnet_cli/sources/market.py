"""Market-1501 as the pose-transfer literature uses it.

```
SRC/images/0002_c1s1_000451_03.jpg   photos, 64x128, in any folder (the published bounding_box_train/ too)
SRC/train.lst test.lst               splits
SRC/market-pairs-test.csv            from,to; also pairs-test.csv, and -train
SRC/market-annotation-train.csv      joints in pixels of the photo; also -test
```

It has no region maps: they are drawn from the joints, unless a folder of a parser's maps is given.
"""

from __future__ import annotations

import re
from pathlib import Path

from scmnet_cli.sources.benchmark import BenchmarkSource
from scmnet_cli.sources.drawn_maps import draw_region_map
from scmnet_cli.sources.label_maps import MAP_ENDINGS
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

_NAME = re.compile(r"(?:^|/)(?P<name>\d{4}_c\ds\d_\d{6}_\d{2})(?:\.[A-Za-z]+)*$", re.ASCII)


class MarketSource(BenchmarkSource):
    """Photos of pedestrians, with lists, pairs and joints; regions are drawn from the joints or come from a parser."""

    layout = "market1501"
    data_set = "Market-1501"
    example = "0002_c1s1_000451_03.jpg"
    canvas = Canvas(128, 64)
    frame = Canvas(128, 64)
    proportions = (0.4, 0.6)
    sizes = "64x128"
    map_sizes = ((128, 64),)
    pair_names = ("market-pairs-{}.csv", "pairs-{}.csv")
    annotation_names = ("market-annotation-{}.csv",)

    def key(self, path: str) -> str | None:
        """Return the name of a photo, map or row without suffix; None if it is not a name of Market-1501."""
        found = _NAME.search(path)
        return found["name"] if found else None

    def identity(self, name: str) -> str:
        """Return the number of the person."""
        return name.partition("_")[0]

    def regions(self, name: str, photo: Canvas, joints: FloatArray) -> UInt8Array:
        """Return the region map of a person, drawn from the joints if there is no folder of maps.

        Shape:
            joints: (18, 3) in pixels of the photo; result: the photo's size.

        Raises:
            ScmError: if there is none, or it does not fit.
        """
        return super().regions(name, photo, joints) if self._has_maps else draw_region_map(joints, photo)

    def _find_maps(self, maps: Path | None) -> dict[str, list[Path]]:
        self._has_maps = maps is not None
        if maps is None:
            self.parser = "drawn from the joints: limbs as tapered capsules, the head as an ellipse"
            self.background = "keep"
            return {}
        self.parser = f"maps of {maps.name}, labels {self._labels_of(maps)}"
        return self._find(maps, MAP_ENDINGS)
