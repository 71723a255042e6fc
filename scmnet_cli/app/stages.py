"""Run the steps of a visit and show each outcome in the components of the page."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from scmnet_cli.app import views
from scmnet_cli.app.session import Session
from scmnet_cli.errors import ScmError

_log = logging.getLogger(__name__)

Step = Callable[[Session], Session]
Stages = list[tuple[str, Step]]
"""Steps, each with the message shown while it runs."""


@dataclass(frozen=True)
class Components:
    """The components that display a session, in the order of :func:`shown`."""

    notice: Any
    photo: Any
    pose: Any
    clothes: Any
    result: Any
    origin: Any

    def all(self) -> list[Any]:
        """Return all components."""
        return list(vars(self).values())


def run_stages(stages: Stages, before: Session, at: str) -> Iterator[tuple[Any, ...]]:
    """Run the stages and show the outcome of each before the next; after an error the earlier outcomes stay."""
    for doing, step in stages:
        if doing:
            yield before, notice("busy", doing), *UNCHANGED
        try:
            after = step(before)
        except ScmError as error:
            yield before, notice("error", str(error), at), *UNCHANGED
            return
        except Exception:  # noqa: BLE001 - after any error the visitor must not wait forever
            _log.exception("this step of the page failed: %s", doing)
            yield before, notice("error", "This failed; see the terminal of scm app for the reason.", at), *UNCHANGED
            return
        yield after, gr.skip(), *shown(before, after)
        before = after
    yield before, notice("done"), *UNCHANGED


UNCHANGED = [gr.skip()] * 5  # all components but the notice
_serials = itertools.count(1)


def next_serial() -> int:
    """Return a number that no earlier update has, so that equal values are shown again."""
    return next(_serials)


def notice(state: str, text: str = "", at: str = "") -> views.View:
    """Return a message for the notice component: ``busy``, ``error`` or ``done``."""
    return {"serial": next_serial(), "state": state, "text": text, "at": at}


def shown(before: Session, after: Session) -> tuple[Any, ...]:
    """Return updates for the changed parts of a session, in the order of :class:`Components` without the notice."""
    same = gr.skip()
    photo = views.photo_view(after.found) if after.found is not None and after.found is not before.found else same
    pose, clothes, result, origin = same, same, same, same
    if after.posing is not before.posing or after.pose_found is not before.pose_found:
        pose = views.posing_view(after.posing, after.pose_found)
    if after.reference_found is not before.reference_found:
        clothes = clothes_view(after)
    if after.drawn is not None and after.found is not None:
        new = after.drawn is not before.drawn
        if new or after.mark is not before.mark:
            serial = {"serial": next_serial() if new else None}
            result = views.result_view(after.drawn, after.found, mark=after.mark) | serial
            result |= {"learned": after.personal is not None, "mirrored_limbs": after.mirrored_limbs}
    if after.origin is not before.origin:
        origin = None if after.origin is None else views.origin_view(after.origin)
    return photo, pose, clothes, result, origin


def clothes_view(session: Session) -> views.View:
    """Return the reference photo and the regions that are taken from it."""
    found = session.reference_found
    return {"photo": None if found is None else views.photo_view(found), "regions": list(session.regions)}
