"""Peak memory and training speed, each measured in its own process.

The peak memory of a process never decreases, so each measurement starts a fresh one. The peak includes Python, torch
and this package; their share is reported separately.
"""

from __future__ import annotations

import itertools
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import torch

from scmnet_cli.bench.passes import Options, Passes, built
from scmnet_cli.config import Config, ModelConfig, TrainConfig
from scmnet_cli.errors import ScmError
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.sources.drawn import write_drawn_source
from scmnet_cli.sources.folder import FolderSource
from scmnet_cli.system.process import peak_memory, threads_set
from scmnet_cli.training.counted import Report
from scmnet_cli.training.loop import Run

_NUM_DRAWN = 20
_WARM_STEPS = 1

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Memory:
    """Peak memory of a process in MB (10^6 bytes).

    Attributes:
        imports: peak after importing Python, torch and this package.
        peak: peak of everything, imports included.
        device: peak of torch's GPU memory; 0 on a CPU.
    """

    imports: float
    peak: float
    device: float


@dataclass(frozen=True)
class Training:
    """Speed and memory of the training loop, with discriminators and all losses of the config.

    Attributes:
        cache: the config's ``data.cache``.
        batch: images per step.
        seconds_a_step: median time of a step.
        images_per_second: ``batch`` divided by that time.
        memory: peak memory of the process.
    """

    cache: str
    batch: int
    seconds_a_step: float
    images_per_second: float
    memory: Memory


def drawing_memory(config: ModelConfig, options: Options, batch: int) -> Memory:
    """Measure the memory of generating a batch of people with fresh weights, from joints to images.

    Raises:
        ScmError: if the process was killed, for example because memory ran out.
    """
    return _in_new_process(_draw, config, options, batch)


def training_speed(
    config: Config,
    options: Options,
    data: Path | None = None,
    *,
    steps: int = 3,
    cpu_time: bool = False,
    weights_dir: Path | None = None,
) -> Training:
    """Measure the speed of the training loop.

    Args:
        config: the config; all its losses are on from the first step.
        options: precision and memory format, which replace the config's.
        data: prepared folder; None to draw and prepare synthetic people.
        steps: number of timed steps after the warm-up.
        cpu_time: measure CPU seconds instead of wall-clock time.
        weights_dir: first folder to search for VGG weights.

    Raises:
        ScmError: if VGG weights or faces to train on are missing, the folder does not fit, or the process was killed.
    """
    if data is None and config.model.domain != "person":
        raise ScmError(
            f"--training: the synthetic data shows people, but model.domain is '{config.model.domain}'; give --data "
            "with a prepared folder of faces"
        )
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if data is None:
            data = place / "data"
            write_drawn_source(place / "people", _NUM_DRAWN)
            prepare(FolderSource(place / "people"), data, config.model.canvas, jobs=1)
        return _in_new_process(_train, config, options, data, place / "run", steps, cpu_time, weights_dir)


def _in_new_process(function: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(function, *args, **kwargs).result()
        except BrokenProcessPool as error:
            raise ScmError(
                "the measuring process was killed, probably because memory ran out; use a smaller --batch or canvas"
            ) from error


def _draw(config: ModelConfig, options: Options, batch: int) -> Memory:
    imports = peak_memory()
    with threads_set(options.threads):
        Passes(built(config, options), config, options, batch).draw()
    return Memory(imports, peak_memory(), _device_peak(options))


def _train(
    config: Config, options: Options, data: Path, run: Path, steps: int, cpu_time: bool, weights_dir: Path | None
) -> Training:
    imports = peak_memory()
    num_steps = _WARM_STEPS + steps + 1  # the last step also validates and is not timed
    train: dict[str, Any] = config.train.model_dump() | {
        "images": config.train.batch * num_steps,
        "precision": options.precision,
        "channels_last": options.channels_last,
        "vgg_losses_from": 0,
        "discriminators_from": 0,
        "num_samples": 1,
        **dict.fromkeys(("log_every", "save_every", "sample_every"), config.train.batch * (num_steps + 1)),
    }
    shortened = config.model_copy(update={"train": TrainConfig.model_validate(train)})
    clock = time.process_time if cpu_time else time.perf_counter
    ends: list[float] = []

    def record(_: Report) -> None:
        if options.device != "cpu":
            torch.cuda.synchronize()
        ends.append(clock())

    with threads_set(options.threads):
        Run(data, run, shortened, device=options.device, weights_dir=weights_dir).train(record)
    timed = ends[_WARM_STEPS - 1 : -1]
    seconds = statistics.median(after - before for before, after in itertools.pairwise(timed))
    batch = config.train.batch
    memory = Memory(imports, peak_memory(), _device_peak(options))
    return Training(config.data.cache, batch, seconds, batch / seconds, memory)


def _device_peak(options: Options) -> float:
    return 0.0 if options.device == "cpu" else torch.cuda.max_memory_allocated() / 1e6
