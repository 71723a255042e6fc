"""Export a trained model as ONNX files, for programs without torch.

``region_encoder.onnx`` encodes a region of a source, ``style_fusion.onnx`` fuses the regions once for all poses, the
graphs of ``export_warp.py`` move the source's pixels into a pose, ``pose_to_image.onnx`` generates the picture, and
``analyser.onnx`` finds people in photos. The graphs are traced from the functions that torch runs. The metadata of each
has the model's whole config, the names of regions and joints, and the SHA-256 of the model. docs/export.md describes
inputs and outputs.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from scmnet_cli import __version__
from scmnet_cli.analyser.people import SHIPPED as SHIPPED_ANALYSER
from scmnet_cli.checkpoint import load_model, load_strict, sha256
from scmnet_cli.config import ModelConfig
from scmnet_cli.data.cropping import crop_person
from scmnet_cli.domains import DOMAINS, FACE, PERSON
from scmnet_cli.errors import ScmError
from scmnet_cli.files import write_file
from scmnet_cli.inference.composition.enlarging import enlarge
from scmnet_cli.inference.exports.export_analyser import OUTPUTS, AnalyserGraph, seen_by_analyser
from scmnet_cli.inference.exports.export_warp import WarpPart, warp_graphs
from scmnet_cli.inference.exports.exported import (
    ANALYSER,
    FORMAT,
    FORMAT_VERSION,
    NEEDS_EXTRA,
    POSE_TO_IMAGE,
    REGION_ENCODER,
    STYLE_FUSION,
    ExportedModel,
    structure_input,
)
from scmnet_cli.inference.exports.exported_warp import WARP_FIELDS
from scmnet_cli.models.build import build_generator
from scmnet_cli.models.layers import InstanceNorm, pool_positions
from scmnet_cli.models.part_warp import PartWarp
from scmnet_cli.models.positions import STRIDE
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.models.style import Style
from scmnet_cli.models.style_encoder import DecomposedStyleEncoder
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.poses.library import shipped_poses
from scmnet_cli.poses.placing import place
from scmnet_cli.regions import NUM_REGIONS
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.sources.drawn import draw_person
from scmnet_cli.types import NO_JOINTS, Canvas, Person, Pose, UInt8Array

if TYPE_CHECKING:
    from scmnet_cli.inference.pipeline import Pipeline

OPSET = 18
"""Version of ONNX's operator set in all files, which needs onnxruntime 1.14 or later."""

_LEAST_WEIGHT = 1e-30


class RegionGraph(nn.Module):
    """Graph of ``region_encoder.onnx``: the style features of a region, on the whole canvas or on a part of it.

    With ``model.half_size`` it reads image and mask at half the canvas.

    Shape:
        image: (B, 3, h, w) in [-1, 1], h and w multiples of 8; mask: (B, 1, h, w); result: (B, C', h/8, w/8).
    """

    def __init__(self, net: SCMNet) -> None:
        super().__init__()
        self.encoder = net.style_encoder

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Encode the region; without the DSE the mask does not count."""
        if isinstance(self.encoder, DecomposedStyleEncoder):
            return self.encoder.encode_region(image, mask)
        encoded: Tensor = self.encoder(image, mask)
        return encoded + 0 * mask[:, :, ::STRIDE, ::STRIDE]  # the graph keeps its inputs


class FusionGraph(nn.Module):
    """Graph of ``style_fusion.onnx``: the style of a source from the features of its regions.

    Shape:
        region_features: (1, 8, C', H/8, W/8), or (1, 1, ...) without the DSE; result: F_s and what is carried with it,
        (1, K, H/8, W/8).
    """

    def __init__(self, net: SCMNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, region_features: Tensor) -> Tensor:
        """Fuse the features."""
        return self.net.fuse(region_features).packed()


class PoseGraph(nn.Module):
    """Graph of ``pose_to_image.onnx``: one source in one pose, as the model itself draws it on its canvas.

    Shape:
        structure: joints of a person, (1, 18, 3) in pixels of the canvas, or edge maps of a face, (1, 2, H, W);
        style_features: (1, K, H/8, W/8); image: (1, 3, H, W); masks: (1, 8, H, W); warped: with a part warp its
        fields, (1, ..., H, W); results: the picture, (1, 3, H, W) in [-1, 1]; the source's masks and image, averaged
        over each position and moved by the field, (1, 11, H/8, W/8); the field's entropy, (1,), from 0 to 1. With a
        part warp also the network's own image and the blend map, (1, ..., H, W), and with a plain background logits of
        the foreground mask and the picture's alpha.
    """

    def __init__(self, net: SCMNet, config: ModelConfig, style: Style) -> None:
        super().__init__()
        self.net = net
        self.style = style
        self.canvas = config.canvas
        self.background = PLAIN_BACKGROUND if config.foreground else None
        self.takes_joints = config.domain == PERSON.name

    def forward(
        self,
        structure: Tensor,
        style_features: Tensor,
        image: Tensor,
        masks: Tensor,
        *warped: Tensor,
    ) -> tuple[Tensor, ...]:
        """Generate pictures; the correlation field is explicit, since this opset has no fused attention."""
        maps = PERSON.maps(structure, self.canvas) if self.takes_joints else structure
        warp = PartWarp(*warped) if warped else None
        pose_features = self.net.encode_pose(maps, warp)
        sizes = [part.shape[1] for part in self.style.given]
        parts = self.style.like(torch.split(style_features, sizes, dim=1))
        field = self.net.field(pose_features, parts, warp).explicit()  # (1, N, N)
        carried = torch.cat([style_features, pool_positions(masks, image, stride=self.net.stride)], dim=1)
        values = carried.flatten(2).transpose(1, 2)  # (1, N, K + 11)
        moved = (field @ values).transpose(1, 2).reshape(1, values.shape[2], *pose_features.shape[2:])
        entropy = -(field * field.clamp(min=_LEAST_WEIGHT).log()).sum(2).mean(1) / math.log(field.shape[2])
        num_features = style_features.shape[1]
        rearranged = self.style.like(torch.split(moved[:, :num_features], sizes, dim=1))
        rendering = self.net.translate(rearranged, maps, warp)
        if warp is None:
            return rendering.image, moved[:, num_features:], entropy
        picture = enlarge(rendering, warp, structure, self.background)
        further = (rendering.drawn, rendering.blend, rendering.foreground, picture.alpha)
        return (
            picture.image, moved[:, num_features:], entropy, *(tensor for tensor in further if tensor is not None)
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
    """Write a model as ONNX files, in float32.

    Args:
        model: a run folder or a model file.
        folder: output folder, created if necessary.
        progress: called with the name of each step.

    Returns:
        the paths of the files.

    Raises:
        ScmError: if the model cannot be read, a package is missing, or the files cannot be written.
    """
    saved = load_model(model)
    with torch.random.fork_rng(devices=[]):  # the random initial weights are replaced at once
        net = build_generator(saved.config.model)
    load_strict(net, saved.state, str(saved.path))
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
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
        write_file(paths[-1], partial(put, graph(metadata)))
    if saved.config.model.domain == PERSON.name:
        if progress:
            progress(f"tracing {ANALYSER}")
        paths.append(folder / ANALYSER)
        write_file(paths[-1], partial(put, analyser_file(metadata)))
    return paths


def analyser_file(metadata: Mapping[str, str]) -> bytes:
    """Return the content of ``analyser.onnx`` with the metadata of a model and the hash of the analyser's weights."""
    return _with_metadata(_analyser(), {**metadata, "analyser_sha256": sha256(SHIPPED_ANALYSER)})


@cache
def _analyser() -> bytes:
    """Return the graph of the analyser, the same for all models."""
    seen, sides = seen_by_analyser()
    return _graph(AnalyserGraph(), (seen,), {"image": sides}, list(OUTPUTS))


def outputs_of(config: ModelConfig) -> list[str]:
    """Return the names of the outputs of ``pose_to_image.onnx``."""
    names = ["picture", "moved_maps", "field_entropy"]
    if not config.part_warp:
        return names
    return [*names, "drawn", "blend", *(["foreground", "alpha"] if config.foreground else [])]


def graphs(net: SCMNet, config: ModelConfig) -> dict[str, Callable[[Mapping[str, str]], bytes]]:
    """Return, for each file, a function from its metadata to its content; the network is not modified."""
    net = copy.deepcopy(net).cpu().to(memory_format=torch.contiguous_format).eval().requires_grad_(requires_grad=False)
    _replace_instance_norms(net)
    canvas = config.canvas
    image, masks = torch.zeros(1, 3, canvas.height, canvas.width), torch.zeros(1, 8, canvas.height, canvas.width)
    with torch.inference_mode():
        region_features = net.encode_regions(image, masks).clone()
        example = net.fuse(region_features)

    def of_region(metadata: Mapping[str, str]) -> bytes:
        rows, columns = STRIDE * torch.export.Dim("rows"), STRIDE * torch.export.Dim("columns")
        sides = {0: torch.export.Dim("batch"), 2: rows, 3: columns}
        height, width = (STRIDE * length // net.stride for length in (canvas.height, canvas.width))
        seen = torch.zeros(2, 3, height, width), torch.zeros(2, 1, height, width)
        return _traced(RegionGraph(net), seen, {"image": sides, "mask": sides}, ["region_features"], metadata)

    def of_fusion(metadata: Mapping[str, str]) -> bytes:
        seen = (torch.zeros(region_features.shape),)
        return _traced(FusionGraph(net), seen, {"region_features": None}, ["style_features"], metadata)

    def of_pose(metadata: Mapping[str, str]) -> bytes:
        structure = (len(JOINTS), 3) if config.domain == PERSON.name else (FACE.num_maps, canvas.height, canvas.width)
        style = torch.zeros(example.packed().shape)
        seen = {structure_input(config): torch.zeros(1, *structure), "style_features": style}
        seen |= {"image": image, "masks": masks}
        if config.part_warp:
            seen |= {name: torch.zeros(1, num, canvas.height, canvas.width) for name, num in WARP_FIELDS.items()}
        shapes: dict[str, Any] = dict.fromkeys(seen)
        return _traced(PoseGraph(net, config, example), tuple(seen.values()), shapes, outputs_of(config), metadata)

    further = _of_warp(canvas) if config.part_warp else {}
    return {REGION_ENCODER: of_region, STYLE_FUSION: of_fusion, POSE_TO_IMAGE: of_pose, **further}


def _of_warp(canvas: Canvas) -> dict[str, Callable[[Mapping[str, str]], bytes]]:
    """Return a function from its metadata to its content for each file of the part warp."""

    def of(graph: WarpPart, metadata: Mapping[str, str]) -> bytes:
        return _traced(graph.module, tuple(graph.seen.values()), dict.fromkeys(graph.seen), graph.outputs, metadata)

    return {name: partial(of, graph) for name, graph in warp_graphs(canvas).items()}


_COMPARED = ("walking", "arms-open")
"""Shipped poses that a person is drawn in to compare an exported model."""

_DRAWN = 1  # seed of that person


def largest_difference(pipeline: Pipeline, exported: ExportedModel) -> float:
    """Return the largest absolute difference of both models' pictures, in [-1, 1], of one drawn person or face."""
    canvas = pipeline.canvas
    structure: list[npt.NDArray[Any]]
    if pipeline.domain is PERSON:
        source = compared_person(canvas)
        entries = [shipped_poses()[name][1] for name in _COMPARED]
        frames = [Pose(entry.name, entry.person(), entry.canvas or canvas) for entry in entries]
        structure = [place(pose, canvas).joints for pose in frames]
    else:
        source, *structure = _noise(canvas)
    encoded, again = pipeline.encode(source), exported.encode(source)
    differences = []
    for pose in structure:
        expected = pipeline.compose(encoded, torch.from_numpy(pose[None])).image.cpu().numpy()
        differences.append(np.abs(expected - exported.paint(again, pose[None])["picture"]).max())
    return float(max(differences))


def compared_person(canvas: Canvas) -> Person:
    """Return a drawn person, whose regions have the shapes of a body: of noise, single pixels flip at thresholds."""
    return crop_person(draw_person(_DRAWN), canvas, "plain")[0]


def _noise(canvas: Canvas) -> tuple[Person, UInt8Array, UInt8Array]:
    """Return a face of coarse noise with striped regions and random edges, and two others, (H, W)."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (9, 7, 3)).astype(np.uint8))
    image = np.asarray(coarse.resize((canvas.width, canvas.height), Image.Resampling.BICUBIC))
    stripes = np.arange(canvas.height) * NUM_REGIONS // canvas.height
    regions = np.repeat(stripes[:, None], canvas.width, axis=1).astype(np.uint8)
    own, *others = (random.random((3, canvas.height, canvas.width)) < 0.05).astype(np.uint8)
    return Person("noise", image, regions, NO_JOINTS, own), others[0], others[1]


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
    """Return the content of a file: a graph and its metadata."""
    return _with_metadata(_graph(graph, seen, shapes, outputs), metadata)


def _graph(graph: nn.Module, seen: tuple[Tensor, ...], shapes: dict[str, Any], outputs: list[str]) -> bytes:
    try:
        import onnx
        import onnxruntime  # noqa: F401 - simplified imports it
        import onnxscript  # noqa: F401 - torch's exporter imports it, with a less clear error if it is missing
    except ImportError as error:
        raise ScmError(f"scm export: {NEEDS_EXTRA} ({error})") from error
    with _quiet():
        program = torch.onnx.export(
            graph.eval(),
            seen,
            input_names=list(shapes),
            output_names=outputs,
            dynamic_shapes=tuple(shapes.values()) if any(shapes.values()) else None,
            opset_version=OPSET,
            dynamo=True,
            optimize=False,  # its pattern matching takes minutes on thousands of nodes; simplified takes a second
            verbose=False,
        )
        assert program is not None
        proto = onnx.load_from_string(simplified(program.model_proto.SerializeToString()))
        share_constants(proto)
        proto = onnx.load_from_string(simplified(proto.SerializeToString()))
    for node in proto.graph.node:  # source locations, which contain paths of this machine
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    domains = {node.domain for node in proto.graph.node}
    for entry in [entry for entry in proto.opset_import if entry.domain not in domains]:
        proto.opset_import.remove(entry)
    proto.producer_name, proto.producer_version = "scmnet_cli", __version__
    onnx.checker.check_model(proto)
    content: bytes = proto.SerializeToString()
    return content


def _with_metadata(content: bytes, metadata: Mapping[str, str]) -> bytes:
    import onnx

    proto = onnx.load_from_string(content)
    onnx.helper.set_model_props(proto, dict(metadata))
    described: bytes = proto.SerializeToString()
    return described


def share_constants(proto: Any) -> None:
    """Let equal constants of a graph be one, so that equal nodes that use them can be merged too."""
    first: dict[tuple[Any, ...], str] = {}
    same = {}
    for each in proto.graph.initializer:
        values = (each.data_type, tuple(each.dims), each.raw_data or each.SerializeToString())
        same[each.name] = first.setdefault(values, each.name)
    for node in proto.graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]


def simplified(content: bytes) -> bytes:
    """Fold constants and drop unused nodes with ONNX Runtime, at the level that uses standard operators only."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3  # errors
    with TemporaryDirectory() as folder:
        path = Path(folder) / "simplified.onnx"
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return path.read_bytes()


def put(content: bytes, file: IO[bytes]) -> None:
    """Write the content of a file."""
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
