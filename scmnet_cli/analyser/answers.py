"""The answer of the analyser's network for one image, in NumPy arrays: the same for every runtime, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from scmnet_cli.regions import BACKGROUND
from scmnet_cli.skeleton import MIRRORED
from scmnet_cli.types import FloatArray, UInt8Array

STRIDE = 32
"""Height and width of the network's input are multiples of this."""

HEAT_STRIDE = 4
"""Stride of the heatmaps, in pixels of the input."""

REGION_STRIDE = 2
"""Stride of the region logits, in pixels of the input."""

_WINDOW = 3
"""Cells on each side of a heatmap's maximum whose mean is a joint's place."""


@dataclass(frozen=True)
class Answer:
    """Output of the network for one image.

    Shape:
        regions: (R, H/2, W/2) logits; heat: (J, H/4, W/4) logits, whose softmax over cells is the distribution of a
        joint's position; visible: (J,) logits of whether a joint is in the image; person: logit of whether there is a
        person; carried: (H/2, W/2) logits of whether background is carried by the person; None: not known.
    """

    regions: FloatArray
    heat: FloatArray
    visible: FloatArray
    person: float
    carried: FloatArray | None = None

    @property
    def score(self) -> float:
        """Probability that there is a person."""
        return float(sigmoid(np.float32(self.person)))

    @cached_property
    def probabilities(self) -> FloatArray:
        """Probabilities of the regions, (R, H/2, W/2)."""
        return softmax(self.regions)

    @property
    def on_person(self) -> FloatArray:
        """Probability of each cell that it is on a person, (H/2, W/2)."""
        shown: FloatArray = 1 - self.probabilities[BACKGROUND]
        return shown

    @cached_property
    def joints(self) -> FloatArray:
        """Joints in pixels of the image with their scores, (J, 3)."""
        places = joints_of_heat(self.heat)[0]
        return np.column_stack([(places + 0.5) * HEAT_STRIDE - 0.5, sigmoid(self.visible)]).astype(np.float32)

    def mirrored(self) -> Answer:
        """Return the answer for the mirrored image of a person, as an answer for the image itself."""
        swap = list(MIRRORED)
        carried = None if self.carried is None else self.carried[..., ::-1]
        return Answer(self.regions[..., ::-1], self.heat[swap][..., ::-1], self.visible[swap], self.person, carried)

    def averaged(self, other: Answer) -> Answer:
        """Return the mean of two answers for one image."""
        carried = None if self.carried is None or other.carried is None else _mean(self.carried, other.carried)
        regions, heat, visible = (
            _mean(*pair)
            for pair in ((self.regions, other.regions), (self.heat, other.heat), (self.visible, other.visible))
        )
        return Answer(regions, heat, visible, (self.person + other.person) / 2, carried)


class Network(Protocol):
    """Runs the analyser's network; any number of threads may call it."""

    def __call__(self, image: FloatArray, *, wide: bool = False) -> Answer:
        """Return the answer for an image.

        Args:
            image: the image in [-1, 1]; height and width are multiples of :data:`STRIDE`.
            wide: whether it is a whole photo of any size, instead of a crop on a canvas.

        Shape:
            image: (3, H, W).
        """
        ...


def as_input(picture: UInt8Array) -> FloatArray:
    """Convert a picture, (H, W, 3), to the network's input, (3, H, W) in [-1, 1]."""
    image: FloatArray = (picture.astype(np.float32) / np.float32(127.5) - 1).transpose(2, 0, 1)
    return image


def joints_of_heat(heat: FloatArray, window: int = _WINDOW) -> tuple[FloatArray, FloatArray]:
    """Decode heatmaps: the mean position in a window around each maximum, and the probability inside the window.

    Args:
        heat: logits; their softmax over cells is the distribution of a joint's position.
        window: number of cells on each side of the maximum.

    Shape:
        heat: (J, h, w); result: x, y in cells, 0 is the centre of the first, (J, 2), and the probability inside the
        window, (J,), in (0, 1].
    """
    joints, height, width = heat.shape
    likely = softmax(heat.reshape(joints, -1).T).T.reshape(heat.shape)
    best = likely.reshape(joints, -1).argmax(1)
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    near_x = abs(x - (best % width)[:, None]) <= window  # (J, w)
    near_y = abs(y - (best // width)[:, None]) <= window
    near = likely * near_y[:, :, None] * near_x[:, None]
    share = near.sum((1, 2))
    places = np.stack([(near.sum(1) * x).sum(1), (near.sum(2) * y).sum(1)], -1) / share[:, None]
    return places, share


def _mean(a: FloatArray, b: FloatArray) -> FloatArray:
    mean: FloatArray = (a + b) / np.float32(2)
    return mean


def softmax(logits: FloatArray) -> FloatArray:
    """Return probabilities over the first axis."""
    likely: FloatArray = np.exp(logits - logits.max(0))
    likely /= likely.sum(0)
    return likely


def sigmoid(logits: npt.ArrayLike) -> FloatArray:
    """Return the probabilities of logits."""
    probabilities: FloatArray = 1 / (1 + np.exp(-np.asarray(logits, np.float32).clip(-80, 80)))
    return probabilities
