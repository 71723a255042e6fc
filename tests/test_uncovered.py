"""Below a removed garment: limbs of a plausible width, trousers below a coat, background beside new trousers."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage
from test_editing import GREEN, PANTS, PHOTO, RED, SKIRT, crossing, dressed, edit, regions_of, save_part_warp_model

from scmnet_cli.images import PLAIN_GREY
from scmnet_cli.inference.edits.bare_skin import bare_limbs
from scmnet_cli.inference.edits.filling import waist_filled
from scmnet_cli.inference.edits.uncovered import gone
from scmnet_cli.inference.limb_places import torso_length
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.models.parts import LIMBS
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.skeleton import JOINTS


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    return Pipeline.from_pretrained(save_part_warp_model(tmp_path_factory.mktemp("model") / "model.safetensors"), "cpu")


def test_bare_limbs_lie_along_the_bones_and_are_narrower_than_trousers() -> None:
    wearer = dressed(PANTS)
    inside, shading = bare_limbs(wearer)
    for limb in LIMBS:
        for start, end in pairwise(limb):
            x, y = wearer.joints[[start, end], :2].mean(0).round().astype(int)
            assert inside[y, x] == 1
        assert shading[y, x] > 0.98
    assert inside[0, 0] == 0
    assert 0.7 < shading[inside > 0.5].min() < 0.85
    assert 0.02 < (inside > 0.5).mean() < 0.25
    knee = wearer.joints[JOINTS.index("right_knee")]
    width = (inside[round(float(knee[1]))] > 0.5).sum() / 2
    size = np.hypot(*(wearer.joints[JOINTS.index("neck"), :2] - wearer.joints[[8, 11], :2].mean(0)))
    assert 0.15 * size < width < 0.35 * size


def test_limbs_that_nobody_knows_are_not_invented() -> None:
    wearer = dressed(PANTS)
    assert bare_limbs(replace(wearer, joints=np.zeros_like(wearer.joints)))[0].max() == 0


def test_bare_legs_beside_narrower_trousers_become_background() -> None:
    wearer = dressed(PANTS)
    legs = regions_of(wearer, "pants")
    wearer = replace(wearer, regions=np.where(legs, region_id("legs"), wearer.regions).astype(np.uint8))
    worn = ndimage.binary_erosion(legs)
    lost = gone(wearer, "pants", worn)
    assert lost.sum() > 50
    assert (lost <= (legs & ~worn)).all()
    last = np.flatnonzero(worn.any(1))[-1]
    assert not lost[last:].any(), "what shows below the hem stays"


def test_hair_beside_the_body_becomes_background_hair_over_it_does_not() -> None:
    wearer = dressed(PANTS)
    labels = wearer.regions.copy()
    shoulder = wearer.joints[JOINTS.index("right_shoulder"), :2].round().astype(int)
    labels[shoulder[1] + 5 : shoulder[1] + 15, :] = region_id("hair")
    lost = gone(replace(wearer, regions=labels), "hair", np.zeros(labels.shape, bool))
    row = shoulder[1] + 10
    neck = round(float(wearer.joints[JOINTS.index("neck"), 0]))
    assert lost[row, 0]
    assert not lost[row, neck]


def test_a_hand_on_a_dress_stays_in_front_and_tears_nothing(pipeline: Pipeline) -> None:
    wearer = dressed(SKIRT, upper=GREEN)
    hip = float(wearer.joints[[8, 11], 1].mean())
    middle = round(float(wearer.joints[[8, 11], 0].mean()))
    joints = wearer.joints.copy()
    joints[JOINTS.index("right_wrist"), :2] = middle, hip + 6  # the hand lies on the skirt
    image, labels = wearer.image.copy(), wearer.regions.copy()
    rows = slice(round(hip) + 8, round(hip) + 12)
    image[rows, middle - 2 : middle + 2], labels[rows, middle - 2 : middle + 2] = (30, 40, 220), region_id("arms")
    wearer = replace(wearer, image=image, regions=labels, joints=joints)
    found = edit(pipeline, wearer, "dress", dressed(SKIRT, "other", upper=RED, skirt=RED))
    assert (np.abs(found.person.image[rows, middle - 1 : middle + 1].astype(int) - (30, 40, 220)) < 30).all()
    around = found.person.image[rows, [middle - 5, middle + 5]].astype(int)
    assert (np.abs(around - RED).max(-1) < 40).mean() > 0.9


def test_trousers_go_on_below_a_top_that_is_shorter_than_the_coat(pipeline: Pipeline) -> None:
    wearer = dressed(PANTS, upper=GREEN)
    hip, knee = (float(wearer.joints[JOINTS.index(name), 1]) for name in ("right_hip", "right_knee"))
    labels, image = wearer.regions.copy(), wearer.image.copy()
    rows = np.arange(len(labels))[:, None]
    coat = regions_of(wearer, "pants") & (rows < (hip + knee) / 2)
    trousers = regions_of(wearer, "pants") & ~coat
    labels[coat], image[coat] = region_id("upper"), GREEN
    image[trousers] = (40, 60, 90)
    found = edit(pipeline, replace(wearer, image=image, regions=labels), "upper", dressed(PANTS, "other", upper=RED))
    between = ndimage.binary_erosion(coat) & (rows > hip + 0.25 * (knee - hip)) & trousers.any(0)
    assert between.sum() > 20
    assert (np.abs(found.person.image[between].astype(int) - (40, 60, 90)).max(-1) < 40).mean() > 0.8


def test_a_skirt_begins_where_the_trousers_began(pipeline: Pipeline) -> None:
    wearer, other = dressed(PANTS), dressed(SKIRT, "other", skirt=RED)
    hip = float(other.joints[[8, 11], 1].mean())
    labels, image = other.regions.copy(), other.image.copy()
    low = regions_of(other, "skirt") & (np.arange(len(labels))[:, None] < hip + 4)
    labels[low], image[low] = BACKGROUND, PLAIN_GREY  # it begins below the hips
    found = edit(pipeline, wearer, "skirt", replace(other, image=image, regions=labels))
    waist = np.flatnonzero(regions_of(wearer, "pants").any(1))[0] + 3
    middle = round(float(wearer.joints[[8, 11], 0].mean()))
    assert np.abs(found.person.image[waist, middle].astype(int) - RED).max() < 40


def test_a_waistband_moves_up_to_the_wearers_waist_and_is_not_doubled() -> None:
    wearer = dressed(PANTS)
    old = regions_of(wearer, "pants")
    start, size = int(np.flatnonzero(old.any(1))[0]), torso_length(wearer)
    rows = np.arange(len(old))[:, None]
    low = round(0.2 * size)
    cover = (old & (rows >= start + low)).astype(np.float32)
    band = old & (rows >= start + low) & (rows < start + low + 4)
    colour = np.where(band[..., None], np.float32(RED), np.float32(40)).astype(np.float32)
    filled, pixels = waist_filled(wearer, old, cover, colour)
    middle = int(np.flatnonzero(old[start + low])[len(np.flatnonzero(old[start + low])) // 2])
    red = np.flatnonzero((pixels[:, middle, 0] > 150) & (filled[:, middle] > 0.5))
    assert red[0] - start <= 2
    assert len(red) == red[-1] - red[0] + 1, "one band"
    assert len(red) <= 8
    assert (filled[old & (rows > start + 2)] > 0.5).mean() > 0.9


def test_folded_arms_and_an_unknown_shape_do_no_harm(pipeline: Pipeline) -> None:
    wearer = crossing(dressed(PANTS, upper=GREEN))
    found = edit(pipeline, wearer, "dress", dressed(SKIRT, "other", upper=RED, skirt=RED))
    assert found.person.image.shape == (PHOTO.height, PHOTO.width, 3)
    assert np.isfinite(found.colour).all()


def test_a_skirt_has_no_wedge_between_legs_that_stand_apart(pipeline: Pipeline) -> None:
    wearer = dressed(PANTS)
    joints = wearer.joints.copy()
    for side, away in (("right", -9), ("left", 9)):
        joints[JOINTS.index(f"{side}_knee"), 0] += away
        joints[JOINTS.index(f"{side}_ankle"), 0] += 2 * away
    found = edit(pipeline, replace(wearer, joints=joints), "skirt", dressed(SKIRT, "other", skirt=RED))
    red = np.abs(found.person.image.astype(int) - RED).max(-1) < 40
    hips = int(wearer.joints[[8, 11], 1].mean()) + 8
    rows = [row for row in range(hips, len(red)) if red[row].sum() > 10]
    assert len(rows) > 10
    for row in rows:
        columns = np.flatnonzero(red[row])
        assert red[row, columns[0] : columns[-1]].mean() > 0.9
