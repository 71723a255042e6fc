"""Augmentation ``anti_copy``: move the source, so that the network cannot copy pixels from the same position.

The paper names the problem (section 5) and leaves the remedy, "spatial transformation" of the training data, to future
work. Image, regions and joints of the source are flipped, rotated, scaled, shifted and smoothly warped together, and
sometimes lose a region or the lower half. The target and its pose do not change. Each random choice is seeded by the
image's position in the stream of training images, so it does not depend on batch size, process count or resuming.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.config import DataConfig
from scmnet_cli.regions import BACKGROUND, NUM_REGIONS
from scmnet_cli.skeleton import MIRRORED

_WARP_GRID = (4, 3)
_KEPT_HALF = (0.45, 0.65)  # share of the person's height
_MOVE_STREAM = 1
_CLOSE_UP_SCALES = (1.2, 2.0)
_HEADROOM = (0.02, 0.1)  # share of a close-up's height above the person
_MAX_OFFSET = 0.08  # horizontal offset of a close-up from the person's centre, as a share of its width
_WARP_STEPS = 3  # fixed-point iterations that invert the smooth warp at a joint
_BELOW = 0.06  # joints further below the person's last row than this share of the height become missing


@dataclass(frozen=True)
class Moves:
    """Random transforms of the images of a batch.

    Shape:
        affine: (B, 2, 3) float32, from output to input coordinates, both in units of half the height with the origin at
            the centre; warp: (B, 2, 4, 3) float32, displacements in the same unit; lost_region: (B,) int64, index of
            the dropped region among the regions present, -1 for none; kept: (B,) float32, share of the person's height
            that is kept, from the top; 1 for all.
    """

    affine: Tensor
    warp: Tensor
    lost_region: Tensor
    kept: Tensor

    def alignment(self, aspect: float) -> Tensor:
        """Return where a moved face has the places of the unmoved one, as an alignment by landmarks would.

        The left eye of a mirrored face is where its image shows a left eye. The smooth warp is left out.

        Args:
            aspect: width of the images divided by their height.

        Shape:
            result: (B, 2, 3), from places of the unmoved image to places of the moved one, in the unit of ``affine``.
        """
        matrix = self.affine[:, :, :2]
        offset = self.affine[:, :, 2:] * self.affine.new_tensor([[2 * aspect], [2.0]])  # (B, 2, 1), in half heights
        back = torch.linalg.inv(matrix)
        mirrored = torch.linalg.det(matrix).sign()
        flip = torch.stack([mirrored, torch.ones_like(mirrored)], dim=1)  # (B, 2)
        return torch.cat([back * flip[:, None], -(back @ offset)], dim=2)

    def to(self, device: torch.device) -> Moves:
        """Return the same moves on another device."""
        return Moves(*(t.to(device) for t in (self.affine, self.warp, self.lost_region, self.kept)))


def draw_moves(config: DataConfig, seed: int, positions: Sequence[int], *, losses: bool = True) -> Moves:
    """Sample the moves of the images at these positions of the training stream.

    Args:
        config: ranges and probabilities.
        seed: seed of the run.
        positions: position of each image in the training stream; the same position gives the same move.
        losses: whether regions and lower halves may be dropped; False for evaluation.
    """
    affine = np.zeros((len(positions), 2, 3), np.float32)
    warp = np.zeros((len(positions), 2, *_WARP_GRID), np.float32)
    lost = np.full(len(positions), -1, np.int64)
    kept = np.ones(len(positions), np.float32)
    for row, position in enumerate(positions):
        random = np.random.default_rng((seed, _MOVE_STREAM, position))
        flip = -1.0 if random.random() < config.flip else 1.0
        angle = np.deg2rad(random.uniform(-config.rotate, config.rotate))
        scale = 1 + random.uniform(-config.scale, config.scale)
        shift = random.uniform(-config.shift, config.shift, 2)  # x in widths, y in heights
        cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
        affine[row] = [[cos * flip, sin, shift[0]], [-sin * flip, cos, shift[1]]]
        warp[row] = random.normal(0, config.warp, warp.shape[1:])
        loses_region, which, loses_half, share = random.random(4)
        if losses and loses_region < config.drop_region:
            lost[row] = int(which * NUM_REGIONS)
        if losses and loses_half < config.half_body:
            kept[row] = _KEPT_HALF[0] + share * (_KEPT_HALF[1] - _KEPT_HALF[0])
    return Moves(*(torch.from_numpy(array) for array in (affine, warp, lost, kept)))


def move(image: Tensor, labels: Tensor, moves: Moves, fill: float | None) -> tuple[Tensor, Tensor]:
    """Apply moves to images and label maps.

    Args:
        image: images.
        labels: their label maps.
        moves: sampled moves, on the same device.
        fill: grey value in [-1, 1] outside the image and of dropped pixels; None repeats the image's border outside,
            and fills dropped pixels with 0.

    Shape:
        image: (B, 3, H, W) in [-1, 1]; labels: (B, H, W) uint8; results have the same shapes.
    """
    height, width = image.shape[2:]
    aspect = width / height
    y, x = torch.meshgrid(
        (torch.arange(height, device=image.device) + 0.5) / height * 2 - 1,
        ((torch.arange(width, device=image.device) + 0.5) / width * 2 - 1) * aspect,
        indexing="ij",
    )
    warp = F.interpolate(moves.warp, size=(height, width), mode="bicubic", align_corners=True)  # (B, 2, H, W)
    offset = moves.affine[:, :, 2] * torch.tensor([2 * aspect, 2.0], device=image.device)
    from_x, from_y, shift = (t[:, :, None, None] for t in (*moves.affine[:, :, :2].unbind(2), offset))  # (B, 2, 1, 1)
    # Not a matrix product: its rounding depends on the batch size, which could change a label on a border.
    found = from_x * x + from_y * y + shift + warp  # (B, 2, H, W), in half heights
    grid = torch.stack([found[:, 0] / aspect, found[:, 1]], dim=-1)  # (B, H, W, 2) in [-1, 1]
    level = 0.0 if fill is None else fill
    padding = "border" if fill is None else "zeros"
    moved = F.grid_sample(image - level, grid, padding_mode=padding, align_corners=False) + level
    moved_labels = F.grid_sample(labels[:, None].float(), grid, mode="nearest", align_corners=False)[:, 0].to(
        labels.dtype
    )

    dropped = _dropped(moved_labels, moves)
    grey = 0.0 if fill is None else fill
    return torch.where(dropped[:, None], grey, moved), torch.where(dropped, BACKGROUND, moved_labels)


def move_joints(joints: Tensor, moves: Moves, labels: Tensor) -> Tensor:
    """Apply moves to joints, as :func:`move` does to their image.

    Joints outside the image, or below the person's last remaining row, become missing. Mirroring swaps left and right.

    Shape:
        joints, result: (B, 18, 3); labels: (B, H, W), already moved.
    """
    height, width = labels.shape[1:]
    aspect, half = width / height, height / 2
    offset = moves.affine[:, :, 2] * joints.new_tensor([2 * aspect, 2.0])
    matrix = moves.affine[:, :, :2]
    wanted = torch.stack([(joints[..., 0] + 0.5) / half - aspect, (joints[..., 1] + 0.5) / half - 1], dim=-1)
    inverse = torch.linalg.inv(matrix)
    found = (wanted - offset[:, None]) @ inverse.transpose(1, 2)
    for _ in range(_WARP_STEPS):  # the smooth warp is a function of output coordinates, which are the unknowns
        at = torch.stack([found[..., 0] / aspect, found[..., 1]], dim=-1)[:, :, None]  # (B, 18, 1, 2)
        warp = F.grid_sample(moves.warp, at, mode="bicubic", padding_mode="border", align_corners=True)[..., 0]
        found = (wanted - offset[:, None] - warp.transpose(1, 2)) @ inverse.transpose(1, 2)
    x, y = (found[..., 0] + aspect) * half - 0.5, (found[..., 1] + 1) * half - 0.5
    rows = (labels != BACKGROUND).any(2)
    bottom = torch.where(rows, torch.arange(height, device=labels.device), -1).amax(1)[:, None]
    kept = (joints[..., 2] > 0) & (x > -1) & (x < width) & (y > -1) & (y < bottom + _BELOW * height)
    moved = torch.stack([x, y, joints[..., 2]], dim=-1) * kept[..., None]
    mirrored = (torch.linalg.det(matrix) < 0)[:, None, None]
    return torch.where(mirrored, moved[:, list(MIRRORED)], moved)


def close_up(
    image: Tensor, labels: Tensor, joints: Tensor, chosen: Tensor, seeds: Sequence[tuple[int, ...]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Crop chosen images to the upper part of the person, like a portrait, and enlarge the crop to the canvas.

    Args:
        image: images.
        labels: their label maps.
        joints: their joints; those outside the crop become missing.
        chosen: the images to crop.
        seeds: seed of each image's crop.

    Shape:
        image: (B, 3, H, W); labels: (B, H, W) uint8; joints: (B, J, 3); chosen: (B,) bool; results have the same
        shapes.
    """
    image, labels, joints = image.clone(), labels.clone(), joints.clone()
    height, width = labels.shape[1:]
    for row in chosen.nonzero().flatten().tolist():
        random = np.random.default_rng(seeds[row])
        rows, columns = (labels[row] != BACKGROUND).nonzero(as_tuple=True)
        if not len(rows):
            continue
        scale = random.uniform(*_CLOSE_UP_SCALES)
        tall, wide = round(height / scale), round(width / scale)
        top = int(rows.min()) - random.uniform(*_HEADROOM) * tall
        left = float(columns.float().mean()) + (random.uniform(-_MAX_OFFSET, _MAX_OFFSET) - 0.5) * wide
        y, x = (round(min(max(at, 0), most)) for at, most in ((top, height - tall), (left, width - wide)))
        box = (..., slice(y, y + tall), slice(x, x + wide))
        size = (height, width)
        image[row] = F.interpolate(image[row][box][None], size, mode="bicubic").clamp(-1, 1)[0]
        labels[row] = F.interpolate(labels[row][box][None, None].float(), size, mode="nearest-exact")[0, 0]
        places = joints[row, :, :2]
        places[:, 0] = (places[:, 0] + 0.5 - x) * (width / wide) - 0.5
        places[:, 1] = (places[:, 1] + 0.5 - y) * (height / tall) - 0.5
        seen = ((places > -0.5) & (places < places.new_tensor([width, height]) - 0.5)).all(1)
        joints[row] *= (seen & (joints[row, :, 2] > 0))[:, None]
    return image, labels, joints


def _dropped(labels: Tensor, moves: Moves) -> Tensor:
    """Return the pixels of a dropped region or half, (B, H, W) bool; never the whole person."""
    ids = torch.arange(NUM_REGIONS, device=labels.device)
    masks = labels[:, None] == ids[None, :, None, None].to(labels.dtype)  # (B, 8, H, W)
    present = masks.flatten(2).any(-1)
    present[:, BACKGROUND] = False
    num_present = present.sum(1)
    rank = present.long().cumsum(1) - 1  # index among the regions present
    wanted = torch.where(num_present > 1, moves.lost_region % num_present.clamp(min=1), -1)
    wanted = torch.where(moves.lost_region < 0, -1, wanted)
    chosen = present & (rank == wanted[:, None])
    region_dropped = (masks & chosen[:, :, None, None]).any(1)

    person = labels != BACKGROUND
    rows = person.any(2).float()  # (B, H)
    height = labels.shape[1]
    index = torch.arange(height, device=labels.device, dtype=torch.float32)
    top = torch.where(rows > 0, index, float(height)).amin(1)
    bottom = torch.where(rows > 0, index, -1.0).amax(1)
    cut = top + moves.kept * (bottom - top)
    half_dropped = person & (index[None, :, None] > cut[:, None, None]) & (moves.kept < 1)[:, None, None]
    return region_dropped | half_dropped
