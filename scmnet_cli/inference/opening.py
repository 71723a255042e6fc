"""Open a model or a wardrobe: the shipped one, one of the user's, or an exported one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scmnet_cli.errors import ScmError
from scmnet_cli.inference.drawing_model import SHIPPED_MODEL
from scmnet_cli.inference.exports.exported import POSE_TO_IMAGE, ExportedModel

if TYPE_CHECKING:
    from scmnet_cli.inference.pipeline import Pipeline
    from scmnet_cli.inference.wardrobe import Wardrobe


def open_pipeline(model: Path | None, device: str) -> Pipeline:
    """Load a model file or run folder.

    Args:
        model: path of the model; None for the shipped model.
        device: cpu, cuda, cuda:1 or auto.

    Raises:
        ScmError: if it cannot be read, or is an exported model.
    """
    if model is not None and (model / POSE_TO_IMAGE).is_file():
        raise ScmError(f"-m {model}: is an exported model; run it with --runtime onnx")
    from scmnet_cli.inference.pipeline import Pipeline

    return Pipeline.from_pretrained(model or SHIPPED_MODEL, device)


def open_exported(model: Path | None, device: str) -> ExportedModel:
    """Open the folder of an exported model, which computes on the CPU, without torch.

    Raises:
        ScmError: if none is given, it cannot be read, or another device is chosen.
    """
    if model is None:
        raise ScmError("--runtime onnx: needs a folder of 'scm export'; give it with -m")
    if device not in ("auto", "cpu"):
        raise ScmError(f"--device {device}: --runtime onnx computes on the CPU; leave --device out")
    return ExportedModel.from_exported(model)


def open_wardrobe(path: Path | None) -> Wardrobe:
    """Read a wardrobe; without a path, the shipped one.

    Raises:
        ScmError: if it cannot be read.
    """
    from scmnet_cli.inference.wardrobe import SHIPPED_WARDROBE, Wardrobe

    return Wardrobe.read(path or SHIPPED_WARDROBE)
