"""The command ``scm``: registers the commands, sets up logging, and turns errors into exit codes.

Commands import what is heavy when they run, so that ``scm --help`` imports no torch.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import time
from collections.abc import Sequence
from typing import Annotated

import typer

from scmnet_cli import __version__
from scmnet_cli.cli.ablate import ablate
from scmnet_cli.cli.analyser import app as analyser
from scmnet_cli.cli.app import app as page
from scmnet_cli.cli.bench import bench
from scmnet_cli.cli.colorize import colorize
from scmnet_cli.cli.demo import demo
from scmnet_cli.cli.doctor import doctor
from scmnet_cli.cli.edit import edit
from scmnet_cli.cli.eval import evaluate
from scmnet_cli.cli.export import export
from scmnet_cli.cli.inspect import inspect
from scmnet_cli.cli.poses import poses
from scmnet_cli.cli.preprocess import preprocess
from scmnet_cli.cli.train import train
from scmnet_cli.cli.transfer import transfer
from scmnet_cli.cli.wardrobe import app as wardrobe
from scmnet_cli.cli.weights import app as weights
from scmnet_cli.errors import ScmError
from scmnet_cli.system.processes import Rank, this_rank

_SHARED = ("preprocess", "train", "transfer", "edit", "colorize")
"""Commands that several processes share the work of."""

_HEAD_START = 2.0
"""Seconds."""

app = typer.Typer(
    name="scm",
    help="Person image generation by self-supervised correlation mining (SCM-Net).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("preprocess")(preprocess)
app.command("train")(train)
app.command("transfer")(transfer)
app.command("edit")(edit)
app.command("colorize")(colorize)
app.command("inspect")(inspect)
app.command("poses")(poses)
app.command("eval")(evaluate)
app.command("ablate")(ablate)
app.add_typer(wardrobe, name="wardrobe", help="Garments and hair to be worn: list and draw them, add one's own.")
app.add_typer(analyser, name="analyser", help="Train and measure the network that finds joints and regions in photos.")
app.add_typer(weights, name="weights", help="Find, download and check the pretrained networks that others need.")
app.command("export")(export)
app.command("doctor")(doctor)
app.command("bench")(bench)
app.command("demo")(demo)
app.command("app")(page)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"scm {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    verbose: Annotated[
        int, typer.Option("-v", "--verbose", count=True, metavar="", help="Log to stderr what is done; -vv: in detail.")
    ] = 0,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    if context.invoked_subcommand not in _SHARED and _rank().count > 1:
        raise ScmError(f"'scm {context.invoked_subcommand}' runs as one process; start it without torchrun")
    _log_to_stderr([logging.NOTSET, logging.INFO, logging.DEBUG][min(verbose, 2)])


def _log_to_stderr(level: int) -> None:
    from rich.console import Console
    from rich.logging import RichHandler

    logger = logging.getLogger("scmnet_cli")
    # Other processes of one start would say the same once more.
    logger.setLevel(level if this_rank().is_first else logging.ERROR)
    logger.handlers = [RichHandler(console=Console(stderr=True), show_path=level == logging.DEBUG)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``scm`` and exit.

    Exit codes: 0 done; 1 nobody reads the output any more; 2 a mistake of the user or an error of a disk, printed in
    one line; 130 interrupted. Any other exception is a bug and ends in a traceback.

    Args:
        arguments: what follows ``scm``; ``None`` reads the command line.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files may hold bytes that are not UTF-8
    try:
        try:
            app(args=arguments, prog_name="scm")
        finally:
            sys.stdout.flush()
    except ScmError as error:
        _tell(error)
        sys.exit(2)
    except BrokenPipeError:  # the program that read our output has ended, as `head` does
        _discard_output()
        sys.exit(1)
    except OSError as error:
        if error.errno is None:
            raise
        place = "output" if error.filename is None else error.filename
        _tell(ScmError(f"{place}: cannot be used ({error.strerror}); name another file or folder, or make room"))
        _discard_output()
        sys.exit(2)


def _discard_output() -> None:
    """Keep Python from failing once more when it flushes stdout on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(error: ScmError) -> None:
    """Print an error in one line; of several processes, say which one's it is.

    A mistake in the command meets all of them: the others wait, since torchrun ends them once the first reports it.
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
