"""Evaluate the analyser on the val photos of Clothing Co-Parsing, on which it was not trained.

Protocol:

* Regions: intersection over union of each region, pooled over the pixels of all photos at their own size.
* Joints: share of the annotated joints found within 0.05 and 0.025 of the person's height, which is the vertical extent
  of the annotated joints; a missing joint counts as wrong.
* Cut photos: the same photos, cut off at 55 % of the annotated person's height.
* Nobody: the same number of images without a person: strips beside the person of val photos, and images of things from
  scikit-image.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from scmnet_cli.analyser.people import Analyser
from scmnet_cli.analyser.subjects import PEOPLE, Subject
from scmnet_cli.analyser.training.passers_by import PASSERS_BY as TRAIN_PASSERS_BY
from scmnet_cli.analyser.training.photos import TEXTURES, textures
from scmnet_cli.analyser.training.views import empty_rectangles
from scmnet_cli.data.prepared import is_val
from scmnet_cli.errors import ScmError
from scmnet_cli.images import contact_sheet, draw_regions, draw_skeleton, read_photo
from scmnet_cli.regions import BACKGROUND, BODY_REGIONS, NUM_REGIONS
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.sources.ccp import CcpSource
from scmnet_cli.sources.source import Source, find_photos
from scmnet_cli.system.process import peak_memory, threads_set
from scmnet_cli.types import FloatArray, Person, UInt8Array

CUT_AT = 0.55
NEAR, NEARER = 0.05, 0.025
THINGS = (
    "brick.png", "coffee.png", "logo.png", "microaneurysms.png", "motorcycle_left.png", "motorcycle_right.png",
    "phantom.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
"""Images without people in scikit-image that are not used in training."""

PASSERS_BY = frozenset({
    "0868r", "0333r", "0244r", "0378r", "0679r", "0111l", "0133r", "0768r", "0845l", "0679l", "0411r", "0455r",
    "0144r", "0144l", "0022r", "0712r", "0890l", "0355l", "0133l", "0579r", "0222r", "0444l", "0634l", "0444r",
    "0634r", "0111r", "0322r", "0455l", "0712l", "0701l", "0089l", "0244l", "0612l", "0745r", "0768l", "0912r",
    "0834l", "0845r", "0968r", "0812l",
})  # fmt: skip
"""Strips left (l) or right (r) of the person of val photos that show a passer-by; the widest 126 were checked."""

_SHOWN = 3
_SHEET_HEIGHT = 320

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class PhotoScores:
    """Regions and joints over a set of photos.

    Shape:
        confusion: (8, 8) pixel counts, annotated region by found region; near, nearer, annotated: (J,) joint counts.
    """

    confusion: IntArray
    near: IntArray
    nearer: IntArray
    annotated: IntArray
    subject: Subject = PEOPLE

    @property
    def region_iou(self) -> FloatArray:
        """Intersection over union of each region; NaN if it is not annotated."""
        shared = np.diag(self.confusion).astype(np.float64)
        united = self.confusion.sum(0) + self.confusion.sum(1) - shared
        present = self.confusion.sum(1) > 0
        iou: FloatArray = np.where(present, shared / np.maximum(united, 1), np.nan).astype(np.float32)
        return iou

    @property
    def region_share(self) -> FloatArray:
        """Share of the pixels annotated as each region."""
        share: FloatArray = (self.confusion.sum(1) / max(1, self.confusion.sum())).astype(np.float32)
        return share

    @property
    def mean_iou(self) -> float:
        """Mean intersection over union of the regions present."""
        return float(np.nanmean(self.region_iou))

    @property
    def person_iou(self) -> float:
        """Mean intersection over union of the two classes person and background."""
        background = self.confusion[0, 0]
        person = self.confusion[1:, 1:].sum()
        mixed = self.confusion.sum() - background - person
        return float(np.mean([background / (background + mixed), person / (person + mixed)]))

    @property
    def person_only_iou(self) -> float:
        """Intersection over union of the person."""
        person = self.confusion[1:, 1:].sum()
        return float(person / (self.confusion.sum() - self.confusion[0, 0]))

    @property
    def within(self) -> tuple[float, float]:
        """Shares of the annotated joints found within 0.05 and 0.025 of the person's height."""
        total = max(1, int(self.annotated.sum()))
        return float(self.near.sum() / total), float(self.nearer.sum() / total)

    def as_json(self) -> dict[str, Any]:
        """Return all results as plain values."""
        joints = {
            name: [round(float(a / max(1, n)), 4), round(float(b / max(1, n)), 4), int(n)]
            for name, a, b, n in zip(self.subject.joints, self.near, self.nearer, self.annotated, strict=True)
        }
        return {
            "mean_iou": self.mean_iou,
            "person_background_iou": self.person_iou,
            "person_iou": self.person_only_iou,
            "within_0.05": self.within[0],
            "within_0.025": self.within[1],
            "region_share": dict(zip(self.subject.regions, self.region_share.tolist(), strict=True)),
            "region_iou": dict(zip(self.subject.regions, self.region_iou.tolist(), strict=True)),
            "joints_within_0.05_0.025_count": joints,
        }


@dataclass(frozen=True)
class ScoredPhoto:
    """Scores of one photo, and its row of the sheet."""

    name: str
    mean_iou: float
    within: float
    sheet_row: list[UInt8Array]


@dataclass(frozen=True)
class AnalyserScores:
    """Results of the evaluation."""

    whole: PhotoScores
    cut: PhotoScores
    people_right: float
    nobody_right: float
    num_people: int
    num_nobody: int
    milliseconds: list[float]
    cases: list[ScoredPhoto]

    @property
    def person_right(self) -> float:
        """Accuracy of person detection over images with and without people."""
        right = self.people_right * self.num_people + self.nobody_right * self.num_nobody
        return right / (self.num_people + self.num_nobody)

    def as_json(self) -> dict[str, Any]:
        """Return all results as plain values."""
        return {
            "photos": self.num_people,
            "pictures_without_people": self.num_nobody,
            "whole": self.whole.as_json(),
            "cut": self.cut.as_json(),
            "person_right": self.person_right,
            "people_right": self.people_right,
            "nobody_right": self.nobody_right,
            "median_milliseconds": float(np.median(self.milliseconds)),
        }

    def table(self) -> str:
        """Return Markdown tables: summary with targets, regions, joints."""
        whole, cut = self.whole, self.cut
        rows = [
            ("mean IoU, 8 regions", "≥ 0.66", f"{whole.mean_iou:.3f}"),
            ("person/background IoU, mean of both", "≥ 0.90", f"{whole.person_iou:.3f}"),
            ("person alone", "", f"{whole.person_only_iou:.3f}"),
            ("joints within 0.05", "≥ 92 %", f"{whole.within[0]:.1%}"),
            ("joints within 0.025", "≥ 70 %", f"{whole.within[1]:.1%}"),
            (f"cut at {CUT_AT:.0%}: mean IoU", f"≥ {whole.mean_iou - 0.08:.3f}", f"{cut.mean_iou:.3f}"),
            (f"cut at {CUT_AT:.0%}: joints within 0.05", f"≥ {whole.within[0] - 0.08:.1%}", f"{cut.within[0]:.1%}"),
            ("person or nobody, right", "≥ 95 %", f"{self.person_right:.1%}"),
        ]
        lines = [
            "| measure | to reach | found |",
            "| --- | --- | --- |",
            *("| " + " | ".join(row) + " |" for row in rows),
        ]
        lines += ["", "| region | share of the pixels | IoU | share, cut | IoU, cut |", "| --- " * 5 + "|"]
        columns = (whole.region_share, whole.region_iou, cut.region_share, cut.region_iou)
        for name, share, iou, cut_share, cut_iou in zip(BODY_REGIONS, *columns, strict=True):
            lines.append(f"| {name} | {share:.2%} | {iou:.3f} | {cut_share:.2%} | {cut_iou:.3f} |")
        lines += ["", "| joint | within 0.05 | within 0.025 | annotated | within 0.05, cut |", "| --- " * 5 + "|"]
        for k, name in enumerate(JOINTS):
            num = max(1, int(whole.annotated[k]))
            in_cut = f"{cut.near[k] / cut.annotated[k]:.1%}" if cut.annotated[k] else "–"
            lines.append(
                f"| {name.replace('_', ' ')} | {whole.near[k] / num:.1%} | {whole.nearer[k] / num:.1%} | "
                f"{whole.annotated[k]} | {in_cut} |"
            )
        return "\n".join(lines)

    def sheet(self) -> UInt8Array:
        """Draw the best, median and worst photos by regions, then by joints."""
        return draw_cases(self.cases)


def draw_cases(cases: Sequence[ScoredPhoto]) -> UInt8Array:
    """Draw the best, median and worst photos by regions, then by joints."""
    rows, captions = [], []
    for title, key in (("regions", lambda c: c.mean_iou), ("joints", lambda c: c.within)):
        ordered = sorted(cases, key=key, reverse=True)
        middle = len(ordered) // 2
        shown = {"best": ordered[:_SHOWN], "median": ordered[middle : middle + _SHOWN], "worst": ordered[-_SHOWN:]}
        for word, some in shown.items():
            for case in some:
                rows.append(case.sheet_row)
                captions.append(f"{title}, {word}: {case.name}, IoU {case.mean_iou:.3f}, joints {case.within:.2f}")
    headers = ["photo", "annotated", "found", "annotated", "found"]
    return contact_sheet(rows, headers, captions)


def evaluate_analyser(
    analyser: Analyser,
    root: Path,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AnalyserScores:
    """Evaluate an analyser on the val photos of a folder with Clothing Co-Parsing's layout.

    Args:
        analyser: the analyser.
        root: the data set's folder.
        limit: maximum number of photos.
        progress: called with the number of photos done and in all.

    Raises:
        ScmError: if the folder has no usable person.
    """
    source = CcpSource(root)
    whole, cut, cases, times = [], [], [], []
    strips: list[UInt8Array] = []
    seen_people = 0
    for number, person in enumerate(usable(source, val=True), start=1):
        if limit is not None and number > limit:
            break
        photo = source.photo(person.name)
        started = time.perf_counter()
        found = analyser(read_photo(photo))
        _ = found.regions
        times.append((time.perf_counter() - started) * 1000)
        seen_people += found.has_person
        scores = compare(found, person, _height(person))
        whole.append(scores)
        shorter = cut_person(person)
        cut.append(compare(analyser(shorter.image), shorter, _height(person)))
        cases.append(ScoredPhoto(person.name, scores.mean_iou, scores.within[0], sheet_row(person, found)))
        strips += strips_beside(person)
        if progress:
            progress(number, len(source.names()) // 10)
    if not whole:
        raise ScmError(f"{root}: has no usable val photo")
    nobody = without_people(strips, THINGS, len(whole))
    nobody_right = float(np.mean([not analyser(picture).has_person for picture in nobody]))
    return AnalyserScores(
        pooled(whole), pooled(cut), seen_people / len(whole), nobody_right, len(whole), len(nobody), times, cases
    )


@dataclass(frozen=True)
class AnalysisTiming:
    """Time of each photo from file to region map, and peak memory.

    Attributes:
        milliseconds: wall-clock time of each photo.
        cpu_milliseconds: CPU time of each photo over all threads.
        threads: number of torch threads.
        peak: peak memory of the process in MB (10^6 bytes), Python and torch included.
    """

    milliseconds: list[float]
    cpu_milliseconds: list[float]
    threads: int
    peak: float


def first_photos(folder: Path, limit: int | None = None) -> list[Path]:
    """Return the photos of a folder in order of name, at most ``limit``.

    Raises:
        ScmError: if there are none.
    """
    return [paths[0] for paths in find_photos(folder).values()][:limit]


def time_analyser(
    analyser: Analyser,
    photos: Sequence[Path],
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> AnalysisTiming:
    """Time an analyser on photos, each once after one warm-up photo.

    Args:
        analyser: the analyser.
        photos: the photo files.
        threads: number of torch threads; None for the current number.
        progress: called with the number of photos done and in all.
    """
    clock, work = [], []
    with threads_set(threads) as num_threads:
        for number, photo in enumerate([photos[0], *photos]):
            started, worked = time.perf_counter(), time.process_time()
            _ = analyser(read_photo(photo)).regions
            clock.append((time.perf_counter() - started) * 1000)
            work.append((time.process_time() - worked) * 1000)
            if progress:
                progress(number, len(photos))
    return AnalysisTiming(clock[1:], work[1:], num_threads, peak_memory())


@dataclass(frozen=True)
class PersonScores:
    """Sorted person scores of images with a person, whole and cut, and of as many without."""

    people: list[float]
    nobody: list[float]

    def right(self, threshold: float) -> float:
        """Return the mean accuracy over both kinds of images at a threshold."""
        found = np.mean([score >= threshold for score in self.people])
        return float((found + np.mean([score < threshold for score in self.nobody])) / 2)

    @property
    def threshold(self) -> float:
        """The most accurate threshold; the mean in log odds if there are several."""
        scores = np.array([*self.people, *self.nobody]).clip(1e-4, 1 - 1e-4)
        odds = np.unique(np.log(scores / (1 - scores)))
        tried = np.concatenate([odds[:1] - 1, (odds[1:] + odds[:-1]) / 2, odds[-1:] + 1])
        thresholds = 1 / (1 + np.exp(-tried))
        right = np.array([self.right(threshold) for threshold in thresholds])
        return float(1 / (1 + np.exp(-tried[right == right.max()].mean())))


def score_train_people(
    analyser: Analyser, root: Path, *, every: int = 4, progress: Callable[[int, int], None] | None = None
) -> PersonScores:
    """Compute person scores on train photos, whole and cut, and on images without people, as for the val photos.

    Args:
        analyser: the analyser.
        root: the data set's folder.
        every: use only every ``every``-th train photo.
        progress: called with the number of photos done and in all.

    Raises:
        ScmError: if the folder has no usable person.
    """
    source = CcpSource(root)
    people: list[float] = []
    strips: list[UInt8Array] = []
    num = 0
    for rank, person in enumerate(usable(source, val=False)):
        if rank % every == 0:
            num += 1
            people += [analyser(picture.image).person for picture in (person, cut_person(person))]
            strips += strips_beside(person)
        if progress:
            progress(rank + 1, len(source.names()))
    if not people:
        raise ScmError(f"{root}: has no usable train photo")
    nobody = [analyser(picture).person for picture in without_people(strips, TEXTURES, num)]
    return PersonScores(sorted(people), sorted(nobody))


def usable(source: Source, *, val: bool) -> Iterator[Person]:
    """Yield the val people of a source, every tenth usable one by name, or else all others."""
    rank = 0
    for name in source.names():
        try:
            person = source.read(name)
        except ScmError:
            continue
        if is_val(rank) == val:
            yield person
        rank += 1


def strips_beside(person: Person) -> list[UInt8Array]:
    """Return the strips beside a person that show no passer-by."""
    labels = Image.fromarray(person.regions)
    return [
        person.image[top:bottom, left:right]
        for left, top, right, bottom in empty_rectangles(labels, labels.size)
        if f"{person.name}{'r' if left else 'l'}" not in PASSERS_BY | TRAIN_PASSERS_BY
    ]


def without_people(strips: list[UInt8Array], things: Sequence[str], num: int) -> list[UInt8Array]:
    """Return ``num`` images: those of things, then the widest strips."""
    pictures = [np.asarray(picture) for picture in textures(things)]
    widest = sorted(strips, key=lambda strip: -strip.shape[1])
    return [*pictures, *widest][:num]


class FoundPerson(Protocol):
    """Joints and regions found in a photo, in its pixels."""

    @property
    def joints(self) -> FloatArray:
        """Joints, (J, 3): x, y and a score; 0 if a joint is not in the photo."""

    @property
    def regions(self) -> UInt8Array:
        """Region ids, (H, W)."""


def compare(found: FoundPerson, person: Person, height: float, subject: Subject = PEOPLE) -> PhotoScores:
    """Score the joints and regions found in one photo.

    Args:
        found: joints and regions.
        person: the annotation of the same photo.
        height: the person's height in pixels, the unit of distances.
        subject: the subject of the network.
    """
    pairs = person.regions.astype(np.int64) * NUM_REGIONS + found.regions
    confusion = np.bincount(pairs.ravel(), minlength=NUM_REGIONS**2).reshape(NUM_REGIONS, NUM_REGIONS)
    annotated = person.joints[:, 2] > 0
    away = np.linalg.norm(found.joints[:, :2] - person.joints[:, :2], axis=1) / height
    away[found.joints[:, 2] == 0] = np.inf
    near, nearer = annotated & (away < NEAR), annotated & (away < NEARER)
    return PhotoScores(confusion, near.astype(np.int64), nearer.astype(np.int64), annotated.astype(np.int64), subject)


def cut_person(person: Person) -> Person:
    """Return photo and annotation, cut off at 55 % of the annotated person's height."""
    rows = np.nonzero((person.regions != BACKGROUND).any(1))[0]
    end = round(rows[0] + CUT_AT * (rows[-1] + 1 - rows[0]))
    joints = person.joints.copy()
    joints[joints[:, 1] > end - 0.5] = 0
    return Person(person.name, person.image[:end], person.regions[:end], joints)


def _height(person: Person) -> float:
    return max(1.0, float(np.ptp(person.joints[person.joints[:, 2] > 0, 1])))


def pooled(scores: Sequence[PhotoScores]) -> PhotoScores:
    """Sum the scores of photos of one subject."""
    names = ("confusion", "near", "nearer", "annotated")
    confusion, near, nearer, annotated = (np.sum([getattr(score, name) for score in scores], axis=0) for name in names)
    return PhotoScores(confusion, near, nearer, annotated, scores[0].subject)


def sheet_row(
    person: Person, found: FoundPerson, draw_joints: Callable[[UInt8Array, FloatArray], UInt8Array] = draw_skeleton
) -> list[UInt8Array]:
    """Draw a photo with annotated and found regions and joints, side by side."""
    pictures = [
        person.image,
        draw_regions(person.image, person.regions),
        draw_regions(person.image, found.regions),
        draw_joints(person.image, person.joints),
        draw_joints(person.image, found.joints),
    ]
    width = round(_SHEET_HEIGHT * person.image.shape[1] / person.image.shape[0])
    return [np.asarray(Image.fromarray(p).resize((width, _SHEET_HEIGHT), Image.Resampling.BOX)) for p in pictures]
