"""Colour transfer measures lightness and chroma separately."""

from __future__ import annotations

import math

import pytest
import torch

from scmnet_cli.metrics.colour_transfer import colour_transfer, region_colours

WANTED = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.1, 0.6], [0.2, 0.8, 0.3], [-0.5, -0.5, -0.4]])


def test_fully_transferred_colours_score_one() -> None:
    for part in colour_transfer(WANTED, WANTED):
        assert part.slope == pytest.approx(1)
        assert part.correlation == pytest.approx(1)


def test_grey_of_the_right_lightness_transfers_lightness_and_no_chroma() -> None:
    lightness, chroma = colour_transfer(WANTED, WANTED.mean(1, keepdim=True).expand(-1, 3))
    assert lightness.slope == pytest.approx(1)
    assert chroma.slope == pytest.approx(0, abs=1e-6)


def test_half_of_every_difference_gives_slope_one_half_and_correlation_one() -> None:
    for part in colour_transfer(WANTED, WANTED / 2 + 0.1):
        assert part.slope == pytest.approx(0.5)
        assert part.correlation == pytest.approx(1)


def test_identical_results_give_slope_zero() -> None:
    lightness, _ = colour_transfer(WANTED, WANTED[:1].expand(4, -1))
    assert lightness.slope == 0
    assert math.isnan(lightness.correlation)


def test_region_colours_are_means_over_the_region() -> None:
    image = torch.tensor([[0.0, 1.0], [0.5, -1.0]]).expand(1, 3, 2, 2)
    masks = torch.tensor([[[[1.0, 1], [0, 0]], [[0, 0], [0, 1]], [[0, 0], [0, 0]]]])
    assert region_colours(image, masks)[0, :, 0].tolist() == [0.5, -1.0, 0.0]
