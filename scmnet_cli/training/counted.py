"""Shared parts of all training runs: counters of images and seconds that survive a resume, reports, the outcome."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scmnet_cli.config import Config
from scmnet_cli.files import open_to_append


@dataclass(frozen=True)
class Plan:
    """Summary of a run before it starts."""

    config: Config
    num_train: int
    num_val: int
    num_parameters: dict[str, int]
    steps: int
    device: str
    resumes_at: int


@dataclass(frozen=True)
class Report:
    """State of a run after a step, for a progress callable.

    Attributes:
        images: images seen so far.
        total: images to see in all.
        images_per_second: mean speed since the run started or resumed.
        stats: the latest statistics by name; training the analyser reports ``loss``.
    """

    images: int
    total: int
    images_per_second: float
    stats: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        images: images seen in all.
        finished: whether the run reached the config's number of images.
        signal: number of the signal that stopped the run; None if none did.
        model: the file of the averaged weights.
    """

    images: int
    finished: bool
    signal: int | None
    model: Path


class CountedRun:
    """A run that counts images, ``batch`` per step, and seconds.

    Attributes:
        images: images seen so far, including those before a resume.
        seconds: seconds of training so far, including those before a resume.
    """

    def __init__(self, batch: int) -> None:
        self.images, self.seconds = 0, 0.0
        self._batch = batch
        self._start_counting()

    def _start_counting(self) -> None:
        self._started, self._images_before, self._seconds_before = time.perf_counter(), self.images, self.seconds

    def _count_step(self) -> None:
        self.images += self._batch
        self.seconds = self._seconds_before + time.perf_counter() - self._started

    def _passed(self, every: int) -> bool:
        """Return whether the last step reached or passed a multiple of ``every`` images."""
        return self.images // every > (self.images - self._batch) // every

    def _passes_next(self, every: int) -> bool:
        """Return whether the next step will reach or pass a multiple of ``every`` images."""
        return (self.images + self._batch) // every > self.images // every

    def _report(self, total: int, stats: Mapping[str, Any]) -> Report:
        rate = (self.images - self._images_before) / max(time.perf_counter() - self._started, 1e-9)
        return Report(self.images, total, rate, stats)


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Append a record to a file of JSON lines.

    Raises:
        OSError: if the file cannot be written or is a link.
    """
    with open_to_append(path) as file:
        file.write(json.dumps(record) + "\n")
