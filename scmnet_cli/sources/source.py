"""Interface of the readers of source folders, which return uncropped people one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from scmnet_cli.errors import ScmError
from scmnet_cli.images import CropBox, whole_box
from scmnet_cli.photo_files import is_photo, photo_endings, unread_photos
from scmnet_cli.types import Canvas, Person

JOURNAL = "journal.jsonl"
"""A file of this name marks a folder written by ``scm preprocess``."""


class Source(Protocol):
    """People of a source folder, in pixels of their photos."""

    root: Path
    layout: str
    domain: str = "person"
    """Name of the domain of its photos."""
    pose_estimator: str
    parser: str
    rule: str
    """Conditions for a usable person, in one sentence."""
    canvas: Canvas = Canvas(256, 176)
    """Default size of prepared images."""
    background: str = "plain"
    """Default treatment of the background: ``plain`` or ``keep``."""
    framed: bool = False
    """Whether photos are cropped around their people already; then the whole photo goes on the canvas."""

    def names(self) -> list[str]:
        """Return the names of all people, sorted; unusable ones are found when they are read."""
        ...

    def unmatched(self) -> dict[str, str]:
        """Return names in the source's tables that lead out of the folder, each with the reason."""
        ...

    def splits(self) -> Mapping[str, frozenset[str]] | None:
        """Return the names of each split, if the source has its own lists; the splits are disjoint."""
        return None

    def train_only(self) -> frozenset[str]:
        """Return names that are only for training; they are not counted when choosing the validation split."""
        return frozenset()

    def pairs(self) -> list[tuple[str, str]]:
        """Return the source's pairs of photos of one person, usable or not."""
        return []

    def remarks(self) -> list[str]:
        """Return remarks on the source as a whole, for the manifest and stderr."""
        return []

    def photo(self, name: str) -> Path:
        """Return the path of a person's photo."""
        ...

    def stamp(self, name: str) -> str:
        """Return a short text that changes when any file or setting of the person changes."""
        ...

    def box(self, person: Person, canvas: Canvas) -> CropBox | None:
        """Return the crop of the photo for the canvas; None for a box around the person's regions."""
        return whole_box(person.canvas.width, person.canvas.height, canvas) if self.framed else None

    def finished(self, person: Person) -> Person:
        """Finish a cropped person before it is written to the prepared folder."""
        return person

    def read_all(self, name: str) -> Iterator[Person]:
        """Yield all people of a name: its own person first, then others in the same photo under other names.

        Use each person before the next: one takes up to 400 MB, and a photo may show a dozen.

        Raises:
            ScmError: with the reason why no person is usable.
        """
        yield self.read(name)

    def read(self, name: str) -> Person:
        """Read a person.

        Raises:
            ScmError: saying why the person is not usable.
        """
        ...


def find_photos(root: Path) -> dict[str, list[Path]]:
    """Return the photos in a folder and in its ``images/`` by name without suffix; several may share a name.

    Raises:
        ScmError: if there are no photos.
    """
    files = _files_and_images(root)
    photos: dict[str, list[Path]] = {}
    for path in filter(is_photo, files):
        photos.setdefault(path.stem, []).append(path)
    if not photos:
        unread = unread_photos(files)
        raise ScmError(
            f"{root}: holds no photos ({' '.join(photo_endings())}), also not in images/"
            + (f"; {unread}" if unread else "")
        )
    return photos


def unread_remarks(root: Path) -> list[str]:
    """Return a remark on the photos in unsupported formats, if there are any."""
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
        ScmError: if there are several.
    """
    if len(paths) > 1:
        files = ", ".join(str(path.relative_to(root)) for path in paths)
        raise ScmError(f"several photos have this name ({files}); rename all but one")
    return paths[0]


def inside(root: Path, path: Path) -> Path:
    """Return a path after checking that it stays in the source folder, with links resolved.

    Raises:
        ScmError: if it leads out of the folder, or its name is not UTF-8.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise ScmError(f"{path}: its name is not UTF-8; rename it") from error
    try:
        is_inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError) as error:  # circular links
        raise ScmError(f"{path}: cannot be resolved ({error})") from error
    if not is_inside:
        raise ScmError(f"{path}: leads out of {root}; copy the file into it")
    return path


def file_stamp(*paths: Path) -> str:
    """Return a text of the sizes and times of files, which changes when a file changes."""
    stats = [path.stat() if path.is_file() else None for path in paths]
    return " ".join(f"{stat.st_size}@{stat.st_mtime_ns}" if stat else "-" for stat in stats)
