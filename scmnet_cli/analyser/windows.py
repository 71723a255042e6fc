"""Windows: rotated, scaled and possibly mirrored crops of a photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from scmnet_cli.types import Canvas, FloatArray, UInt8Array

OUTSIDE = 254
"""Label of pixels beyond a photo."""


@dataclass(frozen=True)
class AlignedFace:
    """A face of a photo on a canvas.

    Attributes:
        image: (H, W, 3) uint8, of the canvas.
        regions: (H, W) uint8, its region map.
        window: the part of the photo that became the canvas.
    """

    image: UInt8Array
    regions: UInt8Array
    window: Window


@dataclass(frozen=True)
class Window:
    """Crop of a photo: centre and height in pixels of the photo, stretch, angle and mirroring.

    The angle, in radians, rotates the canvas onto the photo, from the x axis towards the y axis.
    """

    centre_x: float
    centre_y: float
    height: float
    stretch: float = 1.0
    angle: float = 0.0
    mirrored: bool = False

    def matrix(self, canvas: Canvas) -> npt.NDArray[np.float64]:
        """Return the affine map from canvas to photo; in both, 0 is the corner of the first pixel.

        Shape:
            result: (2, 3).
        """
        scale = self.height / canvas.height
        turn = np.array([[np.cos(self.angle), -np.sin(self.angle)], [np.sin(self.angle), np.cos(self.angle)]])
        linear = turn @ np.diag([scale * self.stretch * (-1 if self.mirrored else 1), scale])
        corner = np.array([self.centre_x, self.centre_y]) - linear @ np.array([canvas.width / 2, canvas.height / 2])
        return np.column_stack([linear, corner])

    def look(self, levels: tuple[Image.Image, Image.Image], canvas: Canvas) -> Image.Image:
        """Crop the window from a photo given at two sizes, the second about half the first."""
        matrix = self.matrix(canvas)
        level = levels[0]
        if self.height / canvas.height > 1.5:
            level = levels[1]
            matrix = matrix * np.array([[level.width / levels[0].width], [level.height / levels[0].height]])
        size = (canvas.width, canvas.height)
        return level.transform(size, Image.Transform.AFFINE, tuple(matrix.ravel()), Image.Resampling.BILINEAR)

    def look_at_labels(self, labels: Image.Image, canvas: Canvas, stride: int) -> Image.Image:
        """Crop a label map at every ``stride``-th pixel of the canvas; beyond the photo it is :data:`OUTSIDE`."""
        matrix = self.matrix(canvas)
        matrix[:, :2] *= stride
        size = (canvas.width // stride, canvas.height // stride)
        coefficients = tuple(matrix.ravel())
        return labels.transform(size, Image.Transform.AFFINE, coefficients, Image.Resampling.NEAREST, fillcolor=OUTSIDE)

    def to_canvas(self, points: FloatArray, canvas: Canvas) -> FloatArray:
        """Map x, y of the photo to the canvas; in both, 0 is the centre of the first pixel.

        Shape:
            points, result: (..., 2).
        """
        matrix = self.matrix(canvas)
        moved: FloatArray = np.linalg.solve(matrix[:, :2], (points + 0.5 - matrix[:, 2]).T).T - 0.5
        return moved

    def to_photo(self, points: FloatArray, canvas: Canvas) -> FloatArray:
        """Map x, y of the canvas to the photo; the inverse of :meth:`to_canvas`.

        Shape:
            points, result: (..., 2).
        """
        matrix = self.matrix(canvas)
        moved: FloatArray = ((points + 0.5) @ matrix[:, :2].T + matrix[:, 2] - 0.5).astype(np.float32)
        return moved

    def joints(self, joints: FloatArray, canvas: Canvas, mirrored: Sequence[int]) -> FloatArray:
        """Map joints of the photo to the canvas; those outside it become missing.

        Args:
            joints: the joints; score 0 if missing, negative if unknown.
            canvas: the canvas.
            mirrored: index of each joint's mirror image.

        Shape:
            joints, result: (J, 3).
        """
        places = self.to_canvas(joints[:, :2], canvas)
        inside = (places > -0.5).all(1) & (places < (canvas.width - 0.5, canvas.height - 0.5)).all(1)
        score = np.where(joints[:, 2] < 0, -1, inside & (joints[:, 2] > 0))
        moved = np.column_stack([places, score]).astype(np.float32)
        if self.mirrored:
            moved = moved[list(mirrored)]
        moved[moved[:, 2] <= 0, :2] = 0
        return moved
