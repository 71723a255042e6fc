"""Photo files: supported formats, remedies for unsupported ones, and listing of folders."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_ALWAYS_READ = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_AVIF, _HEIF = (".avif",), (".heic", ".heif", ".hif")
_NEVER_READ = (
    ".jxl", ".jp2", ".psd", ".svg", ".tga", ".ico", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf",
    ".rw2",
)  # fmt: skip
"""Other image formats, including raw photos of cameras."""


def has_heif() -> bool:
    """Return whether pillow-heif, which reads photos of iPhones, is installed."""
    return importlib.util.find_spec("pillow_heif") is not None


def has_avif() -> bool:
    """Return whether the installed Pillow reads AVIF."""
    from PIL import features

    return "avif" in features.modules and bool(features.check("avif"))


@cache
def photo_endings() -> tuple[str, ...]:
    """Return the lower-case suffixes of photos that can be read here."""
    return (*_ALWAYS_READ, *(_AVIF if has_avif() else ()), *(_HEIF if has_heif() else ()))


def is_photo(path: Path) -> bool:
    """Return whether a file has the suffix of a photo that can be read here, in any case."""
    return path.suffix.lower() in photo_endings()


def why_unread(path: Path) -> str:
    """Return the remedy for an image of an unsupported format; empty for other files."""
    ending = path.suffix.lower()
    if ending in photo_endings():
        return ""
    if ending in _HEIF:
        return "install the extra 'heif' (pip install 'scmnet-cli[heif]'), or convert it to .jpg"
    if ending in _AVIF:
        return "install Pillow 11.3 or newer, or convert it to .jpg"
    return "convert it to .jpg" if ending in _NEVER_READ else ""


def unread_photos(paths: Iterable[Path]) -> str:
    """Return a remark on images of unsupported formats among these files; empty if there are none."""
    unread = sorted(path for path in paths if why_unread(path))
    if not unread:
        return ""
    number = "1 photo is" if len(unread) == 1 else f"{len(unread)} photos are"
    return f"{number} left out, {unread[0].name} the first: {why_unread(unread[0])}"


def files_of(folder: Path) -> list[Path]:
    """Return the files of a folder without hidden ones, in natural order (2 before 10); empty if it is no folder."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if path.name[0] != "." and path.is_file()), key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a key that sorts the numbers in a name by their value."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in parts]


def without_photo_ending(name: str) -> str:
    """Return a name without the suffix of a photo, supported or not."""
    ending = Path(name).suffix.lower()
    return name[: -len(ending)] if ending in (*_ALWAYS_READ, *_AVIF, *_HEIF) else name
