"""The built-in analyser: find the people of a photo, with joints, a region map and a score.

The network runs on the whole photo first, then on a crop around the person found, until the crop converges. On request
the last pass is averaged with a mirrored pass (test-time flip). If the score is low, or all people are requested, it
searches: the network runs on the enlarged photo, and then on a crop around each candidate.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from scmnet_cli.analyser.batches import MOST, InBatches
from scmnet_cli.analyser.estimators import Box, Estimators
from scmnet_cli.analyser.facing import facing_corrected
from scmnet_cli.analyser.network import (
    HEAT_STRIDE,
    REGION_STRIDE,
    STRIDE,
    Analysed,
    AnalyserNet,
    fuse,
    in_bfloat16,
    joints_of_heat,
)
from scmnet_cli.analyser.region_maps import VISIBLE, clean_probabilities, components, main_person_mask, regions_on_photo
from scmnet_cli.analyser.subjects import PEOPLE, read_weights
from scmnet_cli.images import CropBox, to_tensor
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.skeleton import JOINTS, MIRRORED
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

SHIPPED = Path(__file__).parents[1] / "assets" / PEOPLE.file
"""The weights that ship with this package."""
_PERSON = 0.5
"""Detection threshold; 0.1 and 0.9 have the same accuracy on train photos (``scm analyser threshold``)."""

_MARGIN = 1.12
"""Height of a crop divided by the person's height, as in training."""

_SURE = 0.9
"""If the final score is at least this, there is no search; people found by a search need at least this score."""

_SEARCHED_AT = (576, 1152)
"""Heights to which a photo is resized for a search; the second only if the photo is that large."""

_MAX_WIDE_PIXELS = 1_600_000
_MAX_PLACES = 4
_MOST_PEOPLE = 12
_SAME_PERSON = 0.4
_WIDENED_AT_ONCE = 24
"""Pixels by which a mask is widened pixel by pixel; a step looks at all of it."""

_MAX_SEARCHED_PIXELS = 24_000_000
"""Larger photos are searched for everybody at a smaller size: each person found takes a map of the photo."""

_SMALLEST = 24
"""Least size of a candidate in a search, in cells of the region logits."""

_FEWEST_JOINTS = 6
"""Least number of joints of a person found by a search, with nose or neck among them: legs alone do not count."""

_FAR = 0.4
_FAR_MARGIN = 1.5
"""A person below ``_FAR`` of the crop's height gets this wider margin first: parts of them may have been missed."""

_BESIDE = 0.1
_MAX_PASSES = 5
_SAME_CROP = 0.8
BEYOND = 127
"""Grey beyond the photo."""

_REACH = 0.15
"""Greatest distance of a joint from the regions' box, as a share of its height, to be included in the crop."""


@dataclass(frozen=True)
class Analysis:
    """Analysis of a photo.

    Attributes:
        person: probability that there is a person, in [0, 1].
        joints: (18, 3) float32, x and y in pixels of the photo and a score in [0, 1]; 0, 0, 0 if not in the photo.
        probabilities: (8, 144, 96) float32, probabilities of the regions on the crop.
        crop: the crop of the last pass.
        size: height and width of the photo.
    """

    person: float
    joints: FloatArray
    probabilities: FloatArray
    crop: CropBox
    size: tuple[int, int]

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
        """The region map at the photo's size.

        Shape:
            result: (H, W) uint8.
        """
        return regions_on_photo(self.probabilities, self.crop, self.size)


class Analyser:
    """The analyser's network, loaded once and used many times; deterministic."""

    _estimators = Estimators()

    def __init__(
        self,
        net: AnalyserNet,
        canvas: Canvas = PEOPLE.canvas,
        sha256: str = "",
        *,
        flip_tta: bool = False,
        device: torch.device | None = None,
        batch: int = 1,
        estimators: Estimators | None = None,
        bfloat16: bool = False,
    ) -> None:
        """Wrap a network; it is optimised in place for inference and cannot be trained afterwards.

        Args:
            net: the network.
            canvas: size of its input.
            sha256: hash of the weight file.
            flip_tta: average the last pass with a mirrored one: slightly better, nearly twice the time.
            device: device of the network; None for the CPU.
            batch: maximum batch size for concurrent calls.
            estimators: external estimators of joints and regions of a detected person.
            bfloat16: compute most of the network in bfloat16.
        """
        self._flip_tta = flip_tta
        self._dtype = torch.bfloat16 if bfloat16 else torch.float32
        self._estimators = estimators or Estimators()
        self.sha256 = sha256
        fuse(net)
        if bfloat16:
            in_bfloat16(net)
        net = net.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self._net: Callable[[Tensor], Analysed] = net
        self._look_wide: Callable[[Tensor], Analysed] = net
        if batch > 1 or (device is not None and device.type != "cpu"):
            place = device or torch.device("cpu")
            self._net = batches = InBatches(net.to(place), place, batch)
            self._look_wide = batches.run
        self._canvas = canvas

    @classmethod
    def load(
        cls,
        weights: Path | None = None,
        *,
        flip_tta: bool = False,
        device: torch.device | None = None,
        estimators: Estimators | None = None,
        bfloat16: bool | None = None,
    ) -> Self:
        """Load the analyser that ships with this package, or another one.

        Args:
            weights: a file of ``scm analyser train``; None for the shipped weights.
            flip_tta: average the last pass with a mirrored one.
            device: device of the network; on a GPU, concurrent calls are batched; None for the CPU.
            estimators: external estimators of joints and regions of a detected person.
            bfloat16: compute most of the network in bfloat16; None to do so on CPUs with AMX, where it halves the time.

        Raises:
            ScmError: if the file is absent, damaged or not an analyser.
        """
        path = weights or SHIPPED
        net = AnalyserNet()
        read_weights(path, net)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        on_cpu = device is None or device.type == "cpu"
        if bfloat16 is None:
            bfloat16 = on_cpu and made_for_bfloat16()
        return cls(
            net,
            sha256=sha256,
            flip_tta=flip_tta,
            device=device,
            batch=1 if on_cpu else MOST,
            estimators=estimators,
            bfloat16=bfloat16,
        )

    @property
    def pose_estimator(self) -> str:
        """Name of the estimator of joints, for a manifest."""
        return self._estimators.pose.name if self._estimators.pose else self._name

    @property
    def parser(self) -> str:
        """Name of the estimator of regions, for a manifest."""
        return self._estimators.parser.name if self._estimators.parser else self._name

    @property
    def _name(self) -> str:
        return f"built-in analyser, weights sha256 {self.sha256}"

    @property
    def stamp(self) -> str:
        """A short text that changes with the estimators of joints or regions."""
        found_by = (self.pose_estimator, self.parser)
        if found_by == (self._name, self._name):
            return self.sha256[:12]
        return f"{self.sha256[:12]} {hashlib.sha256(' '.join(found_by).encode()).hexdigest()[:12]}"

    @torch.inference_mode()
    def __call__(self, image: UInt8Array | Image.Image) -> Analysis:
        """Analyse the most prominent person of a photo.

        Args:
            image: an upright RGB photo, (H, W, 3) uint8, as :func:`scmnet_cli.images.read_photo` returns it.
        """
        photo = _pixels(image)
        return self._apply_estimators(photo, self._most_prominent(photo))

    @torch.inference_mode()
    def people(self, image: UInt8Array | Image.Image) -> list[Analysis]:
        """Analyse all people of a photo, which needs a search.

        Args:
            image: the photo.

        Returns:
            the most prominent person first, then all others by size; empty if there is no person.
        """
        photo = _pixels(image)
        step = math.ceil(math.sqrt(photo.shape[0] * photo.shape[1] / _MAX_SEARCHED_PIXELS))
        found = self._everybody(_reduced(photo, step) if step > 1 else photo)
        return [
            self._apply_estimators(photo, _enlarged(one, step, photo.shape[:2]) if step > 1 else one) for one in found
        ]

    def _everybody(self, photo: UInt8Array) -> list[Analysis]:
        first = self._most_prominent(photo)
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
        return [first, *sorted(others, key=lambda found: -_prominence(found))]

    def _most_prominent(self, photo: UInt8Array) -> Analysis:
        height, width = photo.shape[:2]
        whole = (-0.5, -0.5, width - 0.5, height - 0.5)
        found, sure = self._refine(photo, whole, 1.0)
        if sure < _SURE:
            found = max(self._search(photo), key=_prominence, default=found)
        return found

    def _search(self, photo: UInt8Array) -> list[Analysis]:
        """Search the resized photo for candidates and refine each; stop at the first size that gives people."""
        height, width = photo.shape[:2]
        for tall in _SEARCHED_AT:
            scale = min(tall / height, math.sqrt(_MAX_WIDE_PIXELS / (height * width)))
            if scale > 1 and tall != _SEARCHED_AT[0]:
                break
            found: list[Analysis] = []
            for box in self._candidates(photo, scale):
                closer, sure = self._refine(photo, box, _MARGIN)
                if sure >= _SURE and _shows_joints(closer) and not any(_same(closer, one) for one in found):
                    found.append(closer)
            if found:
                return found
        return []

    def _candidates(self, photo: UInt8Array, scale: float) -> list[Box]:
        """Return the boxes of candidate people at a scale, the strongest first."""
        height, width = photo.shape[:2]
        rows, columns = (max(STRIDE, round(length * scale / STRIDE) * STRIDE) for length in (height, width))
        canvas = Canvas(rows, columns)
        crop = CropBox(0, 0, width, height, canvas)
        on_person = 1 - self._look_wide(self._view(photo, crop)).regions.softmax(1)[0, BACKGROUND].numpy()
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

    def _refine(self, photo: UInt8Array, box: Box, margin: float) -> tuple[Analysis, float]:
        """Analyse a box, and re-crop around the person found until the crop converges; also return the last score."""
        height, width = photo.shape[:2]
        crop = _framed(box, self._canvas, margin)
        seen = self._view(photo, crop)
        answer: Analysed = self._net(seen)
        person = sure = float(answer.person.sigmoid())
        for _ in range(_MAX_PASSES - 1):
            found = self._find(answer, crop, (height, width))
            if found is None:
                break
            box = found
            is_far = box[3] - box[1] < _FAR * crop.height
            closer = _framed(box, self._canvas, _FAR_MARGIN if is_far else _MARGIN)
            if _overlap(closer, crop) > _SAME_CROP:
                break
            crop = closer
            seen = self._view(photo, crop)
            answer = self._net(seen)
            sure = float(answer.person.sigmoid())
            person = max(person, sure)
        beside = self._beside(answer)
        if beside is not None:
            seen = torch.where(beside, to_tensor(np.full((1, 1, 3), BEYOND, np.uint8)).to(seen), seen)
            answer = self._net(seen)
        if self._flip_tta:
            answer = _averaged(answer, self._mirrored_pass(seen))
        probabilities = answer.regions.softmax(1)[0].numpy()
        joints = joints_of(answer)
        cleaned = clean_probabilities(probabilities, joints)
        joints = facing_corrected(joints, cleaned, VISIBLE)
        joints[:, :2] = crop.to_original(joints[:, :2])
        beyond = (joints[:, :2] < -0.5).any(1) | (joints[:, :2] > (width - 0.5, height - 0.5)).any(1)
        joints[beyond | (joints[:, 2] < VISIBLE)] = 0
        return Analysis(person, joints, cleaned, crop, (height, width)), sure

    def _apply_estimators(self, photo: UInt8Array, found: Analysis) -> Analysis:
        """Replace joints and regions of a detected person by those of the external estimators, if any."""
        pose, parser = self._estimators.pose, self._estimators.parser
        if not found.has_person:
            return found
        if pose is not None:
            found = replace(found, joints=pose(photo, found.box))
        if parser is not None:
            box = found.box
            crop = _framed(box, parser.canvas, _MARGIN)
            probabilities = parser(crop.crop_image(photo, BEYOND), _in_crop(found.joints, crop))
            rows, columns = probabilities.shape[1:]
            crop = replace(crop, canvas=Canvas(rows * REGION_STRIDE, columns * REGION_STRIDE))
            cleaned = clean_probabilities(probabilities, _in_crop(found.joints, crop))
            found = replace(found, probabilities=cleaned, crop=crop)
        return found

    def _view(self, photo: UInt8Array, crop: CropBox) -> Tensor:
        # Bilinear as in training, and four times as fast as Lanczos.
        image = to_tensor(crop.crop_image(photo, BEYOND, Image.Resampling.BILINEAR))[None]
        return image.to(self._dtype, memory_format=torch.channels_last)

    def _mirrored_pass(self, seen: Tensor) -> Analysed:
        found: Analysed = self._net(seen.flip(-1))
        swap = list(MIRRORED)
        return Analysed(found.regions.flip(-1), found.heat.flip(-1)[:, swap], found.visible[:, swap], found.person)

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


def made_for_bfloat16() -> bool:
    """Return whether this CPU multiplies bfloat16 matrices in hardware (AMX)."""
    get_capabilities = getattr(torch.cpu, "get_capabilities", None)  # absent in older torch
    return get_capabilities is not None and bool(get_capabilities().get("amx_bf16", False))


def _pixels(image: UInt8Array | Image.Image) -> UInt8Array:
    return np.asarray(image.convert("RGB")) if isinstance(image, Image.Image) else image


def _shows_joints(found: Analysis) -> bool:
    visible = found.joints[:, 2] > 0
    return bool(visible.sum() >= _FEWEST_JOINTS and visible[[JOINTS.index("nose"), JOINTS.index("neck")]].any())


def _prominence(found: Analysis) -> float:
    """Return the area of a person in pixels."""
    return float((found.regions != BACKGROUND).sum())


def _same(a: Analysis, b: Analysis) -> bool:
    """Return whether two analyses are of the same person: the smaller one's regions mostly overlap the larger's."""
    one, other = a.regions != BACKGROUND, b.regions != BACKGROUND
    return bool((one & other).sum() > _SAME_PERSON * min(one.sum(), other.sum()))


def _reduced(photo: UInt8Array, step: int) -> UInt8Array:
    """Return a photo of the means of blocks of pixels, without those at the right and lower end that fill no block."""
    height, width = (length // step for length in photo.shape[:2])
    whole = CropBox(0, 0, max(1, width) * step, max(1, height) * step, Canvas(max(1, height), max(1, width)))
    return whole.crop_image(photo, None, Image.Resampling.BOX)


def _enlarged(found: Analysis, step: int, size: tuple[int, int]) -> Analysis:
    """Return an analysis of a reduced photo in pixels of the photo itself."""
    joints = found.joints.copy()
    joints[:, :2] = np.where(joints[:, 2:] > 0, (joints[:, :2] + 0.5) * step - 0.5, 0)
    crop = found.crop
    crop = CropBox(crop.left * step, crop.top * step, crop.width * step, crop.height * step, crop.canvas)
    return replace(found, joints=joints, crop=crop, size=size)


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
    step = -(
        -margin // _WIDENED_AT_ONCE
    )  # large photos are widened on a coarser grid: an erosion a pixel takes minutes
    coarse = _any_of_blocks(found.regions[rows, columns] != BACKGROUND, step)
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


def _framed(box: Box, canvas: Canvas, margin: float) -> CropBox:
    """Return the crop with the canvas's aspect that holds a box with a margin around it."""
    left, top, right, bottom = box
    height = max(bottom - top, (right - left) * canvas.height / canvas.width, 8.0) * margin
    rows = math.ceil(height)
    columns = max(1, round(rows * canvas.width / canvas.height))
    x, y = (left + right + 1) / 2, (top + bottom + 1) / 2
    return CropBox(round(x - columns / 2), round(y - rows / 2), columns, rows, canvas)


def _in_crop(joints: FloatArray, crop: CropBox) -> FloatArray:
    """Convert joints from pixels of the photo to pixels of the crop's canvas; missing joints stay 0, 0, 0."""
    moved = joints.copy()
    moved[:, :2] = crop.to_canvas(joints[:, :2])
    moved[joints[:, 2] == 0] = 0
    return moved


def _overlap(a: CropBox, b: CropBox) -> float:
    across = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
    down = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
    shared = max(0, across) * max(0, down)
    return shared / (a.width * a.height + b.width * b.height - shared)


def _averaged(a: Analysed, b: Analysed) -> Analysed:
    return Analysed((a.regions + b.regions) / 2, (a.heat + b.heat) / 2, (a.visible + b.visible) / 2,
                    (a.person + b.person) / 2)  # fmt: skip


def joints_of(answer: Analysed) -> FloatArray:
    """Return joints in pixels of the canvas with their scores."""
    places, _ = joints_of_heat(answer.heat)
    places = (places + 0.5) * HEAT_STRIDE - 0.5
    joints: FloatArray = torch.cat([places[0], answer.visible.sigmoid()[0, :, None]], -1).numpy()
    return joints
