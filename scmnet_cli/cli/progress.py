"""Progress bars on stderr; in a log, where no bar can move, a line now and then."""

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
"""Seconds between two lines of a step in a log."""


class Bars(Progress):
    """Bars that show from the first task on: a run that is refused before it counts anything leaves no empty bar."""

    def __init__(self, *columns: Any, **settings: Any) -> None:
        super().__init__(*columns, **settings)
        self._of: dict[str, TaskID] = {}
        self._told: dict[str, tuple[float, int]] = {}
        self.latest = ""
        """The step that counted last and how far it is, in words."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.live.is_started:
            self.stop()

    def add_task(self, *given: Any, **settings: Any) -> TaskID:
        """Add a task, as ever, and show the bars."""
        task = super().add_task(*given, **settings)
        self.start()
        return task

    def count(self, step: str, done: int, total: int | None, **fields: Any) -> None:
        """Show how far a step is; the first call adds its bar."""
        if step not in self._of:
            self._of[step] = self.add_task(step, total=total, **fields)
        self.update(self._of[step], completed=done, total=total, **fields)
        self.latest = f"{step}: {done:,}" + ("" if total is None else f" of {total:,}")
        if not self.console.is_terminal:
            self._tell(step, done, total, str(fields.get("note", "")))

    def _tell(self, step: str, done: int, total: int | None, note: str) -> None:
        """Write a line if the last one is some time ago, with what the pace since then says of the time left."""
        now = time.monotonic()
        since, before = self._told.setdefault(step, (now, done))
        if now - since < _LINE_EVERY or done == before:
            return
        self._told[step] = (now, done)
        known = "" if total is None else f" of {total:,}"
        left = 0 if total is None else round((total - done) * (now - since) / (done - before))
        self.console.print(
            f"{step}: {done:,}{known}"
            + (f", {timedelta(seconds=left)} left" if left else "")
            + (f"; {note}" if note else ""),
            highlight=False,
        )


def bars(*further: ProgressColumn, count: tuple[ProgressColumn, ...] | None = None, transient: bool = False) -> Bars:
    """Return bars on stderr, silent with -q: what is done, how far, the time left.

    Args:
        further: columns at the end.
        count: columns that say how far; None: done and total.
        transient: remove the bars at the end.
    """
    how_far = count or (MofNCompleteColumn(),)
    columns = (TextColumn("{task.description}"), BarColumn(), *how_far, TimeRemainingColumn(), *further)
    return Bars(*columns, console=progress_console(), transient=transient)
