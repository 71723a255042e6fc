"""Poses of one image in a pose file; joints may be in pixels or in fractions of the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scmnet_cli.errors import ScmError
from scmnet_cli.poses.joints import in_pixels
from scmnet_cli.types import Canvas, FloatArray


@dataclass(frozen=True)
class PoseEntry:
    """The poses of one image.

    Attributes:
        name: name of the image.
        people: (18, 3) float32 each, in the order of the file, in pixels or in fractions of the image.
        canvas: size of the image; None if the file does not give it.
        problem: the reason if the poses cannot be used.
        description: the pose in a few words.
        source: origin of the pose.
    """

    name: str
    people: tuple[FloatArray, ...]
    canvas: Canvas | None = None
    problem: str = ""
    description: str = ""
    source: str = ""

    def person(self, number: int = 0, frame: Canvas | None = None) -> FloatArray:
        """Return the joints of one person in pixels.

        Args:
            number: the N-th person of the image, from 1; 0 for the most prominent.
            frame: size of the image, if the file does not give it.

        Shape:
            result: (18, 3).

        Raises:
            ScmError: if there is no such person, the joints are fractions of an image of unknown size, or the entry is
                damaged.
        """
        joints = self.choose(number)
        try:
            return in_pixels(joints, self.canvas or frame, "give the picture's size with --frame HxW")
        except ScmError as error:
            raise ScmError(f"{self.name}: {error}") from error

    def choose(self, number: int = 0) -> FloatArray:
        """Return the joints of one person, in the file's own units.

        Args:
            number: the N-th person of the image, from 1; 0 for the most prominent, with the largest product of the area
                of the known joints' box and their mean score.

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
            raise ScmError(f"{self.name}: there is no person {number}; the file has {known} in this picture")
        return max(self.people, key=_prominence) if number == 0 else self.people[number - 1]


def _prominence(joints: FloatArray) -> float:
    known = joints[joints[:, 2] > 0, :2]
    return float(np.prod(np.ptp(known, axis=0)) * joints[:, 2].mean()) if len(known) else -1.0
