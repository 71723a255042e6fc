"""Open the model and the inputs of a drawing command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scmnet_cli.cli.console import warn
from scmnet_cli.cli.drawing.inputs import Finder
from scmnet_cli.cli.options import InputOptions, OutputOptions, Runtime, read_size
from scmnet_cli.inference.drawing_model import DrawingModel, largest_source
from scmnet_cli.inference.opening import open_exported, open_pipeline
from scmnet_cli.types import Canvas

if TYPE_CHECKING:
    from scmnet_cli.inference.pipeline import Pipeline

_OWN_LICENCE = "Apache-2.0"


def open_model(model: Path | None, device: str, *, mirrored_limbs: bool = True) -> Pipeline:
    """Load the model given by -m; by default load the shipped model.

    Prints its licence to stderr if that differs from the package's.

    Raises:
        ScmError: if it cannot be read, or limbs are not to be mirrored and it mirrors none.
    """
    pipeline = open_pipeline(model, device)
    _print_licence(pipeline)
    return pipeline if mirrored_limbs else pipeline.without_mirrored_limbs()


def open_drawing_model(drawing: OutputOptions, runtime: Runtime) -> DrawingModel:
    """Load the model given by -m as :func:`open_model` does, or open an exported one.

    Raises:
        ScmError: if it cannot be read, or --no-mirrored-limbs is given and it mirrors none.
    """
    if runtime is Runtime.torch:
        return open_model(drawing.model, drawing.device, mirrored_limbs=not drawing.no_mirrored_limbs)
    exported = open_exported(drawing.model, drawing.device)
    _print_licence(exported)
    return exported.without_mirrored_limbs() if drawing.no_mirrored_limbs else exported


def _print_licence(model: DrawingModel) -> None:
    if model.licence not in ("", _OWN_LICENCE):
        warn(f"model {model.path}: for {model.licence}")


def read_output_size(size: str | None, pipeline: DrawingModel) -> Canvas | None:
    """Parse --size: a size, ``model`` for the network's canvas, or None for the photo's own size.

    Raises:
        ScmError: if it is not a size.
    """
    if size == "model":
        return pipeline.canvas
    return None if size is None else read_size(size, "--size", "512x352, or 'model'")


def find_inputs(pipeline: DrawingModel, options: InputOptions, size: Canvas | None = None) -> Finder:
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
