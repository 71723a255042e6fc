"""Legs that a photo of half a body lacks are drawn in the colour of its trousers."""

from __future__ import annotations

import pytest
import torch
from test_extremities import GREY, HEIGHT, a_rendering, a_warp, body, standing

from scmnet_cli.inference.composition.drawn_legs import fading, like_trousers
from scmnet_cli.inference.composition.enlarging import enlarge
from scmnet_cli.models.part_warp import PartWarp
from scmnet_cli.regions import region_id

CUT, SHIN, THIGH = 150, 190, 164
BLUE = torch.tensor([-0.4, -0.1, 0.1])


def half_body(garment: str = "pants") -> PartWarp:
    """Return the warp of a photo of one colour that ends at the thighs."""
    labels = body()
    labels[110:CUT, 60:116] = region_id(garment)
    warp = a_warp(labels)
    known = (torch.arange(HEIGHT) < CUT).float()[:, None]
    image = torch.where(labels[None, None] > 0, BLUE[None, :, None, None], warp.image)
    return PartWarp(image, warp.regions * known, warp.coverage * known, warp.coordinates)


def test_drawn_legs_have_the_colour_of_the_trousers() -> None:
    image = enlarge(a_rendering(), half_body(), standing(), GREY).image[0]
    assert torch.allclose(image[:, THIGH, 75], BLUE, atol=0.15)
    assert torch.allclose(image[:, SHIN, 73], BLUE, atol=0.15)


def test_without_trousers_they_stay_as_they_are_drawn() -> None:
    image = enlarge(a_rendering(), half_body("skirt"), standing(), GREY).image[0]
    assert torch.allclose(image[:, SHIN, 73], torch.full((3,), -0.5), atol=1e-2)


def test_legs_that_the_photo_shows_stay_as_they_are_drawn() -> None:
    image = enlarge(a_rendering(), a_warp(body()), standing(), GREY).image[0]
    assert torch.allclose(image[:, SHIN, 73], torch.full((3,), -0.5), atol=1e-2)


def test_the_factor_of_a_colour_is_bounded() -> None:
    warp, legs = half_body(), torch.ones(1, 1, HEIGHT, 176)
    legs[..., :110, :] = 0
    drawn = torch.full_like(warp.image, -0.98)
    found = like_trousers(drawn, warp, legs, legs, torch.tensor([64.0]))
    assert (found[0, :, SHIN, 73] + 1) / 0.02 == pytest.approx(torch.tensor([2.5] * 3), abs=0.01)


def test_the_photos_pixels_fade_where_they_end_on_drawn_legs() -> None:
    warp, legs = half_body(), torch.zeros(1, 1, HEIGHT, 176)
    legs[..., 60:116] = 1
    kept = fading(warp, legs)[0, 0]
    assert kept[CUT - 1, 80] < 0.6
    assert kept[CUT - 20, 80] == 1
    assert (kept[:, :60] == 1).all()
