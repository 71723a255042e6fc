"""Scores of the analyser: regions, joints, person or nobody; their tables and the sheet of cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from scmnet_cli.analyser.subjects import PEOPLE, Subject
from scmnet_cli.images import contact_sheet, draw_regions, draw_skeleton
from scmnet_cli.regions import BODY_REGIONS, NUM_REGIONS
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import FloatArray, Person, UInt8Array

CUT_AT = 0.55
NEAR, NEARER = 0.05, 0.025
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
