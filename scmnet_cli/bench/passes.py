"""Forward passes to benchmark, with fresh weights: time and memory do not depend on the values of weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from scmnet_cli.config import ModelConfig
from scmnet_cli.domains import DOMAINS
from scmnet_cli.models.build import build_generator
from scmnet_cli.models.layers import pool_positions
from scmnet_cli.models.part_warp import PartWarp, warp_parts
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.regions import one_hot, region_id
from scmnet_cli.types import Canvas

Precision = Literal["float32", "bf16"]

# A standing person as boxes: top, bottom, left, right as shares of the canvas; later ones cover earlier ones.
_STANDING: dict[str, tuple[float, float, float, float]] = {
    "hair": (0.05, 0.16, 0.38, 0.62),
    "arms": (0.22, 0.55, 0.24, 0.76),
    "face": (0.08, 0.18, 0.42, 0.58),
    "upper": (0.20, 0.48, 0.32, 0.68),
    "pants": (0.46, 0.82, 0.34, 0.66),
    "legs": (0.82, 0.95, 0.34, 0.66),
}


@dataclass(frozen=True)
class Options:
    """Options of a benchmark.

    Attributes:
        precision: ``bf16`` uses autocast, like training.
        channels_last: memory format of weights and features.
        compiled: compile encoders, CCF and generator separately with torch.compile.
        threads: number of CPU threads; None for torch's default.
        device: ``cpu`` or ``cuda``.
    """

    precision: Precision = "float32"
    channels_last: bool = True
    compiled: bool = False
    threads: int | None = None
    device: str = "cpu"

    def __str__(self) -> str:
        words = [self.precision, "channels-last" if self.channels_last else "contiguous"]
        return ", ".join([*words, "compiled"] if self.compiled else words)

    @property
    def memory_format(self) -> torch.memory_format:
        """The memory format as torch's constant."""
        return torch.channels_last if self.channels_last else torch.contiguous_format


def built(config: ModelConfig, options: Options) -> SCMNet:
    """Build a generator for inference with these options, not compiled yet."""
    net: SCMNet = build_generator(config).to(options.device).to(memory_format=options.memory_format)
    return net.eval().requires_grad_(requires_grad=False)


def compile_parts(net: SCMNet) -> None:
    """Compile the convolutional parts; data-dependent code, such as finding the regions present, stays eager."""
    for part in (net.pose_encoder, net.style_encoder.encoder, net.ccf, net.generator):
        part.compile()


@dataclass(frozen=True)
class Standing:
    """Inputs of the benchmarked generator: a standing person, or a face with regions of the same sizes.

    Attributes:
        structure: joints or edge maps, of the model's domain.
        maps: the structure drawn for the encoder.

    Shape:
        structure: (B, 18, 3) or (B, H, W); maps: (B, 19 or 2, H, W); image: (B, 3, H, W); masks: (B, 8, H, W).
    """

    structure: Tensor
    maps: Tensor
    image: Tensor
    masks: Tensor

    def warp(self, net: SCMNet) -> PartWarp | None:
        """Warp the person to its own pose if the generator reads it; the cost does not depend on the pose."""
        if not net.reads_part_warp:
            return None
        return warp_parts(self.image, self.masks, self.structure, self.structure)


class Passes:
    """Forward passes of a generator over a batch of one person or face."""

    def __init__(self, net: SCMNet, config: ModelConfig, options: Options, batch: int) -> None:
        self.net, self.options, self.batch = net, options, batch
        self._canvas, self._draw_maps = config.canvas, DOMAINS[config.domain].maps
        self.person = standing_person(config, batch, torch.device(options.device))
        with torch.no_grad(), self._autocast():
            self._style = net.encode_style(self.person.image, self.person.masks)

    def _autocast(self) -> torch.autocast:
        place = torch.device(self.options.device).type
        return torch.autocast(place, torch.bfloat16, enabled=self.options.precision == "bf16")

    @torch.no_grad()
    def first_pose(self) -> None:
        """Generate from maps, image and masks."""
        person = self.person
        with self._autocast():
            self.net(person.maps, person.image, person.masks, person.warp(self.net))

    @torch.no_grad()
    def further_pose(self) -> None:
        """Generate another pose of a source whose style features are known."""
        maps = self.person.maps
        with self._autocast():
            warp = self.person.warp(self.net)
            field = self.net.field(self.net.encode_pose(maps, warp), self._style, warp)
            self.net.translate(self.net.rearrange(field, self._style)[0], maps, warp)

    @torch.no_grad()
    def draw(self) -> None:
        """Do everything that ``scm transfer`` does for an image: maps, carried maps and entropy of the field."""
        person = self.person
        with self._autocast():
            warp = person.warp(self.net)
            maps = self._draw_maps(person.structure, self._canvas)
            style = self.net.encode_style(person.image, person.masks)
            carried = pool_positions(person.masks, person.image, stride=self.net.stride)
            field = self.net.field(self.net.encode_pose(maps, warp), style, warp)
            rearranged, _ = self.net.rearrange(field, style, carried)
            self.net.translate(rearranged, maps, warp)
            field.entropy()


def standing_person(config: ModelConfig, batch: int, place: torch.device) -> Standing:
    """Return a random image with the joints, or the edges, and the masks of a standing person made of boxes."""
    canvas, domain = config.canvas, DOMAINS[config.domain]
    labels = torch.zeros(batch, canvas.height, canvas.width, dtype=torch.long, device=place)
    for name, (top, bottom, left, right) in _STANDING.items():
        rows = slice(round(top * canvas.height), round(bottom * canvas.height))
        columns = slice(round(left * canvas.width), round(right * canvas.width))
        labels[:, rows, columns] = region_id(name)
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(batch, 3, canvas.height, canvas.width, generator=generator) * 2 - 1
    structure = standing_joints(canvas, batch, place) if domain.has_joints else _borders(labels)
    return Standing(structure, domain.maps(structure, canvas), image.to(place), one_hot(labels))


def standing_joints(canvas: Canvas, batch: int, place: torch.device) -> Tensor:
    """Return the joints of the standing person, (B, 18, 3)."""
    shares = (
        (0.5, 0.13), (0.5, 0.2), (0.36, 0.22), (0.3, 0.36), (0.27, 0.5), (0.64, 0.22), (0.7, 0.36), (0.73, 0.5),
        (0.42, 0.48), (0.42, 0.66), (0.42, 0.86), (0.58, 0.48), (0.58, 0.66), (0.58, 0.86),
        (0.48, 0.12), (0.52, 0.12), (0.45, 0.13), (0.55, 0.13),
    )  # fmt: skip
    joints = torch.tensor([(x * canvas.width, y * canvas.height, 1.0) for x, y in shares], device=place)
    return joints.expand(batch, -1, -1)


def _borders(labels: Tensor) -> Tensor:
    """Return edges where a label map changes along its rows, (B, H, W) uint8."""
    return (labels != labels.roll(1, dims=2)).to(torch.uint8)
