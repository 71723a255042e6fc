"""Part warp of several photos of one person: each part comes from the photo that shows it best for the pose.

A photo shows a part well where much of it is visible, the body is turned as the pose is, and the photo is large. Holes
that the chosen photos leave are filled from the others, unless they show the person from another side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scmnet_cli.models.part_joints import (
    FACE_JOINTS,
    HEAD_PART,
    LEFT_SHOULDER,
    RIGHT_SHOULDER,
    body_size,
    complete_joints,
)
from scmnet_cli.models.part_shapes import PartShapes
from scmnet_cli.models.part_warp import PLAIN_BACKGROUND, PartWarp, warp_parts

_NUM_PARTS = 10
_TURN_SIGMA = 0.5
"""Standard deviation of the shoulders' signed width, in torso lengths, over which a photo stops to fit a pose."""

_UNKNOWN_TURN = 0.7  # how well a photo fits whose shoulders do not tell how the body is turned
_OTHER_SIDE_OF_HEAD = 0.02  # how well a face fits the back of a head
_LARGER = 0.25  # exponent of the body's size: a larger photo shows more detail
_AS_OTHERS = 1.25  # how much the photo that shows most parts best is preferred, so that parts match
_SPARE = 0.3  # share of the best photo's score from which another one fills its holes


@dataclass(frozen=True)
class Photo:
    """One photo on the canvas.

    Shape:
        image: (1, 3, H, W); masks: (1, 8, H, W); joints: (1, 18, 3); detail: pixels of the photo per pixel of the
        canvas.
    """

    image: Tensor
    masks: Tensor
    joints: Tensor
    detail: float = 1.0


def part_scores(photos: Sequence[Photo], pose: Tensor) -> Tensor:
    """Return how well each photo shows each part for a pose; 0: not at all.

    Shape:
        pose: (1, 18, 3) on the photos' canvas; result: (V, 10).
    """
    return torch.stack([_scores_of(photo, pose) for photo in photos])


def _scores_of(photo: Photo, pose: Tensor) -> Tensor:
    completed = complete_joints(photo.joints.float())
    valid = torch.ones(1, _NUM_PARTS, dtype=torch.bool, device=pose.device)
    shapes = PartShapes.of(completed, valid)
    height, width = photo.image.shape[2:]
    person = 1 - photo.masks[0, 0]
    whole = (slice(0, height), slice(0, width))
    size = shapes.size[0]
    visible = torch.stack([(shapes.weight(part, whole)[0][0] * person).sum() for part in range(_NUM_PARTS)])
    scores = visible / size.square() * _turn_fits(photo.joints, pose) * (size * photo.detail) ** _LARGER
    if _shows_face(photo.joints) != _shows_face(pose):
        scores[HEAD_PART] *= _OTHER_SIDE_OF_HEAD
    return scores


def _turn_fits(joints: Tensor, pose: Tensor) -> float:
    """Return in [0, 1] how alike two bodies are turned, by the signed widths of their shoulders."""
    turns = [_turn(joints), _turn(pose)]
    if turns[0] is None or turns[1] is None:
        return _UNKNOWN_TURN
    apart = (turns[0] - turns[1]) / _TURN_SIGMA
    return float(torch.exp(torch.tensor(-(apart**2) / 2)))


def _turn(joints: Tensor) -> float | None:
    """Return the shoulders' width in torso lengths, negative from behind; None where they are not both known."""
    right, left = joints[0, RIGHT_SHOULDER], joints[0, LEFT_SHOULDER]
    if right[2] <= 0 or left[2] <= 0:
        return None
    return float((left[0] - right[0]) / body_size(joints)[0])


def _shows_face(joints: Tensor) -> bool:
    return bool((joints[0, list(FACE_JOINTS), 2] > 0).any())


def best_photo(scores: Tensor) -> int:
    """Return the photo that shows most of a pose, by the scores of :func:`part_scores`."""
    return int((scores / scores.amax(0).clamp(min=1e-6)).sum(1).argmax())


def warp_photos(photos: Sequence[Photo], pose: Tensor, scores: Tensor, fill: float = PLAIN_BACKGROUND) -> PartWarp:
    """Bring several photos of one person into a pose, each part from the photo that shows it best.

    The coordinates are those of :func:`best_photo`, whose style is read.

    Args:
        photos: of one person, on one canvas.
        pose: joints of the pose.
        scores: as :func:`part_scores` gives them, also those of the photos on another canvas.
        fill: value of pixels that nothing covers.

    Shape:
        pose: (1, 18, 3) on the photos' canvas; scores: (V, 10).
    """
    main = best_photo(scores)
    preferred = scores.clone()
    preferred[main] *= _AS_OTHERS
    best = preferred.argmax(0)  # (10,)
    number = torch.arange(len(photos), device=scores.device)[:, None]
    chosen = number == best
    spare = (scores >= _SPARE * scores.amax(0)) & ~chosen
    warps = [_warped(photo, pose, parts, fill) for photo, parts in zip(photos, chosen, strict=True)]
    found = _mixed(warps, fill)
    if spare.any():
        others = [_warped(photo, pose, parts, fill) for photo, parts in zip(photos, spare, strict=True)]
        found = _over(found, _mixed(others, fill), fill)
    whole = warp_parts(photos[main].image, photos[main].masks, photos[main].joints, pose, fill)
    return PartWarp(found.image, found.regions, found.coverage, whole.coordinates)


def _warped(photo: Photo, pose: Tensor, parts: Tensor, fill: float) -> PartWarp:
    return warp_parts(photo.image, photo.masks, photo.joints, pose, fill, parts=parts[None].float())


def _mixed(warps: Sequence[PartWarp], fill: float) -> PartWarp:
    """Mix warps that each hold some of the parts, by their coverage."""
    total = torch.stack([warp.coverage for warp in warps]).sum(0)
    shares = [warp.coverage / total.clamp(min=1e-6) for warp in warps]
    image = sum(((warp.image - fill) * share for warp, share in zip(warps, shares, strict=True)), torch.zeros(()))
    regions = sum((warp.regions * share for warp, share in zip(warps, shares, strict=True)), torch.zeros(()))
    return PartWarp(image + fill, regions, total.clamp(max=1), warps[0].coordinates)


def _over(front: PartWarp, behind: PartWarp, fill: float) -> PartWarp:
    """Fill what a warp covers less than another one from that one."""
    filled = (behind.coverage - front.coverage).clamp(min=0)
    coverage = front.coverage + filled
    share, rest = front.coverage / coverage.clamp(min=1e-6), filled / coverage.clamp(min=1e-6)
    image = (front.image - fill) * share + (behind.image - fill) * rest + fill
    return PartWarp(image, front.regions * share + behind.regions * rest, coverage, front.coordinates)
