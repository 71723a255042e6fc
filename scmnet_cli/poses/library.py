"""The poses that the package ships: pose files of our own form, found by name."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from scmnet_cli.poses.files import ENDINGS, Posed, read_pose_file


def shipped_folder() -> Path:
    """Return the folder of the shipped poses, in a checkout or an installed wheel."""
    return Path(__file__).parent / "shipped"


@cache
def shipped_poses() -> dict[str, tuple[Path, Posed]]:
    """Return file and content of every shipped pose, by name, sorted."""
    files = sorted(path for path in shipped_folder().iterdir() if path.suffix in ENDINGS)
    return {path.stem: (path, read_pose_file(path)[0]) for path in files}
