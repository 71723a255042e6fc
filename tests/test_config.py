"""The typed config: shipped files load, and errors name key and value."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from scmnet_cli.config import (
    SIZES,
    Config,
    ModelConfig,
    config_folder,
    differences,
    load_config,
    parse_config,
    shipped_configs,
)
from scmnet_cli.errors import ScmError

ROOT = Path(__file__).parent.parent


def write(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_five_configs_of_the_readme_ship():
    assert {"paper", "deepfashion", "ccp", "cpu", "smoke"} <= set(shipped_configs())


@pytest.mark.parametrize("name", shipped_configs())
def test_a_shipped_config_loads_and_survives_a_round_trip(name: str):
    config = load_config(name)
    assert parse_config(config.model_dump(mode="json"), name) == config


def test_the_paper_config_has_the_papers_values():
    config = load_config("paper")
    assert (config.model.height, config.model.width, config.model.size) == (256, 256, "base")
    assert not config.data.anti_copy
    assert (config.loss.field_regions, config.loss.field_colours) == (0, 0)
    weights = config.loss
    assert (weights.adversarial, weights.reconstruction, weights.perceptual, weights.style, weights.bsr) == (
        5,
        1,
        1,
        150,
        1,
    )
    assert config.loss.gan == "bce"


def test_smoke_needs_no_backbone():
    loss = load_config("smoke").loss
    assert (loss.perceptual, loss.style, loss.bsr) == (0, 0, 0)


def test_an_empty_file_gives_all_defaults(tmp_path: Path):
    assert load_config(write(tmp_path, "")) == Config()


def test_1e_4_is_read_as_a_number(tmp_path: Path):
    assert load_config(write(tmp_path, "train: {learning_rate: 1e-4}")).train.learning_rate == 1e-4
    assert load_config("smoke", ["train.learning_rate=3e-4"]).train.learning_rate == 3e-4


def test_set_changes_one_field_and_nothing_else():
    changed = load_config("smoke", ["train.images=123"])
    assert changed.train.images == 123
    assert [line.split(":")[0] for line in differences(load_config("smoke"), changed)] == ["train.images"]


def test_the_last_set_of_a_field_wins():
    assert load_config("smoke", ["train.batch=4", "train.batch=2"]).train.batch == 2


@pytest.mark.parametrize(
    ("setting", "value"),
    [("model.ccf=false", False), ("loss.style_layers=[relu1_1]", ["relu1_1"]), ("loss.gan=hinge", "hinge")],
)
def test_set_takes_yaml_values(setting: str, value: object):
    section, name = setting.split("=")[0].split(".")
    assert getattr(getattr(load_config("smoke", [setting]), section), name) == value


@pytest.mark.parametrize("size", SIZES)
def test_a_size_preset_fills_only_fields_that_are_not_given(size: str):
    model = ModelConfig.model_validate({"size": size, "part_channels": [1, 2, 3]})
    assert model.part_channels == [1, 2, 3]
    assert model.features == SIZES[size]["features"]


@pytest.mark.parametrize(
    ("settings", "messages"),
    [
        (["train.bacth=4"], ["train.bacth", "did you mean 'batch'"]),
        (["modle.tau=1"], ["modle", "did you mean 'model'"]),
        (["train.batch=none"], ["train.batch", "'none'"]),
        (["model.height=100"], ["model.height", "100", "multiple of 8"]),
        (["model.tau=0"], ["model.tau", "0"]),
        (["loss.gan=wgan"], ["loss.gan", "'wgan'", "lsgan"]),
        (["train.batch=6", "train.accumulate=4"], ["train.batch 6", "train.accumulate 4"]),
        (["batch=4"], ["--set batch=4", "section.field=value"]),
        (["train.batch"], ["--set train.batch", "section.field=value"]),
        (["train.batch=[4"], ["--set train.batch=[4"]),
    ],
)
def test_a_wrong_setting_is_a_one_line_error_with_key_and_value(settings: list[str], messages: list[str]):
    with pytest.raises(ScmError) as caught:
        load_config("smoke", settings)
    for text in messages:
        assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_config_suggests_the_nearest_and_lists_the_shipped_ones():
    with pytest.raises(ScmError, match=r"'smok'.*did you mean 'smoke'"):
        load_config("smok")


@pytest.mark.parametrize(
    ("text", "message"),
    [("- 1", "list"), ("model: [", "YAML"), ("model: 3", "model"), ("\x00", "YAML"), ("model: {tau: [1]}", "tau")],
)
def test_a_file_that_is_not_a_config_is_named(text: str, message: str, tmp_path: Path):
    with pytest.raises(ScmError, match=f"mine.yaml.*{message}"):
        load_config(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ScmError, match=r"absent\.yaml"):
        load_config(str(tmp_path / "absent.yaml"))


def test_differences_name_field_and_both_values():
    assert differences(load_config("smoke"), load_config("smoke")) == []
    changed = load_config("smoke", ["model.tau=0.5"])
    assert differences(load_config("smoke"), changed) == [f"model.tau: {load_config('smoke').model.tau} -> 0.5"]


def test_shipped_configs_are_found_from_any_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert (config_folder() / "smoke.yaml").is_file()


def test_docs_config_md_is_up_to_date():
    page = runpy.run_path(str(ROOT / "docs" / "scripts" / "write_config.py"))["page"]()
    written = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert written == page, "docs/config.md is out of date: run `nox -s docs`"
