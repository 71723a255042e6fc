"""The report of a prepared folder: one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import io
import re
from collections import Counter
from collections.abc import Iterable
from html import escape
from pathlib import Path

import numpy as np
from PIL import Image

from scmnet_cli.data.prepared import PreparedFolder, write_text
from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_photo
from scmnet_cli.preprocess.sheet import pictures_of, spread
from scmnet_cli.regions import COLOURS
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.sources.source import Source, inside

MOST_THUMBNAILS = 3000
"""Of whoever was left out; a thumbnail takes about 4 kB."""

_THUMBNAIL = (120, 90)
_HEIGHT = 256
_QUALITY = 80
_NO_PICTURE = "<td class='missing'>no picture"
_DETAIL = re.compile(r"\s*\(.*\)|; .*")
_NAME = re.compile(r"'[^']*'|\S*/\S*")
_NUMBER = re.compile(r"\b\d[\d,.x%]*")
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 74em; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; } td, th { border: 1px solid #ccc; padding: .3em .6em; text-align: left; }
td { overflow-wrap: anywhere; } td.number { text-align: right; } td.missing { color: #888; font-size: 13px; }
.people { display: flex; flex-wrap: wrap; gap: 1em; } figure { margin: 0; } figcaption { font-size: 13px; }
figure img { height: 200px; } dt { font-weight: bold; } dd { margin: 0 0 .4em 1em; overflow-wrap: anywhere; }
h2 { margin-top: 1.6em; } .colours span { margin-right: 1.2em; }
.colours b { display: inline-block; width: 1em; height: 1em; margin-right: .3em; vertical-align: -.1em; }
"""


def write_report(path: Path, source: Source, folder: PreparedFolder, num: int = 24) -> None:
    """Write what became of a source: counts, some people with what was found of them, and everybody who was left out.

    The same folder gives the same bytes.

    Args:
        path: of the HTML file.
        source: that the folder was made of.
        folder: a whole one.
        num: how many people to show.

    Raises:
        ScmError: if somebody who is shown cannot be read, or the report cannot be written.
    """
    manifest = folder.manifest
    name = _text(folder.path.resolve().name)
    made = (
        f"Prepared from {source.root.resolve().name}, layout {manifest.layout}, by scm {manifest.tool_version}: "
        f"pictures of {manifest.canvas}, background {manifest.background}."
    )
    parts = [
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>scm preprocess: {name}</title>",
        f"<style>{_STYLE}</style><h1>{name}</h1><p>{_text(made)}</p>",
        _table(["", "number"], [[key.replace("_", " "), f"{count:,}"] for key, count in manifest.counts.items()]),
        *[f"<p>{_text(remark)}.</p>" for remark in manifest.remarks],
        "<h2>Found by</h2><dl>",
        f"<dt>{folder.domain.structure}<dd>{_text(manifest.pose_estimator)}<dt>regions<dd>{_text(manifest.parser)}",
        f"<dt>usable<dd>{_text(manifest.rule)}</dl>",
        *_people(source, folder, num),
        *_left_out(source, manifest.left_out),
        *_joints(folder),
        "</html>",
    ]
    write_text(path, "\n".join(parts) + "\n")


def _people(source: Source, folder: PreparedFolder, num: int) -> list[str]:
    chosen = spread(folder.names(), num)
    heading = f"{len(chosen)} of {len(folder.names()):,} {folder.domain.members}"
    explained = (
        "From the left: the photo with the part that is taken, the picture, its regions, its "
        f"{folder.domain.structure}. Look whether they fit before training."
    )
    colours = "".join(
        f"<span><b style='background:rgb{colour}'></b>{region}</span>"
        for region, colour in zip(folder.domain.regions, COLOURS, strict=True)
    )
    parts = [f"<h2>{heading}</h2><p>{explained}</p><p class='colours'>{colours}</p><div class='people'>"]
    for name in chosen:
        pictures = [_picture(Image.fromarray(picture)) for picture in pictures_of(source, folder, name)]
        where = _text(folder.entry(name).photo)
        parts.append(f"<figure>{''.join(pictures)}<figcaption>{_text(name)} ({where})</figcaption></figure>")
    return [*parts, "</div>"]


def _left_out(source: Source, left_out: dict[str, str]) -> list[str]:
    if not left_out:
        return ["<h2>Left out</h2><p>Nobody.</p>"]
    kinds = Counter(_kind(reason) for reason in left_out.values())
    counts = [[kind, f"{number:,}"] for kind, number in kinds.most_common()]
    parts = [f"<h2>Left out: {len(left_out):,}</h2>", _table(["because", "number"], counts)]
    if len(left_out) > MOST_THUMBNAILS:
        parts.append(f"<p>The first {MOST_THUMBNAILS:,} with their pictures.</p>")
    known = set(source.names())
    parts.append("<p></p><table><tr><th>picture<th>photo<th>because")
    for number, (name, reason) in enumerate(left_out.items()):
        photo = source.photo(name) if name in known else None
        shown = _thumbnail(source, photo) if photo and number < MOST_THUMBNAILS else ""
        file = _relative(source, photo) if photo else name
        parts.append(f"<tr>{shown or _NO_PICTURE}<td>{_text(file)}<td>{_text(reason)}")
    return [*parts, "</table>"]


def _kind(reason: str) -> str:
    """Return a reason without the file, the numbers and the details that tell two photos of one kind apart."""
    file, separator, rest = reason.partition(": ")
    said = rest if separator and "/" in file else reason
    return _NUMBER.sub("N", _NAME.sub("…", _DETAIL.sub("", said))).strip() or reason


def _relative(source: Source, photo: Path) -> str:
    return str(photo.relative_to(source.root)) if photo.is_relative_to(source.root) else photo.name


def _thumbnail(source: Source, photo: Path) -> str:
    """Return the cell of a photo, if it can be read; one that leads out of the source is not looked at."""
    try:
        image = Image.fromarray(read_photo(inside(source.root, photo)))
    except (ScmError, OSError):
        return ""
    image.thumbnail(_THUMBNAIL)
    return f"<td>{_picture(image)}"


def _joints(folder: PreparedFolder) -> list[str]:
    entries = [folder.entry(name) for name in folder.names()]
    if not len(entries[0].joints):
        return []
    known = (np.stack([entry.joints[:, 2] for entry in entries]) > 0).sum(axis=0).tolist()
    shares = [f"{number / len(entries):.1%}" for number in known]
    rows = [[joint.replace("_", " "), f"{k:,}", share] for joint, k, share in zip(JOINTS, known, shares, strict=True)]
    return ["<h2>Joints found</h2>", _table(["joint", "people", "share"], rows)]


def _table(header: list[str], rows: Iterable[list[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}" for cell in header)
    body = "".join(
        f"<tr><td>{_text(first)}" + "".join(f"<td class='number'>{escape(cell)}" for cell in rest)
        for first, *rest in rows
    )
    return f"<table><tr>{head}{body}</table>"


def _text(text: str) -> str:
    """Return a text for HTML; names of files may hold anything, bytes that are no UTF-8 too."""
    return escape(text.encode("utf-8", "replace").decode())


def _picture(picture: Image.Image) -> str:
    if picture.height > _HEIGHT:
        picture = picture.resize((max(1, round(picture.width * _HEIGHT / picture.height)), _HEIGHT))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY)
    return f"<img alt='' src='data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}'>"
