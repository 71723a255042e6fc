"""Values that cross module borders."""

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
    """Height and width, in pixels, of the pictures a model reads and draws; multiples of 8."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"

    @classmethod
    def parse(cls, text: str) -> Canvas | None:
        """Read height x width, such as ``256x176``; None if the text is no size."""
        height, _, width = text.lower().partition("x")
        if not (height.isdecimal() and width.isdecimal() and len(text) <= _LONGEST_SIZE and int(height) and int(width)):
            return None
        return cls(int(height), int(width))

    def enlarged(self, height: int) -> Canvas:
        """Return a canvas of this shape, ``height`` rounded down to a multiple of 8 high, and never a smaller one."""
        height = height // 8 * 8
        return self if height <= self.height else Canvas(height, round(height * self.width / self.height))

    def has_shape_of(self, other: Canvas) -> bool:
        """Say whether both have the same proportions, to 1 %."""
        return abs(self.width / self.height / (other.width / other.height) - 1) <= _SAME_SHAPE


NO_JOINTS: FloatArray = np.zeros((0, 3), np.float32)
"""The joints of a face."""


class _Structured:
    """Base of what has joints or, for a face, edges."""

    joints: FloatArray
    edges: UInt8Array | None

    @property
    def domain(self) -> str:
        """Name of the domain that it belongs to."""
        return "person" if self.edges is None else "face"

    @property
    def structure(self) -> npt.NDArray[Any]:
        """Joints or edge map, whichever it has."""
        return self.joints if self.edges is None else self.edges


@dataclass(frozen=True)
class Person(_Structured):
    """One upright picture of a person, or of a person's face, with what is known of it.

    Shape:
        image: (H, W, 3) uint8 RGB.
        regions: (H, W) uint8, ids 0-7 of :data:`scmnet_cli.regions.BODY_REGIONS` or, of a face, ``FACE_REGIONS``.
        joints: (18, 3) float32, x and y in pixels of ``image`` and a score in [0, 1]; a missing
            joint has score 0 (and x = y = 0). Order: :data:`scmnet_cli.skeleton.JOINTS`. A face has ``NO_JOINTS``.
        edges: of a face, (H, W) uint8 bits of :mod:`scmnet_cli.edges`; None says that it is no face.
    """

    name: str
    image: UInt8Array
    regions: UInt8Array
    joints: FloatArray
    edges: UInt8Array | None = None

    @property
    def canvas(self) -> Canvas:
        """Size of the picture."""
        return Canvas(int(self.image.shape[0]), int(self.image.shape[1]))

    def renamed(self, name: str) -> Person:
        """Return the same person under another name."""
        return replace(self, name=name)


@dataclass(frozen=True)
class Pose(_Structured):
    """Joints or edges without a picture: whose layout is drawn.

    Shape:
        joints: (18, 3) float32, x and y in pixels of ``canvas`` and a score; a missing joint has score 0.
        edges: of a face, (canvas height, canvas width) uint8 bits of :mod:`scmnet_cli.edges`; it has ``NO_JOINTS``.
    """

    name: str
    joints: FloatArray
    canvas: Canvas
    edges: UInt8Array | None = None

    @classmethod
    def of(cls, person: Person) -> Pose:
        """Return the pose in which a person stands, or the edges of a face."""
        return cls(person.name, person.joints, person.canvas, person.edges)
