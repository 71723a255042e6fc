"""Output files of ``scm transfer`` and ``scm edit``: the picture, a JSON report, and optional sheets."""

from __future__ import annotations

import itertools
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scmnet_cli import __version__
from scmnet_cli.checkpoint import sha256
from scmnet_cli.errors import ScmError
from scmnet_cli.files import write_text
from scmnet_cli.photo_files import photo_endings, why_unread
from scmnet_cli.provenance import KINDS, SOFTWARE, save_generated, save_generated_animation
from scmnet_cli.types import UInt8Array

if TYPE_CHECKING:
    from scmnet_cli.inference.drawing_model import DrawingModel

_LONGEST_NAME = 80
_SHEETS = ("strip", "before-after")


class Outputs:
    """Writes pictures to a folder or file; never overwrites a picture drawn from other inputs."""

    def __init__(self, out: Path, pipeline: DrawingModel, *, mark: bool = False) -> None:
        """Create the folder.

        Args:
            out: a folder, or a file with an image ending for a single picture.
            pipeline: the model that draws the pictures, for the report.
            mark: add the visible mark to each picture.

        Raises:
            ScmError: if the folder cannot be created, or the file's format cannot be written.
        """
        self.file = _named_file(out)
        self.folder = out if self.file is None else out.parent
        self.mark = mark
        self._model = {
            "path": str(pipeline.path.resolve()),
            "sha256": sha256(pipeline.path),
            "config": pipeline.config.model.model_dump(),
        }
        self._runtime = pipeline.runtime
        make_folder(self.folder, "--out")

    def write(
        self,
        stem: str,
        picture: UInt8Array,
        inputs: dict[str, Any],
        report: dict[str, Any],
        sheets: Mapping[str, UInt8Array] | None = None,
    ) -> Path:
        """Write a picture and its report.

        Args:
            stem: file name without ending, unless ``--out`` is a file; a number is appended if it is taken by other
                inputs.
            picture: (H, W, 3), or (H, W, 4) with opacity.
            inputs: names and paths of the inputs; the same inputs and model overwrite their earlier picture.
            report: further content of the JSON.
            sheets: pictures to write beside it, by their suffixes.

        Returns:
            path of the picture, a PNG unless ``--out`` is a file; the JSON has the same name.

        Raises:
            ScmError: if a file cannot be written.
        """
        path = self._free(stem, inputs) if self.file is None else self._free(self.file.stem, inputs, self.file.suffix)
        with self._report_beside(path, inputs, report):
            for kind, sheet in (sheets or {}).items():
                save_generated(path.with_suffix(f".{kind}.png"), sheet, mark=self.mark)
            save_generated(path, picture, mark=self.mark)
        return path

    def write_animation(
        self, wanted: Path, frames: list[UInt8Array], rate: float, inputs: dict[str, Any], report: dict[str, Any]
    ) -> Path:
        """Write an animated picture and its report.

        Args:
            wanted: path of the picture; a number is appended if it is taken by other inputs.
            frames: (H, W, 3) each.
            rate: frames per second.
            inputs: names and paths of the inputs; the same inputs and model overwrite their earlier picture.
            report: further content of the JSON.

        Returns:
            path of the picture; the JSON has the same name.

        Raises:
            ScmError: if a file cannot be written.
        """
        path = self._free(wanted.stem, inputs, wanted.suffix)
        with self._report_beside(path, inputs, report):
            save_generated_animation(path, frames, rate, mark=self.mark)
        return path

    def adopt(self, wanted: Path, made: Path, inputs: dict[str, Any], report: dict[str, Any]) -> Path:
        """Move a finished file to its path and write its report; otherwise like :meth:`write_animation`.

        Args:
            wanted: its path; a number is appended if it is taken by other inputs.
            made: the finished file, in the same folder.
            inputs: names and paths of the inputs.
            report: further content of the JSON.

        Raises:
            ScmError: if a file cannot be written.
        """
        path = self._free(wanted.stem, inputs, wanted.suffix)
        with self._report_beside(path, inputs, report):
            os.replace(made, path)
        return path

    @contextmanager
    def _report_beside(self, path: Path, inputs: dict[str, Any], report: dict[str, Any]) -> Iterator[None]:
        """Write the JSON before the block that writes the picture; if that fails, delete the JSON and the sheets."""
        # The JSON first: a picture without one counts as another program's and is never overwritten.
        try:
            self._write_report(path, inputs, report)
            yield
        except BaseException:
            if not path.exists():
                path.with_suffix(".json").unlink(missing_ok=True)
                for kind in _SHEETS:
                    path.with_suffix(f".{kind}.png").unlink(missing_ok=True)
            raise

    def _write_report(self, path: Path, inputs: dict[str, Any], report: dict[str, Any]) -> None:
        runtime = import_module(self._runtime).__version__
        versions = {"scmnet_cli": __version__, self._runtime: runtime, "python": platform.python_version()}
        whole = {"generated_by": SOFTWARE, "inputs": inputs, "model": self._model, **report, "versions": versions}
        write_text(path.with_suffix(".json"), json.dumps(whole, indent=2, ensure_ascii=False) + "\n")

    def _free(self, stem: str, inputs: dict[str, Any], ending: str = ".png") -> Path:
        for number in itertools.count(1):
            path = self.folder / f"{stem}{'' if number == 1 else f'_{number}'}{ending}"
            if not path.exists() or self._is_of(path.with_suffix(".json"), inputs):
                return path
        raise AssertionError

    def existing(
        self, stem: str, inputs: Mapping[str, Any], options: Mapping[str, Any], sheets: tuple[str, ...] = ()
    ) -> Path | None:
        """Return the path of an existing picture of the same inputs, model file and options; None if an input is newer.

        Args:
            stem: as for :meth:`write`.
            inputs: as for :meth:`write`; the report may hold more about each input.
            options: options that change the picture.
            sheets: suffixes of sheets that must exist too.
        """
        stem, ending = (stem, ".png") if self.file is None else (self.file.stem, self.file.suffix)
        for number in itertools.count(1):
            path = self.folder / f"{stem}{'' if number == 1 else f'_{number}'}{ending}"
            if not path.is_file():
                return None
            earlier = _read_report(path.with_suffix(".json"))
            if not _holds(earlier.get("inputs"), inputs) or earlier.get("options") != options:
                continue
            model = earlier.get("model")
            if not isinstance(model, dict) or model.get("sha256") != self._model["sha256"]:
                continue
            has_sheets = all(path.with_suffix(f".{kind}.png").is_file() for kind in sheets)
            return path if has_sheets and not _is_older(path, inputs) else None
        raise AssertionError

    def _is_of(self, report: Path, inputs: dict[str, Any]) -> bool:
        earlier = _read_report(report)
        model = earlier.get("model")
        path = model.get("path") if isinstance(model, dict) else None
        return bool(earlier.get("inputs") == inputs and path == self._model["path"])


def _read_report(path: Path) -> dict[str, Any]:
    """Read a report; return an empty dict if it is absent or not JSON."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _holds(found: Any, wanted: Any) -> bool:
    """Return whether JSON contains all wanted keys and values."""
    if isinstance(wanted, Mapping):
        return isinstance(found, dict) and all(_holds(found.get(key), value) for key, value in wanted.items())
    return bool(found == wanted)


def _is_older(picture: Path, inputs: Mapping[str, Any]) -> bool:
    """Return whether an input file changed after the picture was written."""
    written = picture.stat().st_mtime
    for value in inputs.values():
        if "path" not in value:
            if _is_older(picture, value):
                return True
            continue
        for place in (value["path"], *value.get("further_photos", ())):
            where = place.removesuffix(" (mirrored)")
            file = Path(where if Path(where).exists() else where.rpartition("#")[0])
            if file.is_file() and file.stat().st_mtime > written:
                return True
    return False


def _named_file(out: Path) -> Path | None:
    """Return ``--out`` if it is an image file, or None if it is a folder."""
    ending = out.suffix.lower()
    if out.is_dir() or (not why_unread(out) and ending not in photo_endings()):
        return None
    if ending not in KINDS:
        raise ScmError(f"--out {out}: this image format cannot be written; choose {', '.join(KINDS)}")
    return out


def make_folder(folder: Path, option: str) -> None:
    """Create a folder and its parents.

    Raises:
        ScmError: if it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScmError(f"{option} {folder}: cannot be created ({error}); give a folder you may write to") from error


def safe_name(name: str) -> str:
    """Return a name that is safe in file names: letters, digits, ``_`` and ``-``, at most 80 characters."""
    return re.sub(r"[^\w-]+", "_", name)[:_LONGEST_NAME].strip("_") or "unnamed"
