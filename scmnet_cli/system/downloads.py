"""Downloads of large files: they go on where they broke, are checked, and appear in one step."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from scmnet_cli import __version__
from scmnet_cli.errors import ScmError

_CHUNK = 1 << 20
_SECONDS_WITHOUT_AN_ANSWER = 60
_ATTEMPTS = 3

_BROKEN = (OSError, http.client.HTTPException)  # what urllib raises is an OSError


def download(
    url: str,
    path: Path,
    sha256_start: str,
    progress: Callable[[int, int | None], None] | None = None,
    attempts: int = _ATTEMPTS,
) -> None:
    """Download a file; what an earlier, broken download left beside it is not asked for again.

    Args:
        url: where it is.
        path: where it goes; it appears only when it is whole and right.
        sha256_start: the first hexadecimal digits of its SHA-256.
        progress: told of bytes done and to do; the latter None where the server does not say.
        attempts: how often a broken connection is taken up again.

    Raises:
        ScmError: if the folder cannot be written, the connection fails, or the file is not the expected one.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.touch()
    except OSError as error:
        raise ScmError(f"{path.parent}: cannot be written ({error.strerror}); name another folder") from error
    for attempt in range(1, attempts + 1):
        try:
            _append(url, partial, progress or (lambda _done, _total: None))
            break
        except urllib.error.HTTPError as error:
            raise ScmError(f"{url}: cannot be downloaded (HTTP {error.code} {error.reason})") from error
        except _BROKEN as error:
            if attempt == attempts:
                reason = getattr(error, "reason", error)
                kept = f"; {partial.stat().st_size:,} bytes are kept, the same command goes on" * bool(
                    partial.stat().st_size
                )
                raise ScmError(f"{url}: cannot be downloaded ({reason}){kept}") from error
    with partial.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if not found.startswith(sha256_start):
        partial.unlink()
        raise ScmError(
            f"{url}: is not {path.name}: its sha256 starts with {found[: len(sha256_start)]}, not {sha256_start}; it "
            "was thrown away - try again, or another source"
        )
    os.replace(partial, path)


def _append(url: str, partial: Path, progress: Callable[[int, int | None], None]) -> None:
    """Add what is missing to a partial file."""
    have = partial.stat().st_size
    headers = {"User-Agent": f"scmnet_cli/{__version__}"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        answer = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=_SECONDS_WITHOUT_AN_ANSWER
        )
    except urllib.error.HTTPError as error:
        if have and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is missing; the checksum tells whether it is right
        raise
    with answer:
        goes_on = answer.status == HTTPStatus.PARTIAL_CONTENT
        if not goes_on:
            have = 0  # the server sends the whole
        length = int(answer.headers.get("Content-Length") or 0)
        total = have + length if length else None
        with partial.open("ab" if goes_on else "wb") as file:
            progress(have, total)
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                progress(have, total)
        if total and have < total:
            raise http.client.IncompleteRead(b"", total - have)
