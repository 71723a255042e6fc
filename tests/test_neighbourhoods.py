"""Filters over neighbourhoods equal pooling, and masks spread only where they may."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from scmnet_cli.models.neighbourhoods import averaged, dilated, spread

RADII = pytest.mark.parametrize("radius", [1, 2, 3])


def noise(radius: int) -> Tensor:
    return torch.rand(2, 4, 9, 7, generator=torch.Generator().manual_seed(radius))


@RADII
def test_masks_are_dilated_as_by_max_pooling(radius: int) -> None:
    masks = noise(radius)
    pooled = F.max_pool2d(masks, 2 * radius + 1, stride=1, padding=radius)
    assert torch.equal(dilated(masks, radius), pooled)
    assert torch.equal(dilated(masks > 0.9, radius), F.max_pool2d((masks > 0.9).float(), 2 * radius + 1, 1, radius) > 0)


@RADII
def test_maps_are_averaged_as_by_average_pooling(radius: int) -> None:
    maps = noise(radius)
    pooled = F.avg_pool2d(maps, 2 * radius + 1, stride=1, padding=radius)
    torch.testing.assert_close(averaged(maps, radius), pooled)


@pytest.mark.parametrize("steps", [0, 1, 2, 5, 50])
def test_a_mask_spreads_step_by_step_inside_another(steps: int) -> None:
    within = noise(0) > 0.3
    found = within & (noise(1) > 0.9)
    expected = found.float()
    for _ in range(steps):
        expected = F.max_pool2d(expected, 3, stride=1, padding=1) * within
    assert torch.equal(spread(found, within, steps), expected > 0)
