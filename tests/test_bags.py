"""Clothes continue behind a bag."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_extremities import HEIGHT, WIDTH, standing

from scmnet_cli.data.cropping import crop_person, resized
from scmnet_cli.inference.bags import with_bags, without_bags
from scmnet_cli.regions import region_id
from scmnet_cli.types import Canvas, Person

SKIRT, PANTS, UPPER = (region_id(name) for name in ("skirt", "pants", "upper"))
CLOTH, BAG, GREY = 90, 40, 230


def a_person(region: int, bag: slice = slice(104, 172)) -> Person:
    """A garment from the hips down to the knees, columns 60 to 116, with a bag that hides its side."""
    regions = np.zeros((HEIGHT, WIDTH), np.uint8)
    regions[60:124, 66:110] = UPPER
    regions[124:180, 60:116] = region
    carried = np.zeros((HEIGHT, WIDTH), bool)
    carried[136:164, bag] = True
    regions[carried] = 0
    image = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    image[regions > 0] = CLOTH
    return Person("me", image, regions, standing()[0].numpy(), carried=carried)


@pytest.mark.parametrize("region", [SKIRT, PANTS, UPPER])
def test_a_garment_continues_behind_a_bag_up_to_the_line_between_its_outlines(region: int) -> None:
    person = without_bags(a_person(region))
    assert (person.regions[140:160, 105:115] == region).all()
    assert (person.image[140:160, 105:115] == CLOTH).all()
    assert not person.regions[140:160, 118:].any(), "beside the body the bag stays background"
    assert (person.image[140:160, 118:] == GREY).all()


def test_a_bag_that_touches_a_garment_stays_with_it() -> None:
    given = a_person(SKIRT, slice(84, 124))
    scene = given.image.copy()
    scene[given.carried] = BAG
    person = with_bags(replace(given, scene=scene))
    assert (person.regions[given.carried] == SKIRT).all()
    assert (person.image[given.carried] == BAG).all()


def test_a_bag_that_hangs_beside_the_body_does_not_stay() -> None:
    given = a_person(SKIRT, slice(130, 170))
    assert with_bags(given) is given


def test_a_bag_of_which_most_hangs_beside_the_body_does_not_stay() -> None:
    """Beyond the reach of the part that carries it, half of it would fade."""
    given = a_person(SKIRT, slice(100, 160))
    assert with_bags(given) is given


def test_a_bag_before_a_dress_stays_although_arms_surround_it() -> None:
    """Without it the dress has a hole from waist to knees."""
    given = a_person(SKIRT, slice(80, 96))
    for beside in (slice(60, 80), slice(96, 116)):
        given.regions[136:164, beside] = region_id("arms")
    person = with_bags(given)
    assert (person.regions[given.carried] == SKIRT).all()


def test_what_is_not_carried_stays() -> None:
    given = a_person(SKIRT)
    for person in (replace(given, carried=None), replace(given, carried=np.zeros_like(given.carried))):
        assert without_bags(person) is person
        assert with_bags(person) is person


def test_a_gap_between_legs_without_a_bag_stays() -> None:
    given = a_person(PANTS)
    regions, carried = given.regions.copy(), np.zeros_like(given.carried)
    regions[140:180, 84:92] = 0
    carried[200:220, 120:150] = True
    person = replace(given, regions=regions, carried=carried)
    assert np.array_equal(without_bags(person).regions, regions)


def test_what_is_carried_is_cropped_and_resized_with_the_person() -> None:
    given = a_person(SKIRT)
    smaller = resized(given, Canvas(HEIGHT // 2, WIDTH // 2))
    assert smaller.carried is not None
    assert np.array_equal(smaller.carried, given.carried[1::2, 1::2])
    cropped, box = crop_person(given, Canvas(HEIGHT, WIDTH), "plain")
    assert cropped.carried is not None
    assert np.array_equal(cropped.carried, box.crop_labels(given.carried.astype(np.uint8)) > 0)
