"""Features of all ``scm`` commands: help, -q and -v after the command's name, --json, completion of values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from scmnet_cli.cli.main import load_app, main

if TYPE_CHECKING:
    from conftest import Place

PANELS = {
    "Generate": {"transfer", "edit", "colorize", "demo", "app"},
    "Data and training": {"preprocess", "train", "analyser"},
    "Measure": {"eval", "ablate", "bench", "inspect"},
    "Library and set-up": {"poses", "wardrobe", "weights", "export", "doctor"},
}


def commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in getattr(group, "commands", {}).items():
        yield before + name, command
        yield from commands(command, f"{before}{name} ")


COMMANDS = dict(commands(typer.main.get_command(load_app())))


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    code = exit_.value.code
    assert isinstance(code, int)
    return code


def test_commands_are_listed_in_panels_by_what_they_are_for() -> None:
    found = {name: set(COMMANDS) & set() for name in PANELS}
    for name, command in typer.main.get_command(load_app()).commands.items():
        found.setdefault(command.rich_help_panel, set()).add(name)
    assert {panel: found[panel] & names for panel, names in PANELS.items()} == PANELS
    assert set(found) == set(PANELS), "a command without a panel"


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_shows_examples_and_no_type_beside_a_flag(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*name.split(), "--help") == 0
    shown = capsys.readouterr().out
    assert "<bool>" not in shown
    assert re.search(r"Examples?:\s+scm ", shown)


@pytest.mark.parametrize(
    "name", [name for name, command in COMMANDS.items() if getattr(command, "invoke_without_command", True)]
)
def test_every_command_takes_quiet_and_verbose_after_its_name(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {"-q", "--quiet", "-v", "--verbose"} <= options


@pytest.mark.parametrize(
    ("arguments", "logged"),
    [
        (("poses", "poses"), False),
        (("-v", "poses", "poses"), True),
        (("poses", "poses", "-v"), True),
        (("-q", "poses", "poses"), False),
    ],
)
def test_verbose_counts_before_and_after_the_command(
    place: Place, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], logged: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    import logging

    from scmnet_cli.cli.drawing.inputs import Finder

    found = Finder.unplaced

    def logging_too(self: Finder, words: Any, option: str) -> Any:
        logging.getLogger("scmnet_cli.test").info("looking")
        return found(self, ["walking"], option)

    monkeypatch.setattr(Finder, "unplaced", logging_too)
    assert run(*arguments) == 0
    assert ("looking" in capsys.readouterr().err) == logged


def test_quiet_hides_notes_and_keeps_results_and_warnings(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    (place.data / "images" / "ben.png").write_bytes(b"broken")
    arguments = ("transfer", "--src", "data/anna", "--pose", "data", "-m", "run")
    assert run(*arguments, "-q") == 0
    shown = capsys.readouterr()
    assert shown.out.split() == ["outputs/anna_to_anna.png", "outputs/anna_to_cleo.png"]
    assert [line[:18] for line in shown.err.splitlines()] == ["scm: skipped ben: "]


def test_quiet_and_verbose_together_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("-q", "poses", "-v") == 2
    assert capsys.readouterr().err == "scm: -q and -v: cannot be combined; give one of them\n"


MEASURING = ["doctor", "inspect", "eval", "ablate", "bench", "poses", "wardrobe", "weights list", "weights verify",
             "weights path", "analyser eval", "analyser bench", "analyser threshold", "preprocess",
             "export"]  # fmt: skip


@pytest.mark.parametrize("name", MEASURING)
def test_every_command_that_reads_or_measures_has_the_same_json_option(name: str) -> None:
    (option,) = (parameter for parameter in COMMANDS[name].params if "--json" in parameter.opts)
    assert option.is_flag
    assert option.help.startswith("Print one JSON document to stdout")


def documents(place: Place) -> list[tuple[tuple[str, ...], set[str]]]:
    run = str(place.model.parent)
    return [
        (("poses",), {"poses", "picture"}),
        (("poses", "walking", "--save", "saved"), {"saved"}),
        (("weights", "list"), {"backbones", "face_parser", "folders"}),
        (("weights", "verify"), {"weights", "problems"}),
        (("weights", "path"), {"folders"}),
        (("inspect", "--src", "data/anna", "--pose", "data/cleo", "-m", run), {"picture", "inputs"}),
        (("eval", "data", "-m", run, "--split", "train", "--metrics", "l1", "--device", "cpu"), {"answers", "out"}),
        (("doctor", "-m", run, "--device", "cpu"), {"fine", "findings"}),
        (("preprocess", "photos", "-o", "prepared"), {"usable", "left_out", "report"}),
        (("ablate", "smoke", "-o", "study", "--dry-run"), {"settings"}),
        (("wardrobe", "-m", run, "--src", "data/anna"), {"garments", "picture"}),
    ]


@pytest.mark.parametrize("number", range(11))
def test_json_is_the_only_thing_on_stdout(place: Place, number: int, capfd: pytest.CaptureFixture[str]) -> None:
    from scmnet_cli.inference.inputs.demo_people import demo_people

    Path("photos").mkdir()
    Path("photos/a.jpg").write_bytes(demo_people()["stripes"].read_bytes())
    arguments, keys = documents(place)[number]
    assert run(*arguments, "--json") in (0, 1)
    document = json.loads(capfd.readouterr().out)
    assert keys <= document.keys()


def test_numbers_that_are_not_finite_become_null(capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    from scmnet_cli.cli.results import show

    show([], {"a": float("nan"), "b": np.float32(0.5), "c": Path("x"), "d": np.int64(3), "e": (1,)}, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": 0.5, "c": "x", "d": 3, "e": [1]}
