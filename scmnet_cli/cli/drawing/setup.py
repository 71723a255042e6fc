"""Set up drawing from the options of a command: check them, load the model, and open the inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scmnet_cli.cli.drawing.inputs import Finder
from scmnet_cli.cli.drawing.opening import find_inputs, open_drawing_model, read_output_size
from scmnet_cli.cli.drawing.outputs import Outputs
from scmnet_cli.cli.drawing.renderer import Personalizer, Renderer, RenderOptions
from scmnet_cli.cli.options import DrawingOptions, InputOptions, PhotoOptions, Runtime
from scmnet_cli.errors import ScmError
from scmnet_cli.images import ANIMATED

_WITHOUT_EFFECT = ("model", "out", "device", "batch", "data", "skip_existing", "before_after")
"""Options that do not change a picture, or that the report holds elsewhere."""


def check_animation(path: Path) -> None:
    """Check that a file name has the ending of an animated format, before anything is loaded.

    Raises:
        ScmError: if not, with the supported formats.
    """
    if path.suffix.lower() not in ANIMATED:
        raise ScmError(f"--animate {path}: cannot be written; give a name that ends with {', '.join(ANIMATED)}")


def set_up(
    drawing: DrawingOptions,
    inputs: InputOptions,
    further: Mapping[str, Any] | None = None,
    *,
    strip: bool,
    runtime: Runtime = Runtime.torch,
    personalizer: Personalizer | None = None,
) -> tuple[Finder, Renderer]:
    """Load the model and open the folders given by the options.

    Args:
        drawing: options of the pictures.
        inputs: options of people and poses.
        further: options of the command itself that change the pictures.
        strip: also write strips.
        runtime: runtime of the networks.
        personalizer: fine-tunes the model on each person first; None: use the model as it is.

    Raises:
        ScmError: if a given file does not exist, or options conflict.
    """
    keep_size = isinstance(drawing, PhotoOptions) and drawing.keep_size
    with_before = isinstance(drawing, PhotoOptions) and drawing.before_after
    check_cutout(drawing, keep_size=keep_size)
    if with_before and not keep_size:
        raise ScmError("--before-after: needs --keep-size, which puts the result into the photo; give both")
    pipeline = open_drawing_model(drawing, runtime)
    if drawing.cutout and not pipeline.has_plain_background:
        raise ScmError(
            f"--cutout: {pipeline.path} predicts no foreground mask; leave out --cutout, or use a model that does, "
            "such as the shipped one"
        )
    size = read_output_size(drawing.size, pipeline)
    options = changing_options(drawing, inputs, further or {})
    wanted = RenderOptions(
        batch=drawing.batch or pipeline.default_batch,
        size=size,
        strip=strip,
        keep_size=keep_size,
        before_after=with_before,
        cutout=drawing.cutout,
        skip_existing=drawing.skip_existing,
        options=options,
    )
    finder = find_inputs(pipeline, inputs, size)
    return finder, Renderer(pipeline, Outputs(drawing.out, pipeline, mark=drawing.mark), wanted, personalizer)


def check_cutout(drawing: DrawingOptions, *, keep_size: bool) -> None:
    """Check that --cutout is possible with the other options.

    Raises:
        ScmError: with --keep-size, or if the output is a JPEG.
    """
    if drawing.cutout and keep_size:
        raise ScmError("--cutout and --keep-size: one removes the background, the other keeps it; give one of them")
    if drawing.cutout and drawing.out.suffix.lower() in (".jpg", ".jpeg"):
        raise ScmError(f"--out {drawing.out}: JPEG has no transparency for --cutout; use the ending .png or .webp")


def changing_options(
    drawing: DrawingOptions, inputs: InputOptions, further: Mapping[str, Any]
) -> dict[str, str | int | float]:
    """Return the given options that change a picture, except the model and the inputs."""
    given = {**asdict(drawing), **asdict(inputs), **further}
    kept = {name: value for name, value in given.items() if value and name not in _WITHOUT_EFFECT}
    return {name: value if isinstance(value, int | float) else str(value) for name, value in kept.items()}
