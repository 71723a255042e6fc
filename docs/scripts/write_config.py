"""Write docs/config.md from the typed config: ``nox -s docs``. A test holds the two equal."""

from pathlib import Path
from types import NoneType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from scmnet_cli.config import SIZES, Config

TARGET = Path(__file__).parents[1] / "config.md"
HEAD = """# Every setting

<!-- Written by `nox -s docs` from scmnet_cli/config.py. Change it there. -->

A config is a YAML file with the sections `model`, `data`, `loss` and `train`; what it leaves out takes the default
below. `scm train -c NAME` reads a shipped config (the folder `configs/`), `-c FILE.yaml` reads yours, and
`--set section.field=value` changes one field. An unknown key or a value out of range is an error that names it. A saved
model carries its whole config.
"""


def page() -> str:
    """Return the text of docs/config.md."""
    parts = [HEAD]
    for name, info in Config.model_fields.items():
        section: Any = info.annotation
        parts.append(f"## `{name}`\n\n{section.__doc__.strip()}\n")
        rows = [_row(field, details) for field, details in section.model_fields.items()]
        parts.append("\n".join(["| field | values | default | meaning |", "| --- | --- | --- | --- |", *rows]) + "\n")
    fields = list(SIZES["base"])
    rows = [f"| `{field}` | " + " | ".join(str(sizes[field]) for sizes in SIZES.values()) + " |" for field in fields]
    parts.append("### `model.size`\n\nWhat it fills in where the field is not given.\n")
    parts.append("\n".join([f"| field | {' | '.join(SIZES)} |", "| --- |" + " --- |" * len(SIZES), *rows]) + "\n")
    return "\n".join(parts)


def _row(name: str, info: FieldInfo) -> str:
    if name in SIZES["base"]:
        default = "by `size`"
    elif info.default is PydanticUndefined:
        default = "required"
    else:
        default = f"`{_value(info.default)}`"
    return f"| `{name}` | {_values(info.annotation)}{_limits(info)} | {default} | {info.description} |"


def _value(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _values(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin is list:
        return f"list of {_values(arguments[0])}"
    if origin is tuple:
        return f"{len(arguments)} × {_values(arguments[0])}"
    if arguments and (origin is Union or NoneType in arguments):
        return " or ".join("null" if part is NoneType else _values(part) for part in arguments)
    return {int: "integer", float: "number", bool: "true, false", str: "text"}[annotation]


def _limits(info: FieldInfo) -> str:
    signs = {"gt": "> {}", "ge": "≥ {}", "lt": "< {}", "le": "≤ {}", "multiple_of": "a multiple of {}"}
    found = [
        text.format(getattr(limit, name))
        for limit in info.metadata
        for name, text in signs.items()
        if hasattr(limit, name)
    ]
    lengths = [limit.max_length for limit in info.metadata if hasattr(limit, "max_length")]
    found += [f"{length} of them" for length in lengths]
    return "".join(f", {text}" for text in found)


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
