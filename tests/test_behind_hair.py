"""Behind removed hair: clothes, the side of the head and background, and no rim of the old hair."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from test_editing import (
    GREEN,
    PANTS,
    PHOTO,
    RED,
    dressed,
    edit,
    full_size,
    has_colour,
    regions_of,
    save_part_warp_model,
)

from scmnet_cli.errors import ScmError
from scmnet_cli.images import PLAIN_GREY
from scmnet_cli.inference.edits.behind_hair import (
    bare_head,
    behind_hair,
    gap_at_face,
    hair_rim,
    strands_beside,
    wisps_beside,
    with_hair_beside_face,
    with_seen_face,
)
from scmnet_cli.inference.edits.editing import edit_photo
from scmnet_cli.inference.edits.uncovered import gone
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Person

BLACK, SKIN = (12, 12, 16), (225, 175, 145)


def size_of(person: Person) -> float:
    neck, hips = person.joints[JOINTS.index("neck"), :2], person.joints[[8, 11], :2].mean(0)
    return float(np.hypot(*(neck - hips)))


def long_haired() -> Person:
    """Return a drawn person with black hair down to the chest, over the shoulders and beside the neck."""
    person = full_size(PANTS, "long", {"upper": GREEN, "face": SKIN, "hair": BLACK})
    image, labels = person.image.copy(), person.regions.copy()
    eyes = person.joints[[14, 15], :2].mean(0)
    size = size_of(person)
    rows, columns = np.mgrid[: labels.shape[0], : labels.shape[1]]
    tall = (rows > eyes[1] - 0.25 * size) & (rows < person.joints[JOINTS.index("neck"), 1] + 0.3 * size)
    hair = tall & (abs(columns - eyes[0]) < 0.45 * size) & (labels != region_id("face"))
    image[hair], labels[hair] = BLACK, region_id("hair")
    return replace(person, image=image, regions=labels)


def place(person: Person, across: float, down: float) -> tuple[int, int]:
    """Return row and column of a place relative to the neck, in torso lengths."""
    x, y = person.joints[JOINTS.index("neck"), :2] + size_of(person) * np.array([across, down])
    return round(float(y)), round(float(x))


def test_clothes_continue_behind_hair_and_beside_the_head_is_background() -> None:
    wearer = long_haired()
    hair = regions_of(wearer, "hair")
    nothing = np.zeros_like(hair)
    colour, alpha, labels = behind_hair(wearer, hair, nothing, np.ones(hair.shape, np.float32))
    chest, beside_cheek = place(wearer, -0.25, 0.25), place(wearer, -0.4, -0.35)
    assert hair[chest]
    assert hair[beside_cheek]
    assert labels[chest] == region_id("upper")
    assert alpha[chest] == 1
    assert abs(colour[chest] - GREEN).max() < 10
    lost = gone(wearer, "hair", nothing)
    assert lost[beside_cheek]
    assert not lost[chest]


def test_the_side_of_the_head_that_hair_hid_has_the_colour_of_the_face() -> None:
    wearer = long_haired()
    face, head = regions_of(wearer, "face"), bare_head(wearer)
    hidden = (head > 0.99) & regions_of(wearer, "hair")
    narrower = replace(wearer, regions=np.where(face & ~ndimage.binary_erosion(face, iterations=4), 2, wearer.regions))
    image = narrower.image.copy()
    image[narrower.regions == region_id("hair")] = BLACK
    narrower = replace(narrower, image=image)
    hair = regions_of(narrower, "hair")
    colour, _, labels = behind_hair(narrower, hair, np.zeros_like(hair), np.ones(hair.shape, np.float32))
    newly = face & hair & (head > 0.99)
    assert newly.sum() > 30
    assert hidden.sum() < (head > 0.5).sum()
    assert (labels[newly] == region_id("face")).all()
    away = abs(colour[newly] - SKIN).max(-1)
    assert np.median(away) < 45, "darker towards the outline, but skin"


def test_pixels_that_mix_hair_and_cloth_are_a_rim_and_cloth_is_not() -> None:
    wearer = long_haired()
    hair, upper = regions_of(wearer, "hair"), regions_of(wearer, "upper")
    mixed = upper & ndimage.binary_dilation(hair)
    image = wearer.image.copy()
    image[mixed] = (np.array(GREEN) + BLACK) // 2
    rim = hair_rim(replace(wearer, image=image))
    assert mixed.sum() > 30
    assert rim[mixed].mean() > 0.9
    assert not (rim & upper & ~mixed).any()
    assert not hair_rim(wearer)[upper].any(), "a clean edge has no rim"


def test_an_eye_that_is_annotated_as_hair_stays_the_face() -> None:
    wearer = long_haired()
    face = regions_of(wearer, "face")
    eyes = wearer.joints[[14, 15], :2].mean(0)
    half = face & (np.arange(face.shape[1]) < eyes[0] - 2)[None] & (bare_head(wearer) > 0.9)
    labels = np.where(half, region_id("hair"), wearer.regions).astype(np.uint8)
    seen = with_seen_face(replace(wearer, regions=labels))
    found = seen.regions == region_id("face")
    assert half.sum() > 50
    assert found[half].mean() > 0.8
    assert (found & ~face).sum() <= 3, "hair stays hair, but for a filled hole"


@pytest.mark.parametrize("blond", [True, False])
def test_a_lock_beside_the_neck_is_hair_if_colours_tell_it_from_skin(blond: bool) -> None:
    hair_colour = (150, 140, 90) if blond else (165, 115, 95)
    person = full_size(PANTS, "blond", {"upper": GREEN, "face": (225, 160, 130), "hair": hair_colour})
    size, (x, y) = size_of(person), person.joints[JOINTS.index("neck"), :2]
    rows, columns = np.mgrid[: person.regions.shape[0], : person.regions.shape[1]]
    lock = (abs(columns - x - 0.22 * size) < 0.08 * size) & (rows > y - 0.3 * size) & (rows < y - 0.1 * size)
    image, labels = person.image.copy(), person.regions.copy()
    image[lock], labels[lock] = hair_colour, region_id("face")
    found = with_hair_beside_face(replace(person, image=image, regions=labels))
    assert ((found.regions[lock] == region_id("hair")).mean() > 0.9) == blond
    assert np.array_equal(found.regions[~lock], labels[~lock])


def test_a_narrow_gap_between_new_hair_and_the_cheek_is_hair() -> None:
    wearer = full_size(PANTS, "short", {"face": SKIN})
    face = regions_of(wearer, "face")
    hair = regions_of(wearer, "hair")
    image, labels = wearer.image.copy(), wearer.regions.copy()
    image[hair], labels[hair] = PLAIN_GREY, BACKGROUND
    wearer = replace(wearer, image=image, regions=labels)
    eyes = wearer.joints[[14, 15], :2].mean(0)
    row = round(float(eyes[1]))
    first = int(np.flatnonzero(face[row])[0])
    worn = np.zeros(face.shape, bool)
    worn[row - 12 : row + 12, first - 16 : first - 3] = True  # a lock three pixels beside the cheek
    gap = gap_at_face(wearer, worn)
    assert gap[row, first - 2]
    assert not gap[row, first + 3], "the cheek stays"
    assert not gap[row, first - 30]


@pytest.mark.parametrize("dark", [True, False], ids=["dark hair", "hair like skin"])
def test_strands_over_the_neck_are_found_if_they_have_a_clearly_other_colour(dark: bool) -> None:
    hair_colour = BLACK if dark else tuple(value - 30 for value in SKIN)
    wearer = full_size(PANTS, "strands", {"upper": GREEN, "face": SKIN, "hair": hair_colour})
    image, labels = wearer.image.copy(), wearer.regions.copy()
    neck, eyes = wearer.joints[JOINTS.index("neck")], wearer.joints[[14, 15]]
    first, last = round(float(eyes[:, 1].mean())), round(float(neck[1]))
    middle = round(float(neck[0]))
    labels[first : last + 20, middle - 12 : middle + 1] = region_id("face")
    image[first : last + 20, middle - 12 : middle + 1] = SKIN
    labels[first : last + 20, middle + 1 : middle + 14] = region_id("hair")
    image[first : last + 20, middle + 1 : middle + 14] = hair_colour
    strand = (slice(last - 4, last - 2), slice(middle - 3, middle + 1))
    image[strand] = hair_colour
    share, _ = strands_beside(replace(wearer, image=image, regions=labels))
    assert (share[strand].mean() > 0.9) == dark
    assert not share[labels == region_id("hair")].any()
    assert not share[: first + 2].any(), "the face stays"


def test_a_stripe_of_cloth_that_has_the_colour_of_hair_is_neither_a_strand_nor_a_rim() -> None:
    wearer = long_haired()
    hair, upper = regions_of(wearer, "hair"), regions_of(wearer, "upper")
    size = size_of(wearer)
    away = ndimage.distance_transform_edt(~hair)
    stripe = upper & (away < 0.14 * size)
    image = wearer.image.copy()
    image[stripe] = (30, 40, 40)
    dark = replace(wearer, image=image)
    inside = stripe & (away > 4) & (away < 0.06 * size + 2)
    assert inside.sum() > 30
    assert not hair_rim(dark)[inside].any()
    assert not strands_beside(dark)[0][inside].any()


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "full of lines like wisps"])
def test_wisps_of_hair_are_found_before_a_background_without_such_lines(plain: bool) -> None:
    wearer = full_size(PANTS, "wisps", {"hair": (220, 200, 150)})
    hair = regions_of(wearer, "hair")
    scene = wearer.image.copy()
    empty = wearer.regions == BACKGROUND
    scene[empty] = (40, 50, 40)
    top, middle = np.flatnonzero(hair.any(1))[0], round(float(np.nonzero(hair)[1].mean()))
    wisp, lines = np.zeros_like(hair), np.zeros_like(hair)
    wisp[top - 6 : top, middle : middle + 1] = True
    lines[:, ::6] = True
    scene[(wisp | (lines & (not plain))) & empty] = (120, 120, 95)
    found = wisps_beside(replace(wearer, scene=scene))
    assert found[wisp].any() == plain
    assert not found[~empty].any()
    assert not found[ndimage.distance_transform_edt(~(hair | wisp)) > 4].any()
    assert not wisps_beside(wearer).any(), "without its background a photo shows no wisps"


def test_short_hair_on_a_long_haired_wearer_leaves_no_long_hair(tmp_path_factory: pytest.TempPathFactory) -> None:
    model = save_part_warp_model(tmp_path_factory.mktemp("hair") / "model.safetensors")
    pipeline = Pipeline.from_pretrained(model, "cpu")
    wearer = long_haired()
    found = edit(pipeline, wearer, "hair", dressed(PANTS, "other", hair=RED))
    assert has_colour(found.person.image, RED).sum() > 100
    assert not (has_colour(found.person.image, BLACK) & (found.area > 0.5)).any()
    chest = place(wearer, -0.25, 0.25)
    assert has_colour(found.person.image, GREEN)[chest]
    assert np.array_equal(found.person.image[found.area == 0], wearer.image[found.area == 0])
    eyes = wearer.joints[[14, 15], :2].mean(0)
    middle = (round(float(eyes[1])), round(float(eyes[0])))
    assert np.array_equal(found.person.image[middle], wearer.image[middle])
    assert PHOTO.height < len(wearer.image)


def test_short_hair_is_refused_where_long_hair_hides_the_face(tmp_path_factory: pytest.TempPathFactory) -> None:
    model = save_part_warp_model(tmp_path_factory.mktemp("hidden") / "model.safetensors")
    pipeline = Pipeline.from_pretrained(model, "cpu")
    wearer = long_haired()
    eyes = wearer.joints[[14, 15], :2].mean(0)
    half = regions_of(wearer, "face") & (np.arange(wearer.regions.shape[1]) < eyes[0] + 2)[None]
    image, labels = wearer.image.copy(), wearer.regions.copy()
    image[half], labels[half] = BLACK, region_id("hair")
    covered = replace(wearer, image=image, regions=labels)
    other = dressed(PANTS, "other", hair=RED)
    with pytest.raises(ScmError, match=r"long: hair hides \d+% of the face, which shorter hair would bare"):
        edit(pipeline, covered, "hair", other)
    edit_photo(pipeline, covered, {"hair": other}, force=True)
