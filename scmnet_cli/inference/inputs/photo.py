"""Read a photo as a person on a canvas, with the region map and joints next to it or by the analyser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from scmnet_cli.data.cropping import crop_person
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.inputs.framed import Framed
from scmnet_cli.preprocess.photos import read_analysed
from scmnet_cli.sources.folder import find_table, read_annotated, row_of
from scmnet_cli.sources.keypoints import read_joints, read_keypoint_file, read_keypoint_table
from scmnet_cli.types import Canvas, FloatArray, Person

if TYPE_CHECKING:
    from scmnet_cli.analyser.people import Analyser

__all__ = ["read_keypoint_file", "read_person"]


MAP_ENDING = ".regions.png"
"""Suffix of a region map next to its photo."""


def load_analyser() -> Analyser:
    """Load the analyser that ships with this package; torch is imported only here, for photos that need it."""
    from scmnet_cli.analyser.people import Analyser

    return Analyser.load()


@dataclass(frozen=True)
class PhotoOptions:
    """Options for reading a photo.

    Attributes:
        analyser: returns the analyser; called only if it is needed.
        number: number of the person in an analysed photo, from 1; 0 for the most prominent.
        largest: height up to which a larger crop keeps its own pixels, on a canvas of the same aspect; 0 to always
            resize to the canvas.
    """

    analyser: Callable[[], Analyser] = load_analyser
    number: int = 0
    largest: int = 0


def read_person(photo: Path, canvas: Canvas, background: str = "plain", options: PhotoOptions | None = None) -> Person:
    """Read a photo like :func:`read_framed`, and return only the person on the canvas, without shadows.

    Shadows that the analyser takes for trousers are taken off; a map beside the photo is not changed.

    Raises:
        ScmError: as :func:`read_framed`.
    """
    person = read_framed(photo, canvas, background, options).cropped
    if background != "plain" or _has_map(photo):
        return person
    from scmnet_cli.inference.edits.wearer_faults import without_shadows

    return without_shadows(person)


def read_framed(photo: Path, canvas: Canvas, background: str = "plain", options: PhotoOptions | None = None) -> Framed:
    """Read a photo with its region map and joints, and crop the person to a canvas.

    The region map of ``NAME.jpg`` is ``NAME.regions.png`` or ``regions/NAME.png``; its joints are ``NAME.joints.json``
    (18 times [x, y, score]) or a row of ``joints.csv`` or ``keypoints.csv``. ``regions/`` and the tables may also be in
    the parent folder. Without region map and ``NAME.joints.json``, the analyser finds the person; with a region map
    alone, it finds the joints.

    Args:
        photo: the photo.
        canvas: size of the result.
        background: ``plain`` paints it light grey, ``keep`` keeps it.
        options: further options; None for the defaults.

    Raises:
        ScmError: naming the photo and the problem.
    """
    options = options or PhotoOptions()
    if not photo.is_file():
        raise ScmError(f"{photo}: no such file")
    try:
        if _has_map(photo):
            if options.number > 1:
                raise ScmError(f"there is no person {options.number}; the map and joints beside it are of one person")
            person = _read_with_map(photo, _find_map(photo), options.analyser)
        else:
            person = read_analysed(photo.stem, photo, options.analyser(), options.number)
        cropped, crop = crop_person(person, canvas, background)
        own = canvas.enlarged(min(options.largest, crop.height))
        if own != canvas:
            cropped, crop = crop_person(person, own, background, replace(crop, canvas=own))
        cropped = replace(cropped, scene=crop.crop_image(person.image, None))
        return Framed(person, cropped, crop, background)
    except ScmError as error:
        raise error if str(error).startswith(str(photo)) else ScmError(f"{photo}: {error}") from error


def _maps(photo: Path) -> list[Path]:
    names = (f"{photo.stem}{MAP_ENDING}", f"regions/{photo.stem}.png", f"../regions/{photo.stem}.png")
    return [photo.parent / name for name in names]


def _has_map(photo: Path) -> bool:
    """Return whether a region map or joints are beside a photo."""
    return any(path.is_file() for path in (*_maps(photo), _own_joints(photo)))


def _own_joints(photo: Path) -> Path:
    return photo.with_name(f"{photo.stem}.joints.json")


def _find_map(photo: Path) -> Path:
    paths = _maps(photo)
    for path in paths:
        if path.is_file():
            return path
    looked_for = ", ".join(str(path.relative_to(photo.parent)) for path in paths)
    raise ScmError(f"has no region map beside it; looked for {looked_for}")


def _read_with_map(photo: Path, region_map: Path, analyser: Callable[[], Analyser]) -> Person:
    joints = _find_joints(photo)
    if joints is None:
        joints = read_analysed(photo.stem, photo, analyser()).joints
    return read_annotated(photo.stem, photo, region_map, joints)


def _find_joints(photo: Path) -> FloatArray | None:
    own = _own_joints(photo)
    if own.is_file():
        return read_joints(own)
    table = find_table(photo.parent) or find_table(photo.parent.parent)
    return None if table is None else row_of(read_keypoint_table(table), photo)
