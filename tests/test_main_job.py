"""The main workflow on the command line: synthetic people are prepared, trained on, transferred and edited."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scmnet_cli.checkpoint import load_model
from scmnet_cli.cli.main import main
from scmnet_cli.data.prepared import PreparedFolder

NUM_PEOPLE = 12


OF_64X48 = ("--set", "model.height=64", "--set", "model.width=48")


def scm(*arguments: str | Path) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    assert not exit_.value.code, arguments


@pytest.fixture(scope="module")
def job(drawn_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the first two commands of the workflow have run."""
    root = tmp_path_factory.mktemp("job")
    scm("preprocess", drawn_source, "-o", root / "data", "--layout", "folder", "--canvas", "64x48")
    scm("train", root / "data", "-o", root / "run", "-c", "smoke", *OF_64X48, "--device", "cpu")
    return root


def test_preprocess_prepares_every_person_on_the_canvas(job: Path):
    folder = PreparedFolder(job / "data")
    assert len(folder.names()) == NUM_PEOPLE
    assert folder.names("val") == folder.names()[9:10]
    assert not set(folder.names("train")) & set(folder.names("val"))
    person = folder.load(folder.names()[0])
    assert person.image.shape == (64, 48, 3)
    assert len(np.unique(person.regions)) > 3


def test_train_sees_the_configured_number_of_images_and_logs_diagnostic_statistics(job: Path):
    lines = [json.loads(line) for line in (job / "run" / "stats.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[-1]["images"] == 64
    assert all(np.isfinite(line["reconstruction"]) for line in lines)
    assert {"region_accuracy", "val_source_spread"} <= set().union(*lines)


def test_transfer_draws_every_source_in_every_pose(job: Path, capsys: pytest.CaptureFixture[str]):
    a, b, c = PreparedFolder(job / "data").names()[:3]
    capsys.readouterr()
    scm("transfer", "--src", job / "data" / a, "--pose", job / "data" / b, "--pose", job / "data" / c,
        "-m", job / "run", "-o", job / "out", "--strip", "--device", "cpu")  # fmt: skip
    pictures = [Path(line) for line in capsys.readouterr().out.split("\n") if line]
    assert [picture.name for picture in pictures] == [f"{a}_to_{b}.png", f"{a}_to_{c}.png"]
    first, second = (np.asarray(Image.open(picture)) for picture in pictures)
    assert first.shape == (64, 48, 3)
    assert (first != second).any(), "another pose must give another picture"
    with Image.open(pictures[0]) as opened:
        assert "generated" in opened.info["Comment"]
    report = json.loads(pictures[0].with_suffix(".json").read_text(encoding="utf-8"))
    assert report["inputs"]["source"]["name"] == a
    assert report["inputs"]["pose"]["name"] == b


def test_edit_takes_a_region_of_another_person(job: Path, capsys: pytest.CaptureFixture[str]):
    a, b = PreparedFolder(job / "data").names()[:2]
    capsys.readouterr()
    edit = ("edit", "--src", job / "data" / a, "--region", "upper", "-m", job / "run", "-o", job / "edits")
    scm(*edit, "--ref", job / "data" / b, "--device", "cpu")
    scm(*edit, "--ref", job / "data" / a, "--device", "cpu")
    other, own = (np.asarray(Image.open(line)) for line in capsys.readouterr().out.split())
    assert (other != own).any(), "an edit must change the picture"


def test_the_same_train_command_on_a_finished_run_changes_nothing(job: Path):
    before = load_model(job / "run").state
    scm("train", job / "data", "-o", job / "run", "-c", "smoke", *OF_64X48, "--device", "cpu")
    after = load_model(job / "run").state
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_demo_describes_its_people_and_its_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    scm("demo", "--train", "-o", tmp_path / "demo", "--people", "20", "--images", "8", "--device", "cpu")
    printed = capsys.readouterr().out
    assert "20 synthetic people" in printed
    assert "2 steps" in printed
    sheet = tmp_path / "demo" / "sheet.png"
    assert str(sheet) in printed
    with Image.open(sheet) as opened:
        assert "generated" in opened.info["Comment"]
        assert len(opened.getcolors(1 << 24) or []) > 1000


def test_a_demo_resumes_with_more_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for images, steps in (("4", 1), ("12", 3)):
        scm("demo", "--train", "-o", tmp_path, "--people", "10", "--images", images, "--device", "cpu")
        assert f"trained on them for {steps} steps" in capsys.readouterr().out


def test_a_mistake_in_the_main_workflow_is_a_one_line_error(job: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as exit_:
        main(["transfer", "--src", str(job / "data" / "nobody"), "--pose", str(job / "data"), "-m", str(job / "run")])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("scm: --src ")
    assert error.count("\n") == 1
