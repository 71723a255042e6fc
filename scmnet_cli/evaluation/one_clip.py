"""Metrics of one video."""

from __future__ import annotations

import time

import numpy as np
import torch

from scmnet_cli.images import to_tensor
from scmnet_cli.metrics.flicker import flicker, jitter
from scmnet_cli.types import FloatArray, UInt8Array


class ClipMetrics:
    """Streaming flicker of generated frames, and jitter of the joints; keeps three frames in memory."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._last: list[torch.Tensor] = []
        self._sum, self._num = 0.0, 0
        self._before = time.perf_counter()

    def add(self, picture: UInt8Array) -> None:
        """Add the next frame, (H, W, 3)."""
        now = time.perf_counter()
        self.seconds, self._before = self.seconds + now - self._before, now
        self._last = [*self._last[-2:], to_tensor(picture)]
        if len(self._last) == 3:
            self._sum += float(flicker(torch.stack(self._last)))
            self._num += 1

    def values(self, found: FloatArray, used: FloatArray) -> dict[str, float]:
        """Return the finite metrics by name.

        Shape:
            found, used: (F, 18, 3), joints detected in the driving video, and joints used for generation.
        """
        measured = {
            "flicker": self._sum / self._num if self._num else float("nan"),
            "jitter_found": float(jitter(torch.from_numpy(found))),
            "jitter_used": float(jitter(torch.from_numpy(used))),
        }
        return {name: value for name, value in measured.items() if np.isfinite(value)}
