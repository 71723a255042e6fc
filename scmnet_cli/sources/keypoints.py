"""Tables of joints: the benchmark's keypoint files, and ours with a column a number."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scmnet_cli.errors import ScmError
from scmnet_cli.skeleton import JOINTS, NUM_JOINTS
from scmnet_cli.sources.source import read_lines
from scmnet_cli.types import FloatArray

BENCHMARK_HEADER = ("name", "keypoints_y", "keypoints_x")
COLUMNS = ("name", *[f"{joint}_{part}" for joint in JOINTS for part in ("x", "y", "score")])
"""Columns of our own tables; others may stand between them."""


@dataclass(frozen=True)
class KeypointTable:
    """Joints by the name they stand under, and why other rows cannot be used.

    Shape:
        joints: (18, 3) float32 each, in pixels of the picture; a missing joint is 0, 0, 0.
    """

    path: Path
    joints: dict[str, FloatArray]
    problems: dict[str, str]

    def find(self, *names: str) -> FloatArray:
        """Return the joints under the first of these names that the table has.

        Raises:
            ScmError: if it has none of them, or the row cannot be used.
        """
        for name in names:
            if name in self.problems:
                raise ScmError(f"{self.path}: {self.problems[name]}")
            if name in self.joints:
                return self.joints[name]
        raise ScmError(f"no row '{names[0]}' in {self.path.name}")

    def renamed(self, rename: Callable[[str], str | None]) -> tuple[KeypointTable, list[str]]:
        """Return the table under other names, and the names that ``rename`` has none for; their rows are gone."""
        joints: dict[str, FloatArray] = {}
        problems: dict[str, str] = {}
        foreign: list[str] = []
        for name in dict.fromkeys([*self.joints, *self.problems]):
            key = rename(name)
            if key is None:
                foreign.append(name)
            elif key in joints or key in problems:
                problems[key] = f"'{key}' stands twice, once as '{name}'; remove one row"
            elif name in self.problems:
                problems[key] = self.problems[name]
            else:
                joints[key] = self.joints[name]
        return KeypointTable(self.path, joints, problems), foreign

    def astray(self) -> dict[str, str]:
        """Return the rows whose name is a path out of the folder, and what is wrong; such a row is never followed."""
        names = [*self.joints, *self.problems]
        return {
            name: f"row of {self.path.name} leads out of the folder; it was not read" for name in names if leaves(name)
        }


def leaves(name: str) -> bool:
    """Say whether a name is a path out of its folder."""
    path = name.replace("\\", "/")
    return path.startswith("/") or ".." in path.split("/")


def read_keypoint_table(path: Path) -> KeypointTable:
    """Read a keypoint file: ``name:keypoints_y:keypoints_x`` with JSON lists, or :data:`COLUMNS` with commas.

    A damaged row is no error here; it is told of when its name is asked for.

    Raises:
        ScmError: if the file cannot be read or has neither header.
    """
    lines = read_lines(path, "keypoint file")
    header = lines[0].strip() if lines else ""
    if header.replace(" ", "") == ":".join(BENCHMARK_HEADER):
        return _read_benchmark(path, lines)
    try:
        if set(COLUMNS) <= set(next(csv.reader([header]), [])):
            return _read_ours(path, lines)
    except csv.Error as error:
        raise ScmError(f"{path}: cannot be read as a table ({error})") from error
    raise ScmError(
        f"{path}: is no keypoint file; its first line must be '{':'.join(BENCHMARK_HEADER)}' "
        f"or name,{COLUMNS[1]},{COLUMNS[2]},{COLUMNS[3]},..."
    )


def read_keypoint_file(path: Path) -> dict[str, FloatArray]:
    """Return the joints of every row of a keypoint file that has any, by name, in order.

    Shape:
        result: (18, 3) float32 each.

    Raises:
        ScmError: if the file is no keypoint file, or a row is damaged.
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
        result: (18, 3) float32.

    Raises:
        ScmError: if the file cannot be read or holds something else.
    """
    try:
        joints = _checked(np.array(json.loads(path.read_text(encoding="utf-8")), np.float64))
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ScmError(f"{path}: cannot be read as joints ({error}); expected a list of 18 [x, y, score]") from error
    return joints.astype(np.float32)


def _read_benchmark(path: Path, lines: list[str]) -> KeypointTable:
    rows: list[tuple[int, str, Any]] = []
    for number, line in enumerate(lines[1:], start=2):
        if line.strip():
            name, _, values = line.partition(":")
            rows.append((number, name.strip(), values))
    return _table(path, rows, _benchmark_joints)


def _benchmark_joints(values: str) -> npt.NDArray[np.float64]:
    y, separator, x = values.partition(":")
    if not separator:
        raise ValueError("lacks a ':'")
    points = np.array([json.loads(x), json.loads(y)], np.float64).T
    present = (points != -1).all(axis=1) if points.ndim == 2 else np.zeros(0)
    return _checked(np.column_stack([points, present]))


def _read_ours(path: Path, lines: list[str]) -> KeypointTable:
    rows = [(number, row["name"], row) for number, row in enumerate(csv.DictReader(lines), start=2)]
    return _table(path, rows, _our_joints)


def _our_joints(row: dict[str, str]) -> npt.NDArray[np.float64]:
    return _checked(np.array([float(row[column]) for column in COLUMNS[1:]], np.float64).reshape(NUM_JOINTS, 3))


def _checked(joints: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if joints.shape != (NUM_JOINTS, 3):
        raise ValueError(f"does not hold {NUM_JOINTS} joints")
    if not np.isfinite(joints).all() or np.abs(joints).max() > 1e6:
        raise ValueError("holds a number that is no pixel")
    if not ((joints[:, 2] >= 0) & (joints[:, 2] <= 1)).all():
        raise ValueError("has a score beyond 0-1")
    present: npt.NDArray[np.float64] = joints * (joints[:, 2:] > 0)
    return present


def _table(
    path: Path, rows: list[tuple[int, str, Any]], parse: Callable[[Any], npt.NDArray[np.float64]]
) -> KeypointTable:
    joints: dict[str, FloatArray] = {}
    problems: dict[str, str] = {}
    for number, name, values in rows:
        try:
            found = parse(values)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            problems[name] = f"line {number} ('{name}'): {error}"
            continue
        if name in joints:
            problems[name] = f"line {number}: '{name}' stands twice; remove one row"
        joints[name] = found.astype(np.float32)
    return KeypointTable(path, joints, problems)
