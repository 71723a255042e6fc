"""``scm train``: train on a prepared folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scmnet_cli.cli.commands import with_help
from scmnet_cli.cli.completion import complete_configs
from scmnet_cli.cli.console import is_quiet, note, warn
from scmnet_cli.cli.grouping import grouped
from scmnet_cli.cli.results import AsJson, show
from scmnet_cli.errors import ScmError

if TYPE_CHECKING:
    from scmnet_cli.config import Config
    from scmnet_cli.training.counted import Plan, Report
    from scmnet_cli.training.loop import Run

_SHIPPED = "shipped"
_LONG = 2 * 24 * 3600.0

_LOSSES = {
    "reconstruction": "L1",
    "perceptual": "perceptual",
    "style": "style",
    "adversarial": "GAN",
    "region_accuracy": "regions",
}
"""Statistics beside the progress bar: name in the run, and name on screen."""


@dataclass(frozen=True)
class RunOptions:
    """Options of starting and resuming a run."""

    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**63 - 1, help="Seed of weights, order and augmentation.")
    ] = 0
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")] = "auto"
    weights_dir: Annotated[
        Path | None, typer.Option("--weights-dir", help="Folder of VGG weights; also $SCM_WEIGHTS.")
    ] = None
    init: Annotated[
        Path | None,
        typer.Option(
            "--init", metavar="MODEL", help="Start from the weights of this model; `shipped`: the package's model."
        ),
    ] = None
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Resume even if config, seed or people changed.")
    ] = False


@dataclass(frozen=True)
class ConfigOptions:
    """Options of the config and the length of training."""

    config: Annotated[
        str | None,
        typer.Option(
            "-c",
            "--config",
            autocompletion=complete_configs,
            help="Name of a shipped config, or a YAML file [default: that of the unfinished run, else one that fits "
            "data and machine].",
        ),
    ] = None
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one field of the config; repeatable.")
    ] = None
    images: Annotated[
        int | None,
        typer.Option("--images", min=1, metavar="N", help="Train on N images; short form of --set train.images=N."),
    ] = None


@dataclass(frozen=True)
class ClockOptions:
    """Options of a time limit and of snapshots."""

    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes", min=0.01, metavar="N", help="Save and stop after N minutes; the same command resumes."
        ),
    ] = None
    snapshots: Annotated[
        Path | None,
        typer.Option("--snapshots", metavar="FOLDER", help="Write the EMA weights here every minute, as float16."),
    ] = None


_HELP = """Train on the train split of a prepared folder; the val split is for validation only.

Without -c it chooses the config that fits the data and this machine, and
prints which one and why. Before training it times a few steps and prints
the estimated time.

Ctrl-C or SIGTERM saves and stops; the same command resumes, also after kill -9.

Under torchrun, N processes share each batch, with one GPU each (docs/distributed.md).

\b
Examples:
  scm train data/mine -o runs/mine
  scm train data/mine -o runs/mine --dry-run
  scm train data/mine -o runs/fine --init shipped --images 4000
  scm train data/mine -o runs/short -c person --minutes 12 --snapshots snaps
  scm train data/ccp -o runs/try -c cpu --images 2000 --set loss.bsr=0
  scm train data/ccp -o runs/fine -c ccp --init runs/ccp
  torchrun --nproc-per-node 4 -m scmnet_cli train data/ccp -o runs/ccp -c ccp
"""


@grouped
@with_help(_HELP)
def train(
    data: Annotated[Path, typer.Argument(help="Prepared folder, the output of `scm preprocess`.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Run folder; an unfinished run in it is resumed.")],
    options: RunOptions,
    chosen: ConfigOptions,
    clock: ClockOptions,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Load everything, print the plan and the estimated time, and stop."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train on the train split of a prepared folder; the val split is for validation only."""
    from rich.progress import TextColumn, TimeElapsedColumn

    from scmnet_cli.cli.progress import bars
    from scmnet_cli.system.processes import this_rank
    from scmnet_cli.training.limits import Limits

    first = this_rank().is_first
    config, why = _read_config(data, out, chosen, options)
    with bars(TimeElapsedColumn(), TextColumn("{task.fields[note]}")) as bar:
        run = _open_run(data, out, config, options, lambda done, total: bar.count("loading", done, total, note=""))
        plan = run.plan()
        tells_time = dry_run or not (is_quiet() or clock.minutes)
        seconds = run.seconds_left() if tells_time else None
        if dry_run:
            bar.stop()
            run.team.leave()
            if first:
                lines = [*_lines(plan, why, seconds), "nothing was written; --json prints the full config"]
                show(lines, _document(plan, why, seconds), as_json=as_json)
            return
        if first:
            _announce(plan, why, seconds, say=bar.console.print)

        def show_progress(report: Report) -> None:
            bar.count("training", report.images, report.total, note=_numbers(report))

        outcome = run.train(show_progress if first else None, Limits(clock.minutes, clock.snapshots))
        run.team.leave()
    if outcome.signal is not None and not outcome.finished:
        if first:
            warn(f"stopped and saved at {outcome.images} images; the same command resumes")
        raise typer.Exit(128 + outcome.signal)
    if first and not outcome.finished:
        warn(f"time is up at {outcome.images} of {config.train.images} images; the same command goes on")
    if first:
        ended = {"model": outcome.model, "images": outcome.images, "finished": outcome.finished, "seconds": run.seconds}
        show([outcome.model], ended, as_json=as_json)


def _read_config(data: Path, out: Path, chosen: ConfigOptions, options: RunOptions) -> tuple[Config, str]:
    """Return the config, and a description of it for the user.

    It is the given one, else that of the unfinished run, else one chosen for data and machine.

    Raises:
        ScmError: if no config fits, or --images and --set both give the length.
    """
    from scmnet_cli.config import load_config

    settings = list(chosen.settings or [])
    if chosen.images is not None:
        if doubled := next((one for one in settings if one.partition("=")[0].strip() == "train.images"), None):
            raise ScmError(f"--images {chosen.images} and --set {doubled}: both give the length; give one of them")
        settings.append(f"train.images={chosen.images}")
    if chosen.config is not None:
        return load_config(chosen.config, settings), chosen.config
    unfinished = out / "config.json"
    if unfinished.is_file():
        return load_config(str(unfinished), settings), f"the one of the unfinished run {out}"

    from scmnet_cli.system.devices import choose_device
    from scmnet_cli.system.processes import this_rank
    from scmnet_cli.training.choice import choose_config

    is_shipped = options.init is not None and str(options.init) == _SHIPPED
    found = choose_config(data, choose_device(options.device), from_shipped=is_shipped, num_processes=this_rank().count)
    changed = "".join(f" --set {one}" for one in found.settings)
    why = f"{found.name}{changed}, chosen for {found.reason}; use -c to choose another"
    return load_config(found.name, [*found.settings, *settings]), why


def _open_run(data: Path, out: Path, config: Config, options: RunOptions, loading: Callable[[int, int], None]) -> Run:
    from scmnet_cli.inference.pipeline import SHIPPED_MODEL
    from scmnet_cli.training.loop import Run

    init = options.init
    return Run(
        data,
        out,
        config,
        seed=options.seed,
        device=options.device,
        weights_dir=options.weights_dir,
        init=SHIPPED_MODEL if init is not None and str(init) == _SHIPPED else init,
        allow_changes=options.allow_changes,
        loading=loading,
    )


def _lines(plan: Plan, why: str, seconds: float | None) -> list[str]:
    """Return the plan in a few lines."""
    model, train = plan.config.model, plan.config.train
    networks = ", ".join(f"{name} {number / 1e6:.1f} M" for name, number in plan.num_parameters.items())
    return [
        f"config: {why}",
        f"networks: {model.size}, {model.canvas}; {networks} parameters; {train.precision} on {plan.device}",
        f"data: {plan.num_train} for training, {plan.num_val} for validation",
        f"run: {train.images:,} images, {plan.steps:,} steps of batch {train.batch}, from image {plan.resumes_at:,}",
        f"time: {_time(plan, seconds)}",
    ]


def _document(plan: Plan, why: str, seconds: float | None) -> dict[str, Any]:
    return {
        "config_is": why,
        "parameters": plan.num_parameters,
        "num_train": plan.num_train,
        "num_val": plan.num_val,
        "device": plan.device,
        "steps": plan.steps,
        "resumes_at": plan.resumes_at,
        "seconds": seconds,
        "config": plan.config.model_dump(mode="json"),
    }


def _announce(plan: Plan, why: str, seconds: float | None, say: Callable[[str], None]) -> None:
    """Print the config and the estimated time; a time of days is a warning."""
    if plan.resumes_at:
        say(f"resuming at {plan.resumes_at} images")
    note(f"config: {why}")
    if seconds is not None and seconds >= _LONG:
        shorter = "" if plan.device.startswith("cuda") else "; -c cpu is for machines without a GPU"
        warn(f"time: {_time(plan, seconds)}; Ctrl-C saves and stops{shorter}; --images N shortens the run")
    elif seconds is not None:
        note(f"time: {_time(plan, seconds)}")


def _time(plan: Plan, seconds: float | None) -> str:
    if seconds is None:
        return "too short to measure"
    left = plan.config.train.images - plan.resumes_at
    if left <= 0:
        return "none, the run is finished"
    how = "at the speed so far" if plan.resumes_at else "measured"
    return f"about {in_words(seconds)} on {plan.device} ({left / max(seconds, 1e-9):,.2g} images/s, {how})"


def in_words(seconds: float) -> str:
    """Format a duration in a suitable unit, such as ``3.2 hours``."""
    for unit, size, least in (("days", 86_400, 1.5), ("hours", 3_600, 1.5), ("minutes", 60, 1.5)):
        if seconds >= least * size:
            return f"{seconds / size:.1f} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _numbers(report: Report) -> str:
    values = {shown: report.stats.get(name) for name, shown in _LOSSES.items()}
    losses = [f"{name} {value:.3g}" for name, value in values.items() if value is not None]
    return " ".join([f"{report.images_per_second:.1f} images/s", *losses])
