"""Shell completion of poses, regions, garments and configs; nothing here imports torch."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from pathlib import Path

WARDROBE = "wardrobe:"
LIBRARY = "library:"


def complete_poses(incomplete: str) -> list[str]:
    """Return matching shipped poses and photos; an empty list makes the shell complete file names."""
    from scmnet_cli.inference.inputs.demo_people import complete_demo_people

    names = sorted(path.stem for path in (Path(__file__).parents[1] / "poses" / "shipped").glob("*.json"))
    found = [name for name in [*names, LIBRARY] if name.startswith(incomplete)]
    if incomplete.startswith(LIBRARY):
        found = [f"{LIBRARY}{name}" for name in names if name.startswith(incomplete.removeprefix(LIBRARY))]
    return found + complete_demo_people(incomplete)


def complete_references(incomplete: str) -> list[tuple[str, str]]:
    """Return matching shipped photos, and ``wardrobe:NAME`` from the wardrobe of SCM_WARDROBE or the shipped one."""
    from scmnet_cli.inference.inputs.demo_people import complete_demo_people

    found = [(name, "a shipped photo") for name in complete_demo_people(incomplete)]
    if incomplete and incomplete != WARDROBE and WARDROBE.startswith(incomplete):
        return [*found, (WARDROBE, "garments, see scm wardrobe")]
    if not incomplete.startswith(WARDROBE):
        return found
    wanted = incomplete.removeprefix(WARDROBE)
    return [(f"{WARDROBE}{name}", about) for name, about in _garments() if name.startswith(wanted)]


def complete_regions(incomplete: str) -> list[str]:
    """Return matching regions of people and faces, and everyday words for them."""
    from scmnet_cli.inference.garments import KINDS, WORDS
    from scmnet_cli.regions import FACE_REGIONS

    return [name for name in dict.fromkeys([*KINDS, *FACE_REGIONS, *WORDS]) if name.startswith(incomplete)]


def complete_configs(incomplete: str) -> list[str]:
    """Return matching shipped configs; an empty list makes the shell complete file names."""
    from scmnet_cli.config import shipped_configs

    return [name for name in shipped_configs() if name.startswith(incomplete)]


def complete_weights(incomplete: str) -> list[str]:
    """Return matching names of pretrained networks."""
    return [name for name in ("vgg19", "vgg16", "alexnet", "inception", "all") if name.startswith(incomplete)]


def _garments() -> list[tuple[str, str]]:
    """Return name and description of each garment; empty on any error, since a shell shows none."""
    import json

    from safetensors import SafetensorError, safe_open

    shipped = Path(__file__).parents[1] / "assets" / "wardrobe.safetensors"
    path = Path(os.environ.get("SCM_WARDROBE") or shipped)
    try:
        with safe_open(path, "numpy") as file:
            entries = json.loads(file.metadata()["extra.garments"])
            return sorted((name, str(entry.get("about", ""))) for name, entry in entries.items())
    except (OSError, SafetensorError, ValueError, KeyError, AttributeError, TypeError):
        return []


def complete_in_bash(complete: Callable[[], object]) -> None:
    """Complete words with a colon in bash, which splits them at it: ``wardrobe:red`` arrives as three words.

    The words are joined again. Only the part of each match after the colon is printed, which is the part that bash
    replaces.

    Args:
        complete: reads COMP_WORDS and COMP_CWORD and prints one word per line; it may exit.
    """
    words = os.environ.get("COMP_WORDS", "").split()
    current = int(os.environ.get("COMP_CWORD") or 0)
    joined: list[str] = []
    place = 0
    for number, word in enumerate(words):
        if joined and (word == ":" or (number and words[number - 1] == ":")):
            joined[-1] += word
        else:
            joined.append(word)
        if number == current:
            place = len(joined) - 1
    if current >= len(words):
        place = len(joined)
    elif ":" in words[: current + 1]:
        os.environ |= {"COMP_WORDS": "\n".join(joined), "COMP_CWORD": str(place)}
    prefix = re.match(r".*:", joined[place]) if place < len(joined) else None
    _print_without(prefix.group() if prefix else "", complete)


def _print_without(prefix: str, complete: Callable[[], object]) -> None:
    found = io.StringIO()
    try:
        with redirect_stdout(found):
            complete()
    finally:
        lines: Iterable[str] = found.getvalue().splitlines()
        print(*(line.removeprefix(prefix) for line in lines), sep="\n")
