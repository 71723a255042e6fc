"""Convert images between arrays and tensors, draw on them, lay them out, and write PNG files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from scmnet_cli.files import write_file
from scmnet_cli.regions import COLOURS, NUM_REGIONS
from scmnet_cli.skeleton import LIMBS
from scmnet_cli.types import FloatArray, UInt8Array

if TYPE_CHECKING:
    from torch import Tensor

PLAIN_GREY = 230
"""Grey value of a plain background."""

LIMB_COLOURS = [tuple(int(c) for c in np.array(hsv)) for hsv in (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255),
    (255, 0, 170),
)]  # fmt: skip


def to_tensor(picture: UInt8Array) -> Tensor:
    """Convert an image to a tensor for networks.

    Shape:
        picture: (H, W, 3) uint8; result: (3, H, W) float32 in [-1, 1].
    """
    import torch

    return torch.tensor(picture).permute(2, 0, 1).float() / 127.5 - 1


def to_uint8(image: Tensor) -> UInt8Array:
    """Convert a network's output to an image.

    Shape:
        image: (3, H, W) in [-1, 1]; result: (H, W, 3) uint8.
    """
    import torch

    levels = ((image.detach().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    picture: UInt8Array = levels.permute(1, 2, 0).cpu().numpy()
    return picture


def save_png(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    """Write a PNG atomically. For generated images use :func:`scmnet_cli.provenance.save_generated`.

    Shape:
        picture: (H, W, 3) or (H, W) uint8.

    Raises:
        ScmError: if it cannot be written.
    """
    write_file(path, lambda file: Image.fromarray(picture).save(file, "PNG"))


def draw_regions(picture: UInt8Array, labels: UInt8Array, strength: float = 0.6) -> UInt8Array:
    """Overlay the regions' colours on an image.

    Shape:
        picture: (H, W, 3) uint8; labels: (H, W) uint8 0-7; result: (H, W, 3) uint8.
    """
    colours = np.array(COLOURS, np.float32)[np.minimum(labels, NUM_REGIONS - 1)]
    return (picture * (1 - strength) + colours * strength).astype(np.uint8)


def draw_skeleton(picture: UInt8Array, joints: FloatArray, strength: float = 0.55) -> UInt8Array:
    """Draw a skeleton on a brightened image.

    Shape:
        picture: (H, W, 3) uint8; joints: (18, 3); result: (H, W, 3) uint8.
    """
    paled = (picture * (1 - strength) + 255 * strength).astype(np.uint8)
    image = Image.fromarray(paled)
    pen = ImageDraw.Draw(image)
    width = max(1, round(picture.shape[0] / 90))
    for (a, b), colour in zip(LIMBS, LIMB_COLOURS, strict=True):
        if joints[a, 2] > 0 and joints[b, 2] > 0:
            pen.line([tuple(joints[a, :2]), tuple(joints[b, :2])], fill=colour, width=width)
    for x, y, score in joints:
        if score > 0:
            pen.ellipse([x - width, y - width, x + width, y + width], fill=(40, 40, 40))
    return np.asarray(image)


def contact_sheet(
    rows: Sequence[Sequence[UInt8Array]],
    headers: Sequence[str] | None = None,
    captions: Sequence[str] | None = None,
    gap: int = 4,
) -> UInt8Array:
    """Arrange images in rows on white.

    Args:
        rows: rows of images, left-aligned; sizes may differ.
        headers: text above each column, which widens the column if necessary.
        captions: text below each row.
        gap: white pixels between images.

    Shape:
        rows: (H, W, 3) uint8 each; result: (H', W', 3) uint8.
    """
    num_columns = max(len(row) for row in rows)
    font = ImageFont.load_default(11)
    widths = [max((row[c].shape[1] for row in rows if c < len(row)), default=0) for c in range(num_columns)]
    for column, word in enumerate((headers or [])[:num_columns]):
        widths[column] = max(widths[column], math.ceil(font.getlength(word)))
    heights = [max(picture.shape[0] for picture in row) for row in rows]
    head, foot = (18 if headers else 0), (16 if captions else 0)
    sheet = Image.new(
        "RGB", (sum(widths) + gap * (num_columns + 1), head + sum(h + gap + foot for h in heights) + gap), "white"
    )
    pen = ImageDraw.Draw(sheet)
    y = head + gap
    for number, (row, height) in enumerate(zip(rows, heights, strict=True)):
        x = gap
        for picture, width in zip(row, widths, strict=False):
            sheet.paste(Image.fromarray(picture), (x, y))
            x += width + gap
        if captions:
            pen.text((gap, y + height + 1), captions[number], fill="black", font=font)
        y += height + gap + foot
    x = gap
    for word, width in zip(headers or [], widths, strict=False):
        pen.text((x, 3), word, fill="black", font=font)
        x += width + gap
    return np.asarray(sheet)
