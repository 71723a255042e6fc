"""Training photos of the face parser: faces of CelebAMask-HQ, and people of Clothing Co-Parsing.

Trainer, losses and views are the analyser's. Views show a face of CelebAMask-HQ aligned as in the data set, closer, or
small in another image. Heads of street photos, with known eyes and nose and annotated hair and clothes, resemble the
first pass over a larger photo.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from scmnet_cli.analyser.face_landmarks import NUM_LANDMARKS, aligning, landmarks_of
from scmnet_cli.analyser.subjects import FACES
from scmnet_cli.analyser.training.passers_by import PASSERS_BY
from scmnet_cli.analyser.training.photos import ENCODER, TEXTURES, Material, textures
from scmnet_cli.analyser.training.views import ONE_OF, UNKNOWN, Manner, TrainingPhoto, empty_rectangles, training_photo
from scmnet_cli.analyser.windows import Window
from scmnet_cli.data.prepared import is_val
from scmnet_cli.errors import ScmError
from scmnet_cli.regions import BACKGROUND, BODY_REGIONS, CELEBAMASK19, FACE_REGIONS, region_id, to_regions
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.sources.ccp import CcpSource
from scmnet_cli.sources.celebamask import CelebAMaskSource
from scmnet_cli.training.state import fingerprint
from scmnet_cli.types import Canvas, FloatArray, Person, UInt8Array

log = logging.getLogger(__name__)

_HEADS_EVERY = 2
"""Every so many-th street photo gives its head; all give images without a face."""

_TEXTURES_TIMES, _NUM_SHAPES = 20, 400
"""Repetitions of each texture and number of shape images; street photos give about two thousand images more."""

_AROUND = 3.0
"""Side of the crop around a head, relative to the side of the face's square."""

_OF_A_FACE = ("skin", "brows", "eyes", "nose", "mouth")
_SMALLEST_FACE = 40
_KEPT_PICTURE = 400
_BELOW_SHOULDERS = 0.12
"""Distance below the shoulders, as a share of the person's height, at which an image without a face starts."""


def read_faces(root: Path, street: Path | None = None, progress: Callable[[int, int], None] | None = None) -> Material:
    """Read CelebAMask-HQ; every tenth usable face by name is for validation, as in ``scm preprocess``.

    Args:
        root: the data set's folder.
        street: folder of Clothing Co-Parsing, whose train photos give heads and images without faces; None for neither.
        progress: called with the number of photos read and in all.

    Raises:
        ScmError: if a folder has another layout, or has no usable face.
    """
    source = CelebAMaskSource(root)
    names = source.names()
    train: list[TrainingPhoto] = []
    val: list[TrainingPhoto] = []
    used: list[str] = []
    rank = 0
    for number, name in enumerate(names, start=1):
        if progress:
            progress(number, len(names))
        try:
            photo = face_photo(source.read(name))
        except ScmError as error:
            log.info("%s: %s", name, error)
            continue
        (val if is_val(rank) else train).append(photo)
        if not is_val(rank):
            used.append(name)
        rank += 1
    if not train:
        raise ScmError(f"{root}: no face is usable for training")
    pictures = [*textures(TEXTURES) * _TEXTURES_TIMES, *(_shapes(number) for number in range(_NUM_SHAPES))]
    heads: list[TrainingPhoto] = []
    data = "CelebAMask-HQ (non-commercial research and education only)"
    if street is not None:
        data += "; heads and clothes of Clothing Co-Parsing (Apache-2.0), train photos only"
        for number, person in enumerate(_street_people(street)):
            used.append(f"street {person.name}")
            pictures += without_face(person)
            if number % _HEADS_EVERY == 0 and (head := head_photo(person)) is not None:
                heads.append(head)
    about = {
        "kind": FACES.kind,
        "licence": "non-commercial research and education only, as CelebAMask-HQ, which it was trained on",
        "data": data,
        "encoder": ENCODER,
    }
    one_of = tuple(region_id(name, FACE_REGIONS) for name in _OF_A_FACE)
    return Material(train, heads, val, pictures, fingerprint(used), FACES, OF_FACES, one_of, about)


def face_photo(face: Person) -> TrainingPhoto:
    """Return the training photo of a face of CelebAMask-HQ, given with part ids.

    Raises:
        ScmError: if it shows fewer than two landmarks.
    """
    landmarks = landmarks_of(face.regions)
    if aligning(landmarks) is None:
        raise ScmError("neither eyes nor mouth are annotated")
    photo = training_photo(face.image, to_regions(face.regions, CELEBAMASK19, FACE_REGIONS), landmarks)
    width, height = photo.levels[0].size
    return replace(photo, box=(0.0, 0.0, float(width), float(height)), empty=())


def head_photo(person: Person) -> TrainingPhoto | None:
    """Return a crop around the head of a person in a street photo; None if the face is turned away or tiny.

    Hair, clothes, background and the face as a whole are labelled. The parts of the face, arms and legs, and the
    corners of the mouth are unknown.
    """
    eyes_and_nose = person.joints[[JOINTS.index(name) for name in ("right_eye", "left_eye", "nose")]]
    right, left, nose = eyes_and_nose[:, 0].tolist()
    if not (eyes_and_nose[:, 2] > 0).all() or not right < nose < left:
        return None
    landmarks = np.zeros((NUM_LANDMARKS, 3), np.float32)
    landmarks[:3] = eyes_and_nose
    window = aligning(landmarks)
    if window is None or window.height < _SMALLEST_FACE:
        return None
    landmarks[3:, 2] = -1
    height, width = person.regions.shape
    reach = _AROUND / 2 * window.height
    left, top = max(0, round(window.centre_x - reach)), max(0, round(window.centre_y - reach))
    right, bottom = min(width, round(window.centre_x + reach)), min(height, round(window.centre_y + reach))
    landmarks[:3, :2] -= (left, top)
    photo = training_photo(
        person.image[top:bottom, left:right], _FACE_LABELS[person.regions[top:bottom, left:right]], landmarks
    )
    scale = photo.levels[0].height / (bottom - top)
    half = window.height / 2
    corner = (window.centre_x - left - half, window.centre_y - top - half)
    box = tuple(scale * edge for edge in (*corner, corner[0] + 2 * half, corner[1] + 2 * half))
    return replace(photo, box=(box[0], box[1], box[2], box[3]), empty=())


def without_face(person: Person, passers_by: frozenset[str] = PASSERS_BY) -> list[Image.Image]:
    """Return images without a face from a street photo: strips beside the person, and the body below the shoulders."""
    labels = Image.fromarray(person.regions)
    boxes = [
        strip
        for strip in empty_rectangles(labels, labels.size)
        if f"{person.name}{'r' if strip[0] else 'l'}" not in passers_by
    ]
    rows, columns = np.nonzero(person.regions != BACKGROUND)
    shoulders = person.joints[[JOINTS.index("right_shoulder"), JOINTS.index("left_shoulder")]]
    if (shoulders[:, 2] > 0).all():
        top = round(float(shoulders[:, 1].max()) + _BELOW_SHOULDERS * np.ptp(rows))
        body = (int(columns.min()), top, int(columns.max()) + 1, int(rows.max()) + 1)
        if body[3] - top > 0.3 * np.ptp(rows):
            boxes.append(body)
    return [_kept(person.image[top:bottom, left:right]) for left, top, right, bottom in boxes]


def _shapes(number: int) -> Image.Image:
    """Draw random discs and boxes: negatives for round shapes with round shapes inside."""
    random = np.random.default_rng((number, len(FACES.joints)))
    side = 160
    ground = Image.fromarray(random.integers(0, 256, (3, 3, 3), dtype=np.uint8))
    picture = ground.resize((side, side), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    for size in np.sort(random.uniform(0.03, 0.8, int(random.integers(3, 14))))[::-1] * side:
        x, y = random.uniform(-0.1, 1.1, 2) * side
        wide = size * float(random.uniform(0.6, 1.4))
        box = (x - wide / 2, y - size / 2, x + wide / 2, y + size / 2)
        draw = pen.ellipse if random.random() < 0.75 else pen.rectangle
        draw(box, fill=tuple(int(value) for value in random.integers(0, 256, 3)))
    return picture.filter(ImageFilter.GaussianBlur(float(random.uniform(0, 2))))


def _kept(picture: UInt8Array) -> Image.Image:
    image = Image.fromarray(picture)
    image.thumbnail((_KEPT_PICTURE, _KEPT_PICTURE))
    return image


def _street_people(root: Path) -> Iterator[Person]:
    source = CcpSource(root)
    rank = 0
    for name in source.names():
        try:
            person = source.read(name)
        except ScmError as error:
            log.info("%s: %s", name, error)
            continue
        if not is_val(rank):
            yield person
        rank += 1


def _face_labels() -> UInt8Array:
    """Return the face region of each body region, ``ONE_OF`` for the face, ``UNKNOWN`` for the rest."""
    known = {"background": "background", "hair": "hair"} | dict.fromkeys(("upper", "pants", "skirt"), "cloth")
    labels = {name: region_id(region, FACE_REGIONS) for name, region in known.items()} | {"face": ONE_OF}
    return np.array([labels.get(name, UNKNOWN) for name in BODY_REGIONS], np.uint8)


_FACE_LABELS = _face_labels()


def _window(photo: TrainingPhoto, random: np.random.Generator, canvas: Canvas, cut: bool) -> Window:
    """Sample the window of a view: aligned as in the last pass, farther away as in a first pass, or closer."""
    del canvas, cut
    left, top, right, bottom = photo.box
    side, kind = bottom - top, random.random()
    shift: FloatArray = random.normal(0, 1, 2).astype(np.float32)
    turn = float(random.choice([0.6, 0.2, 0.06], p=[0.15, 0.35, 0.5]))
    if kind < 0.55:
        scale = float(random.uniform(0.92, 1.2))
        away = 0.03 * shift
    elif kind < 0.85:
        scale = float(np.exp(random.uniform(np.log(1.2), np.log(2.8))))
        away = (scale - 0.8) * random.uniform(-0.4, 0.4, 2).astype(np.float32)
    else:
        scale = float(random.uniform(0.65, 0.92))
        away = 0.06 * shift
        turn = min(turn, 0.2)
    x, y = ((left + right) / 2 + float(away[0]) * side, (top + bottom) / 2 + float(away[1]) * side)
    stretch = float(np.exp(random.uniform(-0.06, 0.06)))
    angle = float(random.uniform(-1, 1)) * turn
    return Window(x, y, scale * side, stretch, angle, bool(random.random() < 0.5))


OF_FACES = Manner(FACES.mirrored, _window, nobody=0.14, cut=0.0, pasted=0.35, coarse=0.3, margin=1.0)
"""Views of faces."""
