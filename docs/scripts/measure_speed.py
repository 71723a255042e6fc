"""Measure the comparisons of docs/speed.md: ``python docs/scripts/measure_speed.py [THREADS]``.

With one thread CPU seconds are counted, with more the clock's; the least of the repetitions is printed.
"""

import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scmnet_cli.config import ModelConfig
from scmnet_cli.models.build import build_generator
from scmnet_cli.models.layers import InstanceNorm
from scmnet_cli.regions import one_hot

REPEATS = 3
FORMATS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}

Norm = Callable[[InstanceNorm, Tensor], Tensor]


def group_norm(layer: InstanceNorm, features: Tensor) -> Tensor:
    """One channel a group."""
    return torch.group_norm(features, features.shape[1], layer.weight, layer.bias)


def torch_instance_norm(layer: InstanceNorm, features: Tensor) -> Tensor:
    """The one torch has."""
    return F.instance_norm(features, weight=layer.weight, bias=layer.bias)


def group_norm_of_a_copy(layer: InstanceNorm, features: Tensor) -> Tensor:
    """Group norm where its kernel is fast, at the price of two copies."""
    return group_norm(layer, features.contiguous()).contiguous(memory_format=torch.channels_last)


NORMS: dict[str, Norm] = {
    "ours": InstanceNorm.forward,
    "group norm": group_norm,
    "F.instance_norm": torch_instance_norm,
    "group norm of a contiguous copy": group_norm_of_a_copy,
}


def least(calls: dict[str, Callable[[], None]]) -> dict[str, float]:
    """Run the calls in turn, once to warm up, and return the least seconds of each."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(REPEATS + 1):
        for name, call in calls.items():
            start = clock()
            call()
            seconds[name].append(clock() - start)
    return {name: min(values[1:]) for name, values in seconds.items()}


def generator(size: str, height: int, width: int, memory: str) -> nn.Module:
    """Build a generator in a memory format."""
    torch.manual_seed(0)
    config = ModelConfig.model_validate({"size": size, "height": height, "width": width})
    return build_generator(config).to(memory_format=FORMATS[memory])


def person(batch: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return maps and an image of noise, and masks of a person of three boxes."""
    labels = torch.zeros(batch, height, width, dtype=torch.long)
    for region, (top, bottom) in {4: (1, 3), 5: (3, 8), 1: (8, 14)}.items():
        labels[:, top * height // 16 : bottom * height // 16, width * 5 // 16 : width * 11 // 16] = region
    return torch.rand(batch, 19, height, width), torch.rand(batch, 3, height, width) * 2 - 1, one_hot(labels)


def training_step(memory: str, norm: Norm, precision: str) -> Callable[[], None]:
    """Return a forward and a backward pass of the generator under a norm."""
    net, inputs = generator("small", 128, 88, memory), person(8, 128, 88)

    def step() -> None:
        InstanceNorm.forward = norm
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            image = net(*inputs).image
        (image.float() - inputs[1]).abs().mean().backward()
        net.zero_grad()

    return step


def style_encoding(precision: str, on_boxes: bool) -> Callable[[], None]:
    """Return the encoding of one person; with gradients asked for, and none needed, it takes the whole canvas."""
    encoder = generator("base", 256, 176, "channels-last").style_encoder.requires_grad_(False)
    _, image, masks = person(1, 256, 176)

    def encode() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"), torch.set_grad_enabled(not on_boxes):
            encoder(image, masks)

    return encode


def absolute_difference(reduction: str) -> Callable[[], None]:
    """Return an L1 of features and its gradient."""
    shape = (8, 64, 128, 88)
    a, b = (torch.randn(shape).bfloat16().contiguous(memory_format=torch.channels_last) for _ in range(2))
    a.requires_grad_()

    def difference() -> None:
        loss = F.l1_loss(a.relu().float(), b.float(), reduction=reduction)
        (loss / b.numel() if reduction == "sum" else loss).backward()
        a.grad = None

    return difference


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    steps = {
        f"{memory}, {name}, {precision}": training_step(memory, norm, precision)
        for memory in FORMATS
        for name, norm in NORMS.items()
        for precision in ("float32", "bf16")
        if memory == "channels-last" or name == "group norm"
    }
    encodings = {
        f"{precision}, {'boxes' if boxes else 'whole canvas'}": style_encoding(precision, boxes)
        for precision in ("float32", "bf16")
        for boxes in (False, True)
    }
    differences = {reduction: absolute_difference(reduction) for reduction in ("mean", "sum")}
    for title, calls in (
        ("training step of the generator, small, 128x88, batch 8", steps),
        ("style encoder, base, 256x176, batch 1", encodings),
        ("L1 of relu1_2, channels-last bf16, batch 8, forward and backward", differences),
    ):
        sys.stdout.write(f"{title}\n")
        for name, seconds in least(calls).items():
            sys.stdout.write(f"  {seconds:.3f} s  {name}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
