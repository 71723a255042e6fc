"""The losses of the correlation field."""

from __future__ import annotations

import math

import pytest
import torch
from loss_inputs import random, random_masks, whole_image_masks
from torch.nn import functional as F

from scmnet_cli.losses.correspondence import field_colour_loss, field_region_loss, findable
from scmnet_cli.regions import one_hot


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
