"""Serve the page: to this machine only unless another host is given, and with nothing loaded from elsewhere."""

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
"""Hosts that only this machine reaches."""

_MOST_VISITORS = 50
"""Sessions kept at a time, 7 MB each; the oldest is forgotten, and its visitor starts anew."""

_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif"]
_MONO = ["ui-monospace", "Consolas", "monospace"]

# Gradio's page builds its styles and some of its code while it runs. All of it comes from the server itself; a browser
# with that setting asks nobody else, even if another version of Gradio wanted to.
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self';"
    " form-action 'self'; frame-ancestors 'self'"
)


class _OnlyFromHere:
    """Adds to each answer what the browser may load: nothing from another host."""

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
    """Serve the page until the block is left; then everything that it had on the disk is removed.

    Args:
        studio: what it does.
        host: address to listen on; any but :data:`LOCAL` lets others in.
        port: where; 0: any that is free.
        faces: what it does with drawings of faces, if anything.
        open_browser: open the page in the user's browser.

    Yields:
        the page's address.

    Raises:
        ScmError: if Gradio is not installed, or the address cannot be listened on.
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
        guard = Middleware(Guard, hosts=allowed_hosts(host), limits=UploadLimits(studio.limits.num_bytes))
        try:
            _, url, _ = page.launch(
                server_name=host,
                server_port=port,
                share=False,
                inbrowser=open_browser,
                prevent_thread_lock=True,
                quiet=True,
                footer_links=[],
                run_history=False,
                enable_monitoring=False,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                state_session_capacity=_MOST_VISITORS,
                max_file_size=studio.limits.num_bytes,
                theme=gr.themes.Soft(primary_hue="teal", font=_FONTS, font_mono=_MONO),
                css_paths=STYLE,
                head=head(),
                app_kwargs={"middleware": [Middleware(_OnlyFromHere), guard], "docs_url": None, "redoc_url": None},
            )
        except OSError as error:
            raise _refused(host, port, error) from error
        try:
            yield url
        finally:
            page.close(verbose=False)


@contextmanager
def _environment(folder: str) -> Iterator[None]:
    """Tell Gradio, by the only way there is, to keep its files in a folder and to report to nobody."""
    local = ",".join([*filter(None, [os.environ.get("NO_PROXY", "")]), *LOCAL])
    wanted = {
        "GRADIO_TEMP_DIR": folder,
        "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": local,  # it asks its own server whether it is up
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
    """Return a port that can be listened on now: the one that is given or, for 0, any.

    Raises:
        OSError: if it is taken, or there is no such host here.
    """
    import socket

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        if os.name == "posix":  # else a page that was just stopped would keep its port for a minute
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
        return int(probe.getsockname()[1])


def _refused(host: str, port: int, error: OSError) -> ScmError:
    return ScmError(f"--host {host} --port {port}: cannot be listened on ({error}); choose another port")
