"""Progress bars on stderr."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from rich.progress import Progress, TaskID


class Bars(Progress):
    """Bars that show from the first task on: a run that is refused before it counts anything leaves no empty bar."""

    def __init__(self, *columns: Any, **settings: Any) -> None:
        super().__init__(*columns, **settings)
        self._of: dict[str, TaskID] = {}

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
