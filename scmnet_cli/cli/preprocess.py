"""``scm preprocess``: turn a folder of photos into a prepared folder."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scmnet_cli.cli.commands import with_help
from scmnet_cli.cli.console import note
from scmnet_cli.cli.estimators import EstimatorOptions
from scmnet_cli.cli.face_parser import FaceParserFile
from scmnet_cli.cli.grouping import grouped
from scmnet_cli.cli.options import DomainName, read_size
from scmnet_cli.cli.results import AsJson, show
from scmnet_cli.errors import ScmError

if TYPE_CHECKING:
    from scmnet_cli.preprocess.prepare import Prepared
    from scmnet_cli.sources.source import Source
    from scmnet_cli.system.processes import Rank, Team
    from scmnet_cli.types import Canvas


class Layout(StrEnum):
    """Layouts of the source folder."""

    CCP = "ccp"
    CELEBAMASK = "celebamask"
    DEEPFASHION = "deepfashion"
    DRESSCODE = "dresscode"
    FACE_PHOTOS = "face-photos"
    FOLDER = "folder"
    MARKET1501 = "market1501"
    PHOTOS = "photos"


class Background(StrEnum):
    """Treatment of the background."""

    PLAIN = "plain"
    KEEP = "keep"


@dataclass(frozen=True)
class AnnotationOptions:
    """Options of existing annotations."""

    joints: Annotated[Path | None, typer.Option("--joints", help="Table of joints [default: the one in SRC].")] = None
    maps: Annotated[
        Path | None, typer.Option("--maps", help="Folder of label maps (.png or .npy) [default: the one in SRC].")
    ] = None
    labels: Annotated[
        str | None, typer.Option("--labels", help="Label set of the maps, such as lip20 or atr18; see below.")
    ] = None
    lists: Annotated[
        Path | None, typer.Option("--lists", help="Folder of a benchmark's list files [default: SRC].")
    ] = None
    everybody: Annotated[
        bool,
        typer.Option("--all", help="Layout photos: take all people of a photo, as NAME, NAME_2 ..., not just one."),
    ] = False
    unlabelled: Annotated[
        bool,
        typer.Option(
            "--unlabelled",
            help="Layout ccp: add photos without annotation to the train split, with maps from the analyser.",
        ),
    ] = False


@dataclass(frozen=True)
class PictureOptions:
    """Options of the prepared pictures."""

    canvas: Annotated[
        str | None,
        typer.Option(
            "--canvas",
            metavar="HxW",
            help="Size of the pictures [default: 256x176; celebamask 256x256, dresscode 256x192, market1501 128x64].",
        ),
    ] = None
    background: Annotated[
        Background | None,
        typer.Option(
            "--background",
            help="plain: light grey; keep: as photographed [default: plain; keep for faces and drawn region maps].",
        ),
    ] = None
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Stop after this many usable people.")] = None


@dataclass(frozen=True)
class WorkOptions:
    """Options of devices, threads and shares of the work."""

    device: Annotated[
        str, typer.Option("--device", help="Device that analyses raw photos: cpu, cuda, cuda:1 or auto.")
    ] = "auto"
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Threads [default: all cores].")] = None
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="I/N", help="Prepare only the I-th of N shares; a final run writes the lists."),
    ] = None


@dataclass(frozen=True)
class ReportOptions:
    """Options of the report and the contact sheet."""

    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="HTML report with counts, some people, and all skipped photos [default: OUT/report.html].",
        ),
    ] = None
    sheet: Annotated[bool, typer.Option("--sheet", help="Draw OUT/sheet.png: photos, regions and skeletons.")] = False


@dataclass(frozen=True)
class _Settings:
    canvas: Canvas
    background: str
    limit: int | None
    jobs: int | None


@dataclass(frozen=True)
class SourceOptions:
    """Options of the source and its layout."""

    domain: Annotated[
        DomainName | None,
        typer.Option(
            "--domain", help="People, drawn from joints, or faces, drawn from edges [default: that of the layout]."
        ),
    ] = None
    layout: Annotated[
        Layout | None,
        typer.Option(
            "--layout",
            help="Layout of SRC, see below [default: folder with joints or maps in SRC, dresscode, else photos].",
        ),
    ] = None
    face_parser: FaceParserFile = None


_HELP = """Crop the people in a folder of photos to one canvas, with region maps and joints, and split them.

Unusable photos are skipped; each is listed with the reason. The same command resumes after an interruption; run
again later, it only processes new and changed photos. Benchmarks keep their own split; otherwise every tenth usable
person by name goes to val. OUT/report.html shows the result and all skipped photos.

Under torchrun, N processes share the work. Without it, --shard 1/N to N/N can run at the same time on machines that
share OUT; afterwards the same command without --shard writes the lists.

\b
Layouts (docs/format.md shows their folders):
  ccp          Clothing Co-Parsing: photos/, annotations/, keypoints.csv
  celebamask   faces: CelebAMask-HQ as published, or images/ and masks/
               with the ids of its parts; edges are computed from both
  deepfashion  In-shop photos in img/, img_highres/ or with flattened names;
               lists, pairs and joints of the benchmark; maps of ADGAN,
               MUST-GAN (semantic_merge3/) or PISE (trainSPL8/, testSPL8/)
  dresscode    Dress Code with its label maps, keypoints and lists
  face-photos  photos only: the face parser finds and aligns the most
               prominent face of each, and its regions
  folder       photos with regions/NAME.png and joints.csv
  market1501   Market-1501 with lists, pairs and joints; region maps are
               drawn from joints
  photos       photos only: the built-in analyser finds the most prominent
               person of each, with joints and regions; either may be
               given by --joints or --maps instead

\b
Labels: regions, lip20, cihp20, atr18, schp-lip, schp-atr, schp-pascal,
        fashn18, ccp59, spl8

\b
Examples:
  scm preprocess photos -o data/mine
  scm preprocess photos -o data/everybody --all
  scm preprocess photos -o data/mine --pose-estimator rtmpose-m
  scm preprocess photos -o data/mine --parser schp.onnx \\
                 --parser-labels schp-atr
  scm preprocess photos -o data/mine --layout photos --maps parsed \\
                 --labels schp-lip
  scm preprocess ccp -o data/ccp --layout ccp --sheet
  scm preprocess ccp -o data/ccp-all --layout ccp --unlabelled
  scm preprocess fashion -o data/fashion --layout deepfashion
  scm preprocess fashion/img -o data/fashion --layout deepfashion \\
                 --lists lists --maps parsed --labels atr18
  scm preprocess market -o data/market --layout market1501 --sheet
  scm preprocess CelebAMask-HQ -o data/faces --domain face
  scm preprocess photos -o data/faces --domain face \\
                 --face-parser research/face-parser.safetensors
  scm preprocess photos -o data/mine --layout folder --background keep
  torchrun --nproc-per-node 4 -m scmnet_cli preprocess ccp -o data/ccp \\
           --layout ccp
"""


@grouped
@with_help(_HELP)
def preprocess(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Folder of photos.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Prepared folder; an unfinished one is completed.")],
    found: SourceOptions,
    annotations: AnnotationOptions,
    pictures: PictureOptions,
    estimators: EstimatorOptions,
    work: WorkOptions,
    reports: ReportOptions,
    as_json: AsJson = False,
) -> None:
    """Crop the people in a folder of photos to one canvas, with region maps and joints, and split them."""
    size = None if pictures.canvas is None else read_canvas(pictures.canvas)
    share = None if work.shard is None else read_share(work.shard)

    from scmnet_cli.data.prepared import PreparedFolder
    from scmnet_cli.domains import DOMAINS
    from scmnet_cli.images import save_png
    from scmnet_cli.preprocess.report import write_report
    from scmnet_cli.preprocess.sheet import draw_sheet
    from scmnet_cli.system.processes import Team, this_rank

    team = Team(this_rank())
    if share and team.rank.count > 1:
        raise ScmError(f"--shard {work.shard}: torchrun shares the work already; leave out one of them")
    opened, jobs = _open(source, found, annotations, estimators, work, team)
    ground = pictures.background.value if pictures.background else opened.background
    settings = _Settings(size or opened.canvas, ground, pictures.limit, jobs)
    outcome = _make(opened, out, settings, team, share)
    team.leave()
    if isinstance(outcome, int):
        line = f"share {work.shard} is done, {outcome} new; after all shares, run the same command without --shard"
        show([line], {"share": work.shard, "new": outcome, "out": out}, as_json=as_json)
        return
    if not team.rank.is_first:
        return
    for remark in [*_summary(outcome.left_out), *outcome.remarks]:
        print(remark, file=sys.stderr)
    page = reports.report or out / "report.html"
    write_report(page, opened, PreparedFolder(out))
    if reports.sheet:
        save_png(out / "sheet.png", draw_sheet(opened, PreparedFolder(out)))
    members = DOMAINS[opened.domain].members
    show([_counts(outcome, members, out)], _document(outcome, members, out, page), as_json=as_json)
    note(f"report: {page}")


def _counts(outcome: Prepared, members: str, out: Path) -> str:
    splits = ", ".join(f"{number} {split}" for split, number in outcome.splits.items())
    pairs = f"{outcome.num_pairs} pairs, " if outcome.num_pairs else ""
    usable = f"{outcome.num_usable} {members} ({splits}; {outcome.num_new} new)"
    return f"{usable}, {pairs}{len(outcome.left_out)} left out: {out}"


def _document(outcome: Prepared, members: str, out: Path, page: Path) -> dict[str, object]:
    return {
        "out": out,
        "members": members,
        "usable": outcome.num_usable,
        "new": outcome.num_new,
        "splits": outcome.splits,
        "pairs": outcome.num_pairs,
        "left_out": outcome.left_out,
        "report": page,
    }


def _open(
    source: Path,
    found: SourceOptions,
    annotations: AnnotationOptions,
    estimators: EstimatorOptions,
    work: WorkOptions,
    team: Team,
) -> tuple[Source, int | None]:
    """Open the source with its analyser or face parser; return it and the number of threads."""
    import torch

    from scmnet_cli.cli.face_parser import load_face_parser
    from scmnet_cli.domains import DOMAINS
    from scmnet_cli.preprocess.layouts import likely_face_layout, likely_layout, open_source
    from scmnet_cli.system.devices import choose_device

    domain, layout, face_parser, jobs = found.domain, found.layout, found.face_parser, work.jobs
    if layout is None and domain == DomainName.FACE:
        layout = Layout(likely_face_layout(source))
    chosen = layout.value if layout else likely_layout(source, annotations.joints, annotations.maps, annotations.labels)
    # Each person is processed in its own thread; further threads of the analyser would only compete with these.
    torch.set_num_threads(1)
    analyser = None
    if chosen == Layout.PHOTOS or (chosen == Layout.CCP and annotations.unlabelled):
        place = choose_device(work.device)
        analyser = estimators.analyser(place)
        if place.type != "cpu" and jobs is None:  # threads that wait for the GPU need no core
            jobs = 2 * max(1, (os.cpu_count() or 1) // team.rank.local_count)
    elif chosen != Layout.FACE_PHOTOS and face_parser is not None:
        raise ScmError(f"--face-parser {face_parser}: layout {chosen} does not use a face parser; leave it out")
    elif estimators.first:
        raise ScmError(f"{estimators.first}: layout {chosen} has its own joints and regions; leave it out")
    faces = load_face_parser(face_parser) if chosen == Layout.FACE_PHOTOS else None
    if faces is None and chosen == Layout.FACE_PHOTOS:
        raise ScmError(
            f"--domain face: {source} does not have the layout of CelebAMask-HQ, so faces must be detected; give "
            "--face-parser, the face-parser.safetensors of 'scm analyser train CelebAMask-HQ --domain face'"
        )
    opened = open_source(
        chosen,
        source,
        joints=annotations.joints,
        maps=annotations.maps,
        labels=annotations.labels,
        lists=annotations.lists,
        unlabelled=annotations.unlabelled,
        all=annotations.everybody,
        analyser=analyser,
        face_parser=faces,
    )
    if domain is not None and domain.value != opened.domain:
        members = DOMAINS[opened.domain].members
        raise ScmError(f"--domain {domain.value}: layout {chosen} holds {members}; leave out one of them")
    return opened, jobs


def _make(opened: Source, out: Path, settings: _Settings, team: Team, share: Rank | None) -> Prepared | int:
    """Prepare everything and return the outcome, or prepare one share and return the number of new people."""
    from scmnet_cli.cli.progress import bars
    from scmnet_cli.preprocess.prepare import prepare, prepare_share

    with bars(transient=True) as bar:

        def show(done: int, total: int) -> None:
            bar.count("preparing", done, total)

        given = (settings.canvas, settings.background, settings.limit, settings.jobs, show)
        if share is None:
            return prepare(opened, out, *given, team)
        return prepare_share(opened, out, *given, share)


def _summary(left_out: dict[str, str]) -> list[str]:
    """Return one line per reason with the skipped name, or the number of names and the first of them."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        by_reason.setdefault(reason, []).append(name)
    return [
        f"left out {names[0] if len(names) == 1 else f'{len(names)} (first: {names[0]})'}: {reason}"
        for reason, names in by_reason.items()
    ]


def read_share(text: str) -> Rank:
    """Parse a share such as ``2/4``, counted from 1.

    Raises:
        ScmError: if it is not a share.
    """
    from scmnet_cli.system.processes import Rank

    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and len(text) < 12 and 1 <= int(number) <= int(count)):
        raise ScmError(f"--shard {text}: is not a share; write number/count, such as 2/4")
    return Rank(int(number) - 1, int(count))


def read_canvas(text: str) -> Canvas:
    """Parse a canvas such as ``256x176``, height first.

    Raises:
        ScmError: if it is not a valid canvas.
    """
    size = read_size(text, "--canvas", "256x176")
    if size.height % 8 or size.width % 8 or not (16 <= size.height <= 4096 and 16 <= size.width <= 4096):
        raise ScmError(f"--canvas {text}: height and width must be multiples of 8 between 16 and 4096")
    return size
