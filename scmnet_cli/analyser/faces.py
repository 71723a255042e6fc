"""The built-in face parser: a photo of any size in; its most prominent face out, aligned, with a map of its regions.

It looks at the whole photo first. The points found there say how to move, turn and scale the photo so that the face
lies as faces lay in training, and it looks again, until that stays. Unless this shows a face that fills much of the
photo, the analyser says where people are, and each head is looked at in the same way; the largest face is taken.
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
import torch
from PIL import Image
from torch import Tensor

from scmnet_cli.analyser.face_landmarks import NUM_LANDMARKS, PLACES, aligning
from scmnet_cli.analyser.network import REGION_STRIDE, AnalyserNet, fuse, in_bfloat16
from scmnet_cli.analyser.people import BEYOND, Analyser, Analysis, joints_of, made_for_bfloat16
from scmnet_cli.analyser.region_maps import components, enlarged, likeliest, without_specks
from scmnet_cli.analyser.subjects import FACES, read_weights
from scmnet_cli.analyser.windows import OUTSIDE, Window
from scmnet_cli.errors import ScmError
from scmnet_cli.images import to_tensor
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

NO_FACE = "no face is found in the photo; cut it around the face, or give it a map of the face's regions"

_FACE = 0.5
_VISIBLE = 0.5
_FEWEST_LANDMARKS = 3
_AROUND_NOSE, _LEAST_NOSE = 0.08, 0.35
"""Half the side of a square around the nose's place, over the face's height, and the share of it that is nose."""

_MAX_LOOKS = 5
_SAME_PLACE, _SAME_HEIGHT, _SAME_ANGLE = 0.02, 1.04, 0.03
"""Looks that differ by less are one: of the height, as a factor, in radians."""

_LARGE = 0.45
"""A sure face that fills this share of the photo, its square over the shorter side, is not searched for further."""

_SMALLEST = 12.0
"""Pixels of the photo that a face's square measures at least."""

_NECK = 0.8
"""Side of a face's square over the distance from nose to neck, at least: of a profile the eyes say too little."""

_FINEST = 1024


@dataclass(frozen=True)
class Face:
    """A face that was found in a photo.

    Attributes:
        score: probability that it is one, in [0, 1].
        joints: (5, 3) float32, its landmarks, those of :data:`~scmnet_cli.analyser.subjects.FACES`: x and y in pixels
            of the photo and a score in [0, 1]; one that is hidden is 0, 0, 0.
        window: the square of the photo in which the face is aligned.
        probabilities: (8, h, w) float32, of the regions on that square.
        photo: (H, W, 3) uint8, the photo.
    """

    score: float
    joints: FloatArray
    window: Window
    probabilities: FloatArray
    photo: UInt8Array

    @property
    def expected(self) -> FloatArray:
        """Where the landmarks of an aligned face lie, hidden or not, in pixels of the photo.

        Shape:
            result: (5, 2).
        """
        unit = Canvas(1, 1)
        return self.window.to_photo((PLACES - 0.5).astype(np.float32), unit)

    def picture(self, canvas: Canvas) -> UInt8Array:
        """Return the aligned face on a canvas, equally high; the photo's edge goes on beyond it.

        Shape:
            result: (H, W, 3) uint8.
        """
        return _seen(self.photo, self.window, canvas, None, Image.Resampling.BICUBIC)

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
        """Return the face in a photo of the same size, turned around it so that it stands upright."""
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
            photo=_seen(self.photo, whole, canvas, None, Image.Resampling.BICUBIC),
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
    """The network, loaded once and used many times; the same photo gives the same answer."""

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
        """Take a network; it is changed for speed and cannot be trained any more.

        Args:
            net: the network.
            canvas: what it looks at.
            analyser: gives the one that says where people are, when it is needed for the first time.
            sha256: of the file its weights are from.
            licence: of these weights.
            bfloat16: compute most of it so.
        """
        fuse(net)
        if bfloat16:
            in_bfloat16(net)
        self._net = net.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self._dtype = torch.bfloat16 if bfloat16 else torch.float32
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
            analyser: gives the one that says where people are.

        Raises:
            ScmError: if the file is absent, damaged or no face parser.
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

    @torch.inference_mode()
    def __call__(self, image: UInt8Array) -> Face | None:
        """Find the most prominent face of a photo; None if there is none.

        Args:
            image: an upright RGB photo, (H, W, 3) uint8.
        """
        height, width = image.shape[:2]
        whole = self._look_closer(image, Window(width / 2, height / 2, float(max(height, width))))
        if whole is not None and whole.window.height >= _LARGE * min(height, width):
            return whole
        found = [] if whole is None else [whole]
        found += self._at(image, heads([self._analyser()(image)]))
        if not found:
            found = self._at(image, heads(self._analyser().people(image)))
        return max(found, key=lambda face: face.window.height, default=None)  # the largest

    def _at(self, image: UInt8Array, windows: Iterable[Window]) -> list[Face]:
        return [face for window in windows if (face := self._look_closer(image, window)) is not None]

    def _look_closer(self, image: UInt8Array, window: Window) -> Face | None:
        """Look through a window, then at the face found in it, until the window stays."""
        for _ in range(_MAX_LOOKS):
            seen = to_tensor(_seen(image, window, self._canvas, BEYOND, Image.Resampling.BILINEAR))[None]
            answer = self._net(seen.to(self._dtype, memory_format=torch.channels_last))
            landmarks = joints_of(answer)
            # A point that is hardly there still says a little of how the face lies.
            closer = aligning(_moved(landmarks, window, self._canvas))
            if closer is None or closer.height < _SMALLEST:
                return None
            if _is_same(closer, window):
                break
            window = closer
        score = float(answer.person.sigmoid())
        landmarks = _moved(landmarks, window, self._canvas)
        height, width = image.shape[:2]
        beyond = (landmarks[:, :2] < -0.5).any(1) | (landmarks[:, :2] > (width - 0.5, height - 0.5)).any(1)
        landmarks[beyond | (landmarks[:, 2] < _VISIBLE)] = 0
        if score < _FACE or (landmarks[:, 2] > 0).sum() < _FEWEST_LANDMARKS:
            return None
        if not _has_nose(answer.regions[0].argmax(0)):
            return None
        probabilities = _cleaned(answer.regions.softmax(1)[0].numpy(), landmarks, window, self._canvas)
        return Face(score, landmarks, window, probabilities, image)


def find_face(parser: FaceParser, photo: Path, image: UInt8Array, canvas: Canvas) -> tuple[UInt8Array, UInt8Array]:
    """Find the most prominent face of a photo, for :func:`scmnet_cli.inference.inputs.faces.read_face`.

    Returns:
        the aligned face on the canvas, and its region map.

    Raises:
        ScmError: if there is none.
    """
    del photo
    face = parser(image)
    if face is None:
        raise ScmError(NO_FACE)
    return face.picture(canvas), face.regions_on(canvas)


def heads(people: Iterable[Analysis]) -> Iterator[Window]:
    """Return the window in which each person's face should lie, as eyes, nose and neck have it."""
    for person in people:
        if not person.has_person:
            continue
        nose, neck = (person.joints[JOINTS.index(name)] for name in ("nose", "neck"))
        landmarks = np.zeros((NUM_LANDMARKS, 3), np.float32)
        landmarks[:3] = person.joints[[JOINTS.index(name) for name in ("right_eye", "left_eye", "nose")]]
        window = aligning(landmarks)
        least = _NECK * float(np.linalg.norm(nose[:2] - neck[:2])) if nose[2] > 0 and neck[2] > 0 else 0.0
        if window is not None and window.height >= least:
            yield window
        elif nose[2] > 0 and least:
            yield Window(float(nose[0]) + 0.5, float(nose[1]) + 0.5, least)


def _moved(landmarks: FloatArray, window: Window, canvas: Canvas) -> FloatArray:
    """Return landmarks of the canvas in pixels of the photo."""
    moved = landmarks.copy()
    moved[:, :2] = window.to_photo(landmarks[:, :2], canvas)
    return moved


def _has_nose(chosen: Tensor) -> bool:
    """Whether the regions have the nose where the landmarks have it: on what is no face, they disagree.

    Shape:
        chosen: (h, w) ids on the aligned square.
    """
    x, y = PLACES[FACES.joints.index("nose")]
    height, width = chosen.shape
    rows = slice(round((y - _AROUND_NOSE) * height), round((y + _AROUND_NOSE) * height))
    columns = slice(round((x - _AROUND_NOSE) * width), round((x + _AROUND_NOSE) * width))
    return bool((chosen[rows, columns] == FACES.regions.index("nose")).float().mean() >= _LEAST_NOSE)


def _is_same(a: Window, b: Window) -> bool:
    near = math.hypot(a.centre_x - b.centre_x, a.centre_y - b.centre_y) < _SAME_PLACE * b.height
    return near and abs(math.log(a.height / b.height)) < math.log(_SAME_HEIGHT) and abs(a.angle - b.angle) < _SAME_ANGLE


def _seen(
    photo: UInt8Array, window: Window, canvas: Canvas, fill: int | None, resampling: Image.Resampling
) -> UInt8Array:
    """Return what a window shows of a photo; ``fill`` is the grey beyond it, None repeats its edge.

    Only the part around the window is looked at, made smaller first where it is much larger than the canvas.
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


def _cleaned(probabilities: FloatArray, landmarks: FloatArray, window: Window, canvas: Canvas) -> FloatArray:
    """Leave out other people, whose regions are apart from the face's, and specks of a region within another."""
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
