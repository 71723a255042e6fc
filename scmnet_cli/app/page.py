"""Lay out the page and connect its components with the functions of ``session.py``.

Only this module uses Gradio; it is imported late, since importing Gradio takes seconds. Custom components are in
``page.js``: each is a ``gr.HTML`` that a function there fills.
"""

from __future__ import annotations

import html
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

from scmnet_cli.app import session as steps
from scmnet_cli.app import views
from scmnet_cli.app.faces import FaceStudio
from scmnet_cli.app.session import Session
from scmnet_cli.app.studio import Studio, example_photos
from scmnet_cli.errors import ScmError
from scmnet_cli.provenance import encode_generated

_log = logging.getLogger(__name__)

STYLE = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")

_SWEEP, _KEPT = 60, 300
"""Seconds between two clean-ups of the folder of uploads and shown pictures, and how long these are kept."""

_STATE_KEPT = 3600
_MOST_WAITING = 200
_ONE_MODEL, _LEARNING = "model", "learning"
"""Queues of drawing and of fine-tuning on a visitor: one task at a time in each."""

_RESULT_CARD = "card-result"
_PAD, _STROKE = 420, 3
"""Pixels: side of the sketch pad, and half the width of a stroke, thin enough to be read as a line."""

_EXAMPLE_HEIGHT = 120

_HEAD = """
<div id="head"><h1>SCM-Net <small>another pose, other clothes</small></h1>
<details><summary>Private: everything stays on this machine</summary>
<p>The machine that runs <code>scm app</code> computes everything; nothing is sent anywhere else, and photos are
deleted from its disk within minutes. What it learns of a person stays in its memory and goes with the visit. Use photos
of people who agreed to it. Say that the picture is generated where you show it: its file says so
too.</p></details></div>
"""

Step = Callable[[Session], Session]
Stages = list[tuple[str, Step]]
"""Steps, each with the message shown while it runs."""


@dataclass(frozen=True)
class _Components:
    """The components that display a session, in the order of :func:`_shown`."""

    notice: Any
    photo: Any
    pose: Any
    clothes: Any
    result: Any
    origin: Any

    def all(self) -> list[Any]:
        """Return all components."""
        return list(vars(self).values())


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
        _html(_HEAD)
        if faces is None:
            _lay_out_people(studio)
        else:
            with gr.Tab("A person"):
                _lay_out_people(studio)
            with gr.Tab("A drawn face"):
                _lay_out_faces(faces)
    page.queue(max_size=_MOST_WAITING, default_concurrency_limit=1)
    return page


def _lay_out_people(studio: Studio) -> None:
    first = steps.start(studio)
    session = gr.State(first, time_to_live=_STATE_KEPT)
    examples = example_photos()
    about = {"skeleton": views.skeleton_view(), "limit": studio.limits.num_bytes}
    with gr.Row(elem_id="cards", equal_height=False):
        with gr.Column(elem_id="card-photo", min_width=100):
            _html(_title("1", "Photo", "one person, upright, large"))
            photo = _part("photo", None, ["example"], examples=[_example(path) for path in examples], **about)
            photo_upload = _upload("photo-upload")
        with gr.Column(elem_id="card-pose", min_width=100):
            _html(_title("2", "Pose"))
            poses = [views.pose_view(pose) for pose in studio.library()]
            events = ["pick", "own", "moved", "mirror"]
            pose = _part("pose", views.posing_view(first.posing, None), events, poses=poses, **about)
            pose_upload = _upload("pose-upload")
        with gr.Column(elem_id="card-result", min_width=100):
            _html(_title("3", "Result"))
            result = _part("result", None, ["trace", "save", "marked", "learn"])
            origin = _part("origin", None, [])
        with gr.Column(elem_id="card-clothes", min_width=100, visible=studio.pipeline.model.has_regions):
            wardrobe = views.garment_views(studio.garment_cards())
            clothes = _part("clothes", _clothes_view(first), ["wear"], wardrobe=wardrobe, **about)
            reference_upload = _upload("reference-upload")
    notice, file = _part("notice", None, []), _part("file", None, [])
    shown = _Components(notice, photo, pose, clothes, result, origin)

    def on(listen: Any, at: str, stages: Callable[[Any], Stages], inputs: Any = None, name: str | None = None) -> None:
        """Run stages on an event; show errors at the card ``at``."""

        def given(visit: Session, upload: str) -> Iterator[tuple[Any, ...]]:
            yield from _run(stages(upload), visit, at)

        def happened(visit: Session, event: gr.EventData) -> Iterator[tuple[Any, ...]]:
            yield from _run(stages(event._data or {}), visit, at)  # noqa: SLF001 - the public way names each field

        listen(
            happened if inputs is None else given,
            [session] if inputs is None else [session, inputs],
            [session, *shown.all()],
            concurrency_id=_ONE_MODEL,
            concurrency_limit=1,
            show_progress="minimal",
            show_progress_on=result,
            trigger_mode="always_last",
            **({"api_visibility": "private"} if name is None else {"api_name": name}),
        )

    def draw(visit: Session) -> Session:
        return steps.draw(studio, visit)

    def read(what: str, step: Callable[[Studio, Session, Path], Session]) -> Callable[[str], Stages]:
        return lambda path: [
            (f"Reading {what}: joints and regions", lambda visit: step(studio, visit, Path(path))),
            ("Drawing", draw),
        ]

    def now(step: Callable[[Session, dict[str, Any]], Session]) -> Callable[[dict[str, Any]], Stages]:
        return lambda data: [("Drawing", lambda visit: draw(step(visit, data)))]

    on(photo_upload.upload, "card-photo", read("your photo", steps.read_photo), photo_upload, "photo")
    on(pose_upload.upload, "card-pose", read("the pose", steps.read_pose), pose_upload, "pose_of_photo")
    on(
        reference_upload.upload,
        "card-clothes",
        read("the clothes", steps.read_reference),
        reference_upload,
        "reference",
    )
    on(photo.example, "card-photo", lambda data: read("the example", steps.read_photo)(_chosen(examples, data)))
    on(pose.pick, "card-pose", now(lambda visit, data: steps.choose_pose(studio, visit, _number(data))))
    on(pose.own, "card-pose", now(lambda visit, _: steps.use_own_pose(visit)))
    on(pose.moved, "card-pose", now(lambda visit, data: steps.move_joints(visit, data.get("joints") or [])))
    on(pose.mirror, "card-pose", now(lambda visit, _: steps.mirror_pose(visit)))
    on(clothes.wear, "card-clothes", now(lambda visit, data: steps.wear(studio, visit, *_clothes(data))))
    on(result.trace, "card-result", lambda data: [("Tracing the point", lambda visit: _trace(studio, visit, data))])
    on(
        result.marked,
        "card-result",
        lambda data: [("", lambda visit: steps.set_mark(visit, mark=data.get("on") is True))],
    )

    _connect_learning(studio, session, shown, draw)

    def save(visit: Session, event: gr.EventData) -> Any:
        return _file(visit, event._data or {})  # noqa: SLF001

    result.save(save, [session], [file], queue=False, api_visibility="private")


def _connect_learning(studio: Studio, session: Any, shown: _Components, draw: Step) -> None:
    """Connect the button that fine-tunes a copy of the model on the visitor; only the notice changes until the end."""
    learned = gr.State(None, time_to_live=_STATE_KEPT)

    def learn(visit: Session) -> Iterator[tuple[Any, Any]]:
        yield None, _notice("busy", "Learning this person")
        try:
            for state in steps.learn(studio, visit):
                if isinstance(state, steps.Learned):
                    yield state, gr.skip()
                else:
                    yield gr.skip(), _notice("busy", f"Learning this person: {state.share:.0%}")
        except ScmError as error:
            yield None, _notice("error", str(error), _RESULT_CARD)
        except Exception:  # noqa: BLE001 - after any error the visitor must not wait forever
            _log.exception("the page could not learn a person")
            yield None, _notice("error", "This failed; the terminal of scm app says why.", _RESULT_CARD)

    def use(visit: Session, found: steps.Learned | None) -> Iterator[tuple[Any, ...]]:
        if found is None:
            yield visit, gr.skip(), *_UNCHANGED
            return
        if found.personal is None:
            yield (
                visit,
                _notice("error", "Nothing was gained on this photo; all stays as it was.", _RESULT_CARD),
                *_UNCHANGED,
            )
            return
        yield from _run([("Drawing", lambda before: draw(steps.use_learned(before, found)))], visit, _RESULT_CARD)

    private: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": 1}
    event = shown.result.learn(
        learn, [session], [learned, shown.notice], concurrency_id=_LEARNING, trigger_mode="once", **private
    )
    event.then(use, [session, learned], [session, *shown.all()], concurrency_id=_ONE_MODEL, **private)


def _run(stages: Stages, before: Session, at: str) -> Iterator[tuple[Any, ...]]:
    """Run the stages and show the outcome of each before the next; after an error the earlier outcomes stay."""
    for doing, step in stages:
        if doing:
            yield before, _notice("busy", doing), *_UNCHANGED
        try:
            after = step(before)
        except ScmError as error:
            yield before, _notice("error", str(error), at), *_UNCHANGED
            return
        except Exception:  # noqa: BLE001 - after any error the visitor must not wait forever
            _log.exception("this step of the page failed: %s", doing)
            yield before, _notice("error", "This failed; see the terminal of scm app for the reason.", at), *_UNCHANGED
            return
        yield after, gr.skip(), *_shown(before, after)
        before = after
    yield before, _notice("done"), *_UNCHANGED


_UNCHANGED = [gr.skip()] * 5  # all components but the notice
_serial = itertools.count(1)


def _notice(state: str, text: str = "", at: str = "") -> views.View:
    return {"serial": next(_serial), "state": state, "text": text, "at": at}


def _shown(before: Session, after: Session) -> tuple[Any, ...]:
    """Return updates for the changed parts of a session, in the order of :class:`_Components` without the notice."""
    same = gr.skip()
    photo = views.photo_view(after.found) if after.found is not None and after.found is not before.found else same
    pose, clothes, result, origin = same, same, same, same
    if after.posing is not before.posing or after.pose_found is not before.pose_found:
        pose = views.posing_view(after.posing, after.pose_found)
    if after.reference_found is not before.reference_found:
        clothes = _clothes_view(after)
    if after.drawn is not None and after.found is not None:
        new = after.drawn is not before.drawn
        if new or after.mark is not before.mark:
            serial = {"serial": next(_serial)} if new else {"serial": None}
            result = views.result_view(after.drawn, after.found, mark=after.mark) | serial
            result |= {"learned": after.personal is not None}
    if after.origin is not before.origin:
        origin = None if after.origin is None else views.origin_view(after.origin)
    return photo, pose, clothes, result, origin


def _clothes_view(session: Session) -> views.View:
    found = session.reference_found
    return {"photo": None if found is None else views.photo_view(found), "regions": list(session.regions)}


def _number(data: dict[str, Any]) -> int:
    number = data.get("number")
    if not isinstance(number, int):
        raise ScmError("the choice is not a number; reload the page")
    return number


def _chosen(examples: Sequence[Path], data: dict[str, Any]) -> str:
    return str(examples[_number(data) % len(examples)])


def _clothes(data: dict[str, Any]) -> tuple[list[str], list[str]]:
    regions, garments = data.get("regions"), data.get("garments")
    if not (isinstance(regions, list) and isinstance(garments, list)):
        raise ScmError("the choice of clothes is not a list; reload the page")
    return list(map(str, regions)), list(map(str, garments))


def _trace(studio: Studio, session: Session, data: dict[str, Any]) -> Session:
    try:
        return steps.trace(studio, session, float(data["across"]), float(data["down"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ScmError("the point is not a pair of numbers; reload the page") from error


def _file(session: Session, data: dict[str, Any]) -> views.View | None:
    if session.drawn is None:
        return None
    if data.get("what") == "strip":
        picture, name = session.drawn.strip, "scm-strip"
    else:
        picture, name = np.asarray(session.drawn.result.image), "scm-result"
    kind = data.get("kind")
    chosen = kind if kind in ("PNG", "JPEG", "WEBP") else "PNG"
    return views.file_view(name, picture, chosen, mark=session.mark) | {"serial": next(_serial)}


def _example(path: Path) -> views.View:
    with Image.open(path) as image:
        shown = image.convert("RGB")
    shown.thumbnail((4 * _EXAMPLE_HEIGHT, _EXAMPLE_HEIGHT))
    return {"title": views.readable(path.stem), "image": views.photo_url(np.asarray(shown))}


def _lay_out_faces(studio: FaceStudio) -> None:
    message = _html("", "face-message")
    drawing = gr.State(None, time_to_live=_STATE_KEPT)
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=340):
            _html(_title("1", "Drawing"))
            _html(_hint("Draw a face with the brush on the left, large and from the front, or upload a picture."))
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
            used = _html("", "drawing-used")
        with gr.Column(scale=4, min_width=300):
            _html(_title("2", "Colours of"))
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
            _html(_title("3", "Result"))
            result = _html(_hint("Choose a face to take the colours from; your picture appears here."), "face-result")

    def colour(path: str | None, number: int) -> tuple[Any, ...]:
        if path is None:
            return _alert("Draw a face first, or upload a picture of one."), gr.skip()
        try:
            made = studio.colour(Path(path), studio.names[number])
        except ScmError as error:
            return _alert(str(error)), gr.skip()
        shown = encode_generated(np.asarray(made.result.image), mark=True)
        image = f'<img class="face" alt="The coloured drawing" src="{views.data_url(shown, "PNG")}">'
        return "", f"{image}<p>{_links(np.asarray(made.result.image), made.strip)}</p>"

    def chosen(sketch: dict[str, Any] | None, path: str | None, event: gr.SelectData) -> tuple[Any, ...]:
        return colour(path or (sketch or {}).get("composite"), int(event.index))

    offered.select(
        chosen,
        [pad, drawing],
        [message, result],
        concurrency_id=_ONE_MODEL,
        concurrency_limit=1,
        api_visibility="private",
    )
    private: dict[str, Any] = {"queue": False, "api_visibility": "private"}
    upload.upload(
        lambda path: (path, _hint("This picture is used until you draw.")), upload, [drawing, used], **private
    )
    upload.clear(lambda: (None, ""), None, [drawing, used], **private)
    pad.input(lambda: (None, "", None), None, [drawing, used, upload], **private)


def _links(result: Any, strip: Any) -> str:
    """Return download links for both pictures, with the data inside the page, so that no file is needed."""
    links = []
    for name, text, picture in (("result", "Download picture", result), ("strip", "Download strip", strip)):
        shown = views.file_view(f"scm-{name}", picture, "PNG", mark=True)
        links.append(f'<a class="download" download="{shown["name"]}" href="{shown["data"]}">{text}</a>')
    return "".join(links)


def _part(name: str, value: Any, events: Sequence[str], **props: Any) -> Any:
    """Return a custom component: an element that ``scm.NAME`` of page.js fills.

    Gradio finds the events by their names in the script.
    """
    script = f"scm.{name}({{element, trigger, props, watch}}, {list(events)})"
    return gr.HTML(
        value, html_template="<div></div>", js_on_load=script, apply_default_css=False, elem_id=name, **props
    )


def _upload(name: str) -> Any:
    """Return a hidden upload button; page.js passes it files that are dropped, pasted or chosen."""
    with gr.Column(elem_id=name, elem_classes="scm-hidden"):
        return gr.UploadButton("Upload", type="filepath", file_count="single")


def _html(text: str, name: str | None = None) -> Any:
    return gr.HTML(text, elem_id=name, padding=False)


def _title(mark: str, text: str, more: str = "") -> str:
    return f'<h2 class="step"><span>{mark}</span>{text}<small>{html.escape(more)}</small></h2>'


def _hint(text: str) -> str:
    return f'<p class="hint">{html.escape(text)}</p>'


def _alert(text: str) -> str:
    return f'<p role="alert">{html.escape(text)}</p>'
