"""Base class of the published benchmarks: photos known by name, and files that list, pair and annotate them.

Names in list files are looked up among the photos found, never followed as paths.
"""

from __future__ import annotations

import csv
import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from scmnet_cli.data.prepared import SPLITS
from scmnet_cli.errors import ScmError
from scmnet_cli.files import read_lines
from scmnet_cli.images import read_photo, whole_box
from scmnet_cli.photo_files import photo_endings
from scmnet_cli.sources.keypoints import KeypointTable, leaves, read_keypoint_table
from scmnet_cli.sources.label_maps import body_regions, label_set, read_ids
from scmnet_cli.sources.source import JOURNAL, Source, file_stamp, inside
from scmnet_cli.types import Canvas, FloatArray, Person, UInt8Array

_NAME_COLUMNS = ("images_name", "name")
"""Possible columns of names in a list file; the first is MUST-GAN's."""


class BenchmarkSource(Source):
    """A folder of photos under the benchmark's own names, with its list, pair and annotation files.

    A subclass defines how names are recognised (:meth:`key`), and the names of its files.
    """

    framed = True
    data_set: str
    example: str
    """A name of this data set, for messages."""
    frame: Canvas
    """Size of the pictures on which the joints were annotated."""
    proportions: tuple[float, float]
    """Smallest and largest ratio of width to height of a photo."""
    sizes: str
    """The published sizes, for messages."""
    map_sizes: tuple[tuple[int, int], ...]
    """Heights and widths that a label map may have, besides the photo's own size."""
    list_names: tuple[str, ...] = ("{}.lst", "{}_images_lst.csv")
    pair_names: tuple[str, ...]
    annotation_names: tuple[str, ...]
    """Possible names of these files, with {} for the split; the first that exists is read."""
    photo_folders: tuple[str, ...] = ()
    """Folders of SRC that hold the published photos; if one exists, copies elsewhere are ignored."""
    map_folders: tuple[str, ...] = ()
    """Folders of SRC that hold label maps, not photos."""

    def __init__(
        self,
        root: Path,
        joints: Path | None = None,
        maps: Path | None = None,
        labels: str | None = None,
        lists: Path | None = None,
    ) -> None:
        """Find the photos, and read lists and joints; photos are read on demand.

        Args:
            root: the folder.
            joints: a table of joints, instead of the folder's annotation files.
            maps: a folder of label maps, instead of the layout's own.
            labels: label set of the maps, one of :data:`scmnet_cli.regions.LABEL_SETS`.
            lists: the folder of list, pair and annotation files; None: the root.

        Raises:
            ScmError: if there are no photos, joints or maps, or one of the files is damaged.
        """
        self.root = Path(root)
        for option, folder in (("--lists", lists), ("--maps", maps)):
            if folder is not None and not folder.is_dir():
                raise ScmError(f"{option} {folder}: no such folder")
        originals = [self.root / name for name in self.photo_folders if (self.root / name).is_dir()]
        self._photos = self._find(
            originals[0] if originals else self.root,
            photo_endings(),
            lambda folder: folder.name in self.map_folders or _is_same(folder, maps),
        )
        if not self._photos:
            raise ScmError(
                f"{root}: holds no photo under a name of {self.data_set}, such as {self.example}; "
                "links to folders are not followed"
            )
        self._lists = lists or self.root
        self._remarks: list[str] = []
        self._splits = self._read_splits() or self._splits_by_pairs()
        self._pairs = [pair for split in SPLITS for pair in self._read_pairs(split)]
        self._tables = self._read_joints(joints)
        if labels is not None:
            label_set(labels)
        self._labels = labels
        self._maps_root, self._maps = maps or self.root, self._find_maps(maps)
        self.pose_estimator = f"joints of {', '.join(table.path.name for table in self._tables)}"
        self.rule = (
            "photo, joints and map can be read and fit each other, ids are within the label set, a joint is known"
        )
        if self._splits is not None:
            self.rule += "; split by the benchmark's lists"

    @abstractmethod
    def key(self, path: str) -> str | None:
        """Return the canonical name of a picture, map or row for any spelling of its path; None for other files."""

    @abstractmethod
    def identity(self, name: str) -> str:
        """Return the part of a photo's name that identifies the person."""

    def names(self) -> list[str]:
        """Return the names of all listed photos, or of all photos if there are no lists, sorted."""
        if self._splits is None:
            return sorted(self._photos)
        listed = frozenset().union(*self._splits.values())
        return sorted(listed.intersection(self._photos))

    def unmatched(self) -> dict[str, str]:
        """Return an empty dict: names of the lists are looked up, never followed."""
        return {}

    def splits(self) -> Mapping[str, frozenset[str]] | None:
        """Return the names of each list."""
        return self._splits

    def pairs(self) -> list[tuple[str, str]]:
        """Return the pairs of all pair files."""
        return self._pairs

    def remarks(self) -> list[str]:
        """Return sentences on names without photos, photos without lists, and the like."""
        return self._remarks

    def photo(self, name: str) -> Path:
        """Return the path of a person's photo."""
        return self._photos[name][0]

    def stamp(self, name: str) -> str:
        """Return a short text that changes when photo, map, joints or the meaning of the map's ids change."""
        table = self._table_of(name)
        files = file_stamp(*self._photos[name], *self._maps.get(name, ()))
        return f"{files} {table.stamp(name) if table else '-'} {self.parser}"

    def read(self, name: str) -> Person:
        """Read a person.

        Raises:
            ScmError: saying why the person is not usable.
        """
        joints = self._joints(name)
        if not (joints[:, 2] > 0).any():
            raise ScmError("no joint is known")
        image = read_photo(inside(self.root, _only(self._photos[name], "photos")))
        height, width = image.shape[:2]
        least, greatest = self.proportions
        if not least <= width / height <= greatest:
            raise ScmError(f"the photo is {width}x{height}; {self.data_set} has {self.sizes}")
        present = joints[:, 2:] > 0
        joints = joints.copy()
        joints[:, :2] = whole_box(width, height, self.frame).to_original(joints[:, :2]) * present
        return Person(name, image, self.regions(name, Canvas(height, width), joints), joints)

    def regions(self, name: str, photo: Canvas, joints: FloatArray) -> UInt8Array:
        """Return the region map of a person.

        Shape:
            joints: (18, 3) in pixels of the photo; result: the photo's size.

        Raises:
            ScmError: if there is none, or it does not fit.
        """
        if name not in self._maps:
            raise ScmError(f"has no map in {self._maps_root}")
        path = inside(self._maps_root, _only(self._maps[name], "maps"))
        labels = self._labels_of(path)
        ids = read_ids(path, labels)
        height, width = ids.shape
        if (height, width) not in (*self.map_sizes, (photo.height, photo.width)):
            expected = ", ".join(f"{w}x{h}" for h, w in self.map_sizes)
            raise ScmError(
                f"{path}: is {width}x{height}; a map is {expected} or as its photo, {photo.width}x{photo.height}"
            )
        fitted = whole_box(width, height, photo).crop_labels(ids)
        try:
            return body_regions(fitted, label_set(labels), joints)
        except ScmError as error:
            raise ScmError(f"{path}: {error} of the labels '{labels}'; name the label set with --labels") from error

    def _labels_of(self, path: Path) -> str:
        """Return the name of the label set of a map: PISE's for a map in a folder with PISE's name."""
        return self._labels or ("spl8" if any(part.endswith("SPL8") for part in path.parts) else "regions")

    @abstractmethod
    def _find_maps(self, maps: Path | None) -> dict[str, list[Path]]:
        """Find the maps by name, in the given folder or below SRC, and set ``parser``."""

    def _joints(self, name: str) -> FloatArray:
        """Return a person's joints in pixels of :attr:`frame`."""
        table = self._table_of(name)
        if table is None:
            raise ScmError("has no row in the annotation files")
        return table.find(name, size=self.frame)

    def _table_of(self, name: str) -> KeypointTable | None:
        return next((table for table in self._tables if name in table.joints or name in table.problems), None)

    def _find(
        self, root: Path, endings: tuple[str, ...], avoid: Callable[[Path], bool] = lambda _folder: False
    ) -> dict[str, list[Path]]:
        """Find the files below a folder that have names of the data set."""
        found: dict[str, list[Path]] = {}
        for folder, folders, files in os.walk(root):
            here = Path(folder)
            folders[:] = sorted(name for name in folders if not name.startswith(".") and not avoid(here / name))
            if JOURNAL in files:  # a prepared folder below its own source
                folders.clear()
                continue
            for file in sorted(files):
                if file.lower().endswith(endings) and not file.startswith("."):
                    path = here / file
                    key = self.key(path.relative_to(root).as_posix())
                    if key is not None:
                        found.setdefault(key, []).append(path)
        return found

    def _first(self, names: Iterable[str], split: str) -> Path | None:
        paths = [self._lists / name.format(split) for name in names]
        return next((path for path in paths if path.is_file()), None)

    def _own_key(self, row: str) -> str | None:
        """Return the canonical name of a row; None for a foreign name or a path out of the folder."""
        return None if leaves(row) else self.key(row.replace("\\", "/"))

    def _read_splits(self) -> dict[str, frozenset[str]] | None:
        splits: dict[str, frozenset[str]] = {}
        for split in SPLITS:
            path = self._first(self.list_names, split)
            if path is None:
                continue
            rows = _read_names(path)
            keys = [self._own_key(row) for row in rows]
            foreign = [row for row, key in zip(rows, keys, strict=True) if key is None]
            if len(foreign) == len(rows):
                raise ScmError(f"{path}: holds no name of {self.data_set}, such as {self.example}")
            if foreign:
                self._remarks.append(f"{path.name}: {_counted(foreign)} no name of {self.data_set}")
            splits[split] = frozenset(key for key in keys if key is not None)
            absent = sorted(splits[split].difference(self._photos))
            if absent:
                self._remarks.append(f"{path.name}: {_counted(absent)} without a photo in {self.root}")
        if not splits:
            return None
        return self._without_overlap(splits)

    def _without_overlap(self, splits: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
        """Remove names from a list if a later split holds them too, and remark on photos in no list."""
        tested = frozenset[str]().union(*(names for split, names in splits.items() if split != "train"))
        for split, other in (("train", tested), ("val", splits.get("test", frozenset()))):
            repeated = sorted(splits.get(split, frozenset()) & other)
            if repeated:
                self._remarks.append(f"list of {split}: {_counted(repeated)} left out, since another list has them")
                splits[split] -= other
        listed = frozenset().union(*splits.values())
        if listed.isdisjoint(self._photos):
            raise ScmError(f"{self.root}: {_counted(sorted(self._photos))}, none of them in the lists of {self._lists}")
        unlisted = sorted(self._photos.keys() - listed)
        if unlisted:
            self._remarks.append(f"{self.root}: {_counted(unlisted)} in no list, and not used")
        return splits

    def _read_pairs(self, split: str) -> list[tuple[str, str]]:
        path = self._first(self.pair_names, split)
        rows = [] if path is None else _read_rows(path, ("from", "to"))
        return [(self._own_key(start) or start, self._own_key(end) or end) for start, end in rows]

    def _splits_by_pairs(self) -> dict[str, frozenset[str]] | None:
        """Return the splits of a folder with test pairs and without lists, or None if it has no test pairs.

        All photos of the people in test pairs are for testing, so that training sees none of these people.
        """
        tested = {self.identity(name) for pair in self._read_pairs("test") for name in pair if name in self._photos}
        if not tested:
            return None
        test = frozenset(name for name in self._photos if self.identity(name) in tested)
        self._remarks.append(
            f"{self._lists}: has no {self.list_names[0].format('train')} and {self.list_names[0].format('test')}; all "
            "photos of the people in the test pairs are the test set, the others are for training"
        )
        return {"train": frozenset(self._photos) - test, "test": test}

    def _read_joints(self, joints: Path | None) -> list[KeypointTable]:
        if joints is not None:
            paths = [joints]
        else:
            paths = [path for split in SPLITS if (path := self._first(self.annotation_names, split)) is not None]
        if not paths:
            names = " or ".join(self.annotation_names).format(*["test"] * len(self.annotation_names))
            raise ScmError(
                f"{self._lists}: holds no joints ({names}); give their folder with --lists or the file with --joints"
            )
        tables = []
        for path in paths:
            table, foreign = read_keypoint_table(path).renamed(self._own_key)
            if not table.joints and not table.problems:
                raise ScmError(f"{path}: has no row under a name of {self.data_set}, such as {self.example}")
            if foreign:
                self._remarks.append(f"{path.name}: {_counted(foreign)} no name of {self.data_set}")
            self._remarks += table.remarks()
            tables.append(table)
        return tables


def _only(paths: list[Path], what: str) -> Path:
    if len(paths) > 1:
        files = ", ".join(map(str, paths))
        raise ScmError(f"the name matches several {what} ({files}); keep one, or give a folder with only one")
    return paths[0]


def _is_same(folder: Path, other: Path | None) -> bool:
    return other is not None and folder.resolve() == other.resolve()


def _counted(names: list[str]) -> str:
    return f"{len(names):,} name{'s' if len(names) > 1 else ''} ({names[0][:100]!r}{', ...' if len(names) > 1 else ''})"


def _read_names(path: Path) -> list[str]:
    """Return the names of a list: one per line, or the name column of a table."""
    lines = [line.strip() for line in read_lines(path, "a list of names") if line.strip()]
    if not lines:
        raise ScmError(f"{path}: is empty")
    columns = lines[0].split(",")
    for column in _NAME_COLUMNS:
        if column in columns:
            return [row for (row,) in _read_rows(path, (column,))]
    return lines


def _read_rows(path: Path, columns: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the cells of some columns, row by row; other columns are ignored.

    Raises:
        ScmError: if the file lacks a column, or a row a cell.
    """
    reader = csv.DictReader(read_lines(path, "a table"))
    rows = []
    try:
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            raise ScmError(f"{path}: has no column {' and '.join(missing)}; expected {','.join(columns)}")
        for row in reader:
            cells = tuple((row[column] or "").strip() for column in columns)
            if not all(cells):
                raise ScmError(f"{path}, line {reader.line_num}: lacks {' or '.join(columns)}")
            rows.append(cells)
    except csv.Error as error:
        raise ScmError(f"{path}, line {reader.line_num}: cannot be read ({error})") from error
    return rows
