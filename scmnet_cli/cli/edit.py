"""``scm edit``: people with some regions taken from others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scmnet_cli.errors import ScmError


def edit(
    sources: Annotated[
        list[str],
        typer.Option(
            "--src",
            metavar="A",
            help="Who is drawn: DATA/NAME of a prepared folder, a photo with its map and joints beside it, or a whole "
            "prepared folder; repeatable.",
        ),
    ],
    regions: Annotated[
        list[str],
        typer.Option(
            "--region",
            metavar="REGION",
            help="What to exchange: pants, hair, skirt, face, upper, arms, legs or background; repeatable.",
        ),
    ],
    references: Annotated[
        list[str],
        typer.Option("--ref", metavar="B", help="Whom it is taken from, as --src; one for each --region, in order."),
    ],
    pose: Annotated[
        str | None,
        typer.Option("--pose", metavar="P", help="Draw in this pose instead of A's own; as for `scm transfer`."),
    ] = None,
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
    strip: Annotated[
        bool, typer.Option("--strip", help="Also write a strip: source, references, pose, result.")
    ] = False,
    batch: Annotated[int, typer.Option("--batch", min=0, help="Poses at a time; 0: 1 on a CPU, 8 on a GPU.")] = 0,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")] = "auto",
) -> None:
    """Draw the person of A with regions of B, in A's own pose.

    Writes OUT/A_REGION-from-B.png with a JSON beside it, and prints its path,
    as `scm transfer` does. Who wears pants and gets a skirt loses the pants,
    and the other way round, unless both are named.

    \b
    Examples:
      scm edit --src data/ccp/0010 --region upper --ref data/ccp/0020
      scm edit --data data/ccp --src 0010 --region pants --ref 0020 \\
               --region hair --ref 0030 --strip -m runs/ccp
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from scmnet_cli.cli.drawing import Task, set_up
    from scmnet_cli.regions import region_id

    if len(regions) != len(references):
        raise ScmError(
            f"--region is given {len(regions)} times and --ref {len(references)} times; each needs the other"
        )
    for region in regions:
        region_id(region)
        if regions.count(region) > 1:
            raise ScmError(f"--region {region}: is given twice; one region can come from one reference only")
    finder, artist = set_up(model, out, data, frame, strip=strip, batch=batch, device=device)
    taken = {region: finder.person(reference, "--ref") for region, reference in zip(regions, references, strict=True)}
    poses = None if pose is None else finder.poses([pose], "--pose")
    artist.draw(Task(finder.people(sources, "--src"), poses, taken))
