"""``scm inspect``: show which part of the source each part of a result came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from scmnet_cli.cli.commands import with_help
from scmnet_cli.cli.completion import complete_poses
from scmnet_cli.cli.estimators import EstimatorOptions
from scmnet_cli.cli.grouping import grouped
from scmnet_cli.cli.options import InputOptions, OutputOptions
from scmnet_cli.cli.results import AsJson, show
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.inputs.demo_people import complete_demo_people


@dataclass(frozen=True)
class FurtherOptions:
    """Options of further content."""

    points: Annotated[
        list[str] | None,
        typer.Option(
            "--at",
            metavar="X,Y",
            help="Show the correlation field at this pixel of the result, counted from the top left; repeatable.",
        ),
    ] = None
    compare: Annotated[
        Path | None,
        typer.Option(
            "--compare",
            metavar="MODEL",
            help="Also show the source's features in this model, such as one without the DSE (model.style=global).",
        ),
    ] = None


_HELP = """Draw one picture that shows where each part of a result came from.

It shows source, pose and result, with an arrow from each body part of
the source to the result; the source warped by the correlation field; the
field's entropy; the field at points of the result; and the style features
with and without the Decomposed Style Encoder, as in the paper's figure 3.

Writes OUT/A_to_B_inspect.png and its numbers to a JSON of the same name,
and prints the path of the picture.

\b
Examples:
  scm inspect --src data/ccp/0010 --pose data/ccp/0020 -m runs/ccp
  scm inspect --data data/ccp --src 0010 --pose 0020 --at 88,60
  scm inspect --data data/ccp --src 0010 --pose 0020 -m runs/ccp \\
              --compare runs/ccp-global
"""


@grouped
@with_help(_HELP)
def inspect(
    source: Annotated[
        str,
        typer.Option(
            "--src",
            metavar="A",
            autocompletion=complete_demo_people,
            help="Person to draw: DATA/NAME of a prepared folder, or a photo; as for `scm transfer`.",
        ),
    ],
    pose: Annotated[
        str,
        typer.Option(
            "--pose",
            metavar="B",
            autocompletion=complete_poses,
            help="The pose, as for `scm transfer`. If it has a region map, the result is evaluated too.",
        ),
    ],
    output: OutputOptions,
    inputs: InputOptions,
    estimators: EstimatorOptions,
    further: FurtherOptions,
    as_json: AsJson = False,
) -> None:
    """Draw one picture that shows where each part of a result came from."""
    at, compare = [_point(text) for text in further.points or []], further.compare

    from scmnet_cli.cli.drawing.opening import find_inputs, open_model
    from scmnet_cli.cli.drawing.outputs import Outputs, safe_name
    from scmnet_cli.inference.inspection import inspect_transfer
    from scmnet_cli.inference.inspection_sheet import draw_inspection
    from scmnet_cli.types import Person

    pipeline = open_model(output.model, output.device, mirrored_limbs=not output.no_mirrored_limbs)
    finder = find_inputs(pipeline, inputs)
    finder.use_analyser(estimators.analyser)
    person = finder.person(source, "--src")
    found = finder.poses([pose], "--pose")
    if len(found) != 1:
        raise ScmError(f"--pose {pose}: matches {len(found)} poses; give one of them")
    read = person.read()
    if not isinstance(read, Person):
        raise ScmError(f"--src {source}: is a pose without a picture; give a photo of a person")
    other = None if compare is None else open_model(compare, output.device)
    inspection = inspect_transfer(pipeline, read, found[0].read(), at, other)
    named = {
        "source": {"name": person.name, "path": person.where},
        "pose": {"name": found[0].name, "path": found[0].where},
        "at": [list(point) for point in at],
        "mirrored_limbs": pipeline.mirrored_limbs,
        "compared": None if other is None else str(other.path.resolve()),
    }
    stem = f"{safe_name(person.name)}_to_{safe_name(found[0].name)}_inspect"
    outputs = Outputs(output.out, pipeline, mark=output.mark)
    numbers = inspection.as_json()
    path = outputs.write(stem, draw_inspection(inspection), named, numbers)
    show([path], {"picture": path, "inputs": named, **numbers}, as_json=as_json)


def _point(text: str) -> tuple[int, int]:
    x, _, y = text.partition(",")
    if not (x.strip().isdecimal() and y.strip().isdecimal()):
        raise ScmError(f"--at {text}: expected a pixel of the result as X,Y, such as 88,60")
    return int(x), int(y)
