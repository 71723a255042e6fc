"""A refused command leaves its one line on stderr, and no empty progress bar above it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from scmnet_cli.cli import progress
from scmnet_cli.cli.main import main

if TYPE_CHECKING:
    from conftest import Place


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "nowhere", "-o", "out", "-c", "smoke"),
        ("eval", "nowhere", "-m", "run"),
        ("demo", "-o", "run/model.safetensors/x"),
        ("preprocess", "data", "-o", "run", "--layout", "folder"),
        ("transfer", "--src", "data", "--pose", "nowhere", "-m", "run"),
        ("edit", "--src", "data", "--region", "skirt", "--ref", "data/ben", "-m", "run"),
        ("poses", "nowhere"),
    ],
)
def test_a_refused_command_prints_one_line_and_no_progress_bar(
    place: Place, arguments: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    (place.data / "regions" / "ben.png").unlink()
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    out, err = capfd.readouterr()
    assert exit_.value.code == 2
    assert out == ""
    assert err.startswith("scm: ")
    assert err.count("\n") == 1


def lines_of(counts: list[tuple[int, int, int]], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count a step at (seconds, done, total) and return the printed lines."""
    stderr = io.StringIO()
    monkeypatch.setattr(progress, "progress_console", lambda: Console(file=stderr, width=200))
    with progress.bars() as counted:
        for seconds, done, total in counts:
            monkeypatch.setattr(progress.time, "monotonic", lambda now=seconds: now)
            counted.count("loading", done, total)
    return [line for line in stderr.getvalue().splitlines() if line.startswith("loading:")]


def test_a_step_that_starts_again_is_estimated_from_its_new_start(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = [(0, 0, 500), (40, 400, 500), (60, 1, 240), (100, 81, 240)]
    assert lines_of(counts, monkeypatch) == [
        "loading: 400 of 500, 0:00:10 left",
        "loading: 81 of 240, 0:01:20 left",
    ]


def test_a_count_beyond_its_total_has_no_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines_of([(0, 0, 240), (40, 250, 240)], monkeypatch) == ["loading: 250 of 240"]
