"""Parse YAML that a user wrote, within bounds of memory and time."""

from __future__ import annotations

from typing import Any

import yaml

MAX_CHARACTERS = 50_000
_MAX_DEPTH, _MAX_VALUE = 20, 1_000
"""Limits of a YAML text: characters; nesting, and characters of one value."""


def parse_yaml(text: str) -> Any:
    """Parse a small YAML text without aliases, which can expand a few lines to gigabytes.

    Raises:
        ValueError, RecursionError, yaml.YAMLError: if it is too long or too deep, has an alias, or is not YAML.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has over {MAX_CHARACTERS:,} characters")
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:  # the parser's time grows with the square of the depth
            raise ValueError(f"it is over {_MAX_DEPTH} levels deep")
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f"it has the alias *{event.anchor}; write the value out")
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > _MAX_VALUE:
            raise ValueError(f"it has a value of over {_MAX_VALUE:,} characters")
    return yaml.safe_load(text)
