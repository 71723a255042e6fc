"""Contact sheets of skeletons with their names."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scmnet_cli.images import contact_sheet, draw_skeleton
from scmnet_cli.poses.placing import place
from scmnet_cli.types import Canvas, Pose, UInt8Array

_HEIGHT = 256
_WIDEST = 4 * _HEIGHT
_COLUMNS = 9


def draw_poses(poses: Sequence[Pose]) -> UInt8Array:
    """Draw skeletons with captions in rows of nine, each in its own frame at a height of 256.

    Shape:
        result: (H', W', 3) uint8.
    """
    cells = [contact_sheet([[draw_pose(pose)]], captions=[pose.name], gap=2) for pose in poses]
    return contact_sheet([cells[first : first + _COLUMNS] for first in range(0, len(cells), _COLUMNS)])


def draw_pose(pose: Pose) -> UInt8Array:
    """Draw a skeleton in its own frame at a height of 256.

    Shape:
        result: (256, W, 3) uint8.
    """
    width = min(max(round(_HEIGHT * pose.canvas.width / pose.canvas.height), 8), _WIDEST)
    canvas = Canvas(_HEIGHT, width)
    blank = np.full((canvas.height, canvas.width, 3), 245, np.uint8)
    return draw_skeleton(blank, place(pose, canvas).joints, strength=0)
