"""One photo with its region map and joints beside it, as a person on a canvas."""

from __future__ import annotations

from pathlib import Path

from scmnet_cli.errors import ScmError
from scmnet_cli.preprocess.folder import find_table, read_annotated, row_of
from scmnet_cli.preprocess.keypoints import read_joints, read_keypoint_file, read_keypoint_table
from scmnet_cli.preprocess.run import crop_person
from scmnet_cli.types import Canvas, FloatArray, Person

__all__ = ["read_keypoint_file", "read_person"]


def read_person(photo: Path, canvas: Canvas, background: str = "plain") -> Person:
    """Read a photo, and the map and joints that belong to it, and put the person on a canvas.

    Beside ``NAME.jpg`` either ``NAME.regions.png`` or ``regions/NAME.png`` holds the region map, and either
    ``NAME.joints.json`` (18 times [x, y, score]) or a row of ``joints.csv`` or ``keypoints.csv`` the joints;
    ``regions/`` and the tables may also lie one folder higher.

    Args:
        photo: the photo.
        canvas: size of the picture wanted.
        background: ``plain`` paints it light grey, ``keep`` keeps it.

    Raises:
        ScmError: naming the photo and what is missing beside it, or what does not fit.
    """
    if not photo.is_file():
        raise ScmError(f"{photo}: no such file")
    try:
        person = read_annotated(photo.stem, photo, _find_map(photo), _find_joints(photo))
        return crop_person(person, canvas, background)[0]
    except ScmError as error:
        raise error if str(error).startswith(str(photo)) else ScmError(f"{photo}: {error}") from error


def _find_map(photo: Path) -> Path:
    names = (f"{photo.stem}.regions.png", f"regions/{photo.stem}.png", f"../regions/{photo.stem}.png")
    for name in names:
        if (photo.parent / name).is_file():
            return photo.parent / name
    raise ScmError(f"has no region map beside it; looked for {', '.join(names)}")


def _find_joints(photo: Path) -> FloatArray:
    own = photo.with_name(f"{photo.stem}.joints.json")
    if own.is_file():
        return read_joints(own)
    table = find_table(photo.parent) or find_table(photo.parent.parent)
    if table is None:
        raise ScmError(f"has no joints beside it; looked for {own.name}, joints.csv and keypoints.csv")
    return row_of(read_keypoint_table(table), photo)
