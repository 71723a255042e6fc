from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from scmnet_cli import checkpoint
from scmnet_cli.config import Config, parse_config
from scmnet_cli.errors import ScmError

CONFIG = parse_config({"model": {"size": "tiny", "height": 64, "width": 48, "tau": 0.02}}, "test")


def weights() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"a.weight": torch.randn(4, 3, 3, 3, generator=generator), "a.bias": torch.randn(4, generator=generator)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "model.safetensors"
    checkpoint.save_model(path, weights(), CONFIG, extra={"images": "400"})
    return path


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert set(left) == set(right)
    for name, tensor in left.items():
        assert tensor.dtype == right[name].dtype
        assert torch.equal(tensor, right[name])


def test_a_saved_model_loads_with_its_config_and_extras(model: Path) -> None:
    saved = checkpoint.load_model(model)
    assert_same(saved.state, weights())
    assert saved.config == CONFIG
    assert saved.extra == {"images": "400"}
    assert saved.path == model


def test_settings_that_no_longer_exist_are_left_out_of_a_saved_config_only(model: Path) -> None:
    values = json.loads(CONFIG.model_dump_json())
    values["data"]["every_edge"] = 0.2
    metadata = {"format": checkpoint.FORMAT, "format_version": "1", "config": json.dumps(values)}
    save_file(weights(), model, metadata)
    assert checkpoint.load_model(model).config == CONFIG
    with pytest.raises(ScmError, match=r"unknown key 'data\.every_edge'"):
        parse_config(values, "config mine.yaml")


def test_a_run_folder_resolves_to_its_model(model: Path) -> None:
    assert_same(checkpoint.load_model(model.parent).state, weights())


def test_saving_leaves_no_temporary_file(model: Path) -> None:
    checkpoint.save_model(model, weights(), CONFIG)
    assert [path.name for path in model.parent.iterdir()] == ["model.safetensors"]


def test_a_saved_model_is_readable_by_other_users(model: Path) -> None:
    assert model.stat().st_mode & 0o777 == 0o644


def test_a_failed_save_keeps_the_older_file(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(tensors: dict[str, Tensor], filename: Path, metadata: dict[str, str]) -> None:
        filename.write_bytes(b"half a file")
        raise OSError("no space left on device")

    before = model.read_bytes()
    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(ScmError, match="no space left"):
        checkpoint.save_model(model, weights(), CONFIG)
    assert model.read_bytes() == before
    assert list(model.parent.iterdir()) == [model]


def test_a_folder_that_cannot_be_created_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ScmError, match="cannot be written"):
        checkpoint.save_model(tmp_path / "file" / "model.safetensors", weights(), CONFIG)


def test_channels_last_and_shared_tensors_are_saved(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    state = {
        "channels_last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "one": shared,
        "same": shared,
        "part": shared[2:4],
        "turned": torch.rand(3, 4).T,
        "expanded": torch.rand(1, 3).expand(4, 3),
        "trained": nn.Parameter(torch.rand(2)),
    }
    checkpoint.save_model(tmp_path / "m.safetensors", state, CONFIG)
    loaded = checkpoint.load_model(tmp_path / "m.safetensors").state
    assert_same(loaded, {name: tensor.detach() for name, tensor in state.items()})


def test_float16_storage_is_half_the_size_and_loads_as_float32(tmp_path: Path) -> None:
    state = {"weight": torch.randn(64, 64), "count": torch.tensor(7)}
    checkpoint.save_model(tmp_path / "full.safetensors", state, CONFIG)
    checkpoint.save_model(tmp_path / "half.safetensors", state, CONFIG, half=True)
    loaded = checkpoint.load_model(tmp_path / "half.safetensors").state
    assert loaded["weight"].dtype == torch.float32
    assert torch.equal(loaded["weight"], state["weight"].half().float())
    assert loaded["count"].dtype == torch.int64
    saving = (tmp_path / "full.safetensors").stat().st_size - (tmp_path / "half.safetensors").stat().st_size
    assert abs(saving - 64 * 64 * 2) <= 8, "the header is padded to a multiple of 8 bytes"


def test_a_weight_too_large_for_float16_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match=r"'b'.*float16"):
        checkpoint.save_model(tmp_path / "m", {"a": torch.ones(2), "b": torch.tensor([1e6])}, CONFIG, half=True)
    assert not (tmp_path / "m").exists()


def test_bfloat16_weights_load_as_float32(tmp_path: Path) -> None:
    checkpoint.save_model(tmp_path / "m", {"a": torch.tensor([1.5], dtype=torch.bfloat16)}, CONFIG)
    assert_same(checkpoint.load_model(tmp_path / "m").state, {"a": torch.tensor([1.5])})


def test_the_header_holds_the_whole_config_as_text(model: Path) -> None:
    with model.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))["__metadata__"]
    assert header["format"] == "scm-net"
    assert header["format_version"] == "1"
    assert Config.model_validate_json(header["config"]) == CONFIG


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def cut_in_the_header(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def pickled(path: Path) -> None:
    torch.save({"a": torch.ones(1)}, path)


def text(path: Path) -> None:
    path.write_text("not weights at all, but a longer text that is no header either\n" * 10)


def foreign(path: Path) -> None:
    save_file({"a": torch.ones(1)}, path)


def foreign_with_metadata(path: Path) -> None:
    save_file({"a": torch.ones(1)}, path, metadata={"format": "pt"})


def of_a_newer_format(path: Path) -> None:
    save_file({"a": torch.ones(1)}, path, metadata={"format": "scm-net", "format_version": "2", "config": "?"})


def without_version(path: Path) -> None:
    save_file({"a": torch.ones(1)}, path, metadata={"format": "scm-net", "config": "{}"})


def without_config(path: Path) -> None:
    save_file({"a": torch.ones(1)}, path, metadata={"format": "scm-net", "format_version": "1"})


def with_broken_config(path: Path) -> None:
    save_file({"a": torch.ones(1)}, path, metadata={"format": "scm-net", "format_version": "1", "config": "{"})


def with_unknown_setting(path: Path) -> None:
    config = json.dumps({"model": {"size": "tiny", "taau": 1}})
    save_file({"a": torch.ones(1)}, path, metadata={"format": "scm-net", "format_version": "1", "config": config})


def with_impossible_setting(path: Path) -> None:
    config = json.dumps({"model": {"size": "tiny", "height": 65}})
    save_file({"a": torch.ones(1)}, path, metadata={"format": "scm-net", "format_version": "1", "config": config})


def training_state(path: Path) -> None:
    checkpoint.save_tensors(path, {"a": torch.ones(1)}, {})


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (truncated, "truncated"),
        (cut_in_the_header, "truncated"),
        (empty, "truncated"),
        (pickled, "is a PyTorch checkpoint"),
        (text, "not a safetensors file"),
        (foreign, "not an SCM-Net model"),
        (foreign_with_metadata, "not an SCM-Net model"),
        (of_a_newer_format, "version 2.*newer scmnet_cli"),
        (without_version, "no format version"),
        (without_config, "no readable config"),
        (with_broken_config, "no readable config"),
        (with_unknown_setting, "unknown key 'model.taau'; did you mean 'tau'"),
        (with_impossible_setting, "model.height = 65"),
        (training_state, "training state, not a model"),
    ],
)
def test_a_file_that_is_not_a_model_is_refused_in_one_line(
    model: Path, spoil: Callable[[Path], None], says: str
) -> None:
    spoil(model)
    with pytest.raises(ScmError, match=says) as caught:
        checkpoint.load_model(model)
    assert "\n" not in str(caught.value)
    assert str(model) in str(caught.value)


def test_a_missing_model_is_reported_with_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match=r"no such file or folder; give a run folder"):
        checkpoint.load_model(tmp_path / "absent")
    with pytest.raises(ScmError, match=r"holds no model.safetensors; give a run folder"):
        checkpoint.load_model(tmp_path)


def test_training_state_keeps_its_dtypes(tmp_path: Path) -> None:
    tensors = {"step": torch.tensor(3), "rng": torch.arange(5, dtype=torch.uint8), "m": torch.rand(2).bfloat16()}
    checkpoint.save_tensors(tmp_path / "state", tensors, {"images": "12"})
    loaded, metadata = checkpoint.load_tensors(tmp_path / "state")
    assert_same(loaded, tensors)
    assert metadata == {"images": "12"}


def test_a_model_file_is_refused_as_training_state(model: Path) -> None:
    with pytest.raises(ScmError, match="not a training state"):
        checkpoint.load_tensors(model)


def test_a_missing_training_state_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match="no such file"):
        checkpoint.load_tensors(tmp_path / "state")


def test_a_matching_state_is_loaded_strictly() -> None:
    source, target = nn.Linear(3, 2), nn.Linear(3, 2)
    checkpoint.load_strict(target, source.state_dict(), "here")
    assert_same(target.state_dict(), source.state_dict())


def test_a_mismatched_state_names_every_kind_of_fault_and_changes_nothing() -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = {
        "0.weight": torch.zeros(2, 3),
        "0.bias": torch.zeros(5),
        "1.weight": torch.zeros(2, 2),
        "2.bias": torch.zeros(1),
    }
    with pytest.raises(ScmError) as caught:
        checkpoint.load_strict(module, state, "run/model.safetensors")
    message = str(caught.value)
    assert message.startswith("run/model.safetensors: ")
    assert "lacks 1.bias" in message
    assert "unknown 2.bias" in message
    assert "0.bias as (5,) instead of (2,)" in message
    assert_same(module.state_dict(), before)


def test_only_the_first_of_many_faults_are_listed() -> None:
    module = nn.Sequential(*[nn.Linear(1, 1) for _ in range(5)])
    with pytest.raises(ScmError, match=r"lacks 0\.weight, 0\.bias, 1\.weight and 7 more$"):
        checkpoint.load_strict(module, {}, "here")


def test_the_fingerprint_is_the_files_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert checkpoint.sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
