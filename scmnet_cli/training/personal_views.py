"""Endless training pairs of one person: the target is a photo or a view of it, the source a view of it or of another.

A view is a photo warped into another pose by the part warp. With several photos, a source may also be another photo,
unwarped; such a pair is a real one. Two thirds of the targets are views too, since a network that always draws one pose
of one person learns that pose by heart. Where such a view, or the photo itself, has holes, it does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from scmnet_cli.config import DataConfig
from scmnet_cli.data.dataset import Batch, PeopleGiven, TrainingBatch, TrainingStream
from scmnet_cli.data.reposing import align_pose, other_pose, repose
from scmnet_cli.models.neighbourhoods import dilated
from scmnet_cli.models.part_warp import inside_body
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.types import FloatArray

_PARTNER_STREAM, _POSE_STREAM, _HELD_OUT_STREAM, _TARGET_STREAM = 20, 21, 22, 24
_ANOTHER_PHOTO = 0.5
"""Probability that the source is another photo than the target, if there are several."""

_AS_IT_IS = 0.5
"""Probability that another photo is used unwarped."""


_ANOTHER_POSE = 0.65
"""Probability that the target is in another pose than its photo."""

_EXACT = {"anti_copy": False, "joint_noise": 0.0}
"""Sources are warped exactly, as a photo is when it is used. If they are moved first, the warp is some pixels beside
the target nearly everywhere, and the network soon draws a blurred person instead of showing the photo's own pixels."""

_OF_DONORS = 3
"""Of every four held-out views, this many have a donor's pose; in the others limbs are rotated at random."""


class PersonalStream(TrainingStream):
    """Endless stream of training pairs of one person; position k holds the same pair in every run."""

    def __init__(self, photos: PeopleGiven, config: DataConfig, seed: int, donors: Sequence[FloatArray]) -> None:
        """Create the stream.

        Args:
            photos: photos of one person.
            config: ranges and probabilities of augmentation; sources are never moved and joints have no noise.
            seed: seed of every random choice.
            donors: joints on the photos' canvas; sources are warped into these poses.
        """
        super().__init__(photos, config.model_copy(update=_EXACT), seed, donors)

    def batch(self, start: int, size: int) -> TrainingBatch:
        """Return the pairs at positions ``start`` to ``start + size`` (exclusive)."""
        positions = range(start, start + size)
        targets = [self._index(position) for position in positions]
        sources = [self._partner(index, position) for index, position in zip(targets, positions, strict=True)]
        target, source = (
            self._close_up_both(self._mirrored(self.people.batch(rows), positions), positions)
            for rows in (targets, sources)
        )
        posed, shown = source.structure.clone(), target.structure.clone()
        for row, position in enumerate(positions):
            random = self._random(_POSE_STREAM, position)
            if sources[row] == targets[row] or random.random() >= _AS_IT_IS:
                joints = other_pose(source.structure[row].cpu().numpy(), self._donor(random), random)
                posed[row] = torch.from_numpy(joints).to(posed)
            random = self._random(_TARGET_STREAM, position)
            if random.random() < _ANOTHER_POSE:
                joints = other_pose(target.structure[row].cpu().numpy(), self._donor(random), random)
                shown[row] = torch.from_numpy(joints).to(shown)
        truth = repose(target.image, target.labels, target.structure, shown, plain=self.people.fill is not None)
        target = Batch(truth.image, truth.labels, truth.joints, target.domain)
        sure = truth.sure * outside_holes(target.labels, target.structure)
        return TrainingBatch(target, self._in_pose(source, posed, positions), sure, covered=truth.covered)

    def _partner(self, index: int, position: int) -> int:
        num = len(self.people)
        random = self._random(_PARTNER_STREAM, position)
        if num == 1 or random.random() >= _ANOTHER_PHOTO:
            return index
        return (index + int(random.integers(1, num))) % num

    def _random(self, stream: int, position: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, stream, position))


def held_out_views(
    photos: PeopleGiven, donors: Sequence[FloatArray], num: int, targets: Sequence[FloatArray] = ()
) -> TrainingBatch:
    """Return validation views: each photo in turn is the target, and its source is warped into a pose not trained on.

    With several photos, every second source is another photo, unwarped. Joints outside the picture count as missing.

    Args:
        photos: photos of one person.
        donors: joints on the photos' canvas that no training pair uses.
        num: number of views.
        targets: joints likewise, into which every second target is warped; its holes do not count. Empty: all targets
            are photos.
    """
    rows = [index % len(photos) for index in range(num)]
    rounds = [index // len(photos) for index in range(num)]
    real = [len(photos) > 1 and number % 2 == 1 for number in rounds]
    sources = [(row + 1) % len(photos) if is_real else row for row, is_real in zip(rows, real, strict=True)]
    target, source = photos.batch(rows), photos.batch(sources)
    posed, shown = source.structure.clone(), target.structure.clone()
    for row, is_real in enumerate(real):
        pose = align_pose(shown[row].cpu().numpy(), targets[row // 2 % len(targets)]) if targets and row % 2 else None
        if pose is not None:
            shown[row] = torch.from_numpy(pose).to(shown)
        if is_real:
            continue
        random = np.random.default_rng((_HELD_OUT_STREAM, row))
        own = source.structure[row].cpu().numpy()
        pose = align_pose(own, donors[row % len(donors)], mirrored=row % 2 == 1) if row % 4 < _OF_DONORS else None
        if pose is None:
            pose = other_pose(own, own, random)
        posed[row] = torch.from_numpy(pose).to(posed)
    plain = photos.fill is not None
    moved = repose(source.image, source.labels, source.structure, posed, plain=plain)
    truth = repose(target.image, target.labels, target.structure, shown, plain=plain)
    return TrainingBatch(
        Batch(truth.image, truth.labels, truth.joints, target.domain),
        Batch(moved.image, moved.labels, moved.visible_joints, target.domain),
        truth.sure * outside_holes(truth.labels, truth.joints),
        covered=truth.covered,
    )


def photos_in_poses(photos: PeopleGiven, poses: Sequence[FloatArray]) -> TrainingBatch:
    """Return pairs as at test time: the photos as sources, and held-out poses as targets."""
    num = max(len(photos), _USED_POSES)
    source = photos.batch([index % len(photos) for index in range(num)])
    posed = source.structure.clone()
    for row in range(num):
        pose = align_pose(source.structure[row].cpu().numpy(), poses[row % len(poses)])
        posed[row] = posed[row] if pose is None else torch.from_numpy(pose).to(posed)
    return TrainingBatch(replace(source, structure=posed), source)


def outside_holes(labels: Tensor, joints: Tensor) -> Tensor:
    """Return 0 in holes of people, where a region map has lost a leg, or a bag or its strap hides the person; else 1.

    A network that learned such a hole would draw it in every pose. Very narrow gaps between limbs count as straps.

    Shape:
        labels: (B, H, W) uint8; joints: (B, 18, 3); result: (B, 1, H, W).
    """
    height, width = labels.shape[1:]
    background = (labels == BACKGROUND)[:, None]
    wide = (inside_body(joints, (height, width)) > _INSIDE) & background
    wide = _opened(wide, max(height // _THIN, 1))
    narrow = background & ~_opened(background, max(height // _NARROW, 1))
    return 1 - (wide | narrow).float()


def _opened(mask: Tensor, radius: int) -> Tensor:
    """Return a mask without what is thinner than twice the radius, (B, 1, H, W) bool."""
    return dilated(~dilated(~mask, radius), radius)


_USED_POSES = 6
_INSIDE = 0.3
_THIN, _NARROW = 43, 128
"""Background beside the bones that is thinner than twice one of the first many parts of the height is beside a person
thinner than the typical body; background that is narrower than twice one of the second many parts is a gap."""
