"""The correlation field (Eq. 1 and 2) and features rearranged by it (Eq. 3)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from scmnet_cli.config import ModelConfig
from scmnet_cli.models import correlation as module
from scmnet_cli.models.build import build_generator
from scmnet_cli.models.correlation import Field
from scmnet_cli.models.style import Style

taus = pytest.mark.parametrize("tau", [0.01, 0.1, 1.0])


def features(seed: int, batch: int = 2, channels: int = 16, height: int = 5, width: int = 4) -> Tensor:
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(seed))


def exact(*args: int, **shape: int) -> Tensor:
    """Return the same features in float64: two ways to compute one thing then agree far below any fault."""
    return features(*args, **shape).double()


def correlation(pose: Tensor, style: Tensor, tau: float) -> Tensor:
    return Field.of(pose, style, tau).explicit()


def correlation_entropy(pose: Tensor, style: Tensor, tau: float) -> Tensor:
    return Field.of(pose, style, tau).entropy()


def rearrange(pose: Tensor, style: Tensor, values: Tensor, tau: float) -> Tensor:
    return Field.of(pose, style, tau).rearrange(values)


def moved_explicitly(pose: Tensor, style: Tensor, values: Tensor, tau: float) -> Tensor:
    moved = correlation(pose, style, tau) @ values.flatten(2).transpose(1, 2)  # (B, N, K)
    return moved.transpose(1, 2).unflatten(2, pose.shape[2:])


def permuted(tensor: Tensor, order: Tensor) -> Tensor:
    return tensor.flatten(2)[:, :, order].view_as(tensor)


@taus
def test_the_field_equals_eq_1_and_2_in_a_float64_loop(tau):
    pose, style = features(0, batch=1, height=3, width=2), features(1, batch=1, height=2, width=2)
    field = correlation(pose, style, tau)[0]
    p, s = pose[0].double().flatten(1).T.tolist(), style[0].double().flatten(1).T.tolist()

    def unit(vector: list[float]) -> list[float]:
        mean = sum(vector) / len(vector)
        centred = [value - mean for value in vector]
        length = math.sqrt(sum(value * value for value in centred))
        return [value / length for value in centred]

    for i, row in enumerate(p):
        scores = [math.exp(sum(a * b for a, b in zip(unit(row), unit(column), strict=True)) / tau) for column in s]
        for j, score in enumerate(scores):
            assert float(field[i, j]) == pytest.approx(score / sum(scores), rel=1e-3, abs=1e-5)


@taus
def test_the_weights_of_each_pose_position_sum_to_one(tau):
    field = correlation(features(0), features(1, height=3), tau)
    assert field.shape == (2, 20, 12)
    assert (field >= 0).all()
    torch.testing.assert_close(field.sum(-1), torch.ones(2, 20))


@pytest.mark.usefixtures("float64_kept")
@taus
@pytest.mark.parametrize("num_values", [1, 8, 16, 27])
def test_fused_attention_equals_the_explicit_field(tau, num_values):
    pose, style, values = exact(0), exact(1, height=3), exact(2, channels=num_values, height=3)
    moved = rearrange(pose, style, values, tau)
    assert moved.shape == (2, num_values, 5, 4)
    torch.testing.assert_close(moved, moved_explicitly(pose, style, values, tau), rtol=0, atol=1e-9)


@taus
def test_float32_attention_is_near_float64(tau, float64_kept):
    """A cosine of 16 channels is off by up to 1e-6 in float32, which 1/tau multiplies; values are at most 4."""
    moved, expected = (rearrange(make(0), make(1), make(2), tau) for make in (features, exact))
    assert moved.dtype == torch.float32
    torch.testing.assert_close(moved.double(), expected, rtol=0, atol=2e-5 / tau)


@pytest.mark.usefixtures("float64_kept")
@taus
def test_gradients_of_fused_attention_equal_those_of_the_explicit_field(tau):
    given = [exact(seed) for seed in range(3)]
    weights = exact(3)
    gradients = []
    for path in (rearrange, moved_explicitly):
        leaves = [tensor.clone().requires_grad_() for tensor in given]
        (path(*leaves, tau) * weights).sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    for fused, explicit in zip(*gradients, strict=True):
        torch.testing.assert_close(fused, explicit, rtol=1e-9, atol=1e-9)


@pytest.mark.usefixtures("float64_kept")
@taus
def test_permuting_the_style_positions_changes_nothing(tau):
    pose, style, values = exact(0), exact(1), exact(2, channels=7)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    moved = rearrange(pose, permuted(style, order), permuted(values, order), tau)
    torch.testing.assert_close(moved, rearrange(pose, style, values, tau), rtol=0, atol=1e-9)


@pytest.mark.usefixtures("float64_kept")
def test_rolling_the_pose_rolls_the_output():
    pose, style = exact(0), exact(1)
    moved = rearrange(pose.roll((1, 2), dims=(2, 3)), style, style, 0.01)
    still = rearrange(pose, style, style, 0.01)
    torch.testing.assert_close(moved, still.roll((1, 2), dims=(2, 3)), rtol=0, atol=1e-9)
    assert (moved - still).abs().mean() > 0.1


def test_a_known_correspondence_is_rearranged_exactly_at_small_tau():
    style = torch.eye(20)[None].view(1, 20, 5, 4)  # every position its own direction
    values = features(2, batch=1, channels=6)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    moved = rearrange(permuted(style, order), style, values, 0.01)
    torch.testing.assert_close(moved, permuted(values, order), rtol=0, atol=1e-6)


def test_at_a_large_tau_every_position_gets_the_mean():
    values = features(2)
    moved = rearrange(features(0), features(1), values, 1e6)
    torch.testing.assert_close(moved, values.mean((2, 3), keepdim=True).expand_as(moved), rtol=0, atol=1e-5)


@pytest.mark.usefixtures("float64_kept")
def test_the_field_is_invariant_to_scale_and_offset_of_exact():
    pose, style = exact(0), exact(1)
    strength, offset = exact(3, channels=1).abs() + 0.1, exact(4, channels=1)
    torch.testing.assert_close(
        correlation(pose * strength + offset, style * 7 - 3, 0.1), correlation(pose, style, 0.1), rtol=0, atol=1e-9
    )


def test_under_autocast_the_field_stays_float32():
    pose, style = features(0), features(1)
    with torch.autocast("cpu", torch.bfloat16):
        field, moved = correlation(pose, style, 0.01), rearrange(pose, style, style, 0.01)
        rough = rearrange(pose.bfloat16(), style.bfloat16(), style.bfloat16(), 0.01)
    assert field.dtype == moved.dtype == rough.dtype == torch.float32
    assert torch.equal(field, correlation(pose, style, 0.01))
    assert torch.equal(moved, rearrange(pose, style, style, 0.01))


def moved_with_gradients(*inputs: Tensor, bf16: bool) -> tuple[Tensor, list[Tensor]]:
    pose, style, values = (tensor.clone().requires_grad_() for tensor in inputs)
    field = Field.of(pose, style, 0.1)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        moved = field.rearrange(values)
    (moved * features(9, channels=moved.shape[1])).sum().backward()
    return moved.detach(), [tensor.grad for tensor in (pose, style, values)]


def test_training_in_bf16_moves_values_and_gradients_as_float32_does_up_to_the_rounding_of_bf16():
    inputs = features(0), features(1), features(2, channels=11)
    moved, gradients = moved_with_gradients(*inputs, bf16=True)
    expected, expected_gradients = moved_with_gradients(*inputs, bf16=False)
    assert moved.dtype == torch.float32
    assert not torch.equal(moved, expected), "values are rounded to bf16"
    for found, wanted in zip([moved, *gradients], [expected, *expected_gradients], strict=True):
        assert (found - wanted).norm() < 0.02 * wanted.norm()


@pytest.mark.parametrize("bf16", [True, False])
def test_training_holds_blocks_of_the_field_and_their_size_changes_nothing(monkeypatch, bf16):
    inputs = features(0), features(1), features(2, channels=11)
    moved, gradients = moved_with_gradients(*inputs, bf16=bf16)
    monkeypatch.setattr(module, "_VALUES_IN_A_BLOCK", 20 * 7)  # blocks of 7, 7 and 6 rows
    in_blocks, in_blocks_gradients = moved_with_gradients(*inputs, bf16=bf16)
    for found, wanted in zip([in_blocks, *in_blocks_gradients], [moved, *gradients], strict=True):
        torch.testing.assert_close(found, wanted, rtol=0.02 if bf16 else 1e-4, atol=0.01 if bf16 else 1e-4)


@pytest.mark.parametrize(("height", "num_values"), [(5, 16), (3, 27), (1, 1)])
def test_training_in_float32_on_a_cpu_equals_the_explicit_field_in_float64(height, num_values, float64_kept):
    given = [features(0), features(1, height=height), features(2, channels=num_values, height=height)]
    weights = features(3, channels=num_values)
    found, wanted = [], []
    for path, leaves, results in (
        (rearrange, [tensor.requires_grad_() for tensor in given], found),
        (moved_explicitly, [tensor.detach().double().requires_grad_() for tensor in given], wanted),
    ):
        moved = path(*leaves, 0.1)
        (moved * weights).sum().backward()
        results += [moved.detach(), *(leaf.grad for leaf in leaves)]
    for ours, exactly in zip(found, wanted, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours.double(), exactly, rtol=1e-3, atol=5e-4)


def test_a_sharp_field_has_no_gradient_in_bf16_where_it_has_none():
    """The rounding of a large common gradient does not count: only differences between the values do."""
    style = torch.eye(20)[None].view(1, 20, 5, 4)
    pose = style.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        moved = Field.of(pose, style, 0.01).rearrange(features(2, batch=1, channels=11))
    (1000 * moved).sum().backward()
    assert pose.grad is not None
    assert pose.grad.abs().max() < 1e-3


def test_drawing_in_bf16_moves_values_in_float32():
    inputs = features(0), features(1), features(2, channels=11)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        moved = rearrange(*inputs, 0.1)
    assert torch.equal(moved, rearrange(*inputs, 0.1))


@pytest.mark.usefixtures("float64_kept")
def test_blocks_of_rows_concatenate_to_the_whole_field(monkeypatch):
    monkeypatch.setattr(module, "_VALUES_AT_A_TIME", 2 * 12 * 3)
    pose, style = exact(0), exact(1, height=3)
    blocks = list(Field.of(pose, style, 0.1).rows())
    assert [block.shape for block in blocks] == [(2, 3, 12)] * 6 + [(2, 2, 12)]
    torch.testing.assert_close(torch.cat(blocks, dim=1), correlation(pose, style, 0.1), rtol=0, atol=1e-9)


def test_iterating_over_rows_keeps_the_callers_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        for block in Field.of(features(0), features(1), 0.1).rows():
            assert block.dtype == torch.float32
            assert torch.is_autocast_enabled("cpu")


def test_entropy_is_0_for_a_sharp_field_log_n_for_a_flat_one_and_log_k_for_k_equal_positions():
    style = torch.eye(20)[None].view(1, 20, 5, 4)
    assert correlation_entropy(style, style, 0.001).flatten().tolist() == pytest.approx([0] * 20, abs=1e-6)
    flat = correlation_entropy(features(0, batch=1, channels=20), style, 1e6)
    assert flat.flatten().tolist() == pytest.approx([math.log(20)] * 20, abs=1e-5)
    pairs = style.flatten(2)[:, :, torch.arange(20) // 2].view(1, 20, 5, 4)  # every direction twice
    assert correlation_entropy(style, pairs, 0.001).flatten()[:10].tolist() == pytest.approx(
        [math.log(2)] * 10, abs=1e-5
    )


@pytest.mark.usefixtures("float64_kept")
@taus
def test_entropy_equals_that_of_the_explicit_field_and_ignores_the_order_of_style(tau, monkeypatch):
    monkeypatch.setattr(module, "_VALUES_AT_A_TIME", 2 * 12 * 3)
    pose, style = exact(0), exact(1, height=3)
    entropy = correlation_entropy(pose, style, tau)
    explicit = torch.special.entr(correlation(pose, style, tau)).sum(2).view(2, 5, 4)
    torch.testing.assert_close(entropy, explicit, rtol=0, atol=1e-9)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(correlation_entropy(pose, permuted(style, order), tau), entropy, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("channels", "num_values"), [(32, 32), (32, 43), (30, 3), (512, 555)])
def test_flash_attention_accepts_the_inputs_in_forward_and_backward(channels, num_values):
    pose, style = features(0, channels=channels), features(1, channels=channels)
    values = features(2, channels=num_values).requires_grad_()
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):  # raises if this kernel does not support the inputs
        rearrange(pose, style, values, 0.01).sum().backward()
    assert values.grad is not None


@pytest.mark.usefixtures("float64_kept")
def test_carried_values_move_with_the_style_and_do_not_change_it():
    torch.manual_seed(0)
    net = build_generator(ModelConfig.model_validate({"size": "tiny", "height": 40, "width": 32})).eval().double()
    pose, style, colours = exact(0, channels=32), exact(1, channels=32), exact(2, channels=11)
    field = net.field(pose, Style(style))
    moved, carried = net.rearrange(field, Style(style), colours)
    alone, nothing = net.rearrange(field, Style(style))
    assert nothing is None
    torch.testing.assert_close(moved.features, alone.features, rtol=0, atol=1e-9)
    torch.testing.assert_close(carried, rearrange(pose, style, colours, net.tau), rtol=0, atol=1e-9)
