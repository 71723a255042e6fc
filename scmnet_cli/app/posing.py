"""A pose put together by hand: click a joint, then click where it goes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from scmnet_cli.images import PLAIN_GREY, draw_skeleton
from scmnet_cli.poses.placing import mirrored
from scmnet_cli.skeleton import JOINTS, rescale
from scmnet_cli.types import Canvas, Pose, UInt8Array

_HEIGHT = 512
"""Of the pictures that are clicked, about: the page shows them as large, and never larger than they are."""

_REACH = 0.06
"""How far from a joint a click may be that chooses it, as a share of the height."""

_RING = (220, 30, 60)


@dataclass(frozen=True)
class Posing:
    """A pose at work.

    Attributes:
        pose: on the model's canvas.
        chosen: the joint that the next click places.
    """

    pose: Pose
    chosen: str | None = None

    def choose(self, joint: str | None) -> Posing:
        """Return the same pose with a joint chosen, known or missing."""
        return replace(self, chosen=joint)

    def click(self, x: float, y: float) -> Posing:
        """Return the pose after a click on its picture: it places the chosen joint, else chooses the nearest.

        Args:
            x: in pixels of :func:`draw_posing`'s picture.
            y: likewise.
        """
        scale = zoom(self.pose.canvas)
        place = np.array([(x + 0.5) / scale - 0.5, (y + 0.5) / scale - 0.5], np.float32)
        joints = self.pose.joints.copy()
        if self.chosen is not None:
            largest = np.array([self.pose.canvas.width - 1, self.pose.canvas.height - 1], np.float32)
            joints[JOINTS.index(self.chosen)] = (*place.clip(0, largest), 1)
            return Posing(_by_hand(replace(self.pose, joints=joints)))
        away = np.linalg.norm(joints[:, :2] - place, axis=1)
        away[joints[:, 2] == 0] = np.inf
        nearest = int(away.argmin())
        if away[nearest] > _REACH * self.pose.canvas.height:
            return self
        return replace(self, chosen=JOINTS[nearest])

    def remove(self) -> Posing:
        """Return the pose without the chosen joint; the last one stays."""
        joints = self.pose.joints.copy()
        if self.chosen is None or (joints[:, 2] > 0).sum() <= 1:
            return self
        joints[JOINTS.index(self.chosen)] = 0
        return Posing(_by_hand(replace(self.pose, joints=joints)))

    def mirror(self) -> Posing:
        """Return the pose mirrored left to right."""
        turned = mirrored(self.pose)
        name = turned.name.removesuffix("-mirrored-mirrored")
        return Posing(replace(turned, name=name))


def zoom(canvas: Canvas) -> int:
    """Return how many pixels, in each direction, a pixel of the canvas gets in a picture that is shown."""
    return max(1, round(_HEIGHT / canvas.height))


def draw_posing(posing: Posing) -> UInt8Array:
    """Draw the skeleton to be clicked, the chosen joint in a ring.

    Shape:
        result: (k H, k W, 3) uint8, k of :func:`zoom`.
    """
    canvas = posing.pose.canvas
    scale = zoom(canvas)
    large = Canvas(canvas.height * scale, canvas.width * scale)
    joints = rescale(posing.pose.joints, canvas, large)
    joints[:, :2] += (scale - 1) / 2
    picture = draw_skeleton(np.full((large.height, large.width, 3), PLAIN_GREY, np.uint8), joints, strength=0.6)
    if posing.chosen is None:
        return picture
    x, y, score = joints[JOINTS.index(posing.chosen)]
    if score == 0:
        return picture
    image = Image.fromarray(picture)
    radius = large.height / 45
    box = (x - radius, y - radius, x + radius, y + radius)
    ImageDraw.Draw(image).ellipse(box, outline=_RING, width=max(2, round(radius / 4)))
    return np.asarray(image)


def _by_hand(pose: Pose) -> Pose:
    name = pose.name.removesuffix("-by-hand")
    return replace(pose, name=f"{name}-by-hand")
