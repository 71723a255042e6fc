"""The built-in face parser: find the most prominent face of a photo, align it, and segment its regions.

The network runs on the whole photo first. The landmarks that it finds align the photo like a training face, and the
network runs again until the alignment converges. Unless this finds a large face, the analyser finds people, and each
head is refined in the same way; the largest face wins.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from scmnet_cli.analyser.analysis import BEYOND, Analysis
from scmnet_cli.analyser.answers import REGION_STRIDE, Answer, as_input, softmax
from scmnet_cli.analyser.face_landmarks import ALIGNED, EYES_APART, NUM_LANDMARKS, aligning
from scmnet_cli.analyser.in_torch import InTorch, made_for_bfloat16
from scmnet_cli.analyser.interpolation import resized
from scmnet_cli.analyser.network import AnalyserNet
from scmnet_cli.analyser.people import Analyser
from scmnet_cli.analyser.region_maps import enlarged, likeliest, without_specks
from scmnet_cli.analyser.subjects import FACES, read_weights
from scmnet_cli.analyser.windows import OUTSIDE, AlignedFace, Window
from scmnet_cli.errors import ScmError
from scmnet_cli.images.morphology import components
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

TURNED = "shows the face from the side, but the model draws faces from the front; the result may not be a face"

NO_FACE = "no face found in the photo; crop it around the face, turn it upright, or give a map of the face's regions"

_FACE = 0.5
_VISIBLE = 0.5
_FEWEST_LANDMARKS = 3
_AROUND_NOSE, _LEAST_NOSE = 0.08, 0.35
"""Half the side of a square around the nose as a share of the face's height, and the least share of it that is nose."""

_TURNED, _CLOSE = 0.3, 0.75
"""Distances of a face seen from the side, of the nose from the middle of the eyes and between the eyes, as shares of
the distance of the eyes of an aligned face."""

_MAX_PASSES = 5
_SAME_PLACE, _SAME_HEIGHT, _SAME_ANGLE = 0.02, 1.04, 0.03
"""Convergence of the alignment: shift as a share of the height, factor of the height, angle in radians."""

_TILTED, _LYING = math.radians(20), math.radians(45)
"""Angles between a face and its person: from the first the alignment is tried again, from the second it is refused."""

_LARGE = 0.45
"""If the side of the face's square is at least this share of the photo's shorter side, there is no further search."""

_SMALLEST = 12.0
"""Least side of a face's square in pixels of the photo."""

_NECK = 0.8
"""Least side of a face's square relative to the distance from nose to neck; the eyes of a profile are too close."""

_FINEST = 1024

WIDE, _WIDE_DOWN = 2, 3 / 16
"""Side of a wide view in sides of the face's square, and how far its centre lies below that of the square: so that the
square is a whole number of the region map's pixels from the border of the wide view."""

_BLENDED = 0.1
"""Width of the band in which the region maps of square and wide view are blended, as a share of the square's side."""


@dataclass(frozen=True)
class Face:
    """A face found in a photo.

    Attributes:
        score: probability that it is a face, in [0, 1].
        joints: (5, 3) float32, the landmarks of :data:`~scmnet_cli.analyser.subjects.FACES`: x and y in pixels of the
            photo and a score in [0, 1]; 0, 0, 0 if hidden.
        window: the square of the photo in which the face is aligned.
        probabilities: (8, h, w) float32, probabilities of the regions on that square.
        photo: (H, W, 3) uint8, the photo.
    """

    score: float
    joints: FloatArray
    window: Window
    probabilities: FloatArray
    photo: UInt8Array

    @property
    def expected(self) -> FloatArray:
        """Landmarks of an aligned face, hidden or not, in pixels of the photo.

        Shape:
            result: (5, 2).
        """
        unit = Canvas(1, 1)
        return self.window.to_photo((ALIGNED - 0.5).astype(np.float32), unit)

    @property
    def is_turned(self) -> bool:
        """Whether the face is seen from the side: its eyes are close, or its nose is far from the middle of them."""
        if not (self.joints[:3, 2] > 0).all():
            return True
        right, left, nose = self.window.to_canvas(self.joints[:3, :2], Canvas(1, 1))
        is_close = float(np.linalg.norm(left - right)) < _CLOSE * EYES_APART
        return is_close or abs(float(nose[0] - (right[0] + left[0]) / 2)) > _TURNED * EYES_APART

    def picture(self, canvas: Canvas) -> UInt8Array:
        """Return the aligned face on a canvas of the window's height; beyond the photo its border is repeated.

        Shape:
            result: (H, W, 3) uint8.
        """
        return _view(self.photo, self.window, canvas, None, Image.Resampling.BICUBIC)

    def regions_on(self, canvas: Canvas) -> UInt8Array:
        """Return the region map of :meth:`picture`; background beyond the photo and beyond the square.

        Shape:
            result: (H, W) uint8.
        """
        square = Image.fromarray(enlarged(self.probabilities, canvas.height, canvas.height))
        left = (canvas.height - canvas.width) // 2
        labels = np.array(square.crop((left, 0, left + canvas.width, canvas.height)))  # 0 is the background
        inside = Image.new("L", self.photo.shape[1::-1])
        labels[np.asarray(self.window.look_at_labels(inside, canvas, 1)) == OUTSIDE] = BACKGROUND
        return labels

    def upright(self) -> Face:
        """Return the face in a photo of the same size, rotated around the face so that it is upright."""
        height, width = self.photo.shape[:2]
        canvas = Canvas(height, width)
        turn = np.exp(1j * self.window.angle)
        face = complex(self.window.centre_x, self.window.centre_y)
        centre = face + turn * (complex(width / 2, height / 2) - face)
        whole = Window(centre.real, centre.imag, height, angle=self.window.angle)
        joints = self.joints.copy()
        there = joints[:, 2] > 0
        joints[there, :2] = whole.to_canvas(joints[there, :2], canvas)
        return replace(
            self,
            joints=joints,
            window=replace(self.window, angle=0.0),
            photo=_view(self.photo, whole, canvas, None, Image.Resampling.BICUBIC),
        )

    @cached_property
    def regions(self) -> UInt8Array:
        """The region map at the photo's size, background beyond the square.

        Shape:
            result: (H, W) uint8.
        """
        side = min(_FINEST, max(1, round(self.window.height)))
        square = Image.fromarray(enlarged(self.probabilities, side, side))
        matrix = self.window.matrix(Canvas(side, side))
        back = np.linalg.inv(matrix[:, :2])
        coefficients = np.column_stack([back, -back @ matrix[:, 2]]).ravel()
        size = self.photo.shape[1::-1]
        return np.asarray(square.transform(size, Image.Transform.AFFINE, tuple(coefficients), Image.Resampling.NEAREST))


class FaceParser:
    """The face parser's network, loaded once and used many times; deterministic."""

    def __init__(
        self,
        net: AnalyserNet,
        canvas: Canvas = FACES.canvas,
        *,
        analyser: Callable[[], Analyser] = Analyser.load,
        sha256: str = "",
        licence: str = "",
        bfloat16: bool = False,
    ) -> None:
        """Wrap a network; it is optimised in place for inference and cannot be trained afterwards.

        Args:
            net: the network.
            canvas: size of its input.
            analyser: returns the analyser that finds people; called when it is first needed.
            sha256: hash of the weight file.
            licence: licence of the weights.
            bfloat16: compute most of the network in bfloat16.
        """
        self._net = InTorch(net, bfloat16=bfloat16)
        self._canvas = canvas
        self._analyser = cache(analyser)
        self.licence = licence
        self.name = f"built-in face parser, weights sha256 {sha256}"
        self.stamp = sha256[:12]

    @classmethod
    def load(cls, weights: Path, analyser: Callable[[], Analyser] = Analyser.load) -> Self:
        """Load the weights that ``scm analyser train --domain face`` wrote.

        Args:
            weights: the file.
            analyser: returns the analyser that finds people.

        Raises:
            ScmError: if the file is absent, damaged or not a face parser.
        """
        net = FACES.build()
        about = read_weights(weights, net, FACES)
        sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
        return cls(
            net,
            analyser=analyser,
            sha256=sha256,
            licence=about.get("licence", "unknown"),
            bfloat16=made_for_bfloat16(),
        )

    def __call__(self, image: UInt8Array) -> Face | None:
        """Find the most prominent face of a photo; None if there is none.

        Args:
            image: an upright RGB photo, (H, W, 3) uint8.
        """
        height, width = image.shape[:2]
        whole = self._find(image, Window(width / 2, height / 2, float(max(height, width))))
        if whole is not None and whole.window.height >= _LARGE * min(height, width):
            return whole
        found = [] if whole is None else [whole]
        found += self._refine_all(image, heads([self._analyser()(image)]))
        if not found:
            found = self._refine_all(image, heads(self._analyser().people(image)))
        return max(found, key=lambda face: face.window.height, default=None)  # the largest

    def wide(self, face: Face) -> Face:
        """Return the face in a larger square, which holds long hair, neck and shoulders too.

        Within the face's own square the regions stay. A component of a region that lies wholly beyond it becomes
        background, such as hands and the hair of other people.
        """
        down = _WIDE_DOWN * face.window.height
        window = replace(
            face.window,
            centre_x=face.window.centre_x - down * math.sin(face.window.angle),
            centre_y=face.window.centre_y + down * math.cos(face.window.angle),
            height=WIDE * face.window.height,
        )
        seen = self._answer(face.photo, window).regions
        num_regions, height, width = seen.shape
        coarse = softmax(resized(seen, WIDE * height, WIDE * width))
        top, left = round(height * ((WIDE - 1) / 2 - _WIDE_DOWN)), round(width * (WIDE - 1) / 2)
        square = (slice(None), slice(top, top + height), slice(left, left + width))
        share = _inner_weights(height, width)
        coarse[square] = coarse[square] * (1 - share) + face.probabilities * share
        canvas = Canvas(self._canvas.height * WIDE, self._canvas.width * WIDE)
        probabilities = _cleaned(coarse, face.joints, window, canvas)
        chosen = likeliest(probabilities)
        for region in range(1, num_regions):
            labels, _ = components(chosen == region)
            beyond = (labels > 0) & ~np.isin(labels, labels[square[1:]])
            probabilities[:, beyond] = 0
            probabilities[BACKGROUND, beyond] = 1
        return replace(face, window=window, probabilities=probabilities)

    def _answer(self, image: UInt8Array, window: Window) -> Answer:
        return self._net(as_input(_view(image, window, self._canvas, BEYOND, Image.Resampling.BILINEAR)))

    def _refine_all(self, image: UInt8Array, windows: Iterable[Window]) -> list[Face]:
        return [face for window in windows if (face := self._find(image, window)) is not None]

    def _find(self, image: UInt8Array, window: Window) -> Face | None:
        """Find the face in a window of a person; None if it is turned far more than the window.

        The alignment of a face in coarse pixels may converge to a turned square in which other features pass for
        eyes and mouth. Of two alignments of a tilted face, the less tilted one is right.
        """
        face = self._refine(image, window)
        if face is not None and _turn(face.window, window) > _TILTED:
            again = self._refine(image, replace(face.window, angle=window.angle))
            if again is not None and _turn(again.window, window) < _turn(face.window, window):
                face = again
        return None if face is None or _turn(face.window, window) > _LYING else face

    def _refine(self, image: UInt8Array, window: Window) -> Face | None:
        """Find the face in a window, and re-align the window until it converges."""
        for _ in range(_MAX_PASSES):
            answer = self._answer(image, window)
            landmarks = answer.joints
            # Landmarks of low score still help the alignment.
            closer = aligning(_moved(landmarks, window, self._canvas))
            if closer is None or closer.height < _SMALLEST:
                return None
            if _is_same(closer, window):
                break
            window = closer
        score = answer.score
        landmarks = _moved(landmarks, window, self._canvas)
        height, width = image.shape[:2]
        beyond = (landmarks[:, :2] < -0.5).any(1) | (landmarks[:, :2] > (width - 0.5, height - 0.5)).any(1)
        landmarks[beyond | (landmarks[:, 2] < _VISIBLE)] = 0
        if score < _FACE or (landmarks[:, 2] > 0).sum() < _FEWEST_LANDMARKS:
            return None
        if not _has_nose(answer.regions.argmax(0)):
            return None
        probabilities = _cleaned(answer.probabilities, landmarks, window, self._canvas)
        return Face(score, landmarks, window, probabilities, image)


def find_face(parser: FaceParser, photo: Path, image: UInt8Array, canvas: Canvas, *, wide: bool = False) -> AlignedFace:
    """Find the most prominent face of a photo, for :func:`scmnet_cli.inference.inputs.faces.read_framed_face`.

    Args:
        parser: the face parser.
        photo: path of the photo; not needed.
        image: the photo.
        canvas: size of the result.
        wide: return the wide view of the face (:meth:`FaceParser.wide`).

    Raises:
        ScmError: if there is no face.
    """
    del photo
    face = parser(image)
    if face is None:
        raise ScmError(NO_FACE)
    if wide:
        face = parser.wide(face)
    return AlignedFace(face.picture(canvas), face.regions_on(canvas), face.window)


def heads(people: Iterable[Analysis]) -> Iterator[Window]:
    """Yield the expected window of each person's face, from eyes, nose and neck."""
    for person in people:
        if not person.has_person:
            continue
        nose, neck = (person.joints[JOINTS.index(name)] for name in ("nose", "neck"))
        landmarks = np.zeros((NUM_LANDMARKS, 3), np.float32)
        landmarks[:3] = person.joints[[JOINTS.index(name) for name in ("right_eye", "left_eye", "nose")]]
        window = aligning(landmarks)
        has_neck = nose[2] > 0 and neck[2] > 0
        least = _NECK * float(np.linalg.norm(nose[:2] - neck[:2])) if has_neck else 0.0
        lean = math.atan2(float(nose[0] - neck[0]), float(neck[1] - nose[1]))
        angle = lean if has_neck and abs(lean) > _LYING else 0.0  # the nose of a profile is beside the neck
        upright = Window(float(nose[0]) + 0.5, float(nose[1]) + 0.5, least, angle=angle)
        if window is not None and window.height >= least and (not least or _turn(window, upright) <= _LYING):
            yield window
        elif least:
            yield upright


def _moved(landmarks: FloatArray, window: Window, canvas: Canvas) -> FloatArray:
    """Convert landmarks from pixels of the canvas to pixels of the photo."""
    moved = landmarks.copy()
    moved[:, :2] = window.to_photo(landmarks[:, :2], canvas)
    return moved


def _has_nose(chosen: npt.NDArray[np.integer]) -> bool:
    """Return whether the region map has a nose at the nose landmark; on false detections the two disagree.

    Shape:
        chosen: (h, w) ids on the aligned square.
    """
    x, y = ALIGNED[FACES.joints.index("nose")]
    height, width = chosen.shape
    rows = slice(round((y - _AROUND_NOSE) * height), round((y + _AROUND_NOSE) * height))
    columns = slice(round((x - _AROUND_NOSE) * width), round((x + _AROUND_NOSE) * width))
    return bool((chosen[rows, columns] == FACES.regions.index("nose")).mean() >= _LEAST_NOSE)


def _turn(a: Window, b: Window) -> float:
    """Return the angle between two windows, in [0, pi]."""
    return abs(math.remainder(a.angle - b.angle, math.tau))


def _is_same(a: Window, b: Window) -> bool:
    near = math.hypot(a.centre_x - b.centre_x, a.centre_y - b.centre_y) < _SAME_PLACE * b.height
    return near and abs(math.log(a.height / b.height)) < math.log(_SAME_HEIGHT) and _turn(a, b) < _SAME_ANGLE


def _view(
    photo: UInt8Array, window: Window, canvas: Canvas, fill: int | None, resampling: Image.Resampling
) -> UInt8Array:
    """Crop a window of a photo to a canvas; ``fill`` is the grey beyond the photo, None repeats its border.

    Only the part around the window is read, and it is reduced first if it is much larger than the canvas.
    """
    matrix = window.matrix(canvas)
    height, width = photo.shape[:2]
    corners = np.array([[0, 0], [canvas.width, 0], [0, canvas.height], [canvas.width, canvas.height]])
    reached = corners @ matrix[:, :2].T + matrix[:, 2]
    times = max(1, int(window.height / canvas.height))
    margin = 2 * times
    (left, top), (right, bottom) = np.floor(reached.min(0)) - margin, np.ceil(reached.max(0)) + margin
    columns = np.arange(int(left), max(int(right), int(left) + 1))
    rows = np.arange(int(top), max(int(bottom), int(top) + 1))
    part: npt.NDArray[np.uint8] = photo[rows.clip(0, height - 1)][:, columns.clip(0, width - 1)]
    if fill is not None:
        part[(rows < 0) | (rows >= height)] = fill
        part[:, (columns < 0) | (columns >= width)] = fill
    picture = Image.fromarray(part).reduce(times) if times > 1 else Image.fromarray(part)
    matrix[:, 2] -= (left, top)
    size = (canvas.width, canvas.height)
    return np.asarray(picture.transform(size, Image.Transform.AFFINE, tuple((matrix / times).ravel()), resampling))


def _inner_weights(height: int, width: int) -> FloatArray:
    """Return weights that rise from almost 0 at the border of a map to 1 at the end of the blended band."""
    rows, columns = (np.minimum(np.arange(size), np.arange(size)[::-1]) + 0.5 for size in (height, width))
    weights: FloatArray = (np.minimum(rows[:, None], columns) / (_BLENDED * height)).clip(0, 1).astype(np.float32)
    return weights


def _cleaned(probabilities: FloatArray, landmarks: FloatArray, window: Window, canvas: Canvas) -> FloatArray:
    """Remove other people, whose regions are not connected to the face, and small specks of regions."""
    probabilities = probabilities.copy()
    chosen = likeliest(probabilities)
    labels, num = components(chosen != BACKGROUND)
    if num > 1:
        points = window.to_canvas(landmarks[landmarks[:, 2] > 0, :2], canvas)
        columns, rows = ((points + 0.5) / REGION_STRIDE).astype(int).T
        inside = (rows >= 0) & (rows < labels.shape[0]) & (columns >= 0) & (columns < labels.shape[1])
        here = np.bincount(labels[rows[inside], columns[inside]], minlength=num + 1)
        here[0] = 0
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        main = int((here if here.any() else sizes).argmax())
        others = (labels != main) & (labels > 0)
        probabilities[:, others] = 0
        probabilities[BACKGROUND, others] = 1
        chosen[others] = BACKGROUND
    without_specks(probabilities, chosen)
    return probabilities
