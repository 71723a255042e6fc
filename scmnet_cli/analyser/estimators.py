"""Interface of estimators of joints or regions that replace parts of the built-in analyser.

The analyser says whether and where there is a person; an estimator is shown that person alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from scmnet_cli.types import Canvas, FloatArray, UInt8Array

Box = tuple[float, float, float, float]
"""Left, top, right and bottom of a person, in pixels of the photo."""


class PoseEstimator(Protocol):
    """Finds the joints of a person; several threads may ask at a time."""

    name: str
    """Which one with which weights, for manifests: another name, another result."""

    def __call__(self, photo: UInt8Array, box: Box) -> FloatArray:
        """Return the joints of the person in a box.

        Shape:
            photo: (H, W, 3) uint8 RGB; result: (18, 3) float32, x and y in pixels of the photo and a score in [0, 1]; a
            joint that is not in the photo is 0, 0, 0.
        """
        ...


class Parser(Protocol):
    """Finds the body regions of a person; several threads may ask at a time."""

    name: str
    """Which one with which weights, for manifests: another name, another result."""
    canvas: Canvas
    """Size of the pictures that it is shown."""

    def __call__(self, picture: UInt8Array, joints: FloatArray) -> FloatArray:
        """Return how likely each region is, on a grid over the picture.

        Shape:
            picture: (H, W, 3) uint8 RGB of the canvas's size, the person fills it; joints: (18, 3) in its pixels;
            result: (8, h, w) float32, the sum over regions is 1.
        """
        ...


@dataclass(frozen=True)
class Estimators:
    """Who stands in for the analyser; None: nobody, the analyser itself says it."""

    pose: PoseEstimator | None = None
    parser: Parser | None = None
