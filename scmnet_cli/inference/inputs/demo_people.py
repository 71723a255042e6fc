"""Photos of people that ship with the package, so that examples run without a photo of one's own."""

from __future__ import annotations

from pathlib import Path

from scmnet_cli.errors import ScmError, nearest

PREFIX = "demo:"
"""Marks the name of a shipped photo on the command line; alone it names all of them."""

DEFAULT = "coral-jacket"
"""The photo that commands use when none is given: a whole body, from the front."""


def demo_people() -> dict[str, Path]:
    """Return the files of the shipped photos by name, sorted."""
    folder = Path(__file__).parents[2] / "assets" / "demo_people"
    return {path.stem: path for path in sorted(folder.glob("*.jpg"))}


def find_demo_people(word: str, option: str) -> list[Path]:
    """Return the files that ``demo:NAME`` names; ``demo:`` names all.

    Raises:
        ScmError: if no shipped photo has the name; the message lists those that exist.
    """
    people, name = demo_people(), word.removeprefix(PREFIX)
    if not name:
        return list(people.values())
    if name not in people:
        known = nearest(name, people) or f"; there are {', '.join(people)}"
        raise ScmError(f"{option} {word}: no shipped photo is called '{name}'{known}")
    return [people[name]]


def complete_demo_people(incomplete: str) -> list[str]:
    """Return ``demo:NAME`` for the start of one; nothing for other words, so that the shell completes files."""
    names = [f"{PREFIX}{name}" for name in demo_people()]
    return [name for name in names if incomplete and name.startswith(incomplete)]
