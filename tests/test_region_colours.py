"""Colours of a photo are evidence for its regions: lost hands, sleeves taken for arms, strangers of the same colour."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from scmnet_cli.analyser.colours import with_colours
from scmnet_cli.regions import NUM_REGIONS, region_id
from scmnet_cli.skeleton import JOINTS, NUM_JOINTS
from scmnet_cli.types import FloatArray, UInt8Array

HEIGHT, WIDTH, CELL = 288, 192, 2
BACKGROUND, FACE, UPPER, ARMS = (region_id(name) for name in ("background", "face", "upper", "arms"))
COLOUR = {BACKGROUND: (110, 120, 105), FACE: (214, 170, 150), UPPER: (170, 40, 50), ARMS: (214, 170, 150)}

Labels = npt.NDArray[np.uint8]


def person() -> tuple[Labels, FloatArray]:
    """Return the true map and the joints of a half body whose right arm points to the left, with a bare hand."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[(abs(x - 120) < 35) & (y > 90)] = UPPER
    labels[(x - 120) ** 2 + (y - 55) ** 2 < 25**2] = FACE
    labels[(abs(y - 110) < 10) & (x > 50) & (x < 100)] = UPPER  # the sleeve
    labels[(x - 36) ** 2 + (y - 110) ** 2 < 15**2] = ARMS  # the hand
    joints = np.zeros((NUM_JOINTS, 3), np.float32)
    places = {"neck": (120, 92), "right_shoulder": (95, 105), "left_shoulder": (145, 105), "right_elbow": (75, 110),
              "right_wrist": (50, 110), "right_hip": (105, 200), "left_hip": (135, 200)}  # fmt: skip
    for name, place in places.items():
        joints[JOINTS.index(name)] = (*place, 1)
    return labels, joints


def probabilities(labels: Labels, blur: float = 1.0) -> FloatArray:
    """Return what a network gives that takes the photo for ``labels``."""
    shares = (np.arange(NUM_REGIONS)[:, None, None] == labels).astype(np.float32)
    cells = shares.reshape(NUM_REGIONS, HEIGHT // CELL, CELL, WIDTH // CELL, CELL).mean((2, 4))
    return np.asarray(ndimage.gaussian_filter(cells, (0, blur, blur)), np.float32)


def photo(labels: Labels) -> UInt8Array:
    palette = np.array([COLOUR.get(region, (0, 0, 0)) for region in range(NUM_REGIONS)], float)
    noisy = palette[labels] + np.random.default_rng(0).normal(0, 4, (HEIGHT, WIDTH, 3))
    return noisy.clip(0, 255).astype(np.uint8)


def inside() -> npt.NDArray[np.bool_]:
    return np.ones((HEIGHT, WIDTH), bool)


def share(found: FloatArray, mask: npt.NDArray[np.bool_], region: int) -> float:
    """Return the share of a mask of the crop that is a region in the result."""
    cells = mask[::CELL, ::CELL]
    return float((found.argmax(0)[cells] == region).mean())


def test_a_hand_that_the_network_lost_is_found() -> None:
    """It is nine times as sure of the background there."""
    true, joints = person()
    seen = true.copy()
    seen[true == ARMS] = BACKGROUND
    before = 0.9 * probabilities(seen) + 0.1 * probabilities(true)
    after = with_colours(before, joints, photo(true), inside())
    assert share(before, true == ARMS, ARMS) == 0
    assert share(after, true == ARMS, ARMS) > 0.9
    assert share(after, true == BACKGROUND, BACKGROUND) > 0.99
    np.testing.assert_allclose(after.sum(0), 1, atol=1e-5)


def test_a_sleeve_that_the_network_took_for_an_arm_is_a_garment() -> None:
    true, joints = person()
    x = np.mgrid[:HEIGHT, :WIDTH][1]
    sleeve = (true == UPPER) & (x < 85)
    seen = np.where(sleeve, ARMS, true).astype(np.uint8)
    before = 0.9 * probabilities(seen) + 0.1 * probabilities(true)
    after = with_colours(before, joints, photo(true), inside())
    assert share(before, sleeve, UPPER) < 0.1
    assert share(after, sleeve, UPPER) > 0.9
    assert share(after, true == ARMS, ARMS) > 0.9


def test_the_rim_of_a_sleeve_is_no_skin() -> None:
    """Where a sleeve's red and the wall's green mix, the colour is that of skin."""
    true, joints = person()
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    rim = (x > 54) & (x < 82) & ((y == 98) | (y == 99))
    crop = photo(true)
    crop[rim] = COLOUR[ARMS]
    before = probabilities(true)
    unsure = rim[::CELL, ::CELL]
    before[:, unsure] = 0
    for region, probability in ((BACKGROUND, 0.4), (UPPER, 0.4), (ARMS, 0.2)):
        before[region, unsure] = probability
    after = with_colours(before, joints, crop, inside())
    assert share(after, rim, ARMS) == 0


def test_a_stranger_in_the_same_colours_stays_background() -> None:
    """A red coat beyond the hand is near enough to be asked for, but no part of the person."""
    true, joints = person()
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    coat = (abs(x - 36) < 12) & (abs(y - 82) < 8)
    looks = np.where(coat, UPPER, true).astype(np.uint8)
    after = with_colours(probabilities(true), joints, photo(looks), inside())
    assert share(after, coat, BACKGROUND) > 0.95


def test_pixels_that_the_network_is_sure_of_keep_their_region() -> None:
    """A print in the skin's colour on the chest is no arm; grey patches of it are no hole."""
    true, joints = person()
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for colour in (COLOUR[ARMS], COLOUR[BACKGROUND]):
        crop = photo(true)
        crop[(abs(x - 120) < 12) & (abs(y - 170) < 12)] = colour
        after = with_colours(probabilities(true), joints, crop, inside())
        assert share(after, (abs(x - 120) < 20) & (abs(y - 170) < 20), UPPER) == 1


def test_grey_beyond_the_photo_is_no_evidence() -> None:
    true, joints = person()
    crop, within = photo(true), inside()
    within[:, :30] = False
    crop[~within] = COLOUR[UPPER]
    after = with_colours(probabilities(true), joints, crop, within)
    assert share(after, ~within & (true == BACKGROUND), BACKGROUND) > 0.99


@pytest.mark.parametrize("case", ["no joints", "no face", "nobody", "everything"])
def test_hard_cases_give_probabilities(case: str) -> None:
    true, joints = person()
    seen = true.copy()
    if case == "no joints":
        joints = np.zeros_like(joints)
    elif case == "no face":
        seen[seen == FACE] = BACKGROUND
    elif case == "nobody":
        seen[:] = BACKGROUND
    else:
        seen[:] = UPPER
    before = probabilities(seen)
    after = with_colours(before, joints, photo(true), inside())
    assert after.shape == before.shape
    assert np.isfinite(after).all()
    np.testing.assert_allclose(after.sum(0), 1, atol=1e-4)
    if case in ("no joints", "nobody"):
        np.testing.assert_array_equal(after, before)


def test_a_wall_of_the_skins_colour_beside_an_arm_that_the_network_saw_is_no_arm() -> None:
    """Beside the hand alone, which is often lost in part, such a colour counts."""
    true, joints = person()
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    true = np.where((true == UPPER) & (x < 100) & (abs(y - 110) < 10), ARMS, true).astype(np.uint8)  # a bare arm
    wall = (x > 56) & (x < 84) & (y > 121) & (y < 140)
    looks = np.where(wall, ARMS, true).astype(np.uint8)
    before = 0.9 * probabilities(true) + 0.1 * probabilities(looks)
    after = with_colours(before, joints, photo(looks), inside())
    assert share(before, wall, BACKGROUND) == 1
    assert share(after, wall & (y > 124), BACKGROUND) == 1
    assert share(after, true == ARMS, ARMS) > 0.97
