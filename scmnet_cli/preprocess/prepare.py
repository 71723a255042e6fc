"""Prepare a source folder: crop every person, skip unusable ones, resume after interruptions.

Several threads process people ahead (decoding, resizing and compression release the GIL), and results are used in order
of name. So the result does not depend on the number of workers or on an earlier interruption.

The outcome for each name is appended to a journal as soon as it is known. Each process of a team has its own journal;
the process that writes the lists merges all journals, and prepares the names that none of them has.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from scmnet_cli import __version__
from scmnet_cli.data.cropping import crop_person
from scmnet_cli.data.prepared import (
    FORMAT_VERSION,
    VAL_EVERY,
    Entry,
    Manifest,
    PreparedWriter,
    check_name,
    is_val,
    table_row,
)
from scmnet_cli.domains import DOMAINS, PERSON
from scmnet_cli.errors import ScmError
from scmnet_cli.files import open_to_append, translate_os_errors
from scmnet_cli.images import CropBox
from scmnet_cli.preprocess.budget import PixelBudget
from scmnet_cli.preprocess.journal import Record, append_record, entry_of, lock_folder, merge_journals, read_records
from scmnet_cli.sources.source import JOURNAL, Source
from scmnet_cli.system.processes import ALONE, Rank, Team
from scmnet_cli.types import Canvas, Person, UInt8Array

log = logging.getLogger(__name__)

BACKGROUNDS = ("plain", "keep")


@dataclass(frozen=True)
class Prepared:
    """The outcome of a run.

    Attributes:
        num_usable: number of people in the folder.
        num_new: number of people prepared by this run.
        splits: number of people in each split.
        num_pairs: number of pairs with both images in the folder.
        left_out: names of unusable people with the reason.
        remarks: remarks on the source as a whole.
    """

    path: Path
    num_usable: int
    num_new: int
    splits: dict[str, int]
    num_pairs: int
    left_out: dict[str, str]
    remarks: list[str]


def prepare(
    source: Source,
    out: Path,
    canvas: Canvas,
    background: str = "plain",
    limit: int | None = None,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    team: Team = ALONE,
) -> Prepared:
    """Write or complete a prepared folder.

    With several processes, each writes the images of its share; then rank 0 writes the lists.

    Args:
        source: reader of the source folder.
        out: the prepared folder; only missing or changed people of an existing one are prepared.
        canvas: size of the images.
        background: ``plain`` or ``keep``.
        limit: stop after this many usable people; the limit does not change their splits.
        jobs: number of threads; all cores by default.
        progress: called with the number of names done and in all.
        team: the processes that share the work.

    Raises:
        ScmError: if the folder was not written by this program, another run is writing to it, no person is usable, or a
            process is gone.
    """
    settings = _settings(source, canvas, background)
    jobs = jobs or max(1, (os.cpu_count() or 1) // team.rank.local_count)
    num_new = 0
    if team.rank.count > 1:
        made = prepare_share(source, out, canvas, background, limit, jobs, progress, team.rank)
        num_new = sum(team.gather(made))
    outcome = None
    if team.rank.is_first:
        with translate_os_errors(Path(out)), lock_folder(Path(out)):
            outcome = _prepare(source, Path(out), settings, canvas, limit, jobs, progress)
    (first, *_) = team.gather(outcome)
    if first is None:
        raise AssertionError("rank 0 ended without an outcome")
    return replace(first, num_new=first.num_new + num_new)


def prepare_share(
    source: Source,
    out: Path,
    canvas: Canvas,
    background: str,
    limit: int | None,
    jobs: int | None,
    progress: Callable[[int, int], None] | None,
    share: Rank,
) -> int:
    """Write the images of one share of the people; :func:`prepare` writes the lists afterwards.

    Args:
        source: reader of the source folder.
        out: the prepared folder.
        canvas: size of the images.
        background: ``plain`` or ``keep``.
        limit: maximum number of usable people over all shares.
        jobs: number of threads; all cores by default.
        progress: called with the number of names done and in the share.
        share: index and number of shares; several can run at the same time.

    Returns:
        The number of people that this run prepared.

    Raises:
        ScmError: if the folder was not written by this program, or another run writes to it or does the same share.
    """
    settings = _settings(source, canvas, background)
    names = share.share(source.names())
    enough = None if limit is None else -(-limit // share.count)
    out, num_new, num_usable = Path(out), 0, 0
    journal_path = out / f"{Path(JOURNAL).stem}.{share.index + 1}-of-{share.count}.jsonl"
    named = f"share {share.index + 1} of {share.count}"
    with translate_os_errors(out), lock_folder(out, together=True), lock_folder(out, named):
        known = read_records(out, settings)
        writer = PreparedWriter(out, canvas, DOMAINS[source.domain])
        with open_to_append(journal_path) as journal:
            for number, record in _in_order(source, writer, background, names, known, jobs):
                if record is not known.get(record.name):
                    (out / "manifest.json").unlink(missing_ok=True)
                    append_record(journal, record)
                    num_new += not record.reason
                num_usable += not record.reason
                if progress:
                    progress(number, len(names))
                if enough is not None and num_usable >= enough:
                    break
    return num_new


def _settings(source: Source, canvas: Canvas, background: str) -> dict[str, Any]:
    if background not in BACKGROUNDS:
        raise ScmError(f"background '{background}' is not one of {', '.join(BACKGROUNDS)}")
    settings = {
        "version": FORMAT_VERSION, "layout": source.layout, "height": canvas.height, "width": canvas.width,
        "background": background,
    }  # fmt: skip
    # Folders of people from older versions have no domain in their settings.
    return settings if source.domain == PERSON.name else settings | {"domain": source.domain}


def _prepare(
    source: Source,
    out: Path,
    settings: dict[str, Any],
    canvas: Canvas,
    limit: int | None,
    jobs: int,
    progress: Callable[[int, int], None] | None,
) -> Prepared:
    names = source.names()
    known = read_records(out, settings)
    merge_journals(out, settings, known)
    background = settings["background"]
    writer = PreparedWriter(out, canvas, DOMAINS[source.domain])
    usable: list[Record] = []
    left_out = source.unmatched()
    may_repeat = source.splits() is not None  # published lists may contain duplicates
    first_with: dict[str, str] = {}
    num_new = 0
    with open_to_append(out / JOURNAL) as journal:
        for number, record in _in_order(source, writer, background, names, known, jobs):
            is_new = record is not known.get(record.name)
            if is_new:
                (out / "manifest.json").unlink(missing_ok=True)
                append_record(journal, record)
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
        because = f"all {len(left_out)} were left out, '{first[0]}' because: {first[1]}" if first else "it holds none"
        raise ScmError(f"{source.root}: no person is usable; {because}")
    return _finish(source, writer, settings, usable, left_out, num_new)


def _finish(
    source: Source,
    writer: PreparedWriter,
    settings: dict[str, Any],
    usable: Sequence[Record],
    left_out: dict[str, str],
    num_new: int,
) -> Prepared:
    names = [record.name for record in usable]
    own = source.splits()
    train_only = source.train_only()
    entries = [entry_of(record, writer.canvas, writer.domain) for record in usable]
    # All people of a photo are in one split.
    photos = dict.fromkeys(entry.photo for entry in entries if entry.name not in train_only)
    for_val = {photo for place, photo in enumerate(photos) if is_val(place)}
    val = {entry.name for entry in entries if entry.photo in for_val}
    by_place = {"train": set(names) - val, "val": val}
    splits = {split: [name for name in names if name in listed] for split, listed in (own or by_place).items()}
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
    writer.finish(manifest, entries, splits, pairs)
    return Prepared(writer.path, len(usable), num_new, by_split, len(pairs), left_out, remarks)


def _usable_pairs(
    source: Source, usable: set[str], left_out: dict[str, str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the pairs with both ends in the folder, and a remark on the others, if any."""
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
    counted = ", ".join(f"{number:,} because {reason}" for reason, number in reasons.items())
    return pairs, [f"{reasons.total():,} of {len(listed):,} pairs were left out: {counted}"]


def _in_order(
    source: Source,
    writer: PreparedWriter,
    background: str,
    names: Sequence[str],
    known: dict[str, Record],
    jobs: int | None,
) -> Iterator[tuple[int, Record]]:
    """Yield the records of all names in order, each with the number of names done."""
    jobs = jobs or os.cpu_count() or 1
    ahead: deque[Future[list[Record]]] = deque()
    pool, budget = ThreadPoolExecutor(jobs), PixelBudget(jobs)
    done = itertools.count(1)

    def of_next() -> list[tuple[int, Record]]:
        number = next(done)
        return [(number, record) for record in ahead.popleft().result()]

    try:
        for name in names:
            ahead.append(pool.submit(_records, source, writer, background, name, known, budget))
            if len(ahead) > 4 * jobs:
                yield from of_next()
        while ahead:
            yield from of_next()
    finally:
        pool.shutdown(cancel_futures=True)


def _records(
    source: Source,
    writer: PreparedWriter,
    background: str,
    name: str,
    known: dict[str, Record],
    budget: PixelBudget,
) -> list[Record]:
    """Write the images of all people of a name, unless they are up to date."""
    stamp = ""
    try:
        stamp = source.stamp(name)
        earlier = _up_to_date(writer, name, stamp, known)
        if earlier:
            return earlier
        check_name(name)
        with budget.held(source.photo(name)):
            read = _read(source, name, writer.canvas, background)
    except ScmError as error:
        return [Record(name, stamp, "", reason=str(error))]
    except OSError as error:  # a file or folder was removed, or is not readable
        return [Record(name, stamp, "", reason=f"cannot be read ({error})")]
    photo = str(source.photo(name).relative_to(source.root))
    records = []
    for number, (cropped, box) in enumerate(read.crops):
        writer.write(cropped)
        row = tuple(table_row(Entry(cropped.name, photo, (read.canvas.width, read.canvas.height), box, cropped.joints)))
        others = () if number else tuple(person.name for person, _ in read.crops[1:])
        digest = f"{read.digest}-{number}" if number else read.digest
        records.append(Record(cropped.name, stamp, digest, row, others=others))
    return records


@dataclass(frozen=True)
class _ReadPhoto:
    """The people of a photo, cropped, and the photo's hash and size."""

    crops: list[tuple[Person, CropBox]]
    digest: str
    canvas: Canvas


def _read(source: Source, name: str, canvas: Canvas, background: str) -> _ReadPhoto:
    """Read and crop all people of a name, one after the other, so that one photo-sized region map is held at a time."""
    crops, photo = [], None
    for person in source.read_all(name):
        cropped, box = crop_person(person, canvas, background, source.box(person, canvas))
        crops.append((source.finished(cropped), box))
        photo = photo or (_digest(person.image), person.canvas)
        del person  # its region map is as large as the photo: free it before the next one is made
    if photo is None:
        raise ScmError("no person found in the photo")
    return _ReadPhoto(crops, *photo)


def _digest(image: UInt8Array) -> str:
    """Return a hash of a photo, to find duplicates."""
    found = hashlib.sha256(repr(image.shape).encode())
    found.update(np.ascontiguousarray(image).data)  # tobytes would make a copy
    return found.hexdigest()[:24]


def _up_to_date(writer: PreparedWriter, name: str, stamp: str, known: dict[str, Record]) -> list[Record]:
    """Return the records of all people of a name if their images are up to date, else an empty list."""
    first = known.get(name)
    if first is None or first.stamp != stamp:
        return []
    records = [first, *(known[other] for other in first.others if other in known)]
    is_whole = len(records) == 1 + len(first.others) and all(record.stamp == stamp for record in records)
    is_there = all(record.reason or writer.has(record.name) for record in records)
    return records if is_whole and is_there else []
