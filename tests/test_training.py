"""Training resumes exactly, refuses changed settings, survives signals and non-finite losses, and learns."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from scmnet_cli.checkpoint import load_model, load_tensors, save_model
from scmnet_cli.config import Config, load_config
from scmnet_cli.data.dataset import PeopleInMemory, TrainingBatch, TrainingStream
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.system import process
from scmnet_cli.system.locks import held
from scmnet_cli.training import loop
from scmnet_cli.training.counted import Report
from scmnet_cli.training.loop import Run
from scmnet_cli.training.state import STATE_FILE
from scmnet_cli.training.tracking import read_stats

OF_64X48 = ("model.height=64", "model.width=48")
"""Canvas of ``drawn_data``."""


def smoke(*settings: str) -> Config:
    small = ("train.images=8", "train.batch=2", "train.save_every=4", "train.sample_every=8", "train.log_every=2")
    return load_config("smoke", [*small, *OF_64X48, *settings])


def train(data: Path, run: Path, config: Config, **options: object) -> None:
    Run(data, run, config, device="cpu", **options).train()  # type: ignore[arg-type]


def assert_same_state(one: Path, other: Path) -> None:
    left, _ = load_tensors(one / STATE_FILE)
    right, _ = load_tensors(other / STATE_FILE)
    assert left.keys() == right.keys()
    for name in left:
        assert torch.equal(left[name], right[name]), name


def test_two_runs_of_one_config_and_seed_give_the_same_bits(drawn_data: Path, tmp_path: Path) -> None:
    """With the same number of threads; with another number the last digits differ (docs/reliability.md)."""
    for name in ("one", "other"):
        train(drawn_data, tmp_path / name, smoke(), seed=3)
    assert_same_state(tmp_path / "one", tmp_path / "other")
    models = [load_file(tmp_path / name / "model.safetensors") for name in ("one", "other")]
    assert all(torch.equal(tensor, models[1][key]) for key, tensor in models[0].items())
    losses = [read_stats(tmp_path / name) for name in ("one", "other")]
    for line in (*losses[0], *losses[1]):
        for key in [key for key in line if key.endswith(("_s", "seconds"))]:
            del line[key]
    assert losses[0] == losses[1]


def test_training_on_a_cpu_keeps_freed_memory(
    drawn_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed: list[tuple[int, ...]] = []
    monkeypatch.setattr(process, "_mallopt", lambda: lambda *change: changed.append(change))
    train(drawn_data, tmp_path / "run", smoke("train.images=2"))
    assert len(changed) == 5, "two at the start, three at the end"


def test_a_run_writes_model_state_stats_samples_and_summary(drawn_data: Path, tmp_path: Path) -> None:
    train(drawn_data, tmp_path / "run", smoke())
    run = tmp_path / "run"
    assert load_model(run).config == smoke()
    lines = read_stats(run)
    assert [line["images"] for line in lines] == [2, 4, 6, 8]
    for name in (
        "reconstruction",
        "adversarial",
        "field_regions",
        "field_colours",
        "discriminator_style",
        "images_per_s",
    ):
        assert all(line[name] is not None for line in lines), name
    assert 0 <= lines[-1]["region_accuracy"] <= 1
    for name in ("val_l1", "val_l1_person", "val_region_accuracy", "val_entropy"):
        assert lines[-1][name] is not None, name
    assert {path.name for path in (run / "samples").iterdir()} == {"000000000.png", "000000008.png"}
    assert json.loads((run / "summary.json").read_text())["finished"] is True
    assert list((run / "tensorboard").iterdir())


PART_WARP = (
    "model.part_warp=true", "model.prior_sigma=0.1", "data.repose=0.75", "data.close_up=0.3", "data.close_up_both=0.3",
    "data.joint_noise=0.012", "loss.person_weight=3", "loss.adversarial=0",
)  # fmt: skip


@pytest.mark.parametrize(
    "settings", [(), ("train.precision=bf16", "train.accumulate=2", "data.cache=device"), PART_WARP]
)
def test_a_resumed_run_equals_an_uninterrupted_one(drawn_data: Path, tmp_path: Path, settings: tuple[str, ...]) -> None:
    whole = smoke(*settings)
    train(drawn_data, tmp_path / "whole", whole)
    train(drawn_data, tmp_path / "parts", smoke(*settings, "train.images=4"))
    train(drawn_data, tmp_path / "parts", whole, allow_changes=True)  # only the length was changed
    assert_same_state(tmp_path / "whole", tmp_path / "parts")
    assert [line["images"] for line in read_stats(tmp_path / "parts")] == [2, 4, 6, 8]


@pytest.mark.usefixtures("float64_kept")
def test_accumulated_parts_equal_one_batch(drawn_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = loop.Inputs.of

    def in_float64(batch: TrainingBatch, **options: Any) -> loop.Inputs:
        inputs = given(batch, **options)
        values = (getattr(inputs, field.name) for field in fields(inputs))
        return loop.Inputs(*(value.double() if isinstance(value, torch.Tensor) else value for value in values))

    monkeypatch.setattr(loop.Inputs, "of", in_float64)
    monkeypatch.setattr(Run, "_validate", lambda *_: {})
    for name, accumulate in (("one", 1), ("two", 2)):
        config = smoke("train.batch=4", f"train.accumulate={accumulate}", "train.images=4", "loss.adversarial=0")
        run = Run(drawn_data, tmp_path / name, config, device="cpu")
        for module in run.modules.values():
            module.double()
        run.train()
    one, _ = load_tensors(tmp_path / "one" / STATE_FILE)
    two, _ = load_tensors(tmp_path / "two" / STATE_FILE)
    for name in one:
        if name.startswith("optimizer.generator.exp_avg."):
            assert torch.allclose(one[name], two[name], rtol=0, atol=1e-9), name  # half the gradient of the step


def test_a_changed_config_is_refused_with_the_difference(drawn_data: Path, tmp_path: Path) -> None:
    train(drawn_data, tmp_path / "run", smoke("train.images=4"))
    with pytest.raises(ScmError, match=r"model\.tau: 0\.01 -> 0\.02.*--allow-changes"):
        Run(drawn_data, tmp_path / "run", smoke("train.images=4", "model.tau=0.02"), device="cpu")
    with pytest.raises(ScmError, match="seed: 0 -> 1"):
        Run(drawn_data, tmp_path / "run", smoke("train.images=4"), device="cpu", seed=1)


def test_a_warm_start_takes_the_weights_of_a_saved_model(drawn_data: Path, tmp_path: Path) -> None:
    train(drawn_data, tmp_path / "first", smoke())
    run = Run(drawn_data, tmp_path / "second", smoke(), device="cpu", init=tmp_path / "first")
    saved = load_model(tmp_path / "first").state
    assert all(torch.equal(value, saved[name]) for name, value in run.modules["generator"].state_dict().items())
    assert run.images == 0
    assert "licence" not in load_model(tmp_path / "first").extra
    with pytest.raises(ScmError, match="--init"):
        Run(drawn_data, tmp_path / "third", smoke("model.features=16"), device="cpu", init=tmp_path / "first")


def test_a_run_keeps_the_licence_of_its_initial_weights(drawn_data: Path, tmp_path: Path) -> None:
    train(drawn_data, tmp_path / "first", smoke("train.images=4"))
    first, bound = load_model(tmp_path / "first"), tmp_path / "bound.safetensors"
    save_model(bound, first.state, first.config, extra={"licence": "for research"})
    run = tmp_path / "second"
    Run(drawn_data, run, smoke("train.images=4"), device="cpu", init=bound).train()
    Run(drawn_data, run, smoke("train.images=8"), device="cpu", allow_changes=True).train()
    again = load_model(run)
    assert (again.extra["images"], again.extra["licence"]) == ("8", "for research")


def test_steps_that_are_not_finite_are_skipped_and_end_the_run_with_the_last_good_state(
    drawn_data: Path, tmp_path: Path
) -> None:
    train(drawn_data, tmp_path / "run", smoke("train.images=4"))
    before, _ = load_tensors(tmp_path / "run" / STATE_FILE)
    run = Run(drawn_data, tmp_path / "run", smoke("train.images=400"), device="cpu", allow_changes=True)
    total = run.objective.total
    run.objective.total = lambda terms: total(terms) * float("nan")  # type: ignore[method-assign]
    with pytest.raises(ScmError, match=r"not finite.*last good state"):
        run.train()
    after, _ = load_tensors(tmp_path / "run" / STATE_FILE)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in after.values())
    assert torch.equal(after["generator.generator.to_rgb.weight"], before["generator.generator.to_rgb.weight"])


def test_discriminators_start_at_their_image_count(drawn_data: Path, tmp_path: Path) -> None:
    train(drawn_data, tmp_path / "run", smoke("train.discriminators_from=6"))
    lines = read_stats(tmp_path / "run")
    assert ["discriminator_pose" in line for line in lines] == [False, False, False, True]


def test_a_folder_that_is_not_a_run_is_refused(drawn_data: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(ScmError, match="holds no run"):
        Run(drawn_data, tmp_path, smoke(), device="cpu")


def test_two_runs_in_one_folder_are_refused(drawn_data: Path, tmp_path: Path) -> None:
    run = Run(drawn_data, tmp_path / "run", smoke("train.images=2"), device="cpu")
    (tmp_path / "run").mkdir()
    with held(tmp_path / "run" / ".lock", "the other run"):
        with pytest.raises(ScmError, match="another 'scm train' is writing into it"):
            run.train()
        assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
    assert run.train().finished


def test_a_loss_with_missing_weights_is_an_error_with_the_remedy(
    drawn_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCM_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ScmError, match="vgg"):
        Run(drawn_data, tmp_path / "run", smoke("loss.perceptual=1"), device="cpu", weights_dir=tmp_path)


def test_the_stream_is_a_function_of_seed_and_position(drawn_data: Path) -> None:
    config, folder = smoke(), PreparedFolder(drawn_data)
    people = PeopleInMemory(folder, folder.names("train"), config.model.canvas, torch.device("cpu"))
    stream, again = TrainingStream(people, config.data, 3), TrainingStream(people, config.data, 3)
    whole = stream.batch(0, 2 * len(people))
    late = again.batch(len(people) + 1, 2)
    for one, other in ((whole.target.image, late.target.image), (whole.source.image, late.source.image)):
        assert torch.equal(one[len(people) + 1 : len(people) + 3], other)
    first_pass = {image.sort().values.numpy().tobytes() for image in whole.target.labels[: len(people)].flatten(1)}
    assert len(first_pass) == len(people)
    other_seed = TrainingStream(people, config.data, 4).batch(0, len(people))
    assert not torch.equal(other_seed.target.image, whole.target.image[: len(people)])


def test_validation_people_are_never_trained_on(drawn_data: Path, tmp_path: Path) -> None:
    run = Run(drawn_data, tmp_path / "run", smoke(), device="cpu")
    folder = PreparedFolder(drawn_data)
    assert set(run.people.names) == set(folder.names("train"))
    assert not set(run.people.names) & set(folder.names("val"))


def start(data: Path, run: Path, images: int) -> subprocess.Popen[bytes]:
    settings = [
        "train.batch=2",
        "train.save_every=2",
        "train.log_every=2",
        "train.sample_every=1000",
        f"train.images={images}",
        *OF_64X48,
    ]
    options = [part for setting in settings for part in ("--set", setting)]
    command = [sys.executable, "-m", "scmnet_cli", "train", str(data), "-o", str(run), "-c", "smoke", "--device", "cpu"]
    return subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def wait_for_state(run: Path, process: subprocess.Popen[bytes]) -> None:
    for _ in range(1200):
        if (run / STATE_FILE).is_file():
            return
        assert process.poll() is None
        time.sleep(0.05)
    raise AssertionError("no state within a minute")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_run_resumes_with_the_result_of_an_uninterrupted_one(
    drawn_data: Path, tmp_path: Path, number: int
) -> None:
    stopped = start(drawn_data, tmp_path / "stopped", 40)
    wait_for_state(tmp_path / "stopped", stopped)
    os.kill(stopped.pid, number)
    code = stopped.wait(60)
    assert code == (-number if number == signal.SIGKILL else 128 + number)
    assert start(drawn_data, tmp_path / "stopped", 40).wait(120) == 0
    assert start(drawn_data, tmp_path / "whole", 40).wait(120) == 0
    assert_same_state(tmp_path / "whole", tmp_path / "stopped")
    assert [line["images"] for line in read_stats(tmp_path / "stopped")] == list(range(2, 41, 2))


def test_the_summary_of_a_stopped_run_counts_the_images_of_its_model(drawn_data: Path, tmp_path: Path) -> None:
    """It stops between two lines of the log."""

    def stop(report: Report) -> None:
        if report.images == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    outcome = Run(drawn_data, tmp_path, smoke("train.images=40", "train.log_every=4"), device="cpu").train(stop)
    assert outcome.images == 6
    assert int(load_model(tmp_path).extra["images"]) == 6
    assert json.loads((tmp_path / "summary.json").read_text())["images"] == 6


def test_vgg_losses_start_at_their_image_count(drawn_data: Path, tmp_path: Path, seeded_backbones: Path) -> None:
    config = smoke("loss.vgg=vgg16", "loss.perceptual=1", "train.vgg_losses_from=4", "train.images=8")
    train(drawn_data, tmp_path / "run", config, weights_dir=seeded_backbones)
    assert ["perceptual" in line for line in read_stats(tmp_path / "run")] == [False, False, True, True]
