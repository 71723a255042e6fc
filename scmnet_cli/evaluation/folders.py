"""Evaluate folders of any method's results: match each result to its reference."""

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
from scmnet_cli.data.cropping import resized
from scmnet_cli.data.dataset import TrainingBatch, collate
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
"""Names of PATN's strips, which show source, pose, target, pose and result side by side."""

_MAX_CELLS = 8
GENERATED = "generated"


@dataclass(frozen=True)
class Match:
    """A result, its reference and, if known, its source."""

    name: str
    generated: Path
    reference: Path
    source: Path | None = None


def find_matches(generated: Path, reference: Path, pairs: Path | None = None) -> list[Match]:
    """Match results to references by name; return the matches sorted by the results' names.

    A result has the name of its reference, or the names of source and reference joined by one of :data:`SEPARATORS`. A
    pairs file has columns ``generated,reference`` (and ``source``) with file names, or ``from,to`` with names of
    people. Each pair must have a result; other results are ignored.

    Raises:
        ScmError: if a folder cannot be read, or an image has no counterpart; the message names the first one.
    """
    results, references = _pictures(generated, "--generated"), _pictures(reference, "--reference")
    if pairs is not None:
        return _listed(pairs, generated, reference, results, references)
    found = []
    for stem, path in results.items():
        match = _by_name(stem, path, references)
        if match is None:
            raise ScmError(
                f"{path}: no picture in {reference} matches its name; name it like its reference, or "
                f"{', '.join(SEPARATORS.values())}; or give --pairs"
            )
        found.append(match)
    return found


def _pictures(folder: Path, option: str) -> dict[str, Path]:
    """Return the images of a folder by their names without suffix, sorted."""
    if not folder.is_dir():
        raise ScmError(f"{option} {folder}: is not a folder")
    found: dict[str, Path] = {}
    files = sorted(folder.rglob("*"))
    if unread := unread_photos(files):
        _log.warning("%s %s: %s", option, folder, unread)
    for path in files:
        if not is_photo(path) or path.stem.endswith(".strip"):
            continue
        if path.stem in found:
            raise ScmError(f"{path}: has the same name as {found[path.stem]}; remove one, or choose another folder")
        found[path.stem] = path
    if not found:
        raise ScmError(f"{option} {folder}: holds no picture ({', '.join(photo_endings())})")
    return found


def _bare(name: str) -> str:
    """Return a name without the suffix of an image file."""
    return without_photo_ending(name.strip())


def _by_name(stem: str, path: Path, references: dict[str, Path]) -> Match | None:
    if stem in references:
        return Match(stem, path, references[stem])
    for source, target in _source_target_splits(stem):
        if target in references:
            return Match(stem, path, references[target], references.get(source))
    return None


def _source_target_splits(stem: str) -> Iterator[tuple[str, str]]:
    """Yield every split of a name into source and target; the names themselves may contain a separator."""
    named = stem.removesuffix("_vis")
    for separator in SEPARATORS:
        parts = named.split(separator)
        for index in range(1, len(parts)):
            yield _bare(separator.join(parts[:index])), _bare(separator.join(parts[index:]))


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
        raise ScmError(f"{pairs}: has no rows")
    return sorted(found, key=lambda match: match.name)


def _by_pair(
    pairs: Path, rows: list[tuple[str, str]], results: dict[str, Path], references: dict[str, Path]
) -> list[Match]:
    """Match the rows of a pairs file; a result may be named by its target alone if only one pair has that target."""
    named = {split: path for stem, path in results.items() for split in _source_target_splits(stem)}
    num_pairs = Counter(target for _, target in set(rows))
    found, absent = [], []
    for source, target in rows:
        path = named.get((source, target)) or results.get(target)
        if path is None or target not in references:
            absent.append(f"{source},{target}")
            continue
        if (source, target) not in named and num_pairs[target] > 1:
            raise ScmError(
                f"{path}: is named after its target, which {num_pairs[target]} pairs of {pairs} share; name results "
                "by source and target, A_to_B"
            )
        found.append(Match(path.stem, path, references[target], references.get(source)))
    if absent:
        raise ScmError(
            f"{pairs}: {len(absent)} of {len(rows)} pairs lack a result or a reference, the first {absent[0]}; metrics "
            "of a subset cannot be compared"
        )
    return found


class FolderCases:
    """Results of any method with their references and, if a prepared folder has all sources, the baselines."""

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
            generated: folder of the results.
            reference: folder of the references.
            pairs: file that matches results and references, if their names do not.
            data: prepared folder with region maps and joints of references and sources, by their names.
            limit: maximum number of pairs.
            joints: table of joints that another estimator found in the results, by the results' names.

        Raises:
            ScmError: if one of these cannot be read, or the names do not match.
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
        """Return a hash of the references' contents, independent of names and order."""
        return hash_of_contents({match.reference for match in self.matches})

    def chunks(self, size: int) -> Iterator[list[Case]]:
        """Yield all cases in chunks of this size."""
        return read_ahead(self.one, len(self), size)

    def one(self, index: int) -> Case:
        """Read one case.

        Raises:
            ScmError: if an image is broken or does not have the prepared folder's size, or its row of the table of
                joints is missing.
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
        """Return an image with the prepared folder's regions and joints; None without a prepared folder."""
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
        """Return remarks on the folders, one sentence each."""
        found = []
        if self._num_matched < self._num_references:
            found.append(
                f"{self._num_references - self._num_matched:,} of {self._num_references:,} references have no result"
            )
        if self._other_shapes:
            found.append(
                f"{len(self._other_shapes):,} of {len(self.matches):,} results have another aspect than their "
                f"references, {min(self._other_shapes)} the first; they are compared at equal height, centred"
            )
        return found

    def described(self) -> dict[str, Any]:
        """Return the paths of the folders, and path and hash of the joints."""
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
    """Split a strip of PATN into result (its last image) and source (its first); any other image is the result."""
    if not _STRIP.fullmatch(name):
        return picture, None
    height, width = reference.shape[:2]
    cells = picture.shape[1] * height / (width * picture.shape[0])
    if round(cells) < 2 or round(cells) > _MAX_CELLS or abs(cells - round(cells)) > 0.01:
        return picture, None
    cell = picture.shape[1] // round(cells)
    return picture[:, -cell:], picture[:, :cell]


def fitted(picture: UInt8Array, canvas: Canvas) -> UInt8Array:
    """Resize a whole image to a canvas."""
    if picture.shape[:2] == (canvas.height, canvas.width):
        return picture
    return CropBox(0, 0, picture.shape[1], picture.shape[0], canvas).crop_image(picture, None)
