"""Shipped photos of people, so that examples run without a photo of the user."""

from __future__ import annotations

from pathlib import Path

from scmnet_cli.errors import ScmError, nearest

PREFIX = "demo:"
"""Prefix of a shipped photo's name on the command line; alone it means all of them."""

DEFAULT = "coral-jacket"
"""Default photo of commands: a whole body from the front."""


def demo_people() -> dict[str, Path]:
    """Return the files of the shipped photos by name, sorted."""
    folder = Path(__file__).parents[2] / "assets" / "demo_people"
    return {path.stem: path for path in sorted(folder.glob("*.jpg"))}


def find_demo_people(word: str, option: str) -> list[Path]:
    """Return the files of ``demo:NAME``, or all files for ``demo:``.

    Raises:
        ScmError: if there is no such photo; the message lists all.
    """
    people, name = demo_people(), word.removeprefix(PREFIX)
    if not name:
        return list(people.values())
    if name not in people:
        known = nearest(name, people) or f"; there are {', '.join(people)}"
        raise ScmError(f"{option} {word}: no shipped photo is called '{name}'{known}")
    return [people[name]]


def complete_demo_people(incomplete: str) -> list[str]:
    """Return completions of ``demo:NAME``; empty for other words, so that the shell completes files."""
    names = [f"{PREFIX}{name}" for name in demo_people()]
    return [name for name in names if incomplete and name.startswith(incomplete)]
