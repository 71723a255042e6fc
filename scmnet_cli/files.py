"""Read text and JSON files in bounded memory, render HTML pages, and write files atomically without following links."""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO, TypeVar

from scmnet_cli.errors import ScmError

if TYPE_CHECKING:
    from pydantic import BaseModel

    Model = TypeVar("Model", bound=BaseModel)

MAX_BYTES = 200_000_000
"""Larger text files are rejected."""

MAX_LINES = 2_000_000
"""Text files with more lines are rejected: short lines take thirty times their length in memory."""

MAX_JSON_BYTES = 20_000_000
"""Larger JSON files of this program are rejected: parsed, they take up to fifty times the memory."""

_FULL = (errno.ENOSPC, errno.EDQUOT)

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_UNFINISHED = (".scm-", ".tmp")
"""Beginning and end of the name of a file that is being written."""


def read_text(path: Path, what: str) -> str:
    """Read a text file of another program, such as a spreadsheet's export.

    Args:
        path: the file.
        what: the expected content, for messages: ``JSON``, ``a table``.

    Raises:
        ScmError: if it cannot be read, is not UTF-8 or UTF-16, or has over 200 MB.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ScmError(f"{path}: is over {MAX_BYTES // 1_000_000} MB; split it into smaller files")
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
        ScmError: if it cannot be read, or has over two million lines.
    """
    text = read_text(path, what)
    if text.count("\n") + text.count("\r") > 2 * MAX_LINES:
        raise ScmError(f"{path}: has over {MAX_LINES:,} lines; split it into smaller files")
    return text.splitlines()


def render_html(template: Path, **values: Any) -> str:
    """Render a Jinja template of an HTML page; all values are escaped.

    Args:
        template: the file.
        values: values by their names in the template.
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
    """Return a value with invalid UTF-8 replaced, which names of files may contain."""
    return value.encode("utf-8", "replace").decode() if type(value) is str else value


def read_json(path: Path, kind: type[Model], remedy: str) -> Model:
    """Read a JSON file that this program wrote, and validate it.

    Args:
        path: the file.
        kind: model of its content.
        remedy: remedy for a damaged file, for the message.

    Raises:
        ScmError: if it cannot be read, is too large, or does not fit the model.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ScmError(f"{path}: is over {MAX_JSON_BYTES // 1_000_000} MB; {remedy}")
        content = path.read_bytes()
    except OSError as error:
        raise ScmError(f"{path}: cannot be read ({error.strerror or error}); {remedy}") from error
    return parse_json(content, kind, str(path), remedy)


def parse_json(content: bytes | str, kind: type[Model], where: str, remedy: str) -> Model:
    """Parse JSON that this program wrote, and validate it.

    Args:
        content: the JSON.
        kind: model of its content.
        where: its origin, for the message.
        remedy: remedy for damage, for the message.

    Raises:
        ScmError: naming the first value that does not fit.
    """
    from pydantic import ValidationError

    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        reason = f"{place}: {first['msg']}" if place else first["msg"]
        raise ScmError(f"{where}: is damaged or of another program ({reason}); {remedy}") from error


def write_file(path: Path, save: Callable[[IO[bytes]], None]) -> None:
    """Write a file atomically: other processes never see half of it.

    It is written under a random name in the same folder and then renamed, so no link is followed.

    Args:
        path: the file.
        save: writes the content to an open file.

    Raises:
        ScmError: if it cannot be written; an existing file stays unchanged.
    """
    try:
        with replaced(path) as beside, beside.open("wb") as file:
            save(file)
    except OSError as error:
        raise ScmError(f"{path}: cannot be written ({error.strerror or error})") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, like :func:`write_file`.

    Raises:
        ScmError: if it cannot be written; an existing file stays unchanged.
    """

    def save(file: IO[bytes]) -> None:
        file.write(text.encode("utf-8", "replace"))  # file names in the text may be invalid UTF-8

    write_file(path, save)


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a new, empty file in the folder of ``path``, which replaces it if the block ends without an error.

    Raises:
        OSError: if it cannot be created or renamed, or the path is a device or a folder.
    """
    if path.exists() and not path.is_file():  # as root the rename would put a file in the place of a device
        raise OSError(errno.EINVAL, "not a regular file")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=_UNFINISHED[0], suffix=_UNFINISHED[1])
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        beside.chmod(0o644)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def unfinished_files(folder: Path) -> list[Path]:
    """Return the files that another process is writing into a folder, or left half-written when it was killed."""
    return list(folder.glob("*".join(_UNFINISHED)))


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process left half-written in a folder; only for a folder that this process has locked."""
    for path in unfinished_files(folder):
        path.unlink(missing_ok=True)


def open_to_append(path: Path) -> TextIO:
    """Open a text file for appending; create it if necessary.

    Raises:
        OSError: if it cannot be opened, or is a link.
    """
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
    return os.fdopen(handle, "a", encoding="utf-8")


def make_folders(root: Path, *names: str) -> None:
    """Create a folder and subfolders, which must not be links out of it.

    Raises:
        ScmError: if one cannot be created, or leads out of ``root``.
    """
    try:
        for name in names or ("",):
            (root / name).mkdir(parents=True, exist_ok=True)
        for name in names:
            if not (root / name).resolve().is_relative_to(root.resolve()):
                raise ScmError(f"{root / name}: is a link that leads out of {root}; remove it")
    except OSError as error:
        raise ScmError(f"{root}: cannot be made ({error.strerror or error}); choose another -o") from error


@contextlib.contextmanager
def translate_os_errors(folder: Path) -> Iterator[None]:
    """Translate disk errors to a ScmError that names the file; for a full disk it says how to continue.

    Args:
        folder: the folder that is written to.

    Raises:
        ScmError: if a file cannot be written; other ScmErrors pass through.
    """
    try:
        yield
    except (ScmError, OSError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError):
            raise
        if cause.errno in _FULL:
            raise ScmError(
                f"{folder}: the disk is full ({cause.strerror}); finished work is kept: make room, and run the same "
                "command again"
            ) from error
        if isinstance(error, ScmError):
            raise
        if error.errno == errno.ELOOP:
            raise ScmError(f"{error.filename or folder}: is a link, which is not written to; remove it") from error
        raise ScmError(f"{error.filename or folder}: cannot be written ({error.strerror or error})") from error
