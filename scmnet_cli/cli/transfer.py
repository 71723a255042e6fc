"""``scm transfer``: the people of some pictures in the poses of others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def transfer(
    sources: Annotated[
        list[str],
        typer.Option(
            "--src",
            metavar="A",
            help="Who is drawn: DATA/NAME of a prepared folder, a photo with its map and joints beside it, or a whole "
            "prepared folder; repeatable.",
        ),
    ],
    poses: Annotated[
        list[str],
        typer.Option(
            "--pose",
            metavar="B",
            help="The pose: as --src, or a keypoint file (FILE.csv, FILE.csv#ROW) or a folder of these; repeatable.",
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option("-m", "--model", envvar="SCM_MODEL", help="Run folder of `scm train`, or a model file."),
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the pictures.")] = Path("outputs"),
    data: Annotated[
        Path | None, typer.Option("--data", help="Prepared folder whose entries A and B name without its path.")
    ] = None,
    frame: Annotated[
        str, typer.Option("--frame", metavar="HxW", help="Size of the pictures that a keypoint file refers to.")
    ] = "256x176",
    strip: Annotated[bool, typer.Option("--strip", help="Also write a strip: source, pose, result.")] = False,
    batch: Annotated[int, typer.Option("--batch", min=0, help="Poses at a time; 0: 1 on a CPU, 8 on a GPU.")] = 0,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")] = "auto",
) -> None:
    """Draw the person of A in the pose of B: every A in every B.

    Writes OUT/A_to_B.png with a JSON beside it (inputs, model, settings,
    seconds, metrics), and prints the path of each picture. The same inputs
    overwrite their earlier picture; other inputs of the same names get a
    number.

    An input that cannot be used is told of in one line and left out; the exit
    code is 2 only if nothing at all could be drawn.

    \b
    Examples:
      scm transfer --src data/ccp/0010 --pose data/ccp/0020 -m runs/ccp
      scm transfer --data data/ccp --src 0010 --src 0030 --pose 0020 --strip
      scm transfer --src photo.jpg --pose poses.csv -o outputs/poses
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from scmnet_cli.cli.drawing import Task, set_up

    finder, artist = set_up(model, out, data, frame, strip=strip, batch=batch, device=device)
    artist.draw(Task(finder.people(sources, "--src"), finder.poses(poses, "--pose"), {}))
