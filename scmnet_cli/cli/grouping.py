"""Commands with dataclasses as parameters: on the command line each field is an option."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command for typer: each parameter that is a dataclass is replaced by the dataclass's fields.

    Fields are annotated like parameters of a command, and their defaults are those of the options. The command is
    called with instances of the dataclasses.

    >>> @dataclass(frozen=True)
    ... class Work:
    ...     jobs: Annotated[int, typer.Option("--jobs")] = 1
    >>> @app.command()
    ... @grouped
    ... def prepare(source: Path, work: Work) -> None: ...
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if is_dataclass(hint) and isinstance(hint, type)}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        group = groups.get(parameter.name)
        if group is None:
            found = [(parameter.name, hints[parameter.name], parameter.default)]
        else:
            types = get_type_hints(group, include_extras=True)
            found = [(f"{parameter.name}_{field.name}", types[field.name], field.default) for field in fields(group)]
        for name, annotation, default in found:
            given = inspect.Parameter.empty if default is MISSING else default
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(inspect.Parameter(name, kind, default=given, annotation=annotation))

    @functools.wraps(command)
    def run(**given: Any) -> None:
        for name, group in groups.items():
            values = {field.name: given.pop(f"{name}_{field.name}") for field in fields(group)}
            given[name] = group(**values)
        command(**given)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
