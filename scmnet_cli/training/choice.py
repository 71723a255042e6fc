"""Choose the shipped config that fits a prepared folder and a machine."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from scmnet_cli.config import load_config
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.types import Canvas

SHIPPED_WEIGHTS = "person"
"""The config of the person model that ships."""

_FIXED, _WORKSPACE = 0.8e9, 1.5e9
"""GPU memory in bytes of weights, optimisers and losses, and of the convolutions' workspace (docs/distributed.md)."""

_PER_PIXEL = 0.33e9 / (256 * 176)
"""Activation memory of the base networks in bf16, in bytes per pixel of an image (docs/distributed.md)."""

_LEAST_IMAGES = 4
"""Least batch size for batch normalisation."""

_ROUNDS, _CLEARLY = 5, 0.75
"""Measurements of each precision, the first of which warm up, and the least gain for which bf16 is chosen."""

_WITH_GPU = {"person": ("ccp", "deepfashion", "market", "cpu"), "face": ("faces", "faces-cpu")}
_WITHOUT = {"person": ("cpu", "market"), "face": ("faces-cpu",)}


@dataclass(frozen=True)
class ChosenConfig:
    """A shipped config, changed settings, and the reason for the choice as text."""

    name: str
    settings: tuple[str, ...]
    reason: str


def choose_config(
    data: Path, device: torch.device, *, from_shipped: bool = False, num_processes: int = 1
) -> ChosenConfig:
    """Return the config for a prepared folder on a device.

    On a GPU, the large networks are chosen. If they do not fit into its free memory, each batch is split into parts
    (gradient accumulation). If that is not enough, the small networks are chosen, as on a CPU. On a CPU that computes
    clearly faster in bfloat16, as a short measurement shows, the precision is bf16; several processes might measure
    differently, so they keep float32.

    Args:
        data: the prepared folder; its domain and canvas determine the candidates.
        device: device of the training.
        from_shipped: start from the shipped weights, which need their own config.
        num_processes: number of processes that share a batch, one GPU each.

    Raises:
        ScmError: if the folder cannot be read, or no shipped config has the shape of its canvas.
    """
    folder = PreparedFolder(data)
    domain, canvas = folder.domain.name, folder.manifest.canvas
    what = f"{folder.domain.members} at {canvas}"
    if from_shipped:
        keep = folder.manifest.background != "plain"
        settings: tuple[str, ...] = ("model.foreground=false",) if keep else ()
        reduced, why = _precision(device, num_processes)
        return ChosenConfig(SHIPPED_WEIGHTS, settings + reduced, f"the networks of the weights that ship{why}")
    if device.type == "cuda" and (name := _of_shape(_WITH_GPU[domain], canvas)):
        free = torch.cuda.mem_get_info(device)[0]
        parts = parts_that_fit(name, free, num_processes)
        if parts:
            settings = (f"train.accumulate={parts}",) if parts > 1 else ()
            cut = f", each batch in {parts} parts" if parts > 1 else ""
            return ChosenConfig(name, settings, f"{what}, a GPU with {free / 1e9:.0f} GB free{cut}")
        what = f"{what}, a GPU with only {free / 1e9:.1f} GB free"
    name = _of_shape(_WITHOUT[domain], canvas)
    if not name:
        raise ScmError(
            f"{data}: no shipped config for this machine has the shape of its {canvas}; name one with -c, such as "
            f"-c cpu --set model.height={canvas.height} --set model.width={canvas.width}"
        )
    reduced, why = _precision(device, num_processes)
    return ChosenConfig(name, reduced, f"{what}{'' if device.type == 'cuda' else ', no GPU'}{why}")


def _precision(device: torch.device, num_processes: int) -> tuple[tuple[str, ...], str]:
    """Return the setting of the precision for a device, and the reason as text; both empty for float32."""
    if device.type != "cpu" or num_processes > 1 or not bfloat16_pays():
        return (), ""
    return ("train.precision=bf16",), ", a CPU that is faster in bfloat16"


def bfloat16_pays() -> bool:
    """Return whether a convolution and its gradients take clearly less time in bfloat16 than in float32 on this CPU.

    The time of the processor counts, since that of the clock depends on what else the machine does. Where its steps are
    coarse, as on Windows, the answer is no.
    """
    layer = nn.Conv2d(64, 64, 3, padding=1).to(memory_format=torch.channels_last)
    features = torch.ones(2, 64, 64, 44).to(memory_format=torch.channels_last).requires_grad_()
    least = [math.inf, math.inf]  # in float32 and in bfloat16
    for turn in range(2 * _ROUNDS):
        start = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=turn % 2 == 1):
            out = layer(features)
        out.float().sum().backward()
        least[turn % 2] = min(least[turn % 2], time.process_time() - start)
    return least[1] < _CLEARLY * least[0]


def _of_shape(names: tuple[str, ...], canvas: Canvas) -> str:
    """Return the first config whose canvas has this shape and is not larger; empty if there is none."""
    for name in names:
        own = load_config(name).model.canvas
        if own.has_shape_of(canvas) and own.height <= canvas.height:
            return name
    return ""


def parts_that_fit(name: str, free: float, num_processes: int = 1) -> int:
    """Return the number of parts that a batch must be split into to fit into the free memory; 0 if none is enough."""
    config = load_config(name)
    per_image = _PER_PIXEL * config.model.height * config.model.width
    share = config.train.batch // num_processes
    for parts in range(1, share + 1):
        images = share // parts
        if share % parts or images < min(_LEAST_IMAGES, share):
            continue
        if _FIXED + _WORKSPACE + images * per_image <= free:
            return parts
    return 0
