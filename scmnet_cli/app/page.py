"""The page: each control hands its value to a function of ``session.py`` and shows what has changed.

This module alone knows Gradio; it is imported when a page is made, for that takes seconds.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image, PngImagePlugin

from scmnet_cli.app import session as steps
from scmnet_cli.app.faces import FaceStudio
from scmnet_cli.app.posing import draw_posing
from scmnet_cli.app.session import Session
from scmnet_cli.app.studio import Drawn, Studio, enlarged
from scmnet_cli.errors import ScmError
from scmnet_cli.images import GENERATED, example_photo
from scmnet_cli.poses.sheet import draw_pose
from scmnet_cli.regions import COLOURS, region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import UInt8Array

STYLE = Path(__file__).with_name("page.css")

_SWEEP, _KEPT = 60, 300
"""Seconds between two sweeps of the folder that uploads and shown pictures are in, and how long they stay there."""

_STATE_KEPT = 3600
_MOST_WAITING = 200
_ONE_MODEL = "model"
_PAD, _STROKE = 420, 3
"""Pixels: of the sketch pad in each direction, and half a stroke's width, thin enough to be read as a line."""


_HEAD = """
<div id="head"><h1>Another pose, other clothes</h1>
<p>Give a photo of one person. SCM-Net draws them in the pose you choose, or in somebody else's clothes.</p>
<p class="small">Everything is computed on the machine that runs <code>scm app</code>; nothing is sent anywhere else.
Photos are deleted from its disk within minutes. Use photos of people who agreed to it, and say that the picture is
generated where you show it.</p></div>
"""
_NO_RESULT = '<p class="hint">Your picture appears here as soon as there is a photo.</p>'
_CLICK_RESULT = (
    '<p class="hint">Click anywhere in the result to see which places of the photo that point was made of.</p>'
)
_CLICK_POSE = "Click a joint, then click where it goes. Choose one that is missing from the list below."


@dataclass(frozen=True)
class _View:
    """The components that show a session, in the order of :func:`_shown`."""

    message: Any
    found: Any
    found_legend: Any
    pose: Any
    pose_hint: Any
    joint: Any
    reference: Any
    regions: Any
    result: Any
    links: Any
    strip: Any
    origin: Any
    origin_told: Any

    def all(self) -> list[Any]:
        """Return all components."""
        return list(vars(self).values())


def build_page(studio: Studio, faces: FaceStudio | None = None) -> gr.Blocks:
    """Lay out the page and connect it with what computes; nothing is served yet.

    Args:
        studio: for people.
        faces: for drawings of faces; None: the page says nothing of them.
    """
    with gr.Blocks(title="SCM-Net", analytics_enabled=False, delete_cache=(_SWEEP, _KEPT)) as page:
        _say(_HEAD)
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
    poses = [(draw_pose(pose), pose.name) for pose in studio.library()]
    limits = f"at most {studio.limits.megabytes:g} MB and {studio.limits.megapixels:g} million pixels"
    session = gr.State(first, time_to_live=_STATE_KEPT)
    message = _say("", "message")
    with gr.Row(equal_height=False):
        with gr.Column(scale=4, min_width=300):
            _say(_title("1", "Your photo"))
            _say(_hint(f"One person, upright, as large as possible ({limits})."))
            photo = _upload("photo")
            example = gr.Button("No photo at hand? Try an example", size="sm", elem_id="example")
            found = _picture("found", visible=False)
            found_legend = _say("")
            with gr.Column(visible=studio.pipeline.model.has_regions):
                _say(_title("+", "Other clothes, if you like"))
                _say(_hint("A photo of somebody who wears what you want."))
                reference_photo = _upload("reference-photo")
                reference = _picture("reference", visible=False)
                regions = gr.CheckboxGroup([], label="Take from this photo", visible=False, elem_id="regions")
                garments = gr.CheckboxGroup(
                    [(f"{name} ({region})", name) for name, region in studio.garments.items()],
                    label="From the wardrobe",
                    visible=bool(studio.garments),
                    elem_id="garments",
                )
        with gr.Column(scale=5, min_width=340):
            _say(_title("2", "Pose"))
            with gr.Tab("Library"):
                library = gr.Gallery(
                    poses,
                    show_label=False,
                    columns=5,
                    height=640,
                    allow_preview=False,
                    object_fit="contain",
                    buttons=[],
                    interactive=False,
                    elem_id="library",
                )
            with gr.Tab("From a photo"):
                _say(_hint("A photo of anybody who stands as you want."))
                pose_photo = _upload("pose-photo")
                own_pose = gr.Button("Keep the pose of my photo", size="sm")
            with gr.Tab("By hand"):
                pose_hint = _say(_hint(_CLICK_POSE))
                pose = _picture("pose", draw_posing(first.posing), height=500)
                with gr.Row(equal_height=False):
                    joint = gr.Dropdown(
                        [(name.replace("_", " "), name) for name in JOINTS],
                        value=None,
                        label="Joint",
                        scale=3,
                        min_width=160,
                    )
                    remove = gr.Button("Leave it out", size="sm", scale=1, min_width=100)
                    mirror = gr.Button("Mirror the pose", size="sm", scale=1, min_width=100)
        with gr.Column(scale=5, min_width=340):
            _say(_title("3", "Result"))
            result = _picture("result", height=560, visible=False)
            links = _say(_NO_RESULT, "links")
            origin_told = _say("", "origin-told")
            origin = _picture("origin", visible=False)
            with gr.Accordion("Strip: photo, pose and result side by side", open=False):
                strip = _picture("strip", visible=False)

    view = _View(
        message, found, found_legend, pose, pose_hint, joint, reference, regions, result, links, strip, origin,
        origin_told,
    )  # fmt: skip

    def on(listen: Callable[..., Any], step: Callable[..., Session], inputs: Sequence[Any] = (), **more: Any) -> None:
        listen(
            _acting(step),
            [session, *inputs],
            [session, *view.all()],
            concurrency_id=_ONE_MODEL,
            concurrency_limit=1,
            show_progress_on=[result, found],
            **more,
        )

    def on_upload(box: Any, step: Callable[[Studio, Session, Path], Session], name: str) -> None:
        on(box.upload, lambda visit, file: step(studio, visit, Path(file)), [box], api_name=name)
        box.upload(lambda: None, None, box, queue=False, api_visibility="private")

    def on_select(component: Any, step: Callable[[Session, Any], Session]) -> None:
        def selected(visit: Session, event: gr.SelectData) -> tuple[Any, ...]:
            return _act(lambda: step(visit, event.index), visit)

        component.select(
            selected,
            [session],
            [session, *view.all()],
            concurrency_id=_ONE_MODEL,
            concurrency_limit=1,
            show_progress="minimal",
            api_visibility="private",
        )

    private: dict[str, Any] = {"api_visibility": "private"}
    on_upload(photo, steps.take_photo, "photo")
    on_upload(pose_photo, steps.take_pose_of_photo, "pose_of_photo")
    on_upload(reference_photo, steps.take_reference, "reference")
    on(example.click, lambda visit: steps.take_photo(studio, visit, example_photo()), **private)
    on(own_pose.click, lambda visit: steps.take_own_pose(studio, visit), **private)
    on(mirror.click, lambda visit: steps.mirror_pose(studio, visit), **private)
    on(remove.click, lambda visit: steps.remove_joint(studio, visit), **private)
    on(joint.input, steps.choose_joint, [joint], **private)
    for choices in (regions, garments):
        on(choices.input, lambda visit, a, b: steps.wear(studio, visit, a, b), [regions, garments], **private)
    on_select(library, lambda visit, number: steps.take_pose(studio, visit, int(number)))
    on_select(pose, lambda visit, place: steps.click_pose(studio, visit, *place))
    on_select(result, lambda visit, place: steps.ask_origin(studio, visit, *place))


def _lay_out_faces(studio: FaceStudio) -> None:
    message = _say("", "face-message")
    drawing = gr.State(None, time_to_live=_STATE_KEPT)
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=340):
            _say(_title("1", "A drawing of a face"))
            _say(_hint("Draw one here with the brush at the left, large and from the front, or give a picture of one."))
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
            upload = _upload("drawing")
            used = _say("", "drawing-used")
        with gr.Column(scale=4, min_width=300):
            _say(_title("2", "Colours of"))
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
            _say(_title("3", "Result"))
            result = _picture("face-result", height=480, visible=False)
            links = _say(_hint("Choose whose colours, and your picture appears here."), "face-links")

    def colour(path: str | None, number: int) -> tuple[Any, ...]:
        if path is None:
            return _alert("draw a face first, or give a picture of one"), gr.skip(), gr.skip()
        try:
            made = studio.colour(Path(path), studio.names[number])
        except ScmError as error:
            return _alert(str(error)), gr.skip(), gr.skip()
        drawn = made.result.image
        shown = gr.Image(_as_generated(enlarged(drawn, studio.pipeline.canvas)), visible=True)
        return "", shown, f"<p>{_links(np.asarray(drawn), made.strip)}</p>"

    def chosen(sketch: dict[str, Any] | None, path: str | None, event: gr.SelectData) -> tuple[Any, ...]:
        return colour(path or (sketch or {}).get("composite"), int(event.index))

    offered.select(
        chosen,
        [pad, drawing],
        [message, result, links],
        concurrency_id=_ONE_MODEL,
        concurrency_limit=1,
        api_visibility="private",
    )
    private: dict[str, Any] = {"queue": False, "api_visibility": "private"}
    upload.upload(
        lambda path: (path, _hint("This picture is taken until you draw.")), upload, [drawing, used], **private
    )
    upload.clear(lambda: (None, ""), None, [drawing, used], **private)
    pad.input(lambda: (None, "", None), None, [drawing, used, upload], **private)


def _acting(step: Callable[..., Session]) -> Callable[..., tuple[Any, ...]]:
    def act(session: Session, *values: Any) -> tuple[Any, ...]:
        return _act(lambda: step(session, *values), session)

    return act


def _act(step: Callable[[], Session], before: Session) -> tuple[Any, ...]:
    """Take a step; what cannot be done is told on the page, and nothing else changes."""
    try:
        after, message = step(), ""
    except ScmError as error:
        after, message = before, _alert(str(error))
    return after, message, *_shown(before, after)


def _shown(before: Session, after: Session) -> tuple[Any, ...]:
    """Return updates for what has changed of a session, in the order of :class:`_View`, without the message."""
    same = gr.skip()
    pose, joint, hint = same, same, same
    if after.posing is not before.posing:
        chosen = after.posing.chosen
        pose, joint = draw_posing(after.posing), chosen
        hint = _hint(f"Now click where the {chosen.replace('_', ' ')} goes." if chosen else _CLICK_POSE)
    found, legend = same, same
    if after.found is not before.found and after.found is not None:
        found, legend = gr.Image(after.found.picture, visible=True), _legend(after.found.regions)
    reference, regions = same, same
    if after.reference_found is not before.reference_found and after.reference_found is not None:
        reference = gr.Image(after.reference_found.picture, visible=True)
        regions = gr.CheckboxGroup(list(after.reference_found.regions), value=list(after.regions), visible=True)
    result, links, strip = same, same, same
    if after.drawn is not before.drawn and after.drawn is not None:
        drawn = after.drawn
        # Gradio takes a click's place for one in the picture at its own size: no style may stretch it.
        result = gr.Image(_as_generated(enlarged(drawn.result.image, drawn.worn.person.canvas)), visible=True)
        strip = gr.Image(drawn.strip, visible=True)
        links = _offered(np.asarray(drawn.result.image), drawn)
    origin, told = same, same
    if after.origin is not before.origin:
        origin = gr.Image(visible=False) if after.origin is None else gr.Image(after.origin.picture, visible=True)
        told = "" if after.origin is None else f"<p>{html.escape(after.origin.told)}</p>"
    return found, legend, pose, hint, joint, reference, regions, result, links, strip, origin, told


def _offered(result: UInt8Array, drawn: Drawn) -> str:
    note = ""
    if drawn.removed:
        note = _hint(f"Not kept, for it does not go with what was put on: {', '.join(drawn.removed)}.")
    return f"<p>{_links(result, drawn.strip)}</p>{note}{_CLICK_RESULT}"


def _links(result: UInt8Array, strip: UInt8Array) -> str:
    """Offer both pictures as downloads, inside the page itself: no file has to wait for them."""
    return "".join(
        f'<a class="download" download="scm-{name}.png" href="data:image/png;base64,{_base64_png(picture)}">{told}</a>'
        for name, told, picture in (("result", "Download picture", result), ("strip", "Download strip", strip))
    )


def _as_generated(image: Image.Image) -> Image.Image:
    """Return a picture whose file will say that it is generated."""
    told = image.copy()
    told.info.update(GENERATED)
    return told


def _alert(text: str) -> str:
    return f'<p role="alert">{html.escape(text)}</p>'


def _base64_png(picture: UInt8Array) -> str:
    info = PngImagePlugin.PngInfo()
    for key, value in GENERATED.items():
        info.add_text(key, value)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", pnginfo=info)
    return base64.b64encode(buffer.getvalue()).decode()


def _say(text: str, name: str | None = None) -> Any:
    return gr.HTML(text, elem_id=name, padding=False)


def _upload(name: str) -> Any:
    return gr.File(type="filepath", file_count="single", show_label=False, height=120, elem_id=name)


def _picture(name: str, picture: UInt8Array | None = None, *, height: int | None = None, visible: bool = True) -> Any:
    return gr.Image(
        picture,
        show_label=False,
        interactive=False,
        buttons=["fullscreen"],
        height=height,
        format="png",
        visible=visible,
        elem_id=name,
    )


def _title(mark: str, text: str) -> str:
    return f'<h2 class="step"><span>{mark}</span>{text}</h2>'


def _hint(text: str) -> str:
    return f'<p class="hint">{html.escape(text)}</p>'


def _legend(regions: Sequence[str]) -> str:
    chips = []
    for region in regions:
        colour = "rgb({}, {}, {})".format(*COLOURS[region_id(region)])
        chips.append(f'<span class="chip"><i style="background: {colour}"></i>{region}</span>')
    return f'<div class="legend">{"".join(chips)}</div>'
