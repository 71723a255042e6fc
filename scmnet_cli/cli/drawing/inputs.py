"""Resolve ``--src``, ``--pose`` and ``--ref``: prepared entries, photos, pose files, shipped poses."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scmnet_cli.cli.drawing.input import Input
from scmnet_cli.cli.drawing.pose_inputs import (
    LIBRARY,
    POSE_ENDINGS,
    PoseFiles,
    fail_with,
    find_shipped_poses,
    is_prepared,
    mirrored_input,
)
from scmnet_cli.cli.face_parser import load_face_parser
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.domains import DOMAINS, FACE, PERSON, Domain
from scmnet_cli.edges import CANNY, canny_edges
from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.images import read_photo
from scmnet_cli.inference.inputs.demo_people import PREFIX, find_demo_people
from scmnet_cli.inference.inputs.faces import no_face_finder, read_framed_face
from scmnet_cli.inference.inputs.framed_face import FramedFace
from scmnet_cli.inference.inputs.photo import MAP_ENDING, PhotoOptions, load_analyser, read_framed, read_person
from scmnet_cli.inference.inputs.sketches import Drawing, read_drawing
from scmnet_cli.photo_files import files_of, is_photo, photo_endings, unread_photos, why_unread
from scmnet_cli.poses.files import XML_REMEDY
from scmnet_cli.poses.library import shipped_poses
from scmnet_cli.poses.placing import place, place_together
from scmnet_cli.types import Canvas, Person, Pose, UInt8Array

if TYPE_CHECKING:
    from scmnet_cli.analyser.faces import FaceParser
    from scmnet_cli.analyser.people import Analyser
    from scmnet_cli.analyser.windows import AlignedFace

_log = logging.getLogger(__name__)

_FACE_OVER_CANVAS = 4
"""Largest height of an edited photo of a face, in heights of the canvas."""


@dataclass(frozen=True)
class _PhotoSelection:
    """Person to take from each photo (0: the most prominent), and height in pixels up to which resolution is kept."""

    person: int = 0
    largest: int = 0


class Finder:
    """Finds the inputs given on the command line."""

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
        largest: int = 0,
    ) -> None:
        """Open the prepared folder of ``--data``.

        Args:
            data: prepared folder whose entries may be given by name alone.
            canvas: photos are cropped to it, and poses are placed on it.
            background: background of photos, ``plain`` or ``keep``.
            frame: image size for pose files that do not give one.
            person: number of the person that :meth:`people` takes from a photo, from 1; 0: the most prominent.
            pose_person: the same for photos and pose files that give poses.
            mirror: mirror the poses.
            domain: photos of people or of faces.
            largest: height in pixels up to which photos of people keep their resolution; 0: resize all to the canvas.

        Raises:
            ScmError: if ``data`` is not a prepared folder.
        """
        self._canvas = canvas
        self._background = background
        self._person = person
        self._pose_person = pose_person
        self._mirror = mirror
        self._largest = largest
        self._largest_face = 0
        self._wide_faces = False
        self.domain = domain
        self._opened: dict[Path, PreparedFolder] = {}
        self._pose_files = PoseFiles(canvas, frame, pose_person, self._open)
        self._analyser: Callable[[], Analyser] = cache(load_analyser)
        self._face_parser: Callable[[], FaceParser | None] = cache(load_face_parser)
        self._data = self._open(data) if data is not None else None

    def use_analyser(self, load: Callable[[], Analyser]) -> None:
        """Analyse raw photos with another analyser, which is loaded when the first one is read."""
        self._analyser = cache(load)

    def use_face_parser(self, load: Callable[[], FaceParser | None]) -> None:
        """Find faces in photos with a face parser, which is loaded when the first photo is read."""
        self._face_parser = cache(load)

    def person(self, word: str, option: str) -> Input:
        """Find one person, as :meth:`people` does.

        Raises:
            ScmError: if the word matches nothing or several people.
        """
        return _only(self.people([word], option), word, option)

    def people(self, words: Iterable[str], option: str) -> list[Input]:
        """Find people: entries, photos, folders of photos, whole prepared folders, or shipped photos (``demo:NAME``).

        Photos without a region map and joints beside them are analysed when read.

        Raises:
            ScmError: if a word matches nothing, with the option and its possible values.
        """
        photos = _PhotoSelection(self._person, self._largest)
        return _once(found for word in words for found in self._people(word, option, photos))

    def reference(self, word: str, option: str) -> Input:
        """Find one person as :meth:`person` does, but always the most prominent of a photo.

        Raises:
            ScmError: if the word matches nothing or several people.
        """
        return _only(self._people(word, option, _PhotoSelection(largest=self._largest)), word, option)

    def poses(self, words: Iterable[str], option: str) -> list[Input]:
        """Find poses: the same inputs as :meth:`people`, and shipped poses, pose files, and folders of pose files.

        Poses without a picture are placed on the canvas when read.

        Raises:
            ScmError: if a word matches nothing, with the option and its possible values.
        """
        return [replace(given, read=partial(self._placed, given)) for given in self.unplaced(words, option)]

    def sequence(self, words: Iterable[str], option: str) -> list[Input]:
        """Find a sequence of poses, as :meth:`poses` does; poses with the same frame are placed with one crop.

        Raises:
            ScmError: if a word matches nothing. An unusable pose raises its error when it is read.
        """
        found = self.unplaced(words, option)
        read: dict[int, Pose] = {}
        for number, given in enumerate(found):
            try:
                pose = given.read()
            except ScmError as error:
                found[number] = replace(given, read=partial(fail_with, error))
                continue
            read[number] = Pose.of(pose) if isinstance(pose, Person) else pose
        placed = place_together(list(read.values()), self._canvas)
        for number, pose in zip(read, placed, strict=True):
            found[number] = replace(found[number], read=partial(_given, pose))
        return found

    def unplaced(self, words: Iterable[str], option: str) -> list[Input]:
        """Find poses as :meth:`poses` does, but leave them in their original frames.

        Raises:
            ScmError: if a word matches nothing.
        """
        found = _once(found for word in words for found in self._poses(word, option))
        return [mirrored_input(given) for given in found] if self._mirror else found

    def _placed(self, given: Input) -> Person | Pose:
        pose = given.read()
        return pose if isinstance(pose, Person) else place(pose, self._canvas)

    def _poses(self, word: str, option: str) -> list[Input]:
        if word.startswith(LIBRARY) and not Path(word).exists():
            return find_shipped_poses(word.removeprefix(LIBRARY), f"{option} {word}")
        found = _file_and_row(word)
        if found is not None:
            return self._pose_files.rows(*found, option)
        folder = Path(word)
        if not is_prepared(folder) and not _photos(folder) and (files := _pose_files(folder)):
            return [found for file in files for found in self._pose_files.rows_if_any(file, option)]
        try:
            return self._people(word, option, _PhotoSelection(self._pose_person), shipped_poses())
        except ScmError:
            if folder.exists() or word not in shipped_poses():
                raise
            return find_shipped_poses(word, option)

    def _people(
        self, word: str, option: str, photos: _PhotoSelection | None = None, shipped: Iterable[str] = ()
    ) -> list[Input]:
        if self._data is not None and word in self._data.names():
            return [_entry(self._data, word)]
        if word.startswith(PREFIX):
            return [self._photo(file, photos or _PhotoSelection()) for file in find_demo_people(word, option)]
        path = Path(word)
        if is_prepared(path):
            folder = self._open(path)
            return [_entry(folder, name) for name in folder.names()]
        for above in (path.parent, path.parent.parent if path.parent.name in ("images", "edges") else None):
            if above is not None and is_prepared(above):
                folder = self._open(above)
                for name in (path.name, path.stem):
                    if name in folder.names():
                        return [_entry(folder, name)]
                raise ScmError(
                    f"{option} {word}: {above} has no entry '{path.stem}'{nearest(path.stem, folder.names())}"
                )
        files = [path] if path.is_file() and is_photo(path) else _photos(path)
        if files:
            if unread := unread_photos(files_of(path)):
                _log.warning("%s %s: %s", option, word, unread)
            return [self._photo(file, photos or _PhotoSelection()) for file in files]
        raise ScmError(f"{option} {word}: {self._why_not(path, word, list(shipped))}")

    def keep_faces_large(self, *, wide: bool = False) -> None:
        """Read photos of faces at their own resolution from now on, the face at most four times the canvas.

        Args:
            wide: read also what is around the faces that the face parser finds: long hair, neck and shoulders.
        """
        from scmnet_cli.analyser.faces import WIDE

        # The face has as many pixels in a wide view as in its own square, so an edit of it is the same.
        self._largest_face = _FACE_OVER_CANVAS * self._canvas.height * (WIDE if wide else 1)
        self._wide_faces = wide

    def drawings(self, words: Iterable[str], option: str, kind: str) -> list[Input]:
        """Find edges: entries of prepared folders of faces, pictures, or folders of pictures.

        Args:
            words: values of the option.
            option: name of the option for messages.
            kind: kind of the pictures, as for :func:`scmnet_cli.inference.inputs.sketches.read_drawing`; with ``photo``
                entries give their Canny edges only.

        Raises:
            ScmError: if a word matches nothing.
        """
        found = _once(found for word in words for found in self._people(word, option))
        return [replace(given, read=partial(self._drawn, given, kind)) for given in found]

    def _drawn(self, given: Input, kind: str) -> Person | Pose:
        if given.folder is None:
            return self._aligned(read_drawing(Path(given.where), self._canvas, kind), Path(given.where))
        face = given.read()
        if face.edges is None:
            raise ScmError(f"{given.where}: holds {DOMAINS[face.domain].members}, which have no edges; give faces")
        return replace(face, edges=face.edges & np.uint8(CANNY)) if kind == "photo" else face

    def _aligned(self, drawing: Drawing, path: Path) -> Drawing:
        """Return the edges of a photo after aligning its face, if a face parser is there and finds one."""
        if drawing.taken_from != "photo" or (parser := self._face_parser()) is None:
            return drawing
        from scmnet_cli.analyser.faces import TURNED

        face = parser(read_photo(path))
        if face is None:
            return drawing
        if face.is_turned:
            _log.warning("%s: %s", path, TURNED)
        lines = canny_edges(face.picture(self._canvas))
        return replace(drawing, edges=CANNY * lines.astype(np.uint8), taken_from="photo of a face, aligned")

    def _photo(self, path: Path, photos: _PhotoSelection) -> Input:
        person = photos.person
        if self.domain is FACE:
            framed = partial(self._framed_face, path)
            return Input(path.stem, str(path.resolve()), lambda: framed().cropped, framed=framed)
        given = (path, self._canvas, self._background, PhotoOptions(self._analyser, person, photos.largest))
        where = f"{path.resolve()}#person {person}" if person > 1 else str(path.resolve())
        name = f"{path.stem}_{person}" if person > 1 else path.stem
        return Input(name, where, partial(read_person, *given), framed=partial(read_framed, *given))

    def _framed_face(self, path: Path) -> FramedFace:
        def find(photo: Path, image: UInt8Array, canvas: Canvas) -> AlignedFace:
            parser = self._face_parser()
            if parser is None:
                return no_face_finder(photo, image, canvas)
            from scmnet_cli.analyser.faces import find_face

            return find_face(parser, photo, image, canvas, wide=self._wide_faces)

        return read_framed_face(path, self._canvas, self._background, find, self._largest_face)

    def _why_not(self, path: Path, word: str, shipped: list[str]) -> str:
        may = "give DATA/NAME of a prepared folder, NAME with --data DATA, a photo, or demo:NAME"
        if shipped:
            may += ", or a pose file, or a shipped pose ('scm poses' lists them)"
        if remedy := why_unread(path) if path.is_file() else unread_photos(files_of(path)):
            return f"cannot be read here; {remedy}" if path.is_file() else f"has no readable photo; {remedy}"
        if zipfile.is_zipfile(path):
            return "is an archive; unpack it and give the folder"
        if path.is_file() and path.suffix.lower() == ".xml":
            return XML_REMEDY
        if path.is_dir():
            return f"is neither a prepared folder nor a folder of photos{' or pose files' if shipped else ''}; {may}"
        if path.is_file():
            return f"is neither a photo ({' '.join(photo_endings())}) nor an entry of a prepared folder; {may}"
        names = self._data.names() if self._data is not None else []
        none = "no such entry, file or shipped pose" if shipped else "no such entry or file"
        return none + (nearest(word, [*names, *shipped]) or f"; {may}")

    def _open(self, path: Path) -> PreparedFolder:
        path = path.resolve()
        if path not in self._opened:
            self._opened[path] = PreparedFolder(path)
        return self._opened[path]


def _entry(folder: PreparedFolder, name: str) -> Input:
    return Input(name, str(folder.path.resolve() / "images" / f"{name}.png"), partial(folder.load, name), folder)


def _given(pose: Pose) -> Pose:
    return pose


def _file_and_row(word: str) -> tuple[Path, str] | None:
    """Split a word into a pose file and the row after ``#``; None for other words. File names may contain ``#``."""
    ends = [len(word), *(place for place, letter in enumerate(word) if letter == "#")]
    for end in ends:
        if word[:end].lower().endswith(POSE_ENDINGS) and Path(word[:end]).is_file():
            return Path(word[:end]), word[end + 1 :]
    return None


def _pose_files(folder: Path) -> list[Path]:
    return [path for path in files_of(folder) if path.name.lower().endswith(POSE_ENDINGS)]


def _photos(folder: Path) -> list[Path]:
    return [path for path in files_of(folder) if is_photo(path) and not path.name.lower().endswith(MAP_ENDING)]


def _only(found: list[Input], word: str, option: str) -> Input:
    if len(found) != 1:
        raise ScmError(f"{option} {word}: is a folder of {len(found)} people; give one of them")
    return found[0]


def _once(found: Iterable[Input]) -> list[Input]:
    return list({given.where: given for given in found}.values())
