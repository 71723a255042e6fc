"""Measure what share of a training step the data takes: ``python docs/scripts/measure_stream.py [CONFIG] [SIZE ...]``.

By default the shipped config ``person`` at 128x88 and 256x176, on drawn people. The VGG losses take part if their
weights are found (SCM_WEIGHTS). One thread, CPU seconds, the least of two; ``--profile`` also prints where the data's
time goes.
"""

import cProfile
import pstats
import sys
import tempfile
import time
from pathlib import Path

import torch

from scmnet_cli.config import load_config
from scmnet_cli.errors import ScmError
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.sources.drawn import write_drawn_source
from scmnet_cli.sources.folder import FolderSource
from scmnet_cli.training.loop import Run
from scmnet_cli.training.objective import Inputs
from scmnet_cli.types import Canvas

REPEATS = 2
WITHOUT_VGG = ("loss.perceptual=0", "loss.style=0", "loss.bsr=0")


def opened(data: Path, run: Path, config: str, canvas: Canvas) -> tuple[Run, bool]:
    """Return a run, with the VGG losses if there are weights, and whether there are."""
    settings = (f"model.height={canvas.height}", f"model.width={canvas.width}")
    try:
        return Run(data, run, load_config(config, settings), device="cpu"), True
    except ScmError:
        return Run(data, run, load_config(config, (*settings, *WITHOUT_VGG)), device="cpu"), False


def measure(config: str, canvas: Canvas, folder: Path, *, profile: bool) -> None:
    """Print CPU seconds of the data, of the part warp and maps of a step, and of the whole step."""
    data = folder / f"data-{canvas}"
    prepare(FolderSource(folder / "people"), data, canvas, jobs=1)
    run, with_vgg = opened(data, folder / f"run-{canvas}", config, canvas)
    batch, warps = run.config.train.batch, run.config.model.part_warp
    batches: list[float] = []
    inputs: list[float] = []
    steps: list[float] = []
    for step in range(REPEATS + 1):
        start = time.process_time()
        given = run.stream.batch(step * batch, batch)
        batches.append(time.process_time() - start)
        start = time.process_time()
        Inputs.of(given, part_warp=warps)
        inputs.append(time.process_time() - start)
        start = time.process_time()
        run._step(run.generator_pass, None)  # noqa: SLF001 - what train() repeats
        run.images += batch
        steps.append(time.process_time() - start)
    data_s, inputs_s, step_s = min(batches[1:]), min(inputs[1:]), min(steps[1:])
    vgg = "with VGG" if with_vgg else "without VGG"
    sys.stdout.write(
        f"{canvas}, batch {batch}: data {data_s:.3f} s, maps and warp {inputs_s:.3f} s, step {step_s:.3f} s ({vgg}): "
        f"data {data_s / step_s:.0%} of a step, with maps and warp {(data_s + inputs_s) / step_s:.0%}\n"
    )
    if profile:
        profiler = cProfile.Profile()
        profiler.enable()
        run.stream.batch(0, batch)
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(18)


def main() -> None:
    """Measure every size."""
    options = [option for option in sys.argv[1:] if option != "--profile"]
    config, *sizes = options or ["person"]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_drawn_source(folder / "people", 24)
        for size in sizes or ["128x88", "256x176"]:
            height, width = map(int, size.split("x"))
            measure(config, Canvas(height, width), folder, profile="--profile" in sys.argv)


if __name__ == "__main__":
    main()
