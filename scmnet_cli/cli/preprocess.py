"""``scm preprocess``: make a prepared folder of photos."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scmnet_cli.errors import ScmError

if TYPE_CHECKING:
    from scmnet_cli.types import Canvas


class Layout(StrEnum):
    """How the source folder is laid out."""

    CCP = "ccp"
    FOLDER = "folder"


class Background(StrEnum):
    """What becomes of the background."""

    PLAIN = "plain"
    KEEP = "keep"


def preprocess(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Folder of photos.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Prepared folder; an unfinished one is completed.")],
    layout: Annotated[Layout, typer.Option("--layout", help="How SRC is laid out.")],
    canvas: Annotated[str, typer.Option("--canvas", metavar="HxW", help="Size of the pictures.")] = "256x176",
    background: Annotated[Background, typer.Option("--background", help="Light grey, or as it is.")] = Background.PLAIN,
    joints: Annotated[Path | None, typer.Option("--joints", help="Table of joints; by default the one in SRC.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Stop after this many usable people.")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Threads; all cores by default.")] = None,
    sheet: Annotated[bool, typer.Option("--sheet", help="Draw OUT/sheet.png: photos, regions and skeletons.")] = False,
) -> None:
    r"""Crop the people of a folder of photos to one canvas, with region maps and joints, and split them.

    Every tenth usable person by name is for validation. Whoever cannot be used is told of in one line and left out. The
    same command goes on after an interruption, and later does only what is missing or changed.

    \b
    Examples:
      scm preprocess ccp -o data/ccp --layout ccp --sheet
      scm preprocess photos -o data/mine --layout folder --background keep
    """
    size = read_canvas(canvas)

    from rich.console import Console
    from rich.progress import Progress

    from scmnet_cli.data.prepared import PreparedFolder
    from scmnet_cli.images import save_png
    from scmnet_cli.preprocess.layouts import open_source
    from scmnet_cli.preprocess.run import prepare
    from scmnet_cli.preprocess.sheet import draw_sheet

    opened = open_source(layout.value, source, joints)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("preparing", total=None)
        outcome = prepare(
            opened, out, size, background.value, limit, jobs,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
            on_left_out=lambda name, reason: print(f"left out {name}: {reason}", file=sys.stderr),
        )  # fmt: skip
    if sheet:
        save_png(out / "sheet.png", draw_sheet(opened, PreparedFolder(out)))
    print(
        f"{outcome.num_usable} people ({outcome.num_train} train, {outcome.num_val} val; {outcome.num_new} new), "
        f"{len(outcome.left_out)} left out: {out}"
    )


def read_canvas(text: str) -> Canvas:
    """Read a canvas such as ``256x176``, height first.

    Raises:
        ScmError: if it is no canvas.
    """
    from scmnet_cli.types import Canvas

    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and len(text) < 12):
        raise ScmError(f"--canvas {text}: is no size; write height x width, such as 256x176")
    size = Canvas(int(height), int(width))
    if size.height % 8 or size.width % 8 or not (16 <= size.height <= 4096 and 16 <= size.width <= 4096):
        raise ScmError(f"--canvas {text}: both must be multiples of 8 between 16 and 4096")
    return size
