"""Train people with lifted and bent arms, drawn by the part warp: photos of the data hardly show such arms.

Labels and joints are exact: they move with the pixels. Holes that the warp leaves inside the body have no label.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image, ImageFilter

from scmnet_cli.analyser.training.transplants import Figure, figure_of
from scmnet_cli.analyser.training.views import UNKNOWN, TrainingPhoto, training_photo
from scmnet_cli.data.reposing import repose, target_pose
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import UInt8Array

_NEEDED = [JOINTS.index(f"{side}_{name}") for side in ("right", "left") for name in ("elbow", "wrist")]
_AT_BORDER = 0.01  # share of the border of the photo that the person may cover


def reposed_people(
    photos: Sequence[TrainingPhoto],
    pictures: Sequence[Image.Image],
    num: int,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[TrainingPhoto]:
    """Return ``num`` photos of train people with turned arms, on other backgrounds; none if nobody fits.

    Args:
        photos: annotated photos.
        pictures: pictures without people, for backgrounds.
        num: number of photos to draw.
        seed: seed of the choices.
        progress: called with the number done and in all.
    """
    random = np.random.default_rng((seed, num, 1))
    figures = [figure for photo in photos if (figure := figure_of(photo)) is not None and _fits(figure)]
    grounds = [photo.levels[0].crop(strip) for photo in photos for strip in photo.empty]
    grounds = [*grounds, *pictures] or [Image.new("RGB", (8, 8), (128, 128, 128))]
    found: list[TrainingPhoto] = []
    for _ in range(num if figures else 0):
        figure = figures[int(random.integers(len(figures)))]
        ground = grounds[int(random.integers(len(grounds)))]
        found.append(_reposed(figure, ground, random))
        if progress:
            progress(len(found), num)
    return found


def _fits(figure: Figure) -> bool:
    """Whether both arms are known and the photo cuts no limb off."""
    inside = figure.labels[figure.inside] != BACKGROUND
    border = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
    return bool((figure.joints[_NEEDED, 2] > 0).all() and border.mean() < _AT_BORDER)


def _reposed(figure: Figure, ground: Image.Image, random: np.random.Generator) -> TrainingPhoto:
    image = torch.from_numpy(figure.image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    labels, joints = torch.from_numpy(figure.labels.copy())[None], torch.from_numpy(figure.joints)[None]
    posed = torch.from_numpy(target_pose(figure.joints, random))[None]
    drawn = repose(image, labels, joints, posed, plain=True)
    person = drawn.labels[0].numpy()
    moved: UInt8Array = np.where(drawn.sure[0, 0].numpy() < 0.5, UNKNOWN, person).astype(np.uint8)
    mask = Image.fromarray((person != BACKGROUND) * np.uint8(255))
    mask = mask.filter(ImageFilter.GaussianBlur(float(random.uniform(0.4, 1.2))))
    canvas = ground.convert("RGB").resize(mask.size, Image.Resampling.BILINEAR)
    pixels = ((drawn.image[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).byte().numpy()
    canvas.paste(Image.fromarray(pixels), (0, 0), mask)
    return training_photo(np.asarray(canvas), moved, drawn.visible_joints[0].numpy())
