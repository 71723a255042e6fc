"""Elements of the page that both tabs use: headings, messages, hidden uploads and the components of ``page.js``."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import gradio as gr

ONE_MODEL = "model"
"""Queue of drawing: one task at a time."""

STATE_KEPT = 3600
"""Seconds for which a visitor's state is kept after the tab was closed."""


def part(name: str, value: Any, events: Sequence[str], **props: Any) -> Any:
    """Return a custom component: an element that ``scm.NAME`` of page.js fills.

    Gradio finds the events by their names in the script.
    """
    script = f"scm.{name}({{element, trigger, props, watch}}, {list(events)})"
    return gr.HTML(
        value, html_template="<div></div>", js_on_load=script, apply_default_css=False, elem_id=name, **props
    )


def upload(name: str) -> Any:
    """Return a hidden upload button; page.js passes it files that are dropped, pasted or chosen."""
    with gr.Column(elem_id=name, elem_classes="scm-hidden"):
        return gr.UploadButton("Upload", type="filepath", file_count="single")


def html_element(text: str, name: str | None = None) -> Any:
    """Return an element with the given HTML."""
    return gr.HTML(text, elem_id=name, padding=False)


def title(mark: str, text: str, more: str = "") -> str:
    """Return the HTML of a numbered heading."""
    return f'<h2 class="step"><span>{mark}</span>{text}<small>{html.escape(more)}</small></h2>'


def hint(text: str) -> str:
    """Return the HTML of a grey line of help."""
    return f'<p class="hint">{html.escape(text)}</p>'


def alert(text: str) -> str:
    """Return the HTML of an error message."""
    return f'<p role="alert">{html.escape(text)}</p>'
