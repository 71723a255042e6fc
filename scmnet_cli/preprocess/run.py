"""Turn a source folder into a prepared folder: crop everybody, leave out whom it must, go on after any interruption.

The order of names decides everything, so the result depends neither on how many work at it nor on what was finished
before: people are read ahead by several threads (decoding, resizing and compression run outside Python's lock) and
taken over in order of name.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from scmnet_cli import __version__
from scmnet_cli.data.dataset import PLAIN_GREY
from scmnet_cli.data.prepared import (
    COLUMNS,
    FORMAT_VERSION,
    Entry,
    Manifest,
    PreparedWriter,
    check_name,
    read_row,
    table_row,
    write_text,
)
from scmnet_cli.errors import ScmError
from scmnet_cli.images import CropBox, crop_around, whole_box
from scmnet_cli.preprocess.source import JOURNAL, Source
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.types import Canvas, FloatArray, Person

BACKGROUNDS = ("plain", "keep")
VAL_EVERY = 10
"""Every tenth usable person by name is for validation; nothing is ever trained on it."""


@dataclass(frozen=True)
class Outcome:
    """What a run did.

    Attributes:
        num_usable: people in the folder now.
        num_new: how many of them this run made.
        splits: how many of them are in each split.
        num_pairs: pairs of pictures of one person, both of them in the folder.
        left_out: who is not in it, and why.
        remarks: what else a person should know of it, a sentence each.
    """

    path: Path
    num_usable: int
    num_new: int
    splits: dict[str, int]
    num_pairs: int
    left_out: dict[str, str]
    remarks: list[str]


@dataclass(frozen=True)
class _Record:
    """What became of one name: an entry, or a reason."""

    name: str
    stamp: str
    digest: str
    row: tuple[str, ...] = ()
    reason: str = ""


def is_val(rank: int) -> bool:
    """Say whether the usable person at this place, counted from 0 in order of name, is for validation."""
    return rank % VAL_EVERY == VAL_EVERY - 1


def crop_person(person: Person, canvas: Canvas, background: str, *, framed: bool = False) -> tuple[Person, CropBox]:
    """Put a person of a photo on the canvas, centred on what the region map calls no background.

    Joints that lie beyond the canvas are missing on it.

    Args:
        person: in pixels of the photo.
        canvas: size of the result.
        background: ``plain`` paints it light grey, ``keep`` keeps it.
        framed: put the whole photo on the canvas instead, by :func:`whole_box`.

    Raises:
        ScmError: if the map is all background.
    """
    rows = np.flatnonzero(person.regions.any(axis=1))
    columns = np.flatnonzero(person.regions.any(axis=0))
    if not len(rows):
        raise ScmError("the region map is all background")
    if framed:
        box = whole_box(person.canvas.width, person.canvas.height, canvas)
    else:
        box = crop_around((int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1), canvas)
    image = person.image
    if background == "plain":
        image = image.copy()
        image[person.regions == BACKGROUND] = PLAIN_GREY
    cropped = box.crop_image(image, PLAIN_GREY if background == "plain" else None)
    joints = joints_on_canvas(person.joints, box)
    return Person(person.name, cropped, box.crop_labels(person.regions), joints), box


def joints_on_canvas(joints: FloatArray, box: CropBox) -> FloatArray:
    """Move joints of a photo onto the canvas; those beyond it are missing.

    Shape:
        joints, result: (18, 3).
    """
    moved = joints.copy()
    moved[:, :2] = box.to_canvas(joints[:, :2])
    limit = np.array([box.canvas.width, box.canvas.height])
    within = ((moved[:, :2] >= 0) & (moved[:, :2] <= limit - 1)).all(axis=1) & (joints[:, 2] > 0)
    moved[~within] = 0
    return moved


def prepare(
    source: Source,
    out: Path,
    canvas: Canvas,
    background: str = "plain",
    limit: int | None = None,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Make or complete a prepared folder.

    Args:
        source: whom to read.
        out: the prepared folder; an unfinished one is completed, a whole one gets only what is missing or changed.
        canvas: size of the pictures.
        background: ``plain`` or ``keep``.
        limit: stop after this many usable people; they are in the same split as without it.
        jobs: threads that work at it; all cores by default.
        progress: called with how many names are done, and how many there are.

    Raises:
        ScmError: if the folder is not ours to complete, or nobody is usable.
    """
    if background not in BACKGROUNDS:
        raise ScmError(f"background '{background}' is not one of {', '.join(BACKGROUNDS)}")
    names = source.names()
    settings = {
        "version": FORMAT_VERSION, "layout": source.layout, "height": canvas.height, "width": canvas.width,
        "background": background,
    }  # fmt: skip
    known = _open_folder(Path(out), settings)
    writer = PreparedWriter(out, canvas)
    usable: list[_Record] = []
    left_out = source.astray()
    may_repeat = source.splits() is not None  # published lists say who takes part, the same picture twice or not
    first_with: dict[str, str] = {}
    num_new = 0
    with (Path(out) / JOURNAL).open("a", encoding="utf-8") as journal:
        for number, record in enumerate(_in_order(source, writer, background, names, known, jobs), start=1):
            is_new = record is not known.get(record.name)
            if is_new:
                (Path(out) / "manifest.json").unlink(missing_ok=True)
                _append(journal, record)
            reason = record.reason
            if not reason and record.digest in first_with and not may_repeat:
                reason = f"is the same picture as '{first_with[record.digest]}'"
            if reason:
                left_out[record.name] = reason
            else:
                first_with[record.digest] = record.name
                usable.append(record)
                num_new += is_new
            if progress:
                progress(number, len(names))
            if limit is not None and len(usable) >= limit:
                break
    if not usable:
        first = next(iter(left_out.items()), None)
        because = f"all {len(left_out)} were left out, '{first[0]}' because: {first[1]}" if first else "it holds nobody"
        raise ScmError(f"{source.root}: nobody is usable; {because}")
    return _finish(source, writer, settings, usable, left_out, num_new)


def _finish(
    source: Source,
    writer: PreparedWriter,
    settings: dict[str, Any],
    usable: Sequence[_Record],
    left_out: dict[str, str],
    num_new: int,
) -> Outcome:
    names = [record.name for record in usable]
    own = source.splits()
    by_rank = {"train": {name for rank, name in enumerate(names) if not is_val(rank)}}
    by_rank["val"] = set(names) - by_rank["train"]
    splits = {split: [name for name in names if name in who] for split, who in (own or by_rank).items()}
    by_split = {split: len(chosen) for split, chosen in splits.items()}
    pairs, remark = _usable_pairs(source, set(names), left_out)
    remarks = [*source.remarks(), *remark]
    counts = {"usable": len(usable), "left_out": len(left_out), **by_split}
    manifest = Manifest(
        **settings,
        pose_estimator=source.pose_estimator,
        parser=source.parser,
        counts=counts | ({"pairs": len(pairs)} if pairs or remark else {}),
        left_out=left_out,
        remarks=remarks,
        rule=source.rule if own else f"{source.rule}; of the usable in order of name, every {VAL_EVERY}th is val",
        tool_version=__version__,
    )
    writer.finish(manifest, [_entry(record, writer.canvas) for record in usable], splits, pairs)
    return Outcome(writer.path, len(usable), num_new, by_split, len(pairs), left_out, remarks)


def _usable_pairs(
    source: Source, usable: set[str], left_out: dict[str, str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the pairs with both ends in the folder, and a sentence on the others, if there are any."""
    listed = list(dict.fromkeys(source.pairs()))
    pairs = [pair for pair in listed if usable.issuperset(pair)]
    known = set(source.names())
    reasons: Counter[str] = Counter()
    for pair in listed:
        missing = [name for name in pair if name not in usable]
        if any(name in left_out for name in missing):
            reasons["an end was left out"] += 1
        elif missing:
            reasons["an end is beyond --limit" if known.issuperset(missing) else "an end has no photo"] += 1
    if not reasons:
        return pairs, []
    told = ", ".join(f"{number:,} because {reason}" for reason, number in reasons.items())
    return pairs, [f"{reasons.total():,} of {len(listed):,} pairs were left out: {told}"]


def _entry(record: _Record, canvas: Canvas) -> Entry:
    return read_row(dict(zip(COLUMNS, record.row, strict=True)), canvas)


def _in_order(
    source: Source,
    writer: PreparedWriter,
    background: str,
    names: Sequence[str],
    known: dict[str, _Record],
    jobs: int | None,
) -> Iterator[_Record]:
    jobs = jobs or os.cpu_count() or 1
    ahead: deque[Future[_Record]] = deque()
    pool = ThreadPoolExecutor(jobs)
    try:
        for name in names:
            ahead.append(pool.submit(_record, source, writer, background, name, known.get(name)))
            if len(ahead) > 4 * jobs:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _record(source: Source, writer: PreparedWriter, background: str, name: str, known: _Record | None) -> _Record:
    """Make both pictures of a person, unless they are there and nothing changed."""
    stamp = source.stamp(name)
    if known is not None and known.stamp == stamp and (known.reason or writer.has(name)):
        return known
    try:
        check_name(name)
        person = source.read(name)
        cropped, box = crop_person(person, writer.canvas, background, framed=source.framed)
    except ScmError as error:
        return _Record(name, stamp, "", reason=str(error))
    writer.write(cropped)
    height, width = person.image.shape[:2]
    photo = str(source.photo(name).relative_to(source.root))
    entry = Entry(name, photo, (width, height), box, cropped.joints)
    digest = hashlib.sha256(repr(person.image.shape).encode() + person.image.tobytes()).hexdigest()[:24]
    return _Record(name, stamp, digest, row=tuple(table_row(entry)))


def _open_folder(out: Path, settings: dict[str, Any]) -> dict[str, _Record]:
    """Return what earlier runs found out, after making sure that the folder is theirs."""
    journal = out / JOURNAL
    if not journal.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ScmError(f"{out}: exists and was not made by 'scm preprocess'; choose another -o")
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ScmError(f"{out}: cannot be made ({error.strerror}); choose another -o") from error
        write_text(journal, json.dumps({"settings": settings}) + "\n")
        return {}
    for folder in ("images", "regions"):
        for partial in (out / folder).glob(".*"):
            partial.unlink()
    lines = journal.read_text(encoding="utf-8", errors="replace").splitlines()
    found = (_loads(lines[0]).get("settings") if lines else None) or {}
    if found != settings:
        changed = [f"{key} {found.get(key)} -> {value}" for key, value in settings.items() if found.get(key) != value]
        raise ScmError(f"{out}: was prepared otherwise ({', '.join(changed)}); choose another -o, or remove it")
    records = {record.name: record for line in lines[1:] if (record := _read_record(line)) is not None}
    text = "".join(json.dumps(vars(record)) + "\n" for record in records.values())
    write_text(journal, json.dumps({"settings": settings}) + "\n" + text)
    return records


def _read_record(line: str) -> _Record | None:
    """Return what a line of the journal says, if the whole line is there."""
    try:
        values = _loads(line)
        record = _Record(values["name"], values["stamp"], values["digest"], tuple(values["row"]), values["reason"])
        if not record.reason:
            _entry(record, Canvas(8, 8))
    except (KeyError, TypeError, ValueError, ScmError):
        return None
    return record


def _loads(line: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except ValueError:  # the line that a kill cut short
        return {}
    return values if isinstance(values, dict) else {}


def _append(journal: IO[str], record: _Record) -> None:
    try:
        journal.write(json.dumps(vars(record)) + "\n")
        journal.flush()
    except OSError as error:
        raise ScmError(f"{journal.name}: cannot be written ({error.strerror})") from error
