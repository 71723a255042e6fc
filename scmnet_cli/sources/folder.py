"""A folder of photos with region maps and a table of joints.

```
SRC/NAME.jpg            photos in any format that Pillow reads; also SRC/images/NAME.jpg
SRC/regions/NAME.png    label maps of the photo's size, ids 0-7 or those of --labels; also NAME.npy
SRC/joints.csv          name and x, y, score of 18 joints in pixels of the photo; or the benchmark's keypoint format
```
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_photo
from scmnet_cli.poses.joints import in_pixels
from scmnet_cli.sources.keypoints import KeypointTable, read_keypoint_table
from scmnet_cli.sources.label_maps import body_regions, find_map, label_set, read_ids
from scmnet_cli.sources.source import Source, file_stamp, find_photos, inside, only_photo, unread_remarks
from scmnet_cli.types import Canvas, FloatArray, Person

TABLES = ("joints.csv", "keypoints.csv")
"""Possible names of a table of joints."""


class FolderSource(Source):
    """Photos, ``regions/`` and a table of joints."""

    layout = "folder"
    pose_estimator = "joints table of the source"
    parser = "region maps of the source"
    rule = "photo and region map can be read and are of one size, ids are 0-7, the map is not empty, a joint is known"

    def __init__(
        self, root: Path, joints: Path | None = None, maps: Path | None = None, labels: str = "regions"
    ) -> None:
        """List the photos and read the joints; photos are read on demand.

        Args:
            root: the folder.
            joints: a table of joints or a folder of pose files, instead of ``joints.csv`` or ``keypoints.csv`` there.
            maps: the folder of label maps, if it is not ``regions`` in the folder.
            labels: label set of the maps, one of :data:`scmnet_cli.regions.LABEL_SETS`.

        Raises:
            ScmError: if the folder holds no photos or no table, or there are no such labels.
        """
        self.root = Path(root)
        self._labels, self._maps, self._maps_root = labels, maps or self.root / "regions", maps or self.root
        label_set(labels)
        if maps is not None or labels != "regions":
            self.parser = f"maps of the folder {self._maps.name}, labels {labels}"
        self._photos = find_photos(self.root)
        table = joints or find_table(self.root)
        if table is None or not table.exists():
            missing = table or self.root / TABLES[0]
            raise ScmError(
                f"{missing}: no such file; the photos' joints are needed: give them with --joints FILE, or find them "
                "with --layout photos"
            )
        self._joints = read_keypoint_table(table)

    def names(self) -> list[str]:
        """Return the names of all photos without suffix, sorted."""
        return sorted(self._photos)

    def unmatched(self) -> dict[str, str]:
        """Return the rows of the table of joints that lead out of the folder."""
        return self._joints.unmatched()

    def remarks(self) -> list[str]:
        """Return remarks on photos in unsupported formats, and on joints in fractions."""
        return [*unread_remarks(self.root), *self._joints.remarks()]

    def photo(self, name: str) -> Path:
        """Return the path of a person's photo."""
        return self._photos[name][0]

    def stamp(self, name: str) -> str:
        """Return a short text that changes when photo, map or joints change."""
        photo, files = self.photo(name), file_stamp(*self._photos[name], find_map(self._maps, name))
        return f"{files} {self._joints.stamp(photo.name, photo.stem)} {self._labels}"

    def read(self, name: str) -> Person:
        """Read a person.

        Raises:
            ScmError: saying why the person is not usable.
        """
        path = only_photo(self.root, self._photos[name])
        joints = row_of(self._joints, path)
        photo, region_map = inside(self.root, path), inside(self._maps_root, find_map(self._maps, name))
        return read_annotated(name, photo, region_map, joints, self._labels)


def find_table(folder: Path) -> Path | None:
    """Return the table of joints in a folder, if there is one."""
    return next((folder / name for name in TABLES if (folder / name).is_file()), None)


def row_of(table: KeypointTable, photo: Path) -> FloatArray:
    """Return the joints of a photo, found by its file name with or without suffix.

    Shape:
        result: (18, 3) in the table's own units.

    Raises:
        ScmError: if the table has no such row, or it is damaged.
    """
    return table.row(photo.name, photo.stem)


def read_annotated(name: str, photo: Path, region_map: Path, joints: FloatArray, labels: str = "regions") -> Person:
    """Read a photo with its label map and joints, in pixels of the photo.

    Args:
        name: name of the person.
        photo: the photo.
        region_map: its label map.
        joints: joints of the person, (18, 3) in pixels or in fractions of the photo.
        labels: label set of the map, one of :data:`scmnet_cli.regions.LABEL_SETS`.

    Raises:
        ScmError: if one of them cannot be read, or they do not fit together.
    """
    if not (joints[:, 2] > 0).any():
        raise ScmError("no joint is known")
    image = read_photo(photo)
    joints = in_pixels(joints, Canvas(*image.shape[:2]), "")
    ids = read_ids(region_map, labels)
    if ids.shape != image.shape[:2]:
        have, want = ("x".join(map(str, array.shape[:2])) for array in (ids, image))
        raise ScmError(f"{region_map}: is {have}, the photo is {want}; make the map at the photo's size")
    try:
        regions = body_regions(ids, label_set(labels), joints)
    except ScmError as error:
        remedy = "name the label set with `scm preprocess --labels`, or move the map away"
        raise ScmError(f"{region_map}: {error} of the labels '{labels}'; {remedy}") from error
    if not np.any(regions):
        raise ScmError(f"{region_map}: is all background")
    return Person(name, image, regions, joints)
