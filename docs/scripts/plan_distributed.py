"""What a training step of a config computes, keeps and sends, counted rather than timed: the numbers of distributed.md.

    python docs/scripts/plan_distributed.py [CONFIG]

Runs one forward and backward pass of one drawn person on the CPU, in the config's precision; VGG's weights are zeros.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from scmnet_cli.config import load_config
from scmnet_cli.data.dataset import PeopleInMemory, TrainingStream
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.models.build import build_discriminators, build_generator
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.sources.drawn import write_drawn_source
from scmnet_cli.sources.folder import FolderSource
from scmnet_cli.training.objective import (
    GeneratorObjective,
    GeneratorPass,
    Inputs,
    discriminator_terms,
)
from scmnet_cli.weights import backbone_shapes

MB = 1e6


def count(network: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def say(line: str) -> None:
    """Write a line."""
    sys.stdout.write(line + "\n")


class Kept:
    """Bytes of everything that autograd keeps for the backward pass, beside weights."""

    def __init__(self, *networks: nn.Module) -> None:
        self.known = {p.untyped_storage().data_ptr() for network in networks for p in network.parameters()}
        self.bytes = 0
        self.alive: list[Tensor] = []  # so that no storage is freed and its address used again

    def __call__(self, tensor: Tensor) -> Tensor:
        """Count a tensor that is kept, once."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.known:
            self.known.add(storage.data_ptr())
            self.bytes += storage.nbytes()
            self.alive.append(tensor.detach())
        return tensor


def main() -> None:
    """Count, and say."""
    config = load_config(sys.argv[1] if len(sys.argv) > 1 else "deepfashion")
    canvas = config.model.canvas
    generator, discriminators = build_generator(config.model), build_discriminators(config.model)
    with tempfile.TemporaryDirectory() as folder:
        zeros = {key: torch.zeros(shape) for key, shape in backbone_shapes(config.loss.vgg).items()}
        torch.save(zeros, Path(folder) / f"{config.loss.vgg}-features-fp16.pth")
        objective = GeneratorObjective(config, Path(folder), torch.device("cpu"))

    sizes = {"generator": count(generator), "discriminators": count(discriminators)}
    for name, size in sizes.items():
        say(f"{name}: {size / 1e6:.2f} M parameters; gradients {4 * size / MB:.1f} MB a step")
    vgg = count(objective.vgg) if objective.vgg else 0
    # weight, gradient, its copy in the buckets that are sent, two Adam moments; the average of the generator; VGG
    states = 4 * (6 * sizes["generator"] + 5 * sizes["discriminators"] + vgg)
    say(f"{config.loss.vgg}: {vgg / 1e6:.2f} M; weights, gradients, buckets, Adam, average: {states / MB:.0f} MB a GPU")

    with tempfile.TemporaryDirectory() as folder:
        write_drawn_source(Path(folder) / "source", 2)
        prepare(FolderSource(Path(folder) / "source"), Path(folder) / "data", canvas)
        data = PreparedFolder(Path(folder) / "data")
        people = PeopleInMemory(data, data.names(), canvas, torch.device("cpu"))
    inputs = Inputs.of(TrainingStream(people, config.data, 0).batch(0, 1), part_warp=config.model.part_warp)

    bf16 = torch.autocast("cpu", dtype=torch.bfloat16, enabled=config.train.precision == "bf16")
    networks = [generator, discriminators, *([objective.vgg] if objective.vgg else [])]
    kept, of_discriminators = Kept(*networks), Kept(*networks)
    # The math backend is made of matrix products; torch does not count every fused attention kernel.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as flops:
        with bf16, torch.autograd.graph.saved_tensors_hooks(kept, lambda tensor: tensor):
            drawn = GeneratorPass(generator)(inputs)
            discriminators.requires_grad_(False)
            total = objective.total(objective(drawn, inputs, discriminators(drawn.image, inputs.maps)))
        total.backward()  # type: ignore[no-untyped-call]
        discriminators.requires_grad_(True)
        with bf16, torch.autograd.graph.saved_tensors_hooks(of_discriminators, lambda tensor: tensor):
            terms = discriminator_terms(discriminators, config.loss.gan, drawn.image, inputs)
        sum(terms.values(), torch.tensor(0.0)).backward()  # type: ignore[no-untyped-call]
    say(f"a training image at {canvas}, {config.train.precision}: {flops.get_total_flops() / 1e9:.0f} GFLOP")
    say(
        f"kept for the backward pass of an image: {kept.bytes / MB:.0f} MB; "
        f"in the discriminators' step {of_discriminators.bytes / MB:.0f} MB"
    )

    people_bytes = canvas.height * canvas.width * 4
    say(f"a person in the cache: {people_bytes / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
