"""``scm export``: a model for programs that have no torch."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from scmnet_cli.cli.console import note
from scmnet_cli.cli.results import AsJson, show


class Format(StrEnum):
    """Kinds of file a model can be exported as."""

    onnx = "onnx"


def export(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the exported files.")],
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="MODEL",
            envvar="SCM_MODEL",
            help="Run folder of `scm train`, or a model file; else the one that ships.",
            show_default="",
        ),
    ] = None,
    _kind: Annotated[Format, typer.Option("--format", help="Kind of file.")] = Format.onnx,
    as_json: AsJson = False,
) -> None:
    """Write a model as ONNX, for programs that have no torch.

    Makes OUT/style_encoder.onnx, which reads a source once, and
    OUT/pose_to_image.onnx, which draws it in any number of poses. Then runs
    both and the model itself on the same input, and prints how far the
    pictures differ at most. docs/export.md says what goes in and out.

    Needs an extra: pip install 'scmnet-cli\\[onnx]'.

    \b
    Examples:
      scm export -o exported
      scm export runs/ccp/model.safetensors -o exported --format onnx
      scm transfer --src me.jpg --pose walking -m exported --runtime onnx
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from scmnet_cli.cli.drawing.opening import open_model
    from scmnet_cli.inference.export import export_onnx
    from scmnet_cli.inference.exported import ExportedPipeline, largest_difference
    from scmnet_cli.inference.pipeline import SHIPPED_MODEL

    paths = export_onnx(model or SHIPPED_MODEL, out, note)
    note("comparing")
    difference = largest_difference(open_model(model, "cpu"), ExportedPipeline.from_exported(out))
    note(f"the pictures of the exported model differ by at most {difference:.1e} of a range of 2")
    show(paths, {"files": paths, "largest_difference": difference, "range": 2}, as_json=as_json)
