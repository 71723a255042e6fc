"""Endless training pairs of one person: the target is a photo, the source a view of it or of another photo.

A view is a photo that the part warp brought into another pose. With several photos a source may also be another photo
as it is: then the pair is a real one.
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
"""Chance that the source is another photo, where there are several."""

_AS_IT_IS = 0.5
"""Chance that another photo is not brought into a third pose first."""


_OF_DONORS = 3
"""Of four held-out views, how many are in a pose of a donor; the others turn limbs at random."""


class PersonalStream(TrainingStream):
    """The endless stream of training pairs of one person; place k of it is the same pair in every run."""

    def __init__(self, photos: PeopleGiven, config: DataConfig, seed: int, donors: Sequence[FloatArray]) -> None:
        """Take what the pairs are made of.

        Args:
            photos: of one person.
            config: ranges and chances; regions and lower halves are never lost.
            seed: of every random choice.
            donors: joints on the photos' canvas into which sources are brought.
        """
        super().__init__(photos, config.model_copy(update={"drop_region": 0.0, "half_body": 0.0}), seed, donors)

    def batch(self, start: int, size: int) -> TrainingBatch:
        """Return the pairs at places ``start`` to ``start + size`` of the stream."""
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
    """Return views for validation: each photo in turn, its source warped into a pose that no training pair has.

    With several photos every second source is another photo as it is. Joints that leave the picture are missing.

    Args:
        photos: of one person.
        donors: joints on the photos' canvas, none of which the training pairs use.
        num: how many.
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
