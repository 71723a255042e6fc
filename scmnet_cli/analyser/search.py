"""Search a photo for people: run the network on the enlarged photo, then refine each candidate.

To find everybody, people found are painted grey and the search is repeated until it finds no one new.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image

from scmnet_cli.analyser.analysis import BEYOND, MARGIN, Analysis
from scmnet_cli.analyser.answers import REGION_STRIDE, STRIDE, Network
from scmnet_cli.analyser.estimators import Box
from scmnet_cli.analyser.refinement import Refinement
from scmnet_cli.images import CropBox
from scmnet_cli.images.morphology import components
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Canvas, UInt8Array

_SURE = 0.9
"""If the final score is at least this, there is no search; people found by a search need at least this score."""

_SEARCHED_AT = (768, 1536)
"""Heights to which a photo is resized for a search; the second only if the photo is that large."""

_MAX_WIDE_PIXELS = 2_800_000
_ROUNDED = 1.5
"""Maximum growth of an enlarged photo by rounding its sides to the network's stride."""

_MAX_PLACES = 4
_MOST_PEOPLE = 12
_SAME_PERSON = 0.4
_WIDENED_AT_ONCE = 24
"""Pixels by which a mask is widened pixel by pixel; a step looks at all of it."""

_MAX_SEARCHED_PIXELS = 24_000_000
"""Larger photos are searched at a smaller size: each person found takes a map of the photo."""

_SMALLEST = 40
"""Least size of a candidate in a search, in cells of the region logits."""

_FEWEST_JOINTS = 6
"""Least number of joints of a person found by a search, with nose or neck among them: legs alone do not count."""


@dataclass(frozen=True)
class Search:
    """Search for people.

    Attributes:
        refinement: analyses one person.
        net: the network, for one large input.
    """

    refinement: Refinement
    net: Network

    def all_people(self, photo: UInt8Array) -> list[Analysis]:
        """Return :meth:`everybody`; a very large photo is searched at a smaller size."""
        step = _step(photo)
        return [_enlarged(found, step, photo) for found in self.everybody(_reduced(photo, step))]

    def everybody(self, photo: UInt8Array) -> list[Analysis]:
        """Return all people: the most prominent first, then the others by size; empty if there is no person."""
        first = self.most_prominent(photo)
        if not first.has_person:
            return []
        others: list[Analysis] = []
        hidden = _without(photo, first)
        while len(others) < _MOST_PEOPLE - 1:
            new = [found for found in self._search(hidden) if not any(_same(found, one) for one in (first, *others))]
            if not new:
                break
            for found in new:
                if not any(_same(found, one) for one in others):
                    others.append(found)
                    hidden = _without(hidden, found)
        return [first, *sorted(others, key=lambda found: -found.area)]

    def most_prominent(self, photo: UInt8Array) -> Analysis:
        """Return the most prominent person; search if the score of the whole photo is low."""
        height, width = photo.shape[:2]
        whole = (-0.5, -0.5, width - 0.5, height - 0.5)
        found, sure = self.refinement.refine(photo, whole, 1.0)
        if sure >= _SURE:
            return found
        step = _step(photo)
        best = max(self._search(_reduced(photo, step)), key=lambda found: found.area, default=None)
        return found if best is None else _enlarged(best, step, photo)

    def _search(self, photo: UInt8Array) -> list[Analysis]:
        """Search the resized photo for candidates and refine each; stop at the first size that gives people."""
        height, width = photo.shape[:2]
        for tall in _SEARCHED_AT:
            scale = min(tall / height, math.sqrt(_MAX_WIDE_PIXELS / (height * width)))
            if scale > 1 and tall != _SEARCHED_AT[0]:
                break
            found: list[Analysis] = []
            for box in self._candidates(photo, scale):
                closer, sure = self.refinement.refine(photo, box, MARGIN)
                if sure >= _SURE and _shows_joints(closer) and not any(_same(closer, one) for one in found):
                    found.append(closer)
            if found:
                return found
        return []

    def _candidates(self, photo: UInt8Array, scale: float) -> list[Box]:
        """Return the boxes of candidate people at a scale, the strongest first."""
        height, width = photo.shape[:2]
        rows, columns = (max(STRIDE, round(length * scale / STRIDE) * STRIDE) for length in (height, width))
        if rows * columns > _ROUNDED * _MAX_WIDE_PIXELS:
            return []  # a strip so thin shows no person; rounding its height up makes it many times as large
        canvas = Canvas(rows, columns)
        crop = CropBox(0, 0, width, height, canvas)
        on_person = self.net(self.refinement.view(photo, crop), wide=True).on_person
        labels, num = components(on_person > 0.5)
        strength = np.bincount(labels.ravel(), on_person.ravel(), num + 1)[1:]
        places = []
        for part in np.argsort(-strength)[:_MAX_PLACES]:
            if strength[part] >= _SMALLEST:
                r, c = np.nonzero(labels == part + 1)
                corners = np.array([[c.min(), r.min()], [c.max() + 1, r.max() + 1]], np.float32) * REGION_STRIDE - 0.5
                (left, top), (right, bottom) = crop.to_original(corners).tolist()
                places.append((left, top, right, bottom))
        return places


def _shows_joints(found: Analysis) -> bool:
    visible = found.joints[:, 2] > 0
    return bool(visible.sum() >= _FEWEST_JOINTS and visible[[JOINTS.index("nose"), JOINTS.index("neck")]].any())


def _same(a: Analysis, b: Analysis) -> bool:
    """Return whether two analyses are of the same person: the smaller one's regions mostly overlap the larger's."""
    # Only where both crops are: region maps of large photos are large, and everybody is compared with everybody.
    rows = slice(max(0, a.crop.top, b.crop.top), min(a.crop.top + a.crop.height, b.crop.top + b.crop.height))
    columns = slice(max(0, a.crop.left, b.crop.left), min(a.crop.left + a.crop.width, b.crop.left + b.crop.width))
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return False
    shared = (a.rough_regions[rows, columns] != BACKGROUND) & (b.rough_regions[rows, columns] != BACKGROUND)
    return bool(np.count_nonzero(shared) > _SAME_PERSON * min(a.area, b.area))


def _step(photo: UInt8Array) -> int:
    """Return the factor by which a photo is reduced for a search; 1 for most photos."""
    return math.ceil(math.sqrt(photo.shape[0] * photo.shape[1] / _MAX_SEARCHED_PIXELS))


def _reduced(photo: UInt8Array, step: int) -> UInt8Array:
    """Return a photo of the means of blocks of pixels, without those at the right and lower end that fill no block."""
    if step == 1:
        return photo
    height, width = (length // step for length in photo.shape[:2])
    whole = CropBox(0, 0, max(1, width) * step, max(1, height) * step, Canvas(max(1, height), max(1, width)))
    return whole.crop_image(photo, None, Image.Resampling.BOX)


def _enlarged(found: Analysis, step: int, photo: UInt8Array) -> Analysis:
    """Return an analysis of a reduced photo in pixels of the photo itself."""
    if step == 1:
        return found
    joints = found.joints.copy()
    joints[:, :2] = np.where(joints[:, 2:] > 0, (joints[:, :2] + 0.5) * step - 0.5, 0)
    crop = found.crop
    crop = CropBox(crop.left * step, crop.top * step, crop.width * step, crop.height * step, crop.canvas)
    return replace(found, joints=joints, crop=crop, photo=photo)


def _without(photo: UInt8Array, found: Analysis) -> UInt8Array:
    """Return the photo with a person, and a margin around them, painted grey."""
    from scipy import ndimage

    left, top, right, bottom = found.box
    margin = max(1, round(0.03 * (bottom - top)))
    around = margin + 2 + found.crop.height // found.probabilities.shape[1]  # enlarged regions reach into the next cell
    rows = slice(max(0, math.floor(top) - around), max(0, math.ceil(bottom) + around))
    columns = slice(max(0, math.floor(left) - around), max(0, math.ceil(right) + around))
    painted = photo.copy()
    within = painted[rows, columns]
    step = -(-margin // _WIDENED_AT_ONCE)  # large photos are widened on a coarser grid: pixel by pixel takes minutes
    coarse = _any_of_blocks(found.rough_regions[rows, columns] != BACKGROUND, step)
    mask = ndimage.binary_dilation(coarse, iterations=-(-margin // step))
    within[mask.repeat(step, 0).repeat(step, 1)[: within.shape[0], : within.shape[1]]] = BEYOND
    return painted


def _any_of_blocks(mask: npt.NDArray[np.bool_], step: int) -> npt.NDArray[np.bool_]:
    """Return a mask of blocks of pixels: whether any pixel of each is set."""
    if step == 1:
        return mask
    height, width = (-(-length // step) * step for length in mask.shape)
    padded = np.zeros((height, width), bool)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    return np.asarray(padded.reshape(height // step, step, width // step, step).any(axis=(1, 3)), np.bool_)
