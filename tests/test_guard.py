"""Requests that our page never sends get a 4xx; folders left by killed apps are deleted."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest

from scmnet_cli.app.guard import HOSTS_VARIABLE, Guard, UploadLimits, allowed_hosts, sweep

LIMITS = UploadLimits(file_bytes=1000, files=3, visitor_files=5, visitor_bytes=100_000, all_bytes=300_000)
JSON = {"content-type": "application/json"}
FORM = {"content-type": "multipart/form-data; boundary=x"}


def form(num: int, name: str = "a.png") -> bytes:
    part = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\nabc\r\n'.encode()
    return part * num + b"--x--\r\n"


class Page:
    """A guard in front of an application that reads the whole request and fails on demand."""

    def __init__(self, error: Exception | None = None) -> None:
        self.bodies: list[bytes] = []
        self.error = error
        self.guard = Guard(self._app, allowed_hosts("127.0.0.1"), LIMITS)

    async def _app(self, _scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if self.error is not None:
            raise self.error
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def ask(
        self, body: bytes = b"", headers: dict[str, str] | None = None, method: str = "POST", client: str = "10.0.0.1"
    ) -> int:
        given = {"host": "localhost:7860", "content-length": str(len(body)), **(headers or {})}
        scope = {
            "type": "http", "method": method, "path": "/gradio_api/upload", "client": (client, 1),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }  # fmt: skip
        pieces = [body[i : i + 7] for i in range(0, len(body), 7)] or [b""]
        messages = [
            {"type": "http.request", "body": piece, "more_body": n + 1 < len(pieces)} for n, piece in enumerate(pieces)
        ]
        statuses: list[int] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        asyncio.run(self.guard(scope, receive, send))
        (status,) = statuses
        return status


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:7860", "127.0.0.1:7860", "192.168.1.7", "[::1]:7860"])
def test_known_hosts_and_ip_addresses_are_accepted(host: str) -> None:
    assert Page().ask(method="GET", headers={"host": host}) == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": ""}, 421),
        ({"host": "localhost.evil.example:7860"}, 421),
        ({"x-forwarded-host": "evil.example"}, 421),
        ({"x-forwarded-host": "localhost, evil.example"}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_other_hosts_and_other_sites_are_refused(headers: dict[str, str], status: int) -> None:
    assert Page().ask(method="GET", headers=headers) == status


def test_a_proxy_is_allowed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOSTS_VARIABLE, "photos.example, other.example")
    assert Page().ask(method="GET", headers={"host": "photos.example", "origin": "https://photos.example"}) == 200


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[1]",
        b"\xff",
        b'"\\ud800"',
        b'{"data": [NaN]}',
        b'{"a": "\\ud800"}',
        b"[" * 100_000,
        b"1" * 5000,
        b"null",
    ],
)
def test_a_body_that_is_not_a_json_object_is_a_400(body: bytes) -> None:
    page = Page()
    assert page.ask(body, JSON) == 400
    assert not page.bodies


@pytest.mark.parametrize("values", [{"data": 1}, {"fn_index": "x"}, {"session_hash": []}, {"event_id": {}}])
def test_a_request_with_a_value_of_a_wrong_type_is_a_422(values: dict[str, object]) -> None:
    assert Page().ask(json.dumps(values).encode(), JSON) == 422


def test_a_valid_request_arrives_complete() -> None:
    page, body = Page(), json.dumps({"data": ["é", 1], "fn_index": 3, "session_hash": "abc"}).encode()
    assert page.ask(body, JSON) == 200
    assert page.bodies == [body]


@pytest.mark.parametrize("error", [KeyError("fn"), IsADirectoryError("."), ValueError("x"), RuntimeError("y")])
def test_a_request_on_which_gradio_fails_is_a_400(error: Exception) -> None:
    assert Page(error).ask(form(1, "."), FORM) == 400


def test_a_request_without_a_length_or_with_too_great_a_one_is_refused() -> None:
    assert Page().ask(b"{}", {**JSON, "content-length": ""}) == 411
    assert Page().ask(b"{}", {**JSON, "content-length": str(3 << 20)}) == 413
    assert Page().ask(form(1), {**FORM, "content-length": "99999999"}) == 413


def test_sixty_files_in_one_request_are_refused_and_three_are_not() -> None:
    page = Page()
    assert page.ask(form(60), FORM) == 413
    assert page.ask(form(3), FORM) == 200
    assert page.bodies == [form(3)]


def test_uploads_are_limited_per_visitor_and_five_minutes() -> None:
    page = Page()
    answers = [page.ask(form(1), FORM, client="10.0.0.1") for _ in range(7)]
    assert answers == [200] * 5 + [429] * 2
    assert page.ask(form(1), FORM, client="10.0.0.2") == 200


def test_the_folder_of_a_killed_app_is_removed_and_that_of_a_running_one_is_kept(tmp_path: Path) -> None:
    for name in ("killed", "running", "starting"):
        (tmp_path / f"scm-app-{name}").mkdir()
        (tmp_path / f"scm-app-{name}" / "photo.png").write_bytes(b"x")
    for name in ("killed", "running"):
        (tmp_path / f"scm-app-{name}" / ".lock").touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "scm-app-link").symlink_to(elsewhere)
    handle = os.open(tmp_path / "scm-app-running" / ".lock", os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert sweep(tmp_path) == [tmp_path / "scm-app-killed"]
    finally:
        os.close(handle)
    assert {path.name for path in tmp_path.iterdir()} == {
        "scm-app-running", "scm-app-starting", "scm-app-link", "elsewhere"
    }  # fmt: skip
