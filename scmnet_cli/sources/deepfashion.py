"""DeepFashion's In-shop photos as the pose-transfer literature uses them.

```
SRC/img/WOMEN/Blouses_Shirts/id_00000001/02_1_front.jpg     the photos as published, or else img_highres/, or else
SRC/train/fashionWOMENBlouses_Shirtsid0000000102_1front.jpg flattened names, in any folder
SRC/train.lst test.lst                                      splits; also val.lst, and MUST-GAN's train_images_lst.csv
SRC/fashion-resize-pairs-test.csv                           from,to; also fasion-resize-, fasion-, and -train
SRC/fashion-resize-annotation-test.csv                      joints, spelt as the pairs; on the 256x176 frame
SRC/semantic_merge3/WOMEN/.../02_1_front.npy                maps of the eight regions (ADGAN, MUST-GAN), or
SRC/trainSPL8/ testSPL8/fashionWOMEN....png                 PISE's maps
```

A 256x256 photo is the 176x256 one with 40 more pixels on each side: the originals were scaled to a height of 256,
keeping their aspect, and centred. So all sizes agree in height and centre.
"""

from __future__ import annotations

import re
from pathlib import Path

from scmnet_cli.errors import ScmError
from scmnet_cli.sources.benchmark import BenchmarkSource
from scmnet_cli.sources.label_maps import MAP_ENDINGS
from scmnet_cli.types import Canvas

_NAME = re.compile(
    r"(?:^|/)(?:fash?ion)?[-_/]?(?P<gender>WOMEN|MEN)[-_/]?(?P<kind>[A-Za-z]+(?:_[A-Za-z]+)*)[-_/]?id_?(?P<id>\d{8})"
    r"[-_/]?(?P<shot>\d{2})_(?P<number>\d)_?(?P<view>[a-z]+)(?:\.[A-Za-z]+)*$",
    re.ASCII,
)
_SHOT_DIGITS = 2
_SPELLINGS = ("fashion-resize", "fasion-resize", "fasion", "fashion")


class DeepFashionSource(BenchmarkSource):
    """In-shop photos of any published size, with the benchmark's lists, pairs and joints, and published maps."""

    layout = "deepfashion"
    data_set = "DeepFashion"
    example = "fashionWOMENBlouses_Shirtsid0000000102_1front.jpg"
    frame = Canvas(256, 176)
    proportions = (0.6, 1.05)
    sizes = "176x256, 256x256 and 750x1101"
    map_sizes = ((256, 176), (256, 256))
    pair_names = tuple(f"{spelling}-pairs-{{}}.csv" for spelling in _SPELLINGS)
    annotation_names = tuple(f"{spelling}-annotation-{{}}.csv" for spelling in _SPELLINGS)
    photo_folders = ("img", "img_highres")
    map_folders = ("semantic_merge3", "trainSPL8", "testSPL8", "valSPL8")

    def key(self, path: str) -> str | None:
        """Return the flattened name of a photo, map or row; None if it is not a name of DeepFashion.

        ``img/WOMEN/Denim/id_00000001/02_1_front.jpg`` and ``fasionWOMENDenimid0000000102_1_front.png`` both become
        ``fashionWOMENDenimid0000000102_1front``.
        """
        found = _NAME.search(path)
        return "fashion{gender}{kind}id{id}{shot}_{number}{view}".format(**found.groupdict()) if found else None

    def identity(self, name: str) -> str:
        """Return gender, kind of garment and number of the person: the name without shot and view."""
        return name[: name.rindex("_") - _SHOT_DIGITS]

    def _find_maps(self, maps: Path | None) -> dict[str, list[Path]]:
        folders = [maps] if maps else [self.root / name for name in self.map_folders if (self.root / name).is_dir()][:1]
        if not maps and folders and folders[0].name != "semantic_merge3":
            folders = [folder for name in self.map_folders if (folder := self.root / name).is_dir()]
        if not folders:
            raise ScmError(
                f"{self.root}: holds no region maps (semantic_merge3/, or trainSPL8/ and testSPL8/); "
                "give a folder of maps with --maps, and what their ids mean with --labels"
            )
        self.parser = f"maps of {', '.join(folder.name for folder in folders)}, labels {self._labels_of(folders[0])}"
        found: dict[str, list[Path]] = {}
        for folder in folders:
            for name, paths in self._find(folder, MAP_ENDINGS).items():
                found.setdefault(name, []).extend(paths)
        return found
