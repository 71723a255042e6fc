"""Evaluate the face parser on the val faces of CelebAMask-HQ and on street photos; it was trained on none of them.

Protocol:

* Regions: intersection over union of each region, pooled over the pixels of all photos at their own size; a face that
  is not found counts as background.
* Landmarks: share of the annotated landmarks found within 0.1 and 0.05 of the eye distance of an aligned face; a
  missing landmark counts as wrong.
* No face: the same number of images of things and, with street photos, of areas beside and below the heads of their val
  people.
* Larger photos: among val people of street photos with known eyes and nose, the number with all three within half and
  within a quarter of the eye distance.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from scmnet_cli.analyser.evaluation.people import PASSERS_BY, THINGS, usable, without_people
from scmnet_cli.analyser.evaluation.scores import PhotoScores, ScoredPhoto, compare, draw_cases, pooled, sheet_row
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
"""Unit of distance in eye distances, so that the thresholds 0.05 and 0.025 become 0.1 and 0.05 eye distances."""

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
    """Results of the evaluation.

    Attributes:
        scores: regions and landmarks of the val faces.
        found_right: share of the val faces that are found.
        nothing_right: share of the images without a face in which none is found; NaN without such images.
        num_nothing: number of images without a face.
        street: street photos with the face within half and within a quarter of the eye distance, and all of them.
        milliseconds: time from image to region map of each val face.
        cases: val faces, for the sheet.
        street_faces: some faces found in street photos.
    """

    scores: PhotoScores
    found_right: float
    nothing_right: float
    num_nothing: int
    street: tuple[int, int, int]
    milliseconds: list[float]
    cases: list[ScoredPhoto]
    street_faces: list[list[UInt8Array]]

    def as_json(self) -> dict[str, Any]:
        """Return all results as plain values."""
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
        """Return Markdown tables: summary with targets, regions, landmarks."""
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
        """Draw the best, median and worst val faces by regions, then by landmarks."""
        return draw_cases(self.cases)

    def street_sheet(self) -> UInt8Array:
        """Draw aligned faces of street photos, and their regions."""
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
    """Evaluate a face parser on the val faces of a folder with CelebAMask-HQ's layout.

    Args:
        parser: the face parser.
        root: the data set's folder.
        street: folder of Clothing Co-Parsing, for faces in larger photos; None to skip them.
        limit: maximum number of faces and of street photos.
        progress: called with the number of photos done and, roughly, in all.

    Raises:
        ScmError: if a folder has another layout, or the first has no usable face.
    """
    faces = _evaluate_faces(parser, root, limit, progress)
    num_faces = len(faces.scores)
    report = None if progress is None else lambda number: progress(num_faces + number, 2 * num_faces)
    seen = _evaluate_street(parser, street, limit, report) if street else _Street()
    nothing = without_people(seen.without_face, THINGS, num_faces)
    nothing_right = float(np.mean([parser(picture) is None for picture in nothing])) if nothing else float("nan")
    return FaceScores(
        pooled(faces.scores),
        faces.num_found / num_faces,
        nothing_right,
        len(nothing),
        (seen.far, seen.near, seen.num_people),
        faces.times,
        faces.cases,
        seen.shown,
    )


@dataclass
class _Faces:
    """Sums over the val faces."""

    scores: list[PhotoScores] = field(default_factory=list)
    cases: list[ScoredPhoto] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    num_found: int = 0


def _evaluate_faces(
    parser: FaceParser, root: Path, limit: int | None, progress: Callable[[int, int], None] | None
) -> _Faces:
    source, sums = CelebAMaskSource(root), _Faces()
    total = len(source.names()) // 10
    for parts in usable(source, val=True):
        if len(sums.scores) == limit:
            break
        started = time.perf_counter()
        face = parser(parts.image)
        found = _Nothing(np.zeros((len(FACES.joints), 3), np.float32), np.zeros(parts.regions.shape, np.uint8))
        if face is not None:
            sums.num_found += 1
            found = _Nothing(face.joints, face.regions)
        sums.times.append((time.perf_counter() - started) * 1000)
        annotated = Person(
            parts.name, parts.image, to_regions(parts.regions, CELEBAMASK19, FACE_REGIONS), landmarks_of(parts.regions)
        )
        score = compare(found, annotated, _UNIT * EYES_APART * parts.image.shape[0], FACES)
        sums.scores.append(score)
        row = sheet_row(annotated, found, _draw_landmarks)
        sums.cases.append(ScoredPhoto(parts.name, score.mean_iou, score.within[0], row))
        if progress:
            progress(len(sums.scores), total)
    if not sums.scores:
        raise ScmError(f"{root}: has no usable val face")
    return sums


@dataclass
class _Street:
    """Counts over the val people of Clothing Co-Parsing: faces found within the far and the near threshold."""

    far: int = 0
    near: int = 0
    num_people: int = 0
    without_face: list[UInt8Array] = field(default_factory=list)
    shown: list[list[UInt8Array]] = field(default_factory=list)


def _evaluate_street(
    parser: FaceParser, street: Path, limit: int | None, progress: Callable[[int], None] | None
) -> _Street:
    sums = _Street()
    for number, person in enumerate(usable(CcpSource(street), val=True)):
        if number == limit:
            break
        sums.without_face += [np.asarray(picture) for picture in without_face(person, PASSERS_BY)]
        known = _eyes_and_nose(person.joints)
        if known is None:
            continue
        face = parser(person.image)
        sums.num_people += 1
        if face is not None:
            sums.far += _is_at(face, known, _FAR)
            sums.near += _is_at(face, known, _NEAR)
            if len(sums.shown) < _SHOWN:
                picture = face.picture(_SHEET_CANVAS)
                sums.shown.append([picture, draw_regions(picture, face.regions_on(_SHEET_CANVAS))])
        if progress:
            progress(number)
    return sums


def _eyes_and_nose(joints: FloatArray) -> FloatArray | None:
    known = joints[[JOINTS.index(name) for name in ("right_eye", "left_eye", "nose")]]
    return known[:, :2] if (known[:, 2] > 0).all() else None


def _is_at(face: Face, known: FloatArray, share: float) -> bool:
    """Return whether eyes and nose, hidden ones included, are within a share of the eye distance of the known ones."""
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
