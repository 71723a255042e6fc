"""Open the model and the inputs of a drawing command."""

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
    """Load the model given by -m, or open an exported one; by default load the shipped model.

    Prints its licence to stderr if that differs from the package's.

    Raises:
        ScmError: if it cannot be read.
    """
    pipeline = open_pipeline(model, device, exported=runtime is Runtime.onnx)
    if pipeline.licence not in ("", _OWN_LICENCE):
        warn(f"model {pipeline.path}: for {pipeline.licence}")
    return pipeline


def read_output_size(size: str | None, pipeline: Pipeline) -> Canvas | None:
    """Parse --size: a size, ``model`` for the network's canvas, or None for the photo's own size.

    Raises:
        ScmError: if it is not a size.
    """
    if size == "model":
        return pipeline.canvas
    return None if size is None else read_size(size, "--size", "512x352, or 'model'")


def find_inputs(pipeline: Pipeline, options: InputOptions, size: Canvas | None = None) -> Finder:
    """Create the finder of inputs from --data, --frame and the like; photos keep the pixels that ``size`` needs.

    Raises:
        ScmError: if --data is not a prepared folder or --frame is not a size.
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
