"""A face aligned from a photo, and how an edit of it is put back into the photo (``--keep-size``)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from scmnet_cli.analyser.windows import Window
from scmnet_cli.errors import ScmError
from scmnet_cli.types import FloatArray, Person, UInt8Array

if TYPE_CHECKING:
    from scmnet_cli.inference.edits.editing import Edit

DRAWN_ANEW = (
    "--keep-size: only an edit in the face's own edges can be put back into the photo, not a face that is drawn anew; "
    "leave out --keep-size or --pose"
)

AROUND_FACE = frozenset({"hair", "skin", "cloth"})
"""Regions that extend far beyond the square of a face."""

_STRIP_PIXELS = 1_000_000

_LEAST_AREA = 0.02

_FADE = 0.15
"""Width of the band over which a change fades out at the border of the square, as a share of its height."""


@dataclass(frozen=True)
class FramedFace:
    """A face of a photo, aligned.

    Attributes:
        image: (H, W, 3) uint8, the whole photo.
        cropped: the face on the model's canvas, or larger, of its shape.
        window: the part of the photo that became the canvas.
    """

    image: UInt8Array
    cropped: Person
    window: Window

    @property
    def place(self) -> dict[str, Any]:
        """Centre, size and angle of the window, in pixels of the photo and radians."""
        width = self.window.height * self.window.stretch * self.cropped.canvas.width / self.cropped.canvas.height
        return {
            "centre": [round(self.window.centre_x, 2), round(self.window.centre_y, 2)],
            "size": [round(width, 2), round(self.window.height, 2)],
            "angle": round(self.window.angle, 4),
        }

    def put_back(self, drawn: UInt8Array) -> UInt8Array:
        """Refuse a face that is drawn anew: no pixel of it continues the photo around the window.

        Raises:
            ScmError: always.
        """
        del drawn
        raise ScmError(DRAWN_ANEW)

    def put_back_edit(self, edit: Edit) -> UInt8Array:
        """Apply the change of an edit to the photo's own pixels, so that finer detail than the canvas has stays.

        No byte changes outside the edited area. If the edited part goes beyond the window, the change fades out
        towards the window's border.

        Shape:
            result: (H, W, 3) uint8, of the photo.
        """
        change = edit.colour - self.cropped.image.astype(np.float32)
        faded = edit.area * _fade(self._crossings(edit.area))
        # A canvas much finer than the photo is reduced first, since sampling single pixels of it would alias.
        times = max(1, int(self.cropped.canvas.height / self.window.height))
        channels = [
            Image.fromarray(np.ascontiguousarray(values, np.float32)).reduce(times)
            for values in (faded, edit.opacity, *np.moveaxis(change, -1, 0))
        ]
        whole = self.image.copy()
        for place in self._strips(faded):
            area = self._of_canvas(channels[0], place, times).clip(0, 1)
            area[area < _LEAST_AREA] = 0
            if not area.any():
                continue
            opacity, *changes = (self._of_canvas(values, place, times) for values in channels[1:])
            own = whole[place]
            moved = replace(
                edit, colour=own.astype(np.float32) + np.stack(changes, axis=-1), opacity=opacity.clip(0, 1), area=area
            )
            whole[place] = moved.over(own, own)
        return whole

    def unchanged_part(self, edit: Edit) -> str:
        """Return a sentence if the edited part goes beyond the window, else an empty string."""
        if not self._crossings(edit.area).any():
            return ""
        return (
            f"{self.cropped.name}: the part goes beyond the square that the model sees around the face; its change "
            "fades out there"
        )

    def _crossings(self, area: FloatArray) -> npt.NDArray[np.bool_]:
        """Return the pixels of the canvas's border where the edited area continues in the photo beyond the window.

        Shape:
            area, result: (H, W).
        """
        height, width = area.shape
        border = np.ones((height, width), bool)
        border[1:-1, 1:-1] = False
        rows, columns = np.nonzero(border & (area >= _LEAST_AREA))
        beyond_x = columns + (columns == width - 1).astype(int) - (columns == 0)
        beyond_y = rows + (rows == height - 1).astype(int) - (rows == 0)
        points = np.column_stack([beyond_x, beyond_y]).astype(np.float32)
        x, y = self.window.to_photo(points, self.cropped.canvas).T
        inside = (x > 0) & (y > 0) & (x < self.image.shape[1] - 1) & (y < self.image.shape[0] - 1)
        crossings = np.zeros((height, width), bool)
        crossings[rows[inside], columns[inside]] = True
        return crossings

    def _strips(self, area: FloatArray) -> Iterator[tuple[slice, slice]]:
        """Yield parts of the photo that together hold the edited area, each small enough to be processed at once."""
        rows, columns = np.flatnonzero(area.any(1)), np.flatnonzero(area.any(0))
        if not len(rows):
            return
        (left, right), (top, bottom) = columns[[0, -1]], rows[[0, -1]]
        corners = np.array([[x, y] for x in (left - 1, right + 1) for y in (top - 1, bottom + 1)], np.float32)
        reached = self.window.to_photo(corners, self.cropped.canvas)
        size = np.array(self.image.shape[1::-1])
        first_x, first_y = (np.floor(reached.min(0)) - 2).clip(0, size).astype(int)
        last_x, last_y = (np.ceil(reached.max(0)) + 3).clip(0, size).astype(int)
        num = max(1, _STRIP_PIXELS // max(1, last_x - first_x))
        for first in range(first_y, last_y, num):
            yield slice(first, min(first + num, last_y)), slice(first_x, last_x)

    def _of_canvas(self, picture: Image.Image, place: tuple[slice, slice], times: int) -> FloatArray:
        """Sample a picture of the canvas, reduced by ``times``, at the pixels of a part of the photo."""
        rows, columns = place
        matrix = self.window.matrix(self.cropped.canvas)
        back = np.linalg.inv(matrix[:, :2])
        corner = back @ (np.array([columns.start, rows.start]) - matrix[:, 2])
        coefficients = np.column_stack([back, corner]).ravel() / times
        size = (columns.stop - columns.start, rows.stop - rows.start)
        return np.array(picture.transform(size, Image.Transform.AFFINE, tuple(coefficients), Image.Resampling.BICUBIC))


def _fade(crossings: npt.NDArray[np.bool_]) -> FloatArray:
    """Return weights that rise smoothly from 0 at the crossings to 1 at the end of the band.

    Shape:
        crossings, result: (H, W).
    """
    from scipy.ndimage import distance_transform_edt

    if not crossings.any():
        return np.ones(crossings.shape, np.float32)
    share = (distance_transform_edt(~crossings) / (_FADE * len(crossings))).clip(0, 1)
    weights: FloatArray = (share * share * (3 - 2 * share)).astype(np.float32)
    return weights
