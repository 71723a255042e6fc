"""A folder of photos with region maps and a table of joints beside them.

```
SRC/NAME.jpg            photos, .jpg .jpeg .png .webp or .bmp; SRC/images/ is looked into as well
SRC/regions/NAME.png    label maps of the photo's size, ids 0-7
SRC/joints.csv          name and x, y, score of 18 joints in pixels of the photo; or the benchmark's keypoint format
```
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_label_map, read_photo
from scmnet_cli.preprocess.keypoints import KeypointTable, read_keypoint_table
from scmnet_cli.preprocess.source import PHOTO_ENDINGS, file_stamp, inside
from scmnet_cli.regions import LABEL_SETS, to_regions
from scmnet_cli.types import FloatArray, Person

TABLES = ("joints.csv", "keypoints.csv")
"""Names that a table of joints may have."""


class FolderSource:
    """Photos, ``regions/`` and a table of joints."""

    layout = "folder"
    pose_estimator = "joints table of the source"
    parser = "region maps of the source"
    rule = "photo and region map can be read and are of one size, ids are 0-7, the map is not empty, a joint is known"

    def __init__(self, root: Path, joints: Path | None = None) -> None:
        """List the photos and read the joints; pictures are read when asked for.

        Args:
            root: the folder.
            joints: the table of joints, if it is not ``joints.csv`` or ``keypoints.csv`` in the folder.

        Raises:
            ScmError: if the folder holds no photos or no table.
        """
        self.root = Path(root)
        self._photos: dict[str, list[Path]] = {}
        for folder in (self.root, self.root / "images"):
            if folder.is_dir():
                for path in sorted(folder.iterdir()):
                    if path.suffix.lower() in PHOTO_ENDINGS and not path.name.startswith("."):
                        self._photos.setdefault(path.stem, []).append(path)
        if not self._photos:
            raise ScmError(f"{root}: holds no photos ({' '.join(PHOTO_ENDINGS)}), neither itself nor in images/")
        table = joints or find_table(self.root)
        if table is None or not table.is_file():
            missing = table or self.root / TABLES[0]
            raise ScmError(f"{missing}: no such file; the photos' joints are needed, give them with --joints FILE")
        self._joints = read_keypoint_table(table)

    def names(self) -> list[str]:
        """Return the names of all photos, without their endings, sorted."""
        return sorted(self._photos)

    def astray(self) -> dict[str, str]:
        """Return the rows of the table of joints that lead out of the folder."""
        return self._joints.astray()

    def photo(self, name: str) -> Path:
        """Return the path of a person's photo."""
        return self._photos[name][0]

    def stamp(self, name: str) -> str:
        """Return a short text that changes when photo, map or joints change."""
        try:
            joints = row_of(self._joints, self.photo(name)).tobytes()
        except ScmError as error:
            joints = str(error).encode()
        return f"{file_stamp(*self._photos[name], self._map(name))} {zlib.crc32(joints):08x}"

    def read(self, name: str) -> Person:
        """Read a person.

        Raises:
            ScmError: saying why the person is not usable.
        """
        if len(self._photos[name]) > 1:
            files = ", ".join(str(path.relative_to(self.root)) for path in self._photos[name])
            raise ScmError(f"the name stands for several photos ({files}); rename all but one")
        joints = row_of(self._joints, self.photo(name))
        return read_annotated(name, inside(self.root, self.photo(name)), inside(self.root, self._map(name)), joints)

    def _map(self, name: str) -> Path:
        return self.root / "regions" / f"{name}.png"


def find_table(folder: Path) -> Path | None:
    """Return the table of joints in a folder, if there is one."""
    return next((folder / name for name in TABLES if (folder / name).is_file()), None)


def row_of(table: KeypointTable, photo: Path) -> FloatArray:
    """Return the joints of a photo, which stand under its file name or the same without the ending.

    Raises:
        ScmError: if the table has no such row, or it cannot be used.
    """
    return table.find(photo.name, photo.stem)


def read_annotated(name: str, photo: Path, region_map: Path, joints: FloatArray) -> Person:
    """Read a photo with its region map, in pixels of the photo.

    Raises:
        ScmError: if one of them cannot be read, or they do not fit together.
    """
    if not (joints[:, 2] > 0).any():
        raise ScmError("no joint is known")
    image = read_photo(photo)
    labels = read_label_map(region_map)
    if labels.shape != image.shape[:2]:
        have, want = ("x".join(map(str, array.shape[:2])) for array in (labels, image))
        raise ScmError(f"{region_map}: is {have}, the photo is {want}; make the map of the photo as it is")
    try:
        regions = to_regions(labels, LABEL_SETS["regions"])
    except ScmError as error:
        raise ScmError(f"{region_map}: {error}; convert it to the eight regions first") from error
    if not np.any(regions):
        raise ScmError(f"{region_map}: is all background")
    return Person(name, image, regions, joints)
