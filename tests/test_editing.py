"""Edits of a photo: only the edited area changes, garments replace each other, and a wrong photo is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy import ndimage

from scmnet_cli import checkpoint
from scmnet_cli.config import parse_config
from scmnet_cli.data.cropping import resized
from scmnet_cli.errors import ScmError
from scmnet_cli.images import PLAIN_GREY, CropBox
from scmnet_cli.inference.edits.bare_skin import skin_toned
from scmnet_cli.inference.edits.editing import Edit, edit_photo
from scmnet_cli.inference.edits.recolouring import recoloured
from scmnet_cli.inference.edits.uncovered import uncovered_skin
from scmnet_cli.inference.garments import kind_of
from scmnet_cli.inference.inputs.framed import Framed
from scmnet_cli.inference.limb_places import limb_places
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.models.build import build_generator
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.skeleton import JOINTS, MIRRORED
from scmnet_cli.sources.drawn import draw_person
from scmnet_cli.types import Canvas, Person

if TYPE_CHECKING:
    from conftest import Place, Scm

MODEL = Canvas(64, 48)
PHOTO = Canvas(128, 96)
RED, GREEN = (205, 30, 40), (20, 170, 60)
PANTS, SKIRT, DRESS = 1, 5, 20
"""Seeds of drawn people who stand in front view with their arms down, by what they wear."""


def full_size(seed: int, name: str, colours: dict[str, tuple[int, int, int]]) -> Person:
    """Return a drawn person at 320x240 on a plain background, with some regions painted in one colour."""
    drawn = draw_person(seed, name)
    image = np.pad(drawn.image, ((0, 0), (8, 8), (0, 0)))
    regions = np.pad(drawn.regions, ((0, 0), (8, 8)))
    image[regions == BACKGROUND] = PLAIN_GREY
    for region, colour in colours.items():
        image[regions == region_id(region)] = colour
    joints = drawn.joints.copy()
    joints[joints[:, 2] > 0, 0] += 8
    return Person(name, image, regions, joints)


def dressed(seed: int, name: str = "wearer", **colours: tuple[int, int, int]) -> Person:
    return resized(full_size(seed, name, colours), PHOTO)


def without_joints(person: Person, *names: str) -> Person:
    joints = person.joints.copy()
    joints[[JOINTS.index(name) for name in names]] = 0
    return replace(person, joints=joints)


def from_behind(person: Person) -> Person:
    """Return the person with right and left exchanged and no face joints, as a back view has them."""
    turned = replace(person, joints=person.joints[list(MIRRORED)])
    return without_joints(turned, "nose", "right_eye", "left_eye")


def regions_of(person: Person, *names: str) -> npt.NDArray[np.bool_]:
    return np.isin(person.regions, [region_id(name) for name in names])


def has_colour(picture: npt.NDArray[np.uint8], colour: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    near: npt.NDArray[np.bool_] = np.abs(picture.astype(int) - colour).max(-1) < 25
    return near


def save_part_warp_model(path: Path) -> Path:
    values = {"model": {"size": "tiny", "height": 64, "width": 48, "part_warp": True}}
    config = parse_config(values, "test")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        checkpoint.save_model(path, build_generator(config.model).state_dict(), config)
    return path


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    return Pipeline.from_pretrained(save_part_warp_model(path), "cpu")


def edit(pipeline: Pipeline, wearer: Person, kind: str, reference: Person) -> Edit:
    return edit_photo(pipeline, wearer, {kind: reference})


# What changes ---------------------------------------------------------------------------------------------------------


def test_outside_the_area_the_photo_stays_bit_for_bit(pipeline: Pipeline) -> None:
    wearer = dressed(PANTS)
    before = wearer.image.copy()
    found = edit(pipeline, wearer, "upper", dressed(SKIRT, "other", upper=RED))
    outside = found.area == 0
    assert 0.5 < outside.mean() < 0.98
    noise = np.random.default_rng(0).integers(0, 256, wearer.image.shape, dtype=np.uint8)
    assert np.array_equal(found.person.image[outside], before[outside])
    assert np.array_equal(found.over(before, noise)[outside], before[outside])
    assert np.array_equal(wearer.image, before), "the input stays as it is"
    assert (found.person.image[~outside] != before[~outside]).any(-1).mean() > 0.5


def test_a_larger_photo_with_a_background_stays_outside_the_area(pipeline: Pipeline) -> None:
    whole = full_size(PANTS, "wearer", {})
    crop = CropBox(30, 20, 240, 320, PHOTO)
    photo_image = np.random.default_rng(1).integers(0, 256, (360, 300, 3), dtype=np.uint8)
    photo_regions = np.zeros((360, 300), np.uint8)
    person = whole.regions != BACKGROUND
    photo_image[20:340, 30:270][person] = whole.image[person]
    photo_regions[20:340, 30:270] = whole.regions
    cropped = resized(whole, PHOTO)
    photo = Person("photo", photo_image, photo_regions, whole.joints)
    found = edit(pipeline, cropped, "upper", dressed(SKIRT, "other", upper=RED))
    result = Framed(photo, cropped, crop, "plain").put_back_edit(found)

    rows, columns = np.mgrid[:320, :240] * 2 // 5  # 2.5 pixels of the photo for one of the canvas
    area = np.zeros(photo_regions.shape, bool)
    own = crop.crop_image(photo_image, None)
    edges = recoloured(found, own, own)
    area[20:340, 30:270] = edges.area[rows, columns] > 0
    reached = ndimage.binary_dilation(area, np.ones((3, 3)), iterations=6)  # bicubic: two pixels of the canvas
    assert np.array_equal(result[~reached], photo_image[~reached])
    torso = area & (photo_regions == region_id("upper"))
    assert has_colour(result[torso], RED).mean() > 0.6


@pytest.mark.parametrize(
    ("wears", "kind", "donor"),
    [(PANTS, "upper", SKIRT), (SKIRT, "upper", PANTS), (PANTS, "pants", PANTS), (PANTS, "skirt", SKIRT)],
)
def test_the_garments_colour_arrives_where_it_is_worn(pipeline: Pipeline, wears: int, kind: str, donor: int) -> None:
    wearer = dressed(wears, upper=GREEN, pants=GREEN, skirt=GREEN)
    found = edit(pipeline, wearer, kind, dressed(donor, "other", **{kind: RED}))
    worn = regions_of(found.person, kind) & (found.area == 1)
    assert not has_colour(wearer.image, RED).any()
    assert worn.sum() > 100
    assert has_colour(found.person.image[worn], RED).mean() > 0.7
    assert not has_colour(found.person.image[found.area == 0], RED).any()


@pytest.mark.parametrize(
    ("wears", "old", "kind", "donor"),
    [
        (PANTS, ("pants",), "skirt", SKIRT),
        (SKIRT, ("skirt",), "pants", PANTS),
        (PANTS, ("upper", "pants"), "dress", DRESS),
        (SKIRT, ("upper", "skirt"), "dress", DRESS),
    ],
)  # fmt: skip
def test_a_garment_replaces_what_cannot_be_worn_with_it(
    pipeline: Pipeline, wears: int, old: tuple[str, ...], kind: str, donor: int
) -> None:
    new = "upper" if kind == "dress" else kind
    wearer = dressed(wears, **dict.fromkeys(old, GREEN))
    donor_wears = dressed(donor, "other", **{new: RED})
    assert has_colour(wearer.image, GREEN).any()
    found = edit(pipeline, wearer, kind, donor_wears)
    assert not has_colour(found.person.image, GREEN).any()
    assert not regions_of(found.person, *(name for name in old if name != new)).any()
    assert (has_colour(found.person.image, RED) & regions_of(found.person, new)).sum() > 100


def test_a_new_top_leaves_hair_face_and_pants_as_they_are(pipeline: Pipeline) -> None:
    wearer = dressed(PANTS)
    found = edit(pipeline, wearer, "upper", dressed(SKIRT, "other", upper=RED))
    head = regions_of(wearer, "hair", "face")
    assert head.sum() > 100
    assert np.array_equal(found.person.image[head], wearer.image[head])
    assert np.array_equal(found.person.regions[head], wearer.regions[head])
    assert not found.area[head].any()


def test_new_hair_leaves_the_face_below_the_brows_as_it_is(pipeline: Pipeline) -> None:
    wearer = dressed(PANTS, hair=GREEN)
    found = edit(pipeline, wearer, "hair", dressed(SKIRT, "other", hair=RED))
    eyes = wearer.joints[[JOINTS.index("right_eye"), JOINTS.index("left_eye")], 1].min()
    face = regions_of(wearer, "face") & (np.arange(PHOTO.height)[:, None] >= eyes)
    inner = ndimage.binary_erosion(regions_of(wearer, "face"), iterations=2) & face
    assert inner.sum() > 20
    assert np.array_equal(found.person.image[inner], wearer.image[inner]), "only its outline mixes with the old hair"
    outside = face & (found.area == 0)
    assert np.array_equal(found.person.image[outside], wearer.image[outside])
    assert has_colour(found.person.image, RED).sum() > 10
    assert not has_colour(found.person.image, GREEN).any()


def crossing(person: Person) -> Person:
    """Return the person with both forearms across the torso, in blue."""
    joints, image, regions = person.joints.copy(), person.image.copy(), person.regions.copy()
    places = {name: joints[JOINTS.index(name)] for name in JOINTS}
    middle = int((places["neck"][1] + places["right_hip"][1]) / 2)
    right, left = (int(places[name][0]) for name in ("right_shoulder", "left_shoulder"))
    rows, columns = slice(middle - 4, middle + 4), slice(right - 2, left + 2)
    image[rows, columns], regions[rows, columns] = (30, 40, 220), region_id("arms")
    for name, column in (("right_elbow", right), ("left_elbow", left), ("right_wrist", left), ("left_wrist", right)):
        joints[JOINTS.index(name)] = (column, middle, 1)
    return replace(person, image=image, regions=regions, joints=joints)


def sleeveless(person: Person) -> Person:
    """Return the person with what lies beside the shoulders' columns as bare arms."""
    right, left = (person.joints[JOINTS.index(name), 0] for name in ("right_shoulder", "left_shoulder"))
    x = np.arange(PHOTO.width)[None]
    regions = person.regions.copy()
    regions[regions_of(person, "upper") & ((x < right) | (x > left))] = region_id("arms")
    return replace(person, regions=regions)


def test_a_bag_before_the_legs_stays_before_new_trousers(pipeline: Pipeline) -> None:
    wearer = dressed(PANTS)
    trousers = regions_of(wearer, "pants")
    rows = np.flatnonzero(trousers.any(1))
    bag = (
        trousers
        & (np.arange(len(trousers))[:, None] > rows[0] + 8)
        & (np.arange(len(trousers))[:, None] < rows[0] + 16)
    )
    regions = np.where(bag, np.uint8(BACKGROUND), wearer.regions)
    scene, image = wearer.image.copy(), wearer.image.copy()
    scene[bag], image[bag] = (90, 50, 20), PLAIN_GREY
    found = edit(
        pipeline,
        replace(wearer, image=image, regions=regions, scene=scene, carried=bag),
        "pants",
        dressed(PANTS, "other", pants=RED),
    )
    assert (found.area[ndimage.binary_erosion(bag, iterations=1)] == 0).all()
    assert has_colour(found.person.image, RED).sum() > 0.3 * trousers.sum()


def test_what_the_references_arms_hide_is_filled_with_the_garment(pipeline: Pipeline) -> None:
    wearer = dressed(PANTS, upper=GREEN)
    other = crossing(dressed(SKIRT, "other", upper=RED))
    found = edit(pipeline, wearer, "upper", other)
    y, x = np.mgrid[: PHOTO.height, : PHOTO.width]
    corners = wearer.joints[[JOINTS.index(name) for name in ("right_shoulder", "left_shoulder", "left_hip")]]
    (left, top), (right, bottom) = corners[:, :2].min(0) + 4, corners[:, :2].max(0) - (4, 16)
    torso = regions_of(wearer, "upper") & (x > left) & (x < right) & (y > top) & (y < bottom)
    assert torso.sum() > 200
    assert has_colour(found.person.image[torso], RED).mean() > 0.9


def test_the_wearers_bare_arms_stay_in_front_of_a_filled_torso(pipeline: Pipeline) -> None:
    wearer = crossing(dressed(PANTS, upper=GREEN))
    found = edit(pipeline, wearer, "upper", sleeveless(dressed(SKIRT, "other", upper=RED)))
    arms = regions_of(wearer, "arms") & has_colour(wearer.image, (30, 40, 220))
    arms = ndimage.binary_erosion(arms)
    assert has_colour(found.person.image[arms], (30, 40, 220)).mean() > 0.7  # the rest is beside the armhole


def in_one_piece(wears: int) -> tuple[Person, npt.NDArray[np.bool_]]:
    """Return a person in a coat over trousers or in a dress, and the part of it below the hips."""
    wearer = dressed(wears, upper=GREEN)
    hip, knee = (float(wearer.joints[JOINTS.index(name), 1]) for name in ("right_hip", "right_knee"))
    labels, image = wearer.regions.copy(), wearer.image.copy()
    rows = np.arange(len(labels))[:, None]
    hanging = regions_of(wearer, "pants", "skirt") & (rows < 0.3 * hip + 0.7 * knee)
    labels[hanging], image[hanging] = region_id("upper"), GREEN
    labels[regions_of(wearer, "skirt") & ~hanging] = region_id("legs")
    below = hanging & (rows > hip + 0.35 * (knee - hip))
    assert below.sum() > 50
    return replace(wearer, image=image, regions=labels), below


@pytest.mark.parametrize(("wears", "goes"), [(PANTS, True), (SKIRT, False)], ids=["a coat", "a dress"])
def test_a_coat_over_trousers_goes_whole_and_the_skirt_of_a_dress_stays(
    pipeline: Pipeline, wears: int, goes: bool
) -> None:
    wearer, below = in_one_piece(wears)
    found = edit(pipeline, wearer, "upper", dressed(PANTS, "other", upper=RED))
    assert (found.area[below] > 0.9).mean() == pytest.approx(1.0 if goes else 0.0, abs=0.25)


def test_a_new_skirt_replaces_the_lower_half_of_a_dress(pipeline: Pipeline) -> None:
    wearer, below = in_one_piece(SKIRT)
    found = edit(pipeline, wearer, "skirt", dressed(SKIRT, "other", skirt=RED))
    assert has_colour(found.person.image[below], RED).mean() > 0.9
    chest = regions_of(wearer, "upper") & (np.arange(len(below))[:, None] < wearer.joints[[2, 8], 1].mean())
    assert not found.area[chest].any()


@pytest.mark.parametrize(("kind", "hem"), [("skirt", 0.5), ("pants", 0.5), ("pants", 1.0), ("upper", 0.5)])
def test_skin_shows_below_shorter_garments_alone(kind: str, hem: float) -> None:
    wearer = dressed(PANTS)
    knee, ankle = (float(wearer.joints[JOINTS.index(f"right_{name}"), 1]) for name in ("knee", "ankle"))
    legs = regions_of(wearer, "pants")
    rows = np.arange(len(legs))[:, None]
    worn = legs & (rows < knee + hem * (ankle - knee))
    skin = uncovered_skin(wearer, kind, legs & ~worn, worn)
    below = (legs & (rows > np.flatnonzero(worn.any(1)).max())).sum()
    assert skin.sum() == (below if kind != "upper" and hem < 1 else 0)


def test_a_shorter_sleeve_bares_the_arm() -> None:
    wearer = dressed(PANTS, upper=GREEN)
    sleeved = np.where(regions_of(wearer, "arms"), region_id("upper"), wearer.regions).astype(np.uint8)
    wearer = replace(wearer, regions=sleeved)
    upper = regions_of(wearer, "upper")
    elbow, wrist = (wearer.joints[JOINTS.index(f"left_{name}"), :2] for name in ("elbow", "wrist"))
    y, x = np.mgrid[: upper.shape[0], : upper.shape[1]]
    middle = (elbow + wrist) / 2
    arm = np.hypot(x - middle[0], y - middle[1]) < 1.5
    assert uncovered_skin(wearer, "upper", arm, upper & ~arm)[arm].mean() > 0.6


def test_no_skin_is_drawn_beside_an_arm_that_is_bare_already() -> None:
    wearer = full_size(PANTS, "wearer", {})
    place, away = limb_places(wearer)[0]
    arm = (away < 0.05) & (place > 0.4) & (place < 2.2)
    labels = wearer.regions.copy()
    labels[arm] = region_id("arms")
    wearer = replace(wearer, regions=labels)
    beside = (away > 0.05) & (away < 0.07) & (place > 1) & (place < 2)
    assert beside.sum() > 20
    assert not uncovered_skin(wearer, "dress", beside, np.zeros_like(beside)).any()


def test_a_bared_leg_fades_into_the_leg_below(pipeline: Pipeline) -> None:
    wearer = full_size(SKIRT, "wearer", {"legs": (120, 60, 40)})
    legs = regions_of(wearer, "legs")
    image = wearer.image.copy()
    image[legs] += np.random.default_rng(0).integers(0, 60, image.shape, dtype=np.uint8)[legs]
    wearer = replace(wearer, image=image)
    own = np.flatnonzero(regions_of(wearer, "skirt").any(1))
    other = full_size(SKIRT, "other", {"skirt": RED})
    hem = round(0.6 * own[0] + 0.4 * own[-1])
    labels = other.regions.copy()
    labels[regions_of(other, "skirt") & (np.arange(len(labels))[:, None] > hem)] = region_id("legs")
    found = edit(pipeline, wearer, "skirt", replace(other, regions=labels))
    fading = legs & (found.area > 0.2) & (found.area < 0.8) & (np.arange(len(legs))[:, None] > own[-1])
    assert fading.sum() > 20
    assert abs(found.colour[fading] - image[fading]).mean() > 5, "it is drawn there too"


def test_drawn_skin_takes_the_colour_of_the_wearers_skin() -> None:
    wearer = dressed(PANTS)
    drawn = np.random.default_rng(0).uniform(0, 90, wearer.image.shape).astype(np.float32)
    skin = regions_of(wearer, "pants")
    toned = skin_toned(wearer, drawn, skin)
    own = np.median(wearer.image[regions_of(wearer, "face", "arms")], axis=0)
    assert abs(toned[skin].mean(0) - own).max() < 3
    assert np.array_equal(toned[~skin], drawn[~skin])
    assert np.array_equal(skin_toned(wearer, drawn, np.zeros_like(skin)), drawn)
    off = toned[skin] - toned[skin].mean(0)
    assert abs(off - off.mean(-1, keepdims=True)).max() < 1, "only the lightness varies"


def test_several_edits_are_made_one_after_the_other(pipeline: Pipeline) -> None:
    wearer, other = dressed(PANTS), dressed(SKIRT, "other", upper=RED, skirt=GREEN)
    both = edit_photo(pipeline, wearer, {"upper": other, "skirt": other})
    first = edit(pipeline, wearer, "upper", other)
    second = edit(pipeline, first.person, "skirt", other)
    assert np.array_equal(both.person.image, second.person.image)
    assert np.array_equal(both.area, np.maximum(first.area, second.area))


# What is refused ------------------------------------------------------------------------------------------------------


def test_a_place_that_the_photo_does_not_show_is_refused(pipeline: Pipeline) -> None:
    wearer = without_joints(dressed(PANTS, "ann"), "right_knee", "left_knee")
    with pytest.raises(ScmError) as caught:
        edit(pipeline, wearer, "pants", dressed(PANTS, "other"))
    assert str(caught.value) == (
        "ann: does not show where pants would be (right knee, left knee not found); take a photo that shows more of "
        "the body, or give --force"
    )


def test_a_photo_without_a_head_is_refused_as_a_reference(pipeline: Pipeline) -> None:
    head = ("nose", "right_eye", "left_eye", "right_ear", "left_ear")
    other = without_joints(dressed(SKIRT, "tee"), *head)
    with pytest.raises(ScmError, match=r"tee: shows no head, .*; give --ref flat:PHOTO .* or --force"):
        edit(pipeline, dressed(PANTS, "ann"), "upper", other)
    named = replace(other, name="wardrobe:tee")
    assert (edit(pipeline, dressed(PANTS, "ann"), "upper", named).area > 0).any()


def test_a_back_view_is_refused_for_a_garment_seen_from_the_front(pipeline: Pipeline) -> None:
    wearer, other = from_behind(dressed(PANTS, "ann")), dressed(SKIRT, "ben")
    with pytest.raises(ScmError, match=r"ann: is seen from another side than ben; take .* or give --force"):
        edit(pipeline, wearer, "upper", other)
    with pytest.raises(ScmError, match=r"ann: is seen from behind, so hair cannot be changed; take a front view"):
        edit(pipeline, wearer, "hair", other)


def test_an_unknown_kind_is_refused_with_the_kinds_there_are(pipeline: Pipeline) -> None:
    with pytest.raises(ScmError, match=r"--region skrit: .* one of upper, pants, skirt, .*; did you mean 'skirt'\?"):
        edit(pipeline, dressed(PANTS), "skrit", dressed(SKIRT, "other"))
    with pytest.raises(ScmError, match="no region is given"):
        edit_photo(pipeline, dressed(PANTS), {})


def test_a_reference_without_the_garment_is_refused_with_what_it_has(pipeline: Pipeline) -> None:
    with pytest.raises(ScmError, match=r"ben: has no skirt that fits ann's pose; it has .*pants"):
        edit(pipeline, dressed(SKIRT, "ann"), "skirt", dressed(PANTS, "ben"))


def test_force_edits_anyway(pipeline: Pipeline) -> None:
    wearer = without_joints(dressed(PANTS), "right_ankle", "left_ankle", "right_knee")
    other = dressed(PANTS, "other", pants=RED)
    with pytest.raises(ScmError):
        edit(pipeline, wearer, "pants", other)
    found = edit_photo(pipeline, wearer, {"pants": other}, force=True)
    assert has_colour(found.person.image, RED).sum() > 50
    exchanged = pipeline.exchange(wearer, {"pants": other}, force=True)
    assert exchanged.edit is not None
    assert np.array_equal(exchanged.edit.person.image, found.person.image)


def test_everyday_words_name_the_kinds() -> None:
    assert kind_of("trousers") == "pants"
    assert kind_of("Jacket") == "upper"
    assert kind_of("gown") == "dress"
    assert kind_of("skirt") == "skirt"
    assert kind_of("tophat") == "tophat"


# On the command line --------------------------------------------------------------------------------------------------


def test_scm_edit_refuses_a_back_view_and_force_draws_it(place: Place, scm: Scm) -> None:
    model = save_part_warp_model(place.path / "warp.safetensors")
    ann, ben = from_behind(resized(dressed(PANTS, "ann"), MODEL)), resized(dressed(SKIRT, "ben", upper=RED), MODEL)
    place.prepare(place.path / "people", [ann, ben], [])
    command = ("edit", "--src", "people/ann", "--region", "jacket", "--ref", "people/ben", "-m", model)
    refused = scm(*command)
    assert refused.code == 2
    assert len(refused.errors) == 1
    assert refused.errors[0].endswith("take photos of the same side, or give --force")
    assert not list(place.path.glob("outputs/*"))
    drawn = scm(*command, "--force")
    assert drawn.code == 0
    assert drawn.paths == [Path("outputs/ann_upper-from-ben.png")]
    assert drawn.paths[0].exists()
