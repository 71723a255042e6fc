"""Part warp of several photos of one person: each part comes from the photo that shows it best for the pose.

A photo shows a part well if much of the part is visible, the body faces the same way as the pose, and the photo is
large. Holes in the chosen photos are filled from the others, unless those show the person from another side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scmnet_cli.models.part_joints import body_size
from scmnet_cli.models.part_shapes import PartShapes
from scmnet_cli.models.part_warp import PartWarp, WarpSource
from scmnet_cli.models.parts import FACE_JOINTS, HEAD_PART, LEFT_SHOULDER, RIGHT_SHOULDER
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.models.warp_mixing import mixed, over

_NUM_PARTS = 10
_TURN_SIGMA = 0.5
"""Standard deviation of the difference of two signed shoulder widths, in torso lengths, in the score of a photo."""

_UNKNOWN_TURN = 0.7  # score of a photo if the turn of the body is unknown
_OTHER_SIDE_OF_HEAD = 0.02  # factor if one of photo and pose shows the face and the other the back of the head
_LARGER = 0.25  # exponent of the body's size: a larger photo shows more detail
_AS_OTHERS = 1.25  # factor for the photo that shows most parts best, so that parts match
_SPARE = 0.3  # a photo fills holes from this share of the best photo's score on


@dataclass(frozen=True)
class Photo:
    """One photo on the canvas.

    Attributes:
        detail: pixels of the original photo per pixel of the canvas.

    Shape:
        image: (1, 3, H, W); masks: (1, 8, H, W); joints: (1, 18, 3).
    """

    image: Tensor
    masks: Tensor
    joints: Tensor
    detail: float = 1.0

    @cached_property
    def source(self) -> WarpSource:
        """This photo as a source to warp."""
        return WarpSource.of_photo(self.image, self.masks, self.joints)

    def warp(self, pose: Tensor, parts: Tensor | None = None) -> PartWarp:
        """Warp the person, or some parts, into a pose.

        Shape:
            pose: (1, 18, 3); parts: (1, 10) in {0, 1}, None: all.
        """
        return self.source.warp(pose, parts)

    @cached_property
    def shapes(self) -> PartShapes:
        """The parts of the person."""
        return PartShapes.of(self.source.completed)

    @cached_property
    def visible(self) -> Tensor:
        """Sum of each part's weights on the person, (10,), in torso lengths squared."""
        height, width = self.image.shape[2:]
        person = 1 - self.masks[0, 0]
        whole = (slice(0, height), slice(0, width))
        sums = torch.stack([(self.shapes.weight(part, whole)[0][0] * person).sum() for part in range(_NUM_PARTS)])
        return sums / self.shapes.size[0].square()


def part_scores(photos: Sequence[Photo], pose: Tensor) -> Tensor:
    """Score how well each photo shows each part for a pose; 0: not at all.

    Shape:
        pose: (1, 18, 3) on the photos' canvas; result: (V, 10).
    """
    return torch.stack([_scores_of(photo, pose) for photo in photos])


def _scores_of(photo: Photo, pose: Tensor) -> Tensor:
    scores = photo.visible * _turn_fits(photo.joints, pose) * (photo.shapes.size[0] * photo.detail) ** _LARGER
    if _shows_face(photo.joints) != _shows_face(pose):
        scores[HEAD_PART] *= _OTHER_SIDE_OF_HEAD
    return scores


def _turn_fits(joints: Tensor, pose: Tensor) -> float:
    """Return the similarity in [0, 1] of the directions two bodies face, by the signed widths of their shoulders."""
    turns = [_turn(joints), _turn(pose)]
    if turns[0] is None or turns[1] is None:
        return _UNKNOWN_TURN
    apart = (turns[0] - turns[1]) / _TURN_SIGMA
    return float(torch.exp(torch.tensor(-(apart**2) / 2)))


def _turn(joints: Tensor) -> float | None:
    """Return the shoulders' width in torso lengths, negative from behind; None if a shoulder is missing."""
    right, left = joints[0, RIGHT_SHOULDER], joints[0, LEFT_SHOULDER]
    if right[2] <= 0 or left[2] <= 0:
        return None
    return float((left[0] - right[0]) / body_size(joints)[0])


def _shows_face(joints: Tensor) -> bool:
    return bool((joints[0, list(FACE_JOINTS), 2] > 0).any())


def best_photo(scores: Tensor) -> int:
    """Return the index of the photo with the highest sum of :func:`part_scores`, each relative to the part's best."""
    return int((scores / scores.amax(0).clamp(min=1e-6)).sum(1).argmax())


def warp_photos(photos: Sequence[Photo], pose: Tensor, scores: Tensor) -> PartWarp:
    """Warp several photos of one person into a pose, each part from the photo that shows it best.

    The returned coordinates are those of :func:`best_photo`, whose style is used.

    Args:
        photos: photos of one person, on one canvas.
        pose: joints of the pose.
        scores: scores from :func:`part_scores`; they may have been computed on another canvas.

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
    warps = [photo.warp(pose, parts[None].float()) for photo, parts in zip(photos, chosen, strict=True)]
    found = mixed(warps, PLAIN_BACKGROUND)
    if spare.any():
        others = [photo.warp(pose, parts[None].float()) for photo, parts in zip(photos, spare, strict=True)]
        found = over(found, mixed(others, PLAIN_BACKGROUND), PLAIN_BACKGROUND)
    whole = photos[main].warp(pose)
    return PartWarp(found.image, found.regions, found.coverage, whole.coordinates)
