"""Logs of a run: ``stats.jsonl``, TensorBoard and sample grids."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field

from scmnet_cli.files import make_folders, parse_json, write_text
from scmnet_cli.images import contact_sheet, to_uint8
from scmnet_cli.provenance import save_generated
from scmnet_cli.training.counted import append_line
from scmnet_cli.training.measure import Grid

STATS_FILE = "stats.jsonl"


class _StatsLine(BaseModel):
    """One line of ``stats.jsonl``: the number of images, and statistics by name."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None] = Field(init=False)

    images: int = Field(ge=0)


class Tracker:
    """Writes the statistics and sample images of a run; a resumed run appends to the same files.

    Lines written after the state from which the run resumes are dropped: they will be written again.
    """

    def __init__(self, run: Path, resumed_at: int) -> None:
        """Open the files of a run folder for a run that continues from ``resumed_at`` images."""
        from torch.utils.tensorboard import SummaryWriter

        self.run = run
        make_folders(run, "samples", "tensorboard")
        self._drop_lines_after(resumed_at)
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=resumed_at + 1)

    def _drop_lines_after(self, images: int) -> None:
        path = self.run / STATS_FILE
        if path.is_file():
            kept = [line for line in read_stats(self.run) if line["images"] <= images]
            write_text(path, "".join(json.dumps(line) + "\n" for line in kept))

    def line(
        self, images: int, seconds: float, images_per_second: float, numbers: Mapping[str, float]
    ) -> dict[str, Any]:
        """Write one line of statistics and return it."""
        record: dict[str, Any] = {
            "images": images,
            "seconds": round(seconds, 3),
            "images_per_s": round(images_per_second, 3),
        }
        record |= numbers
        record = {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in record.items()}
        append_line(self.run / STATS_FILE, record)
        for name, value in record.items():
            if name != "images" and value is not None:
                self._board.add_scalar(name, value, images)
        return record

    def grid(self, grid: Grid, images: int) -> Path:
        """Save a grid of generated images, one row per source and one column per pose; return its path."""
        path = self.run / "samples" / f"{images:09d}.png"
        sheet = draw_sample_sheet(grid)
        save_generated(path, sheet)
        self._board.add_image("samples", torch.tensor(sheet), images, dataformats="HWC")
        return path

    def close(self) -> None:
        """Flush and close TensorBoard's files."""
        self._board.close()


def draw_sample_sheet(grid: Grid) -> Any:
    """Return the contact sheet of a grid: sources in the first column, poses or edges in the first row.

    Shape:
        result: (H', W', 3) uint8.
    """
    people = grid.people
    pictures = [to_uint8(image) for image in people.image]
    poses = [
        people.domain.draw(picture, structure.cpu().numpy())
        for picture, structure in zip(pictures, people.structure, strict=True)
    ]
    rows = [[to_uint8(image) for image in row] for row in grid.images]
    blank = torch.full_like(people.image[0], 1.0)
    cells = [[to_uint8(blank), *poses], *[[picture, *row] for picture, row in zip(pictures, rows, strict=True)]]
    return contact_sheet(cells)


def read_stats(run: Path) -> list[dict[str, Any]]:
    """Read ``stats.jsonl`` of a run; skip an incomplete last line, which a killed run may leave.

    Raises:
        ScmError: if another line is damaged.
    """
    path = run / STATS_FILE
    lines = []
    with path.open("rb") as file:
        for number, text in enumerate(file, start=1):
            if text.endswith(b"\n"):
                where = f"{path}, line {number}"
                line = parse_json(text, _StatsLine, where, "delete that line or the file; training does not need it")
                lines.append(line.model_dump())
    return lines
