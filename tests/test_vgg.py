"""VGG features equal torchvision's, and missing weights are an error."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from loss_inputs import random, save_vgg
from torch import nn

from scmnet_cli.errors import ScmError
from scmnet_cli.losses.style import STYLE_LAYERS
from scmnet_cli.losses.vgg import IMAGENET_MEAN, IMAGENET_STD, VGGFeatures, layer_names


@pytest.mark.parametrize(("name", "cfg"), [("vgg16", "D"), ("vgg19", "E")])
def test_every_vgg_layer_equals_torchvisions(name: str, cfg: str, tmp_path: Path) -> None:
    from torchvision.models.vgg import cfgs, make_layers

    save_vgg(tmp_path, name, last=99)
    reference = make_layers(cfgs[cfg])
    state = torch.load(tmp_path / f"{name}-features-fp16.pth", weights_only=True)
    reference.load_state_dict({key.removeprefix("features."): value for key, value in state.items()})
    names = layer_names(name)  # type: ignore[arg-type]
    image = random(1, 3, 32, 32).clamp(-1, 1)
    mean, std = (torch.tensor(values)[None, :, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        features = VGGFeatures(name, names, tmp_path)(image)  # type: ignore[arg-type]
        x = ((image + 1) / 2 - mean) / std
        activations = []
        for module in reference:
            x = module(x)
            if isinstance(module, nn.ReLU):
                activations.append(x)
    assert list(features) == names
    for name_of_layer, expected in zip(names, activations, strict=True):
        torch.testing.assert_close(features[name_of_layer], expected, rtol=1e-3, atol=1e-4)


def test_the_default_style_layers_are_layers_of_their_network() -> None:
    for name, layers in STYLE_LAYERS.items():
        assert set(layers) <= set(layer_names(name))  # type: ignore[arg-type]


def test_vgg_computes_and_loads_no_deeper_than_asked(vgg_files: Path) -> None:
    vgg = VGGFeatures("vgg16", ["relu2_1", "relu1_2"], vgg_files)
    assert [module.out_channels for module in vgg.modules() if isinstance(module, nn.Conv2d)] == [64, 64, 128]
    features = vgg(random(1, 3, 32, 24))
    assert {layer: tuple(value.shape) for layer, value in features.items()} == {
        "relu1_2": (1, 64, 32, 24),
        "relu2_1": (1, 128, 16, 12),
    }


def test_a_layer_that_the_file_lacks_is_an_error_only_if_needed(vgg_files: Path) -> None:
    VGGFeatures("vgg16", ["relu3_1"], vgg_files)
    with pytest.raises(ScmError, match=r"lacks features\.12\.weight of vgg16"):
        VGGFeatures("vgg16", ["relu3_2"], vgg_files)


def test_an_unknown_layer_names_the_nearest(vgg_files: Path) -> None:
    with pytest.raises(ScmError, match="vgg16 has no layer 'relu3_4'; did you mean 'relu3_3'"):
        VGGFeatures("vgg16", ["relu3_4"], vgg_files)
    with pytest.raises(ScmError, match="no layer asked for"):
        VGGFeatures("vgg16", [], vgg_files)


def test_absent_vgg_weights_are_an_error_and_never_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("SCM_WEIGHTS", raising=False)
    with pytest.raises(ScmError, match=r"no vgg19-dcbb9e9d\.pth"):
        VGGFeatures("vgg19", ["relu1_1"], tmp_path)


def test_vgg_stays_frozen_and_in_eval_mode_inside_a_training_module(vgg_files: Path) -> None:
    parent = nn.ModuleDict({"vgg": VGGFeatures("vgg16", ["relu1_1"], vgg_files)}).train()
    assert parent.training
    assert not any(module.training for module in parent["vgg"].modules())
    assert not any(parameter.requires_grad for parameter in parent.parameters())


def test_building_a_vgg_leaves_the_random_state_alone(vgg_files: Path) -> None:
    before = torch.get_rng_state()
    VGGFeatures("vgg16", ["relu2_2"], vgg_files)
    assert torch.equal(before, torch.get_rng_state())


def test_vgg_gives_the_same_in_either_memory_format_and_one_by_one(vgg_files: Path) -> None:
    vgg = VGGFeatures("vgg16", ["relu3_1"], vgg_files)
    images = random(3, 3, 24, 16).clamp(-1, 1)
    batch = vgg(images)["relu3_1"]
    channels_last = vgg.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))["relu3_1"]
    torch.testing.assert_close(batch, channels_last, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        batch, torch.cat([vgg(image[None])["relu3_1"] for image in images]), rtol=1e-3, atol=1e-3
    )
