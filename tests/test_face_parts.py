"""The pixels of eyes and brows that change: irises without the whites, brows without the skin between their hairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from test_face_edits import finer_faces

from scmnet_cli.images.cielab import cielab
from scmnet_cli.inference.edits.face_editing import edit_face
from scmnet_cli.inference.edits.face_parts import part_of
from scmnet_cli.regions import FACE_REGIONS
from scmnet_cli.types import Person, UInt8Array

WHITE, PALE, TANNED = (228, 222, 216), (232, 200, 186), (150, 110, 92)
BROWN, BLUE = (84, 56, 40), (70, 110, 165)
BROW_ROWS = slice(84, 98)
BROWS = (slice(92, 126), slice(136, 170))

Colour = tuple[int, int, int]


def with_irises(face: Person, iris: Colour) -> tuple[Person, UInt8Array]:
    """Paint white eyes with irises and pupils; return also where each is: 1 white, 2 iris, 3 pupil."""
    image, kinds = face.image.copy(), np.zeros(face.regions.shape, np.uint8)
    eyes = face.regions == FACE_REGIONS.index("eyes")
    rows, columns = np.nonzero(eyes)
    kinds[eyes] = 1
    grid = np.mgrid[:256, :256]
    middle = (columns.min() + columns.max()) / 2
    for own in (columns < middle, columns > middle):
        away = np.hypot(grid[0] - rows[own].mean(), grid[1] - columns[own].mean())
        kinds[eyes & (away < 6.5)] = 2
        kinds[eyes & (away < 2)] = 3
    for kind, colour in ((1, WHITE), (2, iris), (3, (15, 12, 12))):
        image[kinds == kind] = colour
    return replace(face, image=image), kinds


def test_an_edit_of_eyes_changes_the_irises_and_leaves_the_whites() -> None:
    face, other = finer_faces()
    (face, kinds), (other, _) = with_irises(face, BROWN), with_irises(other, BLUE)
    edit = edit_face(face, {"eyes": other})
    changed = np.abs(edit.person.image.astype(int) - face.image)
    near_iris = np.zeros_like(kinds, bool)
    for rows in range(-2, 3):
        for columns in range(-2, 3):
            near_iris |= np.roll(kinds >= 2, (rows, columns), (0, 1))
    assert changed[(kinds == 1) & ~near_iris].max() <= 3
    assert np.abs(edit.person.image[kinds == 2].mean(0) - BLUE).max() < 15
    assert edit.person.image[kinds == 3].mean() < 60
    assert np.array_equal(part_of(face, "eyes") & (kinds == 1) & ~near_iris, np.zeros_like(near_iris))


def test_eyes_without_whites_change_as_a_whole() -> None:
    face, other = finer_faces()
    eyes = face.regions == FACE_REGIONS.index("eyes")
    assert np.array_equal(part_of(face, "eyes"), eyes)
    assert (edit_face(face, {"eyes": other}).area[eyes] == 1).all()


def with_brows(face: Person, skin: Colour, brow: Colour, thickness: int) -> tuple[Person, UInt8Array]:
    """Paint skin of one colour and brows within a wider region; return also where brows (2) and their skin (1) are."""
    regions, image = face.regions.copy(), face.image.copy()
    image[np.isin(regions, [1, 5])] = skin
    kinds = np.zeros(regions.shape, np.uint8)
    first = (BROW_ROWS.start + BROW_ROWS.stop - thickness) // 2
    for columns in BROWS:
        regions[BROW_ROWS, columns] = FACE_REGIONS.index("brows")
        image[BROW_ROWS.start - 6 : BROW_ROWS.stop + 6, columns.start - 4 : columns.stop + 4] = skin
        kinds[BROW_ROWS, columns] = 1
        kinds[first : first + thickness, columns] = 2
    image[kinds == 2] = brow
    return replace(face, regions=regions, image=image), kinds


def lightness(image: UInt8Array, where: UInt8Array) -> float:
    return float(cielab(image)[where == 2, 0].mean())


def test_thin_brows_stay_thin_and_have_about_the_contrast_of_the_reference() -> None:
    face, other = finer_faces()
    face, kinds = with_brows(face, PALE, (176, 146, 134), 4)
    other, taken = with_brows(other, TANNED, (30, 20, 18), 10)
    edited = edit_face(face, {"brows": other}).person.image
    own_skin, other_skin = (cielab(np.uint8([[colour]]))[0, 0, 0] for colour in (PALE, TANNED))
    contrast = other_skin - lightness(other.image, taken)
    dark = lightness(edited, kinds)
    assert dark < lightness(face.image, kinds) - 10
    assert contrast < own_skin - dark < contrast + 12
    far = np.roll(kinds == 2, 2, 0) | np.roll(kinds == 2, -2, 0) | (kinds == 2)
    assert np.abs(edited.astype(int) - face.image)[(kinds == 1) & ~far].max() <= 3


def test_white_brows_become_dark_and_dark_brows_blond() -> None:
    face, other = finer_faces()
    white, kinds = with_brows(face, (205, 150, 130), (225, 222, 220), 8)
    dark, taken = with_brows(other, PALE, (60, 44, 40), 8)
    blackened = edit_face(white, {"brows": dark}).person.image
    assert lightness(blackened, kinds) < lightness(white.image, kinds) - 35
    blond, _ = with_brows(face, PALE, (190, 160, 120), 8)
    assert lightness(edit_face(dark, {"brows": blond}).person.image, taken) > lightness(dark.image, taken) + 30


def test_light_brows_do_not_glow_on_darker_skin() -> None:
    face, other = finer_faces()
    dark, kinds = with_brows(face, TANNED, (40, 30, 26), 8)
    blond, _ = with_brows(other, (250, 228, 214), (226, 200, 180), 8)
    edited = edit_face(dark, {"brows": blond}).person.image
    skin = cielab(np.uint8([[TANNED]]))[0, 0, 0]
    assert lightness(dark.image, kinds) + 10 < lightness(edited, kinds) < skin + 1


def test_a_pixel_that_is_half_hair_changes_half_as_much() -> None:
    face, other = finer_faces()
    hair, half = (60, 44, 40), tuple((a + b) // 2 for a, b in zip(PALE, (60, 44, 40), strict=True))
    dark, kinds = with_brows(face, PALE, hair, 8)
    first = (BROW_ROWS.start + BROW_ROWS.stop - 8) // 2
    fringe = np.zeros_like(kinds, bool)
    for columns in BROWS:
        fringe[first - 1, columns] = fringe[first + 8, columns] = True
    dark = replace(dark, image=np.where(fringe[..., None], np.uint8(half), dark.image))
    blond, _ = with_brows(other, PALE, (190, 150, 120), 8)
    before, edited = cielab(dark.image), cielab(edit_face(dark, {"brows": blond}).person.image)
    of_hairs, of_half = ((edited - before)[where, 0].mean() for where in (kinds == 2, fringe))
    assert 0.3 * of_hairs < of_half < 0.7 * of_hairs
    skin = cielab(np.uint8([[PALE]]))[0, 0, 0]
    assert edited[fringe, 0].max() < skin + 1


def test_brows_of_a_photo_in_coloured_light_are_as_those_of_the_photo_in_white_light() -> None:
    face, other = finer_faces()
    face, kinds = with_brows(face, PALE, (60, 44, 40), 8)
    brown, _ = with_brows(other, TANNED, (90, 60, 40), 8)
    plain = cielab(edit_face(face, {"brows": brown}).person.image)[kinds == 2].mean(0)
    for light in ((0.7, 1.0, 0.7), (1.0, 0.8, 0.6), (0.7, 0.8, 1.0)):
        lit = replace(brown, image=(brown.image * light).astype(np.uint8))
        changed = cielab(edit_face(face, {"brows": lit}).person.image)[kinds == 2].mean(0)
        assert np.abs(changed - plain)[1:].max() < 5


def test_grey_brows_are_not_blue_on_warm_skin() -> None:
    face, other = finer_faces()
    face, kinds = with_brows(face, (220, 160, 110), (60, 44, 30), 8)
    grey, _ = with_brows(other, (225, 200, 190), (170, 176, 186), 8)
    edited = cielab(edit_face(face, {"brows": grey}).person.image)[kinds == 2].mean(0)
    assert edited[1:].min() > 0


def test_brows_without_contrast_change_away_from_their_region_s_border() -> None:
    face, other = finer_faces()
    none, kinds = with_brows(face, PALE, PALE, 8)
    dark, _ = with_brows(other, PALE, (60, 44, 40), 8)
    change = np.abs(edit_face(none, {"brows": dark}).person.image.astype(int) - none.image).sum(2)
    middle = (BROW_ROWS.start + BROW_ROWS.stop) // 2
    columns = slice(BROWS[0].start + 8, BROWS[0].stop - 8)
    assert change[middle, columns].min() > 30
    assert change[BROW_ROWS.start, columns].max() < 10
    assert change[kinds == 0].max() == 0
