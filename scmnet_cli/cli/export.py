"""``scm export``: write a model as ONNX for programs without torch."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from scmnet_cli.cli.console import note
from scmnet_cli.cli.results import AsJson, show


class Format(StrEnum):
    """Export formats."""

    onnx = "onnx"


def export(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the exported files.")],
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="MODEL",
            envvar="SCM_MODEL",
            help="Run folder of `scm train`, or a model file [default: the shipped model].",
            show_default="",
        ),
    ] = None,
    _kind: Annotated[Format, typer.Option("--format", help="File format.")] = Format.onnx,
    as_json: AsJson = False,
) -> None:
    """Write a model as ONNX, for programs without torch.

    Writes OUT/region_encoder.onnx and OUT/style_fusion.onnx, which encode a
    source once, OUT/pose_to_image.onnx, which draws it in any number of
    poses, for models with a part warp OUT/part_layers.onnx,
    OUT/part_warp.onnx and two more, and for models of people
    OUT/analyser.onnx, which finds people in photos. Then draws one
    synthetic person with these and with the original model, and prints the
    largest difference of the pictures. docs/export.md describes inputs and
    outputs.

    Needs an extra: pip install 'scmnet-cli\\[onnx]'.

    \b
    Examples:
      scm export -o exported
      scm export runs/ccp/model.safetensors -o exported --format onnx
      scm transfer --src me.jpg --pose walking -m exported --runtime onnx
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from scmnet_cli.cli.drawing.opening import open_model
    from scmnet_cli.inference.drawing_model import SHIPPED_MODEL
    from scmnet_cli.inference.exports.export import export_onnx, largest_difference
    from scmnet_cli.inference.exports.exported import ExportedModel

    paths = export_onnx(model or SHIPPED_MODEL, out, note)
    note("comparing with the original model")
    difference = largest_difference(open_model(model, "cpu"), ExportedModel.from_exported(out))
    note(f"the exported model's pictures differ by at most {difference:.1e}, in a range of 2")
    show(paths, {"files": paths, "largest_difference": difference, "range": 2}, as_json=as_json)
