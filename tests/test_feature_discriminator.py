"""The discriminator of VGG features: its logits, its loss, and its part in training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from scmnet_cli.checkpoint import load_tensors
from scmnet_cli.config import Config, parse_config
from scmnet_cli.data.dataset import PeopleInMemory, TrainingStream
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.models.build import build_generator
from scmnet_cli.models.discriminators import FeatureDiscriminator
from scmnet_cli.training.loop import Run
from scmnet_cli.training.objective import (
    GeneratorObjective,
    GeneratorPass,
    Inputs,
    JudgedFeatures,
    feature_discriminator_terms,
)
from scmnet_cli.training.personalizing import _losses_of
from scmnet_cli.training.state import STATE_FILE
from scmnet_cli.training.tracking import read_stats

CPU = torch.device("cpu")
OFF = dict.fromkeys(("adversarial", "reconstruction", "perceptual", "style", "bsr", "field_regions"), 0)


def configured(train: dict[str, Any] | None = None, **loss: Any) -> Config:
    layers = ["relu1_1", "relu1_2"]
    return parse_config(
        {
            "model": {"domain": "face", "size": "tiny", "height": 32, "width": 32, "norm": "batch"},
            "loss": {**OFF, "vgg": "vgg16", "feature_adversarial": 1, "feature_layers": layers, **loss},
            "train": {"images": 16, "batch": 4, "log_every": 4, "save_every": 8, **(train or {})},
        },
        "test",
    )


def test_each_layer_has_logits_of_its_own_size() -> None:
    net = FeatureDiscriminator({"shallow": 8, "deep": 16})
    logits = net({"shallow": torch.rand(2, 8, 8, 6), "deep": torch.rand(2, 16, 4, 3)})
    assert {layer: value.shape for layer, value in logits.items()} == {"shallow": (2, 1, 8, 6), "deep": (2, 1, 4, 3)}


def test_a_head_is_bounded_however_large_its_weights_are() -> None:
    torch.manual_seed(0)
    net = FeatureDiscriminator({"layer": 8})
    for _ in range(30):  # each pass is a step of the power iteration
        before = net({"layer": torch.rand(2, 8, 4, 4)})
    features = torch.rand(2, 8, 4, 4)
    before = net.eval()({"layer": features})["layer"]
    for name, parameter in net.named_parameters():
        if name.endswith("original"):
            parameter.data.mul_(100)
    torch.testing.assert_close(net({"layer": features})["layer"], before, rtol=1e-3, atol=1e-3)


def test_it_learns_to_tell_weaker_features_from_those_of_photos() -> None:
    torch.manual_seed(0)
    net = FeatureDiscriminator({"layer": 8})
    real = {"layer": torch.rand(4, 8, 4, 4) * 2}
    features = JudgedFeatures(real, {"layer": torch.cat([real["layer"], real["layer"][:2]]) * 0.6})
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        loss = feature_discriminator_terms(net, features)["discriminator_features"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 0.9
    assert losses[-1] < 0.5


def test_features_are_divided_by_the_mean_of_the_target_so_that_lost_energy_shows(
    faces: Path, seeded_backbones: Path
) -> None:
    config = configured(cross=1, cross_layers=["relu1_2"])
    folder = PreparedFolder(faces)
    people = PeopleInMemory(folder, folder.names("train"), config.model.canvas, CPU)
    inputs = Inputs.of(TrainingStream(people, config.data, 0).batch(0, 4))
    torch.manual_seed(0)
    drawn = GeneratorPass(build_generator(config.model), cross=True)(inputs)
    objective = GeneratorObjective(config, seeded_backbones, CPU)
    seen: list[JudgedFeatures] = []

    def judge(features: JudgedFeatures) -> dict[str, Tensor]:
        seen.append(features)
        return {layer: feature.mean(1, keepdim=True) for layer, feature in features.generated.items()}

    terms = objective(drawn, inputs, None, judge=judge)
    assert objective.vgg is not None
    with torch.no_grad():
        target, crossed = objective.vgg(inputs.target), objective.vgg(drawn.crossed_image)
    for layer, real in seen[0].real.items():
        torch.testing.assert_close(real.mean((1, 2, 3)), torch.ones(4))
        share = crossed[layer].mean((1, 2, 3)) / target[layer][:2].mean((1, 2, 3))
        torch.testing.assert_close(seen[0].generated[layer].mean((1, 2, 3))[4:], share, rtol=1e-3, atol=1e-3)
    means = torch.stack([feature.mean() for feature in seen[0].generated.values()])
    torch.testing.assert_close(terms["feature_adversarial"], -means.mean())
    objective.total(terms).backward()
    assert "feature_adversarial" not in objective(drawn, inputs, None)


def test_it_joins_a_run_at_discriminators_from(faces: Path, tmp_path: Path, seeded_backbones: Path) -> None:
    config = configured({"discriminators_from": 8}, cross=1, edges=1, cross_layers=["relu1_2"])
    Run(faces, tmp_path / "run", config, device="cpu", weights_dir=seeded_backbones).train()
    joined = ["discriminator_features" in line for line in read_stats(tmp_path / "run")]
    assert joined == ["feature_adversarial" in line for line in read_stats(tmp_path / "run")]
    assert joined == [False, False, True, True]


@pytest.mark.parametrize("train", [{}, {"precision": "bf16", "accumulate": 2}], ids=["float32", "bf16 in parts"])
@pytest.mark.parametrize("adversarial", [0, 1], ids=["alone", "with the others"])
def test_a_resumed_run_equals_an_uninterrupted_one(
    faces: Path, tmp_path: Path, seeded_backbones: Path, train: dict[str, Any], adversarial: int
) -> None:
    whole = configured(train, adversarial=adversarial, reconstruction=1)
    half = configured({**train, "images": 8}, adversarial=adversarial, reconstruction=1)
    for name, config in (("whole", whole), ("parts", half), ("parts", whole)):
        run = Run(faces, tmp_path / name, config, device="cpu", weights_dir=seeded_backbones, allow_changes=True)
        run.train()
    states = [load_tensors(tmp_path / name / STATE_FILE)[0] for name in ("whole", "parts")]
    assert states[0].keys() == states[1].keys()
    assert any(name.startswith("optimizer.discriminator_features.") for name in states[0])
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_measuring_the_time_of_a_step_leaves_the_discriminator_as_it_was(
    faces: Path, tmp_path: Path, seeded_backbones: Path
) -> None:
    config = configured({"images": 4000})
    run = Run(faces, tmp_path / "run", config, device="cpu", weights_dir=seeded_backbones)
    net = run.modules["discriminator_features"]
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert run.seconds_left()
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_without_its_loss_there_is_none_and_an_unknown_layer_is_refused(
    faces: Path, tmp_path: Path, seeded_backbones: Path
) -> None:
    run = Run(faces, tmp_path / "run", configured(feature_adversarial=0), device="cpu", weights_dir=seeded_backbones)
    assert "discriminator_features" not in run.modules
    with pytest.raises(ScmError, match="vgg16 has no layer 'relu9_9'"):
        Run(faces, tmp_path / "run", configured(feature_layers=["relu9_9"]), device="cpu", weights_dir=seeded_backbones)


def test_personalizing_needs_no_discriminator_and_no_vgg_for_it(tmp_path: Path) -> None:
    losses = _losses_of(configured(), tmp_path, vgg=False)
    assert GeneratorObjective(losses, tmp_path, CPU).vgg is None
