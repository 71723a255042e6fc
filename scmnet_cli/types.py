"""Types shared by all modules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]

_SAME_SHAPE = 0.01
_LONGEST_SIZE = 11


@dataclass(frozen=True)
class Canvas:
    """Height and width in pixels of a model's images; multiples of 8."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"

    @classmethod
    def parse(cls, text: str) -> Canvas | None:
        """Parse height x width, such as ``256x176``; None if the text is not a size."""
        height, _, width = text.lower().partition("x")
        if not (height.isdecimal() and width.isdecimal() and len(text) <= _LONGEST_SIZE and int(height) and int(width)):
            return None
        return cls(int(height), int(width))

    def enlarged(self, height: int) -> Canvas:
        """Return a canvas of this aspect and of ``height``, rounded down to a multiple of 8; never a smaller canvas."""
        height = height // 8 * 8
        return self if height <= self.height else Canvas(height, round(height * self.width / self.height))

    def resized_to(self, height: int) -> Canvas:
        """Return the canvas of this shape whose height is given, both sides rounded to multiples of 8."""
        return Canvas(max(round(height / 8), 1) * 8, max(round(height * self.width / self.height / 8), 1) * 8)

    def has_shape_of(self, other: Canvas) -> bool:
        """Return whether both have the same aspect within 1 %."""
        return abs(self.width / self.height / (other.width / other.height) - 1) <= _SAME_SHAPE


NO_JOINTS: FloatArray = np.zeros((0, 3), np.float32)
"""The joints of a face."""


class _Structured:
    """Base of classes with joints or, for a face, edges."""

    joints: FloatArray
    edges: UInt8Array | None

    @property
    def domain(self) -> str:
        """Name of the domain."""
        return "person" if self.edges is None else "face"

    @property
    def structure(self) -> npt.NDArray[Any]:
        """The joints of a person, or the edge map of a face."""
        return self.joints if self.edges is None else self.edges


@dataclass(frozen=True)
class Person(_Structured):
    """An upright image of a person or a face, with regions and joints or edges.

    Shape:
        image: (H, W, 3) uint8 RGB.
        regions: (H, W) uint8, ids 0-7 of :data:`scmnet_cli.regions.BODY_REGIONS` or, for a face, ``FACE_REGIONS``.
        joints: (18, 3) float32, x and y in pixels of ``image`` and a score in [0, 1]; 0, 0, 0 if missing. The order is
            :data:`scmnet_cli.skeleton.JOINTS`. A face has ``NO_JOINTS``.
        edges: (H, W) uint8 bits of :mod:`scmnet_cli.edges` for a face; None for a person.
        scene: (H, W, 3) uint8, ``image`` with the photo's background where ``image`` has a plain one; None if unknown.
        carried: (H, W) bool, background that the person carries, such as a bag; None if unknown.
    """

    name: str
    image: UInt8Array
    regions: UInt8Array
    joints: FloatArray
    edges: UInt8Array | None = None
    scene: UInt8Array | None = None
    carried: npt.NDArray[np.bool_] | None = None

    @property
    def canvas(self) -> Canvas:
        """Size of the image."""
        return Canvas(int(self.image.shape[0]), int(self.image.shape[1]))

    def renamed(self, name: str) -> Person:
        """Return the same person under another name."""
        return replace(self, name=name)


@dataclass(frozen=True)
class Pose(_Structured):
    """Joints or edges without an image: the target layout.

    Shape:
        joints: (18, 3) float32, x and y in pixels of ``canvas`` and a score; a missing joint has score 0.
        edges: (canvas height, canvas width) uint8 bits of :mod:`scmnet_cli.edges` for a face, which has ``NO_JOINTS``.
    """

    name: str
    joints: FloatArray
    canvas: Canvas
    edges: UInt8Array | None = None

    @classmethod
    def of(cls, person: Person) -> Pose:
        """Return the pose of a person, or the edges of a face."""
        return cls(person.name, person.joints, person.canvas, person.edges)
