"""``scm app``: a web page on this machine."""

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
from scmnet_cli.cli.options import Closet, Device, Model
from scmnet_cli.errors import ScmError

_HELP = """Open a page in the browser: upload a photo, choose a pose, change clothes.

Poses come from the library, from another photo, or from joints that you
drag; clothes from another photo, or from the wardrobe. A click on the result
shows where that point came from.

The page is served to this machine only, and nothing leaves it. Photos are
deleted from the disk within minutes, and all that is left when the page is
stopped with Ctrl-C. Prints the page's address. Needs Gradio, which comes
with the extra `app` of this package.

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
    closet: Closet = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0 lets the whole network in, without a password.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0: any that is free.")] = 7860,
    max_upload_mb: Annotated[
        float, typer.Option("--max-upload-mb", min=0.1, help="Refuse photos whose files are larger.")
    ] = 20,
    max_megapixels: Annotated[
        float, typer.Option("--max-megapixels", min=0.1, max=100, help="Refuse photos with more million pixels.")
    ] = 40,
    face_model: Annotated[
        Path | None,
        typer.Option("--face-model", help="Colour drawn faces too, with this model of faces; needs --faces."),
    ] = None,
    faces: Annotated[
        Path | None, typer.Option("--faces", help="Prepared folder of the faces whose colours are offered.")
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
        raise ScmError("--face-model and --faces: each needs the other")
    analyser = estimators.analyser()
    pipeline = open_model(model, device)
    studio = Studio(pipeline, analyser, Limits(max_upload_mb, max_megapixels), open_wardrobe(closet))
    colouring = None if faces is None else FaceStudio(open_model(face_model, device), faces, studio.limits)
    if host not in LOCAL:
        warn(f"{host}: everybody who reaches this machine can use the page, without a password")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is on the disk goes then too
    with suppress(KeyboardInterrupt), serve(studio, host, port, faces=colouring, open_browser=not no_browser) as url:
        print(url, flush=True)
        note("stop it with Ctrl-C")
        threading.Event().wait()
