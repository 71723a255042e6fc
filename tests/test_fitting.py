"""Garments fitted to the wearer: their outlines, ends and colours."""

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
    SKIRT,
    dressed,
    edit,
    full_size,
    has_colour,
    regions_of,
    save_part_warp_model,
)

from scmnet_cli.inference.edits.fitting import between_shoulders, fitted, own_collar
from scmnet_cli.inference.limb_places import limb_places, torso_length
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.inference.shape_matching import closed, continued_colours, displacement, soft_edged
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Person


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return Pipeline.from_pretrained(save_part_warp_model(tmp_path_factory.mktemp("model") / "model.safetensors"), "cpu")


def relabelled(person: Person, mask, region: str, colour=None) -> Person:
    labels, image = person.regions.copy(), person.image.copy()
    labels[mask] = region_id(region)
    if colour is not None:
        image[mask] = colour
    return replace(person, regions=labels, image=image)


def worn_by(person: Person, mask, colour=RED, kind: str = "upper", sleeves=None, flat: bool = False):
    """Fit a garment of one colour that covers a mask."""
    garment = mask.astype(np.float32), np.full((*mask.shape, 3), colour, np.float32)
    return fitted(person, kind, garment, np.zeros_like(mask) if sleeves is None else sleeves, flat=flat)


# Outlines -------------------------------------------------------------------------------------------------------------


def disc(radius: float, row: float = 60, column: float = 60):
    rows, columns = np.mgrid[:120, :120]
    return np.hypot(rows - row, columns - column) < radius


def test_a_displacement_moves_one_outline_onto_another() -> None:
    source, target = disc(24), disc(32, column=64)
    places = np.mgrid[:120, :120] + displacement(source, target, reach=30, smoothness=6)
    moved = ndimage.map_coordinates(source.astype(np.float32), places, order=1) > 0.5
    assert (moved & target).sum() / (moved | target).sum() > 0.93
    assert (source & target).sum() / (source | target).sum() < 0.6


def test_colours_go_on_beyond_sound_pixels_and_these_stay() -> None:
    colour = np.zeros((120, 120, 3), np.float32)
    colour[disc(20)] = RED
    spread = continued_colours(colour, disc(20), sigma=3)
    assert np.array_equal(spread[disc(20)], colour[disc(20)])
    assert abs(spread - RED).max() < 1


def test_stripes_go_on_beyond_sound_pixels() -> None:
    rows = np.broadcast_to(np.arange(120)[:, None], (120, 120))
    colour = np.repeat(np.where(rows % 6 < 3, 200, 40)[..., None], 3, axis=-1).astype(np.float32)
    sound = np.broadcast_to(np.arange(120) < 60, (120, 120))
    assert np.array_equal(continued_colours(colour, sound, sigma=4)[:, 62:70], colour[:, 62:70])


def test_narrow_bays_and_holes_close_and_wide_bays_do_not() -> None:
    block = np.zeros((120, 120), bool)
    block[20:100, 20:100] = True
    narrow, wide, hole = block.copy(), block.copy(), block.copy()
    narrow[20:60, 58:62] = wide[20:60, 40:80] = hole[40:80, 40:80] = False
    assert closed(narrow, 5)[40, 60]
    assert not closed(wide, 5)[40, 60]
    assert closed(hole, 5).all() == block.all()
    assert closed(hole, 5)[60, 60]


def test_an_outline_has_a_soft_edge_of_one_pixel() -> None:
    soft = soft_edged(disc(40))
    assert ((soft > 0) & (soft < 1)).sum() < 2.5 * 2 * np.pi * 40
    assert soft.sum() == pytest.approx(disc(40).sum(), rel=0.02)


# Fit ------------------------------------------------------------------------------------------------------------------


def test_trousers_take_the_outline_of_the_wearers_trousers(pipeline: Pipeline) -> None:
    wearer = dressed(PANTS)
    other = dressed(PANTS, "other", pants=RED)
    wide = ndimage.binary_dilation(regions_of(other, "pants"), iterations=4) & (other.regions == BACKGROUND)
    found = edit(pipeline, wearer, "pants", relabelled(other, wide, "pants", RED))
    own = regions_of(wearer, "pants")
    reached = ndimage.distance_transform_edt(~own) < 4
    assert not (found.area[~reached] > 0).any(), "nothing beside the old trousers changes"
    assert has_colour(found.person.image[ndimage.binary_erosion(own)], RED).mean() > 0.9


def test_a_top_covers_the_old_one_though_it_is_narrower() -> None:
    wearer = dressed(PANTS, upper=GREEN)
    own = regions_of(wearer, "upper")
    cover, _ = worn_by(wearer, ndimage.binary_erosion(own, iterations=3))
    torso = own & (limb_places(wearer)[0][1] > 0.15) & (limb_places(wearer)[1][1] > 0.15)
    assert (cover[torso] > 0.5).mean() > 0.97


def test_a_longer_top_covers_the_hips_to_its_hem() -> None:
    wearer = dressed(PANTS)
    own = regions_of(wearer, "upper")
    size = torso_length(wearer)
    hem = np.flatnonzero(own.any(1))[-1] + round(0.5 * size)
    rows = np.arange(len(own))[:, None]
    middle = abs(np.arange(own.shape[1]) - wearer.joints[JOINTS.index("neck"), 0]) < 0.35 * size
    longer = own | ((rows > np.flatnonzero(own.any(1))[-1] - 8) & (rows <= hem) & middle)
    cover, _ = worn_by(wearer, longer)
    hips = regions_of(wearer, "pants") & (rows < hem - 3)
    assert (cover[hips] > 0.5).mean() > 0.9, "on the whole width of the body"
    assert not (cover[hem + 4 :] > 0.5).any()


def test_hems_are_measured_between_the_shoulders_where_lifted_sleeves_are_not() -> None:
    wearer = dressed(PANTS)
    right, left = (wearer.joints[JOINTS.index(f"{side}_shoulder"), 0] for side in ("right", "left"))
    columns = np.flatnonzero(between_shoulders(wearer)[0])
    assert columns[0] == np.ceil(min(right, left))
    assert columns[-1] == np.floor(max(right, left))
    joints = wearer.joints.copy()
    joints[JOINTS.index("left_shoulder")] = 0
    assert between_shoulders(replace(wearer, joints=joints)).all()


def test_a_skirt_below_a_jacket_that_covers_the_hips_is_whole() -> None:
    wearer = dressed(PANTS)
    x, y = wearer.joints[[8, 11], :2].mean(0)
    size = torso_length(wearer)
    rows, columns = np.mgrid[: PHOTO.height, : PHOTO.width]
    over_hips = regions_of(wearer, "pants") & (rows < y + 0.4 * size) & (columns > x - 0.15 * size)
    wearer = relabelled(wearer, over_hips, "upper", GREEN)
    skirt = (abs(columns - x) < 0.3 * size) & (rows > y) & (rows < y + size)
    cover, _ = worn_by(wearer, skirt, kind="skirt")
    assert (cover[skirt & ~regions_of(wearer, "upper", "arms") & (rows < y + 0.9 * size)] > 0.5).mean() > 0.95


@pytest.mark.parametrize(("ends", "cut"), [(0.4, True), (0.8, False)], ids=["sleeveless", "three quarters"])
def test_sleeves_are_cut_off_only_if_they_are_much_longer(ends: float, cut: bool) -> None:
    wearer = full_size(PANTS, "wearer", {})
    arms = limb_places(wearer)[:2]
    for place, away in arms:
        sleeve = (away < 0.07) & (place > 0) & (place < 1.4)
        wearer = relabelled(wearer, sleeve, "upper", GREEN)
    own = regions_of(wearer, "upper")
    sleeves = np.zeros_like(own)
    for place, away in arms:
        sleeves |= (away < 0.07) & (place > 0) & (place < ends)
    cover, _ = worn_by(wearer, own & (sleeves | ~np.any([away < 0.1 for _, away in arms], axis=0)), sleeves=sleeves)
    place, away = arms[0]
    forearm = own & (away < 0.04) & (place > 1.05) & (place < 1.3)
    assert forearm.sum() > 10
    assert (cover[forearm] > 0.5).mean() == pytest.approx(0.0 if cut else 1.0, abs=0.2)


def test_cloth_between_a_cut_sleeve_and_the_torso_is_the_torsos() -> None:
    wearer = full_size(PANTS, "wearer", {})
    place, away = limb_places(wearer)[1]
    arm = wearer.joints[[5, 6, 7]]
    inner = np.arange(away.shape[1]) < np.interp(np.arange(len(away)), arm[:, 1], arm[:, 0])[:, None]
    sleeve = (away < 0.07) & (place > 0) & (place < 1.8)
    strip = inner & (away > 0.09) & (away < 0.13) & (place > 0.7) & (place < 1.3)
    wearer = relabelled(wearer, sleeve | strip, "upper", GREEN)
    own = regions_of(wearer, "upper")
    cover, _ = worn_by(wearer, own & ~sleeve)
    assert (cover[strip] > 0.5).mean() > 0.8
    assert (cover[sleeve & (away < 0.04) & (place > 0.8)] > 0.5).mean() < 0.2


def test_a_cuff_covers_the_wrist_beyond_the_end_of_the_sleeve() -> None:
    wearer = full_size(PANTS, "wearer", {})
    place, away = limb_places(wearer)[0]
    arm = (away < 0.06) & (place > 0.3) & (place < 2.1)
    wearer = relabelled(wearer, arm, "arms")
    sleeves = arm & (place < 1.95)
    cover, _ = worn_by(wearer, regions_of(wearer, "upper") | sleeves, sleeves=sleeves)
    assert (cover[arm & (place > 1.8) & (place < 1.92) & (away < 0.04)] > 0.5).mean() > 0.8
    assert (cover[arm & (place > 2.02)] > 0.5).mean() < 0.3


def test_slivers_of_the_old_garment_are_covered_too() -> None:
    wearer = full_size(PANTS, "wearer", {})
    own = regions_of(wearer, "pants")
    gap = own & (np.arange(own.shape[1]) % 6 < 3)  # fingers before the trousers
    wearer = relabelled(wearer, gap, "arms")
    cover, _ = worn_by(wearer, own, kind="pants")
    assert (cover[own & ~gap] > 0.4).mean() > 0.9


def test_skin_that_shows_through_torn_jeans_is_covered() -> None:
    wearer = full_size(PANTS, "wearer", {"pants": GREEN})
    own = regions_of(wearer, "pants")
    place, away = limb_places(wearer)[2]
    torn = own & (away < 0.05) & (place > 0.9) & (place < 1.2)
    cover, _ = worn_by(relabelled(wearer, torn, "legs"), own, kind="pants")
    assert torn.sum() > 50
    assert (cover[torn] > 0.9).mean() > 0.95


def test_hips_of_trousers_beyond_an_arm_are_left_out() -> None:
    wearer = full_size(SKIRT, "wearer", {})
    skirt = regions_of(wearer, "skirt")
    rows, columns = np.nonzero(skirt)
    row, column = round(float(rows.mean())), int(columns[rows == round(float(rows.mean()))].max())
    arm, beyond = np.zeros_like(skirt), np.zeros_like(skirt)
    arm[row - 20 : row + 20, column + 1 : column + 9] = True
    beyond[row - 8 : row + 8, column + 9 : column + 17] = True
    wearer = relabelled(wearer, arm, "arms")
    cover, _ = worn_by(wearer, skirt | arm | beyond, kind="pants")
    assert (cover[skirt] > 0.5).mean() > 0.9
    assert not (cover[beyond] > 0.5).any()


def test_a_polo_neck_stays_above_a_new_neckline() -> None:
    wearer = dressed(PANTS, upper=GREEN)
    x, y = wearer.joints[JOINTS.index("neck"), :2]
    size = torso_length(wearer)
    rows, columns = np.mgrid[: PHOTO.height, : PHOTO.width]
    neck = (abs(columns - x) < 0.08 * size) & (rows > y - 0.3 * size) & (rows < y)
    wearer = relabelled(wearer, neck, "upper", GREEN)
    garment = (regions_of(wearer, "upper") & (rows > y - 0.05 * size)).astype(np.float32)
    collar = own_collar(wearer, "upper", garment)
    assert collar[neck & (rows < y - 0.2 * size)].all()
    assert not collar[rows > y - 0.1 * size].any()
    assert not own_collar(wearer, "pants", garment).any()


def test_the_hem_of_a_skirt_is_even() -> None:
    wearer = dressed(PANTS)
    x, y = wearer.joints[[8, 11], :2].mean(0)
    size = torso_length(wearer)
    rows, columns = np.mgrid[: PHOTO.height, : PHOTO.width]
    tongues = np.where((columns // 2) % 4 == 0, 0.1 * size, 0)
    skirt = (abs(columns - x) < 0.5 * size) & (rows > y) & (rows < y + 0.6 * size + tongues)
    cover, _ = worn_by(wearer, skirt, kind="skirt")
    ends = np.where(cover > 0.5, rows, 0).max(0)
    inner = ends[round(x - 0.4 * size) : round(x + 0.4 * size)]
    assert np.ptp(inner) <= 2


def test_hands_leave_no_bays_in_the_sides_of_a_skirt() -> None:
    wearer = full_size(PANTS, "wearer", {})
    rows, columns = np.mgrid[: wearer.regions.shape[0], : wearer.regions.shape[1]]
    hips = wearer.joints[[8, 11], :2].mean(0)
    down = rows - hips[1]
    skirt = (down > 0) & (down < 60) & (abs(columns - hips[0]) < 18 + down / 6)
    torn = skirt & ~(np.hypot(down - 25, abs(columns - hips[0]) - 20) < 6)
    cover, _ = worn_by(wearer, torn, kind="skirt")
    inner = ndimage.binary_erosion(skirt, iterations=3) & ~regions_of(wearer, "arms", "upper")
    assert (cover[inner] > 0.5).mean() > 0.98
    assert (cover[~ndimage.binary_dilation(skirt | regions_of(wearer, "pants"), iterations=3)] < 0.5).all()


def test_a_skirt_is_as_wide_as_the_body_at_its_waist() -> None:
    wearer = dressed(PANTS)
    own = regions_of(wearer, "pants")
    top = int(own.any(1).argmax())
    columns = np.flatnonzero(own[top : top + 7].any(0))
    block = np.zeros_like(own)
    block[top : top + 40, columns[0] - 15 : columns[-1] + 16] = True
    cover, _ = worn_by(wearer, block, kind="skirt")
    widths = (cover > 0.5).sum(1)[top + 2 : top + 38]
    own_width = columns[-1] - columns[0] + 1
    assert widths[0] < own_width + 8
    assert widths[-1] > own_width + 20


def test_new_hair_keeps_the_hairline_and_the_face() -> None:
    wearer = full_size(PANTS, "wearer", {})
    hair, face = regions_of(wearer, "hair"), regions_of(wearer, "face")
    cover, _ = worn_by(wearer, ndimage.binary_dilation(hair, iterations=6), kind="hair")
    assert not (cover[ndimage.binary_erosion(face, iterations=2)] > 0.5).any()
    above = hair & (np.arange(len(hair))[:, None] < wearer.joints[14, 1])
    assert (cover[above] > 0.5).mean() > 0.94


def test_hair_of_about_the_same_length_keeps_the_wearers_outline() -> None:
    wearer = full_size(PANTS, "wearer", {})
    own = regions_of(wearer, "hair")
    moved = np.roll(own, 4, axis=1)
    cover, _ = worn_by(wearer, moved, kind="hair")
    assert (cover[own] > 0.4).mean() > 0.85
    assert (cover[moved & ~ndimage.binary_dilation(own, iterations=2)] < 0.1).all()


def test_single_locks_do_not_count_for_the_length_of_hair() -> None:
    wearer = full_size(PANTS, "wearer", {})
    own = regions_of(wearer, "hair")
    chin = wearer.joints[JOINTS.index("neck"), 1]
    rows, columns = np.mgrid[: own.shape[0], : own.shape[1]]
    middle = wearer.joints[JOINTS.index("nose"), 0]
    size = torso_length(wearer)
    lock = (abs(columns - middle - 0.2 * size) < 0.02 * size) & (rows > chin - 0.3 * size) & (rows < chin + 0.3 * size)
    longer = own | ((abs(columns - middle) < 0.2 * size) & (rows > chin - 0.4 * size) & (rows < chin + 0.25 * size))
    cover, _ = worn_by(relabelled(wearer, lock, "hair"), longer, kind="hair")
    below = longer & (rows > chin) & np.isin(wearer.regions, [BACKGROUND, region_id("upper")])
    assert (cover[below] > 0.5).mean() > 0.7


def test_longer_hair_hangs_in_one_piece_from_the_head() -> None:
    wearer = full_size(PANTS, "wearer", {})
    own = regions_of(wearer, "hair")
    size, (x, y) = torso_length(wearer), wearer.joints[JOINTS.index("neck"), :2]
    rows, columns = np.mgrid[: own.shape[0], : own.shape[1]]
    side = (columns > x + 0.15 * size) & (columns < x + 0.35 * size)
    gap = (rows > y - 0.12 * size) & (rows < y - 0.05 * size) & side
    hanging = side & (rows > y - 0.5 * size) & (rows < y + 0.4 * size)
    cover, _ = worn_by(wearer, own | (hanging & ~gap), kind="hair")
    free = gap & ~regions_of(wearer, "face")
    assert (cover[ndimage.binary_erosion(free, iterations=2)] > 0.5).all()


def test_a_flat_garment_takes_the_light_of_the_old_one() -> None:
    wearer = full_size(PANTS, "wearer", {"upper": (200, 200, 200)})
    own = regions_of(wearer, "upper")
    left = np.arange(own.shape[1]) < wearer.joints[JOINTS.index("neck"), 0]
    wearer = relabelled(wearer, own & left, "upper", (110, 110, 110))
    inner = ndimage.binary_erosion(own, iterations=8)
    shaded, even = (worn_by(wearer, own, (150, 90, 60), flat=flat)[1] for flat in (True, False))
    assert shaded[inner & left].mean() < 0.9 * shaded[inner & ~left].mean()
    assert even[inner & left].mean() == pytest.approx(even[inner & ~left].mean())


def test_a_flat_garment_takes_the_folds_of_a_plain_one_and_no_pattern() -> None:
    wearer = full_size(PANTS, "wearer", {"upper": (150, 120, 100)})
    own = regions_of(wearer, "upper")
    rows, columns = np.mgrid[: own.shape[0], : own.shape[1]]
    middle = columns - round(wearer.joints[JOINTS.index("neck"), 0])
    fold = own & (abs(middle) < 2)
    folded = relabelled(wearer, fold, "upper", (110, 88, 73))
    striped = relabelled(wearer, own & (rows // 3 % 2 == 0), "upper", (110, 88, 73))
    inner = ndimage.binary_erosion(own, iterations=8)
    beside = inner & (abs(middle) > 4) & (abs(middle) < 7)
    light = worn_by(folded, own, (200, 150, 40), flat=True)[1].mean(-1)
    assert light[inner & fold].mean() < 0.97 * light[beside].mean()
    plain = worn_by(striped, own, (200, 150, 40), flat=True)[1].mean(-1)
    assert abs(plain[inner] / plain[inner].mean() - 1).max() < 0.1


def test_the_hem_of_a_top_over_trousers_is_smooth() -> None:
    wearer = full_size(PANTS, "wearer", {"upper": (200, 200, 200), "pants": (40, 40, 60)})
    own, pants = regions_of(wearer, "upper"), regions_of(wearer, "pants")
    notches = ndimage.binary_dilation(pants, iterations=8) & own & (np.arange(own.shape[1]) % 8 < 3)
    cover, _ = worn_by(relabelled(wearer, notches, "pants"), own)
    neck = round(wearer.joints[JOINTS.index("neck"), 0])
    ends = np.where(cover > 0.5, np.arange(len(own))[:, None], 0).max(0)[neck - 12 : neck + 12]
    assert np.ptp(ends) <= 2


def test_a_longer_flat_top_is_cut_at_the_hem_and_its_stripes_do_not_crowd_there() -> None:
    wearer = full_size(PANTS, "wearer", {"upper": (150, 120, 100)})
    own = regions_of(wearer, "upper")
    size = torso_length(wearer)
    rows = np.broadcast_to(np.arange(len(own))[:, None], own.shape)
    longer = own.copy()
    for down in range(1, round(0.28 * size) + 1):
        longer[down:] |= own[:-down] & between_shoulders(wearer)
    stripes = np.where((rows % 8 < 4)[..., None], (240.0, 240.0, 240.0), (20.0, 20.0, 60.0)).astype(np.float32)
    _, pixels = fitted(wearer, "upper", (longer.astype(np.float32), stripes), np.zeros_like(own), flat=True)
    column = round(wearer.joints[JOINTS.index("neck"), 0])
    hem = np.flatnonzero(own[:, column])[-1]
    light = pixels[hem - 34 : hem - 2, column].mean(-1)
    changes = np.count_nonzero(np.diff(light > light.mean()))
    assert 7 <= changes <= 9, "32 rows, a change in four"


def test_a_corner_of_a_skirt_between_a_hand_and_a_bag_does_not_float_there() -> None:
    wearer = full_size(PANTS, "wearer", {"pants": (40, 40, 60)})
    own = regions_of(wearer, "pants")
    rows, columns = np.mgrid[: own.shape[0], : own.shape[1]]
    top = np.flatnonzero(own.any(1))[0]
    left = np.flatnonzero(own[top])[0]
    near = (columns >= left) & (columns < left + 16)
    corner = near & (columns < left + 11) & (rows >= top) & (rows < top + 9)
    hand = near & ~corner & (rows >= top) & (rows < top + 9)
    bag = (columns < left + 16) & (rows >= top + 9) & (rows < top + 16)
    bare = relabelled(relabelled(wearer, corner | bag, "background"), hand, "arms")
    covers = [worn_by(replace(bare, carried=held), own, kind="skirt")[0] for held in (np.zeros_like(bag), bag)]
    inner = ndimage.binary_erosion(corner, iterations=2)
    assert (covers[0][inner] > 0.5).any(), "without a bag it hangs together with the rest"
    assert not (covers[1][inner] > 0.5).any()
    assert (covers[1][own & ~near] > 0.5).mean() > 0.9
