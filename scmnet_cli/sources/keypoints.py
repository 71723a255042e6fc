"""Tables of joints: the benchmark's keypoint files, and ours with one column per number."""

from __future__ import annotations

import csv
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scmnet_cli.errors import ScmError
from scmnet_cli.files import read_lines, read_text
from scmnet_cli.photo_files import files_of, without_photo_ending
from scmnet_cli.poses.files import XML_REMEDY, list_of_joints, read_pose_file
from scmnet_cli.poses.joints import are_fractions, cell, in_pixels, known_joints
from scmnet_cli.skeleton import JOINTS, NUM_JOINTS
from scmnet_cli.types import Canvas, FloatArray

BENCHMARK_HEADER = ("name", "keypoints_y", "keypoints_x")
COLUMNS = ("name", *[f"{joint}_{part}" for joint in JOINTS for part in ("x", "y", "score")])
"""Columns of our own tables; other columns are ignored."""

_BENCHMARK_ROW = re.compile(r"(?P<name>.*?):\s*(?P<y>\[[^:]*):(?P<x>[^:]*)")
"""A name may contain colons, so the two lists mark its end."""

_NULL = re.compile(r"\b(?:None|nan|null)\b|(?<=[\[,])\s*(?=[,\]])")
"""A missing number in a list: a word, or nothing between two commas."""

_YOLO_ROW = re.compile(r"\d+(?:\s+-?[\d.]+(?:e[-+]?\d+)?){4,}")

_MISSING = -1
"""The benchmark's value for a missing joint."""


@dataclass(frozen=True)
class KeypointTable:
    """Joints by the name of their row, and the reason for each unusable row.

    Shape:
        joints: (18, 3) float32 each, in the file's units: pixels or fractions of the photo; 0, 0, 0 if missing.
    """

    path: Path
    joints: dict[str, FloatArray]
    problems: dict[str, str]

    def row(self, *names: str) -> FloatArray:
        """Return the joints of the first of these names that the table has, in the file's units.

        Raises:
            ScmError: if it has none of them, or the row is damaged.
        """
        for name in names:
            if name in self.problems:
                raise ScmError(f"{self.path}: {self.problems[name]}")
            if name in self.joints:
                return self.joints[name]
        raise ScmError(f"no row '{names[0]}' in {self.path.name}")

    def find(self, *names: str, size: Canvas | None = None) -> FloatArray:
        """Return the joints of the first of these names that the table has, in pixels.

        Args:
            names: possible names of the row.
            size: size of the photo, needed for joints in fractions.

        Raises:
            ScmError: as :meth:`row`, or if the joints are fractions and the size is not known.
        """
        joints = self.row(*names)
        try:
            return in_pixels(joints, size, "write them in pixels of the picture")
        except ScmError as error:
            raise ScmError(f"{self.path}: row '{names[0]}': {error}") from error

    def stamp(self, *names: str) -> str:
        """Return a short text that changes when the row of these names changes."""
        try:
            content = self.row(*names).tobytes()
        except ScmError as error:
            content = str(error).encode()
        return f"{zlib.crc32(content):08x}"

    def remarks(self) -> list[str]:
        """Return a remark on rows with joints in fractions, if there are any."""
        num = sum(are_fractions(joints) for joints in self.joints.values())
        if not num:
            return []
        return [f"{self.path.name}: joints of {num:,} rows lie in 0-1; they are multiplied by the photo's size"]

    def renamed(self, rename: Callable[[str], str | None]) -> tuple[KeypointTable, list[str]]:
        """Rename the rows; return the table without rows that get no name, and the names of those rows."""
        joints: dict[str, FloatArray] = {}
        problems: dict[str, str] = {}
        foreign: list[str] = []
        for name in dict.fromkeys([*self.joints, *self.problems]):
            key = rename(name)
            if key is None:
                foreign.append(name)
            elif key in joints or key in problems:
                problems[key] = f"'{key}' is repeated, once as '{name}'; remove one row"
            elif name in self.problems:
                problems[key] = self.problems[name]
            else:
                joints[key] = self.joints[name]
        return KeypointTable(self.path, joints, problems), foreign

    def unmatched(self) -> dict[str, str]:
        """Return the rows whose name is a path out of the folder, with the reason; such paths are never followed."""
        reason = f"row of {self.path.name} leads out of the folder and was not read; write the file's name alone"
        return {name: reason for name in [*self.joints, *self.problems] if leaves(name)}


def leaves(name: str) -> bool:
    """Return whether a name is a path out of its folder: absolute, with ``..``, or with a drive of Windows."""
    path = name.replace("\\", "/")
    return path.startswith("/") or ".." in path.split("/") or re.match(r"[A-Za-z]:/", path) is not None


def read_keypoint_table(path: Path) -> KeypointTable:
    """Read a keypoint file: ``name:keypoints_y:keypoints_x`` with JSON lists, or :data:`COLUMNS` with commas.

    A folder of pose files, such as OpenPose's and VITON-HD's ``NAME_keypoints.json``, is read as a table of the most
    prominent person of each file. A damaged row raises its error only when it is read.

    Raises:
        ScmError: if the file cannot be read or has neither header, or the folder holds no pose files.
    """
    if path.is_dir():
        return _read_folder(path)
    lines = read_lines(path, "a keypoint file")
    header = lines[0].strip() if lines else ""
    if header.replace(" ", "") == ":".join(BENCHMARK_HEADER):
        return _read_benchmark(path, lines)
    try:
        if set(COLUMNS) <= set(next(csv.reader([header]), [])):
            return _read_ours(path, lines)
    except csv.Error as error:
        raise ScmError(f"{path}: cannot be read as a table ({error})") from error
    if set(COLUMNS) <= set(re.split(r"[;\t]", header)):
        raise ScmError(f"{path}: its columns are not separated by commas; save it with commas, and points in numbers")
    if remedy := _other_tool(header):
        raise ScmError(f"{path}: {remedy}")
    raise ScmError(
        f"{path}: is not a keypoint file; its first line must be '{':'.join(BENCHMARK_HEADER)}' "
        f"or name,{COLUMNS[1]},{COLUMNS[2]},{COLUMNS[3]},..."
    )


def read_keypoint_file(path: Path) -> dict[str, FloatArray]:
    """Return the joints of every row of a keypoint file that has any, by name, in order.

    Shape:
        result: (18, 3) float32 each, in the file's own units.

    Raises:
        ScmError: if the file is not a keypoint file, or a row is damaged.
    """
    table = read_keypoint_table(path)
    for problem in table.problems.values():
        raise ScmError(f"{path}: {problem}")
    found = {name: joints for name, joints in table.joints.items() if (joints[:, 2] > 0).any()}
    if not found:
        raise ScmError(f"{path}: holds no pose; every joint of every row is missing")
    return found


def read_joints(path: Path) -> FloatArray:
    """Read the joints of one picture from a JSON file: a list of 18 [x, y, score].

    Shape:
        result: (18, 3) float32, in the file's own units.

    Raises:
        ScmError: if the file cannot be read or holds something else.
    """
    try:
        return list_of_joints(json.loads(read_text(path, "joints")))
    except (ValueError, RecursionError) as error:
        raise ScmError(f"{path}: cannot be read as joints ({error}); expected a list of 18 [x, y, score]") from error
    except ScmError as error:
        raise error if str(error).startswith(str(path)) else ScmError(f"{path}: {error}") from error


def _read_folder(folder: Path) -> KeypointTable:
    files = [path for path in files_of(folder) if path.suffix.lower() == ".json"]
    if not files:
        others = [path for path in files_of(folder) if path.suffix.lower() in (".txt", ".xml")]
        other = _other_tool(next(iter(read_lines(others[0], "a table")), "").strip()) if others else ""
        found = f"; {others[0].name} {other}" if other else "; give a folder of them, or a table of joints"
        raise ScmError(f"{folder}: holds no pose files (.json){found}")
    joints: dict[str, FloatArray] = {}
    problems: dict[str, str] = {}
    for file in files:
        try:
            for posed in read_pose_file(file):
                name = without_photo_ending(Path(posed.name).name)
                if name in joints or name in problems:
                    problems[name] = f"'{name}' is in several files, the last {file.name}; remove one"
                joints[name] = posed.choose()
        except ScmError as error:
            problems[file.stem.removesuffix("_keypoints")] = str(error)
    return KeypointTable(folder, joints, problems)


def _other_tool(header: str) -> str:
    """Return what a file of another annotation tool is and what to do with it, by its first line; else nothing."""
    if header.startswith(("<?xml", "<annotations")):
        return XML_REMEDY
    if _YOLO_ROW.fullmatch(header):
        return (
            "is a label file of YOLO, which does not say what its points are; export the skeletons as COCO keypoints, "
            "or save predictions with Ultralytics' to_json()"
        )
    return ""


def _read_benchmark(path: Path, lines: list[str]) -> KeypointTable:
    rows: list[tuple[int, str, Any]] = []
    for number, line in enumerate(lines[1:], start=2):
        if line.strip():
            found = _BENCHMARK_ROW.fullmatch(line)
            name = found["name"] if found else line.partition(":")[0]
            rows.append((number, name.strip(), found and (found["y"], found["x"])))
    return _table(path, rows, _benchmark_joints)


def _benchmark_joints(lists: tuple[str, str] | None) -> npt.NDArray[np.float64]:
    if lists is None:
        raise ValueError("lacks two lists after ':'")
    y, x = (np.array(json.loads(_NULL.sub("null", text)), np.float64) for text in lists)
    if x.shape != (NUM_JOINTS,) or y.shape != (NUM_JOINTS,):
        raise ValueError(f"does not hold {NUM_JOINTS} joints")
    return np.column_stack([x, y, (x != _MISSING) & (y != _MISSING)])


def _read_ours(path: Path, lines: list[str]) -> KeypointTable:
    rows = [(number, row["name"], row) for number, row in enumerate(csv.DictReader(lines), start=2)]
    return _table(path, rows, _our_joints)


def _our_joints(row: dict[str, str]) -> npt.NDArray[np.float64]:
    return np.array([cell(row[column]) for column in COLUMNS[1:]], np.float64).reshape(NUM_JOINTS, 3)


def _table(
    path: Path, rows: list[tuple[int, str, Any]], parse: Callable[[Any], npt.NDArray[np.float64]]
) -> KeypointTable:
    joints: dict[str, FloatArray] = {}
    problems: dict[str, str] = {}
    for number, name, values in rows:
        try:
            found = known_joints(parse(values))
        except (ScmError, ValueError, TypeError, OverflowError, RecursionError) as error:
            problems[name] = f"line {number} ('{name}'): {error}"
            continue
        if name in joints:
            problems[name] = f"line {number}: '{name}' is repeated; remove one row"
        joints[name] = found
    return KeypointTable(path, joints, problems)
