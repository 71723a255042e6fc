"""Forward passes to benchmark, with fresh weights: time and memory do not depend on the values of weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from scmnet_cli.config import ModelConfig
from scmnet_cli.models.build import build_generator
from scmnet_cli.models.layers import pool_positions
from scmnet_cli.models.part_warp import PartWarp, warp_parts
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.regions import one_hot, region_id
from scmnet_cli.skeleton import NUM_JOINTS, NUM_POSE_CHANNELS, pose_maps
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


class Passes:
    """Forward passes of a generator over a batch of one person."""

    def __init__(self, net: SCMNet, canvas: Canvas, options: Options, batch: int) -> None:
        self.net, self.canvas, self.options, self.batch = net, canvas, options, batch
        self.maps, self.image, self.masks = standing_person(canvas, batch, torch.device(options.device))
        self._joints = standing_joints(canvas, batch, torch.device(options.device))
        with torch.no_grad(), self._autocast():
            self._style = net.encode_style(self.image, self.masks)

    def _autocast(self) -> torch.autocast:
        place = torch.device(self.options.device).type
        return torch.autocast(place, torch.bfloat16, enabled=self.options.precision == "bf16")

    @torch.no_grad()
    def first_pose(self) -> None:
        """Generate from pose maps, image and masks."""
        with self._autocast():
            self.net(self.maps, self.image, self.masks, self._warp())

    @torch.no_grad()
    def further_pose(self) -> None:
        """Generate another pose of a source whose style features are known."""
        with self._autocast():
            warp = self._warp()
            field = self.net.field(self.net.encode_pose(self.maps, warp), self._style, warp)
            self.net.translate(self.net.rearrange(field, self._style)[0], self.maps, warp)

    @torch.no_grad()
    def draw(self) -> None:
        """Do everything that ``scm transfer`` does for an image: pose maps, carried maps and entropy of the field."""
        joints = torch.rand(self.batch, NUM_JOINTS, 3, device=self.image.device) * self.canvas.width
        with self._autocast():
            warp = self._warp()
            pose_features = self.net.encode_pose(pose_maps(joints, self.canvas), warp)
            style = self.net.encode_style(self.image, self.masks)
            carried = pool_positions(self.masks, self.image)
            field = self.net.field(pose_features, style, warp)
            rearranged, _ = self.net.rearrange(field, style, carried)
            self.net.translate(rearranged, self.maps, warp)
            field.entropy()

    def _warp(self) -> PartWarp | None:
        """Warp the standing person to its own pose; the cost does not depend on the pose."""
        if not self.net.reads_part_warp:
            return None
        return warp_parts(self.image, self.masks, self._joints, self._joints)


def standing_joints(canvas: Canvas, batch: int, place: torch.device) -> Tensor:
    """Return the joints of the standing person, (B, 18, 3)."""
    shares = (
        (0.5, 0.13), (0.5, 0.2), (0.36, 0.22), (0.3, 0.36), (0.27, 0.5), (0.64, 0.22), (0.7, 0.36), (0.73, 0.5),
        (0.42, 0.48), (0.42, 0.66), (0.42, 0.86), (0.58, 0.48), (0.58, 0.66), (0.58, 0.86),
        (0.48, 0.12), (0.52, 0.12), (0.45, 0.13), (0.55, 0.13),
    )  # fmt: skip
    joints = torch.tensor([(x * canvas.width, y * canvas.height, 1.0) for x, y in shares], device=place)
    return joints.expand(batch, -1, -1)


def standing_person(canvas: Canvas, batch: int, place: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return random maps, a random image, and the masks of a standing person made of boxes.

    Shape:
        results: (B, 19, H, W), (B, 3, H, W) and (B, 8, H, W).
    """
    labels = torch.zeros(batch, canvas.height, canvas.width, dtype=torch.long, device=place)
    for name, (top, bottom, left, right) in _STANDING.items():
        rows = slice(round(top * canvas.height), round(bottom * canvas.height))
        columns = slice(round(left * canvas.width), round(right * canvas.width))
        labels[:, rows, columns] = region_id(name)
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(batch, NUM_POSE_CHANNELS, canvas.height, canvas.width, generator=generator)
    image = torch.rand(batch, 3, canvas.height, canvas.width, generator=generator) * 2 - 1
    return maps.to(place), image.to(place), one_hot(labels)
