"""The colours of a person continue over the outline, so that no line of the background remains."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scmnet_cli.inference.composition.outlines import clean_outline
from scmnet_cli.regions import one_hot, region_id

HEIGHT, WIDTH = 800, 60
PERSON, RIM, BEYOND = 0.5, -1.0, 0.8


def a_photo(left: int, right: int) -> tuple[Tensor, Tensor]:
    """Return a person between two columns, whose border of one pixel has the colour of the old background."""
    labels = torch.full((HEIGHT, WIDTH), region_id("background"), dtype=torch.uint8)
    labels[:, left:right] = region_id("upper")
    image = torch.full((1, 3, HEIGHT, WIDTH), BEYOND)
    image[..., left:right] = RIM
    image[..., left + 1 : right - 1] = PERSON
    return image, one_hot(labels[None])


def test_the_outline_takes_the_colours_of_the_person() -> None:
    image, masks = a_photo(20, 40)
    cleaned = clean_outline(image, masks)
    torch.testing.assert_close(cleaned[..., 18:42], torch.full((1, 3, HEIGHT, 24), PERSON))
    assert torch.equal(cleaned[..., :18], image[..., :18]), "the background further away stays"


def test_what_is_thinner_than_two_outlines_keeps_its_pixels() -> None:
    image, masks = a_photo(20, 24)
    assert torch.equal(clean_outline(image, masks)[..., 20:24], image[..., 20:24])


def test_the_interior_keeps_its_pixels() -> None:
    _, masks = a_photo(20, 40)
    image = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    assert torch.equal(clean_outline(image, masks)[..., 22:38], image[..., 22:38])


def test_borders_between_two_regions_stay() -> None:
    image, masks = a_photo(0, WIDTH)
    masks[:, region_id("upper"), 400:] = 0
    masks[:, region_id("pants"), 400:] = 1
    image[:, :, 400:] = 0.1
    assert torch.equal(clean_outline(image, masks), image)


def test_the_rim_of_a_bare_arm_takes_the_colours_of_the_arm() -> None:
    """The shadow beside a shirt moved along with the arm as a dark line; the shirt keeps its pixels."""
    image, masks = a_photo(0, WIDTH)
    masks[:, region_id("upper"), :, 20:40] = 0
    masks[:, region_id("arms"), :, 20:40] = 1
    image[..., :20] = image[..., 40:] = BEYOND
    image[..., 20:40] = RIM
    image[..., 22:38] = PERSON
    cleaned = clean_outline(image, masks)
    torch.testing.assert_close(cleaned[..., 20:40], torch.full((1, 3, HEIGHT, 20), PERSON))
    assert torch.equal(cleaned[..., 2:20], image[..., 2:20])


@pytest.mark.parametrize("region", ["background", "upper"])
def test_a_photo_of_one_region_stays(region: str) -> None:
    image = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    masks = one_hot(torch.full((1, HEIGHT, WIDTH), region_id(region), dtype=torch.uint8))
    assert torch.equal(clean_outline(image, masks), image)
