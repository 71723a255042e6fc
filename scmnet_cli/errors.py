"""The one exception a user's mistake may raise."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ScmError(Exception):
    """A user's mistake: its text names the option or file, the value found and the remedy, in one line.

    The command line prints the text and exits with code 2; library users catch it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known word closest to ``name``, or ``""`` if none is close."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
