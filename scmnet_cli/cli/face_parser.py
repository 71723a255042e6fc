"""The option that says who finds faces in photos, and the line that says on which terms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scmnet_cli.cli.console import warn

if TYPE_CHECKING:
    from scmnet_cli.analyser.faces import FaceParser
    from scmnet_cli.analyser.people import Analyser

FaceParserFile = Annotated[
    Path | None,
    typer.Option(
        "--face-parser",
        metavar="FILE",
        help="Who finds faces in photos: weights of `scm analyser train --domain face`, for non-commercial research; "
        "else face-parser.safetensors in a folder of `scm weights path`.",
    ),
]


def load_face_parser(file: Path | None = None, analyser: Callable[[], Analyser] | None = None) -> FaceParser | None:
    """Load the face parser and say on stderr what its licence is; None if no file is named and none is found.

    Args:
        file: of ``--face-parser``.
        analyser: gives the one that says where people are; None: the one that ships.

    Raises:
        ScmError: if the file is absent, damaged or no face parser.
    """
    from scmnet_cli.analyser.faces import FaceParser
    from scmnet_cli.analyser.people import Analyser
    from scmnet_cli.weights import find_face_parser

    path = file or find_face_parser()
    if path is None:
        return None
    parser = FaceParser.load(path, analyser or Analyser.load)
    warn(f"face parser {path}: for {parser.licence}")
    return parser
