"""Limits of a run by the clock: when it ends, and when it leaves a snapshot of its weights."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

_SNAPSHOT_SECONDS = 60.0


@dataclass
class Limits:
    """A time limit, and a folder for snapshots.

    Attributes:
        minutes: wall-clock minutes after which the run saves its state and ends; None: no limit.
        snapshots: folder for the averaged weights in float16, one file a minute; None: none are written.
    """

    minutes: float | None = None
    snapshots: Path | None = None
    _started: float = field(default_factory=time.monotonic)
    _last: float = field(default_factory=time.monotonic)

    def start(self) -> None:
        """Start the clock."""
        self._started = self._last = time.monotonic()

    def is_over(self) -> bool:
        """Whether the time is up."""
        return self.minutes is not None and time.monotonic() - self._started >= 60 * self.minutes

    def snapshot_due(self, images: int) -> Path | None:
        """Return the file of the snapshot to write now, once a minute; None: not now.

        Args:
            images: images seen so far; they name the file.
        """
        if self.snapshots is None or time.monotonic() - self._last < _SNAPSHOT_SECONDS:
            return None
        self._last = time.monotonic()
        return self.snapshots / f"{images:08d}.safetensors"
