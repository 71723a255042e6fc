"""Text files of other programs, UTF-8 with or without a byte order mark or UTF-16 with one; and HTML pages of ours."""

from __future__ import annotations

import codecs
import os
from pathlib import Path
from typing import Any

from scmnet_cli.errors import ScmError

MAX_BYTES = 200_000_000
"""Larger files are refused."""

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path, what: str) -> str:
    """Read a text file of another program, such as a spreadsheet's export.

    Args:
        path: the file.
        what: what it should be, for messages: ``JSON``, ``a table``.

    Raises:
        ScmError: if it cannot be read, is not UTF-8 or UTF-16, or has over 200 MB.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ScmError(f"{path}: is over {MAX_BYTES // 1_000_000} MB; cut it into smaller files")
        content = path.read_bytes()
    except OSError as error:
        raise ScmError(f"{path}: cannot be read as {what} ({error})") from error
    try:
        return content.decode("utf-16" if content.startswith(_UTF16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScmError(f"{path}: cannot be read as {what} ({error}); save it as UTF-8") from error


def read_lines(path: Path, what: str) -> list[str]:
    """Read the lines of a text file, as :func:`read_text` does.

    Raises:
        ScmError: if it cannot be read.
    """
    return read_text(path, what).splitlines()


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step.

    Raises:
        ScmError: if the disk does not take it.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ScmError(f"{path}: cannot be written ({error.strerror})") from error


def render_html(template: Path, **values: Any) -> str:
    """Fill in a Jinja template of an HTML page; every value is escaped.

    Args:
        template: the file.
        values: by the names that the template has.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_printable,
    )
    return environment.get_template(template.name).render(values)


def _printable(value: Any) -> Any:
    """Return a value with what is no UTF-8 replaced: names of files may hold anything."""
    return value.encode("utf-8", "replace").decode() if type(value) is str else value
