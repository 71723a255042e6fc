"""Retouch training views: colours, sharpness, resolution, compression and noise vary as those of photos do."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageFilter

from scmnet_cli.analyser.analysis import BEYOND
from scmnet_cli.types import UInt8Array


def retouched(
    image: Image.Image, random: np.random.Generator, beyond: npt.NDArray[np.bool_] | None, how_often_coarse: float
) -> UInt8Array:
    """Augment colours, sharpness and compression, but not the grey beyond the photo."""
    if random.random() < 0.8:
        gain = random.uniform(0.75, 1.3) * random.uniform(0.9, 1.1, 3)
        gamma = float(np.exp(random.uniform(-0.35, 0.35)))
        offset = float(random.uniform(-20, 20))
        levels = (np.arange(256) / 255) ** gamma * 255
        table = np.concatenate([(levels * channel + offset).clip(0, 255) for channel in gain]).astype(int)
        image = image.point(table.tolist())
    if random.random() < 0.5:
        image = ImageEnhance.Color(image).enhance(float(random.uniform(0, 1.7)))
    if random.random() < 0.06:
        image = image.convert("L").convert("RGB")
    if random.random() < how_often_coarse:
        coarse = float(random.uniform(0.3, 0.7))
        small = image.resize((round(image.width * coarse), round(image.height * coarse)), Image.Resampling.BILINEAR)
        image = small.resize(image.size, Image.Resampling.BILINEAR)
    if random.random() < 0.12:
        image = image.filter(ImageFilter.GaussianBlur(float(random.uniform(0.4, 1.8))))
    if random.random() < 0.2:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(random.integers(15, 85)))
        image = Image.open(buffer)
    pixels = np.array(image)
    if random.random() < 0.08:
        noise = random.normal(0, random.uniform(3, 14), pixels.shape).astype(np.float32)
        pixels = (pixels + noise).clip(0, 255).astype(np.uint8)
    if beyond is not None:
        pixels[beyond] = BEYOND
    return pixels
