"""``scm poses``: list, draw, save and mirror poses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scmnet_cli.cli.commands import with_help
from scmnet_cli.cli.completion import complete_poses
from scmnet_cli.cli.console import warn
from scmnet_cli.cli.options import Data, Frame, Mirror, read_size
from scmnet_cli.cli.results import AsJson, show
from scmnet_cli.errors import ScmError

if TYPE_CHECKING:
    from scmnet_cli.cli.drawing.input import Input
    from scmnet_cli.types import Pose

_MOST_DRAWN = 180


_HELP = """List poses and draw their skeletons, or save them as JSON for editing.

Prints one line per pose (name, number of known joints, frame size,
description) and the path of the picture; with --save, the paths of the
files. A saved file contains each joint's name, x, y and score, and
nothing else from the picture.

\b
Examples:
  scm poses
  scm poses walking poses.csv openpose/ --frame 1080x1920 -o mine.png
  scm poses walking --mirror --save poses/
  scm poses --json
"""


@with_help(_HELP)
def poses(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[POSE]...",
            autocompletion=complete_poses,
            help="Names of shipped poses, pose files (FILE.json, FILE.csv, FILE.csv#ROW) or folders of them, entries "
            "of a prepared folder, or photos with map and joints beside them [default: all shipped poses].",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Picture of the skeletons.")] = Path("outputs/poses.png"),
    save: Annotated[
        Path | None,
        typer.Option(
            "--save",
            metavar="FOLDER",
            help="Only write each pose to FOLDER/NAME.json, or a single pose to a file that ends with .json.",
        ),
    ] = None,
    data: Data = None,
    frame: Frame = None,
    person: Annotated[
        int,
        typer.Option(
            "--person",
            min=0,
            metavar="N",
            help="Person to take from a photo or pose file with several people: the N-th, from 1. 0: the most "
            "prominent.",
        ),
    ] = 0,
    mirror: Mirror = False,
    as_json: AsJson = False,
) -> None:
    """List poses and draw their skeletons, or save them as JSON for editing."""
    from scmnet_cli.cli.drawing.inputs import Finder
    from scmnet_cli.cli.drawing.pose_inputs import DEFAULT_FRAME, LIBRARY

    finder = Finder(
        data,
        DEFAULT_FRAME,
        frame=None if frame is None else read_size(frame, "--frame", "256x176"),
        pose_person=person,
        mirror=mirror,
    )
    found = finder.unplaced(words or [LIBRARY], "POSE")
    if save is not None:
        _save(found, save, as_json=as_json)
    else:
        _draw(found, out, as_json=as_json)


def _draw(found: list[Input], out: Path, *, as_json: bool) -> None:
    from scmnet_cli.cli.drawing.outputs import make_folder
    from scmnet_cli.images import save_png
    from scmnet_cli.poses.sheet import draw_poses

    read = _read(found)
    if len(read) > _MOST_DRAWN:
        warn(f"draws the first {_MOST_DRAWN} of {len(read)} poses")
    make_folder(out.parent, "--out")
    save_png(out, draw_poses([pose for _, pose in read[:_MOST_DRAWN]]))
    widest = max(len(pose.name) for _, pose in read)
    lines: list[object] = []
    listed = []
    for given, pose in read:
        known = int((pose.joints[:, 2] > 0).sum())
        lines.append(f"{pose.name:{widest}}  {known:2} joints  {pose.canvas}  {given.description}".rstrip())
        frame = {"height": pose.canvas.height, "width": pose.canvas.width}
        listed.append({"name": pose.name, "joints": known, "frame": frame, "description": given.description})
    show([*lines, out], {"poses": listed, "picture": out}, as_json=as_json)


def _save(found: list[Input], to: Path, *, as_json: bool) -> None:
    from scmnet_cli.cli.drawing.outputs import make_folder, safe_name
    from scmnet_cli.poses.files import save_pose

    one = to.suffix.lower() == ".json"
    if one and len(found) != 1:
        raise ScmError(f"--save {to}: is one file for {len(found)} poses; give a folder")
    folder = to.parent if one else to
    make_folder(folder, "--save")
    named = [(to if one else folder / f"{safe_name(pose.name)}.json", given, pose) for given, pose in _read(found)]
    paths = [path for path, _, _ in named]
    for path in paths:
        if path.exists():
            raise ScmError(f"--save {path}: exists and may have been edited; remove it or give another path")
        if paths.count(path) > 1:
            raise ScmError(f"--save {path}: several poses have this name; save them to different folders")
    for path, given, pose in named:
        save_pose(path, pose, given.description, given.where)
    show(paths, {"saved": paths}, as_json=as_json)


def _read(found: list[Input]) -> list[tuple[Input, Pose]]:
    """Read all readable poses; report each of the others in one line."""
    from scmnet_cli.types import Person, Pose

    read = []
    for given in found:
        try:
            pose = given.read()
        except ScmError as error:
            if len(found) == 1:
                raise
            warn(f"skipped {given.name}: {error}")
            continue
        read.append((given, Pose.of(pose) if isinstance(pose, Person) else pose))
    if not read:
        raise ScmError("none of the poses can be used, for the reasons above")
    return read
