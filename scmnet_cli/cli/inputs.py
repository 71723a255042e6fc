"""What ``--src``, ``--pose`` and ``--ref`` may name: entries of a prepared folder, photos, keypoint files, folders."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.pipeline import Pipeline
from scmnet_cli.preprocess.keypoints import read_joints, read_keypoint_table
from scmnet_cli.preprocess.photo import read_person
from scmnet_cli.preprocess.source import PHOTO_ENDINGS
from scmnet_cli.types import Canvas, FloatArray, Person, Pose

KEYPOINT_ENDINGS = (".csv", ".txt", ".joints.json")


@dataclass(frozen=True)
class Input:
    """Something to read: named at once, read when its turn comes.

    Attributes:
        name: for file names and messages.
        where: the file, with the row of a table after ``#``; the same place is the same input.
        read: reads it; raises ScmError if it cannot.
        folder: the prepared folder it is an entry of, if it is one.
    """

    name: str
    where: str
    read: Callable[[], Person | Pose]
    folder: PreparedFolder | None = None


class Finder:
    """Finds what the words of the command line name."""

    def __init__(self, data: Path | None, pipeline: Pipeline, frame: Canvas) -> None:
        """Open the prepared folder of ``--data``.

        Args:
            data: the prepared folder whose entries may be called by their name alone.
            pipeline: photos are cropped to its canvas and put before its background.
            frame: size of the pictures to which keypoint files refer.

        Raises:
            ScmError: if ``data`` is no prepared folder.
        """
        self._pipeline = pipeline
        self._frame = frame
        self._opened: dict[Path, PreparedFolder] = {}
        self._data = self._open(data) if data is not None else None

    def person(self, word: str, option: str) -> Input:
        """Find one person, as :meth:`people` does.

        Raises:
            ScmError: if the word names nothing, or several.
        """
        found = self.people([word], option)
        if len(found) != 1:
            raise ScmError(f"{option} {word}: is a folder of {len(found)} people; name one of them")
        return found[0]

    def people(self, words: Iterable[str], option: str) -> list[Input]:
        """Find people: entries, photos with a region map and joints beside them, or whole prepared folders.

        Raises:
            ScmError: if a word names nothing, with the option and what it may name.
        """
        return _once(found for word in words for found in self._people(word, option))

    def poses(self, words: Iterable[str], option: str) -> list[Input]:
        """Find poses: as :meth:`people`, or rows of keypoint files, or folders of those.

        Raises:
            ScmError: if a word names nothing, with the option and what it may name.
        """
        return _once(found for word in words for found in self._poses(word, option))

    def _poses(self, word: str, option: str) -> list[Input]:
        path, _, row = word.partition("#")
        if path.lower().endswith(KEYPOINT_ENDINGS) and Path(path).is_file():
            return self._rows(Path(path), row, option)
        folder = Path(word)
        if (
            not _is_prepared(folder)
            and not _files(folder, PHOTO_ENDINGS)
            and (tables := _files(folder, KEYPOINT_ENDINGS))
        ):
            return [found for table in tables for found in self._rows_if_any(table, option)]
        return self._people(word, option)

    def _rows_if_any(self, file: Path, option: str) -> list[Input]:
        """Like :meth:`_rows`; a file that cannot be read is told of when its turn comes."""
        try:
            return self._rows(file, "", option)
        except ScmError as error:
            return [Input(file.name, str(file.resolve()), partial(_fail, error))]

    def _rows(self, file: Path, row: str, option: str) -> list[Input]:
        where = str(file.resolve())
        if file.suffix.lower() == ".json":
            name = file.name[: -len(".joints.json")]
            return [Input(name, where, lambda: _framed(name, read_joints(file), self._frame))]
        table = read_keypoint_table(file)
        names = [*table.joints, *(name for name in table.problems if name not in table.joints)]
        if row and row not in names:
            raise ScmError(f"{option} {file}#{row}: the file has no row '{row}'{nearest(row, names)}")
        frame = self._open(file.parent).manifest.canvas if _is_prepared(file.parent) else self._frame

        def read(name: str) -> Pose:
            return _framed(name, table.find(name), frame)

        return [
            Input(_without_ending(name), f"{where}#{name}", partial(read, name)) for name in ([row] if row else names)
        ]

    def _people(self, word: str, option: str) -> list[Input]:
        if self._data is not None and word in self._data.names():
            return [_entry(self._data, word)]
        path = Path(word)
        if _is_prepared(path):
            folder = self._open(path)
            return [_entry(folder, name) for name in folder.names()]
        for above in (path.parent, path.parent.parent if path.parent.name == "images" else None):
            if above is not None and _is_prepared(above):
                folder = self._open(above)
                for name in (path.name, path.stem):
                    if name in folder.names():
                        return [_entry(folder, name)]
                raise ScmError(
                    f"{option} {word}: {above} has no entry '{path.stem}'{nearest(path.stem, folder.names())}"
                )
        photos = [path] if path.is_file() and path.suffix.lower() in PHOTO_ENDINGS else _files(path, PHOTO_ENDINGS)
        if photos:
            return [self._photo(photo) for photo in photos]
        raise ScmError(f"{option} {word}: {self._why_not(path, word)}")

    def _photo(self, path: Path) -> Input:
        read = partial(read_person, path, self._pipeline.canvas, self._pipeline.background)
        return Input(path.stem, str(path.resolve()), read)

    def _why_not(self, path: Path, word: str) -> str:
        may = "give DATA/NAME of a prepared folder, NAME with --data DATA, or a photo with its map and joints beside it"
        if path.is_dir():
            return f"is neither a prepared folder nor a folder of photos; {may}"
        if path.is_file():
            return f"is neither a photo ({' '.join(PHOTO_ENDINGS)}) nor an entry of a prepared folder; {may}"
        hint = nearest(word, self._data.names()) if self._data is not None else ""
        return f"no such entry or file{hint or '; ' + may}"

    def _open(self, path: Path) -> PreparedFolder:
        path = path.resolve()
        if path not in self._opened:
            self._opened[path] = PreparedFolder(path)
        return self._opened[path]


def _entry(folder: PreparedFolder, name: str) -> Input:
    return Input(name, str(folder.path.resolve() / "images" / f"{name}.png"), partial(folder.load, name), folder)


def _framed(name: str, joints: FloatArray, frame: Canvas) -> Pose:
    known = joints[joints[:, 2] > 0, :2]
    beyond = ((known < 0) | (known >= (frame.width, frame.height))).any(1)
    if beyond.sum() > len(known) / 2:
        raise ScmError(f"{name}: most joints lie beyond a frame of {frame}; say in which frame they are (--frame)")
    return Pose(name, joints, frame)


def _fail(error: ScmError) -> Pose:
    raise error


def _files(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """List the files of a folder that have one of these endings; none if it is no folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.name.lower().endswith(endings) and path.is_file())


def _without_ending(name: str) -> str:
    return Path(name).stem if name.lower().endswith(PHOTO_ENDINGS) else name


def _is_prepared(path: Path) -> bool:
    return (path / "manifest.json").is_file()


def _once(found: Iterable[Input]) -> list[Input]:
    return list({given.where: given for given in found}.values())
