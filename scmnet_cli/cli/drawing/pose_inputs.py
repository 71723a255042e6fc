"""Poses of the command line: rows of pose files and of keypoint tables, and shipped poses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from scmnet_cli.cli.drawing.input import Input
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.photo_files import without_photo_ending
from scmnet_cli.poses.files import PoseEntry, read_pose_file
from scmnet_cli.poses.library import shipped_poses
from scmnet_cli.poses.placing import mirrored
from scmnet_cli.sources.keypoints import read_keypoint_table
from scmnet_cli.types import Canvas, Person, Pose

DEFAULT_FRAME = Canvas(256, 176)
"""Frame size if neither a pose file nor ``--frame`` gives one: that of the benchmark's joints."""

LIBRARY = "library:"
"""Prefix of the name of a shipped pose; alone it stands for all of them."""

POSE_ENDINGS = (".csv", ".txt", ".json")

_LIST_THEM = "; 'scm poses' lists them"


class PoseFiles:
    """Finds the poses of pose files."""

    def __init__(
        self, canvas: Canvas, frame: Canvas | None, pose_person: int, open_folder: Callable[[Path], PreparedFolder]
    ) -> None:
        """Store the options.

        Args:
            canvas: the model's canvas.
            frame: image size for pose files that do not give one.
            pose_person: number of the person to take from several, from 1; 0: the most prominent.
            open_folder: opens the prepared folder that contains a keypoint table.
        """
        self._canvas = canvas
        self._frame = frame
        self._pose_person = pose_person
        self._open_folder = open_folder

    def rows_if_any(self, file: Path, option: str) -> list[Input]:
        """Find poses as :meth:`rows` does, but report an unreadable file only when it is read."""
        try:
            return self.rows(file, "", option)
        except ScmError as error:
            return [Input(file.name, str(file.resolve()), partial(fail_with, error))]

    def rows(self, file: Path, row: str, option: str) -> list[Input]:
        """Find the poses of a file, or of one of its rows.

        Raises:
            ScmError: if the file cannot be read or has no such row.
        """
        pictures = self._pictures(file)
        names = [posed.name for posed in pictures]
        if row and row not in names:
            raise ScmError(f"{option} {file}#{row}: the file has no row '{row}'{nearest(row, names)}")
        where = str(file.resolve())
        alone = len(pictures) == 1 and file.suffix.lower() == ".json"
        return [
            Input(
                _without_ending(posed.name),
                where if alone else f"{where}#{posed.name}",
                partial(self._read, posed),
                description=posed.description,
            )
            for posed in pictures
            if not row or posed.name == row
        ]

    def _pictures(self, file: Path) -> list[PoseEntry]:
        if file.suffix.lower() == ".json":
            return read_pose_file(file)
        table = read_keypoint_table(file)
        frame = self._open_folder(file.parent).manifest.canvas if is_prepared(file.parent) else None
        people = {name: (joints,) for name, joints in table.joints.items()}
        names = dict.fromkeys([*people, *table.problems])
        problems = {name: f"{file}: {problem}" for name, problem in table.problems.items()}
        return [PoseEntry(name, people.get(name, ()), frame, problems.get(name, "")) for name in names]

    def _read(self, posed: PoseEntry) -> Pose:
        name, joints = _without_ending(posed.name), posed.person(self._pose_person, self._frame)
        if posed.canvas is not None:
            return Pose(name, joints, posed.canvas)
        frame = self._frame or DEFAULT_FRAME
        known = joints[joints[:, 2] > 0, :2]
        beyond = ((known < 0) | (known >= (frame.width, frame.height))).any(1)
        if beyond.sum() > len(known) / 2:
            raise ScmError(f"{name}: most joints lie outside a frame of {frame}; give the image size with --frame HxW")
        if self._frame is None and not frame.has_shape_of(self._canvas):
            raise ScmError(
                f"{name}: its file gives no image size, and the default {frame} does not have the aspect ratio of the "
                f"model's {self._canvas}; give the image size with --frame HxW"
            )
        return Pose(name, joints, frame)


def find_shipped_poses(name: str, option: str) -> list[Input]:
    """Find the shipped pose with a name; without a name, return all of them.

    Raises:
        ScmError: if no shipped pose has that name.
    """
    shipped = shipped_poses()
    if name and name not in shipped:
        raise ScmError(f"{option}: no shipped pose is called '{name}'{nearest(name, shipped) or _LIST_THEM}")
    return [
        Input(of, str(file), partial(_pose_of, posed), description=posed.description)
        for of, (file, posed) in shipped.items()
        if name in ("", of)
    ]


def _pose_of(posed: PoseEntry) -> Pose:
    assert posed.canvas is not None
    return Pose(posed.name, posed.person(), posed.canvas)


def mirrored_input(given: Input) -> Input:
    """Return an input whose pose is mirrored when read."""

    def read() -> Pose:
        pose = given.read()
        return mirrored(Pose.of(pose) if isinstance(pose, Person) else pose)

    return Input(f"{given.name}-mirrored", f"{given.where} (mirrored)", read, description=given.description)


def fail_with(error: ScmError) -> Pose:
    """Raise an error in place of reading an input."""
    raise error


def _without_ending(name: str) -> str:
    return Path(without_photo_ending(name)).name


def is_prepared(path: Path) -> bool:
    """Return whether a folder is a prepared one."""
    return (path / "manifest.json").is_file()
