"""Analyse one person: run the network on a crop, and crop again around the person found until the crop converges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scmnet_cli.analyser.analysis import BEYOND, MARGIN, Analysis, framed
from scmnet_cli.analyser.close_ups import MOST_ENLARGED, closer_regions
from scmnet_cli.analyser.estimators import Box
from scmnet_cli.analyser.facing import facing_corrected
from scmnet_cli.analyser.legs import ankles_apart
from scmnet_cli.analyser.network import HEAT_STRIDE, REGION_STRIDE, Analysed, joints_of_heat
from scmnet_cli.analyser.region_maps import VISIBLE, clean_probabilities, main_person_mask
from scmnet_cli.images import CropBox, to_tensor
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.skeleton import JOINTS, MIRRORED
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
        dtype: type of its input.
        flip_tta: average the last pass with a mirrored one (test-time flip).
    """

    net: Callable[[Tensor], Analysed]
    canvas: Canvas
    dtype: torch.dtype
    flip_tta: bool

    def refine(self, photo: UInt8Array, box: Box, margin: float) -> tuple[Analysis, float]:
        """Analyse a box, and re-crop around the person found until the crop converges; also return the last score."""
        height, width = photo.shape[:2]
        crop = self._framed(box, margin)
        seen = self.view(photo, crop)
        answer: Analysed = self.net(seen)
        person = sure = float(answer.person.sigmoid())
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
            sure = float(answer.person.sigmoid())
            person = max(person, sure)
        beside = self._beside(answer)
        if beside is not None:
            seen = torch.where(beside, to_tensor(np.full((1, 1, 3), BEYOND, np.uint8)).to(seen), seen)
            answer = self.net(seen)
        if self.flip_tta:
            answer = _averaged(answer, self._mirrored_pass(seen))
        probabilities = answer.regions.softmax(1)[0].numpy()
        joints = joints_of(answer)
        if beside is None and (joints[_KNEES, 2] >= VISIBLE).any():  # a half body is a close-up
            probabilities = closer_regions(probabilities, crop, lambda part: self._regions(photo, part))
        cleaned = clean_probabilities(probabilities, joints)
        joints = ankles_apart(joints, answer.heat[0].float().numpy(), cleaned)
        joints = facing_corrected(joints, cleaned, VISIBLE)
        joints[:, :2] = crop.to_original(joints[:, :2])
        beyond = (joints[:, :2] < -0.5).any(1) | (joints[:, :2] > (width - 0.5, height - 0.5)).any(1)
        joints[beyond | (joints[:, 2] < VISIBLE)] = 0
        carried = None
        if answer.carried is not None:
            carried = probabilities[BACKGROUND] * answer.carried.sigmoid()[0].numpy()
        return Analysis(person, joints, cleaned, crop, photo, carried), sure

    def _framed(self, box: Box, margin: float) -> CropBox:
        """Return the crop around a box; a crop of few pixels gets a smaller canvas, since the network knows no blur."""
        crop = framed(box, self.canvas, margin)
        canvases = [self.canvas.resized_to(round(share * self.canvas.height)) for share in _CANVASES]
        sharp = [canvas for canvas in canvases if canvas.height <= MOST_ENLARGED * crop.height]
        return replace(crop, canvas=sharp[0] if sharp else canvases[-1])

    def view(self, photo: UInt8Array, crop: CropBox) -> Tensor:
        """Return a crop of a photo as the network's input, (1, 3, H, W)."""
        # Bilinear as in training, and four times as fast as Lanczos.
        image = to_tensor(crop.crop_image(photo, BEYOND, Image.Resampling.BILINEAR))[None]
        return image.to(self.dtype, memory_format=torch.channels_last)

    def _regions(self, photo: UInt8Array, crop: CropBox) -> Tensor:
        """Return the probabilities of the regions in a crop, (1, R, h, w)."""
        regions: Tensor = self.net(self.view(photo, crop)).regions
        return regions.softmax(1).float()

    def _mirrored_pass(self, seen: Tensor) -> Analysed:
        found: Analysed = self.net(seen.flip(-1))
        swap = list(MIRRORED)
        carried = None if found.carried is None else found.carried.flip(-1)
        return Analysed(
            found.regions.flip(-1), found.heat.flip(-1)[:, swap], found.visible[:, swap], found.person, carried
        )

    def _beside(self, answer: Analysed) -> Tensor | None:
        """Return the mask of other people in a crop, whose joints might be mixed up; None without any.

        Shape:
            result: (H, W) bool.
        """
        on_person = 1 - answer.regions.softmax(1)[0, BACKGROUND].numpy()
        mask = on_person > 0.5
        main = main_person_mask(mask, joints_of(answer), on_person)
        beside = mask & ~main
        if beside.sum() <= _BESIDE * main.sum():
            return None
        cells = torch.from_numpy(beside).repeat_interleave(REGION_STRIDE, 0)
        return cells.repeat_interleave(REGION_STRIDE, 1)

    def _find(self, answer: Analysed, crop: CropBox, size: tuple[int, int]) -> Box | None:
        """Return left, top, right, bottom of the person in the photo; None if the crop shows none.

        The box is extended where the person touches a border of the crop inside the photo.
        """
        on_person = 1 - answer.regions.softmax(1)[0, BACKGROUND].numpy()
        joints = joints_of(answer)
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


def _averaged(a: Analysed, b: Analysed) -> Analysed:
    carried = None if a.carried is None or b.carried is None else (a.carried + b.carried) / 2
    return Analysed((a.regions + b.regions) / 2, (a.heat + b.heat) / 2, (a.visible + b.visible) / 2,
                    (a.person + b.person) / 2, carried)  # fmt: skip


def joints_of(answer: Analysed) -> FloatArray:
    """Return joints in pixels of the canvas with their scores."""
    places, _ = joints_of_heat(answer.heat)
    places = (places + 0.5) * HEAT_STRIDE - 0.5
    joints: FloatArray = torch.cat([places[0], answer.visible.sigmoid()[0, :, None]], -1).numpy()
    return joints
