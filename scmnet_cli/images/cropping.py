"""Crop boxes: map a part of a photo to a canvas and back, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from scmnet_cli.types import Canvas, FloatArray, UInt8Array

_STRIP_PIXELS = 1_000_000
_MAX_CUT_PIXELS = 16_000_000
"""Larger crops are resized in strips, one axis after the other."""

_REDUCING_GAP = 4.0
"""An axis that shrinks by more than this factor is first box-filtered by an integer factor, which is fast."""


@dataclass(frozen=True)
class CropBox:
    """The part of a photo that is resized to the canvas, in pixels of the photo; it may extend beyond the photo.

    The mapping is affine and invertible: canvas + 1/2 = (photo + 1/2 - corner) * canvas size / box size, since 0 is the
    centre of the first pixel and resizing aligns the outer edges of pixels.
    """

    left: int
    top: int
    width: int
    height: int
    canvas: Canvas

    def to_canvas(self, points: FloatArray) -> FloatArray:
        """Map x, y of the photo to the canvas.

        Shape:
            points, result: (..., 2).
        """
        moved: FloatArray = ((points + 0.5 - self._corner) / self._scale - 0.5).astype(points.dtype)
        return moved

    def to_original(self, points: FloatArray) -> FloatArray:
        """Map x, y of the canvas to the photo.

        Shape:
            points, result: (..., 2).
        """
        moved: FloatArray = ((points + 0.5) * self._scale + self._corner - 0.5).astype(points.dtype)
        return moved

    @property
    def _corner(self) -> npt.NDArray[np.float64]:
        return np.array([self.left, self.top], np.float64)

    @property
    def _scale(self) -> npt.NDArray[np.float64]:
        return np.array([self.width / self.canvas.width, self.height / self.canvas.height])

    def crop_image(
        self, image: UInt8Array, fill: int | None, resampling: Image.Resampling = Image.Resampling.LANCZOS
    ) -> UInt8Array:
        """Crop the box from a photo and resize it to the canvas.

        Memory is bounded, however large the box is: for a photo 100 times as wide as high, the box is 100 times as
        large as the photo.

        Args:
            image: the photo.
            fill: grey value beyond the photo; None repeats its border.
            resampling: resampling filter.

        Shape:
            image: (H, W, 3) uint8; result: (canvas height, canvas width, 3) uint8.
        """
        if not self._overlaps(image):
            return self._resized(self._beyond(image, fill), resampling)
        rows, columns = self._spans(image)
        cut = image[rows.start : rows.stop, columns.start : columns.stop]
        if self.width * self.height <= _MAX_CUT_PIXELS:
            return self._resized(_padded(cut, rows, columns, fill), resampling)
        # The first axis is resized at the other's full size: start with the axis that needs less padding.
        if cut.shape[0] * self.width <= cut.shape[1] * self.height:
            cut = _resize_rows(cut, columns, self.canvas.width, fill, resampling)
            return _resize_rows(cut.swapaxes(0, 1), rows, self.canvas.height, fill, resampling).swapaxes(0, 1).copy()
        cut = _resize_rows(cut.swapaxes(0, 1), rows, self.canvas.height, fill, resampling)
        return _resize_rows(cut.swapaxes(0, 1), columns, self.canvas.width, fill, resampling)

    def crop_labels(self, labels: UInt8Array) -> UInt8Array:
        """Crop the box from a label map and resize it to the canvas by nearest neighbour; 0 beyond the photo.

        Shape:
            labels: (H, W) uint8; result: (canvas height, canvas width) uint8.
        """
        rows = self.top + nearest_places(self.height, self.canvas.height)
        columns = self.left + nearest_places(self.width, self.canvas.width)
        inside = ((rows >= 0) & (rows < labels.shape[0]))[:, None] & ((columns >= 0) & (columns < labels.shape[1]))
        found = labels[rows.clip(0, labels.shape[0] - 1)[:, None], columns.clip(0, labels.shape[1] - 1)]
        cropped: UInt8Array = np.where(inside, found, 0).astype(np.uint8)
        return cropped

    def _overlaps(self, image: UInt8Array) -> bool:
        return bool(-self.height < self.top < image.shape[0] and -self.width < self.left < image.shape[1])

    def _spans(self, image: UInt8Array) -> tuple[_Span, _Span]:
        return _Span.of(self.top, self.height, image.shape[0]), _Span.of(self.left, self.width, image.shape[1])

    def _beyond(self, image: UInt8Array, fill: int | None) -> UInt8Array:
        """Return the canvas of a box that does not overlap the photo."""
        if fill is not None:
            return np.full((self.canvas.height, self.canvas.width, 3), fill, np.uint8)
        rows = (self.top + nearest_places(self.height, self.canvas.height)).clip(0, image.shape[0] - 1)
        columns = (self.left + nearest_places(self.width, self.canvas.width)).clip(0, image.shape[1] - 1)
        extended: UInt8Array = image[rows[:, None], columns]
        return extended

    def _resized(self, array: UInt8Array, resampling: Image.Resampling) -> UInt8Array:
        size = (self.canvas.width, self.canvas.height)
        return np.asarray(Image.fromarray(array).resize(size, resampling))


@dataclass(frozen=True)
class _Span:
    """The part of one axis of a box inside the photo, and the number of pixels before and after it."""

    start: int
    stop: int
    before: int
    after: int

    @classmethod
    def of(cls, first: int, length: int, available: int) -> _Span:
        start, stop = max(0, first), min(available, first + length)
        return cls(start, stop, start - first, first + length - stop)


def _padded(image: UInt8Array, rows: _Span, columns: _Span, fill: int | None) -> UInt8Array:
    pads = ((rows.before, rows.after), (columns.before, columns.after), (0, 0))
    if not any(map(any, pads)):
        return image
    return np.pad(image, pads, "edge") if fill is None else np.pad(image, pads, constant_values=fill)


def _resize_rows(
    image: UInt8Array, span: _Span, width: int, fill: int | None, resampling: Image.Resampling
) -> UInt8Array:
    """Resize every row of an image after padding its ends.

    Shape:
        image: (H, W, 3) uint8; result: (H, width, 3) uint8.
    """
    resized = np.empty((image.shape[0], width, 3), np.uint8)
    num = max(1, 4 * _STRIP_PIXELS // (span.before + image.shape[1] + span.after))
    for top in range(0, image.shape[0], num):
        strip = _padded(image[top : top + num], _Span(0, 0, 0, 0), span, fill)
        resized[top : top + num] = np.asarray(
            Image.fromarray(strip).resize((width, len(strip)), resampling, reducing_gap=_REDUCING_GAP)
        )
    return resized


def nearest_places(length: int, num: int) -> npt.NDArray[np.int64]:
    """Return the source index among ``length`` of each of ``num`` pixels, as Pillow's nearest resizing chooses it."""
    places = Image.fromarray(np.arange(length, dtype=np.int32)[None])
    nearest: npt.NDArray[np.int64] = np.asarray(places.resize((num, 1), Image.Resampling.NEAREST))[0].astype(np.int64)
    return nearest


def crop_around(person: tuple[int, int, int, int], canvas: Canvas, margin: float = 0.06) -> CropBox:
    """Return the crop with the canvas's aspect that is centred on a person.

    Args:
        person: left, top, right, bottom of the person in pixels of the photo, right and bottom exclusive.
        canvas: the canvas.
        margin: margin on each side, as a share of the person's size.
    """
    left, top, right, bottom = person
    height = max((bottom - top) * (1 + 2 * margin), (right - left) * (1 + 2 * margin) * canvas.height / canvas.width, 8)
    box_height = round(height)
    box_width = max(1, round(box_height * canvas.width / canvas.height))
    centre_x, centre_y = (left + right) / 2, (top + bottom) / 2
    return CropBox(round(centre_x - box_width / 2), round(centre_y - box_height / 2), box_width, box_height, canvas)


def whole_box(width: int, height: int, canvas: Canvas) -> CropBox:
    """Return the crop that puts a whole photo on a canvas: full height, horizontally centred.

    So a 176x256 photo gets 40 pixels on each side on a 256x256 canvas, and a 256x256 photo loses them on a 256x176 one.

    Args:
        width: width of the photo in pixels.
        height: height of the photo in pixels.
        canvas: the canvas.
    """
    box_width = max(1, round(height * canvas.width / canvas.height))
    return CropBox(round((width - box_width) / 2), 0, box_width, height, canvas)
