"""Personalized models: the file, the cache, and ``scm personalize``."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Place, Scm
from personal_models import a_photo, save_model

from scmnet_cli import checkpoint
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.personal import cached_personal
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.models.build import build_generator
from scmnet_cli.training.personalizing import Budget, PersonalRun
from scmnet_cli.training.workers import Workers
from scmnet_cli.types import Person


@pytest.fixture
def base(tmp_path: Path) -> Pipeline:
    return Pipeline.from_pretrained(save_model(tmp_path / "base.safetensors"), "cpu")


def a_difference(pipeline: Pipeline) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        name: 0.01 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in pipeline.model.named_parameters()
        if name.startswith("generator.to_rgb")
    }


def test_a_personal_file_on_its_base_draws_like_the_trained_model(base: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "me.safetensors"
    difference = {name: tensor.half().float() for name, tensor in a_difference(base).items()}
    checkpoint.save_personal(path, difference, base.path)
    photo = a_photo()
    taught, read = base.with_difference(difference), Pipeline.from_pretrained(path, "cpu")
    drawn = [np.asarray(each.transfer(photo, a_photo(1)).image) for each in (base, taught, read)]
    assert (drawn[1] == drawn[2]).all()
    assert (drawn[0] != drawn[1]).any()
    assert read.path == path
    assert read.is_personal
    assert not base.is_personal


def test_untrained_parameters_are_shared_with_the_base(base: Pipeline) -> None:
    taught = base.with_difference(a_difference(base))
    assert taught.model.pose_encoder is not base.model.pose_encoder
    own, others = (dict(each.model.named_parameters()) for each in (taught, base))
    for name, tensor in own.items():
        assert (tensor.data_ptr() == others[name].data_ptr()) == (not name.startswith("generator.to_rgb"))


def test_another_base_is_refused_in_one_line(base: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "me.safetensors"
    checkpoint.save_personal(path, a_difference(base), base.path)
    other = Pipeline.from_pretrained(save_model(tmp_path / "other.safetensors", seed=1), "cpu")
    with pytest.raises(ScmError, match=r"me\.safetensors: its base model .*is not .*other\.safetensors"):
        other.with_personal(path)
    save_model(base.path, seed=2)  # the base itself is replaced
    with pytest.raises(ScmError, match=r"me\.safetensors: its base model .*run 'scm personalize' again"):
        Pipeline.from_pretrained(path, "cpu")


def test_a_damaged_file_is_refused_in_one_line(base: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "me.safetensors"
    checkpoint.save_personal(path, {"generator.to_rgb.bias": torch.zeros(99)}, base.path)
    with pytest.raises(ScmError, match=r"generator\.to_rgb\.bias.*does not fit"):
        base.with_personal(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ScmError, match=r"me\.safetensors: is truncated"):
        base.with_personal(path)
    with pytest.raises(ScmError, match="no model of one person"):
        base.with_personal(base.path)


def test_training_does_not_start_from_a_personal_file(base: Pipeline, tmp_path: Path) -> None:
    checkpoint.save_personal(tmp_path / "me.safetensors", a_difference(base), base.path)
    with pytest.raises(ScmError, match="a model of one person"):
        checkpoint.load_model(tmp_path / "me.safetensors")


def test_a_file_of_over_four_megabytes_is_refused(base: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(ScmError, match="over 4,000,000"):
        checkpoint.save_personal(tmp_path / "me.safetensors", {"x": torch.zeros(2_000_001)}, base.path)


def test_the_parameters_trained_by_default_fit_into_the_file() -> None:
    from scmnet_cli.inference.pipeline import SHIPPED_MODEL
    from scmnet_cli.training.personalizing import recipe_for

    saved = checkpoint.load_model(SHIPPED_MODEL)
    net = build_generator(saved.config.model)
    for seconds in (60, 120, 300):
        trained = recipe_for(Budget(seconds)).trained
        num = sum(parameter.numel() for name, parameter in net.named_parameters() if name.startswith(trained))
        assert trained
        assert 0 < 2 * num <= checkpoint.LARGEST_PERSONAL


def test_the_cache_is_used_for_the_same_photo_model_and_settings_only(
    base: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCM_CACHE", str(tmp_path / "cache"))
    seen: list[int] = []

    def learn(photo: Person, steps: int) -> Pipeline:
        seen.append(0)
        return cached_personal(base, [photo], Budget(None, steps), progress=lambda state: seen.append(state.steps))

    first = learn(a_photo(), 2)
    assert seen == [0, 0, 1, 2]
    again = learn(a_photo(), 2)
    assert seen == [0, 0, 1, 2, 0]  # nothing was trained
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), again.model.parameters(), strict=True))
    changed = a_photo()
    changed.image[5, 5] = 0
    learn(changed, 2)
    learn(a_photo(), 1)
    assert seen[5:] == [0, 0, 1, 2, 0, 0, 1]
    files = sorted((tmp_path / "cache" / "personal").iterdir())
    assert len(files) == 3
    assert all(file.stat().st_mode & 0o077 == 0 for file in [*files, files[0].parent])


def test_an_interrupted_training_is_not_cached(base: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCM_CACHE", str(tmp_path / "cache"))

    def interrupt(state: object) -> None:
        if getattr(state, "steps", 0) == 1:
            raise KeyboardInterrupt

    cached_personal(base, [a_photo()], Budget(None, 3), progress=interrupt)
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


@pytest.fixture
def prepared(place: Place) -> Place:
    save_model(place.path / "base.safetensors")
    Place.prepare(place.path / "drawn", [a_photo(0), a_photo(1)], [])
    return place


def test_the_command_writes_a_small_file_and_a_sheet_that_transfer_and_edit_draw_with(
    prepared: Place, scm: Scm
) -> None:
    outcome = scm("personalize", "drawn/drawn-0", "-m", "base.safetensors", "-o", "me.safetensors", "--steps", 3)
    assert outcome.code == 0
    assert outcome.paths == [Path("me.safetensors")]
    assert Path("me.safetensors").stat().st_size <= 4_000_000
    assert Path("me.before-after.png").is_file()
    assert len(outcome.errors) == 2
    assert "3 steps" in outcome.errors[0]
    assert outcome.errors[1] == "scm: before and after: me.before-after.png"
    drawn = scm("transfer", "--src", "drawn/drawn-0", "--pose", "walking", "-m", "me.safetensors", "-o", "out")
    assert drawn.code == 0
    assert drawn.report()["model"]["path"].endswith("me.safetensors")
    edited = scm(
        "edit", "--src", "drawn/drawn-0", "--region", "upper", "--ref", "drawn/drawn-1", "-m", "me.safetensors",
        "--force", "-o", "out",
    )  # fmt: skip
    assert edited.code == 0, edited.errors


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["drawn/drawn-0", "-o", "me.png"], r"-o me\.png: is not the name of a model file"),
        (["nobody.jpg", "-o", "me.safetensors"], r"PHOTO nobody\.jpg: no such entry or file"),
        (["drawn/drawn-0", "-m", "run", "-o", "me.safetensors"], "give a PyTorch model with part warp"),
    ],
)
def test_invalid_input_is_a_one_line_error(prepared: Place, scm: Scm, arguments: list[str], line: str) -> None:
    given = arguments if "-m" in arguments else [*arguments, "-m", "base.safetensors"]
    outcome = scm("personalize", *given, "--steps", 1)
    assert outcome.code == 2
    assert len(outcome.errors) == 1
    with pytest.raises(AssertionError, match=line):
        raise AssertionError(outcome.errors[0])


def test_a_personal_model_is_not_personalized_again(prepared: Place, scm: Scm) -> None:
    scm("personalize", "drawn/drawn-0", "-m", "base.safetensors", "-o", "me.safetensors", "--steps", 1, "--no-sheet")
    again = scm("personalize", "drawn/drawn-0", "-m", "me.safetensors", "-o", "you.safetensors", "--steps", 1)
    assert again.code == 2
    assert "already" in again.errors[0]


def test_ctrl_c_keeps_the_best_so_far(prepared: Place, scm: Scm, monkeypatch: pytest.MonkeyPatch) -> None:
    import scmnet_cli.training.personalizing as module

    step = module.PersonalRun._step

    def interrupted(self: PersonalRun, workers: Workers, number: int, share: float) -> None:
        if number == 3:
            signal.raise_signal(signal.SIGINT)
        step(self, workers, number, share)

    monkeypatch.setattr(module.PersonalRun, "_step", interrupted)
    outcome = scm(
        "personalize", "drawn/drawn-0", "-m", "base.safetensors", "-o", "me.safetensors", "--steps", 50, "--no-sheet"
    )
    assert outcome.code == 0
    assert "interrupted" in outcome.errors[0]
    assert Path("me.safetensors").is_file()


def test_transfer_learns_the_person_once(prepared: Place, scm: Scm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCM_CACHE", str(prepared.path / "cache"))
    words = ["transfer", "--src", "drawn/drawn-0", "--pose", "walking", "-m", "base.safetensors", "--steps", "2"]
    outcomes = [scm(*words, "-o", f"out{k}", "--personalize") for k in (1, 2)]
    assert [outcome.code for outcome in outcomes] == [0, 0]
    assert [len(outcome.errors) for outcome in outcomes] == [1, 0]
    assert outcomes[0].paths[0].read_bytes() == outcomes[1].paths[0].read_bytes()


def test_an_edit_learns_its_source_and_not_its_reference(
    prepared: Place, scm: Scm, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[list[str]] = []

    def learn(pipeline: Pipeline, photos: list[Person], *_: object, **__: object) -> Pipeline:
        learned.append([photo.name for photo in photos])
        return pipeline.with_difference(a_difference(pipeline))

    monkeypatch.setattr("scmnet_cli.inference.personal.cached_personal", learn)
    words = ["edit", "--src", "drawn/drawn-0", "--region", "upper", "--ref", "drawn/drawn-1", "--pose", "walking"]
    words += ["-m", "base.safetensors"]
    plain = scm(*words, "--force", "-o", "plain")
    personal = scm(*words, "--force", "-o", "personal", "--personalize", "--steps", 1)
    assert (plain.code, personal.code, learned) == (0, 0, [["drawn-0"]])
    assert plain.paths[0].read_bytes() != personal.paths[0].read_bytes()
