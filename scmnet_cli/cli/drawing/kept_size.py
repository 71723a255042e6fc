"""Check and read the photos that ``--keep-size`` puts results back into."""

from __future__ import annotations

from scmnet_cli.cli.drawing.input import Input
from scmnet_cli.cli.drawing.task import Task
from scmnet_cli.domains import Domain
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.inputs.framed_face import DRAWN_ANEW
from scmnet_cli.inference.inputs.framed_photo import MAX_KEPT_PIXELS, FramedPhoto


def check_faces_kept(task: Task) -> None:
    """Check that all pictures of faces can be put back into their photos.

    Raises:
        ScmError: if faces are drawn anew, or get another background.
    """
    if task.poses is not None or not task.references:
        raise ScmError(DRAWN_ANEW)
    if "background" in task.references:
        raise ScmError(
            "--region background: the new background would end at the square around the face; leave out --keep-size "
            "or --region background"
        )


def read_framed(domain: Domain, given: Input) -> FramedPhoto:
    """Read an input together with its whole photo.

    Raises:
        ScmError: if it is no photo, cannot be read, or is too large to be put back.
    """
    if given.framed is None:
        role = "pose" if domain.has_joints else "face"
        raise ScmError(
            f"{given.where}: is not a photo that the result can be put into; leave out --keep-size, or give the {role} "
            "by a photo"
        )
    framed = given.framed()
    height, width = framed.image.shape[:2]
    if height * width > MAX_KEPT_PIXELS:
        raise ScmError(
            f"{given.where}: has over {MAX_KEPT_PIXELS // 1_000_000} million pixels; make it smaller, or leave out "
            "--keep-size"
        )
    return framed
