"""Re-posed sources: each person in the pose of the next one of the split, by the part warp."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from scmnet_cli.data.dataset import Batch, People, TrainingBatch
from scmnet_cli.data.reposing import lay_over, repose
from scmnet_cli.types import FloatArray


def lend_poses(joints: Sequence[FloatArray]) -> list[FloatArray | None]:
    """Return the pose of each person's source: the joints of the next person, scaled to this body.

    The last person is followed by the first. A next person without neck and hips is skipped. None for a person who
    shares no neck and hip with any other.

    Shape:
        joints: (18, 3) each, in pixels of one canvas; results alike.
    """
    num = len(joints)
    poses: list[FloatArray | None] = []
    for index, own in enumerate(joints):
        others = (joints[(index + step) % num] for step in range(1, num))
        poses.append(next((pose for pose in (lay_over(own, other) for other in others) if pose is not None), None))
    return poses


def reposed_sources(people: People, indices: Sequence[int], poses: Sequence[FloatArray]) -> TrainingBatch:
    """Return people with a source that the part warp brought into another pose.

    Joints that leave the picture are missing, as they are in a photo.

    Args:
        people: the people.
        indices: which of them.
        poses: the pose of each one's source.

    Shape:
        poses: (18, 3) each, in pixels of the people's canvas.
    """
    target = people.batch(indices)
    posed = torch.from_numpy(np.stack(poses)).to(target.structure)
    plain = people.fill is not None
    source = repose(target.image, target.labels, target.structure, posed, plain=plain)
    joints, (height, width) = source.joints, source.labels.shape[1:]
    places, limit = joints[..., :2], joints.new_tensor([width, height]) - 1
    inside = ((places >= 0) & (places <= limit)).all(-1) & (joints[..., 2] > 0)
    return TrainingBatch(target, Batch(source.image, source.labels, joints * inside[..., None], target.domain))
