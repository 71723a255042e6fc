"""How well the face parser does on the val faces of CelebAMask-HQ, and on street photos, none of which it saw.

Protocol. Regions: intersection over union of each region, its pixels pooled over all photos at the photos' own size; a
face that is not found counts as background. Landmarks: share of the annotated ones found within 0.1 and 0.05 of the
distance of the eyes of an aligned face; one that is left out counts as wrong. No face: as many pictures of things, and,
where there are street photos, of what is beside and below the head of their val people. Larger photos: of the val
people of the street photos whose eyes and nose are known, how many have these three within half and a quarter of the
distance of their eyes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from scmnet_cli.analyser.evaluation.people import (
    PASSERS_BY,
    THINGS,
    Case,
    Scores,
    compare,
    draw_cases,
    pooled,
    sheet_row,
    usable,
    without_people,
)
from scmnet_cli.analyser.face_landmarks import EYES_APART, landmarks_of
from scmnet_cli.analyser.faces import Face, FaceParser
from scmnet_cli.analyser.subjects import FACES
from scmnet_cli.analyser.training.face_photos import without_face
from scmnet_cli.errors import ScmError
from scmnet_cli.images import contact_sheet, draw_regions
from scmnet_cli.regions import CELEBAMASK19, FACE_REGIONS, to_regions
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.sources.ccp import CcpSource
from scmnet_cli.sources.celebamask import CelebAMaskSource
from scmnet_cli.types import Canvas, FloatArray, Person, UInt8Array

_UNIT = 2.0
"""Distances are told in so many times the distance of the eyes, which makes 0.05 and 0.025 of it 0.1 and 0.05."""

_FAR, _NEAR = 0.5, 0.25
_SHEET_CANVAS = Canvas(256, 256)
_SHOWN = 24
_IN_A_ROW = 4


@dataclass(frozen=True)
class _Nothing:
    joints: FloatArray
    regions: UInt8Array


@dataclass(frozen=True)
class FaceScores:
    """Everything measured.

    Attributes:
        scores: of the val faces.
        found_right: share of the val faces in which a face is found.
        nothing_right: share of the pictures without a face in which none is found; NaN without pictures.
        num_nothing: how many these are.
        street: of street photos, how many have a face in its place within half and within a quarter of the distance of
            the eyes, and how many there are.
        milliseconds: from picture to region map, of each val face.
        cases: val faces, for the sheet.
        street_faces: some of those found in street photos.
    """

    scores: Scores
    found_right: float
    nothing_right: float
    num_nothing: int
    street: tuple[int, int, int]
    milliseconds: list[float]
    cases: list[Case]
    street_faces: list[list[UInt8Array]]

    def as_json(self) -> dict[str, Any]:
        """Return all numbers by name."""
        scores = self.scores.as_json()
        kept = ("mean_iou", "region_share", "region_iou")
        return {
            "faces": len(self.cases),
            **{name: scores[name] for name in kept},
            "within_0.1": self.scores.within[0],
            "within_0.05": self.scores.within[1],
            "landmarks_within_0.1_0.05_count": scores["joints_within_0.05_0.025_count"],
            "faces_found": self.found_right,
            "pictures_without_faces": self.num_nothing,
            "nothing_right": self.nothing_right,
            "street_within_half_quarter_count": list(self.street),
            "median_milliseconds": float(np.median(self.milliseconds)),
        }

    def table(self) -> str:
        """Return tables in Markdown: the bar, regions, landmarks."""
        scores = self.scores
        rows = [
            ("mean IoU, 8 regions", "≥ 0.70", f"{scores.mean_iou:.3f}"),
            ("landmarks within 0.1 of the eyes' distance", "", f"{scores.within[0]:.1%}"),
            ("landmarks within 0.05", "", f"{scores.within[1]:.1%}"),
            ("a face is found", "", f"{self.found_right:.1%} of {len(self.cases)}"),
            ("none is found where none is", "", f"{self.nothing_right:.1%} of {self.num_nothing}"),
        ]
        if self.street[2]:
            half, quarter, num = self.street
            rows.append(("in street photos, eyes and nose within half the eyes' distance", "", f"{half} of {num}"))
            rows.append(("within a quarter", "", f"{quarter} of {num}"))
        lines = ["| measure | to reach | found |", "| --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in rows)]
        lines += ["", "| region | share of the pixels | IoU |", "| --- | --- | --- |"]
        for name, share, iou in zip(FACE_REGIONS, scores.region_share, scores.region_iou, strict=True):
            lines.append(f"| {name} | {share:.2%} | {iou:.3f} |")
        lines += ["", "| landmark | within 0.1 | within 0.05 | annotated |", "| --- " * 4 + "|"]
        landmarks = zip(FACES.joints, scores.near, scores.nearer, scores.annotated, strict=True)
        for name, near, nearer, num in landmarks:
            of = max(1, int(num))
            lines.append(f"| {name.replace('_', ' ')} | {near / of:.1%} | {nearer / of:.1%} | {num} |")
        return "\n".join(lines)

    def sheet(self) -> UInt8Array:
        """Draw the best, the median and the worst val faces by regions, then by landmarks."""
        return draw_cases(self.cases)

    def street_sheet(self) -> UInt8Array:
        """Draw faces of street photos, aligned, and their regions."""
        some = self.street_faces
        rows = [[picture for pictures in some[i : i + _IN_A_ROW] for picture in pictures]
                for i in range(0, len(some), _IN_A_ROW)]  # fmt: skip
        return contact_sheet(rows)


def evaluate_face_parser(
    parser: FaceParser,
    root: Path,
    street: Path | None = None,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FaceScores:
    """Measure a face parser on the val faces of a folder laid out as CelebAMask-HQ.

    Args:
        parser: the face parser.
        root: the data set's folder.
        street: Clothing Co-Parsing, whose val people show whether faces are found in larger photos; None: none are.
        limit: at most so many faces, and so many street photos.
        progress: told of photos done and about how many there are.

    Raises:
        ScmError: if a folder is not laid out so, or the first holds no usable face.
    """
    source = CelebAMaskSource(root)
    scores: list[Scores] = []
    cases: list[Case] = []
    times: list[float] = []
    total = len(source.names()) // 10
    num_found = 0
    for parts in usable(source, val=True):
        if len(scores) == limit:
            break
        started = time.perf_counter()
        face = parser(parts.image)
        found = _Nothing(np.zeros((len(FACES.joints), 3), np.float32), np.zeros(parts.regions.shape, np.uint8))
        if face is not None:
            num_found += 1
            found = _Nothing(face.joints, face.regions)
        times.append((time.perf_counter() - started) * 1000)
        annotated = Person(
            parts.name, parts.image, to_regions(parts.regions, CELEBAMASK19, FACE_REGIONS), landmarks_of(parts.regions)
        )
        score = compare(found, annotated, _UNIT * EYES_APART * parts.image.shape[0], FACES)
        scores.append(score)
        row = sheet_row(annotated, found, _draw_landmarks)
        cases.append(Case(parts.name, score.mean_iou, score.within[0], row))
        if progress:
            progress(len(scores), total)
    if not scores:
        raise ScmError(f"{root}: has no usable val face")
    pieces: list[UInt8Array] = []
    placed = [0, 0, 0]
    shown: list[list[UInt8Array]] = []
    for number, person in enumerate(usable(CcpSource(street), val=True) if street else ()):
        if number == limit:
            break
        pieces += [np.asarray(picture) for picture in without_face(person, PASSERS_BY)]
        known = _eyes_and_nose(person.joints)
        if known is None:
            continue
        face = parser(person.image)
        for place, share in enumerate((_FAR, _NEAR)):
            placed[place] += face is not None and _is_at(face, known, share)
        placed[2] += 1
        if face is not None and len(shown) < _SHOWN:
            picture = face.picture(_SHEET_CANVAS)
            shown.append([picture, draw_regions(picture, face.regions_on(_SHEET_CANVAS))])
        if progress:
            progress(total + number, 2 * total)
    nothing = without_people(pieces, THINGS, len(scores))
    nothing_right = float(np.mean([parser(picture) is None for picture in nothing])) if nothing else float("nan")
    return FaceScores(
        pooled(scores),
        num_found / len(scores),
        nothing_right,
        len(nothing),
        (placed[0], placed[1], placed[2]),
        times,
        cases,
        shown,
    )


def _eyes_and_nose(joints: FloatArray) -> FloatArray | None:
    known = joints[[JOINTS.index(name) for name in ("right_eye", "left_eye", "nose")]]
    return known[:, :2] if (known[:, 2] > 0).all() else None


def _is_at(face: Face, known: FloatArray, share: float) -> bool:
    """Whether eyes and nose, or where a hidden one must be, lie within a share of the eyes' distance of known ones."""
    away = np.linalg.norm(face.expected[:3] - known, axis=1)
    return bool((away <= share * EYES_APART * face.window.height).all())


def _draw_landmarks(image: UInt8Array, landmarks: FloatArray) -> UInt8Array:
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    size = max(1, image.shape[0] // 85)
    for x, y, score in landmarks:
        if score > 0:
            pen.ellipse((x - size, y - size, x + size, y + size), fill="red", outline="white")
    return np.asarray(picture)
