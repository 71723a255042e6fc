"""``scm ablate``: train and evaluate an ablation study under one budget."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scmnet_cli.cli.commands import with_help
from scmnet_cli.cli.completion import complete_configs
from scmnet_cli.cli.console import warn
from scmnet_cli.cli.grouping import grouped
from scmnet_cli.cli.results import AsJson, show
from scmnet_cli.errors import ScmError

if TYPE_CHECKING:
    from scmnet_cli.evaluation.ablation import Ablation


@dataclass(frozen=True)
class TrainingOptions:
    """Options of the training."""

    images: Annotated[
        int | None,
        typer.Option("--images", min=1, help="Number of images to train each setting on [default: the config's]."),
    ] = None
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes", min=0, help="Instead of --images: as many images as the full config trains on in M minutes."
        ),
    ] = None
    only: Annotated[
        str | None, typer.Option("--only", metavar="A,B", help="Settings to run, see below [default: all].")
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one field of the config in all settings; repeatable."),
    ] = None
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of all runs.")] = 0


@dataclass(frozen=True)
class EvalOptions:
    """Options of the evaluation."""

    split: Annotated[
        str | None, typer.Option("--split", help="train, val or test [default: val, or test if there is no val].")
    ] = None
    limit: Annotated[int | None, typer.Option("--limit", min=2, help="Maximum number of people or pairs.")] = None
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="A,B", help="Metrics to compute, as in scm eval [default: all].")
    ] = None
    protocol: Annotated[str, typer.Option("--protocol", help="As in scm eval.")] = "raw"


_HELP = """Train a config with one part removed at a time, evaluate each, and write the paper's Table 2 with our rows.

All settings get the same budget in images, and the config's schedule shrinks with it: the images at which
discriminators and VGG losses start and the learning rate falls. The evaluation is that of scm eval, on the pairs
of the folder, else on each person from an augmented source. The same command resumes after any interruption and
repeats no work; results of other settings stay in the tables.

\b
Settings (--only):
  no-dse             style of the whole image        model.style=global
  no-ccf             no Cross Channel Fusion         model.ccf=false
  no-bsr             no body structure loss          loss.bsr=0
  full               the unchanged config
  no-anti-copy       no augmentation of the style image
                                                     data.anti_copy=false
  no-correspondence  no losses on the field          loss.field_regions=0
                                                     loss.field_colours=0
  tau-1              the paper's softmax without a temperature
                                                     model.tau=1
  no-part-warp       no warped pixels of the source  model.part_warp=false
  no-repose          training sources keep their pose
                                                     data.repose=0
  no-prior           the warp does not guide the field
                                                     model.prior_sigma=0
  no-correlation     the warp alone moves the source model.correlation=false
The last two apply to configs with model.part_warp.

\b
Writes table.md, table.json and sheet.png with one column per setting. The
sheet shows evaluated photos: mind their licence. Each setting is a run
folder with its evaluation in eval/.

\b
Examples:
  scm ablate smoke -o outputs/ablation
  scm ablate market -o runs/ablation --data data/market --images 6000
  scm ablate cpu -o runs/ablation --data data/ccp --minutes 20 --dry-run
  scm ablate ccp -o runs/ablation --data data/ccp --only full,no-bsr
"""


@grouped
@with_help(_HELP)
def ablate(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG", autocompletion=complete_configs, help="Name of a shipped config, or a YAML file."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the study; an unfinished one is resumed.")],
    training: TrainingOptions,
    evaluation: EvalOptions,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DATA", help="Prepared folder [default: synthetic people]."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")] = "auto",
    weights_dir: Annotated[
        Path | None, typer.Option("--weights-dir", help="Folder of backbones; also $SCM_WEIGHTS.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and the progress so far; write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a config with one part removed at a time, evaluate each, and write the paper's Table 2 with our rows."""
    if training.images is not None and training.minutes is not None:
        raise ScmError(
            f"--images {training.images} and --minutes {training.minutes:g}: both set the budget; give one of them"
        )

    from scmnet_cli.evaluation.ablation import Ablation, EvaluationOptions, Study

    metrics = None if evaluation.metrics is None else tuple(_names(evaluation.metrics))
    study = Ablation(
        config,
        out,
        data,
        Study(
            changes=training.settings or (),
            only=None if training.only is None else _names(training.only),
            images=training.images,
            minutes=training.minutes,
            evaluation=EvaluationOptions(evaluation.split, evaluation.limit, metrics, evaluation.protocol),
            seed=training.seed,
            device=device,
            weights_dir=weights_dir,
        ),
    )
    if dry_run:
        _show_plan(study, training.minutes, as_json=as_json)
        return
    table = _run(study)
    document = json.loads((out / "table.json").read_text(encoding="utf-8"))
    show([table, out], {**document, "out": out}, as_json=as_json)


def _run(study: Ablation) -> str:
    """Train and evaluate all settings; return the table."""
    from scmnet_cli.cli.progress import bars

    table = ""
    with bars() as bar:
        budget = study.prepare(bar.count)
        bar.console.print(f"{budget.images} images per setting: {', '.join(one.name for one in study.settings)}")
        for setting in study.settings:
            outcome = study.train(setting, partial(bar.count, f"training {setting.name}"))
            if outcome is None:
                bar.console.print(f"{setting.name}: already trained")
            elif not outcome.finished:
                bar.stop()
                warn(f"stopped and saved at {outcome.images} images of {setting.name}; the same command resumes")
                raise typer.Exit(128 + (outcome.signal or 0))
            study.evaluate(setting, partial(bar.count, f"evaluating {setting.name}"))
            study.evaluate(None, partial(bar.count, "evaluating the baselines"))
            table = study.write_results()
    return table


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _show_plan(study: Ablation, minutes: float | None, *, as_json: bool) -> None:
    lines, listed = [], []
    for planned in study.plan():
        changes = ", ".join(planned.setting.changes) or "the unchanged config"
        total = (
            f"{planned.images} images" if planned.images else f"the images of {minutes:g} minutes of the full config"
        )
        done = f"; {planned.images_done} done" if planned.images_done else ""
        evaluated = "; evaluated" if planned.evaluated else ""
        lines.append(f"{planned.setting.name}: {changes}; {total}{done}{evaluated}")
        listed.append(
            {
                "setting": planned.setting.name,
                "changes": planned.setting.changes,
                "images": planned.images or None,
                "minutes": minutes,
                "images_done": planned.images_done,
                "evaluated": planned.evaluated,
            }
        )
    show([*lines, "nothing was written"], {"settings": listed}, as_json=as_json)
