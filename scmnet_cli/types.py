"""Values that cross module borders."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float32]

_SAME_SHAPE = 0.01


@dataclass(frozen=True)
class Canvas:
    """Height and width, in pixels, of the pictures a model reads and draws; multiples of 8."""

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"

    def has_shape_of(self, other: Canvas) -> bool:
        """Say whether both have the same proportions, to 1 %."""
        return abs(self.width / self.height / (other.width / other.height) - 1) <= _SAME_SHAPE


@dataclass(frozen=True)
class Person:
    """One upright picture of a person, with what is known of it.

    Shape:
        image: (H, W, 3) uint8 RGB.
        regions: (H, W) uint8, ids 0-7 of :data:`scmnet_cli.regions.BODY_REGIONS`.
        joints: (18, 3) float32, x and y in pixels of ``image`` and a score in [0, 1]; a missing
            joint has score 0 (and x = y = 0). Order: :data:`scmnet_cli.skeleton.JOINTS`.
    """

    name: str
    image: UInt8Array
    regions: UInt8Array
    joints: FloatArray

    @property
    def canvas(self) -> Canvas:
        """Size of the picture."""
        return Canvas(int(self.image.shape[0]), int(self.image.shape[1]))

    def renamed(self, name: str) -> Person:
        """Return the same person under another name."""
        return replace(self, name=name)


@dataclass(frozen=True)
class Pose:
    """Joints without a picture: whose layout is drawn.

    Shape:
        joints: (18, 3) float32, x and y in pixels of ``canvas`` and a score; a missing joint has score 0.
    """

    name: str
    joints: FloatArray
    canvas: Canvas

    @classmethod
    def of(cls, person: Person) -> Pose:
        """Return the pose in which a person stands."""
        return cls(person.name, person.joints, person.canvas)
