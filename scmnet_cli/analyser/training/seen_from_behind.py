"""Train people with their faces painted over with hair: the data shows hardly anybody from behind.

A person from behind has hair where the face was, no nose and no eyes, and left and right exchanged. Bodies look much
alike from both sides, so the rest of the photo stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFilter

from scmnet_cli.analyser.training.views import UNKNOWN, TrainingPhoto, training_photo
from scmnet_cli.models.part_joints import body_size
from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import JOINTS, MIRRORED
from scmnet_cli.types import FloatArray, UInt8Array

_FACE, _HAIR, _UPPER = (region_id(name) for name in ("face", "hair", "upper"))
_NECK, _SHOULDERS = JOINTS.index("neck"), [JOINTS.index(f"{side}_shoulder") for side in ("right", "left")]
_FACE_JOINTS = [JOINTS.index(name) for name in ("nose", "right_eye", "left_eye")]
_EARS = [JOINTS.index(name) for name in ("right_ear", "left_ear")]
_LEAST_HAIR, _LEAST_UPPER = 60, 200  # pixels
_HEAD_RADIUS = 0.4  # torso lengths
_LONG = 0.45
"""Share of people who get long hair, which falls onto the back."""

_Mask = npt.NDArray[np.bool_]


def seen_from_behind(
    photos: Sequence[TrainingPhoto], num: int, seed: int, progress: Callable[[int, int], None] | None = None
) -> list[TrainingPhoto]:
    """Return ``num`` photos of people with hair instead of a face; none if nobody fits.

    Args:
        photos: annotated photos.
        num: number of photos to paint.
        seed: seed of the choices.
        progress: called with the number done and in all.
    """
    random = np.random.default_rng((seed, num, 2))
    fitting = [photo for photo in photos if _fits(photo)]
    found: list[TrainingPhoto] = []
    for _ in range(num if fitting else 0):
        found.append(_painted(fitting[int(random.integers(len(fitting)))], random))
        if progress:
            progress(len(found), num)
    return found


def _fits(photo: TrainingPhoto) -> bool:
    """Whether the person faces the camera, with a head of hair of a known colour."""
    if photo.labels is None:
        return False
    joints, labels = photo.joints, np.asarray(photo.labels)
    known = (joints[[*_FACE_JOINTS, _NECK, *_SHOULDERS], 2] > 0).all()
    right, left = joints[_SHOULDERS, 0]
    enough = (labels == _HAIR).sum() >= _LEAST_HAIR and (labels == _UPPER).sum() >= _LEAST_UPPER
    return bool(known and left - right > 0.4 * _size(joints) and enough)


def _size(joints: FloatArray) -> float:
    counted = torch.from_numpy(np.where(joints[:, 2:] > 0, joints, 0).astype(np.float32))
    return float(body_size(counted[None])[0])


def _painted(photo: TrainingPhoto, random: np.random.Generator) -> TrainingPhoto:
    assert photo.labels is not None
    pixels: FloatArray = np.asarray(photo.levels[0]).astype(np.float32)
    labels: UInt8Array = np.asarray(photo.labels).copy()
    joints, size = photo.joints.copy(), _size(photo.joints)
    rows, columns = np.mgrid[: labels.shape[0], : labels.shape[1]]
    head_x, head_y = joints[_FACE_JOINTS, :2].mean(0)
    neck = float(joints[_NECK, 1])
    chin = head_y + random.uniform(0.45, 0.85) * (neck - head_y)  # the hairline on the neck
    head = (columns - head_x) ** 2 + (rows - head_y) ** 2 < (_HEAD_RADIUS * size) ** 2
    hair = (labels == _FACE) & head & (rows < chin)
    if random.random() < _LONG:
        hair |= _falling(labels.shape, (head_x, head_y), neck + random.uniform(-0.1, 0.7) * size, size, random)
    below = (labels == _FACE) & (rows > neck + 0.05 * size)  # from behind the garment covers the chest
    pixels = _filled(pixels, labels == _UPPER, below & ~hair, random)
    pixels = _filled(pixels, labels == _HAIR, hair, random)
    edge = np.asarray(Image.fromarray((labels == _HAIR) | hair).filter(ImageFilter.MinFilter(3)))
    labels[below] = _UPPER
    labels[hair] = _HAIR
    labels[hair & ~edge & (rows > neck)] = UNKNOWN
    joints[_FACE_JOINTS] = 0
    joints[_EARS, 2] = -1
    return training_photo(pixels.clip(0, 255).astype(np.uint8), labels, joints[list(MIRRORED)])


def _falling(
    shape: tuple[int, ...], head: tuple[float, float], end: float, size: float, random: np.random.Generator
) -> _Mask:
    """Return a mask of long hair that falls from the head down to a row."""
    x, y = head
    top, bottom = (float(random.uniform(*bounds)) * size for bounds in ((0.17, 0.24), (0.14, 0.34)))
    drawn = Image.new("1", (shape[1], shape[0]))
    outline = [
        (x - top, y),
        (x + top, y),
        (x + bottom, end),
        (x, end + random.uniform(0, 0.12) * size),
        (x - bottom, end),
    ]
    ImageDraw.Draw(drawn).polygon(outline, fill=1)
    return np.asarray(drawn)


def _filled(pixels: FloatArray, source: _Mask, mask: _Mask, random: np.random.Generator) -> FloatArray:
    """Fill a mask with vertical strands in the colours of the source's pixels."""
    if not mask.any() or not source.any():
        return pixels
    of_source = pixels[source]
    spread = np.abs(of_source - np.median(of_source, 0)).mean(0).clip(3, 30)
    strands = random.normal(0, 1, (mask.shape[0] // 12 + 2, mask.shape[1])).astype(np.float32)
    streaks = np.asarray(Image.fromarray(strands).resize(mask.shape[::-1], Image.Resampling.BICUBIC))
    shade = np.asarray(Image.fromarray(random.normal(0, 1, (6, 5)).astype(np.float32)).resize(mask.shape[::-1], 3))
    texture = np.median(of_source, 0) + (0.8 * streaks + 0.7 * shade)[..., None] * spread
    soft = Image.fromarray(mask * np.uint8(255)).filter(ImageFilter.GaussianBlur(float(random.uniform(0.6, 1.6))))
    share = np.asarray(soft).astype(np.float32)[..., None] / 255
    mixed: FloatArray = (pixels * (1 - share) + texture * share).astype(np.float32)
    return mixed
