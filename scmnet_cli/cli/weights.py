"""``scm weights``: find, download and check the pretrained networks of losses and metrics."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from scmnet_cli.cli.commands import Commands
from scmnet_cli.cli.completion import complete_weights
from scmnet_cli.cli.results import AsJson, show
from scmnet_cli.errors import ScmError

_HELP = """Find, download and check the pretrained networks that other commands need.

\b
Examples:
  scm weights list
  scm weights fetch vgg16 alexnet
  scm weights verify
"""

app = Commands(no_args_is_help=True, help=_HELP)

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME", autocompletion=complete_weights, help="vgg19, vgg16, alexnet, inception."),
]
Folder = Annotated[
    Path | None,
    typer.Option("--weights-dir", help="Folder to search first; then $SCM_WEIGHTS, then the download folder."),
]


@app.command("list")
def list_weights(weights_dir: Folder = None, as_json: AsJson = False) -> None:
    """List the networks that commands need: size, licence, checksum and location.

    \b
    Examples:
      scm weights list
      scm weights list --json
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from dataclasses import asdict

    from scmnet_cli.weights import BACKBONES, FACE_PARSER, find_backbone, find_face_parser, searched_folders

    lines: list[str] = []
    listed = []
    for name, known in BACKBONES.items():
        lines += [
            f"{name}: {known.needed_by}",
            f"  {known.file}, {known.megabytes:.0f} MB, {known.licence}, sha256 {known.sha256[:8]}...",
            *([f"  or a copy with the convolutions only: {known.cut}"] if known.cut else []),
            f"  from {known.url}",
        ]
        try:
            found: Path | None = find_backbone(name, weights_dir)
        except ScmError:
            found = None
        lines.append(f"  found: {found}" if found else f"  absent; scm weights fetch {name}")
        listed.append({**asdict(known), "found": found})
    parser = find_face_parser(weights_dir)
    terms = "non-commercial research only, as CelebAMask-HQ"
    folders = searched_folders(weights_dir)
    lines += [
        "face parser, opt-in: scm colorize, edit, preprocess --domain face: faces in people's own photos",
        f"  {FACE_PARSER}, 6 MB, {terms}; research/ of the repository has it",
        f"  found: {parser}" if parser else "  absent; scm analyser train CelebAMask-HQ --domain face -o RUN",
        "folders searched, in this order:",
        *(f"  {path} ({origin})" for path, origin in folders),
    ]
    document = {
        "backbones": listed,
        "face_parser": {"file": FACE_PARSER, "licence": terms, "found": parser},
        "folders": [{"path": path, "origin": origin} for path, origin in folders],
    }
    show(lines, document, as_json=as_json)


@app.command()
def fetch(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME", autocompletion=complete_weights, help="vgg19, vgg16, alexnet, inception, or all (1.4 GB)."
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FOLDER", help="Download to this folder instead of torchvision's."),
    ] = None,
    mirror: Annotated[
        str | None, typer.Option("--mirror", metavar="URL", help="URL of a folder with the same files.")
    ] = None,
) -> None:
    """Download weights and verify them by the checksum in their file names.

    The same command resumes an interrupted download. For a machine without internet access, fetch with --to on another
    one, copy the folder, and set SCM_WEIGHTS to it or give --weights-dir.

    \b
    Examples:
      scm weights fetch alexnet inception
      scm weights fetch all --to weights/
      rsync -a weights/ cluster:weights/; ssh cluster SCM_WEIGHTS=weights scm weights verify
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from rich.progress import DownloadColumn, TransferSpeedColumn

    from scmnet_cli.cli.progress import bars
    from scmnet_cli.weights import fetch_backbone

    with bars(count=(DownloadColumn(), TransferSpeedColumn())) as bar:
        for name in _known(names):
            print(fetch_backbone(name, to, mirror, partial(bar.count, name)))


@app.command()
def verify(names: Names = None, weights_dir: Folder = None, as_json: AsJson = False) -> None:
    """Verify files by checksum and layout; without names, all that are found.

    \b
    Example:
      scm weights verify vgg16
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from scmnet_cli.weights import find_backbone, verify_backbone

    problems: list[str] = []
    lines: list[str] = []
    checked: list[dict[str, object]] = []
    for name in _known(names or ["all"]):
        try:
            path = find_backbone(name, weights_dir)
        except ScmError:
            if names:
                raise
            lines.append(f"{name}: absent")
            checked.append({"name": name, "file": None, "found": "absent"})
            continue
        try:
            found = verify_backbone(name, path)
        except ScmError as error:
            problems.append(str(error))
            checked.append({"name": name, "file": path, "found": "", "problem": str(error)})
            continue
        lines.append(f"{name}: {path}: {found}")
        checked.append({"name": name, "file": path, "found": found})
    show(lines, {"weights": checked, "problems": problems}, as_json=as_json)
    if problems:
        raise ScmError("; ".join(problems))


@app.command("path")
def show_path(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", autocompletion=complete_weights, help="Network whose file to print."),
    ] = None,
    weights_dir: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Print the file of a network, or without a name the folders that are searched.

    \b
    Examples:
      scm weights path
      sha256sum $(scm weights path vgg16)
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from scmnet_cli.weights import find_backbone, searched_folders

    if name is not None:
        file = find_backbone(name, weights_dir)
        show([file], {"name": name, "file": file}, as_json=as_json)
        return
    folders = searched_folders(weights_dir)
    document = {"folders": [{"path": path, "origin": origin} for path, origin in folders]}
    show([path for path, _ in folders], document, as_json=as_json)


def _known(names: list[str]) -> list[str]:
    from scmnet_cli.weights import BACKBONES, backbone

    if "all" in names:
        return list(BACKBONES)
    return [backbone(name).name for name in names]
