"""``scm train``: learn from a prepared folder."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from scmnet_cli.cli.grouping import grouped


@dataclass(frozen=True)
class RunOptions:
    """How a run starts, or goes on, and where."""

    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**63 - 1, help="Seed of weights, order and augmentation.")
    ] = 0
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")] = "auto"
    weights_dir: Annotated[
        Path | None, typer.Option("--weights-dir", help="Folder of VGG weights; also $SCM_WEIGHTS.")
    ] = None
    init: Annotated[Path | None, typer.Option("--init", help="Start from this saved model's weights.")] = None
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Go on although config, seed or people changed.")
    ] = False


@grouped
def train(
    data: Annotated[Path, typer.Argument(help="Prepared folder, as `scm preprocess` writes it.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Run folder; an unfinished run in it goes on.")],
    options: RunOptions,
    config: Annotated[str, typer.Option("-c", "--config", help="Name of a shipped config, or a YAML file.")] = "ccp",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one field of the config; repeatable.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build and load everything, say what would run, stop.")
    ] = False,
) -> None:
    """Train on the train list of a prepared folder; the val list is only looked at.

    Ctrl-C or SIGTERM saves and stops; the same command goes on, also after kill -9.

    Started by torchrun, N processes share each batch, one GPU each (docs/distributed.md).

    \b
    Examples:
      scm train data/ccp -o runs/ccp -c ccp
      scm train data/ccp -o runs/try -c cpu --set train.images=2000 --set loss.bsr=0
      scm train data/ccp -o runs/fine -c ccp --init runs/ccp
      torchrun --nproc-per-node 4 -m scmnet_cli train data/ccp -o runs/ccp -c ccp
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from scmnet_cli.config import load_config

    loaded = load_config(config, settings or [])

    from rich.progress import TextColumn, TimeElapsedColumn

    from scmnet_cli.cli.progress import bars
    from scmnet_cli.system.processes import this_rank
    from scmnet_cli.training.counted import Report
    from scmnet_cli.training.loop import Run

    first = this_rank().is_first
    with bars(TimeElapsedColumn(), TextColumn("{task.fields[note]}")) as bar:
        run = Run(
            data,
            out,
            loaded,
            seed=options.seed,
            device=options.device,
            weights_dir=options.weights_dir,
            init=options.init,
            allow_changes=options.allow_changes,
            loading=lambda done, total: bar.count("loading", done, total, note=""),
        )
        plan = run.plan()
        if dry_run:
            bar.stop()
            run.team.leave()
            if not first:
                return
            print(plan.config.model_dump_json(indent=2))
            for name, number in plan.num_parameters.items():
                print(f"{name}: {number / 1e6:.2f} M parameters")
            print(f"{plan.num_train} people to train on, {plan.num_val} to validate on; device {plan.device}")
            print(f"{plan.steps} steps from {plan.resumes_at} images; nothing was written")
            return
        if plan.resumes_at:
            bar.console.print(f"going on from {plan.resumes_at} images")
        training = bar.add_task("training", total=plan.config.train.images, completed=plan.resumes_at, note="")

        def show(report: Report) -> None:
            shown = {
                "L1": report.stats.get("reconstruction"),
                "regions": report.stats.get("region_accuracy"),
            }
            note = " ".join(f"{name} {value:.3f}" for name, value in shown.items() if value is not None)
            bar.update(training, completed=report.images, note=f"{report.images_per_second:.1f} images/s {note}")

        outcome = run.train(show if first else None)
        run.team.leave()
    if outcome.signal is not None and not outcome.finished:
        if first:
            print(f"stopped and saved at {outcome.images} images; the same command goes on", file=sys.stderr)
        raise typer.Exit(128 + outcome.signal)
    if first:
        print(outcome.model)
