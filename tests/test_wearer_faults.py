"""Faults of a wearer's region map that the photo contradicts: shadows, gaps between fingers, cloth beside a bag."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from test_editing import PANTS, full_size, regions_of
from test_fitting import relabelled

from scmnet_cli.images import PLAIN_GREY
from scmnet_cli.inference.edits.mirrored_hands import mirrored_hands
from scmnet_cli.inference.edits.wearer_faults import corrected, trousers_corrected, without_shadows
from scmnet_cli.inference.limb_places import limb_places, torso_length
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Person

GROUND, CLOTH, SHADOW, SKIN = (200, 180, 150), (60, 70, 120), (40, 42, 60), (200, 150, 125)


def in_scene(person: Person) -> Person:
    """Return a person before ground that has the photo's colours."""
    scene = person.image.copy()
    scene[person.regions == BACKGROUND] = GROUND
    return replace(person, scene=scene)


def painted(person: Person, pixels, colour) -> Person:
    """Return a person whose photo has a colour at some pixels."""
    assert person.scene is not None
    image, scene = person.image.copy(), person.scene.copy()
    image[pixels], scene[pixels] = colour, colour
    return replace(person, image=image, scene=scene)


def test_a_shadow_beside_a_calf_is_no_trousers() -> None:
    person = in_scene(full_size(PANTS, "wearer", {"pants": CLOTH}))
    size = torso_length(person)
    place, away = limb_places(person)[2]
    columns = np.arange(person.regions.shape[1])[None]
    knee = person.joints[JOINTS.index("right_knee"), 0]
    own = regions_of(person, "pants")
    shadow = (place > 1.2) & (place < 1.7) & (away < 0.4) & (columns < knee - 0.02 * size) & ~own
    mapped = painted(relabelled(person, shadow, "pants", SHADOW), shadow, SHADOW)
    found = corrected(mapped, "skirt")
    assert shadow.sum() > 100
    assert (found.regions[shadow] == BACKGROUND).mean() > 0.9
    assert (found.image[shadow & (found.regions == BACKGROUND)] == PLAIN_GREY).all()
    legs = ndimage.binary_erosion(own, iterations=4)
    assert (found.regions[legs] == region_id("pants")).all()


@pytest.mark.parametrize(
    ("first", "last", "removed"),
    [(1.2, 1.7, True), (1.35, 1.65, False), (1.5, 1.7, False)],
    ids=["large", "as wide trousers", "small"],
)
def test_a_large_shadow_does_not_move_along_with_the_legs(first: float, last: float, removed: bool) -> None:
    """Small ones are as often puffy cuffs, and stay."""
    person = in_scene(full_size(PANTS, "wearer", {"pants": CLOTH}))
    place, away = limb_places(person)[2]
    columns = np.arange(person.regions.shape[1])[None]
    knee = person.joints[JOINTS.index("right_knee"), 0]
    beside = (away < 0.4) & (columns < knee - 0.02 * torso_length(person)) & ~regions_of(person, "pants")
    shadow = (place > first) & (place < last) & beside
    found = without_shadows(painted(relabelled(person, shadow, "pants", SHADOW), shadow, SHADOW))
    assert ((found.regions[shadow] == BACKGROUND).mean() > 0.8) == removed
    legs = ndimage.binary_erosion(regions_of(person, "pants"), iterations=4)
    assert (found.regions[legs] == region_id("pants")).all()


def test_without_the_scene_no_shadow_is_seen() -> None:
    person = full_size(PANTS, "wearer", {"pants": CLOTH})
    assert without_shadows(replace(person, scene=None)).regions is person.regions


def with_hand() -> tuple[Person, np.ndarray]:
    """Return a person whose bare right arm hangs beside the hip, and the pixels between the fingers."""
    person = full_size(PANTS, "wearer", {"pants": CLOTH})
    joints, size = person.joints.copy(), torso_length(person)
    shoulder, elbow, wrist = (JOINTS.index(f"right_{name}") for name in ("shoulder", "elbow", "wrist"))
    joints[elbow, :2] = joints[shoulder, :2] + (-0.2 * size, 0.5 * size)
    joints[wrist, :2] = joints[elbow, :2] + (-0.1 * size, 0.5 * size)
    person = in_scene(replace(person, joints=joints))
    place, away = limb_places(person)[0]
    arm = (away < 0.06) & (place > 0.6) & (place < 2.6)
    person = painted(relabelled(person, arm, "arms", SKIN), arm, SKIN)
    gap = (away < 0.02) & (place > 2.3) & (place < 2.5) & arm
    return person, gap


def test_a_gap_between_fingers_is_what_shows_through_it() -> None:
    person, gap = with_hand()
    found = corrected(painted(person, gap, GROUND), "skirt")
    assert gap.sum() > 10
    assert (found.regions[gap] == region_id("arms")).mean() < 0.2
    assert (corrected(person, "skirt").regions[gap] == region_id("arms")).all(), "a hand without a gap stays"


def test_a_buckle_in_trousers_goes_with_them() -> None:
    person = in_scene(full_size(PANTS, "wearer", {"pants": CLOTH}))
    own = regions_of(person, "pants")
    rows, columns = np.nonzero(ndimage.binary_erosion(own, iterations=8))
    middle = len(rows) // 2
    y, x = np.mgrid[: own.shape[0], : own.shape[1]]
    buckle = np.hypot(y - rows[middle], x - columns[middle]) < 4
    found = corrected(relabelled(person, buckle, "upper", (230, 230, 220)), "pants")
    assert (found.regions[buckle] == region_id("pants")).all()


def test_cloth_that_counts_as_the_bag_before_it_goes_with_the_cloth() -> None:
    person = in_scene(full_size(PANTS, "wearer", {"pants": CLOTH}))
    own, size = regions_of(person, "pants"), torso_length(person)
    rows, columns = np.nonzero(own)
    hip = rows < np.quantile(rows, 0.3)
    x, y = columns[hip].min(), np.median(rows[hip])
    far = np.hypot(*(np.mgrid[: own.shape[0], : own.shape[1]] - np.array([y, x])[:, None, None]))
    bag, rim = far < 0.3 * size, (far < 0.36 * size) & own
    person = painted(relabelled(person, bag, "background", PLAIN_GREY), bag, (235, 235, 225))
    mapped = replace(relabelled(person, rim, "background", PLAIN_GREY), carried=bag | rim)
    cloth = rim & ~bag
    found = corrected(mapped, "pants")
    assert found.carried is not None
    assert cloth.sum() > 20
    assert (found.regions[cloth] == region_id("pants")).mean() > 0.8
    assert not found.carried[cloth & (found.regions == region_id("pants"))].any()
    assert found.carried[far < 0.25 * size].all()
    black = painted(mapped, bag, CLOTH)
    same = corrected(black, "upper").regions[cloth] == black.regions[cloth]
    assert same.mean() > 0.9, "colours do not tell; the outline is evened"


def test_lower_legs_that_count_as_a_skirt_are_trousers_of_a_reference_and_ground_between_them_is_not() -> None:
    person = in_scene(full_size(PANTS, "reference", {"pants": CLOTH}))
    own = regions_of(person, "pants")
    place = limb_places(person)[2][0]
    rows = np.flatnonzero(own.any(1))
    lower = own & (np.arange(len(own))[:, None] > rows[0] + 0.7 * len(rows)) & (place > 0.9)
    gap = ndimage.binary_closing(own, iterations=25) & ~own & (np.arange(len(own))[:, None] > rows[0] + 0.4 * len(rows))
    mapped = painted(relabelled(person, gap, "pants", GROUND), gap, GROUND)
    found = trousers_corrected(relabelled(mapped, lower, "skirt"))
    assert lower.sum() > 50
    assert gap.sum() > 50
    assert (found.regions[lower] == region_id("pants")).all()
    assert (found.regions[ndimage.binary_erosion(gap, iterations=2)] == BACKGROUND).mean() > 0.9
    assert (found.regions[ndimage.binary_erosion(own, iterations=3)] == region_id("pants")).mean() > 0.98
    assert trousers_corrected(replace(mapped, scene=None)).regions is mapped.regions


@pytest.mark.parametrize("divided", [True, False], ids=["a line between them", "one piece"])
def test_the_mirror_image_of_a_hand_in_shiny_cloth_is_cloth(divided: bool) -> None:
    skin = (224, 172, 140)
    wearer = full_size(PANTS, "shiny", {"face": skin, "arms": skin})
    wrist = wearer.joints[JOINTS.index("right_wrist")]
    row, column = round(float(wrist[1])), round(float(wrist[0]))
    image, labels = wearer.image.copy(), wearer.regions.copy()
    area = (slice(row - 30, row + 40), slice(column - 4, column + 60))
    image[area], labels[area] = (170, 175, 180), region_id("skirt")
    arm, line, mirrored = (
        (slice(row - 30, row + 24), slice(column - 4, column + 10)),
        (slice(row - 30, row + 24), slice(column + 10, column + 13)),
        (slice(row - 6, row + 24), slice(column + 13, column + 27)),
    )
    image[arm] = image[mirrored] = skin
    if not divided:
        image[line] = skin
    labels[arm] = labels[line] = labels[mirrored] = region_id("arms")
    found = mirrored_hands(replace(wearer, image=image, regions=labels, scene=image))
    assert (found[mirrored].mean() > 0.9) == divided
    assert not found[arm].any()


def test_a_bag_before_clothes_has_an_even_outline_without_slivers_of_background() -> None:
    wearer = full_size(PANTS, "bag", {})
    pants = regions_of(wearer, "pants")
    rows, columns = np.nonzero(pants)
    top, left = rows.min() + 10, round(float(np.quantile(columns, 0.25)))
    bag, sliver = np.zeros_like(pants), np.zeros_like(pants)
    bag[top : top + 40, left:] = True
    steps = (
        bag
        & (np.arange(len(pants))[:, None] > top + 20)
        & (np.arange(pants.shape[1]) < left + 3)
        & (np.arange(len(pants))[:, None] % 2 < 1)
    )
    bag &= ~steps
    sliver[top : top + 18, left - 1] = True
    image = np.where((bag | sliver)[..., None], np.uint8(20), wearer.image)
    labels = np.where(bag | sliver, np.uint8(BACKGROUND), wearer.regions)
    wearer = replace(wearer, image=image, regions=labels, scene=image, carried=bag)
    found = corrected(wearer, "pants")
    assert found.carried is not None
    edges = [int(np.flatnonzero(found.carried[row])[0]) for row in range(top + 22, top + 36)]
    assert np.abs(np.diff(edges)).mean() < 1, "it was 3"
    between = ~found.carried & (found.regions == BACKGROUND)
    assert not (between & sliver)[top + 4 : top + 16].any()
