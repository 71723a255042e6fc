"""Match the pictures of two folders: which result, of any method, belongs to which reference."""

from __future__ import annotations

import csv
import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from scmnet_cli.checkpoint import sha256
from scmnet_cli.data.dataset import TrainingBatch, collate, resized
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.evaluation.baselines import TITLES, draw_baseline, methods_for
from scmnet_cli.evaluation.cases import Case, hash_of_contents, read_ahead
from scmnet_cli.files import read_lines
from scmnet_cli.images import CropBox, read_photo, to_uint8
from scmnet_cli.photo_files import is_photo, photo_endings, unread_photos, without_photo_ending
from scmnet_cli.sources.keypoints import read_keypoint_table
from scmnet_cli.types import Canvas, FloatArray, Person, UInt8Array

_log = logging.getLogger(__name__)

SEPARATORS = {"___": "PATN's A___B_vis", "_2_": "GFLA's A_2_B_vis", "_to_": "A_to_B of scm transfer"}
_STRIP = re.compile(r".+___.+_vis")
"""Names of the strips that PATN writes: source, pose, target, pose and result side by side."""

_MAX_CELLS = 8
GENERATED = "generated"


@dataclass(frozen=True)
class Match:
    """A result, its reference and, where it is known, its source."""

    name: str
    generated: Path
    reference: Path
    source: Path | None = None


def find_matches(generated: Path, reference: Path, pairs: Path | None = None) -> list[Match]:
    """Return which result belongs to which reference, by name, sorted by the results' names.

    A result has the name of its reference, or the names of source and reference joined by one of :data:`SEPARATORS`. A
    pairs file has columns ``generated,reference`` (and ``source``) with names of files, or ``from,to`` with names of
    people; each pair must have a result, and other results are ignored.

    Raises:
        ScmError: if a folder cannot be read, or a picture lacks its counterpart; the first is named.
    """
    results, references = _pictures(generated, "--generated"), _pictures(reference, "--reference")
    if pairs is not None:
        return _listed(pairs, generated, reference, results, references)
    found = []
    for stem, path in results.items():
        match = _by_name(stem, path, references)
        if match is None:
            raise ScmError(
                f"{path}: no picture of {reference} fits its name; expected its reference's name, or "
                f"{', '.join(SEPARATORS.values())}; or give --pairs"
            )
        found.append(match)
    return found


def _pictures(folder: Path, option: str) -> dict[str, Path]:
    """Return the pictures of a folder by their names without ending, sorted."""
    if not folder.is_dir():
        raise ScmError(f"{option} {folder}: is no folder")
    found: dict[str, Path] = {}
    files = sorted(folder.rglob("*"))
    if unread := unread_photos(files):
        _log.warning("%s %s: %s", option, folder, unread)
    for path in files:
        if not is_photo(path) or path.stem.endswith(".strip"):
            continue
        if path.stem in found:
            raise ScmError(f"{path}: has the name of {found[path.stem]}; remove one, or name a folder without it")
        found[path.stem] = path
    if not found:
        raise ScmError(f"{option} {folder}: holds no picture ({', '.join(photo_endings())})")
    return found


def _bare(name: str) -> str:
    """Return a name without the ending of a picture."""
    return without_photo_ending(name.strip())


def _by_name(stem: str, path: Path, references: dict[str, Path]) -> Match | None:
    if stem in references:
        return Match(stem, path, references[stem])
    for of, to in _ways(stem):
        if to in references:
            return Match(stem, path, references[to], references.get(of))
    return None


def _ways(stem: str) -> Iterator[tuple[str, str]]:
    """Yield every split of a name into source and target; the names themselves may contain a separator."""
    named = stem.removesuffix("_vis")
    for separator in SEPARATORS:
        parts = named.split(separator)
        for place in range(1, len(parts)):
            yield _bare(separator.join(parts[:place])), _bare(separator.join(parts[place:]))


def _listed(
    pairs: Path, generated: Path, reference: Path, results: dict[str, Path], references: dict[str, Path]
) -> list[Match]:
    rows = list(csv.DictReader(read_lines(pairs, "a pairs file")))
    columns = set(rows[0]) if rows else set()
    found: list[Match] = []
    if {"generated", "reference"} <= columns:
        for row in rows:
            paths = []
            for column, folder, known in (("generated", generated, results), ("reference", reference, references)):
                given = row[column] or ""
                path = folder / given if (folder / given).is_file() else known.get(_bare(given))
                if path is None:
                    raise ScmError(f"{pairs}: {column} '{given}' is not in {folder}")
                paths.append(path)
            source = references.get(_bare(row.get("source") or ""))
            found.append(Match(paths[0].stem, paths[0], paths[1], source))
    elif {"from", "to"} <= columns:
        found = _by_pair(
            pairs, [(_bare(row["from"] or ""), _bare(row["to"] or "")) for row in rows], results, references
        )
    else:
        raise ScmError(f"{pairs}: has neither the columns generated,reference nor from,to")
    if not found:
        raise ScmError(f"{pairs}: names no pair")
    return sorted(found, key=lambda match: match.name)


def _by_pair(
    pairs: Path, rows: list[tuple[str, str]], results: dict[str, Path], references: dict[str, Path]
) -> list[Match]:
    """Match the rows of a pairs file; a result named by its target alone serves where only one pair has that target."""
    named = {way: path for stem, path in results.items() for way in _ways(stem)}
    num_pairs = Counter(to for _, to in set(rows))
    found, absent = [], []
    for of, to in rows:
        path = named.get((of, to)) or results.get(to)
        if path is None or to not in references:
            absent.append(f"{of},{to}")
            continue
        if (of, to) not in named and num_pairs[to] > 1:
            raise ScmError(
                f"{path}: is named by its target, which {num_pairs[to]} pairs of {pairs} share; name results by source "
                "and target, A_to_B"
            )
        found.append(Match(path.stem, path, references[to], references.get(of)))
    if absent:
        raise ScmError(
            f"{pairs}: {len(absent)} of {len(rows)} pairs lack a result or a reference, the first {absent[0]}; numbers "
            "of a part do not compare"
        )
    return found


class FolderCases:
    """Results of any method beside their references and, where a prepared folder knows all sources, the baselines."""

    form = "folders"

    def __init__(
        self,
        generated: Path,
        reference: Path,
        pairs: Path | None = None,
        data: Path | None = None,
        limit: int | None = None,
        joints: Path | None = None,
    ) -> None:
        """Match the two folders.

        Args:
            generated: the results.
            reference: what they should be.
            pairs: file that lists which result belongs to which reference, if their names do not say it.
            data: prepared folder with the references and sources, by their names: it gives region maps and joints.
            limit: the largest number of pairs.
            joints: table of the joints that another estimator found in the results, by their names.

        Raises:
            ScmError: if anything of these cannot be read, or the names do not match.
        """
        matches = find_matches(generated, reference, pairs)
        self.matches = matches[:limit]
        self._num_references = len(_pictures(reference, "--reference"))
        self._num_matched = len({match.reference for match in matches})
        self._other_shapes: set[str] = set()
        self._generated, self._reference = generated, reference
        self._people = None if data is None else PreparedFolder(data)
        self._joints = joints
        self._found = None if joints is None else read_keypoint_table(joints).renamed(_bare)[0]
        knows_sources = self._people is not None and all(match.source is not None for match in self.matches)
        self._methods = methods_for(self._people.domain) if self._people is not None and knows_sources else ()
        self.answers: tuple[str, ...] = (GENERATED, *(TITLES[method] for method in self._methods))

    def __len__(self) -> int:
        return len(self.matches)

    def reference_sha256(self) -> str:
        """Return a hash of the references' contents, which does not depend on their names."""
        return hash_of_contents({match.reference for match in self.matches})

    def chunks(self, size: int) -> Iterator[list[Case]]:
        """Yield all cases in chunks of this size."""
        return read_ahead(self.one, len(self), size)

    def one(self, index: int) -> Case:
        """Read one case.

        Raises:
            ScmError: if a picture is broken, or of another size than the prepared folder's, or the table of joints
                lacks its row.
        """
        match = self.matches[index]
        reference = read_photo(match.reference)
        picture, source = _result_and_source(match.generated.stem, read_photo(match.generated), reference)
        if not Canvas(*picture.shape[:2]).has_shape_of(Canvas(*reference.shape[:2])):
            self._other_shapes.add(match.name)
        if source is None and match.source is not None:
            source = read_photo(match.source)
        target = self._person(match.reference.stem, reference)
        known_source = None if match.source is None or source is None else self._person(match.source.stem, source)
        return Case(
            match.name,
            {GENERATED: picture} | self._baselines(target, known_source),
            reference,
            str(match.reference),
            source,
            labels=None if target is None else target.regions,
            source_labels=None if known_source is None else known_source.regions,
            joints=_joints(target),
            source_joints=_joints(known_source),
            found_joints=self._found_joints(match.generated.stem, picture),
        )

    def _baselines(self, target: Person | None, source: Person | None) -> dict[str, UInt8Array]:
        if self._people is None or source is None or target is None:
            return {}
        cpu, plain = torch.device("cpu"), self._people.manifest.background == "plain"
        batch = TrainingBatch(collate([target], cpu), collate([resized(source, target.canvas)], cpu))
        return {TITLES[method]: to_uint8(draw_baseline(method, batch, plain=plain)[0]) for method in self._methods}

    def _person(self, name: str, picture: UInt8Array) -> Person | None:
        """Return a picture with what the prepared folder knows of it; None without one."""
        if self._people is None:
            return None
        person = self._people.load(name)
        size = Canvas(*picture.shape[:2])
        if person.canvas != size:
            raise ScmError(
                f"{name}: is {size}, but {person.canvas} in {self._people.path}; "
                f"give --reference {self._people.path / 'images'}"
            )
        return replace(person, image=picture)

    def _found_joints(self, name: str, picture: UInt8Array) -> FloatArray | None:
        return None if self._found is None else self._found.find(name, size=Canvas(*picture.shape[:2]))

    def remarks(self) -> list[str]:
        """Return what a reader of the numbers should know of the folders, a sentence each."""
        found = []
        if self._num_matched < self._num_references:
            found.append(
                f"{self._num_references - self._num_matched:,} of {self._num_references:,} references have no result"
            )
        if self._other_shapes:
            found.append(
                f"{len(self._other_shapes):,} of {len(self.matches):,} results have another shape than their "
                f"references, {min(self._other_shapes)} the first; they are compared at equal height, centre on centre"
            )
        return found

    def described(self) -> dict[str, Any]:
        """Return the folders."""
        data = None if self._people is None else str(self._people.path)
        found: dict[str, Any] = {"generated": str(self._generated), "reference": str(self._reference), "data": data}
        if self._joints is not None:
            is_folder = self._joints.is_dir()
            found["joints"] = {
                "path": str(self._joints),
                "sha256": hash_of_contents(self._joints.glob("*.json")) if is_folder else sha256(self._joints),
            }
        return found


def _joints(person: Person | None) -> FloatArray | None:
    return person.joints if person is not None and len(person.joints) else None


def _result_and_source(name: str, picture: UInt8Array, reference: UInt8Array) -> tuple[UInt8Array, UInt8Array | None]:
    """Return the last and the first of the pictures side by side that PATN writes; a single picture is the result."""
    if not _STRIP.fullmatch(name):
        return picture, None
    height, width = reference.shape[:2]
    cells = picture.shape[1] * height / (width * picture.shape[0])
    if round(cells) < 2 or round(cells) > _MAX_CELLS or abs(cells - round(cells)) > 0.01:
        return picture, None
    cell = picture.shape[1] // round(cells)
    return picture[:, -cell:], picture[:, :cell]


def fitted(picture: UInt8Array, canvas: Canvas) -> UInt8Array:
    """Bring a whole picture to a size."""
    if picture.shape[:2] == (canvas.height, canvas.width):
        return picture
    return CropBox(0, 0, picture.shape[1], picture.shape[0], canvas).crop_image(picture, None)
