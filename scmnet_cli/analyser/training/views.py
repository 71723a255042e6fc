"""Training views of the analyser: augmented crops of photos of one person.

A view is a window into a photo: the whole photo, the person alone, a close-up, a half body, or a small person far away.
It may be rotated, mirrored, pasted onto another background, occluded, or changed in colour, blur, noise and JPEG
quality. Some views show no person. Often the photo is first cropped at the hips or beside the person; the area beyond
is then the grey that the analyser pads with. The k-th view of a run is a function of the seed and k alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from scmnet_cli.analyser.answers import REGION_STRIDE
from scmnet_cli.analyser.subjects import PEOPLE
from scmnet_cli.analyser.training.crops import Rectangle, sample_crop
from scmnet_cli.analyser.training.lighting import in_garment_colour, with_shadow
from scmnet_cli.analyser.training.repainting import repainted
from scmnet_cli.analyser.training.retouching import retouched
from scmnet_cli.analyser.windows import OUTSIDE, Window
from scmnet_cli.regions import BACKGROUND, BODY_REGIONS, region_id
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

ONE_OF = 253
"""Label of pixels that show one of several regions, without annotation of which."""

UNKNOWN = 255
"""Label of pixels without annotation, which have no loss."""

CARRIED = len(BODY_REGIONS)
"""Label of bags that a person carries: a class of the network, and background of the region map."""

_KEPT_HEIGHT = 560
_MIN_PERSON_SHARE = 0.02
_MIN_PERSON_JOINTS = 3
_MAX_NOBODY_SHARE = 0.01
_MIN_SKIRT_SHARE = 0.01  # of the person


@dataclass(frozen=True)
class TrainingPhoto:
    """A downsized photo of one person in memory.

    Attributes:
        levels: the image, and the same at half the size.
        labels: region ids at the size of the first level; None without annotation.
        joints: joints in pixels of the first level; score 0 if absent, negative if unknown.
        box: left, top, right, bottom of the person.
        empty: rectangles of the first level without the person.
    """

    levels: tuple[Image.Image, Image.Image]
    labels: Image.Image | None
    joints: FloatArray
    box: tuple[float, float, float, float]
    empty: tuple[Rectangle, ...]

    def cropped(self, rectangle: Rectangle) -> TrainingPhoto:
        """Return the photo cropped to left, top, right, bottom."""
        left, top, right, bottom = (2 * (edge // 2) for edge in rectangle)
        half = self.levels[1].crop((left // 2, top // 2, right // 2, bottom // 2))
        labels = None if self.labels is None else self.labels.crop((left, top, right, bottom))
        joints = self.joints.copy()
        joints[:, :2] -= (left, top)
        outside = (joints[:, :2] < -0.5).any(1) | (joints[:, :2] > (right - left - 0.5, bottom - top - 0.5)).any(1)
        joints[outside] = 0
        box: tuple[float, float, float, float] | None = None if labels is None else _person_box(labels)
        if box is None:
            start = (max(0.0, self.box[0] - left), max(0.0, self.box[1] - top))
            end = (min(right, self.box[2]) - left, min(bottom, self.box[3]) - top)
            box = (*start, max(start[0] + 8, end[0]), max(start[1] + 8, end[1]))
        return TrainingPhoto((self.levels[0].crop((left, top, right, bottom)), half), labels, joints, box, ())


@dataclass(frozen=True)
class View:
    """One training example.

    Shape:
        image: (H, W, 3) uint8.
        labels: (H/2, W/2) uint8 region ids, :data:`UNKNOWN` or :data:`ONE_OF`.
        joints: (J, 3) float32, x and y in pixels of ``image``; score 1 if the joint is known and in the image, 0 if it
            is not in the image, -1 if unknown.
        person: 1 if there is a person, 0 if not, -1 if too little of the person is left to decide.
    """

    image: UInt8Array
    labels: UInt8Array
    joints: FloatArray
    person: int


def training_photo(image: UInt8Array, labels: UInt8Array | None, joints: FloatArray) -> TrainingPhoto:
    """Downsize an annotated photo for training.

    Shape:
        image: (H, W, 3) uint8; labels: (H, W) uint8 region ids or None; joints: (J, 3) in pixels of the photo.
    """
    height, width = image.shape[:2]
    scale = min(1.0, _KEPT_HEIGHT / height)
    size = (max(2, round(width * scale)), max(2, round(height * scale)))
    picture = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS, reducing_gap=2)
    half = picture.resize((max(1, size[0] // 2), max(1, size[1] // 2)), Image.Resampling.BOX)
    moved = joints.copy()
    moved[:, :2] = (joints[:, :2] + 0.5) * (np.array(size) / (width, height)) - 0.5
    known = moved[moved[:, 2] > 0, :2]
    small = None if labels is None else Image.fromarray(labels).resize(size, Image.Resampling.NEAREST)
    if small is not None:
        box = _person_box(small) or (0, 0, *size)
    else:
        (left, top), (right, bottom) = known.min(0), known.max(0)
        more = 0.1 * (bottom - top)
        box = (left - more, top - more, right + more, bottom + more)
    return TrainingPhoto((picture, half), small, moved, box, empty_rectangles(small, size))


def _person_box(labels: Image.Image) -> Rectangle | None:
    return labels.point([255 * (label not in (BACKGROUND, CARRIED, UNKNOWN)) for label in range(256)]).getbbox()


def empty_rectangles(labels: Image.Image | None, size: tuple[int, int]) -> tuple[Rectangle, ...]:
    """Return the strips left and right of the person that have at least 12 % of the width."""
    if labels is None or (box := _person_box(labels)) is None:
        return ()
    width, height = size
    margin = round(0.02 * width)
    strips = [(0, 0, box[0] - margin, height), (box[2] + margin, 0, width, height)]
    return tuple(strip for strip in strips if strip[2] - strip[0] >= 0.12 * width)


@dataclass(frozen=True)
class Manner:
    """Differences between views of people and of faces.

    Attributes:
        mirrored: index of each joint's mirror image.
        window: samples the window of a view, given whether the photo was cropped first.
        nobody: share of views without a person.
        cut: share of photos that are cropped first.
        pasted: share of annotated photos whose person is pasted onto another background.
        coarse: share of views at a lower resolution.
        margin: height of the network's input at inference, relative to the person's box.
        rare: share of views that show a photo with a skirt.
        repainted: share of annotated photos whose garments get other colours or patterns.
        shaded: share of annotated photos whose person casts a shadow.
        camouflaged: share of the backgrounds of pasted people that have the colour of a garment.
    """

    mirrored: tuple[int, ...]
    window: Callable[[TrainingPhoto, np.random.Generator, Canvas, bool], Window]
    nobody: float
    cut: float
    pasted: float
    coarse: float
    margin: float
    rare: float = 0.0
    repainted: float = 0.0
    shaded: float = 0.0
    camouflaged: float = 0.0


class Views:
    """The endless stream of training examples."""

    def __init__(
        self,
        photos: Sequence[TrainingPhoto],
        pictures: Sequence[Image.Image],
        canvas: Canvas,
        seed: int,
        manner: Manner | None = None,
    ) -> None:
        """Set up the stream.

        Args:
            photos: photos of people.
            pictures: images without people: textures, objects.
            canvas: size of a view.
            seed: seed of the run.
            manner: settings of the views; None for those of people.
        """
        self._manner = manner or OF_PEOPLE
        self._photos = photos
        self._masked = [photo for photo in photos if photo.labels is not None]
        self._rare = [photo for photo in self._masked if _wears_skirt(photo)] if self._manner.rare else []
        self._empty = [(photo, strip) for photo in photos for strip in photo.empty]
        self._pictures = pictures
        self._canvas = canvas
        self._seed = seed

    def view(self, number: int) -> View:
        """Return the ``number``-th view of the run; each epoch is a new permutation of the photos."""
        random = np.random.default_rng((self._seed, number))
        epoch, place = divmod(number, len(self._photos))
        photo = self._photos[int(np.random.default_rng((self._seed, epoch, 1)).permutation(len(self._photos))[place])]
        if random.random() < self._manner.nobody and (self._empty or self._pictures):
            return self._without_person(random)
        if self._rare and random.random() < self._manner.rare:
            photo = self._rare[int(random.integers(len(self._rare)))]
        cut = random.random() < self._manner.cut
        if cut:
            photo = photo.cropped(sample_crop(photo.box, photo.levels[0].size, random))
        window = self._manner.window(photo, random, self._canvas, cut)
        image, labels, joints, beyond = self._render(photo, window, random, pasting=self._manner.pasted)
        if random.random() < 0.15:
            self._occlude(image, labels, random)
        known = labels != UNKNOWN
        inside = joints[:, 2] > 0
        share = float(np.mean((labels != BACKGROUND) & (labels != CARRIED) & known))
        person = 1 if share > _MIN_PERSON_SHARE or inside.sum() >= _MIN_PERSON_JOINTS else -1
        if not inside.any() and known.all() and share == 0:
            person = 0
        return View(self._retouched(image, random, beyond), labels, joints, person)

    def _render(
        self, photo: TrainingPhoto, window: Window, random: np.random.Generator, *, pasting: float
    ) -> tuple[Image.Image, UInt8Array, FloatArray, npt.NDArray[np.bool_] | None]:
        """Crop a window of a photo; replace the area beyond the photo, and sometimes the whole background.

        Returns:
            image, labels, joints, and the mask of grey padding or None.
        """
        canvas = self._canvas
        image = window.look(photo.levels, canvas)
        whole = Image.new("L", photo.levels[0].size, UNKNOWN) if photo.labels is None else photo.labels
        labels = np.array(window.look_at_labels(whole, canvas, REGION_STRIDE))
        if self._manner.repainted and random.random() < self._manner.repainted and photo.labels is not None:
            image = repainted(image, np.asarray(window.look_at_labels(whole, canvas, 1)), self._pictures, random)
        pasted = photo.labels is not None and random.random() < pasting
        beyond = None
        if pasted or (labels == OUTSIDE).any():
            full = np.asarray(window.look_at_labels(whole, canvas, 1))
            width, height = whole.size
            far = window.height > 1.25 * max(height, width * canvas.height / canvas.width)
            if not far and random.random() < 0.75:
                beyond = full == OUTSIDE
            keep = ((full != BACKGROUND) & (full != OUTSIDE)) if pasted else full != OUTSIDE
            mask = Image.fromarray(keep * np.uint8(255))
            if pasted:
                mask = mask.filter(ImageFilter.GaussianBlur(float(random.uniform(0.4, 1.2))))
            background = self._background(random, may_hold_people=pasted)
            if pasted and random.random() < self._manner.camouflaged:
                background = in_garment_colour(background, image, full, random)
            background.paste(image, (0, 0), mask)
            image = background
        if photo.labels is not None and random.random() < self._manner.shaded:
            full = np.asarray(window.look_at_labels(whole, canvas, 1))
            image = with_shadow(image, ~np.isin(full, (BACKGROUND, CARRIED, OUTSIDE)), random)
        labels[labels == OUTSIDE] = BACKGROUND
        joints = window.joints(photo.joints, canvas, self._manner.mirrored)
        return image, labels, joints, beyond

    def _without_person(self, random: np.random.Generator) -> View:
        canvas = self._canvas
        if random.random() < 0.6 and self._empty:
            return self._beside_person(random)
        labels = np.zeros((canvas.height // REGION_STRIDE, canvas.width // REGION_STRIDE), np.uint8)
        image = self._background(random, may_hold_people=False)
        return View(self._retouched(image, random), labels, np.zeros((len(self._manner.mirrored), 3), np.float32), 0)

    def _beside_person(self, random: np.random.Generator) -> View:
        """Return a view of a strip beside a person; a bag or a hand may reach into it."""
        canvas = self._canvas
        photo, (left, top, right, bottom) = self._empty[int(random.integers(len(self._empty)))]
        width = photo.levels[0].width
        inwards = round(float(random.uniform(-0.02, 0.03)) * width)
        if left == 0:
            right = max(16, right + inwards)
        else:
            left = min(width - 16, left - inwards)
        if random.random() < 0.6:  # a part of the strip, sometimes without the side next to the person
            tall = round((bottom - top) * float(random.uniform(0.15, 0.9)))
            top = int(random.integers(bottom - tall + 1))
            bottom = top + tall
            if random.random() < 0.3:
                left, right = left + (right - left) // 3, right - (right - left) // 3
        strip = photo.cropped((left, top, max(right, left + 8), max(bottom, top + 8)))
        width, height = strip.levels[0].size
        seen = max(height, width * canvas.height / canvas.width)
        if random.random() < 0.3:  # as in a second pass
            seen *= float(random.uniform(0.3, 0.9))
            centre = (width * float(random.random()), height * float(random.random()))
        else:
            seen *= float(random.uniform(0.98, 1.1))
            centre = (width / 2, height / 2)
        window = Window(*centre, seen, 1.0, 0.0, bool(random.random() < 0.5))
        image, labels, joints, beyond = self._render(strip, window, random, pasting=0)
        person = 0 if np.mean(labels > BACKGROUND) < _MAX_NOBODY_SHARE else -1
        return View(self._retouched(image, random, beyond), labels, joints, person)

    def _retouched(
        self, image: Image.Image, random: np.random.Generator, beyond: npt.NDArray[np.bool_] | None = None
    ) -> UInt8Array:
        return retouched(image, random, beyond, self._manner.coarse)

    def _background(self, random: np.random.Generator, *, may_hold_people: bool) -> Image.Image:
        """Sample a background of the canvas's size, possibly with small bystanders."""
        size = (self._canvas.width, self._canvas.height)
        kind = random.random()
        if kind < 0.15 or not (self._empty or self._pictures):
            ground = Image.new("RGB", size, tuple(int(value) for value in random.integers(0, 256, 3)))
        elif kind < 0.25:
            corners = Image.fromarray(random.integers(0, 256, (3, 2, 3), dtype=np.uint8))
            ground = corners.resize(size, Image.Resampling.BICUBIC)
        else:
            if self._pictures and (kind < 0.45 or not self._empty):
                picture = self._pictures[int(random.integers(len(self._pictures)))]
                strip = (0, 0, *picture.size)
            else:
                photo, strip = self._empty[int(random.integers(len(self._empty)))]
                picture = photo.levels[0]
            width, height = strip[2] - strip[0], strip[3] - strip[1]
            shape = size[0] / size[1] * float(np.exp(random.uniform(-0.4, 0.4)))
            cut_height = min(height, width / shape) * float(random.uniform(0.6, 1))
            cut_width = min(width, cut_height * shape)
            left = strip[0] + float(random.uniform(0, width - cut_width))
            top = strip[1] + float(random.uniform(0, height - cut_height))
            box = (left, top, left + cut_width, top + cut_height)
            ground = picture.resize(size, Image.Resampling.BILINEAR, box=box, reducing_gap=1)
            if random.random() < 0.5:
                ground = ground.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if may_hold_people and self._masked and random.random() < 0.2:
            for _ in range(int(random.integers(1, 3))):
                self._bystander(ground, random)
        return ground

    def _bystander(self, ground: Image.Image, random: np.random.Generator) -> None:
        photo = self._masked[int(random.integers(len(self._masked)))]
        left, top, right, bottom = photo.box
        height = (bottom - top) / float(random.uniform(0.15, 0.4))
        aspect = self._canvas.width / self._canvas.height
        centre = ((left + right) / 2, (top + bottom) / 2)
        shift = (float(random.uniform(-0.45, 0.45)) * height * aspect, float(random.uniform(-0.2, 0.2)) * height)
        window = Window(centre[0] + shift[0], centre[1] + shift[1], height, 1.0, 0.0, bool(random.random() < 0.5))
        assert photo.labels is not None
        seen = np.asarray(window.look_at_labels(photo.labels, self._canvas, 1))
        mask = Image.fromarray(((seen != BACKGROUND) & (seen != OUTSIDE)) * np.uint8(255))
        ground.paste(window.look(photo.levels, self._canvas), (0, 0), mask)

    def _occlude(self, image: Image.Image, labels: UInt8Array, random: np.random.Generator) -> None:
        """Occlude a part of the view; the hidden pixels become background, hidden joints stay."""
        canvas = self._canvas
        width = float(random.uniform(0.1, 0.45)) * canvas.width
        height = float(random.uniform(0.08, 0.3)) * canvas.height
        x = float(random.uniform(0, canvas.width - width))
        y = float(random.uniform(0.1 * canvas.height, canvas.height - height))
        box = (x, y, x + width, y + height)
        mask = Image.new("L", image.size, 0)
        pen = ImageDraw.Draw(mask)
        (pen.ellipse if random.random() < 0.5 else pen.rectangle)(box, fill=255)
        image.paste(self._background(random, may_hold_people=False), (0, 0), mask)
        hidden = np.asarray(mask.resize(labels.shape[::-1], Image.Resampling.NEAREST)) > 0
        labels[hidden & (labels != UNKNOWN)] = BACKGROUND


def plain_view(photo: TrainingPhoto, canvas: Canvas, manner: Manner | None = None) -> View:
    """Return the view of an annotated person filling the canvas, without augmentation."""
    assert photo.labels is not None
    left, top, right, bottom = photo.box
    manner = manner or OF_PEOPLE
    height = manner.margin * max(bottom - top, (right - left) * canvas.height / canvas.width)
    window = Window((left + right) / 2, (top + bottom) / 2, height)
    labels = np.array(window.look_at_labels(photo.labels, canvas, REGION_STRIDE))
    labels[np.isin(labels, (OUTSIDE, CARRIED))] = BACKGROUND
    return View(
        np.array(window.look(photo.levels, canvas)), labels, window.joints(photo.joints, canvas, manner.mirrored), 1
    )


def _wears_skirt(photo: TrainingPhoto) -> bool:
    labels = np.asarray(photo.labels)
    return bool((labels == region_id("skirt")).sum() > _MIN_SKIRT_SHARE * (labels != BACKGROUND).sum())


def _window(photo: TrainingPhoto, random: np.random.Generator, canvas: Canvas, cut: bool) -> Window:
    """Sample the window of a view; a cropped photo gets no close-up."""
    left, top, right, bottom = photo.box
    tall = bottom - top
    aspect = canvas.width / canvas.height
    kind = random.random() * (0.7 if cut else 1.0)
    centre_x, shift = (left + right) / 2, random.normal(0, 1, 2)
    if kind < 0.45:  # the person, as in a second pass
        height = max(tall, (right - left) / aspect) * float(random.uniform(1.0, 1.35))
        centre_y = (top + bottom) / 2 + 0.04 * height * shift[1]
        centre_x += 0.05 * height * shift[0] * aspect
    elif kind < 0.6:  # the whole photo
        width, full = photo.levels[0].size
        height = max(full, width / aspect) * float(random.uniform(0.95, 1.1))
        centre_x, centre_y = width / 2 + 0.02 * height * shift[0], full / 2 + 0.02 * height * shift[1]
    elif kind < 0.74:  # far away
        height = tall * float(np.exp(random.uniform(np.log(1.4), np.log(3.6))))
        room = (height - tall) / 2
        centre_x += float(random.uniform(-1, 1)) * room * aspect
        centre_y = (top + bottom) / 2 + float(random.uniform(-1, 1)) * room * 0.8
    else:  # half body or close-up: the window ends above the feet, or begins below the head
        shown = tall * float(random.uniform(0.3, 0.8))
        height = max(shown, 0.75 * (right - left)) * float(random.uniform(1.05, 1.25))
        if random.random() < 0.8:
            centre_y = top - float(random.uniform(0, 0.12)) * height + height / 2
        else:
            centre_y = float(random.uniform(top + 0.4 * height, bottom - 0.3 * height))
        centre_x += 0.08 * height * shift[0] * aspect
    steep = float(random.choice([0.35, 0.12, 0.0], p=[0.12, 0.53, 0.35]))
    angle = float(random.uniform(-1, 1)) * steep
    stretch = float(np.exp(random.uniform(-0.08, 0.08)))
    return Window(centre_x, centre_y, height, stretch, angle, bool(random.random() < 0.5))


OF_PEOPLE = Manner(
    PEOPLE.mirrored,
    _window,
    nobody=0.16,
    cut=0.42,
    pasted=0.3,
    coarse=0.2,
    margin=1.12,
    rare=0.25,
    repainted=0.3,
    shaded=0.2,
    camouflaged=0.3,
)
"""Views of people."""
