"""Open the model, the wardrobe and the inputs that the options of a drawing command name."""

from __future__ import annotations

from pathlib import Path

from scmnet_cli.cli.console import warn
from scmnet_cli.cli.drawing.inputs import Finder
from scmnet_cli.cli.options import InputOptions, Runtime, read_size
from scmnet_cli.inference.opening import open_pipeline
from scmnet_cli.inference.pipeline import Pipeline, largest_source
from scmnet_cli.types import Canvas

_OWN_LICENCE = "Apache-2.0"


def open_model(model: Path | None, device: str, runtime: Runtime = Runtime.torch) -> Pipeline:
    """Load the model that -m names, or open an exported one; without a name, load the one that ships.

    Says on stderr what its licence is, where that is not the package's own.

    Raises:
        ScmError: if it cannot be read.
    """
    pipeline = open_pipeline(model, device, exported=runtime is Runtime.onnx)
    if pipeline.licence not in ("", _OWN_LICENCE):
        warn(f"model {pipeline.path}: for {pipeline.licence}")
    return pipeline


def read_output_size(size: str | None, pipeline: Pipeline) -> Canvas | None:
    """Read --size: a size, ``model`` for the network's canvas, or None for the photo's own.

    Raises:
        ScmError: if it is no size.
    """
    if size == "model":
        return pipeline.canvas
    return None if size is None else read_size(size, "--size", "512x352, or 'model'")


def find_inputs(pipeline: Pipeline, options: InputOptions, size: Canvas | None = None) -> Finder:
    """Open what --data and --frame name; photos keep the pixels that pictures of ``size`` need.

    Raises:
        ScmError: if there is no such folder or size.
    """
    frame = None if options.frame is None else read_size(options.frame, "--frame", "256x176")
    return Finder(
        options.data,
        pipeline.canvas,
        pipeline.background,
        frame,
        person=options.person,
        pose_person=options.pose_person,
        mirror=options.mirror,
        domain=pipeline.domain,
        largest=largest_source(pipeline, size),
    )
