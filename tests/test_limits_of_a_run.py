"""A run that a time limit ends leaves a whole state, and snapshots of its weights on the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from scmnet_cli.checkpoint import load_model
from scmnet_cli.config import load_config
from scmnet_cli.training import limits
from scmnet_cli.training.limits import Limits
from scmnet_cli.training.loop import Run

SETTINGS = ["model.height=64", "model.width=48", "train.images=64", "train.batch=4", "train.sample_every=64"]


@dataclass
class Clock:
    """A clock that goes on by 20 seconds each time it is read."""

    now: float = 0.0

    def monotonic(self) -> float:
        self.now += 20
        return self.now


def opened(data: Path, run: Path) -> Run:
    return Run(data, run, load_config("smoke", SETTINGS), device="cpu")


def test_a_run_ends_in_time_and_the_same_command_goes_on(
    drawn_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "time", Clock())
    first = opened(drawn_data, tmp_path / "run").train(limits=Limits(minutes=3))
    assert 0 < first.images < 64
    assert (first.finished, first.signal) == (False, None)
    monkeypatch.undo()
    again = opened(drawn_data, tmp_path / "run")
    assert again.images == first.images
    whole = opened(drawn_data, tmp_path / "whole").train()
    assert again.train().finished
    one, other = (load_model(path).state for path in (tmp_path / "run", whole.model))
    assert all(torch.equal(one[name], other[name]) for name in other), "as if it had never stopped"


def test_snapshots_are_whole_models_of_half_the_size(
    drawn_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "time", Clock())
    outcome = opened(drawn_data, tmp_path / "run").train(limits=Limits(snapshots=tmp_path / "snaps"))
    found = sorted((tmp_path / "snaps").iterdir())
    assert 2 <= len(found) < 16, "one a minute, not one a step"
    assert load_model(found[0]).extra["images"] == str(int(found[0].stem))
    assert found[0].stat().st_size < 0.6 * outcome.model.stat().st_size


def test_no_limit_is_no_limit() -> None:
    clock = Limits()
    clock.start()
    assert not clock.is_over()
    assert clock.snapshot_due(8) is None


def test_what_a_killed_run_left_half_written_goes_when_it_goes_on(drawn_data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / ".scm-first1.tmp").write_bytes(b"a run that was killed before its config was written")
    opened(drawn_data, run).train(limits=Limits(minutes=0))
    (run / ".scm-ab12cd.tmp").write_bytes(b"half a state")
    (run / "mine.tmp").write_bytes(b"not ours")
    opened(drawn_data, run).train(limits=Limits(minutes=0))
    assert not list(run.glob(".scm-*"))
    assert (run / "mine.tmp").is_file()
