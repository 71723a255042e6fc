"""Face crop: LPIPS of the head alone, which hardly affects the LPIPS of whole images."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.metrics.region_consistency import MIN_SHARE
from scmnet_cli.models.part_joints import body_size
from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import JOINTS

SIDE = 64
"""Height and width to which crops are resized."""

_FACE = [JOINTS.index(name) for name in ("nose", "right_eye", "left_eye")]
_HEAD = [*_FACE, *(JOINTS.index(name) for name in ("right_ear", "left_ear"))]
_PER_TORSO, _PER_SPREAD = 0.65, 1.6
_LEAST_SIDE = 8.0  # pixels of the image


def shows_face(joints: Tensor, masks: Tensor) -> Tensor:
    """Return whether each face is visible: nose or an eye is known, and the face covers at least 0.1 % of the image.

    Shape:
        joints: (B, 18, 3); masks: (B, 8, H, W) one-hot; result: (B,) bool.
    """
    face = masks[:, region_id("face")].float().mean((1, 2)) >= MIN_SHARE
    return (joints[:, _FACE, 2] > 0).any(1).to(face.device) & face


def head_boxes(joints: Tensor) -> Tensor:
    """Return a square around each head: centre x, centre y and side, in pixels of the joints.

    The centre is the mean of nose, eyes and ears. The side is the larger of 0.65 torso lengths and 1.6 times the extent
    of these joints.

    Shape:
        joints: (B, 18, 3); result: (B, 3), NaN without a joint of the head.
    """
    points, known = joints[:, _HEAD, :2], joints[:, _HEAD, 2:] > 0  # (B, 5, 2), (B, 5, 1)
    centre = torch.where(known, points, 0).sum(1) / known.sum(1)
    low = torch.where(known, points, torch.inf).amin(1)
    high = torch.where(known, points, -torch.inf).amax(1)
    spread = (high - low).amax(1)
    side = torch.maximum(_PER_TORSO * body_size(joints), _PER_SPREAD * spread).clamp(min=_LEAST_SIDE)
    return torch.cat([centre, side[:, None]], dim=1)


def crop_heads(images: Tensor, boxes: Tensor) -> Tensor:
    """Crop squares from images and resize them to 64x64; outside the image its border is repeated.

    Shape:
        images: (B, 3, H, W); boxes: (B, 3) as :func:`head_boxes` gives them; result: (B, 3, 64, 64).
    """
    height, width = images.shape[2:]
    crops = []
    for image, (x, y, side) in zip(images, boxes.tolist(), strict=True):
        length = max(1, round(side))
        left, top = math.floor(x + 0.5 - side / 2), math.floor(y + 0.5 - side / 2)
        rows = torch.arange(top, top + length, device=image.device).clamp(0, height - 1)
        columns = torch.arange(left, left + length, device=image.device).clamp(0, width - 1)
        crop = image[:, rows][:, :, columns][None]
        crops.append(F.interpolate(crop, size=(SIDE, SIDE), mode="bicubic", antialias=True).clamp(-1, 1))
    return torch.cat(crops)


def face_crop(
    distance: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    truth: Tensor,
    joints: Tensor,
    masks: Tensor,
    source_joints: Tensor,
    source_masks: Tensor,
) -> Tensor:
    """Return the distance of head crops; NaN if target or source does not show the face.

    Args:
        distance: LPIPS.
        images: generated images.
        truth: the true targets.
        joints: joints of the targets; they place the crops.
        masks: regions of the targets.
        source_joints: joints of the sources.
        source_masks: regions of the sources.

    Shape:
        images, truth: (B, 3, H, W) in [-1, 1]; joints, source_joints: (B, 18, 3), in pixels of the images; masks,
        source_masks: (B, 8, H, W) one-hot; result: (B,).
    """
    found = images.new_full((len(images),), torch.nan)
    both = shows_face(joints, masks) & shows_face(source_joints, source_masks)
    if both.any():
        boxes = head_boxes(joints.to(both.device)[both])
        found[both] = distance(crop_heads(images[both], boxes), crop_heads(truth[both], boxes))
    return found
