"""Clothes continue behind a bag."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from test_extremities import HEIGHT, WIDTH, standing

from scmnet_cli.data.cropping import crop_person, resized
from scmnet_cli.inference.limbs.bags import complete_at_bags, without_bags
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


def with_scene(person: Person) -> Person:
    scene = person.image.copy()
    scene[person.carried] = BAG
    return replace(person, scene=scene)


def test_a_skirt_continues_behind_a_bag_that_goes() -> None:
    given = a_person(SKIRT, slice(84, 124))
    person = complete_at_bags(with_scene(given))
    assert (person.regions[136:164, 60:116] == SKIRT).all()
    assert not person.regions[136:164, 118:].any()
    assert (person.image[given.carried & (person.regions > 0)] == CLOTH).all()
    assert (person.image[given.carried & (person.regions == 0)] == GREY).all()


def test_clothes_are_completed_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    assert (complete_at_bags(with_scene(a_person(SKIRT, slice(84, 124)))).regions[136:164, 60:116] == SKIRT).all()
    assert (without_bags(a_person(SKIRT)).regions[140:160, 105:115] == SKIRT).all()


def a_top(missing: str = "") -> Person:
    """A top whose left side in the picture is dark, with a bag before its right side."""
    regions = np.zeros((HEIGHT, WIDTH), np.uint8)
    regions[60:140, 60:116] = UPPER
    carried = np.zeros((HEIGHT, WIDTH), bool)
    carried[90:120, 96:118] = True
    regions[carried] = 0
    image = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    image[regions > 0] = CLOTH
    image[100:110, 60:80][regions[100:110, 60:80] > 0] = CLOTH // 2
    return Person("me", image, regions, standing(missing)[0].numpy(), carried=carried)


def test_behind_a_bag_a_top_is_that_of_the_other_side() -> None:
    given = a_top()
    person = complete_at_bags(with_scene(given))
    middle = (slice(103, 107), slice(100, 106))
    assert (person.regions[middle] == UPPER).all()
    assert person.image[middle].mean() < 0.75 * CLOTH, "the stripe of the other side continues"
    assert not person.regions[given.carried].all(), "beyond the other side's outline the bag is background"


def test_a_bag_stays_where_the_other_side_is_not_known() -> None:
    given = a_top("left_shoulder")
    person = complete_at_bags(with_scene(given))
    assert (person.regions[given.carried] == UPPER).all()
    assert (person.image[given.carried] == BAG).all()


def test_a_piece_of_a_bag_that_the_map_takes_for_clothes_goes_with_it() -> None:
    given = a_person(SKIRT, slice(84, 124))
    given.regions[160:168, 125:131], given.image[160:168, 125:131] = PANTS, BAG
    given.regions[200:206, 20:26] = PANTS
    person = complete_at_bags(with_scene(given))
    assert not person.regions[158:180, 120:].any()
    assert (person.image[158:180, 120:] == GREY).all()
    assert (person.regions[200:206, 20:26] == PANTS).all(), "far from the bag nothing changes"


def test_a_bag_that_hangs_beside_the_body_does_not_stay() -> None:
    given = a_person(SKIRT, slice(130, 170))
    assert complete_at_bags(given) is given


def test_a_bag_of_which_most_hangs_beside_the_body_does_not_stay() -> None:
    """Beyond the reach of the part that carries it, half of it would fade."""
    given = a_person(SKIRT, slice(100, 160))
    assert complete_at_bags(given) is given


def test_a_bag_before_a_dress_stays_although_arms_surround_it() -> None:
    """Without it the dress has a hole from waist to knees."""
    given = a_person(SKIRT, slice(80, 96))
    for beside in (slice(60, 80), slice(96, 116)):
        given.regions[136:164, beside] = region_id("arms")
    person = complete_at_bags(given)
    assert (person.regions[given.carried] == SKIRT).all()


def test_what_is_not_carried_stays() -> None:
    given = a_person(SKIRT)
    for person in (replace(given, carried=None), replace(given, carried=np.zeros_like(given.carried))):
        assert without_bags(person) is person
        assert complete_at_bags(person) is person


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
