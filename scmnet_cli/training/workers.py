"""Threads that compute the parts of a step side by side, each with its share of the cores.

A small network on a few views gains little from several cores inside each operation: on two cores a step then takes
0.77 of its time on one core, with a view on each core 0.52 (docs/lab/personalize.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import TracebackType
from typing import Self, TypeVar

import torch

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_PATIENCE = 60.0  # seconds that threads wait for each other to start


class Workers:
    """A pool of threads for use in a ``with`` block; with one worker, all is computed in the calling thread."""

    def __init__(self, num: int) -> None:
        """Create a pool without starting threads.

        Args:
            num: maximum number of workers; there are no more than torch uses cores.
        """
        self.num = max(min(num, torch.get_num_threads()), 1)
        self._threads: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self.num > 1:
            total, all_started = torch.get_num_threads(), Barrier(self.num + 1, timeout=_PATIENCE)

            def start() -> None:
                torch.get_num_threads()  # the first call in a thread replaces the thread's number by the latest one
                torch.set_num_threads(total // self.num)
                all_started.wait()  # an idle thread would keep the pool from starting the next one

            self._threads = ThreadPoolExecutor(self.num, "worker", start)
            for _ in range(self.num):
                self._threads.submit(int)
            all_started.wait()
            torch.set_num_threads(total)  # threads that start later take over the number that was set last
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)

    def map(self, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        """Return the results of a function in the order of the items."""
        return [*map(function, items)] if self._threads is None else [*self._threads.map(function, items)]
