"""Interfaces of external estimators of joints or regions, which replace parts of the built-in analyser.

The analyser detects the person; the estimator gets that person alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from scmnet_cli.types import Canvas, FloatArray, UInt8Array

Box = tuple[float, float, float, float]
"""Left, top, right and bottom of a person, in pixels of the photo."""


class PoseEstimator(Protocol):
    """Estimates the joints of a person; must be thread-safe."""

    name: str
    """Identifies the estimator and its weights in manifests; other results need another name."""

    def __call__(self, photo: UInt8Array, box: Box) -> FloatArray:
        """Return the joints of the person in a box.

        Shape:
            photo: (H, W, 3) uint8 RGB; result: (18, 3) float32, x and y in pixels of the photo and a score in [0, 1]; a
            joint that is not in the photo is 0, 0, 0.
        """
        ...


class Parser(Protocol):
    """Segments the body regions of a person; must be thread-safe."""

    name: str
    """Identifies the parser and its weights in manifests; other results need another name."""
    canvas: Canvas
    """Size of its input images."""

    def __call__(self, picture: UInt8Array, joints: FloatArray) -> FloatArray:
        """Return the probability of each region on a grid over the image.

        Shape:
            picture: (H, W, 3) uint8 RGB of the canvas's size, filled by the person; joints: (18, 3) in its pixels;
            result: (8, h, w) float32, which sums to 1 over regions.
        """
        ...


@dataclass(frozen=True)
class Estimators:
    """Estimators that replace parts of the analyser; None keeps the analyser's own."""

    pose: PoseEstimator | None = None
    parser: Parser | None = None
