"""``scm app``: serve a local web page."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from scmnet_cli.cli.commands import with_help
from scmnet_cli.cli.console import note, warn
from scmnet_cli.cli.estimators import EstimatorOptions
from scmnet_cli.cli.grouping import grouped
from scmnet_cli.cli.options import Device, Model, WardrobeFile
from scmnet_cli.errors import ScmError

_HELP = """Open a page in the browser: upload a photo, choose a pose, change clothes.

Poses come from the library, another photo, or joints that you drag;
clothes come from another photo or the wardrobe. Click on the result to
see where that point came from.

By default only this machine can open the page, and no data leaves it.
Photos are deleted from the disk within minutes, and all others when you
stop the page with Ctrl-C. Prints the page's address. Needs Gradio, in the
extra `app` of this package.

\b
Examples:
  scm app -m runs/ccp
  scm app -m runs/ccp --port 8000 --no-browser --max-upload-mb 5
  scm app -m runs/ccp --host 0.0.0.0
  scm app -m runs/ccp --face-model runs/faces --faces data/faces
  scm app -m runs/ccp --pose-estimator rtmpose-m
"""


@grouped
@with_help(_HELP)
def app(
    estimators: EstimatorOptions,
    model: Model = None,
    wardrobe_file: WardrobeFile = None,
    host: Annotated[
        str,
        typer.Option(
            "--host", help="Address to listen on; 0.0.0.0 opens the page to the whole network, without a password."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0: any free port.")] = 7860,
    max_upload_mb: Annotated[
        float, typer.Option("--max-upload-mb", min=0.1, help="Reject photos with larger files.")
    ] = 20,
    max_megapixels: Annotated[
        float, typer.Option("--max-megapixels", min=0.1, max=100, help="Reject photos with more megapixels.")
    ] = 40,
    face_model: Annotated[
        Path | None,
        typer.Option("--face-model", help="Add a tab that colours drawn faces with this face model; needs --faces."),
    ] = None,
    faces: Annotated[
        Path | None, typer.Option("--faces", help="Prepared folder of faces to choose colours from.")
    ] = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Do not open the page in a browser.")] = False,
    device: Device = "auto",
) -> None:
    """Open a page in the browser: upload a photo, choose a pose, change clothes."""
    from scmnet_cli.app.faces import FaceStudio
    from scmnet_cli.app.server import LOCAL, serve
    from scmnet_cli.app.studio import Studio
    from scmnet_cli.app.uploads import Limits
    from scmnet_cli.cli.drawing.opening import open_model
    from scmnet_cli.inference.opening import open_wardrobe

    if (face_model is None) != (faces is None):
        raise ScmError("--face-model and --faces: each needs the other; give both")
    analyser = estimators.analyser()
    pipeline = open_model(model, device)
    studio = Studio(pipeline, analyser, Limits(max_upload_mb, max_megapixels), open_wardrobe(wardrobe_file))
    colouring = None if faces is None else FaceStudio(open_model(face_model, device), faces, studio.limits)
    if host not in LOCAL:
        warn(f"{host}: everyone who can reach this machine can use the page, without a password")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # uploads are deleted then too
    with suppress(KeyboardInterrupt), serve(studio, host, port, faces=colouring, open_browser=not no_browser) as url:
        print(url, flush=True)
        note("stop the page with Ctrl-C")
        threading.Event().wait()
