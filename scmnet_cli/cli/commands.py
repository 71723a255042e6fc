"""Common behaviour of all ``scm`` commands: -v and -q before and after the command's name, and shorter help."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, get_type_hints

import typer
from typer.core import TyperCommand, TyperGroup

from scmnet_cli.cli.console import set_level
from scmnet_cli.errors import ScmError

Function = TypeVar("Function", bound=Callable[..., Any])

_QUIET, _VERBOSE = "scm.quiet", "scm.verbose"

Quiet = Annotated[
    bool,
    typer.Option(
        "-q", "--quiet", help="Print only warnings and errors, no progress or notes.", rich_help_panel="Messages"
    ),
]
Verbose = Annotated[
    int,
    typer.Option(
        "-v",
        "--verbose",
        count=True,
        metavar="",
        show_default=False,
        help="Log each step to stderr; -vv: in detail.",
        rich_help_panel="Messages",
    ),
]


def with_help(text: str) -> Callable[[Function], Function]:
    """Return a decorator that sets the help text of a command, in place of its short docstring.

    The lines of a paragraph are joined, unless it starts with a backspace.
    """
    paragraphs = text.split("\n\n")
    joined = [part if part.startswith("\b") else " ".join(part.split("\n")) for part in paragraphs]

    def changed(command: Function) -> Function:
        command.__doc__ = "\n\n".join(joined)
        return command

    return changed


class Commands(typer.Typer):
    """A group of commands that take -v and -q, and whose help shows no type for flags."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(cls=_Group, **settings)

    def command(self, name: str | None = None, **settings: Any) -> Callable[[Function], Function]:
        """Register a command, like typer's method."""
        register = super().command(name, cls=_Command, **settings)
        return lambda function: _kept(function, register(leveled(function)))

    def callback(self, **settings: Any) -> Callable[[Function], Function]:
        """Register the callback of a group, like typer's method."""
        register = super().callback(cls=_Group, **settings)
        return lambda function: _kept(function, register(leveled(function)))


def _kept(function: Function, _registered: object) -> Function:
    return function


def leveled(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command so that it also takes -v and -q, in addition to those given before its name.

    Raises:
        ScmError: when called with both.
    """
    hints = get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(annotation=hints.get(parameter.name, parameter.annotation))
        for parameter in inspect.signature(command).parameters.values()
    ]
    context = next((parameter.name for parameter in own if parameter.annotation is typer.Context), None)
    keyword = inspect.Parameter.KEYWORD_ONLY
    added = [
        inspect.Parameter("quiet", keyword, default=False, annotation=Quiet),
        inspect.Parameter("verbose", keyword, default=0, annotation=Verbose),
    ]
    if context is None:
        added.append(inspect.Parameter("level_context", keyword, annotation=typer.Context))

    @functools.wraps(command)
    def run(*, quiet: bool, verbose: int, **given: Any) -> None:
        found: typer.Context = given.pop("level_context") if context is None else given[context]
        found.meta[_QUIET] = found.meta.get(_QUIET, False) or quiet
        found.meta[_VERBOSE] = found.meta.get(_VERBOSE, 0) + verbose
        if found.meta[_QUIET] and found.meta[_VERBOSE]:
            raise ScmError("-q and -v: cannot be combined; give one of them")
        set_level(quiet=found.meta[_QUIET], verbose=found.meta[_VERBOSE])
        command(**given)

    parameters = [parameter.replace(kind=keyword) for parameter in own] + added
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _without_types_of_flags(parameters: list[Any]) -> list[Any]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
    return parameters


class _Command(TyperCommand):
    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types_of_flags(super().get_params(ctx))


class _Group(TyperGroup):
    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types_of_flags(super().get_params(ctx))
