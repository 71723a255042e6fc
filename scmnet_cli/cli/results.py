"""Results of commands on stdout: text lines, or with --json a single JSON document."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from numbers import Integral, Real
from typing import Annotated, Any

import typer

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document to stdout; everything else goes to stderr.")
]


def show(lines: Iterable[object], document: object, *, as_json: bool) -> None:
    """Print lines, or with ``--json`` the document.

    Args:
        lines: lines of text.
        document: the same content of dataclasses, mappings, sequences, paths, numbers and text.
        as_json: whether ``--json`` is given.
    """
    if as_json:
        print(json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False), flush=True)
        return
    for line in lines:
        print(line, flush=True)


def _plain(value: Any) -> Any:
    """Convert a value to JSON types; non-finite numbers become null."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    return str(value)
