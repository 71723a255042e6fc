"""The command ``scm``: register the commands and turn errors into exit codes.

Commands import heavy packages only when they run, so that ``scm --help`` imports no torch.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Annotated

import typer

from scmnet_cli import __version__
from scmnet_cli.cli.commands import Commands
from scmnet_cli.cli.completion import complete_in_bash
from scmnet_cli.errors import ScmError
from scmnet_cli.system.processes import Rank, this_rank

_SHARED = ("preprocess", "train", "transfer", "edit", "colorize")
"""Commands that can run as several processes."""

_HEAD_START = 2.0
"""Seconds that other processes wait before they print an error."""

_HELP = """Draw people in other poses and other clothes (SCM-Net, self-supervised correlation mining).

\b
Examples:
  scm demo
  scm transfer me.jpg walking
  scm edit --src me.jpg --region upper --ref friend.jpg
  scm train --help
"""

_OBJECTS_BETWEEN_COLLECTIONS = 20_000
"""Objects that Python creates between two searches for reference cycles; with the default, 700, the searches take a
seventh of the time to import torch."""

GENERATE, TRAIN, MEASURE, LIBRARY = "Generate", "Data and training", "Measure", "Library and set-up"
"""Panels of the help, in this order."""

_COMMANDS = {
    "transfer": GENERATE,
    "edit": GENERATE,
    "colorize": GENERATE,
    "personalize": GENERATE,
    "demo": GENERATE,
    "app": GENERATE,
    "preprocess": TRAIN,
    "train": TRAIN,
    "analyser": TRAIN,
    "eval": MEASURE,
    "ablate": MEASURE,
    "bench": MEASURE,
    "inspect": MEASURE,
    "poses": LIBRARY,
    "wardrobe": LIBRARY,
    "weights": LIBRARY,
    "export": LIBRARY,
    "doctor": LIBRARY,
}
"""Panel of each command; the module of the same name in this folder has the command."""

_GROUPS = ("analyser", "wardrobe", "weights")
"""Commands that have commands of their own: ``app`` in their modules."""

_FUNCTIONS = {"eval": "evaluate"}
"""Functions that have another name than their command."""


def load_app(arguments: Sequence[str] = ()) -> Commands:
    """Return ``scm`` with the command that the arguments name, or with all commands if they name none.

    To import all commands takes 40 ms.
    """
    app = Commands(
        name="scm",
        help=_HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    word = next((word for word in arguments if not word.startswith("-")), "")  # no option before it takes a value
    for name in [word] if word in _COMMANDS else _COMMANDS:
        module = import_module(f"scmnet_cli.cli.{name}")
        if name in _GROUPS:
            app.add_typer(module.app, name=name, rich_help_panel=_COMMANDS[name])
        else:
            app.command(name, rich_help_panel=_COMMANDS[name])(getattr(module, _FUNCTIONS.get(name, name)))
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"scm {__version__}")
        raise typer.Exit


def _options(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    if context.invoked_subcommand not in _SHARED and _rank().count > 1:
        raise ScmError(f"'scm {context.invoked_subcommand}' runs as one process; start it without torchrun")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``scm`` and exit.

    Exit codes: 0 success; 1 the reader of the output closed it; 2 a mistake of the user or a disk error, printed in one
    line; 130 interrupted. Any other exception is a bug and ends with a traceback.

    Args:
        arguments: arguments after ``scm``; ``None``: those of the command line.
    """
    _search_rarely_for_cycles()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # file names may contain bytes that are not UTF-8
    try:
        try:
            given = sys.argv[1:] if arguments is None else arguments
            run = partial(load_app(() if "_SCM_COMPLETE" in os.environ else given), args=given, prog_name="scm")
            if os.environ.get("_SCM_COMPLETE") == "complete_bash":
                complete_in_bash(run)
            else:
                run()
        finally:
            sys.stdout.flush()
    except ScmError as error:
        _print_error(error)
        sys.exit(2)
    except BrokenPipeError:  # the program that reads our output has exited, as `head` does
        _discard_output()
        sys.exit(1)
    except OSError as error:
        if error.errno is None:
            raise
        place = "output" if error.filename is None else error.filename
        _print_error(
            ScmError(f"{place}: cannot be used ({error.strerror}); give another file or folder, or free some space")
        )
        _discard_output()
        sys.exit(2)


def _search_rarely_for_cycles() -> None:
    """Let Python's cyclic garbage collector run rarely, and not when the process ends and frees everything anyway."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    atexit.unregister(_skip_last_search)
    atexit.register(_skip_last_search)


def _skip_last_search() -> None:
    """Skip the search at the end, unless triton is loaded: it lists on stderr all its objects that were not freed."""
    if "triton" not in sys.modules:
        gc.freeze()


def _discard_output() -> None:
    """Redirect stdout to nowhere, so that Python's flush at exit does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_error(error: ScmError) -> None:
    """Print an error in one line, with the rank if there are several processes.

    All processes see a mistake in the command. Those other than the first wait before printing: torchrun ends them as
    soon as the first exits.
    """
    rank = _rank()
    if not rank.is_first:
        time.sleep(_HEAD_START)
    print(f"scm: {f'{rank}: ' if rank.count > 1 else ''}{error}", file=sys.stderr, flush=True)


def _rank() -> Rank:
    try:
        return this_rank()
    except ScmError:
        return Rank()
