"""How fast a generator is, and how near it comes to the plain convolutions it is made of.

The yardstick is taken in the same run: every convolution of a forward pass is noted with its shapes and timed alone, on
inputs of the same type and memory format, in turn with the forward passes. What the pass takes beyond them is spent on
norms, activations, copies and attention.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from scmnet_cli.config import ModelConfig
from scmnet_cli.models.build import build_generator
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.regions import NUM_REGIONS, one_hot, region_id
from scmnet_cli.skeleton import NUM_POSE_CHANNELS
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
class Timing:
    """Medians over the repetitions, at one batch size.

    Attributes:
        batch: images in a pass.
        seconds_an_image: first pose of a source, from pose maps, image and masks to the picture.
        seconds_a_further_pose: another pose of a source whose style features are known.
        share_of_convolutions: time of its convolutions alone by the time of the whole pass.
        convolution_gflops: the rate they reach alone, in GFLOP a second.
    """

    batch: int
    seconds_an_image: float
    seconds_a_further_pose: float
    share_of_convolutions: float
    convolution_gflops: float


@dataclass(frozen=True)
class Speed:
    """What was measured, and on what.

    Attributes:
        gflop: of an image with all eight regions, each on the whole canvas, as in training; a multiply-add is two.
        gflop_boxes: of the person that was timed, each region on its bounding box where the device does so.
    """

    machine: str
    device: str
    threads: int
    torch: str
    precision: Precision
    channels_last: bool
    size: str
    canvas: Canvas
    repeats: int
    cpu_time: bool
    num_parameters: int
    gflop: float
    gflop_boxes: float
    timings: tuple[Timing, ...]


def measure_speed(
    config: ModelConfig,
    *,
    batches: Sequence[int] = (1, 8),
    precision: Precision = "float32",
    channels_last: bool = True,
    threads: int | None = None,
    device: str = "cpu",
    repeats: int = 7,
    cpu_time: bool = False,
) -> Speed:
    """Time a generator with fresh weights on a drawn person: time does not depend on what either holds.

    Args:
        config: the networks and their canvas.
        batches: images in a pass; each is measured.
        precision: ``bf16`` runs under autocast, as training does.
        channels_last: memory format of the networks.
        threads: CPU threads for this measurement; None: as many as torch takes.
        device: ``cpu`` or ``cuda``.
        repeats: passes of each kind, in turn; medians are returned.
        cpu_time: count the CPU seconds of this process instead of the clock's: with one thread they depend less on what
            else the machine does.
    """
    place = torch.device(device)
    memory = torch.channels_last if channels_last else torch.contiguous_format
    net = build_generator(config).to(place).to(memory_format=memory).eval()
    clock = time.process_time if cpu_time else time.perf_counter
    with _threads(threads) as num_threads:
        return Speed(
            machine=torch.cuda.get_device_name(place) if place.type == "cuda" else _cpu_name(),
            device=device,
            threads=num_threads,
            torch=torch.__version__,
            precision=precision,
            channels_last=channels_last,
            size=config.size,
            canvas=config.canvas,
            repeats=repeats,
            cpu_time=cpu_time,
            num_parameters=sum(parameter.numel() for parameter in net.parameters()),
            gflop=count_gflop(net, config.canvas),
            gflop_boxes=_gflop(net, _person(config.canvas, 1, place), grad=False),
            timings=tuple(
                _time(net, _person(config.canvas, batch, place), precision, repeats, clock) for batch in batches
            ),
        )


def count_gflop(net: SCMNet, canvas: Canvas) -> float:
    """Return the GFLOP of one image with all eight regions, each on the whole canvas; a multiply-add is two."""
    place = next(net.parameters()).device
    stripes = torch.arange(canvas.height, device=place) * NUM_REGIONS // canvas.height  # every region is there
    labels = stripes[None, :, None].expand(1, -1, canvas.width)
    maps, image, _ = _person(canvas, 1, place)
    return _gflop(net, (maps, image, one_hot(labels)), grad=True)


def convolutions_of(net: nn.Module, run: Callable[[], object]) -> list[tuple[nn.Conv2d, torch.Size]]:
    """Return the convolutions that ``run`` calls, in order, each with the shape of its input."""
    called: list[tuple[nn.Conv2d, torch.Size]] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(module, nn.Conv2d):
            called.append((module, inputs[0].shape))

    hooks = [module.register_forward_pre_hook(note) for module in net.modules() if isinstance(module, nn.Conv2d)]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return called


@torch.no_grad()
def _time(
    net: SCMNet,
    person: tuple[Tensor, Tensor, Tensor],
    precision: Precision,
    repeats: int,
    clock: Callable[[], float],
) -> Timing:
    maps, image, masks = person
    batch, place = len(maps), maps.device
    bf16 = precision == "bf16"

    def first_pose() -> None:
        with torch.autocast(place.type, torch.bfloat16, enabled=bf16):
            net(maps, image, masks)

    def further_pose() -> None:
        with torch.autocast(place.type, torch.bfloat16, enabled=bf16):
            net.translate(net.rearrange(net.encode_pose(maps), style)[0])

    style = net.encode_style(image, masks)
    plain = _PlainConvolutions(convolutions_of(net, first_pose), torch.bfloat16 if bf16 else torch.float32)
    calls: tuple[Callable[[], None], ...] = (first_pose, plain, further_pose)
    for call in calls:
        call()
    firsts, convolutions, furthers = zip(
        *[[_seconds(call, place, clock) for call in calls] for _ in range(repeats)], strict=True
    )
    # Neighbours in time share what else the machine does; the ratio of two medians would not.
    shares = [alone / whole for alone, whole in zip(convolutions, firsts, strict=True)]
    return Timing(
        batch=batch,
        seconds_an_image=statistics.median(firsts) / batch,
        seconds_a_further_pose=statistics.median(furthers) / batch,
        share_of_convolutions=statistics.median(shares),
        convolution_gflops=plain.gflop / statistics.median(convolutions),
    )


class _PlainConvolutions:
    """The convolutions of a pass with nothing between them."""

    def __init__(self, called: list[tuple[nn.Conv2d, torch.Size]], dtype: torch.dtype) -> None:
        self.calls = []
        for module, shape in called:
            weight = module.weight.detach().to(dtype)
            bias = None if module.bias is None else module.bias.detach().to(dtype)
            channels_last = weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
            memory = torch.channels_last if channels_last else torch.contiguous_format
            given = torch.randn(shape, device=weight.device).to(dtype).contiguous(memory_format=memory)
            self.calls.append((given, weight, bias, module.stride, module.padding))
        with FlopCounterMode(display=False) as counter:
            self()
        self.gflop = counter.get_total_flops() / 1e9

    def __call__(self) -> None:
        for given, weight, bias, stride, padding in self.calls:
            F.conv2d(given, weight, bias, stride, padding)


def _gflop(net: SCMNet, person: tuple[Tensor, Tensor, Tensor], *, grad: bool) -> float:
    with torch.set_grad_enabled(grad), FlopCounterMode(display=False) as counter:
        net(*person)
    return float(counter.get_total_flops() / 1e9)


def _person(canvas: Canvas, batch: int, place: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    labels = torch.zeros(batch, canvas.height, canvas.width, dtype=torch.long, device=place)
    for name, (top, bottom, left, right) in _STANDING.items():
        rows = slice(round(top * canvas.height), round(bottom * canvas.height))
        columns = slice(round(left * canvas.width), round(right * canvas.width))
        labels[:, rows, columns] = region_id(name)
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(batch, NUM_POSE_CHANNELS, canvas.height, canvas.width, generator=generator)
    image = torch.rand(batch, 3, canvas.height, canvas.width, generator=generator) * 2 - 1
    return maps.to(place), image.to(place), one_hot(labels)


def _seconds(call: Callable[[], None], place: torch.device, clock: Callable[[], float]) -> float:
    if place.type == "cuda":
        torch.cuda.synchronize(place)
    start = clock()
    call()
    if place.type == "cuda":
        torch.cuda.synchronize(place)
    return clock() - start


@contextmanager
def _threads(number: int | None) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.machine()
