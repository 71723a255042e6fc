"""State of one visitor and its transitions: each function returns a new state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scmnet_cli.app.posing import Posing
from scmnet_cli.app.studio import Drawn, Found, Origin, Studio
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.pipeline import EncodedSource, Pipeline
from scmnet_cli.training.personalizing import PersonalProgress
from scmnet_cli.types import Pose

FIRST_POSE = "walking"
"""The shipped pose that the page starts with."""

_FIRST_REGION = "upper"


@dataclass(frozen=True)
class Session:
    """Photos and choices of one visitor, in memory only.

    Attributes:
        posing: the pose that is drawn.
        pose_found: the photo that the pose was read from.
        found: the visitor's photo, once there is one.
        source: its style.
        reference_found: the photo that regions are taken from.
        reference: its style.
        regions: regions that are taken from it.
        garments: names of the worn garments of the wardrobe.
        mark: whether pictures have the visible mark.
        mirrored_limbs: whether a limb that the photo hardly shows is drawn as the other one, mirrored.
        drawn: the latest result.
        origin: origin of the last clicked point of it.
        personal: the model fine-tuned on the person of ``found``; None if it was not.
    """

    posing: Posing
    pose_found: Found | None = None
    found: Found | None = None
    source: EncodedSource | None = None
    reference_found: Found | None = None
    reference: EncodedSource | None = None
    regions: tuple[str, ...] = ()
    garments: tuple[str, ...] = ()
    mark: bool = True
    mirrored_limbs: bool = True
    drawn: Drawn | None = None
    origin: Origin | None = None
    personal: Pipeline | None = None


@dataclass(frozen=True)
class Learned:
    """A model fine-tuned on a visitor, kept during the visit.

    Attributes:
        found: the photo it was fine-tuned on.
        personal: the model; None if held-out views did not improve, so that the shared model is used.
    """

    found: Found
    personal: Pipeline | None


def start(studio: Studio) -> Session:
    """Return the initial state of a visitor."""
    poses = studio.library()
    number = next((number for number, pose in enumerate(poses) if pose.name == FIRST_POSE), 0)
    return Session(Posing(poses[number], number))


def read_photo(studio: Studio, session: Session, upload: Path) -> Session:
    """Read the visitor's photo.

    Raises:
        ScmError: if it cannot be used.
    """
    found = studio.read(upload)
    return replace(session, found=found, source=studio.encode(found), personal=None)


def learn(studio: Studio, session: Session) -> Iterator[PersonalProgress | Learned]:
    """Fine-tune a copy of the model on the visitor; yield the progress after each step, and the result at the end.

    The session stays as it is meanwhile: :func:`use_learned` takes the outcome up. Nothing is written to a disk.

    Raises:
        ScmError: if there is no photo yet, or the model cannot be fine-tuned.
    """
    if session.found is None:
        raise ScmError("choose your photo first: there is no person to learn yet")
    run = studio.prepare_learning(session.found)
    yield from run.steps(studio.learning)
    difference = run.difference()
    yield Learned(session.found, studio.pipeline.with_difference(difference) if difference else None)


def use_learned(session: Session, learned: Learned | None) -> Session:
    """Use the fine-tuned model from now on, unless the visitor has chosen another photo meanwhile."""
    if learned is None or learned.found is not session.found:
        return session
    return replace(session, personal=learned.personal)


def choose_pose(studio: Studio, session: Session, number: int) -> Session:
    """Choose a pose of the library.

    Raises:
        ScmError: if there is no such pose.
    """
    poses = studio.library()
    if not 0 <= number < len(poses):
        raise ScmError(f"pose {number}: the library has {len(poses)}; reload the page")
    return replace(session, posing=Posing(poses[number], number))


def read_pose(studio: Studio, session: Session, upload: Path) -> Session:
    """Read the pose of another photo.

    Raises:
        ScmError: if it cannot be used.
    """
    found = studio.read(upload)
    return replace(session, posing=Posing(Pose.of(found.person)), pose_found=found)


def use_own_pose(session: Session) -> Session:
    """Use the pose of the visitor's own photo.

    Raises:
        ScmError: if there is no photo yet.
    """
    if session.found is None:
        raise ScmError("choose your photo first: its pose is not known yet")
    return replace(session, posing=Posing(Pose.of(session.found.person)), pose_found=session.found)


def move_joints(session: Session, joints: Sequence[Sequence[float] | None]) -> Session:
    """Use joints placed by hand; see :meth:`scmnet_cli.app.posing.Posing.moved`.

    Raises:
        ScmError: if they are not valid joints.
    """
    return replace(session, posing=session.posing.moved(joints))


def mirror_pose(session: Session) -> Session:
    """Mirror the pose left to right."""
    return replace(session, posing=session.posing.mirror())


def read_reference(studio: Studio, session: Session, upload: Path) -> Session:
    """Read the photo of a person whose clothes or hair to use; at first their top is selected.

    Raises:
        ScmError: if it cannot be used.
    """
    found = studio.read(upload)
    kept = tuple(region for region in session.regions if region in found.regions)
    first = kept or (_FIRST_REGION,) if _FIRST_REGION in found.regions else kept
    return replace(session, reference_found=found, reference=studio.encode(found), regions=first)


def wear(studio: Studio, session: Session, regions: Sequence[str], garments: Sequence[str]) -> Session:
    """Choose regions of the reference photo and garments of the wardrobe.

    Raises:
        ScmError: if one of them does not exist.
    """
    offered = () if session.reference_found is None else session.reference_found.regions
    for name, known in [(name, offered) for name in regions] + [(name, studio.garments) for name in garments]:
        if name not in known:
            raise ScmError(f"{name}: is not available; reload the page")
    return replace(session, regions=tuple(regions), garments=tuple(garments))


def set_mark(session: Session, *, mark: bool) -> Session:
    """Choose whether pictures have the visible mark."""
    return replace(session, mark=mark)


def set_mirrored_limbs(session: Session, *, mirrored: bool) -> Session:
    """Choose whether a limb that the photo hardly shows is drawn as the other one, mirrored."""
    return replace(session, mirrored_limbs=mirrored)


def draw(studio: Studio, session: Session) -> Session:
    """Draw the chosen person, pose and clothes; without a photo return the state unchanged.

    Raises:
        ScmError: if it cannot be drawn.
    """
    if session.source is None:
        return session
    pipeline = session.personal or studio.pipeline
    if not session.mirrored_limbs:
        pipeline = pipeline.without_mirrored_limbs()
    chosen = (session.posing.pose, session.reference, session.regions, session.garments)
    drawn = studio.draw(session.source, *chosen, pipeline)
    return replace(session, drawn=drawn, origin=None)


def trace(studio: Studio, session: Session, across: float, down: float) -> Session:
    """Find the origin of a point of the result.

    Args:
        studio: the model.
        session: the session with the result.
        across: horizontal position of the point, as a share of the result's width.
        down: vertical position, as a share of the height.

    Raises:
        ScmError: if it lies outside the result.
    """
    if session.drawn is None:
        return session
    canvas = studio.pipeline.canvas
    if not (0 <= across <= 1 and 0 <= down <= 1):
        raise ScmError("the point lies outside the result; click inside it")
    x = min(int(across * canvas.width), canvas.width - 1)
    y = min(int(down * canvas.height), canvas.height - 1)
    return replace(session, origin=studio.origin(session.drawn, x, y))
