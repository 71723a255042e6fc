"""Re-posed sources: the part warp moves each person to the pose of the next person of the split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from scmnet_cli.data.dataset import Batch, People, TrainingBatch
from scmnet_cli.data.reposing import align_pose, repose
from scmnet_cli.types import FloatArray


def lend_poses(joints: Sequence[FloatArray]) -> list[FloatArray | None]:
    """Return the pose of each person's source: the joints of the next person, scaled to this body.

    The first person follows the last. People without neck and hips are skipped. The pose is None for a person who has
    neck and hip in common with any other person.

    Shape:
        joints: (18, 3) each, in pixels of one canvas; results have the same shape.
    """
    num = len(joints)
    poses: list[FloatArray | None] = []
    for index, own in enumerate(joints):
        others = (joints[(index + step) % num] for step in range(1, num))
        poses.append(next((pose for pose in (align_pose(own, other) for other in others) if pose is not None), None))
    return poses


def reposed_sources(people: People, indices: Sequence[int], poses: Sequence[FloatArray]) -> TrainingBatch:
    """Return people with sources that the part warp moved to other poses.

    Joints outside the image become missing, as in a photo.

    Args:
        people: all people.
        indices: indices of the people to return.
        poses: the pose of each source.

    Shape:
        poses: (18, 3) each, in pixels of the people's canvas.
    """
    target = people.batch(indices)
    posed = torch.from_numpy(np.stack(poses)).to(target.structure)
    plain = people.fill is not None
    source = repose(target.image, target.labels, target.structure, posed, plain=plain)
    return TrainingBatch(target, Batch(source.image, source.labels, source.visible_joints, target.domain))
