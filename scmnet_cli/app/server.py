"""Serve the page: by default to this machine only, and without loading anything from other hosts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from scmnet_cli.app.guard import Guard, UploadLimits, allowed_hosts, temporary_folder
from scmnet_cli.errors import ScmError

if TYPE_CHECKING:
    from scmnet_cli.app.faces import FaceStudio
    from scmnet_cli.app.studio import Studio

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Hosts that only this machine can reach."""

_MOST_VISITORS = 50
"""Maximum number of sessions, 7 MB each; beyond it the oldest is dropped, and its visitor starts again."""

_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif"]
_MONO = ["ui-monospace", "Consolas", "monospace"]

_LAUNCHED: dict[str, Any] = {
    "share": False,
    "prevent_thread_lock": True,
    "quiet": True,
    "footer_links": [],
    "run_history": False,
    "enable_monitoring": False,
    "ssr_mode": False,
    "pwa": False,
    "mcp_server": False,
    "state_session_capacity": _MOST_VISITORS,
}
"""Gradio's settings that are always the same: no contact with other hosts, and no extra interfaces."""

# Gradio's page creates styles and code at run time, hence 'unsafe-inline' and 'unsafe-eval'. Everything is served from
# here; with this policy a browser contacts no other host, even if another version of Gradio tries to.
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self';"
    " form-action 'self'; frame-ancestors 'self'"
)


class _OnlyFromHere:
    """ASGI middleware that adds a content security policy: load nothing from other hosts."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                extra = [(b"content-security-policy", _POLICY.encode()), (b"referrer-policy", b"no-referrer")]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        await self._app(scope, receive, send_with_policy)


@contextmanager
def serve(
    studio: Studio,
    host: str = "127.0.0.1",
    port: int = 7860,
    *,
    faces: FaceStudio | None = None,
    open_browser: bool = False,
) -> Iterator[str]:
    """Serve the page until the block ends; then delete all its files.

    Args:
        studio: model and analyser.
        host: address to listen on; any but :data:`LOCAL` opens the page to other machines.
        port: port; 0: any free port.
        faces: face model for drawings; None: no tab for drawings.
        open_browser: open the page in the user's browser.

    Yields:
        URL of the page.

    Raises:
        ScmError: if Gradio is not installed or the address is not available.
    """
    try:
        port = _free_port(host, port)
    except OSError as error:
        raise _refused(host, port, error) from error
    with temporary_folder() as folder, _environment(folder):
        try:
            import gradio as gr
            from starlette.middleware import Middleware
        except ImportError as error:
            raise ScmError(f"the page needs Gradio ({error}); install it: pip install 'scmnet-cli[app]'") from error
        from scmnet_cli.app.page import STYLE, build_page, head

        page = build_page(studio, faces)
        middleware = [
            Middleware(_OnlyFromHere),
            Middleware(Guard, hosts=allowed_hosts(host), limits=UploadLimits(studio.limits.num_bytes)),
        ]
        try:
            _, url, _ = page.launch(
                server_name=host,
                server_port=port,
                inbrowser=open_browser,
                max_file_size=studio.limits.num_bytes,
                theme=gr.themes.Soft(primary_hue="teal", font=_FONTS, font_mono=_MONO),
                css_paths=STYLE,
                head=head(),
                app_kwargs={"middleware": middleware, "docs_url": None, "redoc_url": None},
                **_LAUNCHED,
            )
        except OSError as error:
            raise _refused(host, port, error) from error
        try:
            yield url
        finally:
            page.close(verbose=False)


@contextmanager
def _environment(folder: str) -> Iterator[None]:
    """Set environment variables that make Gradio keep its files in a folder and send no telemetry."""
    local = ",".join([*filter(None, [os.environ.get("NO_PROXY", "")]), *LOCAL])
    wanted = {
        "GRADIO_TEMP_DIR": folder,
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": local,  # Gradio checks its own server by HTTP
        "no_proxy": local,
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _free_port(host: str, port: int) -> int:
    """Return the given port, or for 0 a free one.

    Raises:
        OSError: if the port is taken, or the host is not an address of this machine.
    """
    import socket

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        if os.name == "posix":  # otherwise the port of a page that was just stopped stays taken for a minute
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        return int(probe.getsockname()[1])


def _refused(host: str, port: int, error: OSError) -> ScmError:
    return ScmError(f"--host {host} --port {port}: not available ({error}); choose another port")
