"""The page's tab for people: cards for photo, pose, result and clothes, and what happens on each event."""

from __future__ import annotations

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
from scmnet_cli.app.elements import ONE_MODEL, STATE_KEPT, html_element, part, title, upload
from scmnet_cli.app.session import Session
from scmnet_cli.app.stages import (
    UNCHANGED,
    Components,
    Stages,
    clothes_view,
    next_serial,
    notice,
    run_stages,
)
from scmnet_cli.app.studio import Studio, example_photos
from scmnet_cli.errors import ScmError

_log = logging.getLogger(__name__)

_LEARNING = "learning"
"""Queue of fine-tuning on a visitor: one task at a time."""

_RESULT_CARD = "card-result"
_EXAMPLE_HEIGHT = 120


@dataclass(frozen=True)
class _Uploads:
    """The hidden upload buttons of the photo, the pose and the clothes."""

    photo: Any
    pose: Any
    reference: Any


@dataclass(frozen=True)
class _Connector:
    """Connect events with stages that change the session and are shown in the components.

    Attributes:
        studio: operations on people.
        session: the visitor's state.
        shown: the components that display it.
    """

    studio: Studio
    session: Any
    shown: Components

    def on_event(self, listen: Any, at: str, stages: Callable[[dict[str, Any]], Stages]) -> None:
        """Run stages on an event of a component, with the event's data; show errors at the card ``at``."""

        def happened(visit: Session, event: gr.EventData) -> Iterator[tuple[Any, ...]]:
            yield from run_stages(stages(event._data or {}), visit, at)  # noqa: SLF001 - the public way names each field

        listen(happened, [self.session], **self._outputs(), api_visibility="private")

    def on_upload(self, button: Any, at: str, stages: Callable[[str], Stages], name: str) -> None:
        """Run stages on an uploaded file, with its path; ``name`` is the name in Gradio's interface for programs."""

        def uploaded(visit: Session, path: str) -> Iterator[tuple[Any, ...]]:
            yield from run_stages(stages(path), visit, at)

        button.upload(uploaded, [self.session, button], **self._outputs(), api_name=name)

    def _outputs(self) -> dict[str, Any]:
        return {
            "outputs": [self.session, *self.shown.all()],
            "concurrency_id": ONE_MODEL,
            "concurrency_limit": 1,
            "show_progress": "minimal",
            "show_progress_on": self.shown.result,
            "trigger_mode": "always_last",
        }


def lay_out_people(studio: Studio) -> None:
    """Lay out the tab and connect it with a model of people."""
    first = steps.start(studio)
    session = gr.State(first, time_to_live=STATE_KEPT)
    examples = example_photos()
    shown, uploads, file = _lay_out_cards(studio, first, examples)
    connector = _Connector(studio, session, shown)
    _connect_uploads(connector, uploads)
    _connect_choices(connector, examples)
    _connect_learning(connector)

    def save(visit: Session, event: gr.EventData) -> Any:
        return _file(visit, event._data or {})  # noqa: SLF001

    shown.result.save(save, [session], [file], queue=False, api_visibility="private")


def _lay_out_cards(studio: Studio, first: Session, examples: Sequence[Path]) -> tuple[Components, _Uploads, Any]:
    """Lay out the four cards; return their components, the uploads, and the component that starts downloads."""
    about = {"skeleton": views.skeleton_view(), "limit": studio.limits.num_bytes}
    with gr.Row(elem_id="cards", equal_height=False):
        with gr.Column(elem_id="card-photo", min_width=100):
            html_element(title("1", "Photo", "one person, upright, large"))
            photo = part("photo", None, ["example"], examples=[_example(path) for path in examples], **about)
            photo_upload = upload("photo-upload")
        with gr.Column(elem_id="card-pose", min_width=100):
            html_element(title("2", "Pose"))
            poses = [views.pose_view(pose) for pose in studio.library()]
            events = ["pick", "own", "moved", "mirror"]
            pose = part("pose", views.posing_view(first.posing, None), events, poses=poses, **about)
            pose_upload = upload("pose-upload")
        with gr.Column(elem_id="card-result", min_width=100):
            html_element(title("3", "Result"))
            events = ["trace", "save", "marked", "limbs", "learn"]
            result = part("result", None, events, mirrors_limbs=studio.pipeline.config.model.part_warp)
            origin = part("origin", None, [])
        with gr.Column(elem_id="card-clothes", min_width=100, visible=studio.pipeline.model.has_regions):
            wardrobe = views.garment_views(studio.garment_cards())
            clothes = part("clothes", clothes_view(first), ["wear"], wardrobe=wardrobe, **about)
            reference_upload = upload("reference-upload")
    shown = Components(part("notice", None, []), photo, pose, clothes, result, origin)
    return shown, _Uploads(photo_upload, pose_upload, reference_upload), part("file", None, [])


def _drawing(studio: Studio, step: Callable[[Session, dict[str, Any]], Session]) -> Callable[[dict[str, Any]], Stages]:
    """Return stages that change the session by a step, with the event's data, and draw it."""
    return lambda data: [("Generating", lambda visit: steps.draw(studio, step(visit, data)))]


def _reading(studio: Studio, what: str, step: Callable[[Studio, Session, Path], Session]) -> Callable[[str], Stages]:
    """Return stages that read a photo and draw the session with it."""
    return lambda path: [
        (f"Reading {what}: joints and regions", lambda visit: step(studio, visit, Path(path))),
        ("Generating", lambda visit: steps.draw(studio, visit)),
    ]


def _connect_uploads(connector: _Connector, uploads: _Uploads) -> None:
    studio = connector.studio
    for button, card, stages, name in (
        (uploads.photo, "card-photo", _reading(studio, "your photo", steps.read_photo), "photo"),
        (uploads.pose, "card-pose", _reading(studio, "the pose", steps.read_pose), "pose_of_photo"),
        (uploads.reference, "card-clothes", _reading(studio, "the clothes", steps.read_reference), "reference"),
    ):
        connector.on_upload(button, card, stages, name)


def _connect_choices(connector: _Connector, examples: Sequence[Path]) -> None:
    studio, shown = connector.studio, connector.shown

    def draw_after(step: Callable[[Session, dict[str, Any]], Session]) -> Callable[[dict[str, Any]], Stages]:
        return _drawing(studio, step)

    read_example = _reading(studio, "the example", steps.read_photo)
    pose, result = shown.pose, shown.result
    for listen, card, stages in (
        (shown.photo.example, "card-photo", lambda data: read_example(_chosen(examples, data))),
        (pose.pick, "card-pose", draw_after(lambda visit, data: steps.choose_pose(studio, visit, _number(data)))),
        (pose.own, "card-pose", draw_after(lambda visit, _: steps.use_own_pose(visit))),
        (pose.moved, "card-pose", draw_after(lambda visit, data: steps.move_joints(visit, data.get("joints") or []))),
        (pose.mirror, "card-pose", draw_after(lambda visit, _: steps.mirror_pose(visit))),
        (
            shown.clothes.wear,
            "card-clothes",
            draw_after(lambda visit, data: steps.wear(studio, visit, *_clothes(data))),
        ),
        (result.trace, _RESULT_CARD, lambda data: [("Tracing the point", lambda visit: _trace(studio, visit, data))]),
        (result.limbs, _RESULT_CARD, draw_after(_set_mirrored_limbs)),
        (result.marked, _RESULT_CARD, lambda data: [("", lambda visit: _mark(visit, data))]),
    ):
        connector.on_event(listen, card, stages)


def _set_mirrored_limbs(session: Session, data: dict[str, Any]) -> Session:
    return steps.set_mirrored_limbs(session, mirrored=data.get("on") is not False)


def _mark(session: Session, data: dict[str, Any]) -> Session:
    return steps.set_mark(session, mark=data.get("on") is True)


def _connect_learning(connector: _Connector) -> None:
    """Connect the button that fine-tunes a copy of the model on the visitor; only the notice changes until the end."""
    studio, session, shown = connector.studio, connector.session, connector.shown
    learned = gr.State(None, time_to_live=STATE_KEPT)

    def learn(visit: Session) -> Iterator[tuple[Any, Any]]:
        yield None, notice("busy", "Learning this person")
        try:
            for state in steps.learn(studio, visit):
                if isinstance(state, steps.Learned):
                    yield state, gr.skip()
                else:
                    yield gr.skip(), notice("busy", f"Learning this person: {state.share:.0%}")
        except ScmError as error:
            yield None, notice("error", str(error), _RESULT_CARD)
        except Exception:  # noqa: BLE001 - after any error the visitor must not wait forever
            _log.exception("learning a person failed")
            yield None, notice("error", "This failed; see the terminal of scm app for the reason.", _RESULT_CARD)

    def use(visit: Session, found: steps.Learned | None) -> Iterator[tuple[Any, ...]]:
        if found is None:
            yield visit, gr.skip(), *UNCHANGED
            return
        if found.personal is None:
            text = "Learning did not improve pictures of this person; the model stays as it was."
            yield visit, notice("error", text, _RESULT_CARD), *UNCHANGED
            return
        stages: Stages = [("Generating", lambda before: steps.draw(studio, steps.use_learned(before, found)))]
        yield from run_stages(stages, visit, _RESULT_CARD)

    private: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": 1}
    event = shown.result.learn(
        learn, [session], [learned, shown.notice], concurrency_id=_LEARNING, trigger_mode="once", **private
    )
    event.then(use, [session, learned], [session, *shown.all()], concurrency_id=ONE_MODEL, **private)


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
    return views.file_view(name, picture, chosen, mark=session.mark) | {"serial": next_serial()}


def _example(path: Path) -> views.View:
    with Image.open(path) as image:
        shown = image.convert("RGB")
    shown.thumbnail((4 * _EXAMPLE_HEIGHT, _EXAMPLE_HEIGHT))
    return {"title": views.readable(path.stem), "image": views.photo_url(np.asarray(shown))}
