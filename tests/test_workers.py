"""Threads that compute the parts of a step side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from scmnet_cli.training.workers import Workers


@pytest.fixture(autouse=True)
def _two_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_are_in_the_order_of_the_items_although_the_first_ends_last() -> None:
    with Workers(2) as workers:
        found = workers.map(lambda item: (time.sleep(0.1 / (item + 1)), item)[1], range(4))
    assert found == [0, 1, 2, 3]


def test_the_cores_are_shared_among_the_workers_and_given_back() -> None:
    both = threading.Barrier(2, timeout=20)

    def threads_of_torch(_: int) -> tuple[int, str]:
        both.wait()
        return torch.get_num_threads(), threading.current_thread().name

    later: list[int] = []
    with Workers(8) as workers:
        assert workers.num == 2, "as many as torch uses cores"
        found = workers.map(threads_of_torch, range(2))
        after = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        after.start()
        after.join()
    assert [num for num, _ in found] == [1, 1]
    assert len({name for _, name in found}) == 2
    assert (torch.get_num_threads(), later) == (2, [2])


def test_one_worker_is_the_calling_thread() -> None:
    with Workers(1) as workers:
        assert workers.map(lambda _: threading.current_thread(), [0]) == [threading.current_thread()]


def test_an_error_of_a_part_reaches_the_caller() -> None:
    with Workers(2) as workers, pytest.raises(ZeroDivisionError):
        workers.map(lambda item: 1 // item, [1, 0])
