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
from typing import Annotated

import typer

from scmnet_cli import __version__
from scmnet_cli.cli.ablate import ablate
from scmnet_cli.cli.analyser import app as analyser
from scmnet_cli.cli.app import app as page
from scmnet_cli.cli.bench import bench
from scmnet_cli.cli.colorize import colorize
from scmnet_cli.cli.commands import Commands
from scmnet_cli.cli.completion import complete_in_bash
from scmnet_cli.cli.demo import demo
from scmnet_cli.cli.doctor import doctor
from scmnet_cli.cli.edit import edit
from scmnet_cli.cli.eval import evaluate
from scmnet_cli.cli.export import export
from scmnet_cli.cli.inspect import inspect
from scmnet_cli.cli.personalize import personalize
from scmnet_cli.cli.poses import poses
from scmnet_cli.cli.preprocess import preprocess
from scmnet_cli.cli.train import train
from scmnet_cli.cli.transfer import transfer
from scmnet_cli.cli.wardrobe import app as wardrobe
from scmnet_cli.cli.weights import app as weights
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

app = Commands(
    name="scm",
    help=_HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("transfer", rich_help_panel=GENERATE)(transfer)
app.command("edit", rich_help_panel=GENERATE)(edit)
app.command("colorize", rich_help_panel=GENERATE)(colorize)
app.command("personalize", rich_help_panel=GENERATE)(personalize)
app.command("demo", rich_help_panel=GENERATE)(demo)
app.command("app", rich_help_panel=GENERATE)(page)
app.command("preprocess", rich_help_panel=TRAIN)(preprocess)
app.command("train", rich_help_panel=TRAIN)(train)
app.add_typer(analyser, name="analyser", rich_help_panel=TRAIN)
app.command("eval", rich_help_panel=MEASURE)(evaluate)
app.command("ablate", rich_help_panel=MEASURE)(ablate)
app.command("bench", rich_help_panel=MEASURE)(bench)
app.command("inspect", rich_help_panel=MEASURE)(inspect)
app.command("poses", rich_help_panel=LIBRARY)(poses)
app.add_typer(wardrobe, name="wardrobe", rich_help_panel=LIBRARY)
app.add_typer(weights, name="weights", rich_help_panel=LIBRARY)
app.command("export", rich_help_panel=LIBRARY)(export)
app.command("doctor", rich_help_panel=LIBRARY)(doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"scm {__version__}")
        raise typer.Exit


@app.callback()
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
            run = partial(app, args=arguments, prog_name="scm")
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
