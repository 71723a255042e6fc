from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scmnet_cli.errors import ScmError
from scmnet_cli.weights import backbone_shapes, fetch_command, find_backbone, load_backbone

FIRST_BLOCK = ["features.0.weight", "features.0.bias", "features.2.weight", "features.2.bias"]


@pytest.fixture(autouse=True)
def _nothing_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    monkeypatch.delenv("SCM_WEIGHTS", raising=False)


def first_block(name: str = "vgg16") -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = backbone_shapes(name)
    return {key: torch.randn(shapes[key], generator=generator) for key in FIRST_BLOCK}


def save(folder: Path, file: str, state: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / file)
    return folder / file


@pytest.mark.parametrize("name", ["vgg16", "vgg19", "alexnet"])
def test_the_expected_shapes_are_torchvisions(name: str) -> None:
    import torchvision

    with torch.device("meta"):
        network = getattr(torchvision.models, name)(weights=None)
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items() if key.startswith("features.")}
    assert backbone_shapes(name) == shapes


@pytest.mark.parametrize(("name", "enum"), [("vgg19", "VGG19"), ("vgg16", "VGG16"), ("alexnet", "AlexNet")])
def test_a_download_by_torchvision_is_found_under_the_name_torchvision_gives_it(name: str, enum: str) -> None:
    import torchvision

    url = torchvision.models.get_weight(f"{enum}_Weights.IMAGENET1K_V1").url
    path = save(Path(torch.hub.get_dir()) / "checkpoints", url.rsplit("/", 1)[1], {})
    assert find_backbone(name) == path
    assert f"torchvision.models.{name}(weights='IMAGENET1K_V1')" in fetch_command(name)


def test_the_folder_given_comes_before_the_variable_and_that_before_the_downloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, variable = tmp_path / "given", tmp_path / "variable"
    monkeypatch.setenv("SCM_WEIGHTS", str(variable))
    downloaded = save(Path(torch.hub.get_dir()) / "checkpoints", "vgg16-397923af.pth", {})
    given.mkdir()
    assert find_backbone("vgg16", given) == downloaded
    from_variable = save(variable, "vgg16-features-fp16.pth", {})
    assert find_backbone("vgg16", given) == from_variable
    from_given = save(given, "vgg16-features-fp16.pth", {})
    assert find_backbone("vgg16", given) == from_given


def test_absent_weights_are_one_line_with_file_folders_and_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCM_WEIGHTS", str(tmp_path / "variable"))
    with pytest.raises(ScmError) as caught:
        find_backbone("vgg19", tmp_path)
    text = str(caught.value)
    assert "\n" not in text
    assert "vgg19-dcbb9e9d.pth" in text
    for folder in (tmp_path, tmp_path / "variable", tmp_path / "torch_home" / "hub" / "checkpoints"):
        assert f"{folder} (" in text
    assert fetch_command("vgg19") in text


def test_the_command_of_the_error_is_valid_shell_and_python() -> None:
    import shlex

    python, option, code = shlex.split(fetch_command("alexnet"))
    assert (python, option) == ("python", "-c")
    compile(code, "command", "exec")


def test_a_folder_that_is_not_there_is_an_error_even_where_another_has_the_file(tmp_path: Path) -> None:
    save(Path(torch.hub.get_dir()) / "checkpoints", "vgg16-397923af.pth", {})
    with pytest.raises(ScmError, match="missing: not a folder"):
        find_backbone("vgg16", tmp_path / "missing")


def test_an_unknown_backbone_names_the_nearest() -> None:
    with pytest.raises(ScmError, match="did you mean 'vgg1"):
        find_backbone("vgg18")


@pytest.mark.parametrize("half", [False, True])
def test_a_cut_file_in_either_precision_is_read_as_float32(tmp_path: Path, half: bool) -> None:
    state = first_block()
    stored = {key: value.half() for key, value in state.items()} if half else state
    save(tmp_path, "vgg16-features-fp16.pth", stored)
    loaded = load_backbone("vgg16", tmp_path, FIRST_BLOCK)
    assert list(loaded) == FIRST_BLOCK
    for key, value in loaded.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, stored[key].float())


def test_a_full_state_dict_gives_its_convolutions_only(tmp_path: Path) -> None:
    save(tmp_path, "vgg16-397923af.pth", {**first_block(), "classifier.0.weight": torch.zeros(2, 2)})
    assert list(load_backbone("vgg16", tmp_path, FIRST_BLOCK)) == FIRST_BLOCK


def test_a_key_is_missed_only_if_it_is_needed(tmp_path: Path) -> None:
    path = save(tmp_path, "vgg16-features-fp16.pth", first_block())
    load_backbone("vgg16", tmp_path, FIRST_BLOCK[:2])
    with pytest.raises(ScmError, match=r"lacks features\.5\.weight of vgg16") as caught:
        load_backbone("vgg16", tmp_path)
    assert str(path) in str(caught.value)


def test_another_network_under_the_name_is_refused(tmp_path: Path) -> None:
    vgg19 = {key: torch.zeros(shape) for key, shape in backbone_shapes("vgg19").items() if int(key.split(".")[1]) < 17}
    path = save(tmp_path, "vgg16-397923af.pth", vgg19)
    with pytest.raises(ScmError, match=r"is not vgg16 \(it holds features\.16\.weight") as caught:
        load_backbone("vgg16", tmp_path, FIRST_BLOCK)
    assert str(path) in str(caught.value)


def test_a_wrong_shape_is_refused_with_both_shapes(tmp_path: Path) -> None:
    save(tmp_path, "vgg16-397923af.pth", {**first_block(), "features.0.weight": torch.zeros(64, 1, 3, 3)})
    with pytest.raises(ScmError, match=r"\(64, 1, 3, 3\), expected \(64, 3, 3, 3\)"):
        load_backbone("vgg16", tmp_path, FIRST_BLOCK)


@pytest.mark.parametrize("content", [b"", b"not a weight file", b"PK\x03\x04 truncated"])
def test_a_broken_file_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "alexnet-owt-7be5be79.pth"
    path.write_bytes(content)
    with pytest.raises(ScmError, match="cannot be read as alexnet weights") as caught:
        load_backbone("alexnet", tmp_path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_cut_short_by_a_broken_download_is_one_clear_line(tmp_path: Path) -> None:
    path = save(tmp_path, "vgg16-397923af.pth", first_block())
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(ScmError, match="cannot be read as vgg16 weights"):
        load_backbone("vgg16", tmp_path, FIRST_BLOCK)


@pytest.mark.parametrize("content", [[1, 2], {"features.0.weight": "text"}])
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, content: object) -> None:
    save(tmp_path, "vgg16-397923af.pth", content)
    with pytest.raises(ScmError, match="holds no state dict of vgg16"):
        load_backbone("vgg16", tmp_path, FIRST_BLOCK)


class _Foreign:
    pass


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    save(tmp_path, "vgg16-397923af.pth", {"features.0.weight": _Foreign()})
    with pytest.raises(ScmError, match="cannot be read as vgg16 weights"):
        load_backbone("vgg16", tmp_path, FIRST_BLOCK)
