"""``scm colorize``: colour edges of faces like other faces."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from scmnet_cli.cli.commands import with_help
from scmnet_cli.cli.face_parser import FaceParserFile
from scmnet_cli.cli.grouping import grouped
from scmnet_cli.cli.interrupts import NOTHING_DRAWN, stops_with
from scmnet_cli.cli.options import Data, DrawingOptions, InputOptions
from scmnet_cli.errors import ScmError


class EdgesFrom(StrEnum):
    """Kind of the pictures of ``--edges``."""

    auto = "auto"
    edges = "edges"
    sketch = "sketch"
    photo = "photo"


_HELP = """Colour every E like every B, with a face model.

Without -m it uses research/faces.safetensors of the repository, or of a
folder of `scm weights path`, and prints its terms (non-commercial
research). The package itself contains no face model.

Writes OUT/E_like_B.png and a JSON of the same name (inputs, how E was
read, model, settings, seconds, metrics), and prints the path of each
picture. Pictures are scaled to the height of the model's canvas, so the
face should have the same size and place as in the training photos. In
photos without a region map the face parser finds the most prominent
face and aligns it in this way.

\b
Examples:
  scm colorize --edges sketch.png --ref friend.jpg
  scm colorize --edges sketch.png --ref data/faces/00017 -m runs/faces
  scm colorize --data data/faces --edges 00001 --ref 00017 --ref 00018 \\
               --strip -m runs/faces
  scm colorize --edges drawings/ --edges-from sketch --ref data/faces/00017
  scm colorize --edges me.jpg --ref friend.jpg -m runs/faces \\
               --face-parser research/face-parser.safetensors
"""


@grouped
@with_help(_HELP)
def colorize(
    edges: Annotated[
        list[str],
        typer.Option(
            "--edges",
            metavar="E",
            help="Edges: an edge image, a sketch (dark on light or light on dark), a photo, a face of a prepared "
            "folder (DATA/NAME), or a folder of any of these; repeatable.",
        ),
    ],
    references: Annotated[
        list[str],
        typer.Option(
            "--ref",
            metavar="B",
            help="Reference for the colours: a face of a prepared folder (DATA/NAME), a photo, or a folder of either; "
            "repeatable.",
        ),
    ],
    drawing: DrawingOptions,
    data: Data = None,
    edges_from: Annotated[
        EdgesFrom,
        typer.Option(
            "--edges-from",
            help="Content of the pictures of --edges: lines to use as they are, strokes to thin, or a photo.",
        ),
    ] = EdgesFrom.auto,
    strip: Annotated[bool, typer.Option("--strip", help="Also write a strip: edges, reference, result.")] = False,
    face_parser: FaceParserFile = None,
) -> None:
    """Colour every E like every B, with a face model."""
    from scmnet_cli.cli.drawing.setup import set_up
    from scmnet_cli.cli.drawing.task import Task
    from scmnet_cli.cli.face_parser import load_face_parser
    from scmnet_cli.domains import FACE

    if drawing.model is None:
        drawing = replace(drawing, model=_face_model())
        face_parser = face_parser or _face_parser()
    further = {"edges_from": edges_from.value, "face_parser": face_parser}
    with stops_with(NOTHING_DRAWN):
        finder, renderer = set_up(drawing, InputOptions(data=data), further, strip=strip)
        if finder.domain is not FACE:
            raise ScmError(
                f"-m {drawing.model}: draws {finder.domain.members}, but colorize needs a face model; leave out -m and "
                "SCM_MODEL, or train one with 'scm train DATA -o RUN -c faces'"
            )
        finder.use_face_parser(partial(load_face_parser, face_parser))
        drawings = finder.drawings(edges, "--edges", edges_from.value)
        renderer.draw(Task(finder.people(references, "--ref"), drawings, {}, colours=True))


def _face_model() -> Path:
    """Return the face model of the repository's research/ folder; its terms are printed when it is opened.

    Raises:
        ScmError: if it is not found.
    """
    from scmnet_cli.weights import FACE_MODEL, find_research_file, searched_folders

    found = find_research_file(FACE_MODEL)
    if found is None:
        folders = ", ".join(str(path) for path, _ in searched_folders())
        raise ScmError(
            "colorize: no face model is installed, since its terms are non-commercial research; copy "
            f"research/{FACE_MODEL} of the SCM-Net repository to {folders}, or give a file or run folder with -m"
        )
    return found


def _face_parser() -> Path | None:
    from scmnet_cli.weights import FACE_PARSER, find_research_file

    return find_research_file(FACE_PARSER)
