"""``scm eval``: how good pictures are, by metrics whose protocol is named."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scmnet_cli.cli.options import Model
from scmnet_cli.errors import ScmError

if TYPE_CHECKING:
    from scmnet_cli.evaluation.cases import Cases
    from scmnet_cli.evaluation.prepared_cases import PreparedCases
    from scmnet_cli.inference.pipeline import Pipeline


class MethodName(StrEnum):
    """Answers that need no model."""

    source_copy = "source-copy"
    region_mean = "region-mean"


class SetName(StrEnum):
    """What is drawn of a prepared folder."""

    reconstruction = "reconstruction"
    pairs = "pairs"
    half2full = "half2full"
    cross = "cross"


class ProtocolName(StrEnum):
    """Names of :data:`scmnet_cli.evaluation.protocols.PROTOCOLS`."""

    raw = "raw"
    patn = "patn"
    gfla = "gfla"
    pise = "pise"


def evaluate(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="Prepared folder, as `scm preprocess` writes it; with --generated, the one that knows region maps and "
            "joints of the references.",
        ),
    ] = None,
    model: Model = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for numbers, report and sheets.")] = Path(
        "outputs/eval"
    ),
    generated: Annotated[
        Path | None, typer.Option("--generated", metavar="G", help="Folder of results, of any method.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option("--reference", metavar="R", help="Folder of what the results should be.")
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs",
            metavar="FILE",
            help="CSV with columns generated,reference (and source), or from,to; by default the names tell.",
        ),
    ] = None,
    joints: Annotated[
        Path | None,
        typer.Option(
            "--joints",
            metavar="FILE",
            help="Table of the joints that another estimator found in G, for PCK; by default the analyser finds them.",
        ),
    ] = None,
    method: Annotated[
        MethodName | None, typer.Option("--method", help="Judge an answer that needs no model, in place of one.")
    ] = None,
    protocol: Annotated[
        ProtocolName, typer.Option("--protocol", help="Size, crop, padding and window; see docs/evaluation.md.")
    ] = ProtocolName.raw,
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="A,B", help="Only these, such as ssim,psnr,l1; by default all.")
    ] = None,
    case_set: Annotated[
        SetName | None,
        typer.Option(
            "--set",
            help="What to draw of DATA: everybody from a moved source, the pairs, whole people from pictures cut at "
            "the hips, or everybody in another's layout; by default pairs where it has any, else reconstruction.",
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="train, val or test; by default val, or test where there is no val.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=2, help="At most this many people or pairs.")] = None,
    save: Annotated[bool, typer.Option("--save", help="Write the pictures to OUT/images too.")] = False,
    compare: Annotated[bool, typer.Option("--compare", help="Print the paper's tables with ours in them.")] = False,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Pictures at a time.")] = 8,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")] = "auto",
    weights_dir: Annotated[
        Path | None,
        typer.Option("--weights-dir", help="Folder of AlexNet, VGG16 and Inception; also $SCM_WEIGHTS."),
    ] = None,
) -> None:
    """Judge a model on a prepared folder, or the results of any method beside their references.

    Every person of a split is reconstructed from a moved source, or drawn as
    the pairs of the folder say, or completed from half a body, by the model
    and by the answers that need none. Writes metrics.json, where each
    number names its protocol, per_image.csv, table.md and report.html; of a
    prepared folder also a sheet of cases, and with a model one of transfers
    and one of edits. What cannot be computed is said, with the command that
    helps (`scm weights`).

    \b
    Examples:
      scm eval data/ccp -o outputs/shipped
      scm eval data/ccp -m runs/ccp -o outputs/ccp
      scm eval data/ccp -m runs/ccp --set half2full -o outputs/half2full
      scm eval data/faces -m runs/faces --set cross -o outputs/cross
      scm eval data/market --split test --method source-copy
      scm eval --generated results/ --reference deepfashion/test/ --protocol patn --compare
    """  # noqa: D301 - a backspace keeps the lines of the examples
    import sys

    from rich.console import Console

    from scmnet_cli.cli.drawing.opening import open_model
    from scmnet_cli.cli.drawing.outputs import make_folder
    from scmnet_cli.cli.progress import Bars
    from scmnet_cli.data.prepared import write_text
    from scmnet_cli.evaluation.cases import Case
    from scmnet_cli.evaluation.folders import FolderCases
    from scmnet_cli.evaluation.instruments import Instruments
    from scmnet_cli.evaluation.prepared_cases import PreparedCases
    from scmnet_cli.evaluation.protocols import find_protocol
    from scmnet_cli.evaluation.published import compare as compared_with
    from scmnet_cli.evaluation.published import published_tables
    from scmnet_cli.evaluation.report import html_report
    from scmnet_cli.evaluation.summary import evaluate as evaluate_cases
    from scmnet_cli.images import save_png
    from scmnet_cli.system.devices import choose_device

    source = context.get_parameter_source("model")
    if (generated or method) and source is not None and source.name == "ENVIRONMENT":
        model = None
    _check(data, model, generated, reference, pairs, joints, method, case_set, save)
    wanted = None if metrics is None else [name.strip() for name in metrics.split(",")]
    chosen = find_protocol(protocol)
    pipeline = None if generated or method else open_model(model, device)
    cases: Cases
    if generated is not None and reference is not None:
        cases = FolderCases(generated, reference, pairs, data, limit, joints)
    else:
        assert data is not None
        cases = _prepared(data, split, pipeline, method, case_set, limit)
    on = choose_device(device) if pipeline is None else pipeline.device
    instruments = Instruments(wanted, weights_dir, on)
    make_folder(out, "--out")
    images = out / "images"
    if save:
        make_folder(images, "--out")

    def keep(case: Case) -> None:
        if save:
            save_png(images / f"{case.name}.png", case.answers[cases.answers[0]])

    with Bars(console=Console(stderr=True)) as bar:
        evaluation = evaluate_cases(
            cases,
            chosen,
            instruments,
            batch=batch,
            keep=keep,
            progress=lambda done, total: bar.count("judging", done, total),
        )
    evaluation.write(out)
    tables = [compared_with(evaluation.as_json(), name) for name in published_tables()] if compare else []
    write_text(out / "report.html", html_report(evaluation, tables[0] if tables else ""))
    if isinstance(cases, PreparedCases):
        _sheets(cases, pipeline, limit, out)
    print(evaluation.table())
    print(evaluation.sentence())
    if evaluation.notes():
        print(evaluation.notes())
    for table in tables:
        print(f"\n{table}")
    if evaluation.missing():
        print(evaluation.missing(), file=sys.stderr)
    print(out)


def _check(
    data: Path | None,
    model: Path | None,
    generated: Path | None,
    reference: Path | None,
    pairs: Path | None,
    joints: Path | None,
    method: MethodName | None,
    case_set: SetName | None,
    save: bool,
) -> None:
    if (generated is None) != (reference is None):
        raise ScmError("--generated and --reference go together: the results, and what they should be")
    if generated is not None:
        drawing = {"--model": model, "--method": method, "--set": case_set, "--save": save or None}
        for option, given in drawing.items():
            if given is not None:
                raise ScmError(f"{option} {given}: draws pictures, and --generated names ones that are drawn; drop one")
        return
    if pairs is not None:
        raise ScmError(
            f"--pairs {pairs}: says which result belongs to which reference; give --generated and --reference"
        )
    if joints is not None:
        raise ScmError(f"--joints {joints}: says what was found in the results; give --generated and --reference")
    if data is None:
        raise ScmError(
            "nothing to judge: give a prepared folder, with -m RUN or --method, or --generated G --reference R"
        )
    if model is not None and method is not None:
        raise ScmError("give one of -m RUN, which is judged beside the answers that need no model, and --method")


def _prepared(
    data: Path,
    split: str | None,
    pipeline: Pipeline | None,
    method: MethodName | None,
    case_set: SetName | None,
    limit: int | None,
) -> PreparedCases:
    from scmnet_cli.evaluation.baselines import Method
    from scmnet_cli.evaluation.prepared_cases import CaseSet, PreparedCases

    methods = tuple(Method) if method is None else (Method(method),)
    chosen = None if case_set is None else CaseSet(case_set)
    return PreparedCases(data, split, pipeline, methods, case_set=chosen, limit=limit)


def _sheets(cases: PreparedCases, pipeline: Pipeline | None, limit: int | None, out: Path) -> None:
    from scmnet_cli.evaluation.prepared_cases import load_people
    from scmnet_cli.evaluation.sheets import case_sheet, edit_sheet, transfer_sheet
    from scmnet_cli.images import save_png

    save_png(out / "cases.png", case_sheet(cases))
    if pipeline is None:
        return
    save_png(out / "transfers.png", transfer_sheet(pipeline, load_people(pipeline, cases.data, cases.split, limit)))
    if pipeline.model.has_regions:
        save_png(out / "edits.png", edit_sheet(pipeline, cases.data, cases.split))
