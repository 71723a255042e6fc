"""Source layouts by name."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from scmnet_cli.analyser.faces import FaceParser
from scmnet_cli.analyser.people import Analyser
from scmnet_cli.errors import ScmError
from scmnet_cli.preprocess.face_photos import FacePhotoSource
from scmnet_cli.preprocess.photos import PhotoSource
from scmnet_cli.sources.ccp import CcpSource
from scmnet_cli.sources.celebamask import CelebAMaskSource, is_celebamask
from scmnet_cli.sources.deepfashion import DeepFashionSource
from scmnet_cli.sources.dresscode import DressCodeSource, is_dresscode
from scmnet_cli.sources.folder import FolderSource, find_table
from scmnet_cli.sources.market import MarketSource
from scmnet_cli.sources.source import Source


def _open_ccp(
    root: Path, joints: Path | None = None, *, unlabelled: bool = False, analyser: Analyser | None = None
) -> CcpSource:
    return CcpSource(root, joints, unlabelled=analyser or Analyser.load() if unlabelled else None)


LAYOUTS: dict[str, tuple[Callable[..., Source], tuple[str, ...]]] = {
    "ccp": (_open_ccp, ("joints", "unlabelled", "analyser")),
    "celebamask": (CelebAMaskSource, ()),
    "deepfashion": (DeepFashionSource, ("joints", "maps", "labels", "lists")),
    "dresscode": (DressCodeSource, ()),
    "face-photos": (FacePhotoSource, ("face_parser",)),
    "folder": (FolderSource, ("joints", "maps", "labels")),
    "market1501": (MarketSource, ("joints", "maps", "labels", "lists")),
    "photos": (PhotoSource, ("analyser", "joints", "maps", "labels", "all")),
}
"""The reader of each layout, and the options it takes."""


def likely_layout(root: Path, *annotations: Path | str | None) -> str:
    """Return ``folder`` if joints or region maps are in the folder or given as options.

    Otherwise return ``dresscode`` for a folder in that layout, and ``photos`` for any other.

    Args:
        root: the folder.
        annotations: ``joints``, ``maps`` and ``labels`` of ``scm preprocess``.
    """
    is_annotated = any(annotations) or find_table(root) is not None or (root / "regions").is_dir()
    if is_annotated:
        return FolderSource.layout
    return DressCodeSource.layout if is_dresscode(root) else PhotoSource.layout


def likely_face_layout(root: Path) -> str:
    """Return ``celebamask`` for a folder in that layout, else ``face-photos``."""
    return CelebAMaskSource.layout if is_celebamask(root) else FacePhotoSource.layout


def open_source(layout: str, root: Path, **options: Path | str | bool | Analyser | FaceParser | None) -> Source:
    """Open a source folder of a layout.

    Args:
        layout: its name.
        root: the folder.
        options: ``joints``, ``maps``, ``labels``, ``lists`` and ``unlabelled`` of ``scm preprocess``, and another
            ``analyser`` than the shipped one, or the ``face_parser``; None and False count as not given.

    Raises:
        ScmError: if there is no such layout or folder, the folder has another layout, or the layout lacks an option.
    """
    if layout not in LAYOUTS:
        raise ScmError(f"--layout {layout}: is not one of {', '.join(LAYOUTS)}")
    if zipfile.is_zipfile(root):
        raise ScmError(f"{root}: is an archive; unpack it and give the folder")
    if not root.is_dir():
        raise ScmError(f"{root}: no such folder")
    reader, allowed = LAYOUTS[layout]
    given = {name: value for name, value in options.items() if value not in (None, False)}
    for name, value in given.items():
        if name not in allowed:
            shown = "" if value is True else f" {value}"
            raise ScmError(f"--{name}{shown}: layout {layout} has no such option; leave it out")
    return reader(root, **given)
