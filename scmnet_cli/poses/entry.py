"""One picture of a pose file: the people in it, whose joints may be in pixels or in fractions of the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scmnet_cli.errors import ScmError
from scmnet_cli.poses.joints import in_pixels
from scmnet_cli.types import Canvas, FloatArray


@dataclass(frozen=True)
class PoseEntry:
    """The poses that a file holds for one picture.

    Attributes:
        name: of the picture.
        people: (18, 3) float32 each, in the order of the file; in pixels, or in fractions of the picture.
        canvas: size of the picture; None where the file does not say.
        problem: why the picture's poses cannot be used, if they cannot.
        description: the pose in a few words.
        source: where the pose comes from.
    """

    name: str
    people: tuple[FloatArray, ...]
    canvas: Canvas | None = None
    problem: str = ""
    description: str = ""
    source: str = ""

    def person(self, number: int = 0, frame: Canvas | None = None) -> FloatArray:
        """Return the joints of one person, in pixels, as :meth:`choose` does.

        Args:
            number: the N-th person of the picture, from 1; 0: the most prominent.
            frame: size of the picture, used where the file does not say.

        Shape:
            result: (18, 3).

        Raises:
            ScmError: if there is no such person, the joints are fractions of a picture of unknown size, or the file's
                entry is damaged.
        """
        joints = self.choose(number)
        try:
            return in_pixels(joints, self.canvas or frame, "give the picture's size with --frame HxW")
        except ScmError as error:
            raise ScmError(f"{self.name}: {error}") from error

    def choose(self, number: int = 0) -> FloatArray:
        """Return the joints of one person, in the file's own units.

        Args:
            number: the N-th person of the picture, from 1; 0: the most prominent, whose known joints span the largest
                box, times their mean score.

        Shape:
            result: (18, 3).

        Raises:
            ScmError: if there is no such person, or the file's entry is damaged.
        """
        if self.problem:
            raise ScmError(self.problem)
        if not self.people:
            raise ScmError(f"{self.name}: no person was found in this picture")
        if number > len(self.people):
            known = len(self.people)
            raise ScmError(f"{self.name}: person {number} is asked for, and the file has {known} in this picture")
        return max(self.people, key=_prominence) if number == 0 else self.people[number - 1]


def _prominence(joints: FloatArray) -> float:
    known = joints[joints[:, 2] > 0, :2]
    return float(np.prod(np.ptp(known, axis=0)) * joints[:, 2].mean()) if len(known) else -1.0
