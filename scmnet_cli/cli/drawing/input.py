"""An input of the command line, before it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.inference.inputs.framed_photo import FramedPhoto
from scmnet_cli.types import Person, Pose


@dataclass(frozen=True)
class Input:
    """An input that is read lazily.

    Attributes:
        name: name in file names and messages.
        where: location: the file, with the row of a table after ``#``; inputs with the same location are the same.
        read: reads it; raises ScmError on failure.
        folder: the prepared folder of an entry, else None.
        framed: for a photo, reads the person or face together with the whole photo.
        description: description of the pose in a pose file.
        others: further photos of the same person.
    """

    name: str
    where: str
    read: Callable[[], Person | Pose]
    folder: PreparedFolder | None = None
    description: str = ""
    framed: Callable[[], FramedPhoto] | None = None
    others: tuple[Input, ...] = ()


def one_person(photos: list[Input]) -> Input:
    """Return photos of one person as one input, named after the first."""
    first, *others = photos
    return replace(first, others=tuple(others))
