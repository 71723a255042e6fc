"""Download large files over https: resume broken downloads, check the SHA-256, rename on completion."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from scmnet_cli import __version__
from scmnet_cli.errors import ScmError

_CHUNK = 1 << 20
_SECONDS_WITHOUT_AN_ANSWER = 60
_ATTEMPTS = 3
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")

_BROKEN = (OSError, http.client.HTTPException)  # urllib's errors are OSErrors


def download(
    url: str,
    path: Path,
    sha256: str,
    progress: Callable[[int, int | None], None] | None = None,
    attempts: int = _ATTEMPTS,
) -> None:
    """Download a file; resume an earlier, broken download.

    Args:
        url: address of the file: https, or http on this machine.
        path: target; it appears only when it is complete and its checksum is right.
        sha256: hash of the file, 64 hexadecimal digits.
        progress: called with the bytes done and in all, None if the server does not give the size.
        attempts: number of attempts after a broken connection.

    Raises:
        ScmError: if the address is not allowed, the folder cannot be written, the connection fails, or the file is not
            the expected one.
    """
    _check_url(url)
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if partial.is_symlink():
            partial.unlink()
        partial.touch()
    except OSError as error:
        raise ScmError(f"{path.parent}: cannot be written ({error.strerror}); choose another folder") from error
    for attempt in range(1, attempts + 1):
        try:
            _append(url, partial, progress or (lambda _done, _total: None))
            break
        except urllib.error.HTTPError as error:
            raise ScmError(f"{url}: cannot be downloaded (HTTP {error.code} {error.reason})") from error
        except _BROKEN as error:
            if attempt == attempts:
                reason = getattr(error, "reason", error)
                kept = f"; {partial.stat().st_size:,} bytes are kept, the same command resumes" * bool(
                    partial.stat().st_size
                )
                raise ScmError(f"{url}: cannot be downloaded ({reason}){kept}") from error
    with partial.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        partial.unlink()
        raise ScmError(
            f"{url}: is not {path.name}: its sha256 is {found}, not {sha256}; it was deleted - try again, or another "
            "source"
        )
    os.replace(partial, path)


def _check_url(url: str) -> None:
    """Check that an address cannot be spoofed on the way.

    Raises:
        ScmError: if the address is neither https nor http on this machine.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _THIS_MACHINE):
        raise ScmError(f"{url}: is not an https address; give one")


class _CheckedRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to addresses that :func:`_check_url` allows."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _check_url(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _append(url: str, partial: Path, progress: Callable[[int, int | None], None]) -> None:
    """Append the missing bytes to a partial file."""
    have = partial.stat().st_size
    headers = {"User-Agent": f"scmnet_cli/{__version__}"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        answer = urllib.request.build_opener(_CheckedRedirects).open(
            urllib.request.Request(url, headers=headers), timeout=_SECONDS_WITHOUT_AN_ANSWER
        )
    except urllib.error.HTTPError as error:
        if have and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is missing; the checksum decides
        raise
    with answer:
        resumes = answer.status == HTTPStatus.PARTIAL_CONTENT
        if not resumes:
            have = 0  # the server sends the whole file
        length = int(answer.headers.get("Content-Length") or 0)
        total = have + length if length else None
        with partial.open("ab" if resumes else "wb") as file:
            progress(have, total)
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                have += len(chunk)
                progress(have, total)
        if total and have < total:
            raise http.client.IncompleteRead(b"", total - have)
