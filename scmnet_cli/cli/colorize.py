"""``scm colorize``: edges of faces in the colours of other faces."""

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


_HELP = """Colour every E like every B, with a model of faces.

Without -m it uses research/faces.safetensors of the repository, or of a
folder of `scm weights path`, and prints its terms (non-commercial
research); the package itself holds no model of faces.

Writes OUT/E_like_B.png with a JSON beside it (inputs, what E was read as,
model, settings, seconds, metrics), and prints the path of each picture.
Pictures are laid on the model's canvas equally high: a face should stand
in them as in the photos that the model was trained on. The face parser
finds the most prominent face of a photo that has no map of its regions
beside it, and aligns it so.

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
            help="The edges: an edge image, a sketch (dark on light or light on dark), a photo, a face of a prepared "
            "folder (DATA/NAME), or a folder of any of these; repeatable.",
        ),
    ],
    references: Annotated[
        list[str],
        typer.Option(
            "--ref",
            metavar="B",
            help="Whose colours: a face of a prepared folder (DATA/NAME), a photo, or a folder of either; repeatable.",
        ),
    ],
    drawing: DrawingOptions,
    data: Data = None,
    edges_from: Annotated[
        EdgesFrom,
        typer.Option(
            "--edges-from",
            help="What the pictures of --edges show: lines as they are, strokes to be thinned, or a photo.",
        ),
    ] = EdgesFrom.auto,
    strip: Annotated[bool, typer.Option("--strip", help="Also write a strip: edges, reference, result.")] = False,
    face_parser: FaceParserFile = None,
) -> None:
    """Colour every E like every B, with a model of faces."""
    from scmnet_cli.cli.drawing.artist import set_up
    from scmnet_cli.cli.drawing.task import Task
    from scmnet_cli.cli.face_parser import load_face_parser
    from scmnet_cli.domains import FACE

    if drawing.model is None:
        drawing = replace(drawing, model=_face_model())
        face_parser = face_parser or _face_parser()
    further = {"edges_from": edges_from.value, "face_parser": face_parser}
    with stops_with(NOTHING_DRAWN):
        finder, artist = set_up(drawing, InputOptions(data=data), further, strip=strip)
        if finder.domain is not FACE:
            raise ScmError(
                f"-m {drawing.model}: draws {finder.domain.members}; colorize needs a model of faces: leave -m and "
                "SCM_MODEL out, or give one of your own, 'scm train DATA -o RUN -c faces'"
            )
        finder.find_faces_with(partial(load_face_parser, face_parser))
        drawings = finder.drawings(edges, "--edges", edges_from.value)
        artist.draw(Task(finder.people(references, "--ref"), drawings, {}, colours=True))


def _face_model() -> Path:
    """Return the model of faces of the repository's research/, whose terms are printed when it is opened.

    Raises:
        ScmError: if it is in no place that is looked in.
    """
    from scmnet_cli.weights import FACE_MODEL, find_research_file, searched_folders

    found = find_research_file(FACE_MODEL)
    if found is None:
        folders = ", ".join(str(path) for path, _ in searched_folders())
        raise ScmError(
            "colorize: no model of faces is installed, since its terms are non-commercial research; copy "
            f"research/{FACE_MODEL} of the SCM-Net repository to {folders}, or give a file or run folder with -m"
        )
    return found


def _face_parser() -> Path | None:
    from scmnet_cli.weights import FACE_PARSER, find_research_file

    return find_research_file(FACE_PARSER)
