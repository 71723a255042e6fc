"""The library of poses that ship with the package."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from scmnet_cli.poses.files import PoseEntry, read_pose_file


def shipped_folder() -> Path:
    """Return the folder of the shipped poses, in a checkout or an installed wheel."""
    return Path(__file__).parent / "shipped"


@cache
def shipped_poses() -> dict[str, tuple[Path, PoseEntry]]:
    """Return file and content of every shipped pose by name, sorted."""
    files = {path.stem: path for path in shipped_folder().glob("*.json")}
    return {name: (files[name], read_pose_file(files[name])[0]) for name in sorted(files)}
