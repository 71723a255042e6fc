"""Measures of what a picture shows of its person: spread, copies, consistency and the face crop."""

from pathlib import Path

import pytest
import torch
from metric_inputs import left_half, random_images
from torch import Tensor

from scmnet_cli.metrics.copying import copy_score
from scmnet_cli.metrics.face_crop import crop_heads, face_crop, head_boxes
from scmnet_cli.metrics.lpips import Lpips
from scmnet_cli.metrics.region_consistency import MIN_SHARE, region_closeness, region_consistency
from scmnet_cli.metrics.spread import source_spread
from scmnet_cli.regions import one_hot, region_id


@pytest.fixture(scope="module")
def lpips(seeded_backbones: Path) -> Lpips:
    """LPIPS with its own heads on an AlexNet of random weights."""
    return Lpips("alex", seeded_backbones)


# Spread, copies, consistency


def test_spread_is_0_for_one_person_from_every_source_and_1_for_the_sources_themselves() -> None:
    sources = random_images(4)
    assert source_spread(sources[:1].expand(4, -1, -1, -1), sources, left_half()).item() == pytest.approx(0, abs=1e-6)
    assert source_spread(sources, sources, left_half()).item() == 1


def test_a_single_source_has_no_spread() -> None:
    assert source_spread(random_images(1, seed=1), random_images(1), left_half()).isnan()


def test_spread_is_linear_in_the_outputs_differences_and_ignores_what_they_share() -> None:
    sources = random_images(4)
    outputs = sources * 0.25 + random_images(1, seed=5) * 0.5
    assert source_spread(outputs, sources, left_half()).item() == pytest.approx(0.25, rel=1e-4)


def test_spread_covers_only_the_person_and_ignores_the_order_of_sources() -> None:
    sources, outputs = random_images(4), random_images(4, seed=1)
    repainted = torch.where(left_half(), outputs, torch.tensor(0.3))
    spread = source_spread(outputs, sources, left_half())
    torch.testing.assert_close(source_spread(repainted, sources, left_half()), spread)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(source_spread(outputs[order], sources, left_half()), spread)


def test_copy_score_is_1_for_the_source_0_for_the_reference_and_negative_beyond() -> None:
    source, reference = random_images(2), random_images(2, seed=1)
    assert copy_score(source, source, reference).tolist() == [1, 1]
    assert copy_score(reference, source, reference).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert copy_score(source + (reference - source) / 4, source, reference).tolist() == pytest.approx([0.75, 0.75])
    assert copy_score(source + (reference - source) * 2, source, reference).tolist() == pytest.approx([-1, -1])


def test_copy_score_covers_only_the_mask() -> None:
    source, reference = random_images(1), random_images(1, seed=1)
    half_copied = torch.where(left_half(), source, reference)
    assert copy_score(half_copied, source, reference, left_half()).item() == 1
    assert copy_score(half_copied, source, reference, ~left_half()).item() == pytest.approx(0, abs=1e-6)


def two_regions() -> Tensor:
    return one_hot(torch.where(torch.arange(16) < 8, 1, 5).expand(1, 16, 16))


def test_consistency_ignores_where_in_a_region_its_colours_are() -> None:
    image = random_images(1, 16, 16)
    masks = two_regions()
    assert region_consistency(image.flip(2), masks, image, masks).item() == pytest.approx(1, abs=1e-6)
    assert region_consistency(image.flip(3), masks.flip(3), image, masks).item() == pytest.approx(1, abs=1e-6)


def test_consistency_falls_with_the_distance_of_the_mean_colours() -> None:
    masks = two_regions()
    shirt = torch.where(masks[:, 5:6] == 1, torch.tensor(0.5), torch.tensor(-0.25)).expand(1, 3, 16, 16)
    other_shirt = torch.where(masks[:, 5:6] == 1, torch.tensor(-0.5), torch.tensor(-0.25)).expand(1, 3, 16, 16)
    closeness = region_closeness(other_shirt, masks, shirt, masks)[0]
    assert closeness[1].item() == pytest.approx(1)
    assert closeness[5].item() == pytest.approx(0.5)
    assert closeness[[0, 2, 3, 4, 6, 7]].isnan().all()
    assert region_consistency(other_shirt, masks, shirt, masks).item() == pytest.approx(0.75)


def test_consistency_falls_when_a_pattern_is_blurred_away() -> None:
    masks = two_regions()
    stripes = (torch.arange(16) % 2 * 2 - 1.0)[None, None, :, None].expand(1, 3, 16, 16)
    grey = torch.zeros(1, 3, 16, 16)
    assert region_consistency(grey, masks, stripes, masks).item() == pytest.approx(0.5)


def test_consistency_is_0_for_black_against_white_and_ignores_the_background() -> None:
    black, white = -torch.ones(1, 3, 16, 16), torch.ones(1, 3, 16, 16)
    assert region_consistency(black, two_regions(), white, two_regions()).item() == 0
    masks = one_hot(torch.where(torch.arange(16) < 8, 0, 5).expand(1, 16, 16))
    half = torch.where(masks[:, :1] == 1, black, white)
    assert region_consistency(half, masks, white, masks).item() == 1


def test_consistency_ignores_regions_of_a_few_stray_pixels_and_is_nan_without_a_shared_region() -> None:
    image = random_images(1, 32, 32)
    labels = torch.full((1, 32, 32), 5)
    labels[:, 0, 0] = 1
    assert MIN_SHARE > 1 / 1024
    assert region_closeness(image, one_hot(labels), image, one_hot(labels))[0, 1].isnan()
    upper, pants = one_hot(torch.full((1, 32, 32), 5)), one_hot(torch.full((1, 32, 32), 1))
    assert region_consistency(image, upper, image, pants).isnan().all()


# Face crop


def standing(nose: tuple[float, float], torso: float) -> Tensor:
    """Return joints of an upright person: nose, both eyes and the trunk, (1, 18, 3)."""
    joints = torch.zeros(1, 18, 3)
    x, y = nose
    places = {0: (x, y), 14: (x - 2, y - 2), 15: (x + 2, y - 2), 1: (x, y + 20), 8: (x - 8, y + 20 + torso)}
    places[11] = (x + 8, y + 20 + torso)
    for joint, place in places.items():
        joints[0, joint] = torch.tensor([*place, 1.0])
    return joints


def faces_at(joints: Tensor) -> Tensor:
    """Region masks in which everybody has a face of 11x11 pixels around the nose, (B, 8, 128, 88)."""
    labels = torch.zeros(len(joints), 128, 88, dtype=torch.uint8)
    for row, (x, y) in enumerate(joints[:, 0, :2].int().tolist()):
        labels[row, y - 5 : y + 6, x - 5 : x + 6] = region_id("face")
    return one_hot(labels)


def mean_difference(a: Tensor, b: Tensor) -> Tensor:
    assert a.shape[1:] == b.shape[1:] == (3, 64, 64)
    return (a - b).abs().mean((1, 2, 3))


def test_the_face_crop_sees_the_head_and_nothing_else() -> None:
    joints = standing((40, 30), 40)  # the square is 26 pixels wide, from 27 to 53 and from 16 to 42
    masks, truth = faces_at(joints), torch.zeros(1, 3, 128, 88)
    around = truth.clone()
    around[:, :, 45:], around[:, :, :, :24], around[:, :, :, 56:] = 1, 1, 1
    assert face_crop(mean_difference, around, truth, joints, masks, joints, masks).item() == 0
    assert face_crop(mean_difference, truth + 0.5, truth, joints, masks, joints, masks).item() == pytest.approx(0.5)
    half = truth.clone()
    half[:, :, :, :40] = 1
    assert face_crop(mean_difference, half, truth, joints, masks, joints, masks).item() == pytest.approx(
        13 / 26, abs=0.02
    )


def test_the_head_box_is_centred_on_the_face_and_grows_with_the_body() -> None:
    boxes = head_boxes(torch.cat([standing((40, 30), 40), standing((40, 30), 60)]))
    assert boxes[:, 0].tolist() == pytest.approx([40, 40])
    assert boxes[:, 1].tolist() == pytest.approx([30 - 4 / 3] * 2)
    assert boxes[:, 2].tolist() == pytest.approx([26, 39])
    close = torch.zeros(1, 18, 3)  # a portrait: the ears alone say how large the head is
    close[0, 16], close[0, 17] = torch.tensor([20.0, 50, 1]), torch.tensor([60.0, 50, 1])
    assert head_boxes(close)[0].tolist() == pytest.approx([40, 50, 64])


def test_a_head_crop_of_its_own_size_is_the_pictures_pixels_and_repeats_the_border() -> None:
    image = torch.rand(1, 3, 128, 88) * 2 - 1
    crop = crop_heads(image, torch.tensor([[39.5, 49.5, 64.0]]))
    assert torch.allclose(crop, image[:, :, 18:82, 8:72], atol=1e-5)
    corner = crop_heads(image, torch.tensor([[-0.5, -0.5, 64.0]]))
    assert torch.allclose(corner[:, :, :33, :33], image[:, :, :1, :1].expand(-1, -1, 33, 33), atol=1e-5)


def test_a_face_counts_where_source_and_target_both_show_it() -> None:
    joints = standing((40, 30), 40).repeat(5, 1, 1)
    masks, truth = faces_at(joints), torch.zeros(5, 3, 128, 88)
    source_joints, source_masks = joints.clone(), masks.clone()
    joints[1, [0, 14, 15]] = 0  # the target is seen from behind
    source_joints[2, [0, 14, 15]] = 0  # the source is
    source_masks[3, region_id("face")] = 0  # a nose was found on a head that is all hair
    source_joints[4, [14, 15]] = 0  # a nose is enough
    found = face_crop(mean_difference, truth + 0.5, truth, joints, masks, source_joints, source_masks)
    assert found.isnan().tolist() == [False, True, True, True, False]
    one = face_crop(mean_difference, truth[:1], truth[:1], joints[1:2], masks[:1], joints[:1], masks[:1])
    assert one.isnan().all()


def test_the_face_crop_of_a_batch_is_that_of_its_members(lpips: Lpips) -> None:
    joints = torch.cat([standing((40, 30), 40), standing((30, 50), 55)])
    masks = faces_at(joints)
    torch.manual_seed(0)
    images, truth = (torch.rand(2, 3, 128, 88) * 2 - 1 for _ in range(2))
    whole = face_crop(lpips, images, truth, joints, masks, joints, masks)
    alone = [
        face_crop(lpips, *(given[row : row + 1] for given in (images, truth, joints, masks, joints, masks)))
        for row in range(2)
    ]
    assert torch.allclose(whole, torch.cat(alone), atol=1e-5)
    boxes = head_boxes(joints)
    assert torch.allclose(whole, lpips(crop_heads(images, boxes), crop_heads(truth, boxes)), atol=1e-5)
