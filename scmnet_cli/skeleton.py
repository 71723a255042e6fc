"""The 18 joints of OpenPose, the limbs between them, and their pose maps.

Joints are rows of (x, y, score): x to the right and y down in pixels of the canvas; 0 is the centre of the first pixel.
A missing joint has score 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from scmnet_cli.types import Canvas, FloatArray

if TYPE_CHECKING:
    from torch import Tensor

ArrayT = TypeVar("ArrayT", "Tensor", FloatArray)

JOINTS = (
    "nose", "neck",
    "right_shoulder", "right_elbow", "right_wrist",
    "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle",
    "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
"""Names of the joints, in OpenPose (COCO-18) order."""

NUM_JOINTS = len(JOINTS)

LIMBS = (
    (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7),
    (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
    (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
"""Pairs of joint indices, one for each limb."""

MIRRORED = (0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16)
"""``joints[MIRRORED]`` swaps left and right."""

NUM_POSE_CHANNELS = NUM_JOINTS + 1
"""Channels of the pose maps: a heatmap per joint, and one channel for the limbs."""

_SIGMA_AT_256 = 6.0
_LIMB_SIGMA_AT_256 = 3.0


def squared_distances(
    points: FloatArray, start: FloatArray, end: FloatArray, reach: tuple[float, float] = (0.0, 1.0)
) -> FloatArray:
    """Return the squared distances of points to a limb.

    Args:
        points: the points.
        start: one end of the limb.
        end: its other end.
        reach: where the limb begins and ends, in its lengths from ``start``.

    Shape:
        points: (..., 2); start, end: (2,); result: (...,).
    """
    along = end - start
    place = ((points - start) @ along / max(float(along @ along), 1e-6)).clip(*reach)
    distances: FloatArray = ((points - start - place[..., None] * along) ** 2).sum(-1)
    return distances


def pose_maps(joints: Tensor, canvas: Canvas) -> Tensor:
    """Draw joints as pose maps for the pose encoder.

    Channel k < 18 is a Gaussian heatmap exp(-d^2 / 2 sigma^2), with d the distance to joint k and sigma = 6 px at a
    height of 256 (scaled with the height); it is zero if the joint is missing. Channel 18 is a Gaussian (sigma = 3 px)
    of the distance to the nearest limb whose two ends are known.

    Shape:
        joints: (B, 18, 3); result: (B, 19, H, W) float32 in [0, 1], on the device of ``joints``.
    """
    import torch

    joints = joints.float()
    scale = canvas.height / 256
    x = torch.arange(canvas.width, device=joints.device, dtype=torch.float32)
    y = torch.arange(canvas.height, device=joints.device, dtype=torch.float32)
    present = (joints[..., 2] > 0).float()  # (B, 18)
    falloff = -0.5 / (_SIGMA_AT_256 * scale) ** 2
    gaussian_x = torch.exp(falloff * (x - joints[..., 0:1]) ** 2)  # (B, 18, W)
    gaussian_y = torch.exp(falloff * (y - joints[..., 1:2]) ** 2)  # (B, 18, H)
    heat = (gaussian_y * present[..., None])[..., :, None] * gaussian_x[..., None, :]  # (B, 18, H, W)

    at_once = 1 if joints.device.type == "cpu" else len(joints)  # one by one, they stay in a CPU's cache
    distances = [_limb_distances(some, x, y) for some in torch.split(joints, at_once)]
    lines = torch.exp(-0.5 / (_LIMB_SIGMA_AT_256 * scale) ** 2 * torch.cat(distances))  # (B, 1, H, W)
    return torch.cat([heat, lines], dim=1)


def _limb_distances(joints: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return each pixel's squared distance to the nearest limb whose two ends are known; infinite without one.

    Shape:
        joints: (B, 18, 3); x: (W,); y: (H,); result: (B, 1, H, W).
    """
    import torch

    limbs = torch.tensor(LIMBS, device=joints.device)
    start, end = joints[:, limbs[:, 0]], joints[:, limbs[:, 1]]  # (B, 17, 3)
    drawn = (start[..., 2] > 0) & (end[..., 2] > 0)
    along = (end - start)[..., :2]
    length_sq = along.square().sum(-1).clamp(min=1e-6)
    offset_x = x[None, None, None, :] - start[..., 0, None, None]  # (B, 17, 1, W)
    offset_y = y[None, None, :, None] - start[..., 1, None, None]  # (B, 17, H, 1)
    along_x, along_y = along[..., None, None].unbind(2)  # (B, 17, 1, 1) each
    position = offset_x * along_x + offset_y * along_y  # (B, 17, H, W), in place from here on: it is large
    position.div_(length_sq[..., None, None]).clamp_(0, 1)
    distance_sq = (offset_x - position * along_x).square_()
    distance_sq.add_((offset_y - position.mul_(along_y)).square_())
    return distance_sq.masked_fill_(~drawn[..., None, None], float("inf")).amin(1, keepdim=True)


def mirror(joints: ArrayT, width: int) -> ArrayT:
    """Return the joints of the horizontally mirrored image, with left and right swapped; of a tensor or an array.

    Shape:
        joints, result: (..., 18, 3).
    """
    swapped: Any = joints[..., list(MIRRORED), :]  # a copy
    x, known = swapped[..., 0], swapped[..., 2] > 0
    swapped[..., 0] = known * (width - 1 - x) + ~known * x
    mirrored: ArrayT = swapped
    return mirrored


def rescale(joints: FloatArray, have: Canvas, want: Canvas) -> FloatArray:
    """Convert joints to pixels of another canvas of the same image.

    Shape:
        joints, result: (18, 3).
    """
    scaled = joints.copy()
    scaled[:, 0] *= want.width / have.width
    scaled[:, 1] *= want.height / have.height
    return scaled
