"""A refused command leaves its one line on stderr, and no empty progress bar above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

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
