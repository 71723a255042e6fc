"""The one exception a user's mistake may raise."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST = 1500


class ScmError(Exception):
    """A user's mistake: its text names the option or file, the value found and the remedy, in one line.

    The command line prints the text and exits with code 2; library users catch it. What a broken file put into the text
    can neither fill the screen nor control the terminal: the middle of a long text is left out, control characters are
    escaped.
    """

    def __init__(self, message: str) -> None:
        line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(message.split()))
        if len(line) > _LONGEST:
            line = f"{line[: _LONGEST // 2]} […] {line[-_LONGEST // 2 :]}"
        super().__init__(line)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the known word closest to ``name``, or ``""`` if none is close.

    A word that is known as it is has no suggestion: it is spelled right.
    """
    words = list(known)
    close = [] if name in words else difflib.get_close_matches(name, words, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
