"""The journal of an unfinished prepared folder, and the locks of its writers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from scmnet_cli.data.prepared import COLUMNS, Entry, read_row
from scmnet_cli.domains import DOMAINS, PERSON, Domain
from scmnet_cli.errors import ScmError
from scmnet_cli.files import write_text
from scmnet_cli.sources.source import JOURNAL
from scmnet_cli.system.locks import held
from scmnet_cli.types import Canvas


@dataclass(frozen=True)
class Record:
    """The outcome for one name: an entry or the reason for skipping it; and the names of others in its photo."""

    name: str
    stamp: str
    digest: str
    row: tuple[str, ...] = ()
    reason: str = ""
    others: tuple[str, ...] = ()


def entry_of(record: Record, canvas: Canvas, domain: Domain) -> Entry:
    """Return the entry of the prepared folder that a record holds."""
    return read_row(dict(zip(COLUMNS[domain.name], record.row, strict=True)), canvas, domain)


@contextmanager
def lock_folder(out: Path, what: str = "", *, together: bool = False, patient: bool = False) -> Iterator[None]:
    """Hold a lock on the folder or on a named part of it; it is released when the process ends, even by a kill.

    Args:
        out: the prepared folder; created if necessary.
        what: the part.
        together: take a shared lock.
        patient: wait until the lock is free.

    Raises:
        ScmError: if the folder cannot be created or was not written by this program, or another process holds the lock.
    """
    _make_folder(out)
    doing = f"doing {what}" if what else "writing into it"
    refusal = f"{out}: another 'scm preprocess' is {doing}; wait for it to end, or choose another -o"
    with held(out / "-".join([".lock", *what.split()]), refusal, together=together, patient=patient):
        yield


def _make_folder(out: Path) -> None:
    ours = (".lock", f".{JOURNAL}")
    holds_something = out.exists() and (not out.is_dir() or any(not p.name.startswith(ours) for p in out.iterdir()))
    # Checked after the listing: another process may be creating the folder, and writes its journal first.
    if holds_something and not (out / JOURNAL).is_file():
        raise ScmError(f"{out}: exists and was not made by 'scm preprocess'; choose another -o")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScmError(f"{out}: cannot be made ({error.strerror}); choose another -o") from error


def read_records(out: Path, settings: dict[str, Any]) -> dict[str, Record]:
    """Return the records of earlier runs and other processes, after checking that they had the same settings."""
    journal = out / JOURNAL
    with lock_folder(out, "start", patient=True):
        if not journal.is_file():
            write_text(journal, json.dumps({"settings": settings}) + "\n")
    found = _loads(next(_lines(journal), "")).get("settings")
    found = found if isinstance(found, dict) else {}
    if found != settings:
        changed = [f"{key} {found.get(key)} -> {value}" for key, value in settings.items() if found.get(key) != value]
        raise ScmError(
            f"{out}: was prepared with other settings ({', '.join(changed)}); choose another -o or remove it"
        )
    domain = DOMAINS[settings.get("domain", PERSON.name)]
    records: dict[str, Record] = {}
    for path in (journal, *_journals_of_shares(out)):
        for line in _lines(path):
            record = _read_record(line, domain)
            if record is not None:
                records[record.name] = record
    return records


def _lines(journal: Path) -> Iterator[str]:
    with journal.open(encoding="utf-8", errors="replace") as file:
        yield from file


def _journals_of_shares(out: Path) -> list[Path]:
    return sorted(out.glob(f"{Path(JOURNAL).stem}.*-of-*.jsonl"))


def merge_journals(out: Path, settings: dict[str, Any], known: dict[str, Record]) -> None:
    """Merge all journals into one, and remove partial files of killed runs; no other run may be writing."""
    for folder in ("images", "regions", "edges"):
        for partial in (out / folder).glob(".*"):
            partial.unlink()
    text = "".join(json.dumps(vars(record)) + "\n" for record in known.values())
    write_text(out / JOURNAL, json.dumps({"settings": settings}) + "\n" + text)
    for shared in _journals_of_shares(out):
        shared.unlink()


def _read_record(line: str, domain: Domain) -> Record | None:
    """Parse a line of the journal; None if it is damaged, so that its photo is prepared again."""
    try:
        values = _loads(line)
        row, others = tuple(values["row"]), tuple(values.get("others", ()))
        record = Record(values["name"], values["stamp"], values["digest"], row, values["reason"], others)
        texts = (record.name, record.stamp, record.digest, record.reason, *row, *others)
        if not all(isinstance(text, str) for text in texts):
            return None
        if not record.reason:
            entry_of(record, Canvas(8, 8), domain)
    except (KeyError, TypeError, ValueError, OverflowError, ScmError):
        return None
    return record


def _loads(line: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):  # an incomplete line of a killed run, or a file of another program
        return {}
    return values if isinstance(values, dict) else {}


def append_record(journal: IO[str], record: Record) -> None:
    """Append a record to an open journal, and flush it.

    Raises:
        ScmError: if it cannot be written.
    """
    try:
        journal.write(json.dumps(vars(record)) + "\n")
        journal.flush()
    except OSError as error:
        raise ScmError(f"{journal.name}: cannot be written ({error.strerror})") from error
