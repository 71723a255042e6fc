"""``scm train``: the config that it chooses, the time that it names before it starts, and what it shows meanwhile."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from scmnet_cli.checkpoint import load_model
from scmnet_cli.cli.main import main
from scmnet_cli.cli.train import _numbers, in_words
from scmnet_cli.config import load_config, parse_config
from scmnet_cli.inference.pipeline import SHIPPED_MODEL
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.sources.folder import FolderSource
from scmnet_cli.training import choice
from scmnet_cli.training.choice import bfloat16_pays as measured_bfloat16
from scmnet_cli.training.choice import choose_config, parts_that_fit
from scmnet_cli.training.counted import Report
from scmnet_cli.training.loop import Run
from scmnet_cli.types import Canvas

if TYPE_CHECKING:
    from conftest import SomeFaces

CPU = torch.device("cpu")
WITHOUT_VGG = [f"--set=loss.{name}=0" for name in ("perceptual", "style", "bsr")]


@pytest.fixture(scope="module")
def data(drawn_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The twelve drawn people at the shape of the shipped configs; not to be written into."""
    folder = tmp_path_factory.mktemp("shaped") / "data"
    prepare(FolderSource(drawn_source), folder, Canvas(256, 176), jobs=1)
    return folder


@pytest.fixture(autouse=True)
def _plain_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every CPU be one that is not faster in bfloat16."""
    monkeypatch.setattr(choice, "bfloat16_pays", lambda: False)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return int(exit_.value.code or 0)


def test_a_machine_without_a_gpu_gets_the_small_config(data: Path, some_faces: SomeFaces, tmp_path: Path) -> None:
    faces = tmp_path / "faces"
    shutil.copytree(some_faces.data, faces)
    manifest = json.loads((faces / "manifest.json").read_text())
    (faces / "manifest.json").write_text(json.dumps(manifest | {"height": 256, "width": 256}))
    assert choose_config(data, CPU).name == "cpu"
    assert choose_config(faces, CPU).name == "faces-cpu"
    assert "no GPU" in choose_config(data, CPU).reason


def test_a_cpu_that_is_faster_in_bfloat16_trains_in_it(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "bfloat16_pays", lambda: True)
    chosen = choose_config(data, CPU)
    assert load_config(chosen.name, chosen.settings).train.precision == "bf16"
    assert chosen.reason.endswith("no GPU, a CPU that is faster in bfloat16")
    assert choose_config(data, CPU, from_shipped=True).settings == ("train.precision=bf16",)
    assert choose_config(data, CPU, num_processes=2).settings == (), "processes that measure might disagree"


@pytest.mark.parametrize(("seconds", "pays"), [(0.5, True), (0.9, False), (1.2, False)])
def test_bfloat16_pays_if_its_least_time_is_clearly_shorter(
    seconds: float, pays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]

    class Autocast(torch.autocast):
        def __enter__(self) -> None:
            clock[0] += seconds if self._enabled else 1.0

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(torch, "autocast", Autocast)
    monkeypatch.setattr("time.process_time", lambda: clock[0])
    assert measured_bfloat16() == pays


def test_a_gpu_gets_the_large_config_cut_to_its_memory(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda", 0)
    found = {}
    for free in (40e9, 6e9, 4e9, 2e9):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, free=free: (int(free), int(80e9)))
        chosen = choose_config(data, cuda)
        found[free] = (chosen.name, chosen.settings)
    assert found == {
        40e9: ("ccp", ()),
        6e9: ("ccp", ("train.accumulate=2",)),
        4e9: ("ccp", ("train.accumulate=4",)),
        2e9: ("cpu", ()),
    }
    assert load_config("ccp", found[6e9][1]).train.batch % 2 == 0
    assert parts_that_fit("deepfashion", 16e9) == 2
    assert parts_that_fit("deepfashion", 16e9, num_processes=4) == 1


def test_a_shape_without_a_config_is_refused_with_a_remedy(
    drawn_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", drawn_data, "-o", tmp_path / "run", "--device", "cpu") == 2
    line = capsys.readouterr().err
    assert "no shipped config for this machine has the shape of its 64x48; name one with -c, such as -c cpu" in line


def test_the_plan_is_short_and_json_holds_the_rest(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ("train", data, "-o", tmp_path / "run", "--device", "cpu", "--dry-run", *WITHOUT_VGG, "--images", 80)
    assert run(*arguments) == 0
    shown = capfd.readouterr().out
    assert len(shown.splitlines()) == 6
    assert "config: cpu, chosen for people at 256x176, no GPU; use -c to choose another" in shown
    assert "11 for training, 1 for validation" in shown
    assert "80 images, 10 steps of batch 8, from image 0" in shown
    assert run(*arguments, "--json") == 0
    plan = json.loads(capfd.readouterr().out)
    assert plan["config"]["train"]["images"] == 80
    assert plan["parameters"]["generator"] > 1_000_000
    assert not (tmp_path / "run").exists()


def test_a_run_names_its_time_trains_and_prints_its_model(
    drawn_data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ("train", drawn_data, "-o", tmp_path, "-c", "smoke", "--device", "cpu", "--images", 52)
    assert (
        run(
            *arguments,
            "--set=train.batch=1",
            "--set=model.height=64",
            "--set=model.width=48",
            "--set=train.sample_every=100",
            "--json",
        )
        == 0
    )
    shown = capfd.readouterr()
    ended = json.loads(shown.out)
    assert ended["model"] == str(tmp_path / "model.safetensors")
    assert (ended["images"], ended["finished"]) == (52, True)
    assert "scm: config: smoke\n" in shown.err
    assert "scm: time: about " in shown.err
    assert " on cpu (" in shown.err


def test_an_unfinished_run_goes_on_with_its_own_config(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run("train", data, "-o", tmp_path, "-c", "smoke", "--device", "cpu", "--images", 8) == 0
    assert run("train", data, "-o", tmp_path, "--device", "cpu", "--images", 16, "--allow-changes") == 0
    assert f"config: the one of the unfinished run {tmp_path}" in capfd.readouterr().err
    assert load_model(tmp_path).config.train.images == 16
    assert load_model(tmp_path).config.model.size == "tiny"


def test_two_lengths_are_refused(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("train", data, "-o", tmp_path, "--images", 8, "--set", "train.images=9")
    assert run(*arguments) == 2
    assert "--images 8 and --set train.images=9: both give the length" in capsys.readouterr().err


def test_training_starts_from_the_weights_that_ship(data: Path, tmp_path: Path) -> None:
    arguments = ("train", data, "-o", tmp_path, "--init", "shipped", "--images", 1, "--device", "cpu")
    smaller = ("--set=model.height=128", "--set=model.width=88", "--set=train.batch=1")
    assert run(*arguments, *WITHOUT_VGG, *smaller) == 0
    trained, shipped = load_model(tmp_path), load_model(SHIPPED_MODEL)
    assert trained.state.keys() == shipped.state.keys()
    key = "generator.to_rgb.weight"
    assert torch.allclose(trained.state[key].float(), shipped.state[key].float(), atol=5e-3)


def test_measuring_the_time_changes_nothing(drawn_data: Path, tmp_path: Path) -> None:
    config = parse_config(
        {
            "model": {"size": "tiny", "height": 64, "width": 48, "norm": "batch", "generator_norm": "batch"},
            "loss": {"perceptual": 0, "style": 0, "bsr": 0},
            "train": {"images": 400, "batch": 4, "discriminators_from": 200, "log_every": 8},
        },
        "test",
    )
    plain, timed = (Run(drawn_data, tmp_path / name, config, seed=1, device="cpu") for name in ("plain", "timed"))
    seconds = timed.seconds_left()
    assert seconds is not None
    assert seconds > 0
    assert timed.images == 0
    short = config.model_copy(update={"train": config.train.model_copy(update={"images": 8, "discriminators_from": 4})})
    for one in (plain, timed):
        one.config = short
        one.train()
    for name, module in plain.modules.items():
        others = timed.modules[name].state_dict()
        for key, tensor in module.state_dict().items():
            assert torch.equal(tensor, others[key]), f"{name}: {key}"


def test_short_runs_are_not_measured(drawn_data: Path, tmp_path: Path) -> None:
    config = parse_config(
        {
            "model": {"size": "tiny", "height": 64, "width": 48},
            "loss": {"perceptual": 0, "style": 0, "bsr": 0},
            "train": {"images": 16, "batch": 4},
        },
        "test",
    )
    assert Run(drawn_data, tmp_path, config, device="cpu").seconds_left() is None


def test_the_bar_shows_the_losses() -> None:
    stats = {"reconstruction": 0.1234, "perceptual": 1.5, "adversarial": None, "region_accuracy": 0.9, "total": 7.0}
    assert _numbers(Report(8, 16, 2.0, stats)) == "2.0 images/s L1 0.123 perceptual 1.5 regions 0.9"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(42, "42 seconds"), (89, "89 seconds"), (600, "10 minutes"), (5_400, "1.5 hours"), (864_000, "10 days")],
)
def test_durations_are_in_the_unit_that_suits_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
