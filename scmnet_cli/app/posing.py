"""Edit a pose: move or remove joints, mirror it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from scmnet_cli.errors import ScmError
from scmnet_cli.poses.placing import mirrored
from scmnet_cli.skeleton import NUM_JOINTS
from scmnet_cli.types import Pose


@dataclass(frozen=True)
class Posing:
    """The pose that a visitor has chosen.

    Attributes:
        pose: the pose on the model's canvas.
        number: index in the library; None if it is not from the library or was edited.
    """

    pose: Pose
    number: int | None = None

    def moved(self, joints: Sequence[Sequence[float] | None]) -> Posing:
        """Return the pose with new joints.

        Args:
            joints: x, y of each joint in pixels of the canvas, or None for a removed joint; positions outside the
                canvas are clamped to its edge.

        Raises:
            ScmError: if there are not 18 joints, all are removed, or one is not a pair of numbers.
        """
        canvas = self.pose.canvas
        placed = np.zeros((NUM_JOINTS, 3), np.float32)
        try:
            if len(joints) != NUM_JOINTS:
                raise ValueError
            for row, joint in enumerate(joints):
                if joint is not None:
                    x, y = map(float, joint)
                    if not np.isfinite([x, y]).all():
                        raise ValueError
                    placed[row] = min(max(x, 0), canvas.width - 1), min(max(y, 0), canvas.height - 1), 1
        except (TypeError, ValueError) as error:
            raise ScmError(f"pose: expected {NUM_JOINTS} joints as x, y in pixels; reload the page") from error
        if not placed[:, 2].any():
            raise ScmError("pose: has no joint; keep at least one")
        name = self.pose.name.replace("-by-hand", "")
        return Posing(replace(self.pose, name=f"{name}-by-hand", joints=placed))

    def mirror(self) -> Posing:
        """Return the pose mirrored left to right."""
        turned = mirrored(self.pose)
        return Posing(replace(turned, name=turned.name.removesuffix("-mirrored-mirrored")))
