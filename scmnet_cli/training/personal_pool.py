"""Prepared views of one person: what comes before the trained decoder is computed once and used several times.

Only the decoder is trained (personalizing.py), so warps, encoders and correlation of a view never change. They take two
thirds of a step. A pool of a few pairs, each visited several times and then replaced, saves most of that, and bounds
the memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from scmnet_cli.data.dataset import TrainingBatch
from scmnet_cli.models.generator import DecoderInput
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.training.objective import Inputs

_ORDER_STREAM = 25


@dataclass(frozen=True)
class PreparedViews:
    """Views up to the decoder.

    Attributes:
        inputs: targets and part warp; the maps and the source are left out, since nothing reads them any more.
        given: what the decoder draws from.
        joints: joints of the targets in pixels of the canvas.

    Shape:
        joints: (B, 18, 3).
    """

    inputs: Inputs
    given: DecoderInput
    joints: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, net: SCMNet, batch: TrainingBatch) -> PreparedViews:
        """Warp and encode a batch, in the precision of the caller."""
        inputs = Inputs.of(batch, part_warp=True)
        given = net.decoder_input(inputs.maps, inputs.style_image, inputs.style_masks, inputs.warp)
        none = inputs.maps.new_empty(0)
        return cls(replace(inputs, maps=none, style_image=none, style_masks=none), given, batch.target.structure)


class ViewPool:
    """Endless sequence of prepared training pairs; visit k has the same pair in every run.

    The visits are divided into rounds of ``size`` x ``visits``. A round has ``size`` pairs of its own; each is prepared
    when it is first needed, and visited once in each pass over them, in a random order.
    """

    def __init__(self, size: int, visits: int, seed: int) -> None:
        """Create an empty pool.

        Args:
            size: number of pairs kept at once.
            visits: number of visits to each pair.
            seed: seed of the order.
        """
        self._size, self._visits, self._seed = size, visits, seed
        self._kept: dict[int, PreparedViews] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        """Return the number of pairs in memory."""
        return len(self._kept)

    def pair(self, visit: int, prepare: Callable[[int], PreparedViews]) -> PreparedViews:
        """Return the pair of a visit; threads may ask for different visits of one pass at once.

        Args:
            visit: number of the visit.
            prepare: prepares the pair of a number.
        """
        in_turn, place = divmod(visit, self._size)
        order = np.random.default_rng((self._seed, _ORDER_STREAM, in_turn)).permutation(self._size)
        first = in_turn // self._visits * self._size
        number = first + int(order[place])
        with self._lock:
            for old in [kept for kept in self._kept if kept < first]:
                del self._kept[old]
            known = self._kept.get(number)
        if known is not None:
            return known
        prepared = prepare(number)
        with self._lock:
            self._kept[number] = prepared
        return prepared


def torn_off(inputs: Inputs, covered: Tensor | None, alpha: Tensor | None) -> Tensor:
    """Return where a re-posed target shows background, or the person, only because the warp tears the person apart.

    That is background that the warp does not cover and where the base draws the person, and shreds where the base draws
    background.

    Args:
        inputs: targets.
        covered: where their pixels are the photo's; everywhere in a target that is the photo; None: in all of them.
        alpha: the base's foreground masks; None if it draws backgrounds.

    Shape:
        covered, result: (B, 1, H, W) bool; alpha: (B, 1, H, W).
    """
    if covered is None or alpha is None or inputs.sure is None:
        return torch.zeros_like(inputs.target[:, :1], dtype=torch.bool)
    reposed = ~covered.flatten(1).all(1)[:, None, None, None]
    shred = (inputs.target_masks[:, BACKGROUND, None] < _DRAWN) & (alpha < _NOT_DRAWN)
    return reposed & (inputs.sure > 0) & torch.where(covered, shred, alpha > _DRAWN)


_NOT_DRAWN, _DRAWN = 0.2, 0.5
"""Values of the base's foreground mask that surely are not the person, and that are."""


def person_window(inputs: Inputs, rows: slice | None) -> Callable[[Tensor], Tensor]:
    """Return a function that cuts rows, and the columns that show the person, out of images.

    The background beside the person is plain, and VGG features take half the time of a step.
    """
    person = (1 - inputs.target_masks[:, BACKGROUND]).amax((0, 1)).nonzero()  # (n, 1), columns
    columns = slice(None)
    if len(person):
        columns = slice(max(int(person[0]) - _MARGIN, 0) // 8 * 8, -(-(int(person[-1]) + 1 + _MARGIN) // 8) * 8)
    return lambda image: image[:, :, rows or slice(None), columns]


_MARGIN = 8
"""Pixels beside the person whose VGG features count too."""
