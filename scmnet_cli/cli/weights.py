"""``scm weights``: the pretrained networks that losses and metrics need, and where they are."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from scmnet_cli.errors import ScmError

app = typer.Typer(no_args_is_help=True)

Names = Annotated[list[str] | None, typer.Argument(metavar="NAME", help="vgg19, vgg16, alexnet, inception.")]
Folder = Annotated[
    Path | None, typer.Option("--weights-dir", help="Folder looked in first; then $SCM_WEIGHTS, then the downloads.")
]


@app.command("list")
def list_weights(weights_dir: Folder = None) -> None:
    """Say what each command needs: size, licence, checksum, and where it is.

    \b
    Example:
      scm weights list
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from scmnet_cli.weights import BACKBONES, FACE_PARSER, find_backbone, find_face_parser, searched_folders

    for name, known in BACKBONES.items():
        print(f"{name}: {known.needed_by}")
        print(f"  {known.file}, {known.megabytes:.0f} MB, {known.licence}, sha256 {known.sha256[:8]}...")
        if known.cut:
            print(f"  or a copy with the convolutions only: {known.cut}")
        print(f"  from {known.url}")
        try:
            print(f"  found: {find_backbone(name, weights_dir)}")
        except ScmError:
            print(f"  absent; scm weights fetch {name}")
    print("face parser, opt-in: scm colorize, edit, preprocess --domain face: faces in people's own photos")
    print(f"  {FACE_PARSER}, 6 MB, non-commercial research only, as CelebAMask-HQ; research/ of the repository has it")
    face_parser = find_face_parser(weights_dir)
    how = "scm analyser train CelebAMask-HQ --domain face -o RUN"
    print(f"  found: {face_parser}" if face_parser else f"  absent; {how}")
    print("looked for in, in this order:")
    for path, origin in searched_folders(weights_dir):
        print(f"  {path} ({origin})")


@app.command()
def fetch(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME", help="vgg19, vgg16, alexnet, inception, or all (1.4 GB).")
    ],
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FOLDER", help="Download to this folder, and not to where torchvision does."),
    ] = None,
    mirror: Annotated[
        str | None, typer.Option("--mirror", metavar="URL", help="Address of a folder that holds the same files.")
    ] = None,
) -> None:
    """Download weights, and check them against the checksum that their names carry.

    A broken download goes on where it stopped, with the same command. For a machine without internet, fetch with --to
    on one that has it, copy the folder, and there set SCM_WEIGHTS to it or give --weights-dir.

    \b
    Examples:
      scm weights fetch alexnet inception
      scm weights fetch all --to weights/
      rsync -a weights/ cluster:weights/; ssh cluster SCM_WEIGHTS=weights scm weights verify
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from scmnet_cli.cli.progress import Bars
    from scmnet_cli.weights import fetch_backbone

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bars(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        for name in _known(names):
            print(fetch_backbone(name, to, mirror, partial(bar.count, name)))


@app.command()
def verify(names: Names = None, weights_dir: Folder = None) -> None:
    """Check the files that are there, by checksum and layout; without names, all that are found.

    \b
    Example:
      scm weights verify vgg16
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from scmnet_cli.weights import find_backbone, verify_backbone

    problems = []
    for name in _known(names or ["all"]):
        try:
            path = find_backbone(name, weights_dir)
        except ScmError:
            if names:
                raise
            print(f"{name}: absent")
            continue
        try:
            print(f"{name}: {path}: {verify_backbone(name, path)}")
        except ScmError as error:
            problems.append(str(error))
    if problems:
        raise ScmError("; ".join(problems))


@app.command("path")
def show_path(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One network; its file is printed.")] = None,
    weights_dir: Folder = None,
) -> None:
    """Print the file of one network, or without a name the folders that are looked in.

    \b
    Example:
      sha256sum $(scm weights path vgg16)
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from scmnet_cli.weights import find_backbone, searched_folders

    if name is not None:
        print(find_backbone(name, weights_dir))
        return
    for path, _ in searched_folders(weights_dir):
        print(path)


def _known(names: list[str]) -> list[str]:
    from scmnet_cli.weights import BACKBONES, backbone

    if "all" in names:
        return list(BACKBONES)
    return [backbone(name).name for name in names]
