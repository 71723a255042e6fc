"""Bound the memory of photos that are read at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scmnet_cli.errors import ScmError
from scmnet_cli.images import MAX_PIXELS, picture_size

_PIXELS_OF_A_THREAD = 25_000_000
"""A photo takes up to 8 bytes a pixel while it is read, so a thread takes up to 200 MB."""


class PixelBudget:
    """A number of pixels that threads share: a thread waits until the photos of others leave room for its own.

    Without it, as many photos of 100 megapixels as there are threads would be in memory, 0.8 GB each.
    """

    def __init__(self, jobs: int) -> None:
        """Choose the number of pixels: one of the largest photos, or a photo of 25 megapixels for each thread.

        Args:
            jobs: number of threads.
        """
        self._total = self._left = max(MAX_PIXELS, jobs * _PIXELS_OF_A_THREAD)
        self._changed = threading.Condition()

    @contextmanager
    def held(self, photo: Path) -> Iterator[None]:
        """Hold the pixels of a photo while the block runs; a file that is no photo counts as none."""
        try:
            width, height = picture_size(photo)
        except ScmError:
            width = height = 0
        num = min(width * height, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= num)
            self._left -= num
        try:
            yield
        finally:
            with self._changed:
                self._left += num
                self._changed.notify_all()
