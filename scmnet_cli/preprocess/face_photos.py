"""A folder of photos, in each of which the face parser finds the most prominent face and aligns it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scmnet_cli.analyser.face_landmarks import aligning
from scmnet_cli.analyser.faces import NO_FACE, FaceParser
from scmnet_cli.data.face_edges import with_regions
from scmnet_cli.errors import ScmError
from scmnet_cli.images import CropBox, read_photo
from scmnet_cli.preprocess.photos import named_photos
from scmnet_cli.sources.source import Source, file_stamp, inside, only_photo
from scmnet_cli.types import NO_JOINTS, Canvas, Person


class FacePhotoSource(Source):
    """Photos; the face parser finds the faces."""

    layout = "face-photos"
    domain = "face"
    canvas = Canvas(256, 256)
    background = "keep"
    pose_estimator = "none: edges by Canny and by the regions' borders"
    rule = "the photo can be read, and a face is found in it; the most prominent one is used, rotated upright"

    def __init__(self, root: Path, face_parser: FaceParser) -> None:
        """List the photos; they are read on demand.

        Raises:
            ScmError: if the folder holds no photos.
        """
        self.root = Path(root)
        self._photos = named_photos(self.root)
        self._find = face_parser
        self.parser = face_parser.name

    def names(self) -> list[str]:
        """Return the names of all photos, sorted, without suffixes and invalid characters."""
        return sorted(self._photos)

    def unmatched(self) -> dict[str, str]:
        """Return an empty dict: no table names photos."""
        return {}

    def photo(self, name: str) -> Path:
        """Return the path of a face's photo."""
        return self._photos[name][0]

    def stamp(self, name: str) -> str:
        """Return a short text that changes when the photo or the face parser changes."""
        return f"{file_stamp(*self._photos[name])} {self._find.stamp}"

    def read(self, name: str) -> Person:
        """Find the face of a photo; its joints are the expected landmarks of the aligned face, for :meth:`box`.

        Raises:
            ScmError: if the photo cannot be read, or shows no face.
        """
        face = self._find(read_photo(inside(self.root, only_photo(self.root, self._photos[name]))))
        if face is None:
            raise ScmError(NO_FACE)
        face = face.upright()
        places = face.expected
        joints = np.column_stack([places, np.ones(len(places))]).astype(np.float32)
        return Person(name, face.photo, face.regions, joints)

    def box(self, person: Person, canvas: Canvas) -> CropBox:
        """Return the crop of the aligned face, with the aspect of the canvas."""
        window = aligning(person.joints)
        assert window is not None
        height = round(window.height)
        width = round(window.height * canvas.width / canvas.height)
        return CropBox(round(window.centre_x - width / 2), round(window.centre_y - height / 2), width, height, canvas)

    def finished(self, person: Person) -> Person:
        """Return a face on the canvas, with edges computed there."""
        return with_regions(Person(person.name, person.image, person.regions, NO_JOINTS))
