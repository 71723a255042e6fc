"""The analysis of a photo: one person's joints, regions and score, and the crop that they were found in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from scmnet_cli.analyser.estimators import Box
from scmnet_cli.analyser.region_maps import regions_on_photo
from scmnet_cli.images import CropBox
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

_PERSON = 0.5
"""Detection threshold; 0.1 and 0.9 have the same accuracy on train photos (``scm analyser threshold``)."""

MARGIN = 1.12
"""Height of a crop divided by the person's height, as in training."""

BEYOND = 127
"""Grey beyond the photo."""


@dataclass(frozen=True)
class Analysis:
    """Analysis of a photo.

    Attributes:
        person: probability that there is a person, in [0, 1].
        joints: (18, 3) float32, x and y in pixels of the photo and a score in [0, 1]; 0, 0, 0 if not in the photo.
        probabilities: (8, 192, 128) float32, probabilities of the regions on the crop.
        crop: the crop of the last pass.
        photo: the photo, (H, W, 3).
        carried: (192, 128) float32, probabilities of what the person carries, such as a bag; None: not known.
    """

    person: float
    joints: FloatArray
    probabilities: FloatArray
    crop: CropBox
    photo: UInt8Array
    carried: FloatArray | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the photo."""
        return self.photo.shape[0], self.photo.shape[1]

    @property
    def has_person(self) -> bool:
        """Whether there is a person, more likely than not."""
        return self.person >= _PERSON

    @property
    def box(self) -> Box:
        """Left, top, right and bottom of the person's regions and joints in the photo."""
        rows, columns = np.nonzero(self.probabilities.argmax(0) != BACKGROUND)
        cells = np.array(self.probabilities.shape[1:])
        points = [self.joints[self.joints[:, 2] > 0, :2]]
        if len(rows):
            corners = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]], np.float32)
            scale = np.array([self.crop.canvas.width, self.crop.canvas.height]) / cells[::-1]
            points.append(self.crop.to_original((corners * scale - 0.5).astype(np.float32)))
        every = np.concatenate(points)
        if not len(every):
            return 0, 0, self.size[1], self.size[0]
        (left, top), (right, bottom) = every.min(0).tolist(), every.max(0).tolist()
        return left, top, right, bottom

    @cached_property
    def regions(self) -> UInt8Array:
        """The region map at the photo's size, along the photo's edges.

        Shape:
            result: (H, W) uint8.
        """
        return regions_on_photo(self.probabilities, self.crop, self.size, self.photo)

    @property
    def carried_pixels(self) -> npt.NDArray[np.bool_] | None:
        """The background that the person carries, such as a bag, (H, W); None: not known."""
        if self.carried is None:
            return None
        chosen = regions_on_photo(np.stack([1 - self.carried, self.carried]), self.crop, self.size)
        return np.asarray((chosen > 0) & (self.regions == BACKGROUND))

    @cached_property
    def rough_regions(self) -> UInt8Array:
        """The region map without the photo: quicker, and with borders that are up to a cell off."""
        return regions_on_photo(self.probabilities, self.crop, self.size)

    @cached_property
    def area(self) -> int:
        """Number of pixels of the person in the photo."""
        return int(np.count_nonzero(self.rough_regions != BACKGROUND))


def framed(box: Box, canvas: Canvas, margin: float) -> CropBox:
    """Return the crop with the canvas's aspect that holds a box with a margin around it."""
    left, top, right, bottom = box
    height = max(bottom - top, (right - left) * canvas.height / canvas.width, 8.0) * margin
    rows = math.ceil(height)
    columns = max(1, round(rows * canvas.width / canvas.height))
    x, y = (left + right + 1) / 2, (top + bottom + 1) / 2
    return CropBox(round(x - columns / 2), round(y - rows / 2), columns, rows, canvas)


def in_crop(joints: FloatArray, crop: CropBox) -> FloatArray:
    """Convert joints from pixels of the photo to pixels of the crop's canvas; missing joints stay 0, 0, 0."""
    moved = joints.copy()
    moved[:, :2] = crop.to_canvas(joints[:, :2])
    moved[joints[:, 2] == 0] = 0
    return moved
