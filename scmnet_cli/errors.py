"""The exception for mistakes of the user."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MAX_LENGTH = 1500
_ELLIPSIS = " […] "


class ScmError(Exception):
    """A mistake of the user, in one line that names the option or file, the value found and the remedy.

    The command line prints the line and exits with code 2; library users catch the exception. The line is safe to print
    even if it contains text of a broken file: the middle of a long text is left out, control characters are escaped.
    """

    def __init__(self, message: str) -> None:
        # Cut before and after escaping: the text may hold a whole file, and an escaped character is up to ten long.
        line = _shortened(" ".join(_shortened(message, 4 * _MAX_LENGTH).split()), _MAX_LENGTH)
        super().__init__(_shortened("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line), _MAX_LENGTH))


def _shortened(text: str, length: int) -> str:
    """Return a text with its middle left out if it is longer than ``length``."""
    return text if len(text) <= length else text[: length // 2] + _ELLIPSIS + text[-length // 2 :]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known word closest to ``name``, or ``""`` if none is close.

    A word that is itself known gets no suggestion.
    """
    words = list(known)
    close = [] if name in words else difflib.get_close_matches(name, words, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
