"""A sleeve that hangs against the body ends where the photo shows it: nothing of the trunk moves with the arm."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from test_extremities import STANDING, standing
from test_hanging_arms import lifted

from scmnet_cli.inference.limbs.crossed_arms import PersonToWarp, limb_maps
from scmnet_cli.inference.limbs.hanging_sleeves import sleeve_alone
from scmnet_cli.inference.limbs.limb_maps import LimbMaps
from scmnet_cli.models.part_warp import warp_parts
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.regions import BACKGROUND, one_hot, region_id
from scmnet_cli.types import FloatArray

SCALE = 3
HEIGHT, WIDTH = 256 * SCALE, 176 * SCALE
SLEEVE, TRUNK = -0.6, 0.6
HALF = 7 * SCALE  # width of a sleeve
LARGER = torch.tensor([SCALE, SCALE, 1.0])


def across_forearm() -> tuple[FloatArray, FloatArray]:
    """Return how far pixels lie along the right forearm, from 0 to 1, and inwards from its axis, in pixels."""
    (x, y), (end_x, end_y) = (np.array(STANDING[name], np.float32) * SCALE for name in ("right_elbow", "right_wrist"))
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    length = float(np.hypot(end_x - x, end_y - y))
    along = ((columns - x) * (end_x - x) + (rows - y) * (end_y - y)) / length**2
    return along, ((columns - x) * (end_y - y) - (rows - y) * (end_x - x)) / length


def coat(trunk: float = TRUNK) -> FloatArray:
    """Return image and masks of a coat whose sleeves touch its trunk, (H, W, 3 + 8)."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32) / SCALE
    axis = np.interp(rows, [66, 96, 124], [20, 36, 44])  # from the middle of the trunk
    beside = abs(columns - 88)
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[(rows >= 60) & (rows < 130) & (beside < axis + 7)] = region_id("upper")
    image = np.full((HEIGHT, WIDTH, 3), PLAIN_BACKGROUND, np.float32)
    image[labels > 0] = trunk
    image[(labels > 0) & (beside > axis - 7)] = SLEEVE
    masks = one_hot(torch.from_numpy(labels)[None])[0].permute(1, 2, 0).numpy()
    return np.concatenate([image, masks], axis=-1).astype(np.float32)


def maps_of(layers: FloatArray) -> LimbMaps[FloatArray]:
    masks = torch.from_numpy(layers[..., 3:]).permute(2, 0, 1)[None]
    found = limb_maps(masks, standing() * LARGER)
    return LimbMaps(*(getattr(found, each.name).numpy() for each in fields(LimbMaps)))


def alone(layers: FloatArray) -> FloatArray:
    return sleeve_alone(layers, maps_of(layers), 0, PLAIN_BACKGROUND)


def test_beyond_a_sleeve_is_background() -> None:
    along, inwards = across_forearm()
    found = alone(coat())
    forearm = (along > 0.1) & (along < 0.9)
    beyond, sleeve = forearm & (inwards > HALF + 6) & (inwards < 60), forearm & (abs(inwards) < HALF - 6)
    assert found[beyond][:, 3 + BACKGROUND].min() == 1
    assert found[beyond][:, :3].min() == pytest.approx(PLAIN_BACKGROUND)
    assert found[sleeve][:, 3 + region_id("upper")].min() == 1
    assert found[sleeve][:, :3].max() == pytest.approx(SLEEVE)


def test_the_other_arm_and_the_shoulders_stay() -> None:
    before, found = coat(), alone(coat())
    assert np.array_equal(found[:, WIDTH // 2 :], before[:, WIDTH // 2 :])
    assert np.array_equal(found[: 70 * SCALE], before[: 70 * SCALE])


def test_a_flap_that_lies_on_a_sleeve_gives_way_to_its_cloth() -> None:
    """The sleeve is as wide inwards as outwards there, and mirrored."""
    along, inwards = across_forearm()
    layers = coat()
    flap = (along > 0.3) & (along < 0.7) & (inwards > 3) & (inwards < 2 * HALF)
    layers[flap, :3] = TRUNK
    found = alone(layers)
    on_sleeve = (along > 0.4) & (along < 0.6) & (inwards > 6) & (inwards < HALF - 6)
    assert found[on_sleeve][:, :3].max() < SLEEVE + 0.05
    assert found[on_sleeve][:, 3 + region_id("upper")].min() == 1


def test_a_zip_on_a_sleeve_stays_there() -> None:
    """A flap covers what lies inwards of it too."""
    along, inwards = across_forearm()
    layers = coat(SLEEVE)
    zip_on_sleeve = (along > 0) & (along < 0.9) & (inwards > 6) & (inwards < 10)
    layers[zip_on_sleeve, :3] = TRUNK
    assert alone(layers) is layers


def test_trousers_beside_a_cuff_do_not_stay_on_it() -> None:
    along, inwards = across_forearm()
    layers = coat()
    trousers = (along > 0.5) & (inwards > HALF) & (inwards < 80)
    layers[trousers, 3:] = 0
    layers[trousers, 3 + region_id("pants")] = 1
    beside = trousers & (inwards > HALF + 5) & (along < 0.95)
    assert alone(layers)[beside][:, 3 + region_id("pants")].max() == 0


def test_a_coat_of_one_colour_stays_as_it_is() -> None:
    layers = coat(SLEEVE)
    assert alone(layers) is layers, "nothing shows where the sleeve ends"


def test_the_edges_of_a_pattern_do_not_end_a_sleeve() -> None:
    layers = coat(SLEEVE)
    _, inwards = across_forearm()
    stripes = (layers[..., 3 + region_id("upper")] > 0.5) & (inwards % 24 < 12)
    layers[stripes, :3] = SLEEVE + 0.6
    layers[stripes & (inwards > 6), :3] = TRUNK
    assert alone(layers) is layers


def test_a_sleeve_whose_inner_half_lies_in_shadow_stays_as_it_is() -> None:
    layers = coat(SLEEVE)
    _, inwards = across_forearm()
    layers[(layers[..., 3 + region_id("upper")] > 0.5) & (inwards > 2), :3] = SLEEVE - 0.3
    assert alone(layers) is layers


def test_a_bare_forearm_is_no_sleeve() -> None:
    layers = coat()
    along, inwards = across_forearm()
    bare = (along > -0.1) & (abs(inwards) < HALF)
    layers[bare, 3:] = 0
    layers[bare, 3 + region_id("arms")] = 1
    found = alone(layers)
    assert np.array_equal(found[(along > 0.1) & (abs(inwards) < HALF)], layers[(along > 0.1) & (abs(inwards) < HALF)])


def test_nothing_of_the_trunk_moves_with_a_lifted_forearm() -> None:
    layers = torch.from_numpy(coat()).permute(2, 0, 1)[None]
    image, masks, joints, pose = layers[:, :3], layers[:, 3:], standing() * LARGER, lifted("right") * LARGER
    forearm = (slice(80 * SCALE, 110 * SCALE), slice(20 * SCALE, 42 * SCALE))
    shares = []
    for warp in (warp_parts(image, masks, joints, pose), PersonToWarp(image, masks, joints).warp(pose)):
        person = (warp.regions[0, 1:].sum(0) * (warp.coverage[0, 0] > 0.05))[forearm] > 0.9
        assert person.sum() > 1000
        shares.append(float((warp.image[0, 0][forearm][person] > SLEEVE + 0.1).float().mean()))
    assert shares[0] > 0.05, "trunk"
    assert shares[1] < shares[0] / 2
