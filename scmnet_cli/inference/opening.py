"""Open a model or a wardrobe: the shipped one, one of the user's, or an exported one."""

from __future__ import annotations

from pathlib import Path

from scmnet_cli.errors import ScmError
from scmnet_cli.inference.export import POSE_TO_IMAGE
from scmnet_cli.inference.exported import ExportedPipeline
from scmnet_cli.inference.pipeline import SHIPPED_MODEL, Pipeline
from scmnet_cli.inference.wardrobe import SHIPPED_WARDROBE, Wardrobe


def open_pipeline(model: Path | None, device: str, *, exported: bool = False) -> Pipeline:
    """Load a model file or run folder, or open the folder of an exported model.

    Args:
        model: path of the model; None for the shipped model.
        device: cpu, cuda, cuda:1 or auto; an exported model computes on the CPU.
        exported: whether ``model`` is a folder of ``scm export``.

    Raises:
        ScmError: if it cannot be read, or is of the other kind.
    """
    if not exported:
        if model is not None and (model / POSE_TO_IMAGE).is_file():
            raise ScmError(f"-m {model}: is an exported model; run it with --runtime onnx")
        return Pipeline.from_pretrained(model or SHIPPED_MODEL, device)
    if model is None:
        raise ScmError("--runtime onnx: needs a folder of 'scm export'; give it with -m")
    if device not in ("auto", "cpu"):
        raise ScmError(f"--device {device}: --runtime onnx computes on the CPU; leave --device out")
    return ExportedPipeline.from_exported(model)


def open_wardrobe(path: Path | None) -> Wardrobe:
    """Read a wardrobe; without a path, the shipped one.

    Raises:
        ScmError: if it cannot be read.
    """
    return Wardrobe.read(path or SHIPPED_WARDROBE)
