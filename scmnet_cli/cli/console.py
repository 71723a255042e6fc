"""Notes, warnings and progress on stderr, at the level of -q and -v; results go to stdout."""

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
    """Set the level of messages on stderr.

    Args:
        quiet: print no notes and no progress, only warnings and errors.
        verbose: 0: log warnings; 1: also each step; 2 or more: in detail.
    """
    from rich.console import Console
    from rich.logging import RichHandler

    _level.quiet = quiet
    chosen = (logging.NOTSET, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logger = logging.getLogger("scmnet_cli")
    # Other ranks would log the same again.
    logger.setLevel(chosen if this_rank().is_first else logging.ERROR)
    logger.handlers = [RichHandler(console=Console(stderr=True), show_path=chosen == logging.DEBUG)]


def is_quiet() -> bool:
    """Return whether notes and progress are suppressed."""
    return _level.quiet


def note(text: str) -> None:
    """Print a note to stderr, unless -q is given."""
    if not _level.quiet:
        warn(text)


def warn(text: str) -> None:
    """Print a warning to stderr."""
    print(f"scm: {text}", file=sys.stderr, flush=True)


def progress_console(**settings: Any) -> Console:
    """Return the console for progress bars on stderr: silent with -q and on ranks other than the first."""
    from rich.console import Console

    return Console(stderr=True, quiet=_level.quiet or not this_rank().is_first, **settings)
