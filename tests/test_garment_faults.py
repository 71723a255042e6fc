"""Bags, background, watches and labels that a region map takes for a garment, or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage
from test_editing import (
    GREEN,
    PANTS,
    RED,
    SKIRT,
    full_size,
    regions_of,
)
from test_fitting import relabelled

from scmnet_cli.images import PLAIN_GREY
from scmnet_cli.inference.edits.garment_faults import held_in_hands, label, without_foreign, without_foreign_edge
from scmnet_cli.inference.edits.wearer_faults import corrected
from scmnet_cli.inference.limb_places import limb_places, torso_length
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.skeleton import JOINTS


def test_a_bag_at_the_outline_is_no_part_of_a_skirt_and_its_print_is() -> None:
    person = full_size(SKIRT, "other", {"skirt": RED})
    skirt = regions_of(person, "skirt")
    rows, columns = np.nonzero(skirt)
    y, x = np.mgrid[: skirt.shape[0], : skirt.shape[1]]
    edge = columns[rows == int(np.median(rows))].max()
    bag = (abs(y - np.median(rows)) < 12) & (x > edge - 4) & (x < edge + 10)
    printed = skirt & (np.hypot(y - np.median(rows), x - np.median(columns)) < 9)
    person = relabelled(relabelled(person, printed, "skirt", (240, 220, 40)), bag, "skirt", (20, 160, 90))
    kept = without_foreign(person, "skirt", regions_of(person, "skirt"))
    assert kept[bag].mean() < 0.35
    assert kept[printed].all()
    assert kept[skirt & ~bag].mean() > 0.9
    whole = regions_of(person, "skirt")
    assert without_foreign(person, "upper", whole) is whole, "tops and hair have many colours"


def test_the_shaded_side_of_a_bag_goes_with_it_though_the_garment_has_some_of_its_colour() -> None:
    person = full_size(SKIRT, "other", {"skirt": RED})
    skirt = regions_of(person, "skirt")
    rows, columns = np.nonzero(skirt)
    y, x = np.mgrid[: skirt.shape[0], : skirt.shape[1]]
    middle, edge = int(np.median(rows)), columns[rows == int(np.median(rows))].max()
    bag = (abs(y - middle) < 12) & (x > edge) & (x < edge + 12)
    shaded = (abs(y - middle) < 12) & (x >= edge + 12) & (x < edge + 20)
    folds = skirt & (abs(x - np.median(columns)) < 7) & (abs(y - middle) < 7)  # as dark
    person = relabelled(relabelled(person, folds, "skirt", (60, 20, 20)), bag, "skirt", (20, 160, 90))
    person = relabelled(person, shaded, "skirt", (60, 20, 20))
    kept = without_foreign(person, "skirt", regions_of(person, "skirt"))
    assert kept[shaded].mean() < 0.2
    assert kept[folds].all()


def test_background_beside_a_leg_is_no_part_of_trousers() -> None:
    person = full_size(PANTS, "wearer", {"pants": (60, 70, 120)})
    own = regions_of(person, "pants")
    size = torso_length(person)
    place, away = limb_places(person)[2]
    rows = np.arange(len(own))[:, None]
    knee = person.joints[JOINTS.index("right_knee"), 1]
    beside = ndimage.binary_dilation(own, iterations=round(0.07 * size)) & ~own & (abs(rows - knee) < 0.2 * size)
    beside &= (place > 0.3) & (away < limb_places(person)[3][1]) & (person.regions == BACKGROUND)
    scene = person.image.copy()
    scene[person.regions == BACKGROUND] = (200, 180, 150)
    mapped = replace(relabelled(person, beside, "pants", (200, 180, 150)), scene=scene)
    found = corrected(mapped, "pants")
    outer = beside & (away > 0.14)
    assert outer.sum() > 30
    assert (found.regions[outer] == BACKGROUND).mean() > 0.4, "as far as it is not thin"
    assert (found.image[found.regions == BACKGROUND] == PLAIN_GREY).all()
    assert (found.regions[ndimage.binary_erosion(own, iterations=2)] == region_id("pants")).all()
    assert corrected(replace(mapped, scene=None), "pants") == replace(mapped, scene=None)


def test_a_watch_is_part_of_the_arm() -> None:
    person = full_size(PANTS, "wearer", {})
    place, away = limb_places(person)[0]
    arm = (away < 0.05) & (place > 0.5) & (place < 2.3)
    watch = arm & (place > 1.82) & (place < 1.9)
    scene = person.image.copy()
    scene[watch] = (20, 20, 20)
    person = relabelled(person, arm, "arms")
    person = replace(relabelled(person, watch, "background", PLAIN_GREY), scene=scene)
    found = corrected(person, "skirt")
    assert (found.regions[watch] == region_id("arms")).mean() > 0.8
    assert np.array_equal(found.image[found.regions == region_id("arms")], scene[found.regions == region_id("arms")])
    assert corrected(person, "hair") is person


def test_a_makers_label_in_the_neck_is_found_and_a_print_on_the_chest_is_not() -> None:
    person = full_size(PANTS, "wearer", {})
    size = torso_length(person)
    x, y = person.joints[JOINTS.index("neck"), :2]
    rows, columns = np.mgrid[: person.regions.shape[0], : person.regions.shape[1]]
    worn = (abs(columns - x) < 0.4 * size) & (rows > y - 0.1 * size) & (rows < y + 0.9 * size)
    colour = np.full((*worn.shape, 3), (220, 180, 40), np.float32)
    spots = [(abs(columns - x) < 4) & (abs(rows - y - away * size) < 3) for away in (0.0, 0.5)]
    for spot in spots:
        colour[spot] = (10, 10, 10)
    found = label(person, worn, colour)
    assert found[ndimage.binary_erosion(spots[0])].all()
    assert not found[spots[1]].any()
    assert found.sum() < (0.2 * size) ** 2


def test_what_a_hand_holds_is_no_sleeve() -> None:
    person = full_size(PANTS, "wearer", {})
    place, away = limb_places(person)[0]
    sleeves = (away < 0.08) & (place > 0) & (place < 1.9)
    colour = np.full((*sleeves.shape, 3), GREEN, np.float32)
    clutch = (away < 0.08) & (place > 1.4) & (place < 1.8)
    colour[clutch] = (240, 240, 240)
    held = held_in_hands(person, sleeves, colour)
    assert held[ndimage.binary_erosion(clutch, iterations=2)].all()
    assert not held[sleeves & (place < 1.2)].any()


def test_the_end_of_a_label_goes_with_it_though_a_print_has_its_colour() -> None:
    person = full_size(PANTS, "wearer", {"upper": GREEN})
    worn = regions_of(person, "upper")
    size, neck = torso_length(person), person.joints[JOINTS.index("neck")]
    rows, columns = np.mgrid[: worn.shape[0], : worn.shape[1]]
    tag = worn & (abs(rows - neck[1] - 0.03 * size) < 0.04 * size) & (abs(columns - neck[0]) < 0.08 * size)
    end = tag & (columns > neck[0] + 0.04 * size)
    printed = worn & (rows > neck[1] + 0.5 * size) & (rows < neck[1] + 0.6 * size)
    colour = person.image.astype(np.float32)
    colour[tag], colour[end | printed] = (240, 235, 230), (200, 150, 140)
    found = label(person, worn, colour)
    assert tag.any()
    assert end.any()
    assert found[tag].all()
    assert not found[printed].any()


def test_the_bed_in_an_armpit_is_no_part_of_a_flat_garment_and_its_print_is() -> None:
    rows, columns = np.mgrid[:200, :160]
    mask = (rows > 20) & (rows < 180) & (columns > 20) & (columns < 140)
    image = np.full((200, 160, 3), 220, np.uint8)
    image[mask] = (90, 90, 50)
    bed = mask & (columns < 24) & (abs(rows - 80) < 5)
    printed = mask & (np.hypot(rows - 100, columns - 80) < 4)
    image[bed], image[printed] = (230, 190, 170), (200, 30, 30)
    kept = without_foreign_edge(image, mask)
    assert bed.any()
    assert not kept[bed].any()
    assert kept[printed].all()
    assert kept[mask & ~bed].mean() > 0.99
    assert not without_foreign_edge(image, np.zeros_like(mask)).any()
