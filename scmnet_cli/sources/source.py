"""The interface of readers of source folders: they return people uncropped, one by one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from scmnet_cli.errors import ScmError
from scmnet_cli.images import CropBox, whole_box
from scmnet_cli.photo_files import is_photo, photo_endings, unread_photos
from scmnet_cli.types import Canvas, Person

JOURNAL = "journal.jsonl"
"""A folder that holds a file of this name was written by ``scm preprocess``."""


class Source(Protocol):
    """People of a source folder, in pixels of their photos."""

    root: Path
    layout: str
    domain: str = "person"
    """Name of the domain of its pictures."""
    pose_estimator: str
    parser: str
    rule: str
    """Which people are usable, in one sentence."""
    canvas: Canvas = Canvas(256, 176)
    """Size of the pictures by default."""
    background: str = "plain"
    """Treatment of the background by default: ``plain`` or ``keep``."""
    framed: bool = False
    """Whether the photos are cut around their people already: the whole photo goes on the canvas."""

    def names(self) -> list[str]:
        """Return the names of all people, sorted; unusable ones are found when they are read."""
        ...

    def unmatched(self) -> dict[str, str]:
        """Return names in the source's tables that lead out of the folder, each with the reason."""
        ...

    def splits(self) -> Mapping[str, frozenset[str]] | None:
        """Return the names of each split, if the source has lists of its own; no name stands in two."""
        return None

    def train_only(self) -> frozenset[str]:
        """Return names that are used for training only, and do not count when the validation split is chosen."""
        return frozenset()

    def pairs(self) -> list[tuple[str, str]]:
        """Return the pairs of pictures of one person that the source lists, whether or not they are usable."""
        return []

    def remarks(self) -> list[str]:
        """Return sentences on the source as a whole, for the manifest and stderr."""
        return []

    def photo(self, name: str) -> Path:
        """Return the path of a person's photo."""
        ...

    def stamp(self, name: str) -> str:
        """Return a short text that changes when any file or setting changes that the person is read from."""
        ...

    def box(self, person: Person, canvas: Canvas) -> CropBox | None:
        """Return the part of a photo that becomes the canvas; None: a box around the person's regions."""
        return whole_box(person.canvas.width, person.canvas.height, canvas) if self.framed else None

    def finished(self, person: Person) -> Person:
        """Return a person that was cropped to the canvas as it is written to the prepared folder."""
        return person

    def read_all(self, name: str) -> list[Person]:
        """Read all people of a name: its own person first, then others of the same photo, under their own names.

        Raises:
            ScmError: with the reason why no person is usable.
        """
        return [self.read(name)]

    def read(self, name: str) -> Person:
        """Read a person.

        Raises:
            ScmError: saying why the person is not usable.
        """
        ...


def find_photos(root: Path) -> dict[str, list[Path]]:
    """Return the photos in a folder and in its ``images/`` by their names without endings, which several may share.

    Raises:
        ScmError: if there is none.
    """
    files = _files_and_images(root)
    photos: dict[str, list[Path]] = {}
    for path in filter(is_photo, files):
        photos.setdefault(path.stem, []).append(path)
    if not photos:
        unread = unread_photos(files)
        raise ScmError(
            f"{root}: holds no photos ({' '.join(photo_endings())}), neither itself nor in images/"
            + (f"; {unread}" if unread else "")
        )
    return photos


def unread_remarks(root: Path) -> list[str]:
    """Return a sentence on the pictures of :func:`find_photos`'s folders that cannot be read, if there are any."""
    unread = unread_photos(_files_and_images(root))
    return [unread] if unread else []


def _files_and_images(root: Path) -> list[Path]:
    return [
        path
        for folder in (root, root / "images")
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
    ]


def only_photo(root: Path, paths: list[Path]) -> Path:
    """Return the only photo of a name.

    Raises:
        ScmError: if it stands for several.
    """
    if len(paths) > 1:
        files = ", ".join(str(path.relative_to(root)) for path in paths)
        raise ScmError(f"the name stands for several photos ({files}); rename all but one")
    return paths[0]


def inside(root: Path, path: Path) -> Path:
    """Return a path after checking that it does not leave the source folder, with links followed.

    Raises:
        ScmError: if it leads out of it, or no table could hold it.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ScmError(f"{path}: has bytes in its name that are not UTF-8; rename it") from error
    try:
        is_inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:  # links in a circle
        raise ScmError(f"{path}: leads nowhere ({error})") from error
    if not is_inside:
        raise ScmError(f"{path}: leads out of {root}; copy the file into it")
    return path


def file_stamp(*paths: Path) -> str:
    """Return a text of sizes and times of files, which changes when one of them changes."""
    stats = [path.stat() if path.is_file() else None for path in paths]
    return " ".join(f"{stat.st_size}@{stat.st_mtime_ns}" if stat else "-" for stat in stats)
