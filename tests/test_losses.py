from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scmnet_cli.errors import ScmError
from scmnet_cli.losses.adversarial import discriminator_loss, generator_loss
from scmnet_cli.losses.body_structure import body_graph, body_structure_loss
from scmnet_cli.losses.correspondence import field_colour_loss, field_region_loss, findable
from scmnet_cli.losses.perceptual import perceptual_loss
from scmnet_cli.losses.style import STYLE_LAYERS, gram, style_loss
from scmnet_cli.losses.vgg import IMAGENET_MEAN, IMAGENET_STD, VGGFeatures, layer_names
from scmnet_cli.models.choices import GANKind
from scmnet_cli.regions import NUM_REGIONS, one_hot
from scmnet_cli.weights import backbone_shapes

GAN_KINDS: tuple[GANKind, ...] = ("lsgan", "bce", "hinge")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def random_masks(batch: int, height: int, width: int, seed: int = 0) -> Tensor:
    labels = torch.randint(
        0, NUM_REGIONS, (batch, height // 4, width // 4), generator=torch.Generator().manual_seed(seed)
    )
    return one_hot(labels.repeat_interleave(4, 1).repeat_interleave(4, 2))


def whole_image_masks(batch: int, height: int, width: int, region: int) -> Tensor:
    return one_hot(torch.full((batch, height, width), region))


def save_vgg(folder: Path, name: str, last: int) -> None:
    """Write a VGG file of random weights, He-initialised, that ends at convolution ``features.last``."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for key, shape in backbone_shapes(name).items():
        if int(key.split(".")[1]) <= last:
            fan_in = math.prod(shape[1:])
            state[key] = (
                torch.randn(shape, generator=generator) * math.sqrt(2 / fan_in) * (0.1 if len(shape) == 1 else 1)
            )
    torch.save(state, folder / f"{name}-features-fp16.pth")


@pytest.fixture(scope="module")
def weights_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_vgg(folder, "vgg16", last=10)  # to relu3_1
    save_vgg(folder, "vgg19", last=7)  # to relu2_2
    return folder


# The VGG


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


def test_vgg_computes_and_loads_no_deeper_than_asked(weights_dir: Path) -> None:
    vgg = VGGFeatures("vgg16", ["relu2_1", "relu1_2"], weights_dir)
    assert [module.out_channels for module in vgg.modules() if isinstance(module, nn.Conv2d)] == [64, 64, 128]
    features = vgg(random(1, 3, 32, 24))
    assert {layer: tuple(value.shape) for layer, value in features.items()} == {
        "relu1_2": (1, 64, 32, 24),
        "relu2_1": (1, 128, 16, 12),
    }


def test_a_layer_that_the_file_lacks_is_an_error_only_if_needed(weights_dir: Path) -> None:
    VGGFeatures("vgg16", ["relu3_1"], weights_dir)
    with pytest.raises(ScmError, match=r"lacks features\.12\.weight of vgg16"):
        VGGFeatures("vgg16", ["relu3_2"], weights_dir)


def test_an_unknown_layer_names_the_nearest(weights_dir: Path) -> None:
    with pytest.raises(ScmError, match="vgg16 has no layer 'relu3_4'; did you mean 'relu3_3'"):
        VGGFeatures("vgg16", ["relu3_4"], weights_dir)
    with pytest.raises(ScmError, match="no layer asked for"):
        VGGFeatures("vgg16", [], weights_dir)


def test_absent_vgg_weights_are_an_error_and_never_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("SCM_WEIGHTS", raising=False)
    with pytest.raises(ScmError, match=r"no vgg19-dcbb9e9d\.pth"):
        VGGFeatures("vgg19", ["relu1_1"], tmp_path)


def test_vgg_stays_frozen_and_in_eval_mode_inside_a_training_module(weights_dir: Path) -> None:
    parent = nn.ModuleDict({"vgg": VGGFeatures("vgg16", ["relu1_1"], weights_dir)}).train()
    assert parent.training
    assert not any(module.training for module in parent["vgg"].modules())
    assert not any(parameter.requires_grad for parameter in parent.parameters())


def test_building_a_vgg_leaves_the_random_state_alone(weights_dir: Path) -> None:
    before = torch.get_rng_state()
    VGGFeatures("vgg16", ["relu2_2"], weights_dir)
    assert torch.equal(before, torch.get_rng_state())


def test_vgg_gives_the_same_in_either_memory_format_and_one_by_one(weights_dir: Path) -> None:
    vgg = VGGFeatures("vgg16", ["relu3_1"], weights_dir)
    images = random(3, 3, 24, 16).clamp(-1, 1)
    batch = vgg(images)["relu3_1"]
    channels_last = vgg.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))["relu3_1"]
    torch.testing.assert_close(batch, channels_last, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(
        batch, torch.cat([vgg(image[None])["relu3_1"] for image in images]), rtol=1e-3, atol=1e-3
    )


# Every image loss


def image_losses(vgg: VGGFeatures, generated: Tensor, target: Tensor, masks: Tensor) -> dict[str, Tensor]:
    of_generated, of_target = vgg(generated), vgg(target)
    layers = ["relu1_2", "relu2_2"]
    return {
        "perceptual": perceptual_loss(of_generated, of_target, layers),
        "style": style_loss(of_generated, of_target, layers),
        "bsr": body_structure_loss(of_generated["relu3_1"], of_target["relu3_1"], masks),
    }


@pytest.fixture(scope="module")
def vgg(weights_dir: Path) -> VGGFeatures:
    return VGGFeatures("vgg16", ["relu1_2", "relu2_2", "relu3_1"], weights_dir)


@pytest.fixture(scope="module")
def pair() -> tuple[Tensor, Tensor, Tensor]:
    return random(3, 3, 32, 24).clamp(-1, 1), random(3, 3, 32, 24, seed=1).clamp(-1, 1), random_masks(3, 32, 24)


Pair = tuple[Tensor, Tensor, Tensor]


def test_every_image_loss_of_an_image_with_itself_is_zero(vgg: VGGFeatures, pair: Pair) -> None:
    image, _, masks = pair
    assert {name: loss.item() for name, loss in image_losses(vgg, image, image, masks).items()} == {
        "perceptual": 0,
        "style": 0,
        "bsr": 0,
    }


def test_every_image_loss_is_symmetric_and_positive_between_images(vgg: VGGFeatures, pair: Pair) -> None:
    image, other, masks = pair
    there, back = image_losses(vgg, image, other, masks), image_losses(vgg, other, image, masks)
    for name, loss in there.items():
        assert loss.item() > 0
        torch.testing.assert_close(loss, back[name])


def test_every_image_loss_of_a_batch_is_the_mean_of_its_members_losses(vgg: VGGFeatures, pair: Pair) -> None:
    image, other, masks = pair
    singles = [image_losses(vgg, image[i : i + 1], other[i : i + 1], masks[i : i + 1]) for i in range(3)]
    for name, loss in image_losses(vgg, image, other, masks).items():
        torch.testing.assert_close(loss, torch.stack([single[name] for single in singles]).mean(), rtol=1e-4, atol=1e-6)


def test_every_image_loss_sends_a_finite_gradient_to_the_image(vgg: VGGFeatures, pair: Pair) -> None:
    image, other, masks = pair
    for name in ("perceptual", "style", "bsr"):
        generated = image.clone().requires_grad_()
        image_losses(vgg, generated, other, masks)[name].backward()
        assert generated.grad is not None
        assert generated.grad.isfinite().all(), name
        assert (generated.grad.abs().flatten(1).max(1).values > 0).all(), name


def test_under_bf16_autocast_losses_are_float32_and_close(vgg: VGGFeatures, pair: Pair) -> None:
    image, other, masks = pair
    exact = image_losses(vgg, image, other, masks)
    with torch.autocast("cpu", torch.bfloat16):
        assert vgg(image)["relu1_2"].dtype == torch.bfloat16
        rounded = image_losses(vgg, image, other, masks)
    for name, loss in rounded.items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, exact[name], rtol=0.05, atol=0)


def test_gram_and_graph_do_not_round_to_bf16_under_autocast() -> None:
    features, masks = random(1, 8, 6, 6).abs(), random_masks(1, 24, 24)
    with torch.autocast("cpu", torch.bfloat16):
        product, graph = gram(features), body_graph(features, masks)
    assert torch.equal(product, gram(features))
    assert torch.equal(graph.nodes, body_graph(features, masks).nodes)
    assert torch.equal(graph.edges, body_graph(features, masks).edges)


# Perceptual and style


def test_perceptual_loss_is_the_sum_over_layers_of_mean_differences() -> None:
    zero = {"a": torch.zeros(2, 3, 4, 4), "b": torch.zeros(2, 5, 2, 2)}
    generated = {"a": torch.full((2, 3, 4, 4), 0.5), "b": torch.full((2, 5, 2, 2), -2.0)}
    assert perceptual_loss(generated, zero, ["a"]).item() == pytest.approx(0.5)
    assert perceptual_loss(generated, zero, ["a", "b"]).item() == pytest.approx(2.5)


def test_the_perceptual_gradient_of_bf16_features_is_that_of_the_float32_loss() -> None:
    target = {"a": random(2, 8, 6, 5, seed=1).bfloat16()}
    features = random(2, 8, 6, 5).bfloat16().contiguous(memory_format=torch.channels_last).requires_grad_()
    loss = perceptual_loss({"a": features}, target, ["a"])
    (found,) = torch.autograd.grad(loss, features)
    expected = F.l1_loss(features.float(), target["a"].float())
    (wanted,) = torch.autograd.grad(expected, features)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-3)
    assert torch.equal(found, wanted)
    assert found.is_contiguous(memory_format=torch.channels_last), "other gradients are slow there"


def test_the_perceptual_loss_of_a_million_features_is_exact_to_seven_digits() -> None:
    features, target = {"a": random(2, 64, 100, 80)}, {"a": random(2, 64, 100, 80, seed=1)}
    expected = F.l1_loss(features["a"].double(), target["a"].double())
    assert perceptual_loss(features, target, ["a"]).item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_perceptual_loss_has_the_gradients_of_l1_in_both_features() -> None:
    pair = [random(2, 3, 5, 4, seed=seed).double().requires_grad_() for seed in range(2)]
    loss = perceptual_loss({"a": pair[0]}, {"a": pair[1]}, ["a"])
    for found, wanted in zip(torch.autograd.grad(loss, pair), torch.autograd.grad(F.l1_loss(*pair), pair), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)


def slow_gram(features: Tensor) -> Tensor:
    batch, channels, height, width = features.shape
    result = torch.zeros(batch, channels, channels, dtype=torch.float64)
    for n in range(batch):
        for i in range(channels):
            for j in range(channels):
                total = 0.0
                for y in range(height):
                    for x in range(width):
                        total += features[n, i, y, x].item() * features[n, j, y, x].item()
                result[n, i, j] = total / (channels * height * width)
        norm = math.sqrt(sum(value * value for value in result[n].flatten().tolist()))
        result[n] /= norm
    return result


def test_gram_equals_a_float64_loop() -> None:
    features = random(2, 5, 4, 3) * torch.tensor([1.0, 30.0])[:, None, None, None]
    torch.testing.assert_close(gram(features).double(), slow_gram(features), rtol=1e-5, atol=1e-6)


def test_style_loss_equals_a_float64_loop() -> None:
    a, b = random(2, 5, 4, 3), random(2, 5, 4, 3, seed=1)
    expected = (slow_gram(a) - slow_gram(b)).abs().mean()
    torch.testing.assert_close(style_loss({"x": a}, {"x": b}, ["x"]).double(), expected, rtol=1e-5, atol=1e-6)


def test_style_loss_sees_less_energy_only_if_asked_to() -> None:
    features = random(2, 5, 4, 3)
    faint, given = {"x": features * 0.8}, {"x": features}
    assert style_loss(faint, given, ["x"]).item() < 1e-6
    expected = (1 - 0.8**2) * gram(features).abs().mean()
    torch.testing.assert_close(style_loss(faint, given, ["x"], energy=True), expected)


def test_gram_of_bf16_features_is_float32_and_near_the_gram_of_the_same_in_float32() -> None:
    features = random(2, 8, 20, 30).relu().bfloat16()
    found = gram(features)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, gram(features.float()), rtol=2**-7, atol=0)


@pytest.mark.usefixtures("float64_kept")
def test_the_gradient_of_a_gram_matrix_is_that_of_two_factors() -> None:
    features, weights = random(2, 5, 4, 3).double().requires_grad_(), random(2, 5, 5, seed=1).double()
    flat = features.flatten(2)
    product = flat @ flat.transpose(1, 2)
    expected = product / torch.linalg.matrix_norm(product, keepdim=True)
    (found,) = torch.autograd.grad((gram(features) * weights).sum(), features)
    (wanted,) = torch.autograd.grad((expected * weights).sum(), features)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_gram_ignores_position_and_scale() -> None:
    features = random(1, 4, 5, 6)
    shuffled = features.flatten(2)[:, :, torch.randperm(30, generator=torch.Generator().manual_seed(0))].view(
        1, 4, 5, 6
    )
    torch.testing.assert_close(gram(shuffled), gram(features))
    torch.testing.assert_close(gram(features * 1000), gram(features))
    assert torch.linalg.matrix_norm(gram(features)).item() == pytest.approx(1)


def test_gram_of_zero_features_is_zero_with_zero_gradient() -> None:
    features = torch.zeros(1, 4, 3, 3, requires_grad=True)
    loss = style_loss({"x": features}, {"x": random(1, 4, 3, 3)}, ["x"])
    loss.backward()
    assert torch.equal(gram(features), torch.zeros(1, 4, 4))
    assert features.grad is not None
    assert torch.equal(features.grad, torch.zeros_like(features))


# Body structure


def slow_body_graph(
    features: Tensor, masks: Tensor
) -> tuple[list[list[Tensor | None]], list[dict[tuple[int, int], float]]]:
    """Compute nodes and edges by loops over pixels in float64; the grid divides the masks exactly."""
    batch, channels, height, width = features.shape
    step_y, step_x = masks.shape[2] // height, masks.shape[3] // width
    all_nodes: list[list[Tensor | None]] = []
    all_edges = []
    for n in range(batch):
        nodes: list[Tensor | None] = []
        for region in range(masks.shape[1]):
            total, area = torch.zeros(channels, dtype=torch.float64), 0.0
            for y in range(height):
                for x in range(width):
                    cell = masks[n, region, y * step_y : (y + 1) * step_y, x * step_x : (x + 1) * step_x]
                    share = cell.double().mean().item()
                    total += share * features[n, :, y, x].double()
                    area += share
            nodes.append(total / area if area else None)
        edges = {}
        for i, a in enumerate(nodes):
            for j, b in enumerate(nodes):
                if i < j and a is not None and b is not None:
                    edges[i, j] = (a @ b / (a.norm() * b.norm())).item()
        all_nodes.append(nodes)
        all_edges.append(edges)
    return all_nodes, all_edges


def slow_body_structure_loss(generated: Tensor, target: Tensor, masks: Tensor) -> float:
    losses = []
    nodes_g, edges_g = slow_body_graph(generated, masks)
    nodes_t, edges_t = slow_body_graph(target, masks)
    for n in range(generated.shape[0]):
        node_terms = [
            (a - b).abs().mean().item()
            for a, b in zip(nodes_g[n], nodes_t[n], strict=True)
            if a is not None and b is not None
        ]
        edge_terms = [abs(edges_g[n][pair] - edges_t[n][pair]) for pair in edges_t[n]]
        losses.append(sum(node_terms) / len(node_terms) + (sum(edge_terms) / len(edge_terms) if edge_terms else 0))
    return sum(losses) / len(losses)


def some_regions_absent() -> Tensor:
    """Return masks of three images: random regions, two regions with a ragged border, a single region."""
    labels = torch.stack(
        [
            torch.randint(0, NUM_REGIONS, (16, 12), generator=torch.Generator().manual_seed(3)),
            torch.where(torch.arange(12)[None, :] > 4, 5, 2).expand(16, 12),
            torch.full((16, 12), 6),
        ]
    )
    return one_hot(labels)


def test_body_graph_equals_a_float64_loop() -> None:
    features, masks = random(3, 5, 4, 3), some_regions_absent()
    graph = body_graph(features, masks)
    nodes, edges = slow_body_graph(features, masks)
    for n in range(3):
        for i in range(NUM_REGIONS):
            node = nodes[n][i]
            assert graph.present[n, i].item() == (node is not None)
            expected = torch.zeros(5).double() if node is None else node
            torch.testing.assert_close(graph.nodes[n, i].double(), expected, rtol=1e-5, atol=1e-6)
        for (i, j), edge in edges[n].items():
            assert graph.edges[n, i, j].item() == pytest.approx(edge, abs=1e-5)


def test_body_structure_loss_equals_a_float64_loop() -> None:
    generated, target, masks = random(3, 5, 4, 3), random(3, 5, 4, 3, seed=1), some_regions_absent()
    loss = body_structure_loss(generated, target, masks)
    assert loss.item() == pytest.approx(slow_body_structure_loss(generated, target, masks), rel=1e-5)


def test_an_image_with_a_single_region_has_a_node_term_no_edge_and_finite_gradients() -> None:
    generated = random(1, 4, 4, 4).requires_grad_()
    target, masks = random(1, 4, 4, 4, seed=1), whole_image_masks(1, 16, 16, 5)
    loss = body_structure_loss(generated, target, masks)
    loss.backward()
    assert loss.item() == pytest.approx((generated - target).mean((2, 3)).abs().mean().item(), rel=1e-5)
    assert generated.grad is not None
    assert generated.grad.isfinite().all()
    assert generated.grad.abs().max() > 0


@pytest.mark.parametrize("masks", [whole_image_masks(1, 16, 16, 0), torch.zeros(1, NUM_REGIONS, 16, 16)])
def test_body_structure_of_empty_features_or_without_regions_has_finite_gradients(masks: Tensor) -> None:
    generated = torch.zeros(1, 4, 4, 4, requires_grad=True)
    loss = body_structure_loss(generated, torch.zeros(1, 4, 4, 4), masks)
    loss.backward()
    assert loss.item() == 0
    assert generated.grad is not None
    assert generated.grad.isfinite().all()


def test_body_structure_loss_ignores_absent_regions_and_the_layout_inside_a_region() -> None:
    generated, target = random(1, 4, 4, 4), random(1, 4, 4, 4, seed=1)
    masks = one_hot(torch.where(torch.arange(16) < 8, 1, 5).expand(1, 16, 16))
    moved_inside = generated[:, :, [3, 2, 1, 0]]
    torch.testing.assert_close(
        body_structure_loss(moved_inside, target, masks), body_structure_loss(generated, target, masks)
    )
    renamed = masks[:, [0, 2, 1, 3, 4, 6, 5, 7]]
    torch.testing.assert_close(
        body_structure_loss(generated, target, renamed), body_structure_loss(generated, target, masks)
    )


# Correspondence


def test_region_loss_is_zero_where_every_region_arrives_and_high_where_none_does() -> None:
    masks = one_hot(torch.where(torch.arange(16) < 8, 1, 5).expand(1, 16, 16))
    arrived = F.interpolate(masks, size=(2, 2), mode="area")
    assert field_region_loss(arrived, masks).item() == pytest.approx(0, abs=1e-5)
    assert field_region_loss(arrived.flip(3), masks).item() == pytest.approx(-math.log(1e-6), rel=1e-4)


def test_region_loss_of_a_uniform_field_is_log_8() -> None:
    masks = random_masks(2, 16, 16)
    assert field_region_loss(torch.full((2, 8, 2, 2), 1 / 8), masks).item() == pytest.approx(math.log(8), rel=1e-4)


def test_region_loss_is_lowest_for_the_targets_own_shares() -> None:
    masks = random_masks(1, 16, 16)
    shares = F.interpolate(masks, size=(2, 2), mode="area")
    floor = -(shares * (shares + 1e-6).log()).sum(1).mean()
    assert field_region_loss(shares, masks).item() == pytest.approx(floor.item(), rel=1e-4)
    for seed in range(5):
        other = (shares + 0.1 * random(1, 8, 2, 2, seed=seed).abs()).clamp_min(1e-3)
        assert field_region_loss(other / other.sum(1, keepdim=True), masks) > floor


def test_positions_whose_region_the_source_lacks_are_ignored() -> None:
    target = one_hot(torch.where(torch.arange(16) < 8, 1, 5).expand(1, 16, 16))
    source = whole_image_masks(1, 24, 24, 5)
    moved = torch.full((1, 8, 2, 2), 1e-3)
    moved[:, 5] = 0.5
    expected = pytest.approx(-math.log(0.5), rel=1e-4)
    assert field_region_loss(moved, target, source).item() == expected
    moved[:, :, :, 0] = 0.125
    assert field_region_loss(moved, target, source).item() == expected
    assert findable(target, source, (2, 2))[0, 0].tolist() == [[0, 1], [0, 1]]


def test_a_position_is_weighted_by_the_share_that_the_source_can_show() -> None:
    target = one_hot(torch.where(torch.arange(16) < 4, 1, 5).expand(1, 16, 16))
    assert findable(target, whole_image_masks(1, 16, 16, 5), (2, 2))[0, 0].tolist() == [[0.5, 1], [0.5, 1]]
    moved = torch.zeros(1, 8, 2, 2)
    moved[:, 5, :, 0], moved[:, 5, :, 1] = 0.25, 0.5
    expected = (0.5 * -math.log(0.25) + 1 * -math.log(0.5)) / 1.5
    assert field_region_loss(moved, target, whole_image_masks(1, 16, 16, 5)).item() == pytest.approx(expected, rel=1e-4)


def test_a_source_that_shows_everything_changes_nothing() -> None:
    masks, moved = random_masks(2, 32, 32), random(2, 8, 4, 4).softmax(1)
    torch.testing.assert_close(field_region_loss(moved, masks, masks), field_region_loss(moved, masks))
    image, colours = random(2, 3, 32, 32), random(2, 3, 4, 4, seed=1)
    weight = findable(masks, masks, (4, 4))
    torch.testing.assert_close(field_colour_loss(colours, image, weight), field_colour_loss(colours, image))


def test_colour_loss_is_the_l1_to_the_downsized_target() -> None:
    image = random(2, 3, 16, 16)
    small = F.avg_pool2d(image, 8)
    assert field_colour_loss(small, image).item() == pytest.approx(0, abs=1e-6)
    assert field_colour_loss(small + 0.25, image).item() == pytest.approx(0.25, rel=1e-5)


def test_colour_loss_weighs_positions() -> None:
    image = torch.zeros(1, 3, 16, 16)
    moved = torch.zeros(1, 3, 2, 2)
    moved[..., 0] = 1
    weight = torch.tensor([[1.0, 3.0], [1.0, 3.0]])[None, None]
    assert field_colour_loss(moved, image, weight).item() == pytest.approx(0.25)


def test_where_the_source_shows_nothing_of_the_target_losses_and_gradients_are_zero() -> None:
    target, source = whole_image_masks(1, 16, 16, 1), whole_image_masks(1, 16, 16, 5)
    regions = torch.full((1, 8, 2, 2), 1 / 8, requires_grad=True)
    colours = random(1, 3, 2, 2).requires_grad_()
    weight = findable(target, source, (2, 2))
    loss = field_region_loss(regions, target, source) + field_colour_loss(colours, random(1, 3, 16, 16), weight)
    loss.backward()
    assert loss.item() == 0
    for leaf in (regions, colours):
        assert leaf.grad is not None
        assert torch.equal(leaf.grad, torch.zeros_like(leaf))


def test_region_loss_has_finite_gradients_where_a_region_got_no_probability_at_all() -> None:
    moved = torch.zeros(1, 8, 2, 2, requires_grad=True)
    field_region_loss(moved, random_masks(1, 16, 16)).backward()
    assert moved.grad is not None
    assert moved.grad.isfinite().all()


def test_correspondence_losses_of_a_batch_are_the_means_of_their_members() -> None:
    target, source = random_masks(3, 16, 16), random_masks(3, 16, 16, seed=1)
    source[0] = whole_image_masks(1, 16, 16, 5)[0]
    regions, colours, image = random(3, 8, 2, 2).softmax(1), random(3, 3, 2, 2), random(3, 3, 16, 16)
    weight = findable(target, source, (2, 2))
    for loss, inputs in ((field_region_loss, (regions, target, source)), (field_colour_loss, (colours, image, weight))):
        singles = [loss(*(value[i : i + 1] for value in inputs)) for i in range(3)]
        torch.testing.assert_close(loss(*inputs), torch.stack(singles).mean())


# Adversarial


@pytest.mark.parametrize("kind", GAN_KINDS)
def test_a_discriminator_that_separates_real_from_generated_has_a_lower_loss(kind: GANKind) -> None:
    real, fake = torch.full((2, 1, 3, 3), 1.0), torch.full((2, 1, 3, 3), -1.0)
    assert discriminator_loss(kind, real, fake) < discriminator_loss(kind, fake, real)


@pytest.mark.parametrize("kind", GAN_KINDS)
def test_the_generators_loss_falls_as_the_logits_turn_to_real(kind: GANKind) -> None:
    logits = torch.linspace(-2, 1, 6)
    losses = torch.stack([generator_loss(kind, value.expand(1, 1, 2, 2)) for value in logits])
    assert (losses.diff() < 0).all()


def test_adversarial_losses_equal_their_formulas() -> None:
    real, fake = random(2, 1, 3, 4), random(2, 1, 3, 4, seed=1)
    sigmoid = torch.sigmoid
    for kind, d_real, d_fake, g in (
        ("lsgan", (real - 1) ** 2, fake**2, (fake - 1) ** 2),
        ("bce", -sigmoid(real).log(), -(1 - sigmoid(fake)).log(), -sigmoid(fake).log()),
        ("hinge", (1 - real).clamp_min(0), (1 + fake).clamp_min(0), -fake),
    ):
        torch.testing.assert_close(discriminator_loss(kind, real, fake), (d_real.mean() + d_fake.mean()) / 2)
        torch.testing.assert_close(generator_loss(kind, fake), g.mean())


@pytest.mark.parametrize("kind", GAN_KINDS)
def test_adversarial_losses_stay_finite_for_confident_discriminators(kind: GANKind) -> None:
    logits = torch.tensor([-1e4, 1e4]).view(2, 1, 1, 1).bfloat16().requires_grad_()
    loss = discriminator_loss(kind, logits, logits) + generator_loss(kind, logits)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


# With the real network


@pytest.mark.data
@pytest.mark.weights
def test_on_photos_the_loss_terms_have_the_magnitudes_that_their_weights_assume(
    shared: Callable[[str], Path], shared_weights: Path
) -> None:
    import numpy as np
    from PIL import Image

    def photo(name: str) -> Tensor:
        with Image.open(shared("data/ccp/photos") / name) as opened:
            pixels = np.asarray(opened.convert("RGB").resize((88, 128)))
        return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 127.5 - 1

    layers = STYLE_LAYERS["vgg16"]
    network = VGGFeatures("vgg16", [*layers, "relu1_2", "relu3_1"], shared_weights)
    with torch.no_grad():
        a, b = network(photo("0001.jpg")), network(photo("0002.jpg"))
    masks = random_masks(1, 128, 88)
    assert 0.1 < perceptual_loss(a, b, ["relu1_2"]).item() < 2
    assert 0.1 < 150 * style_loss(a, b, layers).item() < 3
    assert 0.1 < body_structure_loss(a["relu3_1"], b["relu3_1"], masks).item() < 3
