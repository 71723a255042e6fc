"""Lay out the page and connect its components with the models.

The tabs are in ``people_tab.py`` and ``face_tab.py``. These modules use Gradio and are imported late, since importing
Gradio takes seconds. Custom components are in ``page.js``: each is a ``gr.HTML`` that a function there fills.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from scmnet_cli.app.elements import html_element
from scmnet_cli.app.face_tab import lay_out_faces
from scmnet_cli.app.faces import FaceStudio
from scmnet_cli.app.people_tab import lay_out_people
from scmnet_cli.app.studio import Studio

STYLE = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")

_SWEEP, _KEPT = 60, 300
"""Seconds between two clean-ups of the folder of uploads and shown pictures, and how long these are kept."""

_MOST_WAITING = 200

_HEAD = """
<div id="head"><h1>SCM-Net <small>another pose, other clothes</small></h1>
<details><summary>Private: everything stays on this machine</summary>
<p>The machine that runs <code>scm app</code> computes everything; nothing is sent anywhere else, and photos are
deleted from its disk within minutes. A model that has learned a person stays in memory and is deleted with the visit.
Use photos only of people who have agreed. When you show a picture, say that it is generated; the file says so
too.</p></details></div>
"""


def head() -> str:
    """Return the elements to add to the document's head."""
    return f"<script>{SCRIPT.read_text(encoding='utf-8')}</script>"


def build_page(studio: Studio, faces: FaceStudio | None = None) -> gr.Blocks:
    """Lay out the page and connect it with the models, without serving it yet.

    Args:
        studio: operations on people.
        faces: operations on drawn faces; None: no tab for them.
    """
    with gr.Blocks(title="SCM-Net", analytics_enabled=False, delete_cache=(_SWEEP, _KEPT)) as page:
        html_element(_HEAD)
        if faces is None:
            lay_out_people(studio)
        else:
            with gr.Tab("A person"):
                lay_out_people(studio)
            with gr.Tab("A drawn face"):
                lay_out_faces(faces)
    page.queue(max_size=_MOST_WAITING, default_concurrency_limit=1)
    return page
