"""Memory and threads of this process."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # parameters of glibc's mallopt
_LARGEST_MMAP_THRESHOLD = 32 * 2**20  # glibc's own limit for its threshold, which it adapts to what is freed
_DEFAULT_MMAP_MAX = 65536


def peak_memory() -> float:
    """Return the peak memory of this process in MB."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage also counts the parent's memory at the start of this process
        (line,) = [line for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


@contextmanager
def threads_set(number: int | None) -> Iterator[int]:
    """Set the number of torch's threads inside the block; None keeps the current number."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep freed memory in this process inside the block, where the C library is glibc; elsewhere do nothing.

    Otherwise every large tensor is fresh memory, which the kernel clears page by page: a sixth of the time of a
    training step.
    """
    set_parameter = _mallopt()
    if set_parameter is None:
        yield
        return
    set_parameter(_MMAP_MAX, 0)
    set_parameter(_TRIM_THRESHOLD, -1)  # never
    try:
        yield
    finally:
        set_parameter(_MMAP_MAX, _DEFAULT_MMAP_MAX)
        set_parameter(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        set_parameter(_TRIM_THRESHOLD, 2 * _LARGEST_MMAP_THRESHOLD)
        ctypes.CDLL(None).malloc_trim(0)


def _mallopt() -> Callable[[int, int], int] | None:
    """Return glibc's mallopt; None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    found: Callable[[int, int], int] | None = getattr(ctypes.CDLL(None), "mallopt", None)
    return found
