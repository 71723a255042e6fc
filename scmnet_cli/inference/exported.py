"""Run a model of ``scm export`` with ONNX Runtime on the CPU instead of torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel
from torch import Tensor

from scmnet_cli.checkpoint import SavedModel
from scmnet_cli.config import parse_config
from scmnet_cli.data.dataset import Batch
from scmnet_cli.errors import ScmError
from scmnet_cli.files import parse_json
from scmnet_cli.inference.export import (
    FORMAT,
    FORMAT_VERSION,
    NEEDS_EXTRA,
    POSE_TO_IMAGE,
    SOURCE_INPUTS,
    STYLE_ENCODER,
    structure_input,
)
from scmnet_cli.inference.pipeline import EncodedSource, Painted, Pipeline
from scmnet_cli.models.generator import Rendering
from scmnet_cli.models.layers import pool_positions
from scmnet_cli.models.part_warp import PartWarp
from scmnet_cli.models.style import Style
from scmnet_cli.regions import NUM_REGIONS, one_hot
from scmnet_cli.skeleton import NUM_JOINTS
from scmnet_cli.types import Person


class _Header(BaseModel):
    """Metadata of an exported file besides the config."""

    extra: dict[str, str]


class ExportedPipeline(Pipeline):
    """A pipeline whose networks are two ONNX files; it does not edit.

    It is deterministic. Single pixels of its images may differ from the model's by a rounding step.
    """

    def __init__(self, saved: SavedModel, style_encoder: Any, pose_to_image: Any) -> None:
        """Wrap two sessions of ONNX Runtime; :meth:`from_exported` opens them."""
        self._describe(saved, torch.device("cpu"))
        self._style_encoder = style_encoder
        self._pose_to_image = pose_to_image

    @classmethod
    def from_exported(cls, folder: Path) -> Self:
        """Open a folder of ``scm export``.

        Raises:
            ScmError: if a file is missing or damaged, the files are of two models, or ONNX Runtime is missing.
        """
        files = [folder / STYLE_ENCODER, folder / POSE_TO_IMAGE]
        for path in files:
            if not path.is_file():
                raise ScmError(f"model {folder}: holds no {path.name}; 'scm export MODEL -o {folder}' makes it")
        sessions = [open_session(path, str(path)) for path in files]
        found = [_metadata(path, session) for path, session in zip(files, sessions, strict=True)]
        if found[0]["model_sha256"] != found[1]["model_sha256"]:
            raise ScmError(f"model {folder}: {STYLE_ENCODER} and {POSE_TO_IMAGE} are of two models; export one again")
        try:
            values = json.loads(found[1]["config"])
        except (KeyError, ValueError, RecursionError) as error:
            raise ScmError(f"{files[1]}: has no readable config; it is damaged, export the model again") from error
        config = parse_config(values, f"config in {files[1]}")
        remedy = "it is damaged, export the model again"
        header = parse_json(f'{{"extra": {found[1].get("extra", "")}}}', _Header, f"header of {files[1]}", remedy)
        return cls(SavedModel({}, config, header.extra, files[1]), *sessions)

    def exchange(
        self,
        source: Person | EncodedSource,  # noqa: ARG002 - signature of the base class
        references: Mapping[str, Person | EncodedSource],  # noqa: ARG002
        *,
        force: bool = False,  # noqa: ARG002
    ) -> EncodedSource:
        """Raise an error: the files do not have the regions' features.

        Raises:
            ScmError: always.
        """
        raise ScmError(f"{self.path.parent}: an exported model does not edit; use the model that it was made of")

    def read_style(self, image: Tensor, masks: Tensor) -> tuple[Tensor, Style]:
        """Return fused style features, also in place of region features, which the files lack."""
        style_features, _ = _run(self._style_encoder, image=image, masks=masks)
        return style_features[:, None], Style(style_features)

    def paint(self, structure: Tensor, style: Style, source: Batch, warp: PartWarp | None = None) -> Painted:
        """Generate one source in a batch of poses; the graph contains the warp, so ``warp`` must be None."""
        if warp is not None:
            raise ScmError(f"{self.path.parent}: an exported model takes no warp; use the model it was made of")
        name = structure_input(self.config.model)
        given = structure if name == "joints" else self.domain.maps(structure, self.canvas)
        carried = pool_positions(one_hot(source.labels), source.image)
        inputs = {name: given, "style_features": style.packed(), "source_maps": carried}
        if self.config.model.part_warp:
            given_source = (source.image, one_hot(source.labels), source.structure)
            inputs |= dict(zip(SOURCE_INPUTS, given_source, strict=True))
        images, moved, entropy, *further = _run(self._pose_to_image, **inputs)
        return Painted(Rendering(images, *further), moved, entropy)


def largest_difference(pipeline: Pipeline, exported: ExportedPipeline) -> float:
    """Return the largest absolute difference of both pipelines' images, in [-1, 1], of one random source."""
    canvas, noise = pipeline.canvas, torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, canvas.height, canvas.width, generator=noise) * 2 - 1
    stripes = torch.arange(canvas.height) * NUM_REGIONS // canvas.height
    labels = stripes[None, :, None].expand(1, -1, canvas.width).to(torch.uint8)
    if pipeline.domain.name == "person":
        corner = torch.tensor([canvas.width, canvas.height, 1.0])
        structure = torch.cat([torch.rand(2, NUM_JOINTS, 2, generator=noise), torch.ones(2, NUM_JOINTS, 1)], 2) * corner
    else:
        structure = (torch.rand(2, canvas.height, canvas.width, generator=noise) < 0.05).to(torch.uint8)
    source = Batch(image, labels, structure[:1], pipeline.domain)
    with torch.inference_mode():
        drawn, again = (
            each.paint(structure, each.read_style(image, one_hot(labels))[1], source).rendering.image
            for each in (pipeline, exported)
        )
    return float((drawn - again).abs().max())


def _run(session: Any, **inputs: Tensor) -> list[Tensor]:
    found: list[npt.NDArray[np.float32]] = session.run(
        None, {name: np.ascontiguousarray(tensor.numpy(), np.float32) for name, tensor in inputs.items()}
    )
    return [torch.from_numpy(array) for array in found]


def open_session(model: Path | bytes, where: str) -> Any:
    """Open an exported file, or its content, in ONNX Runtime on the CPU, with as many threads as torch.

    Raises:
        ScmError: if ONNX Runtime is missing or cannot read it.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ScmError(f"--runtime onnx: {NEEDS_EXTRA} ({error})") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.use_deterministic_compute = True
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise ScmError(f"{where}: is damaged or not an ONNX file that runs here ({error}); export it again") from error


def _metadata(path: Path, session: Any) -> dict[str, str]:
    metadata: dict[str, str] = session.get_modelmeta().custom_metadata_map
    if metadata.get("format") != FORMAT:
        raise ScmError(f"{path}: is ONNX, but not a model of 'scm export'")
    version = metadata.get("format_version", "")
    if not version.isdecimal() or int(version) > FORMAT_VERSION:
        raise ScmError(
            f"{path}: has format version {version}, this program reads up to {FORMAT_VERSION}; install a newer one"
        )
    return metadata
