"""Colour transfer tells lightness that arrives from colour that arrives."""

from __future__ import annotations

import math

import pytest
import torch

from scmnet_cli.metrics.colour_transfer import colour_transfer, region_colours

WANTED = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.1, 0.6], [0.2, 0.8, 0.3], [-0.5, -0.5, -0.4]])


def test_colours_that_arrive_whole_score_one() -> None:
    for part in colour_transfer(WANTED, WANTED):
        assert part.slope == pytest.approx(1)
        assert part.correlation == pytest.approx(1)


def test_grey_of_the_right_lightness_carries_lightness_and_no_chroma() -> None:
    lightness, chroma = colour_transfer(WANTED, WANTED.mean(1, keepdim=True).expand(-1, 3))
    assert lightness.slope == pytest.approx(1)
    assert chroma.slope == pytest.approx(0, abs=1e-6)


def test_half_of_every_difference_is_a_slope_of_a_half_at_full_correlation() -> None:
    for part in colour_transfer(WANTED, WANTED / 2 + 0.1):
        assert part.slope == pytest.approx(0.5)
        assert part.correlation == pytest.approx(1)


def test_one_and_the_same_person_carries_nothing() -> None:
    lightness, _ = colour_transfer(WANTED, WANTED[:1].expand(4, -1))
    assert lightness.slope == 0
    assert math.isnan(lightness.correlation)


def test_region_colours_are_means_over_the_region() -> None:
    image = torch.tensor([[0.0, 1.0], [0.5, -1.0]]).expand(1, 3, 2, 2)
    masks = torch.tensor([[[[1.0, 1], [0, 0]], [[0, 0], [0, 1]], [[0, 0], [0, 0]]]])
    assert region_colours(image, masks)[0, :, 0].tolist() == [0.5, -1.0, 0.0]
