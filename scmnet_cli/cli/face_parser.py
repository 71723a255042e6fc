"""The option ``--face-parser``, and loading the face parser with a line about its licence."""

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
        help="Face parser for photos: weights of `scm analyser train --domain face`, for non-commercial research "
        "[default: face-parser.safetensors in a folder of `scm weights path`].",
    ),
]


def load_face_parser(file: Path | None = None, analyser: Callable[[], Analyser] | None = None) -> FaceParser | None:
    """Load the face parser and print its licence to stderr; return None if no file is given and none is found.

    Args:
        file: value of ``--face-parser``.
        analyser: loads the analyser that finds people; None: the shipped one.

    Raises:
        ScmError: if the file is absent, damaged or not a face parser.
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
