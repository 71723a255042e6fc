"""The prepared folder: the one data format that training and evaluation read.

```
DATA/
  manifest.json       version, domain, source layout, canvas, background, estimators, counts, skipped photos with
                      reasons, remarks
  images/NAME.png     upright RGB on the canvas
  regions/NAME.png    label map, ids 0-7 of the body regions or face regions
  joints.csv          one row per person: the crop in the photo, then x, y, score of 18 joints in pixels of the canvas
  faces.csv           of faces, instead of joints.csv: one row per face with its crop
  edges/NAME.png      of faces: the edge map, bits of scmnet_cli.edges
  train.txt val.txt test.txt    names, one per line
  pairs.csv           from,to: two photos of the same person, if the source layout has pairs
```

Images are written first; table, lists and manifest last, each atomically. A folder with a manifest is complete; one
without can be resumed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from scmnet_cli.domains import DOMAINS, FACE, PERSON, Domain
from scmnet_cli.edges import CANNY, PARTS
from scmnet_cli.errors import ScmError
from scmnet_cli.files import MAX_BYTES, make_folders, read_json, write_text
from scmnet_cli.images import MAX_SIDE, CropBox, read_label_map, read_photo, save_png
from scmnet_cli.regions import NUM_REGIONS
from scmnet_cli.skeleton import JOINTS, NUM_JOINTS
from scmnet_cli.types import NO_JOINTS, Canvas, FloatArray, Person

VAL_EVERY = 10
"""Every tenth usable person by name is for validation, never for training."""

FORMAT_VERSION = 1
SPLITS = ("train", "val", "test")
_CROP_COLUMNS = ("photo", "photo_width", "photo_height", "left", "top", "width", "height")
_JOINT_COLUMNS = tuple(f"{joint}_{part}" for joint in JOINTS for part in ("x", "y", "score"))

COLUMNS = {PERSON.name: ("name", *_CROP_COLUMNS, *_JOINT_COLUMNS), FACE.name: ("name", *_CROP_COLUMNS)}
"""Columns of the table, by domain."""
TABLES = {PERSON.name: "joints.csv", FACE.name: "faces.csv"}
"""Name of the table, by domain."""
_PICTURES = {PERSON.name: ("images", "regions"), FACE.name: ("images", "edges", "regions")}


class _Version(BaseModel):
    """Version of a manifest, read before the rest."""

    version: int = FORMAT_VERSION


class Manifest(BaseModel):
    """Content of ``manifest.json``."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: str = Field("scm-net prepared folder", pattern="^scm-net prepared folder$")
    version: int = FORMAT_VERSION
    domain: Literal["person", "face"] = "person"
    layout: str
    height: int = Field(ge=1, le=MAX_SIDE)
    width: int = Field(ge=1, le=MAX_SIDE)
    background: str
    pose_estimator: str
    parser: str
    counts: dict[str, int]
    left_out: dict[str, str] = {}
    remarks: list[str] = []
    rule: str = ""
    tool_version: str = ""

    @property
    def canvas(self) -> Canvas:
        """Size of the images."""
        return Canvas(self.height, self.width)


@dataclass(frozen=True)
class Entry:
    """One row of the table: name, photo, crop and joints.

    Shape:
        joints: (18, 3) float32 in pixels of the canvas; (0, 3) for a face.
    """

    name: str
    photo: str
    photo_size: tuple[int, int]
    """Width and height of the photo."""
    crop: CropBox
    joints: FloatArray = field(compare=False)


class PreparedFolder:
    """Reader of a prepared folder."""

    def __init__(self, path: Path) -> None:
        """Read manifest, table and lists; images are read on demand.

        Raises:
            ScmError: if it is not a complete prepared folder of a supported version.
        """
        self.path = Path(path)
        self.manifest = _read_manifest(self.path)
        self.domain: Domain = DOMAINS[self.manifest.domain]
        self.table = self.path / TABLES[self.domain.name]
        self._entries = {entry.name: entry for entry in read_table(self.table, self.manifest.canvas, self.domain)}
        self._splits = {split: self._read_list(split) for split in SPLITS}

    def _read_list(self, split: str) -> list[str]:
        path = self.path / f"{split}.txt"
        if not path.is_file():
            return []
        names = []
        for line in io.StringIO(_read_text(path)):
            for name in line.split():
                if name not in self._entries:
                    raise ScmError(
                        f"{path}: names '{name}', which {self.table.name} does not have; prepare the folder again"
                    )
                names.append(self._entries[name].name)
        return names

    def names(self, split: str | None = None) -> list[str]:
        """Return the names of a split, or all names, in order.

        Raises:
            ScmError: if there is no such split.
        """
        if split is None:
            return list(self._entries)
        if split not in self._splits:
            raise ScmError(f"split '{split}' is not one of {', '.join(SPLITS)}")
        return list(self._splits[split])

    def entry(self, name: str) -> Entry:
        """Return a person's row of the table.

        Raises:
            ScmError: if there is no such name.
        """
        if name not in self._entries:
            raise ScmError(f"{self.path}: has no {self.domain.name} '{name}'; its names are in {self.table}")
        return self._entries[name]

    def load(self, name: str) -> Person:
        """Read one person.

        Raises:
            ScmError: if there is no such name, or its image or a map is broken or of another size.
        """
        entry = self.entry(name)
        image = read_photo(self.path / "images" / f"{name}.png")
        regions = read_label_map(self.path / "regions" / f"{name}.png")
        canvas = self.manifest.canvas
        edges = read_label_map(self.path / "edges" / f"{name}.png") if self.domain is FACE else None
        for what, array in (("image", image), ("region map", regions), ("edge map", edges)):
            if array is None:
                continue
            if array.shape[:2] != (canvas.height, canvas.width):
                found = f"{array.shape[0]}x{array.shape[1]}"
                raise ScmError(
                    f"{self.path}: the {what} of '{name}' is {found}, the manifest says {canvas}; prepare it again"
                )
        if regions.max(initial=0) >= NUM_REGIONS:
            raise ScmError(
                f"{self.path}: the region map of '{name}' holds id {regions.max()}, beyond 0-7; prepare it again"
            )
        if edges is not None and edges.max(initial=0) > CANNY | PARTS:
            raise ScmError(f"{self.path}: the edge map of '{name}' holds {edges.max()}, beyond 0-3; prepare it again")
        return Person(name, image, regions, entry.joints.copy(), edges)

    def pairs(self) -> list[tuple[str, str]]:
        """Return the pairs of images of the same person, in order; empty if the source layout has none.

        Raises:
            ScmError: if ``pairs.csv`` lacks a column or holds an unknown name.
        """
        path = self.path / "pairs.csv"
        if not path.is_file():
            return []
        return [
            (self.entry(row["from"]).name, self.entry(row["to"]).name) for _, row in _read_rows(path, ("from", "to"))
        ]


def _read_text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ScmError(f"{path}: is over {MAX_BYTES // 1_000_000} MB; prepare the folder again")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ScmError(f"{path}: cannot be read as text ({error}); prepare the folder again") from error


def _read_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and row, a dict by column, of a table; extra columns are allowed.

    Raises:
        ScmError: if the file is not a table or lacks a column.
    """
    reader = csv.DictReader(io.StringIO(_read_text(path)))
    try:
        missing = set(columns) - set(reader.fieldnames or ())
        if missing:
            raise ScmError(f"{path}: lacks the columns {', '.join(sorted(missing)[:3])}; prepare the folder again")
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise ScmError(
            f"{path}, line {reader.line_num}: cannot be read as a table ({error}); prepare the folder again"
        ) from error


def _read_manifest(folder: Path) -> Manifest:
    path = folder / "manifest.json"
    if not path.is_file():
        raise ScmError(
            f"{folder}: is not a prepared folder (no manifest.json); make one with 'scm preprocess PHOTOS -o {folder}'"
        )
    remedy = "prepare the folder again"
    version = read_json(path, _Version, remedy).version
    if version > FORMAT_VERSION:
        raise ScmError(f"{path}: format version {version} is newer than {FORMAT_VERSION}; update scmnet-cli")
    return read_json(path, Manifest, remedy)


def check_name(name: str) -> str:
    """Return a name after checking that it is safe as a file name inside the folder.

    Raises:
        ScmError: if it could lead out of the folder or make a hidden file.
    """
    if not name or name.startswith((".", "-")) or any(c in name for c in '/\\:\0\n\r\t ,"') or len(name) > 200:
        raise ScmError(f"name {name!r}: cannot be a file name here; use letters, digits, '_', '-' and '.'")
    return name


def read_table(path: Path, canvas: Canvas, domain: Domain = PERSON) -> list[Entry]:
    """Read ``joints.csv`` or ``faces.csv``.

    Raises:
        ScmError: naming file, line and value, if a row is damaged or a name is repeated.
    """
    if not path.is_file():
        raise ScmError(f"{path}: no such file; prepare the folder again")
    entries: dict[str, Entry] = {}
    for number, row in _read_rows(path, COLUMNS[domain.name]):
        try:
            entry = read_row(row, canvas, domain)
        except (TypeError, ValueError, OverflowError, ScmError) as error:
            raise ScmError(f"{path}, line {number}: {error}; prepare the folder again") from error
        if entry.name in entries:
            raise ScmError(f"{path}, line {number}: '{entry.name}' is repeated; remove one row")
        entries[entry.name] = entry
    return list(entries.values())


def read_row(row: Mapping[str, str], canvas: Canvas, domain: Domain = PERSON) -> Entry:
    """Parse a row of the table.

    Raises:
        ScmError: if the name cannot be a file name.
        ValueError, TypeError: if a cell is missing or not a number.
    """
    name = check_name(row["name"])
    joints = NO_JOINTS
    if domain is PERSON:
        joints = np.array([float(row[column]) for column in _JOINT_COLUMNS], np.float32).reshape(NUM_JOINTS, 3)
    photo_width, photo_height, left, top, width, height = (int(row[column]) for column in _CROP_COLUMNS[1:])
    if not np.isfinite(joints).all() or width < 1 or height < 1:
        raise ValueError("holds a number that is not finite or a crop without area")
    return Entry(name, row["photo"], (photo_width, photo_height), CropBox(left, top, width, height, canvas), joints)


def _number(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".")


def table_row(entry: Entry) -> list[str]:
    """Return the row of an entry, as :func:`read_row` parses it."""
    crop = entry.crop
    numbers = [*entry.photo_size, crop.left, crop.top, crop.width, crop.height]
    return [entry.name, entry.photo, *map(str, numbers), *[_number(float(v)) for v in entry.joints.reshape(-1)]]


class PreparedWriter:
    """Writer of a prepared folder: write people one by one, in any order, then call :meth:`finish`."""

    def __init__(self, path: Path, canvas: Canvas, domain: Domain = PERSON) -> None:
        """Create missing folders.

        Raises:
            ScmError: if they cannot be made, or lead out of the prepared folder.
        """
        self.path, self.canvas, self.domain = Path(path), canvas, domain
        self._pictures = _PICTURES[domain.name]
        make_folders(self.path, *self._pictures)

    def has(self, name: str) -> bool:
        """Return whether all images of a person are written."""
        return all((self.path / folder / f"{name}.png").is_file() for folder in self._pictures)

    def write(self, person: Person) -> None:
        """Write the images of a person; the region map comes last and so marks a complete person.

        Raises:
            ScmError: if name, canvas or domain do not fit, or a file cannot be written.
        """
        check_name(person.name)
        if person.canvas != self.canvas:
            raise ScmError(f"{person.name}: is {person.canvas}, the folder's canvas is {self.canvas}")
        if DOMAINS[person.domain] is not self.domain:
            raise ScmError(f"{person.name}: is a {person.domain}, the folder holds {self.domain.members}")
        save_png(self.path / "images" / f"{person.name}.png", person.image)
        if person.edges is not None:
            save_png(self.path / "edges" / f"{person.name}.png", person.edges)
        save_png(self.path / "regions" / f"{person.name}.png", person.regions)

    def finish(
        self,
        manifest: Manifest,
        entries: Iterable[Entry],
        splits: Mapping[str, Sequence[str]],
        pairs: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Write table, lists, pairs and, last, the manifest.

        Raises:
            ScmError: if a file cannot be written.
        """
        write_csv(
            self.path / TABLES[self.domain.name], COLUMNS[self.domain.name], [table_row(entry) for entry in entries]
        )
        for split in SPLITS:
            write_text(self.path / f"{split}.txt", "".join(f"{name}\n" for name in splits.get(split, ())))
        if pairs:
            write_csv(self.path / "pairs.csv", ("from", "to"), pairs)
        else:
            (self.path / "pairs.csv").unlink(missing_ok=True)
        write_text(self.path / "manifest.json", manifest.model_dump_json(indent=2) + "\n")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table atomically.

    Raises:
        ScmError: if the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def is_val(index: int) -> bool:
    """Return whether the usable person at this index, in order of name, is for validation."""
    return index % VAL_EVERY == VAL_EVERY - 1
