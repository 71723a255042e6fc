"""``scm ablate``: the ablation study, trained and judged under one budget."""

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
class TrainedOptions:
    """Options of the training."""

    images: Annotated[
        int | None, typer.Option("--images", min=1, help="Train each setting on so many images (the config's own).")
    ] = None
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", min=0, help="Or: on as many as the whole config sees in so many minutes here."),
    ] = None
    only: Annotated[
        str | None, typer.Option("--only", metavar="A,B", help="Only these settings; by default all of those below.")
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one field of the config for all; repeatable."),
    ] = None
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of every training.")] = 0


@dataclass(frozen=True)
class JudgedOptions:
    """Options of the evaluation."""

    split: Annotated[
        str | None, typer.Option("--split", help="train, val or test; by default val, or test where there is no val.")
    ] = None
    limit: Annotated[int | None, typer.Option("--limit", min=2, help="Judge at most so many people or pairs.")] = None
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="A,B", help="Only these, as in scm eval; by default all.")
    ] = None
    protocol: Annotated[str, typer.Option("--protocol", help="As in scm eval.")] = "raw"


_HELP = """Train a config with one part left out at a time, judge each, and write the paper's Table 2 with ours in it.

All settings get the same budget, counted in images, and the config's schedule shrinks with it: where discriminators
and VGG losses join, where the learning rate falls. Judged as by scm eval: the pairs where the folder has them, else
everybody from a moved source. The same command goes on after any interruption and does nothing twice; what is
judged of other settings stays in the tables.

\b
Settings (--only):
  no-dse             style of the whole image        model.style=global
  no-ccf             no Cross Channel Fusion         model.ccf=false
  no-bsr             no body structure loss          loss.bsr=0
  full               the config as it is
  no-anti-copy       the style branch sees its image unmoved
                                                     data.anti_copy=false
  no-correspondence  no losses on the field          loss.field_regions=0
                                                     loss.field_colours=0
  tau-1              the paper's softmax without a temperature
                                                     model.tau=1

\b
Writes table.md, table.json and sheet.png, a column a setting; it shows the
pictures judged: mind their licence. Each setting is a run folder, with its
evaluation in eval/.

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
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the study; an unfinished one goes on.")],
    trained: TrainedOptions,
    judged: JudgedOptions,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DATA", help="Prepared folder; without it, people that the program draws."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")] = "auto",
    weights_dir: Annotated[
        Path | None, typer.Option("--weights-dir", help="Folder of backbones; also $SCM_WEIGHTS.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be trained and what is done already; write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train a config with one part left out at a time, judge each, and write the paper's Table 2 with ours in it."""
    if trained.images is not None and trained.minutes is not None:
        raise ScmError(
            f"--images {trained.images} and --minutes {trained.minutes:g}: both are the budget; give one of them"
        )

    from scmnet_cli.evaluation.ablation import Ablation, Asked, Study

    metrics = None if judged.metrics is None else tuple(_names(judged.metrics))
    study = Ablation(
        config,
        out,
        data,
        Study(
            changes=trained.settings or (),
            only=None if trained.only is None else _names(trained.only),
            images=trained.images,
            minutes=trained.minutes,
            asked=Asked(judged.split, judged.limit, metrics, judged.protocol),
            seed=trained.seed,
            device=device,
            weights_dir=weights_dir,
        ),
    )
    if dry_run:
        _show_plan(study, trained.minutes, as_json=as_json)
        return
    table = _run(study)
    document = json.loads((out / "table.json").read_text(encoding="utf-8"))
    show([table, out], {**document, "out": out}, as_json=as_json)


def _run(study: Ablation) -> str:
    """Train and judge all settings; return the table."""
    from scmnet_cli.cli.progress import bars

    table = ""
    with bars() as bar:
        budget = study.begin(bar.count)
        bar.console.print(f"{budget.images} images a setting: {', '.join(one.name for one in study.settings)}")
        for setting in study.settings:
            outcome = study.train(setting, partial(bar.count, f"training {setting.name}"))
            if outcome is None:
                bar.console.print(f"{setting.name}: has had its budget")
            elif not outcome.finished:
                bar.stop()
                warn(f"stopped and saved at {outcome.images} images of {setting.name}; the same command goes on")
                raise typer.Exit(128 + (outcome.signal or 0))
            study.judge(setting, partial(bar.count, f"judging {setting.name}"))
            study.judge(None, partial(bar.count, "judging what needs no model"))
            table = study.finish()
    return table


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _show_plan(study: Ablation, minutes: float | None, *, as_json: bool) -> None:
    lines, listed = [], []
    for planned in study.plan():
        changes = ", ".join(planned.setting.changes) or "the config as it is"
        total = planned.images or f"what the whole config sees in {minutes:g} minutes,"
        done = f"; {planned.images_done} done" if planned.images_done else ""
        judged = "; judged" if planned.judged else ""
        lines.append(f"{planned.setting.name}: {changes}; {total} images{done}{judged}")
        listed.append(
            {
                "setting": planned.setting.name,
                "changes": planned.setting.changes,
                "images": planned.images or None,
                "minutes": minutes,
                "images_done": planned.images_done,
                "judged": planned.judged,
            }
        )
    show([*lines, "nothing was written"], {"settings": listed}, as_json=as_json)
