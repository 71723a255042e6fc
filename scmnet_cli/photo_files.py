"""Photo files: which kinds can be read here, which cannot and what helps, and what a folder holds."""

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
"""Pictures of other kinds, raw photos of cameras among them."""


def has_heif() -> bool:
    """Return whether pillow-heif, which reads photos of iPhones, is installed."""
    return importlib.util.find_spec("pillow_heif") is not None


def has_avif() -> bool:
    """Return whether the installed Pillow reads AVIF."""
    from PIL import features

    return "avif" in features.modules and bool(features.check("avif"))


@cache
def photo_endings() -> tuple[str, ...]:
    """Return the endings of photos that can be read here, in lower case."""
    return (*_ALWAYS_READ, *(_AVIF if has_avif() else ()), *(_HEIF if has_heif() else ()))


def is_photo(path: Path) -> bool:
    """Return whether a file's name ends as a photo's that can be read here; upper and lower case are alike."""
    return path.suffix.lower() in photo_endings()


def why_unread(path: Path) -> str:
    """Return what helps with a picture of a kind that cannot be read here; nothing for other files."""
    ending = path.suffix.lower()
    if ending in photo_endings():
        return ""
    if ending in _HEIF:
        return "install the extra 'heif' (pip install 'scmnet-cli[heif]'), or convert it to .jpg"
    if ending in _AVIF:
        return "install Pillow 11.3 or newer, or convert it to .jpg"
    return "convert it to .jpg" if ending in _NEVER_READ else ""


def unread_photos(paths: Iterable[Path]) -> str:
    """Return a sentence on pictures among these files that cannot be read here; nothing if there are none."""
    unread = sorted(path for path in paths if why_unread(path))
    if not unread:
        return ""
    number = "1 photo is" if len(unread) == 1 else f"{len(unread)} photos are"
    return f"{number} left out, {unread[0].name} the first: {why_unread(unread[0])}"


def files_of(folder: Path) -> list[Path]:
    """Return the files of a folder but for hidden ones, 2 before 10; none if it is not a folder."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if path.name[0] != "." and path.is_file()), key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    """Return a key that sorts the numbers in a name by their value."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in parts]


def without_photo_ending(name: str) -> str:
    """Return a name without the ending of a photo, whether such photos can be read here or not."""
    ending = Path(name).suffix.lower()
    return name[: -len(ending)] if ending in (*_ALWAYS_READ, *_AVIF, *_HEIF) else name
