"""The blocks that several networks share."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.models.layers import InstanceNorm, norm_layer, split_rows

MEMORY_FORMATS = [torch.contiguous_format, torch.channels_last]


def _norm_and_gradients(layer: InstanceNorm, features: Tensor, weights: Tensor) -> tuple[Tensor, ...]:
    features = features.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    out = layer(features)
    (out * weights).sum().backward()
    assert features.grad is not None
    gradients = layer.weight.grad, layer.bias.grad
    layer.zero_grad()
    return (out.detach(), features.grad, *gradients)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
@pytest.mark.parametrize("shape", [(3, 8, 9, 7), (1, 8, 20, 13), (2, 4, 1, 3)])
def test_instance_norm_and_its_gradients_equal_those_of_torch(shape, memory_format):
    torch.manual_seed(0)
    features = (torch.randn(shape) * 3 + 1).contiguous(memory_format=memory_format)
    weights = torch.randn(shape)
    layer = InstanceNorm(shape[1])
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)

    exact = features.double().contiguous().requires_grad_()
    scale, shift = (parameter.detach().double().requires_grad_() for parameter in (layer.weight, layer.bias))
    expected = F.instance_norm(exact, weight=scale, bias=shift)
    (expected * weights).sum().backward()

    found = _norm_and_gradients(layer, features, weights)
    for ours, theirs in zip(found, (expected.detach(), exact.grad, scale.grad, shift.grad), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-4)  # sums of up to 260 terms of size 10


def test_instance_norm_keeps_the_memory_format():
    features = torch.randn(2, 8, 6, 5).contiguous(memory_format=torch.channels_last)
    assert InstanceNorm(8)(features).is_contiguous(memory_format=torch.channels_last)


def test_instance_norm_of_a_single_position_is_the_shift():
    layer = InstanceNorm(4)
    torch.nn.init.normal_(layer.bias)
    for batch in (1, 2):
        expected = layer.bias[None, :, None, None].expand(batch, 4, 1, 1)
        torch.testing.assert_close(layer(torch.randn(batch, 4, 1, 1)), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
def test_instance_norm_takes_bfloat16_features(memory_format):
    torch.manual_seed(0)
    features = torch.randn(2, 8, 32, 32).contiguous(memory_format=memory_format)
    layer = InstanceNorm(8)
    ours = layer(features.bfloat16())
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.float(), layer(features), rtol=0.02, atol=0.02)


def test_all_norms_use_the_same_parameter_names():
    for norm in ("instance", "batch", "group"):
        assert [name for name, _ in norm_layer(norm, 32).named_parameters()] == ["weight", "bias"]


@pytest.mark.parametrize("used", [(0, 1), (0,), (1,)], ids=["both", "the first", "the others"])
def test_a_split_batch_has_the_gradient_of_its_slices_in_its_own_memory_format(used: tuple[int, ...]):
    torch.manual_seed(0)
    features = torch.randn(5, 4, 3, 2).contiguous(memory_format=torch.channels_last).requires_grad_()
    weights = torch.randn(5, 4, 3, 2).split([2, 3])
    slices, parts = (features[:2], features[2:]), split_rows(features, 2)
    for part, expected in zip(parts, slices, strict=True):
        assert torch.equal(part, expected)
    (wanted,) = torch.autograd.grad(sum((slices[index] * weights[index]).sum() for index in used), features)
    (found,) = torch.autograd.grad(sum((parts[index] * weights[index]).sum() for index in used), features)
    assert torch.equal(found, wanted)
    assert found.is_contiguous(memory_format=torch.channels_last), "other gradients are slow there"
