"""Report of a prepared folder as one self-contained HTML file."""

from __future__ import annotations

import base64
import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.files import render_html, write_text
from scmnet_cli.images import read_photo
from scmnet_cli.preprocess.sheet import Thumbnails, pictures_of, spread
from scmnet_cli.regions import COLOURS
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.sources.source import Source, inside

MOST_THUMBNAILS = 3000
"""Maximum number of thumbnails of skipped photos; each takes about 4 kB."""

_THUMBNAIL = (120, 90)
_HEIGHT = 256
_QUALITY = 80
_DETAIL = re.compile(r"\s*\(.*\)|; .*")
_NAME = re.compile(r"'[^']*'|\S*/\S*")
_NUMBER = re.compile(r"\b\d[\d,.x%]*")
_TEMPLATE = Path(__file__).with_name("report.html.jinja")


def write_report(path: Path, source: Source, folder: PreparedFolder, num: int = 24) -> None:
    """Write the report of a prepared folder: counts, some people with regions and joints, and all skipped photos.

    The same photos give the same bytes, whatever the names of the folders.

    Args:
        path: the HTML file.
        source: source of the prepared folder.
        folder: the prepared folder.
        num: number of people to show.

    Raises:
        ScmError: if a person shown cannot be read, or the report cannot be written.
    """
    manifest = folder.manifest
    kinds = Counter(_kind(reason) for reason in manifest.left_out.values())
    page = render_html(
        _TEMPLATE,
        made=f"Prepared from layout {manifest.layout}, by scm {manifest.tool_version}: "
        f"pictures of {manifest.canvas}, background {manifest.background}.",
        manifest=manifest,
        counts=[(key.replace("_", " "), f"{count:,}") for key, count in manifest.counts.items()],
        structure=folder.domain.structure,
        members=folder.domain.members,
        num_people=f"{len(folder.names()):,}",
        people=_people(source, folder, num),
        colours=list(zip(folder.domain.regions, COLOURS, strict=True)),
        left_out=_left_out(source, manifest.left_out),
        remarks=[_without_root(source, remark) for remark in manifest.remarks],
        reasons=[(kind, f"{number:,}") for kind, number in kinds.most_common()],
        most_thumbnails=MOST_THUMBNAILS,
        joints=_joints(folder),
    )
    write_text(path, page)


def _people(source: Source, folder: PreparedFolder, num: int) -> list[dict[str, Any]]:
    people, thumbnails = [], Thumbnails(source)
    for name in spread(folder.names(), num):
        pictures = [_picture(Image.fromarray(picture)) for picture in pictures_of(thumbnails, folder, name)]
        people.append({"name": name, "photo": folder.entry(name).photo, "pictures": pictures})
    return people


def _left_out(source: Source, left_out: dict[str, str]) -> list[dict[str, str]]:
    known = set(source.names())
    found = []
    for number, (name, reason) in enumerate(left_out.items()):
        reason = _without_root(source, reason)
        photo = source.photo(name) if name in known else None
        picture = _thumbnail(source, photo) if photo and number < MOST_THUMBNAILS else ""
        found.append({"picture": picture, "file": _relative(source, photo) if photo else name, "reason": reason})
    return found


def _kind(reason: str) -> str:
    """Return a reason without file names, numbers and details, to count reasons by kind."""
    file, separator, rest = reason.partition(": ")
    message = rest if separator and "/" in file else reason
    return _NUMBER.sub("N", _NAME.sub("…", _DETAIL.sub("", message))).strip() or reason


def _relative(source: Source, photo: Path) -> str:
    return str(photo.relative_to(source.root)) if photo.is_relative_to(source.root) else photo.name


def _without_root(source: Source, text: str) -> str:
    """Return a text with paths below the source folder, which stand in messages, as below SRC."""
    root = str(source.root)
    return text.replace(f"{root}/", "SRC/").replace(f"{root}:", "SRC:") if root not in ("", ".", "/") else text


def _thumbnail(source: Source, photo: Path) -> str:
    """Return a thumbnail of a photo, or nothing if it cannot be read or leads out of the source folder."""
    try:
        image = Image.fromarray(read_photo(inside(source.root, photo)))
    except (ScmError, OSError):
        return ""
    image.thumbnail(_THUMBNAIL)
    return _picture(image)


def _joints(folder: PreparedFolder) -> list[tuple[str, str, str]]:
    """Return the number and the share of people who have each joint."""
    entries = [folder.entry(name) for name in folder.names()]
    if not len(entries[0].joints):
        return []
    known = (np.stack([entry.joints[:, 2] for entry in entries]) > 0).sum(axis=0).tolist()
    return [
        (joint.replace("_", " "), f"{number:,}", f"{number / len(entries):.1%}")
        for joint, number in zip(JOINTS, known, strict=True)
    ]


def _picture(picture: Image.Image) -> str:
    """Return an image as a data URL."""
    if picture.height > _HEIGHT:
        picture = picture.resize((max(1, round(picture.width * _HEIGHT / picture.height)), _HEIGHT))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
