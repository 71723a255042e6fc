"""Outputs of ``scm transfer`` and ``scm edit``: the picture, a JSON beside it and, on request, a strip."""

from __future__ import annotations

import itertools
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from scmnet_cli import __version__
from scmnet_cli.checkpoint import sha256
from scmnet_cli.errors import ScmError
from scmnet_cli.files import write_text
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.photo_files import photo_endings, why_unread
from scmnet_cli.provenance import KINDS, SOFTWARE, save_generated, save_generated_animation
from scmnet_cli.types import UInt8Array

_LONGEST_NAME = 80
_SHEETS = ("strip", "before-after")


class Outputs:
    """The folder or file that pictures go to; nothing drawn from other inputs is ever overwritten."""

    def __init__(self, out: Path, pipeline: Pipeline, *, mark: bool = False) -> None:
        """Make the folder.

        Args:
            out: a folder, or a file with the ending of a picture, for one picture.
            pipeline: draws the pictures.
            mark: add the visible mark to each picture.

        Raises:
            ScmError: if the folder cannot be made, or pictures of the file's kind cannot be written.
        """
        self.file = _named_file(out)
        self.folder = out if self.file is None else out.parent
        self.mark = mark
        self._model = {
            "path": str(pipeline.path.resolve()),
            "sha256": sha256(pipeline.path),
            "config": pipeline.config.model.model_dump(),
        }
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
            stem: the wanted file name without ending, unless ``--out`` is a file; a number follows it where that name
                is taken by other inputs.
            picture: (H, W, 3), or (H, W, 4) with an opacity.
            inputs: names the inputs; the same inputs and model overwrite their earlier picture.
            report: what else the JSON holds.
            sheets: pictures to be written beside it, by the end of their names.

        Returns:
            the path of the picture, a PNG unless ``--out`` says otherwise; the JSON lies beside it.

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
            wanted: its file; a number follows the name where that is taken by other inputs.
            frames: (H, W, 3) each.
            rate: frames a second.
            inputs: names the inputs; the same inputs and model overwrite their earlier picture.
            report: what else the JSON holds.

        Returns:
            the path of the picture; the JSON lies beside it.

        Raises:
            ScmError: if a file cannot be written.
        """
        path = self._free(wanted.stem, inputs, wanted.suffix)
        with self._report_beside(path, inputs, report):
            save_generated_animation(path, frames, rate, mark=self.mark)
        return path

    def adopt(self, wanted: Path, made: Path, inputs: dict[str, Any], report: dict[str, Any]) -> Path:
        """Give a finished file its place, and write its report; as :meth:`write_animation` otherwise.

        Args:
            wanted: its file; a number follows the name where that is taken by other inputs.
            made: the file as it is, in the same folder; it is moved.
            inputs: names the inputs.
            report: what else the JSON holds.

        Raises:
            ScmError: if a file cannot be written.
        """
        path = self._free(wanted.stem, inputs, wanted.suffix)
        with self._report_beside(path, inputs, report):
            os.replace(made, path)
        return path

    @contextmanager
    def _report_beside(self, path: Path, inputs: dict[str, Any], report: dict[str, Any]) -> Iterator[None]:
        """Write the JSON, then let the picture be written; without a picture no JSON and no strip stays."""
        # The JSON first: a picture without one is taken for another's and never touched.
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
        versions = {"scmnet_cli": __version__, "torch": torch.__version__, "python": platform.python_version()}
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
        """Return the picture of these inputs, model file and options, if it is there and no input is newer.

        Args:
            stem: as for :meth:`write`.
            inputs: as for :meth:`write`; what the report says of an input beyond that does not count.
            options: those that change the picture.
            sheets: which must lie beside it.
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
    """Return what a report holds; nothing if it is absent, or another program's."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _holds(found: Any, wanted: Any) -> bool:
    """Return whether JSON has everything that is wanted, and perhaps more."""
    if isinstance(wanted, Mapping):
        return isinstance(found, dict) and all(_holds(found.get(key), value) for key, value in wanted.items())
    return bool(found == wanted)


def _is_older(picture: Path, inputs: Mapping[str, Any]) -> bool:
    """Return whether a file among the inputs changed after the picture was written."""
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
    """Return the picture file that ``--out`` names, or None if it names a folder."""
    ending = out.suffix.lower()
    if out.is_dir() or (not why_unread(out) and ending not in photo_endings()):
        return None
    if ending not in KINDS:
        raise ScmError(f"--out {out}: is a picture of a kind that is not written; choose {', '.join(KINDS)}")
    return out


def make_folder(folder: Path, option: str) -> None:
    """Make a folder, and those above it, if need be.

    Raises:
        ScmError: if it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ScmError(f"{option} {folder}: cannot be made ({error}); name a folder you may write to") from error


def safe_name(name: str) -> str:
    """Return a name that may stand in a file name: letters, digits, ``_`` and ``-``, not too long."""
    return re.sub(r"[^\w-]+", "_", name)[:_LONGEST_NAME].strip("_") or "unnamed"
