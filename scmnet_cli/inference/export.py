"""Export a trained model as two ONNX files, for programs without torch.

``style_encoder.onnx`` encodes a source once; ``pose_to_image.onnx`` generates it in any number of poses. The metadata
of both has the model's whole config, the names of regions and joints, and the SHA-256 of the model. docs/export.md
describes inputs and outputs.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from scmnet_cli import __version__
from scmnet_cli.checkpoint import load_model, load_strict, sha256
from scmnet_cli.config import ModelConfig
from scmnet_cli.domains import DOMAINS, FACE, PERSON
from scmnet_cli.errors import ScmError
from scmnet_cli.files import write_file
from scmnet_cli.models.build import build_generator
from scmnet_cli.models.layers import STRIDE, InstanceNorm, pool_positions
from scmnet_cli.models.part_warp import PartWarp, warp_parts
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.models.style import Style
from scmnet_cli.models.style_encoder import DecomposedStyleEncoder
from scmnet_cli.skeleton import JOINTS

FORMAT = "scm-net onnx"
"""Format name in the metadata of both files."""

FORMAT_VERSION = 2
"""Newest version that this code reads and writes: 2 for models with a part warp, 1 for all others."""

STYLE_ENCODER = "style_encoder.onnx"
POSE_TO_IMAGE = "pose_to_image.onnx"

OPSET = 18
"""Version of ONNX's operator set in both files, which needs onnxruntime 1.14 or later."""

NEEDS_EXTRA = "needs the packages of an extra; install them with: pip install 'scmnet-cli[onnx]'"

_LEAST_WEIGHT = 1e-30


class StyleGraph(nn.Module):
    """Graph of ``style_encoder.onnx``: the source's style features, and maps that the field moves with them.

    Shape:
        image: (B, 3, H, W) in [-1, 1]; masks: (B, 8, H, W); results: F_s, (B, C, H/8, W/8), and masks and image
        averaged over 8x8 pixels, (B, 8 + 3, H/8, W/8).
    """

    def __init__(self, net: SCMNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Encode all regions on the whole canvas: a graph cannot depend on which are present."""
        encoder = self.net.style_encoder
        if isinstance(encoder, DecomposedStyleEncoder):
            region_features = encoder.encode_all(image, masks)
        else:
            region_features = self.net.encode_regions(image, masks)
        return self.net.fuse(region_features).packed(), pool_positions(masks, image)


class PoseGraph(nn.Module):
    """Graph of ``pose_to_image.onnx``: one source in a batch of poses.

    Shape:
        structure: joints of people, (B, 18, 3) in pixels of the canvas, or edge maps of faces, (B, 2, H, W);
        style_features: (1, C, H/8, W/8); source_maps: (1, 11, H/8, W/8); results: images, (B, 3, H, W) in [-1, 1]; the
        source's maps moved by the field, (B, 11, H/8, W/8); the field's entropy, (B,), from 0 to 1.

        With a part warp, further inputs are the source's image (1, 3, H, W), masks (1, 8, H, W) and joints (1, 18, 3);
        further results, (B, ..., H, W), are the drawn image, the blend map and, with a plain background, logits of the
        foreground mask.
    """

    def __init__(self, net: SCMNet, config: ModelConfig, style: Style) -> None:
        super().__init__()
        self.net = net
        self.style = style
        self.canvas = config.canvas
        self.takes_joints = config.domain == PERSON.name

    def forward(
        self,
        structure: Tensor,
        style_features: Tensor,
        source_maps: Tensor,
        image: Tensor | None = None,
        masks: Tensor | None = None,
        source_joints: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Generate images; the correlation field is explicit, since this opset has no fused attention."""
        maps = PERSON.maps(structure, self.canvas) if self.takes_joints else structure
        warp = None
        if image is not None and masks is not None and source_joints is not None:
            warp = self._warp(structure, image, masks, source_joints)
        pose_features = self.net.encode_pose(maps, warp)
        sizes = [part.shape[1] for part in self.style.given]
        parts = self.style.like(torch.split(style_features, sizes, dim=1))
        field = self.net.field(pose_features, parts, warp).explicit()  # (B, N, N)
        values = torch.cat([style_features, source_maps], dim=1).flatten(2).transpose(1, 2)  # (1, N, C + 11)
        moved = (field @ values).transpose(1, 2).reshape(-1, values.shape[2], *pose_features.shape[2:])
        entropy = -(field * field.clamp(min=_LEAST_WEIGHT).log()).sum(2).mean(1) / math.log(field.shape[2])
        num_features = style_features.shape[1]
        rearranged = self.style.like(torch.split(moved[:, :num_features], sizes, dim=1))
        rendering = self.net.translate(rearranged, maps, warp)
        further = (rendering.drawn, rendering.blend, rendering.foreground)
        return (
            rendering.image, moved[:, num_features:], entropy, *(tensor for tensor in further if tensor is not None)
        )  # fmt: skip

    def _warp(self, structure: Tensor, image: Tensor, masks: Tensor, joints: Tensor) -> PartWarp:
        """Warp on the whole canvas: a graph cannot depend on the box of each part."""
        num = structure.shape[0]
        return warp_parts(
            image.expand(num, -1, -1, -1), masks.expand(num, -1, -1, -1), joints.expand(num, -1, -1), structure,
            on_boxes=False,
        )  # fmt: skip


class _PlainInstanceNorm(nn.Module):
    """Instance norm as a single ONNX operator."""

    def __init__(self, norm: InstanceNorm) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, features: Tensor) -> Tensor:
        """Normalise each channel of each image over its positions."""
        return torch.instance_norm(features, self.weight, self.bias, None, None, True, 0.0, 1e-5, False)


def export_onnx(model: Path, folder: Path, progress: Callable[[str], None] | None = None) -> list[Path]:
    """Write a model as ``style_encoder.onnx`` and ``pose_to_image.onnx``, in float32.

    Args:
        model: a run folder or a model file.
        folder: output folder, created if necessary.
        progress: called with the name of each step.

    Returns:
        the paths of both files.

    Raises:
        ScmError: if the model cannot be read, a package is missing, or the files cannot be written.
    """
    saved = load_model(model)
    with torch.random.fork_rng(devices=[]):  # the random initial weights are replaced at once
        net = build_generator(saved.config.model)
    load_strict(net, saved.state, str(saved.path))
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION if saved.config.model.part_warp else 1),
        "software": f"scmnet_cli {__version__}",
        "config": saved.config.model_dump_json(),
        "extra": json.dumps(saved.extra),
        "regions": json.dumps(DOMAINS[saved.config.model.domain].regions),
        "joints": json.dumps(JOINTS if saved.config.model.domain == PERSON.name else ()),
        "model_sha256": sha256(saved.path),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScmError(f"{folder}: cannot be made ({error.strerror}); choose a writable folder") from error
    paths = []
    for name, graph in graphs(net, saved.config.model).items():
        if progress:
            progress(f"tracing {name}")
        paths.append(folder / name)
        write_file(paths[-1], partial(_put, graph(metadata)))
    return paths


SOURCE_INPUTS = ("image", "masks", "source_joints")
"""Inputs of ``pose_to_image.onnx`` for models with a part warp only."""


def outputs_of(config: ModelConfig) -> list[str]:
    """Return the names of the outputs of ``pose_to_image.onnx``."""
    names = ["image", "moved_maps", "field_entropy"]
    if not config.part_warp:
        return names
    return ["drawn_image", *names[1:], "drawn", "blend", *(["foreground"] if config.foreground else [])]


def structure_input(config: ModelConfig) -> str:
    """Return the name of the structure input of ``pose_to_image.onnx``: joints of people or edge maps of faces."""
    return "joints" if config.domain == PERSON.name else "edge_maps"


def graphs(net: SCMNet, config: ModelConfig) -> dict[str, Callable[[Mapping[str, str]], bytes]]:
    """Return, for each file, a function from its metadata to its content; the network is not modified."""
    net = copy.deepcopy(net).cpu().to(memory_format=torch.contiguous_format).eval().requires_grad_(requires_grad=False)
    _replace_instance_norms(net)
    canvas = config.canvas
    rows, columns = canvas.height // STRIDE, canvas.width // STRIDE
    image, masks = torch.zeros(2, 3, canvas.height, canvas.width), torch.zeros(2, 8, canvas.height, canvas.width)
    style = StyleGraph(net)
    with torch.inference_mode():
        example = net.encode_style(image, masks)
        num_features = example.packed().shape[1]
    structure = (len(JOINTS), 3) if config.domain == PERSON.name else (FACE.num_maps, canvas.height, canvas.width)
    seen = torch.zeros(2, *structure), torch.zeros(1, num_features, rows, columns), torch.zeros(1, 11, rows, columns)
    any_number = {0: torch.export.Dim("batch")}

    def of_style(metadata: Mapping[str, str]) -> bytes:
        shapes = {"image": any_number, "masks": any_number}
        return _traced(style, (image, masks), shapes, ["style_features", "source_maps"], metadata)

    def of_pose(metadata: Mapping[str, str]) -> bytes:
        shapes: dict[str, Any] = {structure_input(config): any_number, "style_features": None, "source_maps": None}
        shapes |= dict.fromkeys(SOURCE_INPUTS if config.part_warp else ())
        source = (image[:1], masks[:1], torch.zeros(1, *structure)) if config.part_warp else ()
        return _traced(PoseGraph(net, config, example), seen + source, shapes, outputs_of(config), metadata)

    return {STYLE_ENCODER: of_style, POSE_TO_IMAGE: of_pose}


def _replace_instance_norms(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, InstanceNorm):
            setattr(module, name, _PlainInstanceNorm(child))
        else:
            _replace_instance_norms(child)


def _traced(
    graph: nn.Module,
    seen: tuple[Tensor, ...],
    shapes: dict[str, Any],
    outputs: list[str],
    metadata: Mapping[str, str],
) -> bytes:
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch's exporter imports it, with a less clear error if it is missing
    except ImportError as error:
        raise ScmError(f"scm export: {NEEDS_EXTRA} ({error})") from error
    with _quiet():
        program = torch.onnx.export(
            graph.eval(),
            seen,
            input_names=list(shapes),
            output_names=outputs,
            dynamic_shapes=tuple(shapes.values()),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        proto = program.model_proto
    for node in proto.graph.node:  # source locations, which contain paths of this machine
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    proto.producer_name, proto.producer_version = "scmnet_cli", __version__
    onnx.helper.set_model_props(proto, dict(metadata))
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString()
    return content


def _put(content: bytes, file: IO[bytes]) -> None:
    file.write(content)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the messages of torch's exporter for its developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
