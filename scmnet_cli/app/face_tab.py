"""The page's tab for drawn faces: draw or upload a face, and choose the face that gives the colours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from scmnet_cli.app import views
from scmnet_cli.app.elements import ONE_MODEL, STATE_KEPT, alert, hint, html_element, title
from scmnet_cli.app.faces import FaceStudio
from scmnet_cli.errors import ScmError
from scmnet_cli.provenance import encode_generated

_PAD, _STROKE = 420, 3
"""Pixels: side of the sketch pad, and half the width of a stroke, thin enough to be read as a line."""


@dataclass(frozen=True)
class _Elements:
    """The elements of the tab; ``drawing`` is the state that holds the path of an uploaded drawing."""

    drawing: Any
    message: Any
    pad: Any
    upload: Any
    used: Any
    offered: Any
    result: Any


def lay_out_faces(studio: FaceStudio) -> None:
    """Lay out the tab and connect it with a face model."""
    message = html_element("", "face-message")
    drawing = gr.State(None, time_to_live=STATE_KEPT)
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=340):
            html_element(title("1", "Drawing"))
            html_element(hint("Draw a large face from the front with the brush on the left, or upload a picture."))
            pad = gr.Sketchpad(
                type="filepath",
                show_label=False,
                canvas_size=(_PAD, _PAD),
                height=_PAD + 60,
                layers=False,
                buttons=[],
                brush=gr.Brush(default_size=_STROKE, colors=["#000000"], color_mode="fixed"),
                elem_id="pad",
            )
            upload = gr.File(type="filepath", file_count="single", show_label=False, height=120, elem_id="drawing")
            used = html_element("", "drawing-used")
        with gr.Column(scale=4, min_width=300):
            html_element(title("2", "Colours from"))
            offered = gr.Gallery(
                list(zip(studio.faces(), studio.names, strict=True)),
                show_label=False,
                columns=4,
                height=560,
                allow_preview=False,
                buttons=[],
                interactive=False,
                elem_id="faces",
            )
        with gr.Column(scale=5, min_width=340):
            html_element(title("3", "Result"))
            result = html_element(
                hint("Choose the face that gives the colours; your picture appears here."), "face-result"
            )
    _connect(studio, _Elements(drawing, message, pad, upload, used, offered, result))


def _connect(studio: FaceStudio, shown: _Elements) -> None:
    def colour(path: str | None, number: int) -> tuple[Any, ...]:
        if path is None:
            return alert("Draw a face first, or upload a picture."), gr.skip()
        try:
            made = studio.colour(Path(path), studio.names[number])
        except ScmError as error:
            return alert(str(error)), gr.skip()
        picture = encode_generated(np.asarray(made.result.image), mark=True)
        image = f'<img class="face" alt="The coloured drawing" src="{views.data_url(picture, "PNG")}">'
        return "", f"{image}<p>{_links(np.asarray(made.result.image), made.strip)}</p>"

    def chosen(sketch: dict[str, Any] | None, path: str | None, event: gr.SelectData) -> tuple[Any, ...]:
        return colour(path or (sketch or {}).get("composite"), int(event.index))

    shown.offered.select(
        chosen,
        [shown.pad, shown.drawing],
        [shown.message, shown.result],
        concurrency_id=ONE_MODEL,
        concurrency_limit=1,
        api_visibility="private",
    )
    private: dict[str, Any] = {"queue": False, "api_visibility": "private"}
    shown.upload.upload(
        lambda path: (path, hint("This picture is used until you draw.")),
        shown.upload,
        [shown.drawing, shown.used],
        **private,
    )
    shown.upload.clear(lambda: (None, ""), None, [shown.drawing, shown.used], **private)
    shown.pad.input(lambda: (None, "", None), None, [shown.drawing, shown.used, shown.upload], **private)


def _links(result: Any, strip: Any) -> str:
    """Return download links for both pictures, with the data inside the page, so that no file is needed."""
    links = []
    for name, text, picture in (("result", "Download picture", result), ("strip", "Download strip", strip)):
        shown = views.file_view(f"scm-{name}", picture, "PNG", mark=True)
        links.append(f'<a class="download" download="{shown["name"]}" href="{shown["data"]}">{text}</a>')
    return "".join(links)
