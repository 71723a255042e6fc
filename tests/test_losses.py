"""The losses of images, and their magnitudes on photos."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from loss_inputs import random, random_masks
from torch import Tensor
from torch.nn import functional as F

from scmnet_cli.losses.body_structure import body_graph, body_structure_loss
from scmnet_cli.losses.perceptual import perceptual_loss
from scmnet_cli.losses.style import STYLE_LAYERS, gram, style_loss
from scmnet_cli.losses.vgg import VGGFeatures


def image_losses(vgg: VGGFeatures, generated: Tensor, target: Tensor, masks: Tensor) -> dict[str, Tensor]:
    of_generated, of_target = vgg(generated), vgg(target)
    layers = ["relu1_2", "relu2_2"]
    return {
        "perceptual": perceptual_loss(of_generated, of_target, layers),
        "style": style_loss(of_generated, of_target, layers),
        "bsr": body_structure_loss(of_generated["relu3_1"], of_target["relu3_1"], masks),
    }


@pytest.fixture(scope="module")
def vgg(vgg_files: Path) -> VGGFeatures:
    return VGGFeatures("vgg16", ["relu1_2", "relu2_2", "relu3_1"], vgg_files)


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
