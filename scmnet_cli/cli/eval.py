"""``scm eval``: how good pictures are, by metrics whose protocol is named."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scmnet_cli.errors import ScmError

if TYPE_CHECKING:
    from scmnet_cli.evaluation.cases import Cases
    from scmnet_cli.evaluation.reconstruction import PreparedCases
    from scmnet_cli.pipeline import Pipeline


class MethodName(StrEnum):
    """Answers that need no model."""

    source_copy = "source-copy"
    region_mean = "region-mean"


class Task(StrEnum):
    """What is done with a prepared folder."""

    auto = "auto"
    reconstruction = "reconstruction"
    pairs = "pairs"


class ProtocolName(StrEnum):
    """Names of :data:`scmnet_cli.evaluation.protocols.PROTOCOLS`."""

    raw = "raw"
    patn = "patn"
    gfla = "gfla"
    pise = "pise"


def evaluate(
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA",
            help="Prepared folder, as `scm preprocess` writes it; with --generated, the one that knows region maps and "
            "joints of the references.",
        ),
    ] = None,
    model: Annotated[Path | None, typer.Option("-m", "--model", help="Run folder or model file.")] = None,
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
    method: Annotated[
        MethodName | None, typer.Option("--method", help="Judge an answer that needs no model, in place of one.")
    ] = None,
    protocol: Annotated[
        ProtocolName, typer.Option("--protocol", help="Size, crop, padding and window; see docs/evaluation.md.")
    ] = ProtocolName.raw,
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="A,B", help="Only these, such as ssim,psnr,l1; by default all.")
    ] = None,
    task: Annotated[
        Task, typer.Option("--task", help="What to do with DATA; auto: pairs where the split has any.")
    ] = Task.auto,
    split: Annotated[str, typer.Option("--split", help="train, val or test.")] = "val",
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

    With a model every person of a split is reconstructed from a moved source, or drawn as the pairs of the folder say,
    beside the answers that need no model. Writes metrics.json, where each number names its protocol, per_image.csv,
    table.md and report.html; with a model also three sheets: reconstructions, transfers and edits. What cannot be
    computed is said, with the command that helps (`scm weights`).

    \b
    Examples:
      scm eval data/ccp -m runs/ccp -o outputs/ccp
      scm eval data/market --split test --method source-copy
      scm eval --generated results/ --reference deepfashion/test/ --protocol patn --compare
    """  # noqa: D301 - a backspace keeps the lines of the examples
    import sys
    import time

    from rich.console import Console

    from scmnet_cli.cli.progress import Bars
    from scmnet_cli.cli.report import make_folder
    from scmnet_cli.data.prepared import write_text
    from scmnet_cli.evaluation.cases import Case
    from scmnet_cli.evaluation.folders import FolderCases
    from scmnet_cli.evaluation.judging import Instruments, cache_folder, judge
    from scmnet_cli.evaluation.protocols import find_protocol
    from scmnet_cli.evaluation.published import compare as compared_with
    from scmnet_cli.evaluation.published import published_tables
    from scmnet_cli.evaluation.reconstruction import PreparedCases
    from scmnet_cli.evaluation.report import html_report
    from scmnet_cli.evaluation.summary import Evaluation
    from scmnet_cli.images import save_png
    from scmnet_cli.pipeline import Pipeline, choose_device

    _check(data, model, generated, reference, pairs, method, save)
    wanted = None if metrics is None else [name.strip() for name in metrics.split(",")]
    chosen = find_protocol(protocol)
    pipeline = None if model is None else Pipeline.from_pretrained(model, device)
    cases: Cases
    if generated is not None and reference is not None:
        cases = FolderCases(generated, reference, pairs, data, limit)
    else:
        assert data is not None
        cases = _prepared(data, split, pipeline, method, task, limit)
    on = choose_device(device) if pipeline is None else pipeline.device
    instruments = Instruments(wanted, weights_dir, on)
    make_folder(out, "--out")
    images = out / "images"
    if save:
        make_folder(images, "--out")

    def keep(case: Case) -> None:
        if save:
            save_png(images / f"{case.name}.png", case.answers[cases.answers[0]])

    started = time.perf_counter()
    with Bars(console=Console(stderr=True)) as bar:
        found = judge(
            cases,
            chosen,
            instruments,
            batch=batch,
            keep=keep,
            cache=cache_folder(),
            progress=lambda done, total: bar.count("judging", done, total),
        )
    field = cases.field() if isinstance(cases, PreparedCases) else None
    evaluation = Evaluation(
        cases, chosen, found, str(on), time.perf_counter() - started, None if field is None else field.as_json()
    )
    notes = "" if field is None else f"{field.num_people} of {split}: {field.summary()}"
    evaluation.write(out, notes)
    tables = [compared_with(evaluation.as_json(), name) for name in published_tables()] if compare else []
    write_text(out / "report.html", html_report(evaluation, tables[0] if tables else ""))
    if pipeline is not None and data is not None:
        _sheets(pipeline, data, split, limit, out)
    print(evaluation.table())
    print(evaluation.sentence())
    if notes:
        print(notes)
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
    method: MethodName | None,
    save: bool,
) -> None:
    if (generated is None) != (reference is None):
        raise ScmError("--generated and --reference go together: the results, and what they should be")
    if generated is not None:
        for option, given in (("--model", model), ("--method", method), ("--save", save or None)):
            if given is not None:
                raise ScmError(f"{option} {given}: draws pictures, and --generated names ones that are drawn; drop one")
        return
    if pairs is not None:
        raise ScmError(
            f"--pairs {pairs}: says which result belongs to which reference; give --generated and --reference"
        )
    if data is None:
        raise ScmError(
            "nothing to judge: give a prepared folder with -m RUN or --method, or --generated G --reference R"
        )
    if (model is None) == (method is None):
        raise ScmError("give one of -m RUN, which is judged beside the answers that need no model, and --method")


def _prepared(
    data: Path, split: str, pipeline: Pipeline | None, method: MethodName | None, task: Task, limit: int | None
) -> PreparedCases:
    from scmnet_cli.evaluation.reconstruction import Method, PreparedCases

    methods = tuple(Method) if method is None else (Method(method),)
    as_pairs = None if task == Task.auto else task == Task.pairs
    return PreparedCases(data, split, pipeline, methods, pairs=as_pairs, limit=limit)


def _sheets(pipeline: Pipeline, data: Path, split: str, limit: int | None, out: Path) -> None:
    from scmnet_cli.evaluation.reconstruction import edit_sheet, load_people, reconstruction_sheet, transfer_sheet
    from scmnet_cli.images import save_png

    people = load_people(pipeline, data, split, limit)
    save_png(out / "reconstructions.png", reconstruction_sheet(pipeline, people))
    save_png(out / "transfers.png", transfer_sheet(pipeline, people))
    if pipeline.model.has_regions:
        save_png(out / "edits.png", edit_sheet(pipeline, data, split, ("upper", "pants", "hair")))
