"""Notes, warnings and progress on stderr, and how many of them -q and -v ask for; results go to stdout."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scmnet_cli.system.processes import this_rank

if TYPE_CHECKING:
    from rich.console import Console


@dataclass
class _Level:
    quiet: bool = False


_level = _Level()


def set_level(*, quiet: bool, verbose: int) -> None:
    """Choose what is written to stderr.

    Args:
        quiet: neither notes nor progress; warnings and errors stay.
        verbose: 0: warnings; 1: also what is done; 2 and more: in detail.
    """
    from rich.console import Console
    from rich.logging import RichHandler

    _level.quiet = quiet
    chosen = (logging.NOTSET, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logger = logging.getLogger("scmnet_cli")
    # Other processes of one start would log the same once more.
    logger.setLevel(chosen if this_rank().is_first else logging.ERROR)
    logger.handlers = [RichHandler(console=Console(stderr=True), show_path=chosen == logging.DEBUG)]


def is_quiet() -> bool:
    """Return whether notes and progress are unwanted."""
    return _level.quiet


def note(text: str) -> None:
    """Write a line that is good to know to stderr, unless -q is given."""
    if not _level.quiet:
        warn(text)


def warn(text: str) -> None:
    """Write a line that nobody should miss to stderr."""
    print(f"scm: {text}", file=sys.stderr, flush=True)


def progress_console(**settings: Any) -> Console:
    """Return the console for progress bars: stderr, of the first process only, and silent with -q."""
    from rich.console import Console

    return Console(stderr=True, quiet=_level.quiet or not this_rank().is_first, **settings)
