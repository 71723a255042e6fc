"""Ablation study: one budget for all settings, no repeated work, tables in the paper's format."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from scmnet_cli.config import load_config, parse_config
from scmnet_cli.errors import ScmError
from scmnet_cli.evaluation import ablation
from scmnet_cli.evaluation.ablation import Ablation, EvaluationOptions, Study
from scmnet_cli.evaluation.ablation_settings import SETTINGS, Budget, shrunk
from scmnet_cli.training.loop import Run

if TYPE_CHECKING:
    from conftest import Scm

TINY = """
model: {size: tiny, height: 64, width: 48, carry_colours: true}
loss: {perceptual: 0, style: 0, bsr: 0, adversarial: 0}
train: {images: 16, batch: 4, vgg_losses_from: 4, discriminators_from: 8, ema_images: 0}
"""
QUICK = EvaluationOptions(metrics=("ssim", "l1", "copy_score"))


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY)
    return str(path)


def lines_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]


def test_a_study_trains_evaluates_and_tabulates_and_repeats_no_work(
    tiny: str, drawn_data: Path, tmp_path: Path, scm: Scm
) -> None:
    out = tmp_path / "study"
    asked = ["ablate", tiny, "-o", out, "--data", drawn_data, "--images", 8, "--metrics", "ssim,l1,copy_score"]
    assert scm(*asked, "--only", "full,no-dse", "--device", "cpu").code == 0
    found = json.loads((out / "table.json").read_text())
    assert list(found["settings"]) == ["no-dse", "full"]
    assert found["budget"]["images"] == 8
    assert {setting["images"] for setting in found["settings"].values()} == {8}
    evaluated = json.loads((out / "full" / "eval" / "metrics.json").read_text())
    assert found["settings"]["full"]["numbers"] == evaluated["answers"]["SCM-Net"]
    assert set(found["without a model"]) == {"source unchanged", "mean colour of each region", "part warp alone"}
    text = (out / "table.md").read_text()
    assert "| Full | 12.18 | 0.751 |" in text, "the paper's row"
    assert "| ours: w/o DSE | - | 0." in text
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.width > 5 * 112, "source, pose, two settings and truth"

    before = {path: path.stat().st_mtime_ns for path in out.glob("*/**/*") if path.is_file()}
    assert scm(*asked, "--only", "full,no-dse", "--device", "cpu").code == 0
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/**/*") if path.is_file()} == before
    assert (out / "table.md").read_text() == text

    assert scm(*asked[:-1], "l1", "--only", "full", "--device", "cpu").code == 0
    found = json.loads((out / "table.json").read_text())
    assert list(found["settings"]) == ["full"], "settings evaluated with other metrics are left out"

    plan = [str(line) for line in scm(*asked, "--dry-run").paths]
    assert "full: the unchanged config; 8 images; 8 done; evaluated" in plan
    assert "tau-1: model.tau=1; 8 images" in plan
    assert not (out / "tau-1").exists()


def test_a_killed_run_resumes_from_its_last_saved_state(tiny: str, drawn_data: Path, tmp_path: Path) -> None:
    study = Ablation(
        tiny, tmp_path / "study", drawn_data, Study(images=16, only=["full"], evaluation=QUICK, device="cpu")
    )
    study.prepare()
    full = SETTINGS["full"]

    class Killed(BaseException):
        pass

    def die(done: int, _total: int) -> None:
        if done == 12:
            raise Killed

    with pytest.raises(Killed):
        study.train(full, die)
    assert not study.is_trained(full)
    assert study.plan()[0].images_done == 12
    outcome = study.train(full)
    assert outcome is not None
    assert outcome.finished
    straight = Run(drawn_data, tmp_path / "straight", study.config_of(full), device="cpu")
    straight.train()
    assert lines_of(study.folder(full))[-1]["val_l1"] == lines_of(tmp_path / "straight")[-1]["val_l1"]


def test_the_schedule_shrinks_with_the_budget() -> None:
    config = load_config("market")
    small = load_config("market", shrunk(config, config.train.images // 10))
    for name in ("images", "discriminators_from", "vgg_losses_from", "decay_every", "ema_images"):
        assert getattr(small.train, name) == pytest.approx(getattr(config.train, name) / 10, abs=1), name
    assert small.train.save_every <= small.train.images
    assert small.model == config.model
    never = parse_config({"train": {"images": 100, "decay_every": 0}}, "test")
    assert "train.decay_every=0" in shrunk(never, 10)


def test_settings_without_effect_are_skipped_and_refused_when_named(tiny: str, tmp_path: Path) -> None:
    study = Ablation(tiny, tmp_path / "study", study=Study(changes=["data.anti_copy=false"], images=8))
    assert [setting.name for setting in study.settings] == ["no-dse", "no-ccf", "full", "no-correspondence", "tau-1"]
    with pytest.raises(ScmError, match=r"--only no-bsr: this config has loss.bsr=0 already"):
        Ablation(tiny, tmp_path / "study", study=Study(images=8, only=["no-bsr"]))
    with pytest.raises(ScmError, match=r"--only: 'no-ccx' is not one of .*no-ccf"):
        Ablation(tiny, tmp_path / "study", study=Study(images=8, only=["no-ccx"]))


def test_every_setting_changes_only_what_it_names(tmp_path: Path) -> None:
    study = Ablation("market", tmp_path / "study", study=Study(images=8000))
    whole = study.config_of(SETTINGS["full"])
    for setting in study.settings:
        config = study.config_of(setting)
        assert (config == whole) == (setting.name == "full")
        assert config.train == whole.train, "one budget and one schedule for all"


def test_a_study_with_other_settings_is_refused_in_the_same_folder(tiny: str, drawn_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    Ablation(tiny, out, drawn_data, Study(images=8)).prepare()
    assert Ablation(tiny, out, drawn_data).budget == Budget(8), "it resumes with its own budget"
    with pytest.raises(ScmError, match=r"budget: 8 images -> 12 images.*choose another -o"):
        Ablation(tiny, out, drawn_data, Study(images=12))
    with pytest.raises(ScmError, match=r"model\.tau: 0\.01 -> 0\.1"):
        Ablation(tiny, out, drawn_data, Study(images=8, changes=["model.tau=0.1"]))
    with pytest.raises(ScmError, match=r"data: .* -> drawn people"):
        Ablation(tiny, out, study=Study(images=8))


def test_a_time_budget_is_converted_to_images_once(
    tiny: str, drawn_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation, "_TRIAL_STEPS", 8)
    study = Ablation(tiny, tmp_path / "study", drawn_data, Study(minutes=0.5, device="cpu"))
    assert study.budget is None
    budget = study.prepare()
    assert budget.images_per_second is not None
    assert budget.images == pytest.approx(30 * budget.images_per_second, abs=4)
    assert budget.images % 4 == 0
    assert Ablation(tiny, tmp_path / "study", drawn_data, Study(minutes=0.5)).budget == budget


def test_a_config_with_part_warp_is_studied_without_its_parts(tmp_path: Path) -> None:
    study = Ablation("person", tmp_path / "study", study=Study(images=80, changes=["model.prior_sigma=0.05"]))
    ours = {"no-part-warp", "no-repose", "no-prior", "no-correlation"}
    assert ours < {setting.name for setting in study.settings}
    assert not study.config_of(SETTINGS["no-part-warp"]).model.part_warp
    assert study.config_of(SETTINGS["no-repose"]).data.repose == 0
    assert study.config_of(SETTINGS["no-prior"]).model.prior_sigma == 0
    alone = study.config_of(SETTINGS["no-correlation"]).model
    assert (alone.part_warp, alone.correlation) == (True, False)
    unprimed = Ablation("person", tmp_path / "study", study=Study(images=80, changes=["model.prior_sigma=0"]))
    assert "no-prior" not in {setting.name for setting in unprimed.settings}


def test_a_config_without_part_warp_has_nothing_of_it_to_leave_out(tiny: str, tmp_path: Path) -> None:
    study = Ablation(tiny, tmp_path / "study", study=Study(images=8))
    assert not {"no-part-warp", "no-repose", "no-prior", "no-correlation"} & {one.name for one in study.settings}
    with pytest.raises(ScmError, match=r"--only no-correlation: this config has no model.part_warp"):
        Ablation(tiny, tmp_path / "study", study=Study(images=8, only=["no-correlation"]))


@pytest.mark.slow
def test_kill_9_during_a_study_loses_only_work_since_the_last_saved_state(
    tiny: str, drawn_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    command = [sys.executable, "-m", "scmnet_cli", "ablate", tiny, "-o", str(out), "--data", str(drawn_data)]
    command += ["--images", "400", "--metrics", "l1", "--only", "full,tau-1", "--device", "cpu"]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not (out / "tau-1" / "state.safetensors").exists():
            assert first.poll() is None, "it ended before it could be killed"
            time.sleep(0.05)
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    whole = (out / "full" / "state.safetensors").stat().st_mtime_ns
    assert not (out / "tau-1" / "eval").exists()
    subprocess.run(command, check=True, capture_output=True)
    assert (out / "full" / "state.safetensors").stat().st_mtime_ns == whole
    assert list(json.loads((out / "table.json").read_text())["settings"]) == ["full", "tau-1"]


def test_the_help_lists_every_setting() -> None:
    from scmnet_cli.cli.main import load_app

    text = CliRunner().invoke(load_app(), ["ablate", "--help"]).stdout
    assert [name for name in SETTINGS if f"  {name} " not in text] == []
