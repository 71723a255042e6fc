"""``scm wardrobe``: list, draw and add the garments and hair of a wardrobe file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from scmnet_cli.cli.commands import Commands, with_help
from scmnet_cli.cli.completion import complete_poses, complete_regions
from scmnet_cli.cli.grouping import grouped
from scmnet_cli.cli.options import Data, Device, InputOptions, Model, WardrobeFile
from scmnet_cli.cli.results import AsJson, show
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.inputs.demo_people import complete_demo_people

app = Commands(invoke_without_command=True)

_A_ROW = 8


_HELP = """List the garments of a wardrobe and draw one person wearing each.

Use a garment with `scm edit --region upper --ref wardrobe:NAME`. The
shipped garments are CC0 photos and work with any model of people.

\b
Examples:
  scm wardrobe
  scm wardrobe --src me.jpg -o mine.png
  scm wardrobe --json
  scm wardrobe add my-jacket --region upper --src me.jpg \\
                   --wardrobe mine.safetensors
"""


@app.callback()
@with_help(_HELP)
def wardrobe(
    context: typer.Context,
    source: Annotated[
        str | None,
        typer.Option(
            "--src",
            metavar="A",
            autocompletion=complete_demo_people,
            help="Person who wears them, as for `scm edit` [default: a shipped photo].",
        ),
    ] = None,
    pose: Annotated[
        str | None,
        typer.Option(
            "--pose", metavar="P", autocompletion=complete_poses, help="Draw in this pose instead of A's own."
        ),
    ] = None,
    model: Model = None,
    wardrobe_file: WardrobeFile = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Picture of the person wearing each garment.")] = Path(
        "outputs/wardrobe.png"
    ),
    data: Data = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """List the garments of a wardrobe and draw one person wearing each."""
    if context.invoked_subcommand is not None:
        return
    from scmnet_cli.cli.drawing.opening import find_inputs, open_model
    from scmnet_cli.cli.drawing.outputs import make_folder
    from scmnet_cli.cli.progress import bars
    from scmnet_cli.inference.inputs.demo_people import DEFAULT, PREFIX
    from scmnet_cli.inference.opening import open_wardrobe
    from scmnet_cli.inference.wardrobe import draw_worn
    from scmnet_cli.provenance import save_generated
    from scmnet_cli.types import Person

    pipeline = open_model(model, device)
    garments = open_wardrobe(wardrobe_file)
    finder = find_inputs(pipeline, InputOptions(data=data))
    given = finder.person(source or f"{PREFIX}{DEFAULT}", "--src").read()
    assert isinstance(given, Person)
    layout = None if pose is None else finder.poses([pose], "--pose")[0].read()
    make_folder(out.parent, "--out")
    widest = max((len(name) for name in garments.garments), default=0)
    worn = garments.garments.values()
    if not as_json:
        lines = [f"{garment.name:{widest}}  {garment.kind:6}  {garment.about}".rstrip() for garment in worn]
        show(lines, None, as_json=False)
    with bars() as bar:
        sheet = draw_worn(pipeline, garments, given, layout, _A_ROW, partial(bar.count, "drawing garments"))
    save_generated(out, sheet)
    listed = [{"name": garment.name, "kind": garment.kind, "description": garment.about} for garment in worn]
    show([out], {"garments": listed, "picture": out}, as_json=as_json)


@dataclass(frozen=True)
class GarmentOptions:
    """Options of the garment that is added."""

    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits and hyphens, such as my-jacket.")]
    region: Annotated[
        str,
        typer.Option(
            "--region",
            metavar="REGION",
            autocompletion=complete_regions,
            help="Region to cut out: upper, pants, skirt, hair…",
        ),
    ]
    about: Annotated[str, typer.Option("--about", help="Description in one line.")] = ""
    replace: Annotated[bool, typer.Option("--replace", help="Replace a garment of this name.")] = False


@app.command()
@grouped
def add(
    garment: GarmentOptions,
    source: Annotated[
        str,
        typer.Option(
            "--src", metavar="A", help="Person who wears it, as for `scm edit`, or flat:PHOTO for a flat garment."
        ),
    ],
    wardrobe_file: Annotated[
        Path,
        typer.Option(
            "--wardrobe", envvar="SCM_WARDROBE", metavar="FILE", help="Wardrobe file to add to; created if absent."
        ),
    ],
    model: Model = None,
    data: Data = None,
    device: Device = "auto",
) -> None:
    """Cut a garment or hair out of a photo and add it to a wardrobe file.

    \b
    Examples:
      scm wardrobe add my-jacket --region upper --src me.jpg \\
                       --wardrobe mine.safetensors
      scm wardrobe add my-tee --region upper --src flat:tee-on-my-bed.jpg \\
                       --wardrobe mine.safetensors
      scm edit --src you.jpg --region upper --ref wardrobe:my-jacket \\
               --wardrobe mine.safetensors
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from scmnet_cli.cli.drawing.opening import find_inputs, open_model
    from scmnet_cli.cli.drawing.outputs import make_folder
    from scmnet_cli.inference.edits.flat_garments import PREFIX, read_flat_garment
    from scmnet_cli.inference.garments import kind_of
    from scmnet_cli.inference.opening import open_wardrobe
    from scmnet_cli.inference.wardrobe import Wardrobe, check_name, take
    from scmnet_cli.types import Person

    pipeline = open_model(model, device)
    garments = Wardrobe.read(wardrobe_file) if wardrobe_file.exists() else Wardrobe()
    name = garment.name
    if name in garments.garments and not garment.replace:
        raise ScmError(f"{name}: is in {wardrobe_file} already; give another name, or --replace")
    check_name(name)
    kind = kind_of(garment.region)
    if source.startswith(PREFIX):
        path = Path(source.removeprefix(PREFIX))
        taken = read_flat_garment(path, kind, name, open_wardrobe(None), garment.about)
    else:
        person = find_inputs(pipeline, InputOptions(data=data)).person(source, "--src").read()
        assert isinstance(person, Person)
        taken = take(person, kind, name, garment.about)
    garments.garments[name] = taken
    make_folder(wardrobe_file.parent, "--wardrobe")
    garments.write(wardrobe_file)
    print(wardrobe_file)
