"""Reject requests that the page never sends, before Gradio sees them; delete folders left by killed apps."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import os
import shutil
import socket
import stat
import tempfile
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from scmnet_cli.errors import ScmError
from scmnet_cli.system.locks import held

log = logging.getLogger(__name__)

HOSTS_VARIABLE = "SCM_APP_HOSTS"
"""Environment variable with further host names of the server, separated by commas, such as that of a proxy."""

_LOCAL_NAMES = ("localhost", "localhost.localdomain")
_PREFIX, _LOCK = "scm-app-", ".lock"
_DAY = 24 * 3600
_MAX_JSON = 2 << 20
_FORM_OVERHEAD = 1 << 16


@dataclass(frozen=True)
class UploadLimits:
    """Limits of uploads.

    Attributes:
        file_bytes: maximum size of a file.
        files: maximum files per request; the sketch pad sends three.
        visitor_files: maximum files per client address within ``seconds``.
        visitor_bytes: maximum bytes per client address within ``seconds``.
        all_bytes: maximum bytes of all clients together within ``seconds``.
        seconds: time that uploads are kept.
    """

    file_bytes: int
    files: int = 4
    visitor_files: int = 60
    visitor_bytes: int = 400 << 20
    all_bytes: int = 4 << 30
    seconds: float = 300


class _Refused(Exception):  # noqa: N818 - an HTTP response, not an error
    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass
class _Ledger:
    """Recent uploads: time, client address, bytes."""

    limits: UploadLimits
    entries: deque[tuple[float, str, int]] = field(default_factory=deque)

    def add(self, visitor: str, num_bytes: int) -> None:
        now = time.monotonic()
        while self.entries and self.entries[0][0] < now - self.limits.seconds:
            self.entries.popleft()
        own = [size for _, address, size in self.entries if address == visitor]
        if len(own) >= self.limits.visitor_files or sum(own) + num_bytes > self.limits.visitor_bytes:
            raise _Refused(HTTPStatus.TOO_MANY_REQUESTS, "too many uploads; wait five minutes")
        if sum(size for _, _, size in self.entries) + num_bytes > self.limits.all_bytes:
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, "the page has too many uploads; wait five minutes")
        self.entries.append((now, visitor, num_bytes))


def allowed_hosts(host: str) -> frozenset[str]:
    """Return the host names that requests may use; IP addresses are always allowed.

    Against DNS rebinding: another site can make a browser send requests here under its own host name, but not under one
    of these.

    Args:
        host: address that the server listens on.
    """
    given = os.environ.get(HOSTS_VARIABLE, "").split(",")
    name = socket.gethostname()
    names = (*_LOCAL_NAMES, host, name, f"{name}.local", *given)
    return frozenset(name.strip().lower() for name in names if name.strip())


class Guard:
    """ASGI middleware that checks the host, limits uploads, and responds with 4xx to requests the page never sends."""

    def __init__(self, app: Any, hosts: Iterable[str], limits: UploadLimits) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._limits = limits
        self._ledger = _Ledger(limits)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Reject a request or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_noting(message: Any) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                # All computation runs in Gradio's queue, so a handler that fails received an invalid request.
                if scope["method"] == "POST" and message["status"] == HTTPStatus.INTERNAL_SERVER_ERROR:
                    message = {**message, "status": int(HTTPStatus.BAD_REQUEST)}
            await send(message)

        try:
            headers = _headers(scope)
            self._check_host(headers)
            if scope["method"] == "POST":
                receive = await self._checked_body(scope, headers, receive)
            await self._app(scope, receive, send_noting)
        except _Refused as refused:
            if not started:
                await _answer(send, refused.status, str(refused))
        except Exception:
            if started or scope["method"] != "POST":
                raise
            log.info("a request to %s could not be read", scope["path"], exc_info=True)
            await _answer(send, HTTPStatus.BAD_REQUEST, "this request cannot be read")

    def _check_host(self, headers: dict[str, str]) -> None:
        for name in ("host", "x-forwarded-host"):
            for value in headers.get(name, "" if name == "host" else "localhost").split(","):
                if not self._is_allowed(_without_port(value)):
                    raise _Refused(
                        HTTPStatus.MISDIRECTED_REQUEST, f"unknown host; name it in {HOSTS_VARIABLE} to allow it"
                    )
        origin = headers.get("origin")
        if origin is not None and not self._is_allowed(_without_port(origin.rpartition("://")[2])):
            raise _Refused(HTTPStatus.FORBIDDEN, "requests from other sites are refused")

    def _is_allowed(self, host: str) -> bool:
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(host)
            return True
        return host in self._hosts

    async def _checked_body(self, scope: Any, headers: dict[str, str], receive: Any) -> Any:
        length = headers.get("content-length", "")
        if not (length.isdecimal() and len(length) < 16):
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "the length of the request is missing")
        if "multipart/form-data" in headers.get("content-type", ""):
            if int(length) > self._limits.files * self._limits.file_bytes + _FORM_OVERHEAD:
                raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the upload is too large")
            self._ledger.add((scope.get("client") or ("", 0))[0], int(length))
            return _counting_files(receive, self._limits.files)
        if int(length) > _MAX_JSON:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too large")
        body = await _read(receive, _MAX_JSON)
        _check_json(body)
        return _replay(body, receive)


def _headers(scope: Any) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _without_port(host: str) -> str:
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host


def _check_json(body: bytes) -> None:
    """Reject a body that is not a JSON object as Gradio expects it."""
    if not body:
        return
    try:
        values = json.loads(body)
        if not isinstance(values, dict):
            raise _Refused(HTTPStatus.BAD_REQUEST, "the request is not a JSON object")
        json.dumps(values, allow_nan=False, ensure_ascii=False).encode()  # no NaN, no lone surrogates
        wrong = [
            name for name, kind in (("data", list), ("fn_index", int), ("session_hash", str), ("event_id", str))
            if values.get(name) is not None and not isinstance(values[name], kind)
        ]  # fmt: skip
    except (ValueError, RecursionError) as error:
        raise _Refused(HTTPStatus.BAD_REQUEST, "the request is not a JSON object") from error
    if wrong:
        raise _Refused(HTTPStatus.UNPROCESSABLE_ENTITY, f"{wrong[0]} has a wrong type")


async def _read(receive: Any, limit: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Refused(HTTPStatus.BAD_REQUEST, "the request broke off")
        body += message.get("body", b"")
        if len(body) > limit:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the request is too large")
        if not message.get("more_body"):
            return bytes(body)


def _replay(body: bytes, receive: Any) -> Any:
    """Return a ``receive`` that returns the body once and then passes on the client's messages."""
    given = False

    async def again() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _counting_files(receive: Any, most: int) -> Any:
    """Return a ``receive`` that rejects a form with more than ``most`` files."""
    mark, seen, tail = b"filename=", 0, b""

    async def counted() -> Any:
        nonlocal seen, tail
        message = await receive()
        text = tail + message.get("body", b"")
        seen += text.count(mark)
        if seen > most:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {most} files in one upload")
        tail = text[-(len(mark) - 1) :]
        return message

    return counted


async def _answer(send: Any, status: HTTPStatus, text: str) -> None:
    body = json.dumps({"detail": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": int(status), "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def temporary_folder() -> Iterator[str]:
    """Yield a folder for uploads and delete it at the end; first delete folders left by killed apps."""
    sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as folder:
        lock = Path(folder) / _LOCK
        with held(lock, f"{folder}: is used by another app"):
            yield folder


def sweep(parent: Path) -> list[Path]:
    """Delete the folders of this user's apps that were killed; return them."""
    if os.name != "posix":
        return []  # without locks there is no way to tell which folders are in use
    removed = []
    for folder in sorted(parent.glob(f"{_PREFIX}*")):
        try:
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                continue
            if not (folder / _LOCK).is_file() and time.time() - found.st_mtime < _DAY:
                continue  # an app that is just starting has not locked it yet
            with held(folder / _LOCK, f"{folder}: is in use"):
                shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
        except (OSError, ScmError):
            continue
    return removed
