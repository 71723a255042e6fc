"""Ctrl-C: finish the file being written, then print a line with the progress so far."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from scmnet_cli.cli.console import warn

INTERRUPTED = 130
"""Exit code after Ctrl-C."""

NOTHING_DRAWN = "nothing was drawn"


@contextmanager
def stops_with(said: str | Callable[[], str]) -> Iterator[None]:
    """On Ctrl-C in the block, print a line and exit with code 130.

    Args:
        said: the line, or a function that returns it.
    """
    try:
        yield
    except KeyboardInterrupt:
        warn(f"stopped: {said if isinstance(said, str) else said()}")
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block, so that its output is complete and counted."""
    if threading.current_thread() is not threading.main_thread() or (
        signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield  # the signal is handled or ignored elsewhere already
        return
    arrived: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if arrived:
        raise KeyboardInterrupt
