"""Make backgrounds of training views hard to tell from the person: cast shadows, and walls of a garment's colour."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from scmnet_cli.regions import region_id
from scmnet_cli.types import UInt8Array

_GARMENTS = tuple(region_id(name) for name in ("upper", "skirt", "pants"))
_LEAST_SHARE = 0.01
_ON_THE_GROUND = 0.6
_FEET = 0.05
"""Share of the person's height at the lower end that stands on the ground."""


def with_shadow(image: Image.Image, person: npt.NDArray[np.bool_], random: np.random.Generator) -> Image.Image:
    """Darken the background where the person's shadow may fall: on the ground at the feet, or on a wall behind.

    Args:
        image: the view.
        person: mask of the person.
        random: source of the choices.

    Shape:
        person: (H, W), the size of ``image``.
    """
    rows = np.flatnonzero(person.any(1))
    if not len(rows):
        return image
    feet, tall = int(rows.max()) + 1, int(rows.max() - rows.min()) + 1
    mask = Image.fromarray(person * np.uint8(255))
    if random.random() < _ON_THE_GROUND:
        length = float(random.uniform(0.12, 0.6) * random.choice([-1, 1]))
        shear = float(random.uniform(-1.2, 1.2))
        feet -= round(_FEET * tall * float(random.random()))
        # A point h above the feet casts its shadow length * h above them and shear * h beside it.
        affine = (1.0, shear / length, -shear * feet / length, 0.0, 1 / length, feet * (1 - 1 / length))
    else:
        affine = (
            1.0,
            0.0,
            float(random.uniform(-0.25, 0.25)) * tall,
            0.0,
            1.0,
            float(random.uniform(-0.1, 0.03)) * tall,
        )
    cast = mask.transform(mask.size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    cast = cast.filter(ImageFilter.GaussianBlur(float(random.uniform(0.5, 6))))
    share = np.asarray(cast).astype(np.float32) / 255 * ~person * float(random.uniform(0.25, 0.7))
    pixels = np.asarray(image).astype(np.float32) * (1 - share)[..., None]
    return Image.fromarray(pixels.astype(np.uint8))


def in_garment_colour(
    ground: Image.Image, image: Image.Image, labels: UInt8Array, random: np.random.Generator
) -> Image.Image:
    """Shift a background's mean colour to that of a garment, and lower its contrast.

    Args:
        ground: the background.
        image: the view with the person.
        labels: its region ids.
        random: source of the choices.

    Shape:
        labels: (H, W), the size of both images.
    """
    worn = [region for region in _GARMENTS if np.mean(labels == region) > _LEAST_SHARE]
    if not worn:
        return ground
    garment = np.asarray(image)[labels == worn[int(random.integers(len(worn)))]].mean(0)
    pixels = np.asarray(ground).astype(np.float32)
    mean = pixels.mean((0, 1))
    shifted = (pixels - mean) * random.uniform(0.3, 1) + mean + (garment - mean) * random.uniform(0.6, 1.1)
    return Image.fromarray(shifted.clip(0, 255).astype(np.uint8))
