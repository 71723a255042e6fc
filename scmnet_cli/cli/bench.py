"""``scm bench``: measure the speed and memory of a model on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scmnet_cli.cli.commands import with_help
from scmnet_cli.cli.completion import complete_configs
from scmnet_cli.cli.console import note
from scmnet_cli.cli.grouping import grouped
from scmnet_cli.cli.results import AsJson, show

if TYPE_CHECKING:
    from scmnet_cli.bench.footprint import Memory, Training
    from scmnet_cli.bench.passes import Options
    from scmnet_cli.bench.speed import Speed
    from scmnet_cli.config import Config


class Precision(StrEnum):
    """Floating-point precision of the networks."""

    float32 = "float32"
    bf16 = "bf16"


class Cache(StrEnum):
    """Where training caches decoded images."""

    ram = "ram"
    device = "device"
    none = "none"


@dataclass(frozen=True)
class NetworkOptions:
    """Options of running the networks."""

    precision: Annotated[Precision, typer.Option("--precision", help="float32, or bf16 as in training.")] = (
        Precision.float32
    )
    channels_last: Annotated[
        bool, typer.Option("--channels-last/--contiguous", help="Memory format of the networks.")
    ] = True
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the networks; needs a C++ compiler.")] = False
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads [default: all cores].")] = None
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")] = "cpu"


@dataclass(frozen=True)
class TrainingOptions:
    """Options of timing training."""

    training: Annotated[
        bool, typer.Option("--training", help="Also time training steps of the config, with and without cache.")
    ] = False
    caches: Annotated[
        list[Cache] | None,
        typer.Option("--cache", help="Where training caches images; repeatable [default: ram and none]."),
    ] = None
    steps: Annotated[int, typer.Option("--steps", min=1, help="Number of training steps to time.")] = 3
    data: Annotated[
        Path | None, typer.Option("--data", help="Prepared folder to train on [default: synthetic people].")
    ] = None
    weights_dir: Annotated[
        Path | None, typer.Option("--weights-dir", help="Folder of VGG weights for training; also $SCM_WEIGHTS.")
    ] = None


@dataclass(frozen=True)
class TimingOptions:
    """Options of the measurement."""

    batch: Annotated[
        list[int] | None, typer.Option("--batch", min=1, max=4096, help="Batch size; repeatable [default: 1 and 8].")
    ] = None
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare all options in one table; compiling takes another minute.")
    ] = False
    memory: Annotated[bool, typer.Option("--memory/--no-memory", help="Measure peak memory.")] = True
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Passes of each kind; the median is shown.")] = 5
    cpu_time: Annotated[
        bool,
        typer.Option("--cpu-time", help="Measure CPU time instead of wall time, for busy machines; with --threads 1."),
    ] = False


_HELP = """Time the generator on a synthetic person, and its convolutions alone.

The share of plain convolutions is the time that these take alone,
divided by the time of the whole pass, in the same run. Peak memory is
that of a separate process that draws one batch, including Python and
torch.

\b
Examples:
  scm bench --threads 2
  scm bench -c cpu --batch 8 --precision bf16 -o speed.json
  scm bench --set model.height=1024 --set model.width=704 --batch 1
  scm bench --compare --batch 1
  scm bench -c cpu --training --batch 1
  scm bench --threads 1 --cpu-time
"""


@grouped
@with_help(_HELP)
def bench(
    timing: TimingOptions,
    networks: NetworkOptions,
    trained: TrainingOptions,
    config: Annotated[
        str,
        typer.Option(
            "-c",
            "--config",
            autocompletion=complete_configs,
            help="Config of the model to time: name of a shipped config, or a YAML file.",
        ),
    ] = "ccp",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one field of the config; repeatable.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="Also write the numbers as JSON to this file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Time the generator on a synthetic person, and its convolutions alone."""
    from scmnet_cli.config import load_config

    loaded = load_config(config, settings or [])

    from dataclasses import asdict

    from scmnet_cli.bench.footprint import drawing_memory
    from scmnet_cli.bench.passes import Options
    from scmnet_cli.bench.speed import measure_speed
    from scmnet_cli.files import write_text
    from scmnet_cli.system.devices import choose_device

    chosen = Options(
        networks.precision.value,
        networks.channels_last,
        networks.compiled,
        networks.threads,
        str(choose_device(networks.device)),
    )
    batches = timing.batch or [1, 8]
    measured = []
    for options in _variants(chosen) if timing.compare else [chosen]:
        note(f"timing {options}")
        speed = measure_speed(loaded.model, options, batches=batches, repeats=timing.repeats, cpu_time=timing.cpu_time)
        peaks = [drawing_memory(loaded.model, options, size) for size in batches] if timing.memory else []
        measured.append((speed, peaks, _time_training(loaded, options, trained, cpu_time=timing.cpu_time)))
    document = {
        "runs": [
            {**asdict(speed), "memory": [asdict(peak) for peak in peaks], "training": [asdict(run) for run in runs]}
            for speed, peaks, runs in measured
        ]
    }
    if out is not None:
        write_text(out, json.dumps(document, indent=2) + "\n")
    if as_json:
        show([], document, as_json=True)
    else:
        _print(measured)


def _time_training(config: Config, options: Options, wanted: TrainingOptions, *, cpu_time: bool) -> list[Training]:
    from scmnet_cli.bench.footprint import training_speed

    found: list[Training] = []
    if not wanted.training or options.compiled:  # scm train does not compile
        return found
    for cache in wanted.caches or [Cache.ram, Cache.none]:
        note(f"training {options}, cache {cache}")
        kept = config.model_copy(update={"data": config.data.model_copy(update={"cache": cache.value})})
        found.append(
            training_speed(
                kept, options, wanted.data, steps=wanted.steps, cpu_time=cpu_time, weights_dir=wanted.weights_dir
            )
        )
    return found


def _variants(chosen: Options) -> list[Options]:
    """Return the variants to compare: options switched on one after the other, then compilation in both precisions."""
    from dataclasses import replace

    plain = replace(chosen, precision="float32", channels_last=False, compiled=False)
    last = replace(plain, channels_last=True)
    half = replace(last, precision="bf16")
    return [plain, last, half, replace(last, compiled=True), replace(half, compiled=True)]


def _print(measured: Sequence[tuple[Speed, list[Memory], list[Training]]]) -> None:
    from rich.console import Console
    from rich.table import Table

    speed = measured[0][0]
    seconds = " in CPU seconds" if speed.cpu_time else ""
    print(f"{speed.machine}; {speed.options.device}, {speed.threads} threads; torch {speed.torch}")
    print(f"{speed.size} at {speed.canvas}, {speed.tokens} tokens; medians of {speed.repeats}{seconds}")
    print(
        f"{speed.num_parameters / 1e6:.1f} M parameters; GFLOP per image: {speed.gflop:.1f} with all regions on the "
        f"whole canvas, {speed.gflop_boxes:.1f} as timed"
    )
    console = Console(width=None if sys.stdout.isatty() else 120)
    table = Table("options", "batch", "s/image", "s/further pose", "share of plain convs", "their GFLOP/s", "peak MB")
    for speed, peaks, _ in measured:
        for place, timing in enumerate(speed.timings):
            table.add_row(
                str(speed.options),
                str(timing.batch),
                f"{timing.seconds_an_image:.3f}",
                f"{timing.seconds_a_further_pose:.3f}",
                f"{timing.share_of_convolutions:.0%}",
                f"{timing.convolution_gflops:.0f}",
                f"{peaks[place].peak:.0f}" if peaks else "-",
            )
    console.print(table)
    if measured[0][1]:
        print(f"{measured[0][1][0].imports:.0f} MB of the peak are Python and torch before the model is built")
    if not any(trained for _, _, trained in measured):
        return
    table = Table("training", "cache", "batch", "s/step", "images/s", "peak MB")
    for speed, _, trained in measured:
        for run in trained:
            table.add_row(
                str(speed.options),
                run.cache,
                str(run.batch),
                f"{run.seconds_a_step:.3f}",
                f"{run.images_per_second:.2f}",
                f"{run.memory.peak:.0f}",
            )
    console.print(table)
