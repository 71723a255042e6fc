"""Time the analyser on photos, from file to region map."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scmnet_cli.analyser.people import Analyser
from scmnet_cli.images import read_photo
from scmnet_cli.sources.source import find_photos
from scmnet_cli.system.process import peak_memory, threads_set


@dataclass(frozen=True)
class AnalysisTiming:
    """Time of each photo from file to region map, and peak memory.

    Attributes:
        milliseconds: wall-clock time of each photo.
        cpu_milliseconds: CPU time of each photo over all threads.
        threads: number of torch threads.
        peak: peak memory of the process in MB (10^6 bytes), Python and torch included.
    """

    milliseconds: list[float]
    cpu_milliseconds: list[float]
    threads: int
    peak: float


def first_photos(folder: Path, limit: int | None = None) -> list[Path]:
    """Return the photos of a folder in order of name, at most ``limit``.

    Raises:
        ScmError: if there are none.
    """
    return [paths[0] for paths in find_photos(folder).values()][:limit]


def time_analyser(
    analyser: Analyser,
    photos: Sequence[Path],
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AnalysisTiming:
    """Time an analyser on photos, each once after one warm-up photo.

    Args:
        analyser: the analyser.
        photos: the photo files.
        threads: number of torch threads; None for the current number.
        progress: called with the number of photos done and in all.
    """
    clock, work = [], []
    with threads_set(threads) as num_threads:
        for number, photo in enumerate([photos[0], *photos]):
            started, worked = time.perf_counter(), time.process_time()
            _ = analyser(read_photo(photo)).regions
            clock.append((time.perf_counter() - started) * 1000)
            work.append((time.process_time() - worked) * 1000)
            if progress:
                progress(number, len(photos))
    return AnalysisTiming(clock[1:], work[1:], num_threads, peak_memory())
