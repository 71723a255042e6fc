"""Endless training pairs of one person: the target is a photo, the source a view of it or of another photo.

A view is a photo warped into another pose by the part warp. With several photos, a source may also be another photo,
unwarped; such a pair is a real one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from scmnet_cli.config import DataConfig
from scmnet_cli.data.dataset import Batch, PeopleGiven, TrainingBatch, TrainingStream
from scmnet_cli.data.reposing import align_pose, other_pose, repose
from scmnet_cli.types import FloatArray

_PARTNER_STREAM, _POSE_STREAM, _HELD_OUT_STREAM = 20, 21, 22
_ANOTHER_PHOTO = 0.5
"""Probability that the source is another photo than the target, if there are several."""

_AS_IT_IS = 0.5
"""Probability that another photo is used unwarped."""


_OF_DONORS = 3
"""Of every four held-out views, this many have a donor's pose; in the others limbs are rotated at random."""


class PersonalStream(TrainingStream):
    """Endless stream of training pairs of one person; position k holds the same pair in every run."""

    def __init__(self, photos: PeopleGiven, config: DataConfig, seed: int, donors: Sequence[FloatArray]) -> None:
        """Create the stream.

        Args:
            photos: photos of one person.
            config: ranges and probabilities of augmentation; regions and lower halves are never dropped.
            seed: seed of every random choice.
            donors: joints on the photos' canvas; sources are warped into these poses.
        """
        super().__init__(photos, config.model_copy(update={"drop_region": 0.0, "half_body": 0.0}), seed, donors)

    def batch(self, start: int, size: int) -> TrainingBatch:
        """Return the pairs at positions ``start`` to ``start + size`` (exclusive)."""
        positions = range(start, start + size)
        targets = [self._index(position) for position in positions]
        sources = [self._partner(index, position) for index, position in zip(targets, positions, strict=True)]
        target, source = (
            self._close_up_both(self._mirrored(self.people.batch(rows), positions), positions)
            for rows in (targets, sources)
        )
        posed = source.structure.clone()
        for row, position in enumerate(positions):
            random = self._random(_POSE_STREAM, position)
            if sources[row] == targets[row] or random.random() >= _AS_IT_IS:
                joints = other_pose(source.structure[row].cpu().numpy(), self._donor(random), random)
                posed[row] = torch.from_numpy(joints).to(posed)
        return TrainingBatch(target, self._in_pose(source, posed, positions))

    def _partner(self, index: int, position: int) -> int:
        num = len(self.people)
        random = self._random(_PARTNER_STREAM, position)
        if num == 1 or random.random() >= _ANOTHER_PHOTO:
            return index
        return (index + int(random.integers(1, num))) % num

    def _random(self, stream: int, position: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, stream, position))


def held_out_views(photos: PeopleGiven, donors: Sequence[FloatArray], num: int) -> TrainingBatch:
    """Return validation views: each photo in turn is the target, and its source is warped into a pose not trained on.

    With several photos, every second source is another photo, unwarped. Joints outside the picture count as missing.

    Args:
        photos: photos of one person.
        donors: joints on the photos' canvas that no training pair uses.
        num: number of views.
    """
    targets = [index % len(photos) for index in range(num)]
    rounds = [index // len(photos) for index in range(num)]
    real = [len(photos) > 1 and number % 2 == 1 for number in rounds]
    sources = [(row + 1) % len(photos) if is_real else row for row, is_real in zip(targets, real, strict=True)]
    target, source = photos.batch(targets), photos.batch(sources)
    posed = source.structure.clone()
    for row, is_real in enumerate(real):
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
    return TrainingBatch(target, Batch(moved.image, moved.labels, moved.visible_joints, target.domain))
