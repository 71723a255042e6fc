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
from pathlib import Path

import numpy as np
from PIL import Image

from scmnet_cli.analyser.evaluation.scores import (
    CUT_AT,
    AnalyserScores,
    PersonScores,
    ScoredPhoto,
    compare,
    pooled,
    sheet_row,
)
from scmnet_cli.analyser.people import Analyser
from scmnet_cli.analyser.training.passers_by import PASSERS_BY as TRAIN_PASSERS_BY
from scmnet_cli.analyser.training.photos import TEXTURES, textures
from scmnet_cli.analyser.training.views import empty_rectangles
from scmnet_cli.data.prepared import is_val
from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_photo
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.sources.ccp import CcpSource
from scmnet_cli.sources.source import Source
from scmnet_cli.types import Person, UInt8Array

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


def cut_person(person: Person) -> Person:
    """Return photo and annotation, cut off at 55 % of the annotated person's height."""
    rows = np.nonzero((person.regions != BACKGROUND).any(1))[0]
    end = round(rows[0] + CUT_AT * (rows[-1] + 1 - rows[0]))
    joints = person.joints.copy()
    joints[joints[:, 1] > end - 0.5] = 0
    return Person(person.name, person.image[:end], person.regions[:end], joints)


def _height(person: Person) -> float:
    return max(1.0, float(np.ptp(person.joints[person.joints[:, 2] > 0, 1])))
