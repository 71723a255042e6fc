"""What a reader of a published layout gives: the people of a source folder, uncropped, one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from scmnet_cli.errors import ScmError
from scmnet_cli.types import Person

PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


class Source(Protocol):
    """People of a source folder, in pixels of their photos."""

    root: Path
    layout: str
    pose_estimator: str
    parser: str
    rule: str
    """Who is usable, in one sentence."""

    def names(self) -> list[str]:
        """Return everybody's name, sorted; whether they are usable shows when they are read."""
        ...

    def astray(self) -> dict[str, str]:
        """Return what the source names outside itself, and what is wrong with it."""
        ...

    def photo(self, name: str) -> Path:
        """Return the path of a person's photo."""
        ...

    def stamp(self, name: str) -> str:
        """Return a short text that changes when anything changes that the person is read from."""
        ...

    def read(self, name: str) -> Person:
        """Read a person.

        Raises:
            ScmError: saying why the person is not usable.
        """
        ...


def inside(root: Path, path: Path) -> Path:
    """Return a path that does not leave the source folder, links followed.

    Raises:
        ScmError: if it leads out of it.
    """
    try:
        is_inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:  # links in a circle
        raise ScmError(f"{path}: leads nowhere ({error})") from error
    if not is_inside:
        raise ScmError(f"{path}: leads out of {root}; copy the file into it")
    return path


def file_stamp(*paths: Path) -> str:
    """Return sizes and times of files, which tell whether they changed."""
    stats = [path.stat() if path.is_file() else None for path in paths]
    return " ".join(f"{stat.st_size}@{stat.st_mtime_ns}" if stat else "-" for stat in stats)
