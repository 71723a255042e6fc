"""``scm eval``: evaluate a model, or results of any method, by metrics with a named protocol."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scmnet_cli.cli.commands import with_help
from scmnet_cli.cli.grouping import grouped
from scmnet_cli.cli.options import Model, read_size
from scmnet_cli.cli.results import AsJson, show
from scmnet_cli.errors import ScmError

if TYPE_CHECKING:
    from scmnet_cli.evaluation.cases import Cases
    from scmnet_cli.evaluation.summary import Evaluation
    from scmnet_cli.inference.pipeline import Pipeline


class MethodName(StrEnum):
    """Baselines, which need no model."""

    source_copy = "source-copy"
    region_mean = "region-mean"
    part_warp = "part-warp"


class SetName(StrEnum):
    """Sets of cases that can be drawn from a prepared folder."""

    reconstruction = "reconstruction"
    moved = "moved"
    reposed = "reposed"
    pairs = "pairs"
    half2full = "half2full"
    cross = "cross"


class ProtocolName(StrEnum):
    """Names of :data:`scmnet_cli.evaluation.protocols.PROTOCOLS`."""

    raw = "raw"
    patn = "patn"
    gfla = "gfla"
    pise = "pise"


@dataclass(frozen=True)
class ResultOptions:
    """Existing results of any method."""

    generated: Annotated[
        Path | None, typer.Option("--generated", metavar="G", help="Folder of existing results of any method.")
    ] = None
    reference: Annotated[
        Path | None, typer.Option("--reference", metavar="R", help="Folder of ground truth images.")
    ] = None
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs",
            metavar="FILE",
            help="CSV with columns generated,reference (and source), or from,to [default: matched by file name].",
        ),
    ] = None
    joints: Annotated[
        Path | None,
        typer.Option(
            "--joints",
            metavar="FILE",
            help="Table of joints in G from another pose estimator, for PCK [default: found by the analyser].",
        ),
    ] = None


@dataclass(frozen=True)
class CaseOptions:
    """Options of the cases of a prepared folder."""

    method: Annotated[MethodName | None, typer.Option("--method", help="Evaluate a baseline instead of a model.")] = (
        None
    )
    case_set: Annotated[
        SetName | None,
        typer.Option(
            "--set",
            help="Cases to draw from DATA. reconstruction: each person from an augmented source; moved: the same, "
            "never mirrored; reposed: each person from a source warped into the next person's pose; pairs; half2full: "
            "full bodies from photos cut at the hips; cross: each person in another's layout [default: pairs if DATA "
            "has any, else reconstruction].",
        ),
    ] = None
    size: Annotated[
        str | None,
        typer.Option(
            "--size",
            metavar="HxW",
            help="Draw and compare at this size, such as 256x176, at most DATA's own [default: the model's canvas].",
        ),
    ] = None
    split: Annotated[
        str | None, typer.Option("--split", help="train, val or test [default: val, or test if there is no val].")
    ] = None
    limit: Annotated[int | None, typer.Option("--limit", min=2, help="Maximum number of people or pairs.")] = None


@dataclass(frozen=True)
class MetricOptions:
    """Options of the metrics."""

    protocol: Annotated[
        ProtocolName,
        typer.Option("--protocol", help="Protocol: size, crop, padding and window; see docs/evaluation.md."),
    ] = ProtocolName.raw
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", metavar="A,B", help="Metrics to compute, such as ssim,psnr,l1 [default: all]."),
    ] = None
    batch: Annotated[int, typer.Option("--batch", min=1, max=4096, help="Batch size.")] = 8
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")] = "auto"
    weights_dir: Annotated[
        Path | None,
        typer.Option("--weights-dir", help="Folder of AlexNet, VGG16 and Inception; also $SCM_WEIGHTS."),
    ] = None


_HELP = """Evaluate a model on a prepared folder, or results of any method against their references.

The model and the baselines draw the cases of --set: every person of a
split from an augmented or re-posed source, the pairs of the folder, or
full bodies from half bodies. The baselines are the unchanged source, the
mean colour of each region, and the part warp alone. Writes metrics.json,
with the protocol of each number, per_image.csv, table.md and report.html;
for a prepared folder also a sheet of cases, and with a model sheets of
transfers and edits. Metrics that cannot be computed are listed, with the
command that provides what is missing (`scm weights`).

\b
Examples:
  scm eval data/ccp -o outputs/shipped
  scm eval data/ccp -m runs/ccp -o outputs/ccp
  scm eval data/ccp -m runs/ccp --set reposed --size 256x176 -o outputs/reposed
  scm eval data/ccp -m runs/ccp --set half2full -o outputs/half2full
  scm eval data/faces -m runs/faces --set cross -o outputs/cross
  scm eval data/market --split test --method source-copy
  scm eval --generated results/ --reference deepfashion/test/ --protocol patn --compare
"""


@grouped
@with_help(_HELP)
def evaluate(
    context: typer.Context,
    results: ResultOptions,
    drawn: CaseOptions,
    measured: MetricOptions,
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="Prepared folder, the output of `scm preprocess`; with --generated, the one with region maps and "
            "joints of the references.",
        ),
    ] = None,
    model: Model = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for numbers, report and sheets.")] = Path(
        "outputs/eval"
    ),
    save: Annotated[bool, typer.Option("--save", help="Also write the pictures to OUT/images.")] = False,
    compare: Annotated[bool, typer.Option("--compare", help="Also print the paper's tables with our row.")] = False,
    as_json: AsJson = False,
) -> None:
    """Evaluate a model on a prepared folder, or results of any method against their references."""
    import sys

    from scmnet_cli.evaluation.prepared_cases import PreparedCases
    from scmnet_cli.evaluation.published import compare as compared_with
    from scmnet_cli.evaluation.published import published_tables
    from scmnet_cli.evaluation.report import html_report
    from scmnet_cli.evaluation.sheets import write_sheets
    from scmnet_cli.files import write_text

    source = context.get_parameter_source("model")
    if (results.generated or drawn.method) and source is not None and source.name == "ENVIRONMENT":
        model = None
    _check(data, model, results, drawn, save=save)
    cases, pipeline, evaluation = _evaluated(data, model, results, drawn, measured, out, save=save)
    evaluation.write(out)
    tables = [compared_with(evaluation.as_json(), name) for name in published_tables()] if compare else []
    write_text(out / "report.html", html_report(evaluation, tables[0] if tables else ""))
    if isinstance(cases, PreparedCases):
        write_sheets(cases, pipeline, out, drawn.limit)
    texts = (evaluation.table(), evaluation.sentence(), evaluation.notes(), *(f"\n{table}" for table in tables))
    show([*filter(None, texts), out], {**evaluation.as_json(), "out": out}, as_json=as_json)
    if evaluation.missing():
        print(evaluation.missing(), file=sys.stderr)


def _evaluated(
    data: Path | None,
    model: Path | None,
    results: ResultOptions,
    drawn: CaseOptions,
    measured: MetricOptions,
    out: Path,
    *,
    save: bool,
) -> tuple[Cases, Pipeline | None, Evaluation]:
    """Draw and evaluate all cases; save the pictures with --save."""
    from scmnet_cli.cli.drawing.opening import open_model
    from scmnet_cli.cli.drawing.outputs import make_folder
    from scmnet_cli.cli.progress import bars
    from scmnet_cli.evaluation.cases import Case
    from scmnet_cli.evaluation.metric_networks import MetricNetworks
    from scmnet_cli.evaluation.protocols import find_protocol
    from scmnet_cli.evaluation.summary import evaluate as evaluate_cases
    from scmnet_cli.provenance import save_generated
    from scmnet_cli.system.devices import choose_device

    wanted = None if measured.metrics is None else [name.strip() for name in measured.metrics.split(",")]
    protocol = find_protocol(measured.protocol)
    pipeline = None if results.generated or drawn.method else open_model(model, measured.device)
    cases = _cases(data, results, drawn, pipeline)
    device = choose_device(measured.device) if pipeline is None else pipeline.device
    metric_networks = MetricNetworks(wanted, measured.weights_dir, device)
    images = out / "images"
    make_folder(images if save else out, "--out")

    def keep(case: Case) -> None:
        if save:
            save_generated(images / f"{case.name}.png", case.answers[cases.answers[0]])

    with bars() as bar:
        evaluation = evaluate_cases(
            cases,
            protocol,
            metric_networks,
            batch=measured.batch,
            keep=keep,
            progress=lambda done, total: bar.count("evaluating", done, total),
        )
    return cases, pipeline, evaluation


def _check(data: Path | None, model: Path | None, results: ResultOptions, drawn: CaseOptions, *, save: bool) -> None:
    if (results.generated is None) != (results.reference is None):
        raise ScmError("--generated and --reference: each needs the other; give results and ground truth")
    if results.generated is not None:
        drawing = {
            "--model": model,
            "--method": drawn.method,
            "--set": drawn.case_set,
            "--size": drawn.size,
            "--save": save or None,
        }
        for option, given in drawing.items():
            if given is not None:
                raise ScmError(f"{option} {given}: is for drawing, but --generated gives existing results; drop one")
        return
    if results.pairs is not None:
        raise ScmError(f"--pairs {results.pairs}: maps results to references; give --generated and --reference too")
    if results.joints is not None:
        raise ScmError(f"--joints {results.joints}: holds joints of the results; give --generated and --reference too")
    if data is None:
        raise ScmError(
            "nothing to evaluate: give a prepared folder, with -m RUN or --method, or --generated G --reference R"
        )
    if model is not None and drawn.method is not None:
        raise ScmError("-m and --method: give one of them; with -m the baselines are evaluated too")


def _cases(data: Path | None, results: ResultOptions, drawn: CaseOptions, pipeline: Pipeline | None) -> Cases:
    from scmnet_cli.evaluation.baselines import Method
    from scmnet_cli.evaluation.folders import FolderCases
    from scmnet_cli.evaluation.prepared_cases import CaseSet, PreparedCases, check_size

    if results.generated is not None and results.reference is not None:
        return FolderCases(results.generated, results.reference, results.pairs, data, drawn.limit, results.joints)
    assert data is not None
    methods = None if drawn.method is None else (Method(drawn.method),)
    chosen = None if drawn.case_set is None else CaseSet(drawn.case_set)
    size = None if drawn.size is None else check_size(read_size(drawn.size, "--size", "256x176"), data, pipeline)
    return PreparedCases(data, drawn.split, pipeline, methods, case_set=chosen, limit=drawn.limit, canvas=size)
