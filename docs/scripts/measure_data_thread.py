"""Measure training with the next batch prepared on a second thread: ``python docs/scripts/measure_data_thread.py``.

Steps of ``person`` at 256x176 in bf16 on two threads, in turns: data before the step on both threads, and data of the
next step on a thread of its own meanwhile. Seconds by the clock, least and median. The VGG losses need their weights
(SCM_WEIGHTS). With ``OMP_WAIT_POLICY=passive`` threads that wait leave their core to others.
"""

import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from scmnet_cli.config import load_config
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.sources.drawn import write_drawn_source
from scmnet_cli.sources.folder import FolderSource
from scmnet_cli.system.process import freed_memory_kept
from scmnet_cli.training.loop import Run
from scmnet_cli.training.objective import Inputs

ROUNDS = 4
LOWER = 5
"""Of the thread's priority, in the last rows."""


def inputs_of(run: Run, lower: int = 0) -> Inputs:
    """Prepare the next batch, at a lower priority on Linux, where each thread has its own."""
    if lower:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, os.getpid()) + lower)
    return Inputs.of(run.stream.batch(run.images, run.config.train.batch), part_warp=True)


def train_on(run: Run, inputs: Inputs) -> None:
    """Do the rest of a step."""
    run.optimizers["generator"].zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16):
        output = run.generator_pass(inputs)
        terms = run.objective(output, inputs, None, band=run._band())  # noqa: SLF001 - what train() repeats
        total = run.objective.total(terms)
    total.backward()
    run._optimizer_step("generator")  # noqa: SLF001
    run.images += run.config.train.batch


def seconds(act: Callable[[], object]) -> float:
    """Return how long it takes."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(2)
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, freed_memory_kept():
        config = load_config("person")
        write_drawn_source(Path(folder) / "people", 24)
        prepare(FolderSource(Path(folder) / "people"), Path(folder) / "data", config.model.canvas, jobs=1)
        run = Run(Path(folder) / "data", Path(folder) / "run", config, device="cpu")
        train_on(run, inputs_of(run))
        with ThreadPoolExecutor(1, initializer=lambda: torch.set_num_threads(1)) as pool:
            for _ in range(ROUNDS):
                times.setdefault("before the step", []).append(seconds(lambda: train_on(run, inputs_of(run))))
                for lower in (0, LOWER):
                    inputs = inputs_of(run)
                    coming = pool.submit(inputs_of, run, lower)
                    took = seconds(lambda: (train_on(run, inputs), coming.result()))  # noqa: B023 - called at once
                    times.setdefault(f"meanwhile, priority lower by {lower}", []).append(took)
    for name, found in times.items():
        sys.stdout.write(f"data {name}: {min(found):.2f} s a step, median {statistics.median(found):.2f}\n")


if __name__ == "__main__":
    main()
