"""Speed of a generator, absolute and relative to its convolutions alone.

The reference is measured in the same run: the convolutions of a forward pass are recorded with their shapes and timed
alone, on inputs of the same type and memory format, alternating with the forward passes. The rest of a pass is norms,
activations, copies and attention.
"""

from __future__ import annotations

import math
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from scmnet_cli.bench.passes import Options, Passes, Standing, built, compile_parts, standing_person
from scmnet_cli.config import ModelConfig
from scmnet_cli.errors import ScmError
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.regions import NUM_REGIONS, one_hot
from scmnet_cli.system.process import threads_set
from scmnet_cli.types import Canvas


@dataclass(frozen=True)
class Timing:
    """Median times at one batch size.

    Attributes:
        batch: images per pass.
        seconds_an_image: time per image of a source's first pose, from pose maps, image and masks.
        seconds_a_further_pose: time per image of another pose, with known style features.
        share_of_convolutions: time of the convolutions alone divided by the time of the pass.
        convolution_gflops: GFLOP per second of the convolutions alone.
    """

    batch: int
    seconds_an_image: float
    seconds_a_further_pose: float
    share_of_convolutions: float
    convolution_gflops: float


@dataclass(frozen=True)
class Speed:
    """Measured speed and its conditions.

    Attributes:
        threads: number of CPU threads.
        tokens: N, number of positions of the correlation field.
        gflop: GFLOP of an image with all eight regions on the whole canvas, as in training; a multiply-add counts two.
        gflop_boxes: GFLOP of the timed person; on a CPU each region is encoded on its bounding box.
    """

    machine: str
    options: Options
    threads: int
    torch: str
    size: str
    canvas: Canvas
    tokens: int
    repeats: int
    cpu_time: bool
    num_parameters: int
    gflop: float
    gflop_boxes: float
    timings: tuple[Timing, ...]


def measure_speed(
    config: ModelConfig,
    options: Options,
    *,
    batches: Sequence[int] = (1, 8),
    repeats: int = 5,
    cpu_time: bool = False,
) -> Speed:
    """Measure the speed of a generator with fresh weights on a synthetic person.

    Args:
        config: the networks and their canvas.
        options: options of the benchmark.
        batches: batch sizes to measure.
        repeats: number of passes of each kind, alternating; medians are returned.
        cpu_time: measure CPU seconds instead of wall-clock time; with one thread they depend less on other programs.

    Raises:
        ScmError: if the networks cannot be compiled here.
    """
    place, canvas = torch.device(options.device), config.canvas
    clock = time.process_time if cpu_time else time.perf_counter
    with threads_set(options.threads) as num_threads:
        net = built(config, options)
        all_passes = [Passes(net, config, options, batch) for batch in batches]
        plain = [_PlainConvolutions(convolutions_of(net, passes.first_pose), options) for passes in all_passes]
        gflop = count_gflop(net, config), _gflop(net, standing_person(config, 1, place), grad=False)
        if options.compiled:
            compile_parts(net)
        timings = [_time(passes, alone, repeats, clock) for passes, alone in zip(all_passes, plain, strict=True)]
        return Speed(
            machine=torch.cuda.get_device_name(place) if place.type == "cuda" else _cpu_name(),
            options=options,
            threads=num_threads,
            torch=torch.__version__,
            size=config.size,
            canvas=canvas,
            tokens=canvas.height * canvas.width // 64,
            repeats=repeats,
            cpu_time=cpu_time,
            num_parameters=sum(parameter.numel() for parameter in net.parameters()),
            gflop=gflop[0],
            gflop_boxes=gflop[1],
            timings=tuple(timings),
        )


def count_gflop(net: SCMNet, config: ModelConfig) -> float:
    """Return the GFLOP of one image with all eight regions on the whole canvas; a multiply-add counts two."""
    place, canvas = next(net.parameters()).device, config.canvas
    stripes = torch.arange(canvas.height, device=place) * NUM_REGIONS // canvas.height  # all regions are present
    labels = stripes[None, :, None].expand(1, -1, canvas.width)
    return _gflop(net, replace(standing_person(config, 1, place), masks=one_hot(labels)), grad=True)


class CountFlop(TorchFunctionMode):
    """Count the FLOP of convolutions, matrix products and attention; a multiply-add counts two.

    The count follows from the shapes of the calls. torch's FlopCounterMode counts kernels instead and misses attention
    kernels that it does not list; which kernel runs depends on device, CPU and torch version.

    Attributes:
        flop: FLOP of the forward passes so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flop = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the function and add its FLOP."""
        out = func(*args, **(kwargs or {}))
        if func is F.scaled_dot_product_attention:
            query, key, value = args[:3]
            pairs = math.prod(query.shape[:-1]) * key.shape[-2]
            self.flop += 2 * pairs * (query.shape[-1] + value.shape[-1])  # scores, and the weighted sum of values
        elif func is torch.conv2d:
            self.flop += 2 * out.numel() * math.prod(args[1].shape[1:])  # weight: (out, in / groups, height, width)
        elif func in (torch.matmul, Tensor.matmul, F.linear):
            self.flop += 2 * out.numel() * args[0].shape[-1]
        return out


def convolutions_of(net: nn.Module, run: Callable[[], object]) -> list[tuple[nn.Conv2d, torch.Size]]:
    """Return the convolutions that ``run`` calls, in order, with the shapes of their inputs."""
    called: list[tuple[nn.Conv2d, torch.Size]] = []

    def record(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if isinstance(module, nn.Conv2d):
            called.append((module, inputs[0].shape))

    hooks = [module.register_forward_pre_hook(record) for module in net.modules() if isinstance(module, nn.Conv2d)]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return called


def _time(passes: Passes, plain: _PlainConvolutions, repeats: int, clock: Callable[[], float]) -> Timing:
    calls: tuple[Callable[[], None], ...] = (passes.first_pose, plain, passes.further_pose)
    _warm_up(calls, compiled=passes.options.compiled)
    place = passes.person.image.device
    firsts, convolutions, furthers = zip(
        *[[_seconds(call, place, clock) for call in calls] for _ in range(repeats)], strict=True
    )
    # Ratios of consecutive passes: the machine's other load affects both alike.
    shares = [alone / whole for alone, whole in zip(convolutions, firsts, strict=True)]
    return Timing(
        batch=passes.batch,
        seconds_an_image=statistics.median(firsts) / passes.batch,
        seconds_a_further_pose=statistics.median(furthers) / passes.batch,
        share_of_convolutions=statistics.median(shares),
        convolution_gflops=plain.gflop / statistics.median(convolutions),
    )


def _warm_up(calls: Sequence[Callable[[], None]], *, compiled: bool) -> None:
    if not compiled:
        for call in calls:
            call()
        return
    from torch._dynamo.exc import BackendCompilerFailed

    try:
        for call in calls:
            call()
    except BackendCompilerFailed as error:
        reason = str(error.inner_exception).strip().splitlines()[0]
        raise ScmError(f"--compile: compilation failed ({reason}); it needs a C++ compiler such as g++") from error


class _PlainConvolutions:
    """The convolutions of a pass alone."""

    def __init__(self, called: list[tuple[nn.Conv2d, torch.Size]], options: Options) -> None:
        dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
        self.calls = []
        for module, shape in called:
            weight = module.weight.detach().to(dtype)
            bias = None if module.bias is None else module.bias.detach().to(dtype)
            given = torch.randn(shape, device=weight.device).to(dtype).contiguous(memory_format=options.memory_format)
            self.calls.append((given, weight, bias, module.stride, module.padding))
        with CountFlop() as counter:
            self()
        self.gflop = counter.flop / 1e9

    @torch.no_grad()
    def __call__(self) -> None:
        for given, weight, bias, stride, padding in self.calls:
            F.conv2d(given, weight, bias, stride, padding)


def _gflop(net: SCMNet, person: Standing, *, grad: bool) -> float:
    counter, warp = CountFlop(), person.warp(net)
    with torch.set_grad_enabled(grad), counter:
        net(person.maps, person.image, person.masks, warp)
    return counter.flop / 1e9


def _seconds(call: Callable[[], None], place: torch.device, clock: Callable[[], float]) -> float:
    if place.type == "cuda":
        torch.cuda.synchronize(place)
    start = clock()
    call()
    if place.type == "cuda":
        torch.cuda.synchronize(place)
    return clock() - start


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.machine()
