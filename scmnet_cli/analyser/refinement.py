"""Analyse one person: run the network on a crop, and crop again around the person found until the crop converges.

The last pass is averaged with a pass of the mirrored crop (test-time flip). A whole body is looked at in close-ups too;
its joints are those of the plain pass.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from scmnet_cli.analyser.analysis import BEYOND, MARGIN, Analysis, framed
from scmnet_cli.analyser.answers import REGION_STRIDE, Answer, Network, as_input, sigmoid
from scmnet_cli.analyser.close_ups import MOST_ENLARGED, closer_regions
from scmnet_cli.analyser.estimators import Box
from scmnet_cli.analyser.facing import facing_corrected
from scmnet_cli.analyser.legs import ankles_apart
from scmnet_cli.analyser.region_maps import VISIBLE, clean_probabilities, main_person_mask
from scmnet_cli.images import CropBox
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

_FAR = 0.4
_FAR_MARGIN = 1.5
"""A person below ``_FAR`` of the crop's height gets this wider margin first: parts of them may have been missed."""

_BESIDE = 0.1
_MAX_PASSES = 5
_SAME_CROP = 0.8

_CANVASES = (1.0, 0.75, 0.5)
"""Sizes of the network's input, relative to the largest."""

_KNEES = [JOINTS.index(f"{side}_knee") for side in ("right", "left")]

_REACH = 0.15
"""Greatest distance of a joint from the regions' box, as a share of its height, to be included in the crop."""


@dataclass(frozen=True)
class Refinement:
    """Analysis of one person by several passes of the network.

    Attributes:
        net: the network.
        canvas: size of its input.
    """

    net: Network
    canvas: Canvas

    def refine(self, photo: UInt8Array, box: Box, margin: float) -> tuple[Analysis, float]:
        """Analyse a box, and re-crop around the person found until the crop converges; also return the last score."""
        height, width = photo.shape[:2]
        crop = self._framed(box, margin)
        seen = self.view(photo, crop)
        answer = self.net(seen)
        person = sure = answer.score
        for _ in range(_MAX_PASSES - 1):
            found = self._find(answer, crop, (height, width))
            if found is None:
                break
            box = found
            is_far = box[3] - box[1] < _FAR * crop.height
            closer = self._framed(box, _FAR_MARGIN if is_far else MARGIN)
            if _overlap(closer, crop) > _SAME_CROP:
                break
            crop = closer
            seen = self.view(photo, crop)
            answer = self.net(seen)
            sure = answer.score
            person = max(person, sure)
        beside = self._beside(answer)
        if beside is not None:
            seen = np.where(beside, as_input(np.full((1, 1, 3), BEYOND, np.uint8)), seen)
            answer = self.net(seen)
        both = answer.averaged(self.net(seen[..., ::-1]).mirrored())
        probabilities, joints = both.probabilities, answer.joints
        if (joints[_KNEES, 2] < VISIBLE).all():  # a half body is a close-up
            answer, joints = both, both.joints
        elif beside is None:
            once = answer.probabilities
            probabilities = closer_regions(once, probabilities, crop, lambda part: self._regions(photo, part))
        carried = None
        if both.carried is not None:
            carried = probabilities[BACKGROUND] * sigmoid(both.carried)
        cleaned = clean_probabilities(probabilities, joints, carried)
        joints = ankles_apart(joints, answer.heat, cleaned)
        joints = facing_corrected(joints, cleaned, VISIBLE)
        joints[:, :2] = crop.to_original(joints[:, :2])
        beyond = (joints[:, :2] < -0.5).any(1) | (joints[:, :2] > (width - 0.5, height - 0.5)).any(1)
        joints[beyond | (joints[:, 2] < VISIBLE)] = 0
        return Analysis(person, joints, cleaned, crop, photo, carried), sure

    def _framed(self, box: Box, margin: float) -> CropBox:
        """Return the crop around a box; a crop of few pixels gets a smaller canvas, since the network knows no blur."""
        crop = framed(box, self.canvas, margin)
        canvases = [self.canvas.resized_to(round(share * self.canvas.height)) for share in _CANVASES]
        sharp = [canvas for canvas in canvases if canvas.height <= MOST_ENLARGED * crop.height]
        return replace(crop, canvas=sharp[0] if sharp else canvases[-1])

    def view(self, photo: UInt8Array, crop: CropBox) -> FloatArray:
        """Return a crop of a photo as the network's input, (3, H, W)."""
        # Bilinear as in training, and four times as fast as Lanczos.
        return as_input(crop.crop_image(photo, BEYOND, Image.Resampling.BILINEAR))

    def _regions(self, photo: UInt8Array, crop: CropBox) -> FloatArray:
        """Return the probabilities of the regions in a crop, (R, h, w)."""
        return self.net(self.view(photo, crop)).probabilities

    def _beside(self, answer: Answer) -> npt.NDArray[np.bool_] | None:
        """Return the mask of other people in a crop, whose joints might be mixed up; None without any.

        Shape:
            result: (H, W) bool.
        """
        on_person = answer.on_person
        mask = on_person > 0.5
        main = main_person_mask(mask, answer.joints, on_person)
        beside = mask & ~main
        if beside.sum() <= _BESIDE * main.sum():
            return None
        cells: npt.NDArray[np.bool_] = beside.repeat(REGION_STRIDE, 0).repeat(REGION_STRIDE, 1)
        return cells

    def _find(self, answer: Answer, crop: CropBox, size: tuple[int, int]) -> Box | None:
        """Return left, top, right, bottom of the person in the photo; None if the crop shows none.

        The box is extended where the person touches a border of the crop inside the photo.
        """
        on_person, joints = answer.on_person, answer.joints
        mask = main_person_mask(on_person > 0.5, joints, on_person)
        rows, columns = np.nonzero(mask)
        if not len(rows):
            return None
        corners = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]], np.float32)
        corners = corners * REGION_STRIDE - 0.5
        reach = _REACH * (corners[1, 1] - corners[0, 1])
        points = joints[joints[:, 2] >= VISIBLE, :2]
        points = points[((points >= corners[0] - reach) & (points <= corners[1] + reach)).all(1)]
        every = crop.to_original(np.concatenate([corners, points]))
        (left, top), (right, bottom) = every.min(0).tolist(), every.max(0).tolist()
        more = 0.5 * max(bottom - top, right - left)
        last_row, last_column = mask.shape[0] - 1, mask.shape[1] - 1
        if rows.min() == 0 and crop.top > 0:
            top -= more
        if rows.max() == last_row and crop.top + crop.height < size[0]:
            bottom += more
        if columns.min() == 0 and crop.left > 0:
            left -= more
        if columns.max() == last_column and crop.left + crop.width < size[1]:
            right += more
        return left, top, right, bottom


def _overlap(a: CropBox, b: CropBox) -> float:
    across = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
    down = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
    shared = max(0, across) * max(0, down)
    return shared / (a.width * a.height + b.width * b.height - shared)
