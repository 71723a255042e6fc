"""Open the model, the wardrobe and the inputs that the options of a drawing command name."""

from __future__ import annotations

import sys
from pathlib import Path

from scmnet_cli.cli.drawing.inputs import Finder
from scmnet_cli.cli.options import Runtime, read_size
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.export import POSE_TO_IMAGE
from scmnet_cli.inference.exported import ExportedPipeline
from scmnet_cli.inference.pipeline import SHIPPED_MODEL, Pipeline
from scmnet_cli.inference.wardrobe import SHIPPED_WARDROBE, Wardrobe

_OWN_LICENCE = "Apache-2.0"


def open_model(model: Path | None, device: str, runtime: Runtime = Runtime.torch) -> Pipeline:
    """Load the model that -m names, or open an exported one; without a name, load the one that ships.

    Says on stderr what its licence is, where that is not the package's own.

    Raises:
        ScmError: if it cannot be read.
    """
    if runtime is Runtime.onnx:
        pipeline: Pipeline = _open_exported(model, device)
    elif model is not None and (model / POSE_TO_IMAGE).is_file():
        raise ScmError(f"-m {model}: is an exported model; run it with --runtime onnx")
    else:
        pipeline = Pipeline.from_pretrained(model or SHIPPED_MODEL, device)
    if pipeline.licence not in ("", _OWN_LICENCE):
        print(f"scm: model {pipeline.path}: for {pipeline.licence}", file=sys.stderr)
    return pipeline


def _open_exported(folder: Path | None, device: str) -> ExportedPipeline:
    if folder is None:
        raise ScmError("--runtime onnx: runs what 'scm export' wrote; give its folder with -m")
    if device not in ("auto", "cpu"):
        raise ScmError(f"--device {device}: --runtime onnx computes on the CPU; leave --device out")
    return ExportedPipeline.from_exported(folder)


def open_wardrobe(closet: Path | None) -> Wardrobe:
    """Read a wardrobe; without a file, the one that ships.

    Raises:
        ScmError: if there is none.
    """
    return Wardrobe.read(closet or SHIPPED_WARDROBE)


def find_inputs(
    pipeline: Pipeline,
    data: Path | None,
    frame: str | None,
    *,
    person: int = 0,
    pose_person: int = 0,
    mirror: bool = False,
) -> Finder:
    """Open what --data and --frame name.

    Raises:
        ScmError: if there is no such folder or size.
    """
    given = None if frame is None else read_size(frame, "--frame", "256x176")
    domain = pipeline.domain
    return Finder(
        data,
        pipeline.canvas,
        pipeline.background,
        given,
        person=person,
        pose_person=pose_person,
        mirror=mirror,
        domain=domain,
    )
