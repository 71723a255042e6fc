"""Tops of people, from whom others get them, divided into trunk and sleeves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from scmnet_cli.images import PLAIN_GREY
from scmnet_cli.inference.edits.worn_sleeves import divided_top
from scmnet_cli.inference.limb_places import limb_places
from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Person

UPPER = region_id("upper")
RED, GREEN, BLACK, WALL = (190, 30, 40), (40, 130, 60), (12, 12, 16), (200, 205, 215)
PLACES = {
    "nose": (150, 60), "neck": (150, 100), "right_shoulder": (110, 100), "left_shoulder": (190, 100),
    "right_elbow": (92, 165), "left_elbow": (208, 165), "right_wrist": (84, 235), "left_wrist": (216, 235),
    "right_hip": (125, 230), "left_hip": (175, 230), "right_knee": (125, 310), "left_knee": (175, 310),
    "right_ankle": (125, 390), "left_ankle": (175, 390),
}  # fmt: skip
ROWS, COLUMNS = np.mgrid[:400, :300]
TRUNK = (abs(COLUMNS - 150) < 48) & (ROWS > 95) & (ROWS < 240)


def person(sleeve: float = 1.95) -> Person:
    """Return somebody in a red top with green sleeves of some length, before a wall."""
    joints = np.zeros((18, 3), np.float32)
    for name, place in PLACES.items():
        joints[JOINTS.index(name)] = (*place, 1)
    blank = Person("reference", np.zeros((400, 300, 3), np.uint8), np.zeros((400, 300), np.uint8), joints)
    sleeves = np.zeros_like(TRUNK)
    for place, away in limb_places(blank)[:2]:
        sleeves |= (away < 0.09) & (place > 0) & (place < sleeve)
    scene = np.full((400, 300, 3), WALL, np.uint8)
    scene[TRUNK], scene[sleeves] = RED, GREEN
    top = TRUNK | sleeves
    image = np.where(top[..., None], scene, np.uint8(PLAIN_GREY))
    return replace(blank, image=image, regions=(top * np.uint8(UPPER)).astype(np.uint8), scene=scene)


def test_sleeves_have_nothing_of_the_trunk_and_the_trunk_no_forearms() -> None:
    worn = person()
    top = divided_top(worn)
    assert top is not None
    assert worn.scene is not None
    forearms, red = (worn.scene == GREEN).all(-1) & (ROWS > 175), (worn.scene == RED).all(-1)
    assert (ndimage.binary_dilation(forearms) & red).any(), "they touch"
    assert top.sleeves[forearms].mean() > 0.9
    assert top.trunk[forearms].mean() < 0.02
    assert top.sleeves[red & (ROWS > 175)].mean() < 0.02
    assert top.trunk[ndimage.binary_erosion(red, iterations=3)].mean() > 0.95


def test_a_bag_below_an_arm_is_neither_trunk_nor_sleeve() -> None:
    worn = person()
    assert worn.scene is not None
    bag = (worn.scene != RED).any(-1) & (abs(COLUMNS - 228) < 14) & (abs(ROWS - 240) < 18)
    bag &= (worn.scene != GREEN).any(-1) | (ROWS > 232)
    bag |= (abs(COLUMNS - 204) < 8) & (abs(ROWS - 225) < 15) & (worn.scene != RED).any(-1)
    scene = worn.scene.copy()
    scene[bag] = BLACK
    top = divided_top(replace(worn, regions=np.where(bag, np.uint8(UPPER), worn.regions), scene=scene))
    assert top is not None
    inner = ndimage.binary_erosion(bag & (COLUMNS < 212), iterations=2)
    assert inner.any()
    assert (top.trunk | top.sleeves)[inner].mean() < 0.1


def test_short_sleeves_photos_without_a_scene_and_side_views_are_not_divided() -> None:
    assert divided_top(person()) is not None
    assert divided_top(replace(person(), scene=None)) is None
    assert divided_top(person(sleeve=1.2)) is None
    joints = person().joints.copy()
    joints[[JOINTS.index("right_shoulder"), JOINTS.index("left_shoulder")], 0] = (140, 160)
    assert divided_top(replace(person(), joints=joints)) is None
