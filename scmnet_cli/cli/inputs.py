"""What ``--src``, ``--pose`` and ``--ref`` may name: entries of prepared folders, photos, pose files, shipped poses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np

from scmnet_cli.cli.face_parser import load_face_parser
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.domains import DOMAINS, FACE, PERSON, Domain
from scmnet_cli.edges import CANNY, canny_edges
from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.images import read_photo
from scmnet_cli.poses.files import Posed, read_pose_file
from scmnet_cli.poses.library import shipped_poses
from scmnet_cli.poses.placing import mirrored, place, place_together
from scmnet_cli.preprocess.analyser import Analyser
from scmnet_cli.preprocess.face_parser import FaceParser, find_face
from scmnet_cli.preprocess.faces import no_face_finder, read_face
from scmnet_cli.preprocess.framed import Framed
from scmnet_cli.preprocess.keypoints import read_keypoint_table
from scmnet_cli.preprocess.photo import MAP_ENDING, read_framed, read_person
from scmnet_cli.preprocess.photos import RAW_ENDINGS
from scmnet_cli.preprocess.sketches import Drawing, read_drawing
from scmnet_cli.types import Canvas, Person, Pose, UInt8Array

DEFAULT_FRAME = Canvas(256, 176)
"""Frame of the benchmark's joints: where neither a pose file nor ``--frame`` says one."""

LIBRARY = "library:"
"""What stands before the name of a shipped pose to tell it from a file; alone it names them all."""

POSE_ENDINGS = (".csv", ".txt", ".json")

_LONGEST_FRAME = 11
_LIST_THEM = "; 'scm poses' lists them"


@dataclass(frozen=True)
class Input:
    """Something to read: named at once, read when its turn comes.

    Attributes:
        name: for file names and messages.
        where: the file, with the row of a table after ``#``; the same place is the same input.
        read: reads it; raises ScmError if it cannot.
        folder: the prepared folder it is an entry of, if it is one.
        framed: reads it with the photo that it stands in, if it is a photo of a person.
        description: what a pose file says of the pose.
    """

    name: str
    where: str
    read: Callable[[], Person | Pose]
    folder: PreparedFolder | None = None
    description: str = ""
    framed: Callable[[], Framed] | None = None


class Finder:
    """Finds what the words of the command line name."""

    def __init__(
        self,
        data: Path | None,
        canvas: Canvas,
        background: str = "plain",
        frame: Canvas | None = None,
        *,
        person: int = 0,
        pose_person: int = 0,
        mirror: bool = False,
        domain: Domain = PERSON,
    ) -> None:
        """Open the prepared folder of ``--data``.

        Args:
            data: the prepared folder whose entries may be called by their name alone.
            canvas: photos are cropped to it, and poses placed on it.
            background: photos are put before it.
            frame: size of the pictures to which pose files refer that do not say it.
            person: whom of a photo with several people :meth:`people` takes, from 1; 0: the most prominent.
            pose_person: the same of the photos and pose files that give poses.
            mirror: whether poses are mirrored.
            domain: whether photos are of people or of faces.

        Raises:
            ScmError: if ``data`` is no prepared folder.
        """
        self._canvas = canvas
        self._background = background
        self._frame = frame
        self._person = person
        self._pose_person = pose_person
        self._mirror = mirror
        self.domain = domain
        self._opened: dict[Path, PreparedFolder] = {}
        self._analyser: Callable[[], Analyser] = cache(Analyser.load)
        self._face_parser: Callable[[], FaceParser | None] = cache(load_face_parser)
        self._data = self._open(data) if data is not None else None

    def look_with(self, load: Callable[[], Analyser]) -> None:
        """Let raw photos be looked at by another analyser, which is loaded once if one of them is read."""
        self._analyser = cache(load)

    def find_faces_with(self, load: Callable[[], FaceParser | None]) -> None:
        """Let photos of faces be looked at by a face parser, which is loaded once if one of them is read."""
        self._face_parser = cache(load)

    def person(self, word: str, option: str) -> Input:
        """Find one person, as :meth:`people` does.

        Raises:
            ScmError: if the word names nothing, or several.
        """
        return _only(self.people([word], option), word, option)

    def people(self, words: Iterable[str], option: str) -> list[Input]:
        """Find people: entries, photos, folders of photos, or whole prepared folders.

        Photos with neither a region map nor joints beside them are analysed when they are read.

        Raises:
            ScmError: if a word names nothing, with the option and what it may name.
        """
        return _once(found for word in words for found in self._people(word, option, person=self._person))

    def reference(self, word: str, option: str) -> Input:
        """Find one person as :meth:`person` does, of a photo the most prominent.

        Raises:
            ScmError: if the word names nothing, or several.
        """
        return _only(self._people(word, option), word, option)

    def poses(self, words: Iterable[str], option: str) -> list[Input]:
        """Find poses: as :meth:`people`, or shipped ones, or of pose files, or of folders of those.

        Poses without a picture are placed on the canvas as they are read.

        Raises:
            ScmError: if a word names nothing, with the option and what it may name.
        """
        return [replace(given, read=partial(self._placed, given)) for given in self.unplaced(words, option)]

    def sequence(self, words: Iterable[str], option: str) -> list[Input]:
        """Find poses that follow each other, as :meth:`poses` does: those of one frame are placed together.

        Raises:
            ScmError: if a word names nothing. What cannot be used fails when it is read again.
        """
        found = self.unplaced(words, option)
        read: dict[int, Pose] = {}
        for number, given in enumerate(found):
            try:
                pose = given.read()
            except ScmError as error:
                found[number] = replace(given, read=partial(_fail, error))
                continue
            read[number] = Pose.of(pose) if isinstance(pose, Person) else pose
        placed = place_together(list(read.values()), self._canvas)
        for number, pose in zip(read, placed, strict=True):
            found[number] = replace(found[number], read=partial(_given, pose))
        return found

    def unplaced(self, words: Iterable[str], option: str) -> list[Input]:
        """Find poses as :meth:`poses` does, but leave them in the frames they came in.

        Raises:
            ScmError: if a word names nothing.
        """
        found = _once(found for word in words for found in self._poses(word, option))
        return [_mirrored(given) for given in found] if self._mirror else found

    def _placed(self, given: Input) -> Person | Pose:
        pose = given.read()
        return pose if isinstance(pose, Person) else place(pose, self._canvas)

    def _poses(self, word: str, option: str) -> list[Input]:
        if word.startswith(LIBRARY):
            return _shipped(word.removeprefix(LIBRARY), f"{option} {word}")
        path, _, row = word.partition("#")
        if path.lower().endswith(POSE_ENDINGS) and Path(path).is_file():
            return self._rows(Path(path), row, option)
        folder = Path(word)
        if not _is_prepared(folder) and not _photos(folder) and (files := _files(folder, POSE_ENDINGS)):
            return [found for file in files for found in self._rows_if_any(file, option)]
        try:
            return self._people(word, option, shipped_poses(), person=self._pose_person)
        except ScmError:
            if folder.exists() or word not in shipped_poses():
                raise
            return _shipped(word, option)

    def _rows_if_any(self, file: Path, option: str) -> list[Input]:
        """Like :meth:`_rows`; a file that cannot be read is told of when its turn comes."""
        try:
            return self._rows(file, "", option)
        except ScmError as error:
            return [Input(file.name, str(file.resolve()), partial(_fail, error))]

    def _rows(self, file: Path, row: str, option: str) -> list[Input]:
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

    def _pictures(self, file: Path) -> list[Posed]:
        if file.suffix.lower() == ".json":
            return read_pose_file(file)
        table = read_keypoint_table(file)
        frame = self._open(file.parent).manifest.canvas if _is_prepared(file.parent) else None
        people = {name: (joints,) for name, joints in table.joints.items()}
        names = dict.fromkeys([*people, *table.problems])
        told = {name: f"{file}: {problem}" for name, problem in table.problems.items()}
        return [Posed(name, people.get(name, ()), frame, told.get(name, "")) for name in names]

    def _read(self, posed: Posed) -> Pose:
        name, joints = _without_ending(posed.name), posed.person(self._pose_person, self._frame)
        if posed.canvas is not None:
            return Pose(name, joints, posed.canvas)
        frame = self._frame or DEFAULT_FRAME
        known = joints[joints[:, 2] > 0, :2]
        beyond = ((known < 0) | (known >= (frame.width, frame.height))).any(1)
        if beyond.sum() > len(known) / 2:
            raise ScmError(f"{name}: most joints lie beyond a frame of {frame}; say in which frame they are (--frame)")
        if self._frame is None and not frame.has_shape_of(self._canvas):
            raise ScmError(
                f"{name}: its file does not say in which frame the joints lie, and {frame} has not the shape of the"
                f" model's {self._canvas}; say in which frame they are (--frame)"
            )
        return Pose(name, joints, frame)

    def _people(self, word: str, option: str, shipped: Iterable[str] = (), *, person: int = 0) -> list[Input]:
        if self._data is not None and word in self._data.names():
            return [_entry(self._data, word)]
        path = Path(word)
        if _is_prepared(path):
            folder = self._open(path)
            return [_entry(folder, name) for name in folder.names()]
        for above in (path.parent, path.parent.parent if path.parent.name in ("images", "edges") else None):
            if above is not None and _is_prepared(above):
                folder = self._open(above)
                for name in (path.name, path.stem):
                    if name in folder.names():
                        return [_entry(folder, name)]
                raise ScmError(
                    f"{option} {word}: {above} has no entry '{path.stem}'{nearest(path.stem, folder.names())}"
                )
        photos = [path] if path.is_file() and path.suffix.lower() in RAW_ENDINGS else _photos(path)
        if photos:
            return [self._photo(photo, person) for photo in photos]
        raise ScmError(f"{option} {word}: {self._why_not(path, word, list(shipped))}")

    def drawings(self, words: Iterable[str], option: str, kind: str) -> list[Input]:
        """Find edges: of entries of prepared folders of faces, or of pictures, one by one or in folders.

        Args:
            words: what names them.
            option: for messages.
            kind: what the pictures show, as :func:`scmnet_cli.preprocess.sketches.read_drawing` takes it; of entries,
                ``photo`` takes Canny's edges alone.

        Raises:
            ScmError: if a word names nothing.
        """
        found = _once(found for word in words for found in self._people(word, option))
        return [replace(given, read=partial(self._drawn, given, kind)) for given in found]

    def _drawn(self, given: Input, kind: str) -> Person | Pose:
        if given.folder is None:
            return self._aligned(read_drawing(Path(given.where), self._canvas, kind), Path(given.where))
        face = given.read()
        if face.edges is None:
            raise ScmError(f"{given.where}: is of {DOMAINS[face.domain].members}, which have no edges")
        return replace(face, edges=face.edges & np.uint8(CANNY)) if kind == "photo" else face

    def _aligned(self, drawing: Drawing, path: Path) -> Drawing:
        """Return the edges of a photo with its face aligned, if it is one, and there is one and who finds it."""
        if drawing.taken_from != "photo" or (parser := self._face_parser()) is None:
            return drawing
        face = parser(read_photo(path))
        if face is None:
            return drawing
        lines = canny_edges(face.picture(self._canvas))
        return replace(drawing, edges=CANNY * lines.astype(np.uint8), taken_from="photo of a face, aligned")

    def _photo(self, path: Path, person: int) -> Input:
        if self.domain is FACE:
            return Input(path.stem, str(path.resolve()), partial(self._face, path))
        given = (path, self._canvas, self._background, self._analyser, person)
        where = f"{path.resolve()}#person {person}" if person > 1 else str(path.resolve())
        name = f"{path.stem}_{person}" if person > 1 else path.stem
        return Input(name, where, partial(read_person, *given), framed=partial(read_framed, *given))

    def _face(self, path: Path) -> Person:
        def find(photo: Path, image: UInt8Array, canvas: Canvas) -> tuple[UInt8Array, UInt8Array]:
            parser = self._face_parser()
            return no_face_finder(photo, image, canvas) if parser is None else find_face(parser, photo, image, canvas)

        return read_face(path, self._canvas, self._background, find)

    def _why_not(self, path: Path, word: str, shipped: list[str]) -> str:
        may = "give DATA/NAME of a prepared folder, NAME with --data DATA, or a photo"
        if shipped:
            may += ", or a pose file, or a shipped pose ('scm poses' lists them)"
        if path.is_dir():
            return f"is neither a prepared folder nor a folder of photos{' or pose files' if shipped else ''}; {may}"
        if path.is_file():
            return f"is neither a photo ({' '.join(RAW_ENDINGS)}) nor an entry of a prepared folder; {may}"
        names = self._data.names() if self._data is not None else []
        none = "no such entry, file or shipped pose" if shipped else "no such entry or file"
        return none + (nearest(word, [*names, *shipped]) or f"; {may}")

    def _open(self, path: Path) -> PreparedFolder:
        path = path.resolve()
        if path not in self._opened:
            self._opened[path] = PreparedFolder(path)
        return self._opened[path]


def read_frame(text: str) -> Canvas:
    """Read a frame such as ``256x176``, height first.

    Raises:
        ScmError: if it is no size.
    """
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and len(text) <= _LONGEST_FRAME and int(height) and int(width)):
        raise ScmError(f"--frame {text}: expected height x width, such as 256x176")
    return Canvas(int(height), int(width))


def _entry(folder: PreparedFolder, name: str) -> Input:
    return Input(name, str(folder.path.resolve() / "images" / f"{name}.png"), partial(folder.load, name), folder)


def _shipped(name: str, option: str) -> list[Input]:
    shipped = shipped_poses()
    if name and name not in shipped:
        raise ScmError(f"{option}: no shipped pose is called '{name}'{nearest(name, shipped) or _LIST_THEM}")
    return [
        Input(of, str(file), partial(_pose_of, posed), description=posed.description)
        for of, (file, posed) in shipped.items()
        if name in ("", of)
    ]


def _pose_of(posed: Posed) -> Pose:
    assert posed.canvas is not None
    return Pose(posed.name, posed.person(), posed.canvas)


def _mirrored(given: Input) -> Input:
    def read() -> Pose:
        pose = given.read()
        return mirrored(Pose.of(pose) if isinstance(pose, Person) else pose)

    return Input(f"{given.name}-mirrored", f"{given.where} (mirrored)", read, description=given.description)


def _given(pose: Pose) -> Pose:
    return pose


def _fail(error: ScmError) -> Pose:
    raise error


def _files(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    """List the files of a folder that have one of these endings, 2 before 10; none if it is no folder."""
    if not folder.is_dir():
        return []
    files = (path for path in folder.iterdir() if path.name.lower().endswith(endings) and path.name[0] != ".")
    return sorted((path for path in files if path.is_file()), key=_natural)


def _photos(folder: Path) -> list[Path]:
    return [path for path in _files(folder, RAW_ENDINGS) if not path.name.endswith(MAP_ENDING)]


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a key that sorts the numbers in a name by their value."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in parts]


def _without_ending(name: str) -> str:
    return Path(name).stem if name.lower().endswith(RAW_ENDINGS) else name


def _is_prepared(path: Path) -> bool:
    return (path / "manifest.json").is_file()


def _only(found: list[Input], word: str, option: str) -> Input:
    if len(found) != 1:
        raise ScmError(f"{option} {word}: is a folder of {len(found)} people; name one of them")
    return found[0]


def _once(found: Iterable[Input]) -> list[Input]:
    return list({given.where: given for given in found}.values())
