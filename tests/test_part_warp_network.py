"""The network with part warp: its inputs, its blending, the prior of its field, and that nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.config import ModelConfig, load_config, parse_config
from scmnet_cli.errors import ScmError
from scmnet_cli.models.build import build_generator
from scmnet_cli.models.correlation import Field, Prior
from scmnet_cli.models.part_warp import PartWarp
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.regions import NUM_REGIONS
from scmnet_cli.training.warm_start import zero_new_inputs

HEIGHT, WIDTH = 64, 48
SHIPPED = {"carry_colours": True, "carry_detail": 4, "show_structure": True}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def build(**fields: Any) -> SCMNet:
    torch.manual_seed(0)
    given = {"size": "tiny", "height": HEIGHT, "width": WIDTH, "part_warp": True, **fields}
    return build_generator(ModelConfig.model_validate(given)).eval()


def maps(batch: int = 2) -> Tensor:
    return random(batch, 19, HEIGHT, WIDTH, seed=1)


def image(batch: int = 2) -> Tensor:
    return random(batch, 3, HEIGHT, WIDTH, seed=2) * 2 - 1


def masks(batch: int = 2) -> Tensor:
    labels = torch.arange(HEIGHT) * NUM_REGIONS // HEIGHT
    return torch.eye(NUM_REGIONS)[labels].T[None, :, :, None].expand(batch, -1, -1, WIDTH).contiguous()


def warp(batch: int = 2) -> PartWarp:
    """A warp whose left half covers everything and whose right half covers nothing."""
    covered = torch.ones(batch, 1, HEIGHT, WIDTH)
    covered[..., WIDTH // 2 :] = 0
    picture = torch.where(covered > 0, random(batch, 3, HEIGHT, WIDTH, seed=3) * 1.6 - 0.8, PLAIN_BACKGROUND)
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    places = torch.stack([x, y]).expand(batch, -1, -1, -1) * covered
    return PartWarp(picture, masks(batch) * covered, covered, places)


def in_double(given: PartWarp) -> PartWarp:
    return PartWarp(given.image.double(), given.regions.double(), given.coverage.double(), given.coordinates.double())


def draw(net: SCMNet, given: PartWarp | None) -> Any:
    with torch.no_grad():
        return net(maps(), image(), masks(), given)


def set_masks(net: SCMNet, blend: float, foreground: float | None) -> None:
    """Make the last layer predict these logits everywhere."""
    layer = net.generator.to_rgb
    with torch.no_grad():
        layer.weight[3:] = 0
        assert layer.bias is not None
        layer.bias[3] = blend
        if foreground is not None:
            layer.bias[4] = foreground


def gradients(net: SCMNet, rendered: Any) -> list[Tensor]:
    net.zero_grad(set_to_none=True)
    weights = random(*rendered.shape, seed=5).to(rendered.dtype)
    (rendered * weights).sum().backward()
    return [parameter.grad for parameter in net.parameters() if parameter.grad is not None]


# Inputs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{}, SHIPPED], ids=["plain", "shipped"])
def test_pose_encoder_and_generator_read_twelve_more_channels(fields: dict[str, Any]) -> None:
    with_warp, without = build(**fields).state_dict(), build(part_warp=False, **fields).state_dict()
    assert with_warp.keys() == without.keys()
    more = {
        name: with_warp[name].shape[1] - without[name].shape[1]
        for name in with_warp
        if with_warp[name].ndim == 4 and with_warp[name].shape[1] != without[name].shape[1]
    }
    pose = [num for name, num in more.items() if name.startswith("pose_encoder.")]
    drawing = [num for name, num in more.items() if name.startswith("generator.draw.")]
    assert pose == [12]
    assert drawing == [12 * 16, 12 * 4, 12], "all pixels of a feature, in channels"
    assert len(more) == 4
    assert with_warp["generator.to_rgb.weight"].shape[0] == 5
    assert without["generator.to_rgb.weight"].shape[0] == 3


@pytest.mark.parametrize("channel", range(12))
def test_every_channel_of_the_warp_affects_pose_features_and_image(channel: int) -> None:
    net = build(**SHIPPED)
    channels = warp().channels()
    channels[:, channel] += 0.5
    changed = PartWarp(channels[:, :3], channels[:, 4:], channels[:, 3:4], warp().coordinates)
    with torch.no_grad():
        before, after = net.encode_pose(maps(), warp()), net.encode_pose(maps(), changed)
    assert not torch.equal(before, after)
    assert not torch.equal(draw(net, warp()).drawn, draw(net, changed).drawn)


@pytest.mark.usefixtures("float64_kept")
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_convolutions_of_each_input_alone_equal_one_of_all_joined(
    monkeypatch: pytest.MonkeyPatch, memory_format: torch.memory_format
) -> None:
    """Training splits the first convolution of each upsampling by its inputs; drawing does not."""
    net = build(**SHIPPED).double().to(memory_format=memory_format)
    given = [maps().double(), image().double(), masks().double(), in_double(warp())]
    with torch.no_grad():
        drawn = net(*given).image
    split = net(*given).image
    torch.testing.assert_close(split, drawn, rtol=1e-9, atol=1e-9)
    found = gradients(net, split)
    monkeypatch.setattr(torch, "is_grad_enabled", lambda: False)  # all joined, with gradients
    wanted = gradients(net, net(*given).image)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_guides_joined_beforehand_change_nothing(precision: torch.dtype) -> None:
    """Training joins maps and warp once, for the pose encoder and the generator."""
    net = build(**SHIPPED).to(memory_format=torch.channels_last)
    with torch.no_grad(), torch.autocast("cpu", precision, enabled=precision != torch.float32):
        guides = net.guides(maps(), warp())
        assert guides is not None
        assert guides.dtype == precision
        assert guides.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(guides, torch.cat([maps(), warp().channels()], dim=1).to(precision))
        style = net.encode_style(image(), masks())
        torch.testing.assert_close(
            net.translate(style, maps(), warp(), guides).image, net.translate(style, maps(), warp()).image
        )


def test_guides_are_not_joined_for_networks_that_read_only_one_of_them() -> None:
    assert build(**SHIPPED | {"show_structure": False}).guides(maps(), warp()) is None
    assert build(**SHIPPED, part_warp=False).guides(maps(), None) is None


def test_a_network_without_part_warp_has_neither_blend_map_nor_foreground_mask() -> None:
    rendering = draw(build(part_warp=False, **SHIPPED), None)
    assert rendering.blend is None
    assert rendering.foreground is None
    assert rendering.alpha is None


# Blending -------------------------------------------------------------------------------------------------------------


def test_the_image_blends_warped_pixels_drawn_pixels_and_background() -> None:
    rendering, given = draw(build(**SHIPPED), warp()), warp()
    c, alpha = rendering.blend, rendering.alpha
    assert ((c > 0) & (c < 1)).any()
    assert ((alpha > 0) & (alpha < 1)).all()
    expected = alpha * (c * given.image + (1 - c) * rendering.drawn) + (1 - alpha) * PLAIN_BACKGROUND
    torch.testing.assert_close(rendering.image, expected)
    assert rendering.image.abs().max() <= 1


def test_uncovered_pixels_of_the_warp_are_not_blended() -> None:
    blend = draw(build(**SHIPPED), warp()).blend
    assert not blend[..., WIDTH // 2 :].any()
    assert blend[..., : WIDTH // 2].all()


def test_where_c_is_1_source_pixels_are_copied_unchanged() -> None:
    net, given = build(**SHIPPED), warp()
    set_masks(net, 30, 30)
    left = (..., slice(0, WIDTH // 2))
    torch.testing.assert_close(draw(net, given).image[left], given.image[left])


def test_where_alpha_is_0_the_background_is_plain() -> None:
    net = build(**SHIPPED)
    set_masks(net, 30, -30)
    picture = draw(net, warp()).image
    torch.testing.assert_close(picture, torch.full_like(picture, PLAIN_BACKGROUND))


def test_kept_backgrounds_have_no_foreground_mask() -> None:
    net, given = build(foreground=False, **SHIPPED), warp()
    assert net.generator.to_rgb.out_channels == 4
    rendering = draw(net, given)
    assert rendering.foreground is None
    assert rendering.alpha is None
    expected = rendering.blend * given.image + (1 - rendering.blend) * rendering.drawn
    torch.testing.assert_close(rendering.image, expected)


def test_c_and_alpha_start_near_one_half() -> None:
    rendering = draw(build(**SHIPPED), warp())
    assert (rendering.blend[..., : WIDTH // 2] - 0.5).abs().max() < 0.2
    assert (rendering.alpha - 0.5).abs().max() < 0.2


def test_the_base_colours_are_low_passed_warped_where_covered_and_moved_elsewhere() -> None:
    net, given = build(**SHIPPED), warp()
    with torch.no_grad():
        net.generator.to_rgb.weight.zero_()
        net.generator.to_rgb.bias.zero_()
        style = net.encode_style(image(), masks())
        moved, _ = net.rearrange(net.field(net.encode_pose(maps(), given), style, given), style)
        carried = F.interpolate(net._base_colours(moved), size=(HEIGHT, WIDTH), mode="bilinear")
    ground = torch.where(given.coverage > 0, given.image, carried).clamp(-1, 1)
    blocks = ground.unflatten(3, (-1, 4)).unflatten(2, (-1, 4)).mean((3, 5))  # (B, 3, H/4, W/4)
    coarse = F.interpolate(blocks, scale_factor=4, mode="bilinear").clamp(-0.95, 0.95)
    torch.testing.assert_close(draw(net, given).drawn, coarse, rtol=1e-3, atol=1e-4)


# The field's prior ----------------------------------------------------------------------------------------------------


def features(seed: int, height: int = 6, width: int = 5) -> Tensor:
    return random(2, 16, height, width, seed=seed) - 0.5


def prior(sigma: float = 1.0, confidence: float = 1.0) -> Prior:
    positions = random(2, 2, 6, 5, seed=8) * torch.tensor([4.0, 3.0])[:, None, None]
    return Prior(positions, torch.full((2, 1, 6, 5), confidence), sigma)


@pytest.mark.parametrize("tau", [0.01, 0.1, 1.0])
def test_the_prior_adds_minus_the_squared_distance_over_two_sigma_squared(tau: float) -> None:
    pose, style, given = features(0), features(1, 4, 5), prior(1.3, 0.7)
    field = Field.of(pose, style, tau, given).explicit()
    alone = Field.of(pose.double(), style.double(), tau).explicit().double()
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), indexing="ij")
    places = torch.stack([x, y]).flatten(1).double()  # (2, N')
    expected_at = given.positions.flatten(2).double()  # (B, 2, N)
    distance = (expected_at[..., :, None] - places[None, :, None, :]).square().sum(1)  # (B, N, N')
    logits = alone.clamp(min=1e-300).log() - 0.7 * distance / (2 * 1.3**2)
    torch.testing.assert_close(field, logits.softmax(-1).float(), rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("tau", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("num_values", [1, 8, 27])
def test_fused_attention_equals_the_explicit_field_with_a_prior(tau: float, num_values: int) -> None:
    field = Field.of(features(0), features(1, 4, 5), tau, prior(0.8, 0.9))
    values = random(2, num_values, 4, 5, seed=2)
    explicit = field.explicit() @ values.flatten(2).transpose(1, 2)
    torch.testing.assert_close(
        field.rearrange(values), explicit.transpose(1, 2).unflatten(2, (6, 5)), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(torch.cat(list(field.rows()), 1), field.explicit())
    entropy = torch.special.entr(field.explicit()).sum(-1).view(2, 6, 5)
    torch.testing.assert_close(field.entropy(), entropy, rtol=1e-4, atol=1e-5)


def test_uncovered_positions_have_no_prior() -> None:
    pose, style = features(0), features(1)
    confidence = torch.ones(2, 1, 6, 5)
    confidence[..., 2:] = 0
    given = Prior(prior().positions, confidence, 0.5)
    with_prior, without = Field.of(pose, style, 0.1, given).explicit(), Field.of(pose, style, 0.1).explicit()
    uncovered = (confidence == 0).flatten(1)
    torch.testing.assert_close(with_prior[uncovered], without[uncovered])
    assert (with_prior - without)[~uncovered].abs().amax(-1).min() > 1e-3


def test_a_sharp_prior_selects_the_position_of_the_warp() -> None:
    """The identity warp, moved one position to the right."""
    given = warp(1)
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    places = torch.stack([x + 8, y])[None] * given.coverage
    net = build(prior_sigma=0.001)
    moved = PartWarp(given.image, given.regions, given.coverage, places)
    with torch.no_grad():
        style = net.encode_style(image(1), masks(1))
        field = net.field(net.encode_pose(maps(1), moved), style, moved).explicit()[0]
    looked_at = field.argmax(-1).view(HEIGHT // 8, WIDTH // 8)
    own = torch.arange(HEIGHT // 8 * WIDTH // 8).view(HEIGHT // 8, WIDTH // 8)
    assert torch.equal(looked_at[:, : WIDTH // 16], own[:, : WIDTH // 16] + 1)


def test_without_a_sigma_there_is_no_prior() -> None:
    net = build()
    with torch.no_grad():
        style, pose = net.encode_style(image(), masks()), net.encode_pose(maps(), warp())
        assert torch.equal(net.field(pose, style, warp()).explicit(), net.field(pose, style).explicit())


def test_without_correlation_the_field_is_its_prior() -> None:
    with torch.no_grad():
        for sigma in (0.0, 0.1):
            net = build(correlation=False, prior_sigma=sigma)
            style, pose = net.encode_style(image(), masks()), net.encode_pose(maps(), warp())
            field = net.field(pose, style, warp()).explicit().unflatten(1, (HEIGHT // 8, WIDTH // 8))
            flat = torch.full_like(field, 1 / field.shape[-1])
            torch.testing.assert_close(field[:, :, WIDTH // 16 :], flat[:, :, WIDTH // 16 :])
            assert torch.allclose(field, flat) == (sigma == 0)
    with pytest.raises(ScmError, match=r"model.correlation: false leaves only the part warp"):
        parse_config({"model": {"correlation": False}}, "test")


# Variants and other configs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {}, SHIPPED, {**SHIPPED, "prior_sigma": 0.1}, {**SHIPPED, "style": "global"}, {"style": "global", "ccf": False},
        {**SHIPPED, "ccf": False}, {**SHIPPED, "correlation": False}, {"carry_colours": True, "foreground": False},
    ],
    ids=str,
)  # fmt: skip
def test_each_variant_generates_and_has_gradients(fields: dict[str, Any]) -> None:
    net, target = build(**fields).train(), image().roll(1, 0)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    losses = []
    for _ in range(8):
        rendering = net(maps(), image(), masks(), warp())
        assert rendering.image.shape == (2, 3, HEIGHT, WIDTH)
        loss = (rendering.image - target).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.97 * losses[0]


def test_every_parameter_gets_a_gradient_with_part_warp() -> None:
    net = build(**SHIPPED, prior_sigma=0.1)
    rendering = net(maps(), image(), masks(), warp())
    (rendering.image * random(2, 3, HEIGHT, WIDTH, seed=5)).sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_paper_config_has_no_part_warp() -> None:
    config = load_config("paper")
    model, data, loss = config.model, config.data, config.loss
    assert (model.part_warp, model.prior_sigma, model.correlation) == (False, 0, True)
    assert (data.repose, data.joint_noise, data.close_up, data.close_up_both, data.anti_copy) == (0, 0, 0, 0, False)
    assert (loss.person_weight, loss.vgg_band, loss.field_regions, loss.field_colours) == (1, 1, 0, 0)
    with torch.device("meta"):
        net = build_generator(model)
    assert not net.reads_part_warp
    assert net.prior_sigma == 0
    assert net.generator.to_rgb.out_channels == 3
    first = next(parameter for parameter in net.pose_encoder.parameters() if parameter.ndim == 4)
    assert first.shape[1] == 19


def test_the_shipped_models_config_has_part_warp_prior_and_repose() -> None:
    config = load_config("person")
    assert config.model.part_warp
    assert config.data.repose > 0
    assert config.data.joint_noise > 0
    assert config.loss.person_weight > 1
    with torch.device("meta"):
        assert build_generator(config.model).generator.to_rgb.out_channels == 5


def test_part_warp_is_refused_for_faces() -> None:
    with pytest.raises(ScmError, match=r"model.part_warp needs joints"):
        parse_config({"model": {"domain": "face", "part_warp": True}}, "test")


@pytest.mark.parametrize("field", ["repose", "joint_noise", "close_up_both"])
def test_augmentations_of_joints_are_refused_for_faces(field: str) -> None:
    with pytest.raises(ScmError, match=rf"data.{field} needs joints"):
        parse_config({"model": {"domain": "face"}, "data": {field: 0.05}}, "test")


def test_a_warm_start_from_a_model_without_part_warp_draws_the_same_at_first() -> None:
    small, large = build(part_warp=False, show_structure=True), build(show_structure=True)
    large.load_state_dict(zero_new_inputs(small.state_dict(), large.state_dict()))
    rendering = draw(large, warp())
    torch.testing.assert_close(rendering.drawn, draw(small, None).image, rtol=1e-4, atol=1e-5)
    assert (rendering.blend[..., : WIDTH // 2] - 0.5).abs().max() < 0.2, "masks keep their fresh weights"
