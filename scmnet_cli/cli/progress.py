"""Progress bars on stderr; if that is not a terminal, occasional lines instead."""

from __future__ import annotations

import time
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from scmnet_cli.cli.console import progress_console

_LINE_EVERY = 30.0
"""Seconds between two lines of a step."""


class Bars(Progress):
    """Progress bars that appear with the first task, so that an early error leaves no empty bar."""

    def __init__(self, *columns: Any, **settings: Any) -> None:
        super().__init__(*columns, **settings)
        self._task_ids: dict[str, TaskID] = {}
        self._last_lines: dict[str, tuple[float, int]] = {}
        self.latest = ""
        """Name and progress of the step that was updated last."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.live.is_started:
            self.stop()

    def add_task(self, *given: Any, **settings: Any) -> TaskID:
        """Add a task and show the bars."""
        task = super().add_task(*given, **settings)
        self.start()
        return task

    def count(self, step: str, done: int, total: int | None, **fields: Any) -> None:
        """Show the progress of a step; the first call adds its bar."""
        if step not in self._task_ids:
            self._task_ids[step] = self.add_task(step, total=total, **fields)
        self.update(self._task_ids[step], completed=done, total=total, **fields)
        self.latest = f"{step}: {done:,}" + ("" if total is None else f" of {total:,}")
        if not self.console.is_terminal:
            self._print_line(step, done, total, str(fields.get("note", "")))

    def _print_line(self, step: str, done: int, total: int | None, note: str) -> None:
        """Print progress and estimated time left, unless the last line was less than 30 seconds ago."""
        now = time.monotonic()
        since, before = self._last_lines.setdefault(step, (now, done))
        if done < before:  # the step started again, so that the time since its last line says nothing about its speed
            self._last_lines[step] = (now, done)
            return
        if now - since < _LINE_EVERY or done == before:
            return
        self._last_lines[step] = (now, done)
        known = "" if total is None else f" of {total:,}"
        left = 0 if total is None else round(max(total - done, 0) * (now - since) / (done - before))
        self.console.print(
            f"{step}: {done:,}{known}"
            + (f", {timedelta(seconds=left)} left" if left else "")
            + (f"; {note}" if note else ""),
            highlight=False,
        )


def bars(*further: ProgressColumn, count: tuple[ProgressColumn, ...] | None = None, transient: bool = False) -> Bars:
    """Return progress bars on stderr, silent with -q, with columns for step, progress and time left.

    Args:
        further: columns to append.
        count: columns of the progress; None: done and total.
        transient: remove the bars at the end.
    """
    how_far = count or (MofNCompleteColumn(),)
    columns = (TextColumn("{task.description}"), BarColumn(), *how_far, TimeRemainingColumn(), *further)
    return Bars(*columns, console=progress_console(), transient=transient)
