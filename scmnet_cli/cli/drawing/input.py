"""An input that the command line names, before it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.inference.inputs.framed import Framed
from scmnet_cli.types import Person, Pose


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
        others: further photos of the same person.
    """

    name: str
    where: str
    read: Callable[[], Person | Pose]
    folder: PreparedFolder | None = None
    description: str = ""
    framed: Callable[[], Framed] | None = None
    others: tuple[Input, ...] = ()


def one_person(photos: list[Input]) -> Input:
    """Return photos of one person as one input, named after the first."""
    first, *others = photos
    return replace(first, others=tuple(others))
