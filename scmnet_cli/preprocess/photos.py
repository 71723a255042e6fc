"""A folder of anyone's photos, with nothing beside them: the built-in analyser finds the people.

```
SRC/NAME.jpg            photos of any size and kind; SRC/images/ is looked into as well
```
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_photo
from scmnet_cli.preprocess.analyser import Analyser
from scmnet_cli.preprocess.source import PHOTO_ENDINGS, Source, file_stamp, find_photos, inside, only_photo
from scmnet_cli.types import Person

RAW_ENDINGS = (*PHOTO_ENDINGS, ".gif", ".tif", ".tiff")
"""Endings of photos that come as they are; of an animated one the first picture is taken."""

_UNREAD_ENDINGS = (".heic", ".heif", ".avif")
_NOT_IN_NAMES = re.compile(r'[/\\:\0\s,"]|^[-.]')


class PhotoSource(Source):
    """Photos, whose joints and regions the analyser finds."""

    layout = "photos"
    rule = (
        "the photo can be read, and a person is found in it, with a joint and a region; the most prominent one is taken"
    )

    def __init__(self, root: Path, analyser: Analyser | None = None) -> None:
        """List the photos and load the analyser; photos are read when asked for, by several threads if need be.

        Args:
            root: the folder.
            analyser: which one; None: the one that ships with this package.

        Raises:
            ScmError: if the folder holds no photos, or the analyser cannot be loaded.
        """
        self.root = Path(root)
        self._photos: dict[str, list[Path]] = {}
        for stem, paths in find_photos(self.root, RAW_ENDINGS).items():
            self._photos.setdefault(_NOT_IN_NAMES.sub("_", stem), []).extend(paths)
        self._analyser = analyser or Analyser.load()
        self.pose_estimator, self.parser = self._analyser.pose_estimator, self._analyser.parser

    def names(self) -> list[str]:
        """Return the names of all photos, without their endings and what no name may hold, sorted."""
        return sorted(self._photos)

    def astray(self) -> dict[str, str]:
        """Return nothing: no table names photos."""
        return {}

    def remarks(self) -> list[str]:
        """Tell of photos of kinds that are not read."""
        unread = [path.name for path in self.root.iterdir() if path.suffix.lower() in _UNREAD_ENDINGS]
        if not unread:
            return []
        return [f"{len(unread)} photos such as {min(unread)} are of a kind that is not read; convert them to .jpg"]

    def photo(self, name: str) -> Path:
        """Return the path of a person's photo."""
        return self._photos[name][0]

    def stamp(self, name: str) -> str:
        """Return a short text that changes when the photo or the analyser changes."""
        return f"{file_stamp(*self._photos[name])} {self._analyser.stamp}"

    def read(self, name: str) -> Person:
        """Analyse a photo.

        Raises:
            ScmError: saying why the person is not usable.
        """
        return read_analysed(name, inside(self.root, only_photo(self.root, self._photos[name])), self._analyser)


def read_analysed(name: str, photo: Path, analyser: Analyser) -> Person:
    """Read a photo and find its most prominent person, in pixels of the photo.

    Raises:
        ScmError: if the photo cannot be read or shows nobody.
    """
    image = read_photo(photo)
    found = analyser(image)
    if not (found.has_person and (found.joints[:, 2] > 0).any() and np.any(found.regions)):
        raise ScmError("no person is found in the photo; cut it around the person, or give it a region map and joints")
    return Person(name, image, found.regions, found.joints)
