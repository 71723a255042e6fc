"""Re-posed sources in the stream of training: order, probabilities, holes, noise, and the losses that weigh them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from scmnet_cli.config import Config, DataConfig, load_config, parse_config
from scmnet_cli.data.dataset import PeopleInMemory, TrainingBatch, TrainingStream
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.data.reposing import repose
from scmnet_cli.losses.reconstruction import reconstruction_loss
from scmnet_cli.models.part_warp import warp_parts
from scmnet_cli.regions import BACKGROUND, one_hot
from scmnet_cli.training.loop import Run
from scmnet_cli.training.objective import GeneratorObjective, GeneratorPass, Inputs
from tests.people_to_repose import people

HEIGHT, WIDTH = 96, 64
CPU = torch.device("cpu")
NOTHING = DataConfig(flip=0, rotate=0, scale=0, shift=0, warp=0, drop_region=0, half_body=0, mirror=0)
PERSON = (
    "data.repose=0.75", "data.close_up=0.25", "data.close_up_both=0.35", "data.joint_noise=0.012", "data.flip=0",
    "data.warp=0.02", "data.repose_target=0.35",
)  # fmt: skip


def smoke(*settings: str) -> Config:
    return load_config("smoke", ["model.height=64", "model.width=48", *settings])


@pytest.fixture(scope="module")
def in_memory(drawn_data: Path) -> PeopleInMemory:
    folder = PreparedFolder(drawn_data)
    return PeopleInMemory(folder, folder.names("train"), smoke().model.canvas, CPU)


def stream(people: PeopleInMemory, *settings: str, seed: int = 3) -> TrainingStream:
    return TrainingStream(people, smoke(*settings).data, seed)


def tensors(batch: TrainingBatch) -> list[Tensor]:
    found = [part for side in (batch.target, batch.source) for part in (side.image, side.labels, side.structure)]
    return found if batch.sure is None else [*found, batch.sure]


def test_the_stream_does_not_depend_on_the_batch_size(in_memory: PeopleInMemory) -> None:
    whole = tensors(stream(in_memory, *PERSON).batch(0, 24))
    for first, num in ((0, 1), (5, 1), (8, 4), (17, 7)):
        part = tensors(stream(in_memory, *PERSON).batch(first, num))
        for one, other in zip(whole, part, strict=True):
            assert torch.equal(one[first : first + num], other), (first, num)
    other_seed = tensors(stream(in_memory, *PERSON, seed=4).batch(0, 24))
    assert not torch.equal(other_seed[3], whole[3])


def test_the_target_is_always_the_real_photo_and_the_source_the_same_person_in_another_pose(
    in_memory: PeopleInMemory,
) -> None:
    still = ("data.anti_copy=false", "data.mirror=0")
    batch = stream(in_memory, "data.repose=1", *still).batch(0, 10)
    plain = stream(in_memory, *still).batch(0, 10)
    assert torch.equal(batch.target.image, plain.target.image)
    assert torch.equal(batch.target.structure, plain.target.structure)
    apart = (batch.source.structure - batch.target.structure)[..., :2].abs().amax((1, 2))
    assert (apart > 2).float().mean() > 0.7
    warp = warp_parts(batch.target.image, one_hot(batch.target.labels), batch.target.structure, batch.source.structure)
    person = batch.source.labels != BACKGROUND
    changed = (apart > 0.5)[:, None, None] & person
    assert torch.equal(batch.source.image.permute(0, 2, 3, 1)[changed], warp.image.permute(0, 2, 3, 1)[changed])


def test_sources_and_targets_that_are_warped_together_equal_those_warped_alone(in_memory: PeopleInMemory) -> None:
    both, only_sources, only_targets = (
        stream(in_memory, *PERSON, *settings).batch(0, 24)
        for settings in ((), ("data.repose_target=0",), ("data.repose=0",))
    )
    for name in ("image", "labels", "structure"):
        assert torch.equal(getattr(both.source, name), getattr(only_sources.source, name))
        assert torch.equal(getattr(both.target, name), getattr(only_targets.target, name))
    assert both.sure is not None
    assert only_targets.sure is not None
    assert torch.equal(both.sure, only_targets.sure)


def test_reposing_has_the_configured_probability(in_memory: PeopleInMemory) -> None:
    batch = stream(in_memory, "data.repose=0.4", "data.anti_copy=false").batch(0, 200)
    changed = (batch.source.structure - batch.target.structure).abs().amax((1, 2)) > 0.5
    assert 0.28 < changed.float().mean() < 0.52


def test_a_target_may_be_the_photo_with_its_limbs_turned(in_memory: PeopleInMemory) -> None:
    still = ("data.anti_copy=false", "data.mirror=0")
    batch = stream(in_memory, "data.repose_target=0.5", *still).batch(0, 60)
    photos = stream(in_memory, *still).batch(0, 60)
    apart = (batch.target.structure - photos.target.structure)[..., :2].abs().amax((1, 2)) > 0.5
    assert 0.3 < apart.float().mean() < 0.7
    assert batch.sure is not None
    for name in ("image", "labels", "structure"):
        target, source, photo = (getattr(side, name) for side in (batch.target, batch.source, photos.target))
        assert torch.equal(target[~apart], photo[~apart])
        assert torch.equal(source, photo), "the source is the photo, or a re-posing of it"
    assert (batch.sure[~apart] == 1).all()
    assert (batch.sure[apart] < 1).any()
    arms = (batch.target.structure - photos.target.structure)[apart][:, [4, 7], :2].norm(dim=-1)
    legs = (batch.target.structure - photos.target.structure)[apart][:, [10, 13], :2].norm(dim=-1)
    assert arms.median() > 1.5 * legs.median(), "arms are turned further"
    assert photos.sure is None


def test_a_hole_in_a_reposed_person_is_unsure_and_the_background_beside_it_sure() -> None:
    image, labels, joints = people(4)
    reposed = repose(image, labels, joints, joints.roll(1, 0), plain=True)
    person = reposed.labels != BACKGROUND
    assert (reposed.sure[:, 0][person] == 1).all()
    assert 0.02 < (reposed.sure < 0.5).float().mean() < 0.4
    assert (reposed.sure[:, :, :4] == 1).all(), "rows above everybody"


def test_a_close_up_of_both_crops_target_and_source_alike(in_memory: PeopleInMemory) -> None:
    settings = ("data.anti_copy=false", "data.mirror=0")
    near = stream(in_memory, "data.close_up_both=1", *settings).batch(0, 8)
    whole = stream(in_memory, *settings).batch(0, 8)
    for one, other in zip(tensors(near)[:3], tensors(near)[3:], strict=True):
        assert torch.equal(one, other)
    assert ((near.target.labels > 0).sum() / (whole.target.labels > 0).sum()) > 1.2


def test_joint_noise_moves_only_the_sources_joints(in_memory: PeopleInMemory) -> None:
    settings = ("data.anti_copy=false", "data.close_up_both=0.01", "data.mirror=0")
    noisy = stream(in_memory, "data.joint_noise=0.03", *settings).batch(0, 200)
    clean = stream(in_memory, *settings).batch(0, 200)
    assert torch.equal(noisy.target.structure, clean.target.structure)
    assert torch.equal(noisy.source.image, clean.source.image)
    noise = noisy.source.structure - clean.source.structure
    assert not noise[..., 2].any(), "scores stay"
    assert float(noise[..., :2].std()) == pytest.approx(0.03 * 64, rel=0.05)
    assert float(noise[..., :2].mean()) == pytest.approx(0, abs=0.1)


# Losses ---------------------------------------------------------------------------------------------------------------


def test_l1_weights_pixels_of_the_person() -> None:
    generated, target = torch.zeros(1, 3, 2, 2), torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(1, 3, -1, -1)
    person = torch.tensor([[1.0, 0.0], [0.0, 1.0]])[None, None]
    expected = (3 * 1 + 2 + 3 + 3 * 4) / (3 + 1 + 1 + 3)
    assert float(reconstruction_loss(generated, target, person, 3)) == pytest.approx(expected)
    assert float(reconstruction_loss(generated, target, person, 1)) == pytest.approx(2.5)
    assert float(reconstruction_loss(generated, target)) == pytest.approx(2.5)
    everywhere = float(reconstruction_loss(generated, target, torch.ones(1, 1, 2, 2), 7))
    assert everywhere == pytest.approx(2.5), "a person that fills the picture changes nothing"


def test_weighted_l1_is_a_mean_over_images() -> None:
    """Otherwise two processes with half the batch each would train differently from one."""
    image, labels, _ = people(4)
    person = (labels != BACKGROUND)[:, None].float()
    person[0] = 0
    whole = reconstruction_loss(image, torch.zeros_like(image), person, 3)
    each = [
        reconstruction_loss(one[None], torch.zeros_like(one[None]), mask[None], 3)
        for one, mask in zip(image, person, strict=True)
    ]
    assert float(whole) == pytest.approx(float(torch.stack(each).mean()), rel=1e-5)


def configured(**loss: Any) -> Config:
    model = {"size": "tiny", "height": 64, "width": 48, "part_warp": True, "carry_colours": True}
    given = {"adversarial": 0, "perceptual": 0, "style": 0, "bsr": 0, "field_regions": 0, "field_colours": 0, **loss}
    return parse_config({"model": model, "loss": given}, "test")


def drawn_by(config: Config, in_memory: PeopleInMemory) -> tuple[Any, Inputs]:
    from scmnet_cli.models.build import build_generator

    torch.manual_seed(0)
    inputs = Inputs.of(TrainingStream(in_memory, config.data, 0).batch(0, 3), part_warp=True)
    with torch.no_grad():
        return GeneratorPass(build_generator(config.model).eval())(inputs), inputs


def test_what_a_target_does_not_show_changes_no_loss(in_memory: PeopleInMemory, seeded_backbones: Path) -> None:
    layers: dict[str, Any] = {"vgg": "vgg16", "perceptual_layers": ["relu1_2"], "style_layers": ["relu1_2"]}
    config = configured(foreground=0.5, reconstruction=1, perceptual=1, style=1, **layers)
    drawn, inputs = drawn_by(config, in_memory)
    objective = GeneratorObjective(config, seeded_backbones, CPU)
    sure = torch.ones_like(inputs.target[:, :1])
    hole = (..., slice(20, 40), slice(10, 30))
    sure[hole] = 0
    before = objective(drawn, replace(inputs, sure=sure), None)
    image, foreground = drawn.rendering.image.clone(), drawn.rendering.foreground.clone()
    image[hole], foreground[hole] = 1, -9
    changed = replace(drawn, rendering=replace(drawn.rendering, image=image, foreground=foreground))
    after = objective(changed, replace(inputs, sure=sure), None)
    for name in ("reconstruction", "foreground", "perceptual", "style"):
        assert torch.equal(before[name], after[name]), name
    for name, term in objective(changed, inputs, None).items():
        assert not torch.equal(term, before[name]), f"{name} sees the hole where all is sure"


def test_the_foreground_loss_is_the_cross_entropy_of_alpha_and_the_persons_mask(in_memory: PeopleInMemory) -> None:
    config = configured(foreground=0.5, reconstruction=0)
    drawn, inputs = drawn_by(config, in_memory)
    terms = GeneratorObjective(config, None, CPU)(drawn, inputs, None)
    person, alpha = inputs.target_masks[:, 1:].sum(1, keepdim=True), drawn.rendering.alpha
    expected = -(person * alpha.log() + (1 - person) * (1 - alpha).log()).mean()
    assert float(terms["foreground"]) == pytest.approx(float(expected), rel=1e-4)
    assert float(GeneratorObjective(config, None, CPU).total(terms)) == pytest.approx(0.5 * float(expected), rel=1e-4)
    assert "foreground" not in GeneratorObjective(configured(foreground=0), None, CPU)(drawn, inputs, None)


def test_without_a_foreground_mask_there_is_no_foreground_loss(in_memory: PeopleInMemory) -> None:
    config = configured()
    config = config.model_copy(update={"model": config.model.model_copy(update={"foreground": False})})
    drawn, inputs = drawn_by(config, in_memory)
    assert set(GeneratorObjective(config, None, CPU)(drawn, inputs, None)) == {"reconstruction"}


def test_vgg_losses_depend_only_on_their_band(in_memory: PeopleInMemory, seeded_backbones: Path) -> None:
    config = configured(vgg="vgg16", perceptual=1, reconstruction=0, foreground=0)
    drawn, inputs = drawn_by(config, in_memory)
    objective, band = GeneratorObjective(config, seeded_backbones, CPU), slice(16, 48)
    before = objective(drawn, inputs, None, band=band)["perceptual"]
    with torch.no_grad():
        drawn.image[:, :, :16] = 0.3
        drawn.image[:, :, 48:] = -0.7
    assert objective(drawn, inputs, None, band=band)["perceptual"] == before
    assert objective(drawn, inputs, None)["perceptual"] != before
    drawn.image[:, :, 30] = 0
    assert objective(drawn, inputs, None, band=band)["perceptual"] != before


def test_the_band_is_a_random_share_of_the_rows_and_the_same_in_every_run(drawn_data: Path, tmp_path: Path) -> None:
    run = Run(drawn_data, tmp_path / "run", smoke("loss.vgg_band=0.5625"), device="cpu")
    other = Run(drawn_data, tmp_path / "other", smoke("loss.vgg_band=0.5625"), device="cpu")
    bands = []
    for images in range(0, 160, 4):
        run.images = other.images = images
        band = run._band()
        assert band is not None
        assert band == other._band()
        assert band.stop - band.start == 32, "9/16 of 64 rows, down to a multiple of 8"
        assert 0 <= band.start <= band.stop <= 64
        bands.append(band.start)
    assert len(set(bands)) > 10
    assert min(bands) < 8
    assert max(bands) > 24
    assert Run(drawn_data, tmp_path / "third", smoke(), device="cpu")._band() is None
