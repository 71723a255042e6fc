"""Peak memory and training speed, each measured in a process of its own.

A process remembers the most memory it ever held, whatever held it: so each measurement starts a fresh one. What that
holds before anything is built, Python, torch and this package, is part of the peak and named beside it.
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
    """The most memory that a process held, in MB of 10^6 bytes.

    Attributes:
        imports: Python, torch and this package alone.
        peak: with them, everything.
        device: the most that torch took of a GPU; 0 on a CPU.
    """

    imports: float
    peak: float
    device: float


@dataclass(frozen=True)
class Training:
    """Steps of the training loop, discriminators and all losses of the config included.

    Attributes:
        cache: where decoded pictures are kept, ``data.cache``.
        batch: images a step.
        seconds_a_step: median.
        images_per_second: ``batch`` by that.
        memory: of the whole process, at its most.
    """

    cache: str
    batch: int
    seconds_a_step: float
    images_per_second: float
    memory: Memory


def drawing_memory(config: ModelConfig, options: Options, batch: int) -> Memory:
    """Return the memory of drawing a batch of people with fresh weights: pose maps, both encoders, field and picture.

    Raises:
        ScmError: if the process was killed, as for want of memory.
    """
    return _apart(_draw, config, options, batch)


def training_speed(
    config: Config,
    options: Options,
    data: Path | None = None,
    *,
    steps: int = 3,
    cpu_time: bool = False,
    weights_dir: Path | None = None,
) -> Training:
    """Return how fast the training loop is.

    Args:
        config: what is trained; its losses from the first step on.
        options: precision and memory format take the place of the config's.
        data: prepared folder; None: people drawn and prepared for this.
        steps: steps that are timed, after some to warm up.
        cpu_time: count CPU seconds instead of the clock's.
        weights_dir: where VGG weights are looked for first.

    Raises:
        ScmError: if VGG weights are missing, the folder does not fit, or the process was killed.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if data is None:
            data = place / "data"
            write_drawn_source(place / "people", _NUM_DRAWN)
            prepare(FolderSource(place / "people"), data, config.model.canvas, jobs=1)
        return _apart(_train, config, options, data, place / "run", steps, cpu_time, weights_dir)


def _apart(function: Callable[Arguments, Answer], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(function, *args, **kwargs).result()
        except BrokenProcessPool as error:
            raise ScmError(
                "the measuring process was killed, probably for want of memory; take a smaller --batch or canvas"
            ) from error


def _draw(config: ModelConfig, options: Options, batch: int) -> Memory:
    imports = peak_memory()
    with threads_set(options.threads):
        Passes(built(config, options), config.canvas, options, batch).draw()
    return Memory(imports, peak_memory(), _device_peak(options))


def _train(
    config: Config, options: Options, data: Path, run: Path, steps: int, cpu_time: bool, weights_dir: Path | None
) -> Training:
    imports = peak_memory()
    num_steps = _WARM_STEPS + steps + 1  # the last one looks at samples too and is not timed
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

    def note(_: Report) -> None:
        if options.device != "cpu":
            torch.cuda.synchronize()
        ends.append(clock())

    with threads_set(options.threads):
        Run(data, run, shortened, device=options.device, weights_dir=weights_dir).train(note)
    timed = ends[_WARM_STEPS - 1 : -1]
    seconds = statistics.median(after - before for before, after in itertools.pairwise(timed))
    batch = config.train.batch
    memory = Memory(imports, peak_memory(), _device_peak(options))
    return Training(config.data.cache, batch, seconds, batch / seconds, memory)


def _device_peak(options: Options) -> float:
    return 0.0 if options.device == "cpu" else torch.cuda.max_memory_allocated() / 1e6
