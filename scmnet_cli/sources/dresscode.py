"""The published Dress Code data set: fashion models in three garment categories, with label maps and joints.

```
SRC/upper_body/images/000000_0.jpg       a fashion model, 768x1024; 000000_1.jpg is the garment alone
SRC/upper_body/label_maps/000000_4.png   18 classes of ATR, predicted by SCHP
SRC/upper_body/keypoints/000000_2.json   18 times [x, y, score, index], in pixels of a 384x512 copy
SRC/upper_body/train_pairs.txt           a model and a garment per line; also test_pairs_paired.txt
SRC/lower_body/ SRC/dresses/             the same layout
```

SRC may also be one of the three folders.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from scmnet_cli.errors import ScmError
from scmnet_cli.files import read_lines
from scmnet_cli.images import picture_size
from scmnet_cli.poses.files import read_pose_file
from scmnet_cli.skeleton import rescale
from scmnet_cli.sources.folder import read_annotated
from scmnet_cli.sources.source import Source, file_stamp, inside
from scmnet_cli.types import Canvas, FloatArray, Person

CATEGORIES = ("upper_body", "lower_body", "dresses")
_FRAME = Canvas(512, 384)
"""Size of the copies on which the joints were detected."""
_MODEL = re.compile(r"(?P<number>\d+)_0\.jpg", re.ASCII)
_LISTS = {"train": "train_pairs.txt", "test": "test_pairs_paired.txt"}
_LABELS = "atr18"


def is_dresscode(root: Path) -> bool:
    """Return whether a folder has the layout of Dress Code, or of one of its categories."""
    return bool(_folders(root))


def _folders(root: Path) -> dict[str, Path]:
    """Return the folders that hold photos, label maps and joints, by the prefix of the names of their people."""
    candidates = {f"{category}_": root / category for category in CATEGORIES} | {"": root}
    return {
        prefix: folder
        for prefix, folder in candidates.items()
        if all((folder / name).is_dir() for name in ("images", "label_maps", "keypoints"))
    }


class DressCodeSource(Source):
    """People of Dress Code with label maps and joints; photos of garments alone are not used."""

    layout = "dresscode"
    canvas = Canvas(256, 192)
    framed = True
    pose_estimator = "keypoints of Dress Code"
    parser = f"label_maps of Dress Code, labels {_LABELS}"
    rule = "photo, joints and map can be read and fit each other, ids are within the label set, a joint is known"

    def __init__(self, root: Path) -> None:
        """List the photos and read the lists; images and joints are read on demand.

        Raises:
            ScmError: if the folder does not have this layout, or a list is damaged.
        """
        self.root = Path(root)
        folders = _folders(self.root)
        if not folders:
            raise ScmError(
                f"{root}: is not laid out as Dress Code (images/, label_maps/ and keypoints/, in "
                f"{', '.join(f'{category}/' for category in CATEGORIES)}); give its top folder, or another --layout"
            )
        self._photos: dict[str, Path] = {}
        for prefix, folder in folders.items():
            for path in (folder / "images").iterdir():
                if found := _MODEL.fullmatch(path.name):
                    self._photos[f"{prefix}{found['number']}"] = path
        if not self._photos:
            raise ScmError(f"{root}: holds no model, such as images/000000_0.jpg")
        self._remarks: list[str] = []
        self._splits = self._read_lists(folders)
        if self._splits is not None:
            self.rule += "; split by the data set's lists"

    def names(self) -> list[str]:
        """Return the names of all listed people, or of all people if there are no lists, sorted."""
        if self._splits is None:
            return sorted(self._photos)
        return sorted(frozenset().union(*self._splits.values()).intersection(self._photos))

    def unmatched(self) -> dict[str, str]:
        """Return an empty dict: names of the lists are looked up, never followed."""
        return {}

    def splits(self) -> Mapping[str, frozenset[str]] | None:
        """Return the people of each list."""
        return self._splits

    def remarks(self) -> list[str]:
        """Return remarks on listed names without photos, and on unlisted photos."""
        return self._remarks

    def photo(self, name: str) -> Path:
        """Return the path of a person's photo."""
        return self._photos[name]

    def stamp(self, name: str) -> str:
        """Return a short text that changes when photo, map or joints change."""
        return file_stamp(self.photo(name), self._map(name), self._keypoints(name))

    def read(self, name: str) -> Person:
        """Read a person.

        Raises:
            ScmError: saying why the person is not usable.
        """
        photo = inside(self.root, self.photo(name))
        width, height = picture_size(photo)
        joints = rescale(self._joints(name), _FRAME, Canvas(height, width))
        return read_annotated(name, photo, inside(self.root, self._map(name)), joints, _LABELS)

    def _joints(self, name: str) -> FloatArray:
        """Return a person's joints in pixels of :data:`_FRAME`, without those at its upper and left edge.

        Many photos cut off the head; the detector put its joints on the edge. The data set's own loader drops them too.
        """
        path = inside(self.root, self._keypoints(name))
        joints = read_pose_file(path)[0].choose().copy()
        if (joints[:, :2] > (_FRAME.width, _FRAME.height)).any():
            raise ScmError(f"{path}: holds a joint beyond {_FRAME.width}x{_FRAME.height}; keypoints are in that frame")
        joints[(joints[:, :2] < 1).any(axis=1)] = 0
        return joints

    def _map(self, name: str) -> Path:
        return self._beside(name, "label_maps", "_4.png")

    def _keypoints(self, name: str) -> Path:
        return self._beside(name, "keypoints", "_2.json")

    def _beside(self, name: str, folder: str, ending: str) -> Path:
        photo = self.photo(name)
        return photo.parent.with_name(folder) / photo.name.replace("_0.jpg", ending)

    def _read_lists(self, folders: dict[str, Path]) -> dict[str, frozenset[str]] | None:
        splits: dict[str, set[str]] = {}
        for split, file in _LISTS.items():
            for prefix, folder in folders.items():
                if (path := folder / file).is_file():
                    splits.setdefault(split, set()).update(self._read_list(path, prefix))
        if not splits:
            return None
        repeated = splits.get("train", set()) & splits.get("test", set())
        if repeated:
            self._remarks.append(f"{_LISTS['train']}: {len(repeated):,} models left out, another list tests on them")
            splits["train"] -= repeated
        unlisted = self._photos.keys() - set().union(*splits.values())
        if unlisted:
            self._remarks.append(f"{self.root}: {len(unlisted):,} models in no list, and not used")
        return {split: frozenset(names) for split, names in splits.items()}

    def _read_list(self, path: Path, prefix: str) -> set[str]:
        names: set[str] = set()
        num_absent = 0
        for number, line in enumerate(read_lines(path, "a list of pairs"), start=1):
            if not line.strip():
                continue
            found = _MODEL.fullmatch(line.split()[0])
            if found is None:
                raise ScmError(f"{path}, line {number}: names no model, such as 000000_0.jpg; correct or remove it")
            name = f"{prefix}{found['number']}"
            num_absent += name not in self._photos
            names.add(name)
        if num_absent:
            self._remarks.append(f"{path.relative_to(self.root)}: {num_absent:,} models without a photo")
        return names
