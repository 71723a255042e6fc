"""Change a pose by hand: move joints, leave some out, mirror it."""

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
        pose: on the model's canvas.
        number: its place in the library; None: it comes from elsewhere or was changed.
    """

    pose: Pose
    number: int | None = None

    def moved(self, joints: Sequence[Sequence[float] | None]) -> Posing:
        """Return the pose with other joints.

        Args:
            joints: x, y of each joint in pixels of the canvas, None where it is left out; places outside the canvas
                are moved to its edge.

        Raises:
            ScmError: if there are not 18, or all are left out, or one is no place.
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
            raise ScmError("pose: holds no joint; keep at least one")
        name = self.pose.name.replace("-by-hand", "")
        return Posing(replace(self.pose, name=f"{name}-by-hand", joints=placed))

    def mirror(self) -> Posing:
        """Return the pose mirrored left to right."""
        turned = mirrored(self.pose)
        return Posing(replace(turned, name=turned.name.removesuffix("-mirrored-mirrored")))
