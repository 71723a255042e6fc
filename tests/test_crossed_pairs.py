"""Crossed pairs in training: one face's edges in the style of another face of the batch, which has no true image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scmnet_cli.config import DataConfig, parse_config
from scmnet_cli.data.dataset import PeopleInMemory, TrainingStream
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.losses.perceptual import perceptual_loss
from scmnet_cli.losses.region_colours import region_colour_loss
from scmnet_cli.losses.style import style_loss
from scmnet_cli.losses.vgg import VGGFeatures
from scmnet_cli.models.build import build_generator
from scmnet_cli.regions import one_hot
from scmnet_cli.training.loop import Run
from scmnet_cli.training.objective import GeneratorObjective, GeneratorPass, Inputs
from scmnet_cli.training.tracking import read_stats
from tests.drawn_faces import face_config

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def in_memory(faces: Path) -> PeopleInMemory:
    folder = PreparedFolder(faces)
    return PeopleInMemory(folder, folder.names("train"), face_config().model.canvas, CPU)


def test_a_crossed_image_is_the_first_targets_edges_in_the_last_sources_style(in_memory: PeopleInMemory) -> None:
    config = face_config(prior_sigma=0.08, carry_colours=True, show_structure=True)
    torch.manual_seed(0)
    net = build_generator(config.model).eval()
    inputs = Inputs.of(TrainingStream(in_memory, config.data, 0).batch(0, 5))
    assert inputs.alignment is not None
    with torch.no_grad():
        both = GeneratorPass(net, cross=True)(inputs)
        pairs = GeneratorPass(net)(inputs)
        wanted = GeneratorPass(net)(
            replace(
                inputs,
                maps=inputs.maps[:2],
                style_image=inputs.style_image[-2:],
                style_masks=inputs.style_masks[-2:],
                alignment=inputs.alignment[-2:],
            )
        )
    assert pairs.crossed_image is None
    torch.testing.assert_close(both.image, pairs.image, rtol=0, atol=1e-3)
    torch.testing.assert_close(both.moved_regions, pairs.moved_regions, rtol=0, atol=1e-3)
    torch.testing.assert_close(both.crossed_image, wanted.image, rtol=0, atol=1e-3)
    torch.testing.assert_close(both.crossed_regions, wanted.moved_regions, rtol=0, atol=1e-3)


OFF = dict.fromkeys(("adversarial", "reconstruction", "perceptual", "style", "bsr", "field_regions"), 0)


def test_a_crossed_pair_is_not_compared_with_the_targets_colours(in_memory: PeopleInMemory) -> None:
    """It should have the source's; only edges, regions and deep features of the target are known."""
    model = {"domain": "face", "size": "tiny", "height": 32, "width": 32}
    config = parse_config({"model": model, "loss": {**OFF, "cross": 1, "field_colours": 1}}, "test")
    inputs = Inputs.of(TrainingStream(in_memory, config.data, 0).batch(0, 4))
    torch.manual_seed(0)
    with torch.no_grad():
        drawn = GeneratorPass(build_generator(config.model), cross=True)(inputs)
    objective = GeneratorObjective(config, None, CPU)
    before = objective(drawn, inputs, None)["cross"]
    darker_target = objective(drawn, replace(inputs, target=inputs.target - 0.5), None)["cross"]
    darker_style = objective(drawn, replace(inputs, style_image=inputs.style_image - 0.5), None)["cross"]
    assert torch.equal(before, darker_target)
    assert not torch.equal(before, darker_style)


@pytest.mark.parametrize("cross", [0.0, 0.5], ids=["pairs alone", "crossed"])
def test_gradients_of_vgg_features_keep_their_memory_format(
    in_memory: PeopleInMemory, seeded_backbones: Path, monkeypatch: pytest.MonkeyPatch, cross: float
) -> None:
    """Gradients in another format make VGG's backward pass slow."""
    shallow = {"vgg": "vgg16", "perceptual_layers": ["relu1_1", "relu1_2"], "cross_layers": ["relu1_2"]}
    model = {"domain": "face", "size": "tiny", "height": 32, "width": 32}
    config = parse_config({"model": model, "loss": {**OFF, "perceptual": 1, "cross": cross, **shallow}}, "test")
    objective = GeneratorObjective(config, seeded_backbones, CPU)
    found: list[bool] = []

    def watched(vgg: VGGFeatures, given: Tensor) -> dict[str, Tensor]:
        features = forward(vgg, given)
        for feature in features.values():
            if feature.requires_grad:
                feature.register_hook(lambda g: found.append(g.is_contiguous(memory_format=torch.channels_last)))
        return features

    forward = VGGFeatures.forward
    monkeypatch.setattr(VGGFeatures, "forward", watched)
    inputs = Inputs.of(TrainingStream(in_memory, config.data, 0).batch(0, 4))
    torch.manual_seed(0)
    drawn = GeneratorPass(build_generator(config.model), cross=cross > 0)(inputs)
    objective.total(objective(drawn, inputs, None)).backward()
    assert found == [True, True]


def test_crossed_pairs_keep_the_energy_of_the_targets_features(
    in_memory: PeopleInMemory, seeded_backbones: Path
) -> None:
    model = {"domain": "face", "size": "tiny", "height": 32, "width": 32}
    shallow = {
        "vgg": "vgg16",
        "perceptual_layers": ["relu1_2"],
        "cross_layers": ["relu1_2"],
        "style_layers": ["relu1_2"],
    }
    given = {**OFF, "cross": 1, "perceptual": 1, "style": 10, **shallow}
    terms = {}
    for energy in (False, True):
        config = parse_config({"model": model, "loss": {**given, "style_energy": energy}}, "test")
        inputs = Inputs.of(TrainingStream(in_memory, config.data, 0).batch(0, 4))
        torch.manual_seed(0)
        with torch.no_grad():
            drawn = GeneratorPass(build_generator(config.model), cross=True)(inputs)
            terms[energy] = GeneratorObjective(config, seeded_backbones, CPU)(drawn, inputs, None)
    vgg = VGGFeatures("vgg16", ["relu1_2"], seeded_backbones)
    assert drawn.crossed_image is not None
    with torch.no_grad():
        features, wanted = vgg(drawn.crossed_image), vgg(inputs.target[: len(drawn.crossed_image)])
    lost = 10 * style_loss(features, wanted, ["relu1_2"], energy=True)
    torch.testing.assert_close(terms[True]["cross"] - terms[False]["cross"], lost, rtol=1e-3, atol=1e-4)


def test_a_run_trains_crossed_pairs(faces: Path, tmp_path: Path, seeded_backbones: Path) -> None:
    shallow = {"vgg": "vgg16", "perceptual_layers": ["relu1_2"], "cross_layers": ["relu1_2"]}
    config = parse_config(
        {
            "model": {"domain": "face", "size": "tiny", "height": 32, "width": 32, "norm": "batch"},
            "loss": {**OFF, "perceptual": 1, "edges": 1, "cross": 0.5, "perceptual_scaled": True, **shallow},
            "data": {"colours": 0.1},
            "train": {"images": 8, "batch": 4, "log_every": 4},
        },
        "test",
    )
    Run(faces, tmp_path / "run", config, device="cpu", weights_dir=seeded_backbones).train()
    assert all(line["cross"] > 0 for line in read_stats(tmp_path / "run"))


def test_crossed_pairs_with_a_part_warp_are_refused() -> None:
    with pytest.raises(ScmError, match="part warp"):
        parse_config({"model": {"part_warp": True}, "loss": {"cross": 1}}, "test")


def test_region_colour_loss_is_the_l1_of_mean_colours_over_regions_that_both_show() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.uint8)
    labels[:, :2] = 1
    image, source = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    image[:, :, :2] = 0.5  # region 1 differs by 0.5, region 0 by nothing
    masks = one_hot(labels)
    assert float(region_colour_loss(image, masks, source, masks)) == pytest.approx(0.25)
    absent = one_hot(torch.full_like(labels, 1))
    assert float(region_colour_loss(image, masks, source, absent)) == pytest.approx(0.5), "the source has no region 0"


def test_scaled_perceptual_loss_counts_layers_alike_whatever_their_magnitude() -> None:
    target = {"a": torch.rand(2, 3, 4, 4) + 1, "b": torch.rand(2, 3, 4, 4) + 1}
    generated = {"a": target["a"] * 1.5, "b": target["b"] * 1.5}
    small = [{**features, "b": features["b"] / 1000} for features in (generated, target)]
    assert float(perceptual_loss(*small, ["a", "b"], scaled=True)) == pytest.approx(1.0)


def test_target_and_style_image_share_their_random_colours(in_memory: PeopleInMemory) -> None:
    plain = TrainingStream(in_memory, DataConfig(anti_copy=False), 0).batch(0, 4)
    changed = TrainingStream(in_memory, DataConfig(anti_copy=False, colours=0.3), 0).batch(0, 4)
    later = TrainingStream(in_memory, DataConfig(anti_copy=False, colours=0.3), 0).batch(2, 2)
    assert torch.equal(changed.target.image, changed.source.image)
    assert not torch.allclose(changed.target.image, plain.target.image, atol=0.05)
    assert changed.target.image.abs().max() <= 1
    torch.testing.assert_close(changed.target.image[2:], later.target.image)
