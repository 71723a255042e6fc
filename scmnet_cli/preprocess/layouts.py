"""Source layouts by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scmnet_cli.errors import ScmError
from scmnet_cli.preprocess.ccp import CcpSource
from scmnet_cli.preprocess.folder import FolderSource
from scmnet_cli.preprocess.source import Source

LAYOUTS: dict[str, Callable[[Path, Path | None], Source]] = {"ccp": CcpSource, "folder": FolderSource}


def open_source(layout: str, root: Path, joints: Path | None = None) -> Source:
    """Open a source folder of a layout.

    Raises:
        ScmError: if there is no such layout or folder, or the folder is not laid out so.
    """
    if layout not in LAYOUTS:
        raise ScmError(f"--layout {layout}: is not one of {', '.join(LAYOUTS)}")
    if not root.is_dir():
        raise ScmError(f"{root}: no such folder")
    return LAYOUTS[layout](root, joints)
