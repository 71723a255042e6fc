"""One suite over all networks: shapes, gradients, determinism, saving, batches, ablations, size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scmnet_cli.bench.speed import count_gflop
from scmnet_cli.config import ModelConfig
from scmnet_cli.models.build import build_discriminators, build_generator
from scmnet_cli.models.generator import Rendering
from scmnet_cli.regions import NUM_REGIONS, one_hot
from scmnet_cli.training.warm_start import zero_new_inputs
from scmnet_cli.types import Canvas

CANVASES = [Canvas(256, 256), Canvas(256, 176), Canvas(128, 88)]
LITTLE = Canvas(64, 48)


def configure(canvas: Canvas = LITTLE, **fields: Any) -> ModelConfig:
    return ModelConfig.model_validate({"size": "tiny", "height": canvas.height, "width": canvas.width, **fields})


def drawn(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def maps_of(canvas: Canvas, batch: int) -> Tensor:
    return drawn(batch, 19, canvas.height, canvas.width) / 2 + 0.5


def image_of(canvas: Canvas, batch: int) -> Tensor:
    return drawn(batch, 3, canvas.height, canvas.width)


def features_of(canvas: Canvas, batch: int) -> Tensor:
    return drawn(batch, 32, canvas.height // 8, canvas.width // 8)


def all_regions(canvas: Canvas, batch: int) -> Tensor:
    """Return masks of eight stripes, in a different order for each image."""
    stripes = torch.arange(canvas.height) * NUM_REGIONS // canvas.height
    labels = (stripes[None] + torch.arange(batch)[:, None]) % NUM_REGIONS  # (B, H)
    masks = torch.eye(NUM_REGIONS)[labels].transpose(1, 2)  # (B, 8, H)
    return masks[..., None].expand(-1, -1, -1, canvas.width).contiguous()


@dataclass(frozen=True)
class Network:
    """A network under test: its builder, its inputs, and channels and stride of each output."""

    build: Callable[[ModelConfig], nn.Module]
    inputs: Callable[[Canvas, int], tuple[Tensor, ...]]
    outputs: tuple[tuple[tuple[int, ...], int], ...]


def pictured(canvas: Canvas, batch: int) -> tuple[Tensor, ...]:
    return image_of(canvas, batch), all_regions(canvas, batch)


NETWORKS = {
    "pose encoder": Network(lambda c: build_generator(c).pose_encoder, lambda v, b: (maps_of(v, b),), (((32,), 8),)),
    "part encoder": Network(lambda c: build_generator(c).style_encoder, pictured, (((8, 4), 8),)),
    "global encoder": Network(
        lambda c: build_generator(c.model_copy(update={"style": "global"})).style_encoder, pictured, (((32,), 8),)
    ),
    "ccf": Network(lambda c: build_generator(c).ccf, lambda v, b: (features_of(v, b),), (((32,), 8),)),
    "generator": Network(lambda c: build_generator(c).generator, lambda v, b: (features_of(v, b),), (((3,), 1),)),
    "style discriminator": Network(
        lambda c: build_discriminators(c).style, lambda v, b: (image_of(v, b),), (((1,), 4),)
    ),
    "pose discriminator": Network(
        lambda c: build_discriminators(c).pose,
        lambda v, b: (torch.cat([image_of(v, b), maps_of(v, b)], dim=1),),
        (((1,), 4),),
    ),
    "discriminators": Network(
        build_discriminators, lambda v, b: (image_of(v, b), maps_of(v, b)), (((1,), 4), ((1,), 4))
    ),
    "scmnet": Network(build_generator, lambda v, b: (maps_of(v, b), *pictured(v, b)), (((3,), 1),)),
}

each_network = pytest.mark.parametrize("name", NETWORKS)


def build(name: str, seed: int = 0, **fields: Any) -> nn.Module:
    torch.manual_seed(seed)
    return NETWORKS[name].build(configure(**fields))


def run(net: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    out = net(*inputs)
    if isinstance(out, Rendering):
        out = out.image
    return out if isinstance(out, tuple) else (out,)


def parameters_without_gradient(net: nn.Module, outputs: tuple[Tensor, ...]) -> list[str]:
    sum((out.float() * drawn(*out.shape)).sum() for out in outputs).backward()
    return [
        name for name, p in net.named_parameters() if p.grad is None or not p.grad.any() or not p.grad.isfinite().all()
    ]


@each_network
@pytest.mark.parametrize("canvas", CANVASES, ids=str)
def test_outputs_have_the_promised_shapes(name, canvas):
    network = NETWORKS[name]
    with torch.no_grad():
        outputs = run(build(name), network.inputs(canvas, 1))
    expected = [(1, *lead, canvas.height // stride, canvas.width // stride) for lead, stride in network.outputs]
    assert [tuple(out.shape) for out in outputs] == expected


@each_network
def test_every_parameter_gets_a_gradient(name):
    net = build(name)
    outputs = run(net, NETWORKS[name].inputs(LITTLE, 2))
    assert parameters_without_gradient(net, outputs) == []


@each_network
def test_evaluation_is_deterministic(name):
    net, inputs = build(name).eval(), NETWORKS[name].inputs(LITTLE, 2)
    with torch.no_grad():
        first, second = run(net, inputs), run(net, inputs)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@each_network
def test_a_state_dict_restores_the_whole_network(name):
    net, other, inputs = build(name).eval(), build(name, seed=1).eval(), NETWORKS[name].inputs(LITTLE, 1)
    with torch.no_grad():
        expected, before = run(net, inputs), run(other, inputs)
        other.load_state_dict(net.state_dict(), strict=True)
        after = run(other, inputs)
    assert not any(torch.equal(a, b) for a, b in zip(expected, before, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(expected, after, strict=True))


@pytest.mark.usefixtures("float64_kept")
@each_network
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_batch_equals_its_members_one_by_one(name, memory_format):
    net = build(name).eval().double().to(memory_format=memory_format)
    inputs = tuple(tensor.double() for tensor in NETWORKS[name].inputs(LITTLE, 3))
    with torch.no_grad():
        together = run(net, inputs)
        alone = [run(net, tuple(tensor[i : i + 1] for tensor in inputs)) for i in range(3)]
    for place, out in enumerate(together):
        torch.testing.assert_close(out, torch.cat([one[place] for one in alone]), rtol=0, atol=1e-9)


@pytest.mark.usefixtures("float64_kept")
@each_network
def test_the_memory_format_changes_nothing(name):
    net, inputs = build(name).eval().double(), tuple(tensor.double() for tensor in NETWORKS[name].inputs(LITTLE, 2))
    with torch.no_grad():
        expected = run(net, inputs)
        net.to(memory_format=torch.channels_last)
        outputs = run(net, tuple(tensor.contiguous(memory_format=torch.channels_last) for tensor in inputs))
    for out, reference in zip(outputs, expected, strict=True):
        torch.testing.assert_close(out, reference, rtol=0, atol=1e-9)


@each_network
def test_training_in_bfloat16_and_channels_last_gives_every_parameter_a_float32_gradient(name):
    net = build(name).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = run(net, NETWORKS[name].inputs(LITTLE, 2))
    assert parameters_without_gradient(net, outputs) == []
    assert {p.grad.dtype for p in net.parameters()} == {torch.float32}


ABLATIONS: list[dict[str, Any]] = [
    {"style": "global"},
    {"style": "global", "ccf": False},
    {"ccf": False},
    {"carry_colours": True},
    {"carry_colours": True, "style": "global"},
    {"carry_colours": True, "carry_detail": 4},
    {"carry_colours": True, "carry_detail": 4, "style": "global"},
    {"mask_channel": False},
    *({"norm": norm} for norm in ("batch", "group", "none")),
    *({"generator_norm": norm} for norm in ("batch", "group", "none")),
    {"tau": 1.0},
    {"features": 64},
    {"generator_blocks": 0},
]


@pytest.mark.parametrize("fields", ABLATIONS, ids=str)
def test_every_ablation_builds_draws_and_has_gradients(fields):
    net = build("scmnet", **fields)
    outputs = run(net, NETWORKS["scmnet"].inputs(LITTLE, 2))
    assert outputs[0].shape == (2, 3, 64, 48)
    assert parameters_without_gradient(net, outputs) == []


def test_without_ccf_the_fused_features_are_the_regions_side_by_side():
    net, features = build("scmnet", ccf=False), drawn(2, 8, 4, 8, 6)
    assert torch.equal(net.fuse(features).features, features.flatten(1, 2))


@pytest.mark.usefixtures("float64_kept")
def test_carried_colours_move_with_the_field_and_do_not_affect_it():
    net, features = build("scmnet", carry_colours=True).eval().double(), drawn(2, 8, 8, 8, 6).double()
    pose = net.encode_pose(maps_of(LITTLE, 2).double())
    style = net.fuse(features)
    assert style.features.shape == (2, 32, 8, 6)
    assert style.means.shape == (2, 32, 8, 6)
    field = net.field(pose, style)
    assert torch.equal(field.explicit(), net.field(pose, replace(style, means=style.means.flip(0))).explicit())
    moved, _ = net.rearrange(field, style)
    expected = (field.explicit() @ style.means.flatten(2).transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(moved.means.flatten(2), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("style", ["decomposed", "global"])
def test_an_image_is_drawn_on_top_of_the_carried_colours(style):
    net = build("scmnet", carry_colours=True, style=style).eval()
    nn.init.zeros_(net.generator.to_rgb.weight)
    nn.init.zeros_(net.generator.to_rgb.bias)
    labels = torch.zeros(1, 64, 48, dtype=torch.long)
    labels[:, 16:48, 8:40] = 5
    masks, one_colour = one_hot(labels), torch.tensor([0.5, -0.25, 0.1])[None, :, None, None].expand(-1, -1, 64, 48)
    drawn_image = net(maps_of(LITTLE, 1), one_colour, masks).image
    assert torch.allclose(drawn_image, one_colour, atol=1e-5)


@pytest.mark.parametrize("style", ["decomposed", "global"])
def test_carried_cells_keep_a_pattern_finer_than_a_position(style):
    net = build("scmnet", carry_colours=True, carry_detail=4, style=style).eval()
    image, masks = pictured(LITTLE, 1)
    encoded = net.encode_style(image, masks)
    assert torch.allclose(net._base_colours(encoded), nn.functional.avg_pool2d(image, 2), atol=1e-5)
    assert encoded.means.shape[1] == (4 * 8 if style == "decomposed" else 3)
    assert encoded.cells.shape[1] == (4 * 16 if style == "decomposed" else 3 * 16)


@pytest.mark.usefixtures("float64_kept")
def test_a_network_widened_with_zero_inputs_starts_as_the_smaller_network():
    coarse, fine = (build("scmnet", carry_colours=True, carry_detail=detail).eval().double() for detail in (1, 2))
    fine.load_state_dict(zero_new_inputs(coarse.state_dict(), fine.state_dict()))
    flat = torch.full((1, 3, 64, 48), 0.3, dtype=torch.float64)
    maps, image, masks = (tensor.double() for tensor in (maps_of(LITTLE, 1), *pictured(LITTLE, 1)))
    assert not torch.allclose(fine(maps, image, masks).image, coarse(maps, image, masks).image, atol=1e-3)
    torch.testing.assert_close(fine(maps, flat, masks).image, coarse(maps, flat, masks).image, rtol=0, atol=1e-9)


def test_the_global_encoder_does_not_read_masks():
    net = build("scmnet", style="global").eval()
    image, masks = pictured(LITTLE, 1)
    assert not net.has_regions
    assert net.encode_regions(image, masks).shape == (1, 1, 32, 8, 6)
    assert torch.equal(net.encode_style(image, masks).features, net.encode_style(image, masks.flip(1)).features)


@pytest.mark.parametrize("canvas", [Canvas(32, 32), Canvas(72, 40), Canvas(40, 104)], ids=str)
def test_canvases_with_odd_feature_sizes_are_drawn(canvas):
    net = build("scmnet").eval()
    with torch.no_grad():
        image = net(*NETWORKS["scmnet"].inputs(canvas, 1)).image
    assert image.shape == (1, 3, canvas.height, canvas.width)
    assert image.abs().max() <= 1


def test_forward_equals_its_parts_in_sequence():
    net = build("scmnet").eval()
    maps, image, masks = NETWORKS["scmnet"].inputs(LITTLE, 2)
    with torch.no_grad():
        style = net.fuse(net.encode_regions(image, masks))
        moved, nothing = net.rearrange(net.field(net.encode_pose(maps), style), style)
        assert nothing is None
        assert torch.equal(net.translate(moved).image, net(maps, image, masks).image)


def test_the_image_follows_the_pose_and_the_source():
    net = build("scmnet").eval()
    maps, image, masks = NETWORKS["scmnet"].inputs(LITTLE, 1)
    with torch.no_grad():
        reference = net(maps, image, masks).image
        assert (net(maps.roll(16, dims=3), image, masks).image - reference).abs().mean() > 1e-3
        assert (net(maps, -image, masks).image - reference).abs().mean() > 1e-3


def test_the_pose_discriminator_sees_the_pose_and_the_style_discriminator_does_not():
    net = build("discriminators").eval()
    image, maps = NETWORKS["discriminators"].inputs(LITTLE, 1)
    with torch.no_grad():
        (style, pose), (other_style, other_pose) = net(image, maps), net(image, maps.flip(1))
    assert torch.equal(style, other_style)
    assert not torch.equal(pose, other_pose)


@pytest.mark.parametrize("canvas", CANVASES, ids=str)
def test_a_small_model_draws_every_canvas(canvas):
    torch.manual_seed(0)
    net = build_generator(configure(canvas, size="small")).eval()
    with torch.no_grad():
        image = net(*NETWORKS["scmnet"].inputs(canvas, 1)).image
    assert image.shape == (1, 3, canvas.height, canvas.width)


# 28.5 M and 7.6 M; docs/speed.md has the measured numbers.
@pytest.mark.parametrize(("size", "low", "high"), [("base", 20e6, 29e6), ("small", 5e6, 8e6), ("tiny", 1e4, 2e5)])
def test_the_generator_has_the_parameters_that_its_size_promises(size, low, high):
    with torch.device("meta"):
        net = build_generator(configure(size=size))
    assert low < sum(parameter.numel() for parameter in net.parameters()) < high


def gflop(size: str) -> float:
    config = configure(Canvas(256, 176), size=size)
    return count_gflop(build_generator(config), config)


def test_the_small_generator_costs_at_most_20_gflop_at_256x176():
    assert 10 < gflop("small") <= 20


@pytest.mark.slow
def test_the_base_generator_costs_at_most_75_gflop_at_256x176():
    assert 40 < gflop("base") <= 75
