"""``scm bench``: how fast a model is on this machine."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Precision(StrEnum):
    """Arithmetic of the networks."""

    float32 = "float32"
    bf16 = "bf16"


def bench(
    config: Annotated[
        str, typer.Option("-c", "--config", help="Name of a shipped config, or a YAML file; its model is timed.")
    ] = "ccp",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one field of the config; repeatable.")
    ] = None,
    batch: Annotated[list[int] | None, typer.Option("--batch", min=1, help="Images in a pass; repeatable.")] = None,
    precision: Annotated[Precision, typer.Option("--precision", help="float32, or bf16 as in training.")] = (
        Precision.float32
    ),
    channels_last: Annotated[
        bool, typer.Option("--channels-last/--contiguous", help="Memory format of the networks.")
    ] = True,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads; default: all cores.")] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")] = "cpu",
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Passes of each kind; medians are shown.")] = 7,
    cpu_time: Annotated[
        bool, typer.Option("--cpu-time", help="Count CPU seconds, with --threads 1, on a machine that does other work.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the numbers to this file too.")] = None,
) -> None:
    r"""Time the generator on a drawn person, beside its convolutions alone.

    The share of plain convolutions is the time these take alone, by the time of the whole pass, in the same run.

    \b
    Examples:
      scm bench --threads 2
      scm bench -c cpu --batch 8 --precision bf16 --json speed.json
      scm bench --threads 1 --cpu-time
    """
    from scmnet_cli.config import load_config

    model = load_config(config, settings or []).model

    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Table

    from scmnet_cli.data.prepared import write_text
    from scmnet_cli.evaluation.bench import measure_speed
    from scmnet_cli.pipeline import choose_device

    speed = measure_speed(
        model,
        batches=batch or [1, 8],
        precision=precision.value,
        channels_last=channels_last,
        threads=threads,
        device=str(choose_device(device)),
        repeats=repeats,
        cpu_time=cpu_time,
    )
    memory = "channels-last" if speed.channels_last else "contiguous"
    seconds = " in CPU seconds" if speed.cpu_time else ""
    print(f"{speed.machine}; {speed.device}, {speed.threads} threads; torch {speed.torch}")
    print(f"{speed.size} at {speed.canvas}, {speed.precision}, {memory}; medians of {speed.repeats}{seconds}")
    print(
        f"{speed.num_parameters / 1e6:.1f} M parameters; GFLOP an image: {speed.gflop:.1f} with all regions on the "
        f"whole canvas, {speed.gflop_boxes:.1f} as timed"
    )
    table = Table("batch", "s an image", "s a further pose", "of plain convs", "their GFLOP/s")
    for timing in speed.timings:
        table.add_row(
            str(timing.batch),
            f"{timing.seconds_an_image:.3f}",
            f"{timing.seconds_a_further_pose:.3f}",
            f"{timing.share_of_convolutions:.0%}",
            f"{timing.convolution_gflops:.0f}",
        )
    Console().print(table)
    if json_file is not None:
        write_text(json_file, json.dumps(asdict(speed), indent=2) + "\n")
