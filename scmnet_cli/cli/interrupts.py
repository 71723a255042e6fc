"""Ctrl-C: what is being written is finished first, and a line says what is done and what is not."""

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
    """Let Ctrl-C in the block end the command with a line and exit code 130.

    Args:
        said: the line, or what gives it when the block was stopped.
    """
    try:
        yield
    except KeyboardInterrupt:
        warn(f"stopped: {said if isinstance(said, str) else said()}")
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Let Ctrl-C wait until the block is done, so that what it writes is whole and counted."""
    if threading.current_thread() is not threading.main_thread() or (
        signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield  # whoever handles or ignores the signal already goes on doing so
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
