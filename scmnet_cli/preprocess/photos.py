"""A folder of photos, in which the built-in analyser or external estimators find the people.

```
SRC/NAME.jpg            photos of any size and format (first frame of animations); also SRC/images/NAME.jpg
```

Options can replace the analyser's regions or joints by those of other programs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_photo
from scmnet_cli.sources.folder import read_annotated
from scmnet_cli.sources.keypoints import read_keypoint_table
from scmnet_cli.sources.label_maps import find_map, label_set
from scmnet_cli.sources.source import Source, file_stamp, find_photos, inside, only_photo, unread_remarks
from scmnet_cli.types import Person

if TYPE_CHECKING:
    from scmnet_cli.analyser.analysis import Analysis
    from scmnet_cli.analyser.people import Analyser

_NOT_IN_NAMES = re.compile(r'[/\\:\0\s,"]|^[-.]')


class PhotoSource(Source):
    """Photos; the analyser finds joints and regions."""

    layout = "photos"
    rule = (
        "the photo can be read, and a person is found in it, with a joint and a region; the most prominent one is used"
    )

    def __init__(
        self,
        root: Path,
        analyser: Analyser | None = None,
        joints: Path | None = None,
        maps: Path | None = None,
        labels: str = "regions",
        all: bool = False,  # noqa: A002 - the option's name
    ) -> None:
        """List the photos and load the analyser; photos are read on demand, from any thread.

        Args:
            root: the folder.
            analyser: finds people; None for the shipped analyser.
            joints: a table of joints to use instead of the analyser's.
            maps: a folder of label maps to use instead of the analyser's regions.
            labels: label set of the maps, one of :data:`scmnet_cli.regions.LABEL_SETS`.
            all: use all people of a photo, not only the most prominent one.

        Raises:
            ScmError: if the folder holds no photos, the analyser cannot be loaded, there are no such joints, maps or
                labels, or both are given.
        """
        if joints is not None and maps is not None:
            raise ScmError(f"--layout photos: {joints} and {maps} leave nothing to find; use --layout folder")
        if all and (joints or maps):
            raise ScmError(f"--all: joints and regions of all people must be found; leave {joints or maps} out")
        if maps is None and labels != "regions":
            raise ScmError(f"--labels {labels}: needs --maps, the folder of the label maps")
        if maps is not None and not maps.is_dir():
            raise ScmError(f"--maps {maps}: no such folder")
        label_set(labels)
        self._maps, self._labels = maps, labels
        self._joints = None if joints is None else read_keypoint_table(joints)
        self.root = Path(root)
        self._photos = named_photos(self.root)
        if analyser is None:
            from scmnet_cli.analyser.people import Analyser

            analyser = Analyser.load()
        self._analyser = analyser
        self._all_people = all
        if all:
            self.rule = (
                "the photo can be read, and people are found in it, with a joint and a region each; all are used"
            )
        self.pose_estimator, self.parser = self._analyser.pose_estimator, self._analyser.parser
        if joints is not None:
            self.pose_estimator = f"the table {joints.name}"
        if maps is not None:
            self.parser = f"maps of the folder {maps.name}, labels {labels}"

    def names(self) -> list[str]:
        """Return the names of all photos, sorted, without suffixes and invalid characters."""
        return sorted(self._photos)

    def unmatched(self) -> dict[str, str]:
        """Return an empty dict: no table names photos."""
        return {}

    def remarks(self) -> list[str]:
        """Return remarks on photos in unsupported formats, and on joints in fractions."""
        return [*unread_remarks(self.root), *([] if self._joints is None else self._joints.remarks())]

    def photo(self, name: str) -> Path:
        """Return the path of a person's photo."""
        return self._photos[name][0]

    def stamp(self, name: str) -> str:
        """Return a short text that changes when the photo, the analyser, or its replacements change."""
        stamp = f"{file_stamp(*self._photos[name])} {self._analyser.stamp}"
        if self._all_people:
            stamp += " all"
        if self._maps is not None:
            stamp += f" {file_stamp(find_map(self._maps, self.photo(name).stem))} {self._labels}"
        if self._joints is not None:
            photo = self.photo(name)
            stamp += f" {self._joints.stamp(photo.name, photo.stem)}"
        return stamp

    def read_all(self, name: str) -> Iterator[Person]:
        """Analyse a photo and yield the most prominent person, or all people: NAME, NAME_2, NAME_3 ...

        Raises:
            ScmError: with the reason why no person is usable.
        """
        if not self._all_people:
            yield self.read(name)
            return
        photo = inside(self.root, only_photo(self.root, self._photos[name]))
        for number, person in enumerate(read_all_people(name, photo, self._analyser), start=1):
            yield person if number == 1 else person.renamed(self._nth(name, number))
            del person  # its region map is as large as the photo: free it before the next one is made

    def _nth(self, name: str, number: int) -> str:
        """Return a name for the N-th person of a photo that no photo has."""
        wanted = f"{name}_{number}"
        while wanted in self._photos:
            wanted += "_"
        return wanted

    def read(self, name: str) -> Person:
        """Analyse a photo.

        Raises:
            ScmError: saying why the person is not usable.
        """
        photo = inside(self.root, only_photo(self.root, self._photos[name]))
        found = read_analysed(name, photo, self._analyser)
        if self._maps is not None:
            return read_annotated(
                name, photo, inside(self._maps, find_map(self._maps, photo.stem)), found.joints, self._labels
            )
        if self._joints is None:
            return found
        return replace(found, joints=self._joints.find(photo.name, photo.stem, size=found.canvas))


def named_photos(root: Path) -> dict[str, list[Path]]:
    """Return the photos of a folder by valid names; several photos may share a name.

    Raises:
        ScmError: if there are no photos.
    """
    photos: dict[str, list[Path]] = {}
    for stem, paths in find_photos(root).items():
        photos.setdefault(_NOT_IN_NAMES.sub("_", stem), []).extend(paths)
    return photos


def read_analysed(name: str, photo: Path, analyser: Analyser, number: int = 0) -> Person:
    """Read a photo and find a person in it, in pixels of the photo.

    Args:
        name: name of the person.
        photo: the photo.
        analyser: finds people.
        number: number of the person, from 1; 0 and 1 are the most prominent one.

    Raises:
        ScmError: if the photo cannot be read or does not show this person.
    """
    image = read_photo(photo)
    people = [analyser(image)] if number <= 1 else analyser.people(image)
    if number > 1:  # each copy's region map is dropped: a dozen of them fill the memory if the photo is large
        people = [found for found in people if _is_usable(replace(found))]
    elif not _is_usable(people[0]):
        people = []
    if not people:
        raise ScmError("no person found in the photo; crop it around the person, or give it a region map and joints")
    if number > len(people):
        shown = "1 person is" if len(people) == 1 else f"{len(people)} people are"
        raise ScmError(f"there is no person {number}; {shown} found in the photo")
    found = people[max(0, number - 1)]
    return Person(name, image, found.regions, found.joints, carried=found.carried_pixels)


def read_all_people(name: str, photo: Path, analyser: Analyser) -> Iterator[Person]:
    """Read a photo and yield all people in it, the most prominent first, all under one name.

    Raises:
        ScmError: if the photo cannot be read or shows no person.
    """
    first = read_analysed(name, photo, analyser)
    yield first
    image = first.image
    del first
    others = analyser.people(image)[1:]
    while others:
        found = others.pop(0)  # not kept here, since its region map is as large as the photo
        if _is_usable(found):
            yield Person(name, image, found.regions, found.joints)


def _is_usable(found: Analysis) -> bool:
    return found.has_person and bool((found.joints[:, 2] > 0).any()) and bool(np.any(found.regions))
