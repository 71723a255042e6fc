"""What one visitor has done so far, and what each of their steps makes of it: values in, values out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scmnet_cli.app.posing import Posing, zoom
from scmnet_cli.app.studio import Drawn, Found, Origin, Studio
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.pipeline import EncodedSource
from scmnet_cli.types import Pose

FIRST_POSE = "walking"
"""The shipped pose that the page starts with."""

_FIRST_REGION = "upper"


@dataclass(frozen=True)
class Session:
    """One visitor's photos and choices; nothing of it is on a disk.

    Attributes:
        posing: the pose that is drawn.
        found: the visitor's photo, once there is one.
        source: its style.
        reference_found: the photo that regions are taken from.
        reference: its style.
        regions: which are taken from it.
        garments: names of garments of the wardrobe that are worn.
        drawn: the newest result.
        origin: where the last clicked point of it came from.
    """

    posing: Posing
    found: Found | None = None
    source: EncodedSource | None = None
    reference_found: Found | None = None
    reference: EncodedSource | None = None
    regions: tuple[str, ...] = ()
    garments: tuple[str, ...] = ()
    drawn: Drawn | None = None
    origin: Origin | None = None


def start(studio: Studio) -> Session:
    """Return what a visitor finds."""
    poses = studio.library()
    return Session(Posing(next((pose for pose in poses if pose.name == FIRST_POSE), poses[0])))


def take_photo(studio: Studio, session: Session, upload: Path) -> Session:
    """Read the visitor's photo and draw it.

    Raises:
        ScmError: if it cannot be used.
    """
    found = studio.read(upload)
    return _drawn(studio, replace(session, found=found, source=studio.encode(found)))


def take_pose(studio: Studio, session: Session, number: int) -> Session:
    """Draw in a pose of the library."""
    return _posed(studio, session, Posing(studio.library()[number]))


def take_pose_of_photo(studio: Studio, session: Session, upload: Path) -> Session:
    """Draw in the pose of another photo.

    Raises:
        ScmError: if it cannot be used.
    """
    return _posed(studio, session, Posing(Pose.of(studio.read(upload).person)))


def take_own_pose(studio: Studio, session: Session) -> Session:
    """Draw in the pose of the visitor's own photo.

    Raises:
        ScmError: if there is none yet.
    """
    if session.found is None:
        raise ScmError("give your photo first: its pose is not known yet")
    return _posed(studio, session, Posing(Pose.of(session.found.person)))


def click_pose(studio: Studio, session: Session, x: float, y: float) -> Session:
    """Choose a joint, or put the chosen one where the picture of the pose was clicked, and draw."""
    return _posed(studio, session, session.posing.click(x, y))


def choose_joint(session: Session, joint: str | None) -> Session:
    """Choose the joint that the next click places."""
    return replace(session, posing=session.posing.choose(joint))


def remove_joint(studio: Studio, session: Session) -> Session:
    """Leave the chosen joint out, and draw."""
    return _posed(studio, session, session.posing.remove())


def mirror_pose(studio: Studio, session: Session) -> Session:
    """Mirror the pose, and draw."""
    return _posed(studio, session, session.posing.mirror())


def take_reference(studio: Studio, session: Session, upload: Path) -> Session:
    """Read the photo of somebody whose clothes, or hair, are wanted; their top is taken to begin with.

    Raises:
        ScmError: if it cannot be used.
    """
    found = studio.read(upload)
    kept = tuple(region for region in session.regions if region in found.regions)
    first = kept or (_FIRST_REGION,) if _FIRST_REGION in found.regions else kept
    chosen = replace(session, reference_found=found, reference=studio.encode(found), regions=first)
    return _drawn(studio, chosen)


def wear(studio: Studio, session: Session, regions: Sequence[str], garments: Sequence[str]) -> Session:
    """Choose what is taken from the other photo and from the wardrobe, and draw.

    Raises:
        ScmError: if something is not there to be taken.
    """
    return _drawn(studio, replace(session, regions=tuple(regions), garments=tuple(garments)))


def ask_origin(studio: Studio, session: Session, x: int, y: int) -> Session:
    """Find out where a pixel of the result came from.

    Args:
        studio: what knows it.
        session: whose result.
        x: in pixels of the result as it is shown, :func:`scmnet_cli.app.studio.enlarged`.
        y: likewise.

    Raises:
        ScmError: if it lies outside the result.
    """
    if session.drawn is None:
        return session
    scale = zoom(studio.pipeline.canvas)
    return replace(session, origin=studio.origin(session.drawn, x // scale, y // scale))


def _posed(studio: Studio, session: Session, posing: Posing) -> Session:
    changed = replace(session, posing=posing)
    return changed if posing.pose is session.posing.pose else _drawn(studio, changed)


def _drawn(studio: Studio, session: Session) -> Session:
    if session.source is None:
        return session
    drawn = studio.draw(session.source, session.posing.pose, session.reference, session.regions, session.garments)
    return replace(session, drawn=drawn, origin=None)
