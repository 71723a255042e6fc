"""The decomposed style encoder: the inputs that each region's features depend on, and their cost."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scmnet_cli.models.positions import affected_positions
from scmnet_cli.models.style_encoder import DecomposedStyleEncoder

HEIGHT, WIDTH = 64, 48
UPPER, ARMS = 5, 6


def encoder(mask_channel: bool = True, seed: int = 0, carried_cells: int = 0) -> DecomposedStyleEncoder:
    torch.manual_seed(seed)
    return DecomposedStyleEncoder([4, 6, 6], 32, mask_channel, carried_cells).double()


def image(batch: int = 1, seed: int = 1) -> Tensor:
    return torch.rand(batch, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed)).double() * 2 - 1


def boxes(*placed: tuple[int, int, int, int, int]) -> Tensor:
    """Return one image's masks: background with rectangles given as (region, top, bottom, left, right)."""
    labels = torch.zeros(HEIGHT, WIDTH, dtype=torch.long)
    for region, top, bottom, left, right in placed:
        labels[top:bottom, left:right] = region
    return torch.eye(8, dtype=torch.float64)[labels].permute(2, 0, 1)[None].contiguous()


STANDING = boxes(
    (2, 4, 12, 16, 28), (4, 8, 14, 18, 26), (UPPER, 16, 36, 14, 34), (ARMS, 16, 30, 8, 14), (1, 36, 64, 14, 32)
)
SITTING = boxes((2, 20, 26, 0, 9), (UPPER, 26, 50, 0, 20), (3, 50, 64, 0, 48))


def codes(net: DecomposedStyleEncoder, picture: Tensor, masks: Tensor, *, way: str) -> Tensor:
    """Encode as a GPU does (whole), as training on a CPU does (crops), or as drawing on a CPU does (boxes)."""
    if way == "whole":
        return net._encode_whole(picture, masks, masks.flatten(2).amax(-1) > 0).detach()
    with torch.set_grad_enabled(way == "crops"):
        return net(picture, masks).detach()


every_way = pytest.mark.parametrize("way", ["whole", "crops", "boxes"])


@every_way
@pytest.mark.parametrize("mask_channel", [True, False])
def test_an_absent_region_encodes_like_an_all_zero_input(mask_channel, way):
    net = encoder(mask_channel)
    found = codes(net, image(), STANDING, way=way)
    nothing = net.encoder(torch.zeros(1, 3 + mask_channel, HEIGHT, WIDTH, dtype=torch.float64))[0]
    present = STANDING.flatten(2).any(-1)[0]
    assert present.sum() == 6
    for region in range(8):
        assert torch.equal(found[0, region], nothing) != bool(present[region])


@every_way
def test_absent_regions_cost_no_encoder_rows(way):
    net, rows = encoder(), []
    net.encoder.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))
    codes(net, image(2), torch.cat([STANDING, SITTING]), way=way)
    assert sum(rows) == 6 + 4


@every_way
def test_an_image_without_any_region_encodes_to_zero(way):
    found = codes(encoder(), image(), torch.zeros(1, 8, HEIGHT, WIDTH, dtype=torch.float64), way=way)
    assert found.shape == (1, 8, 4, 8, 6)
    assert not found.any()


on_parts_of_the_canvas = pytest.mark.parametrize("way", ["crops", "boxes"])


@on_parts_of_the_canvas
@pytest.mark.parametrize("mask_channel", [True, False])
def test_encoding_a_region_on_its_bounding_box_equals_the_whole_canvas(mask_channel, way):
    net, picture, masks = encoder(mask_channel), image(2), torch.cat([STANDING, SITTING])
    whole, boxed = (codes(net, picture, masks, way=which) for which in ("whole", way))
    torch.testing.assert_close(boxed, whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("carried_cells", [0, 4])
def test_gradients_on_crops_equal_those_on_the_whole_canvas(carried_cells):
    net, masks, gradients = encoder(carried_cells=carried_cells), torch.cat([STANDING, SITTING]), []
    for encode in (net._encode_whole, net._encode_on_crops):
        picture = image(2).requires_grad_()
        encode(picture, masks, masks.flatten(2).amax(-1) > 0).square().sum().backward()
        gradients.append([picture.grad, *(parameter.grad for parameter in net.parameters())])
        net.zero_grad()
    for whole, cropped in zip(*gradients, strict=True):
        torch.testing.assert_close(cropped, whole, rtol=0, atol=1e-9)


def test_the_crops_of_a_region_have_one_size_and_stay_on_the_canvas():
    net, rows = encoder(), []
    net.encoder.register_forward_hook(lambda _, inputs, __: rows.append(tuple(inputs[0].shape)))
    codes(net, image(2), torch.cat([STANDING, SITTING]), way="crops")
    # Pants, hair, skirt, face, upper and arms, after the background; sizes are multiples of 32 pixels or the canvas.
    assert rows[1:] == [
        (1, 4, 64, 48), (2, 4, 32, 48), (1, 4, 32, 48), (1, 4, 32, 32), (2, 4, 64, 48), (1, 4, 64, 32)
    ]  # fmt: skip


@on_parts_of_the_canvas
@pytest.mark.parametrize("row", range(24, 32))
def test_encoding_a_single_pixel_on_its_box_equals_the_whole_canvas(row, way):
    net, picture = encoder(), image()
    for top, left in ((row, 40 - row), (row - 24, 47), (63, row), (87 - row, row - 24)):
        masks = boxes((UPPER, top, top + 1, left, left + 1))
        whole, boxed = (codes(net, picture, masks, way=which) for which in ("whole", way))
        torch.testing.assert_close(boxed, whole, rtol=0, atol=1e-12)
        assert boxed[0, UPPER].any()


def test_the_box_has_exactly_the_positions_that_a_pixel_affects():
    net = encoder()
    for row in range(16, 40):
        picture = torch.zeros(1, 4, HEIGHT, WIDTH, dtype=torch.float64, requires_grad=True)
        reads = []
        for position in range(HEIGHT // 8):
            (net.encoder[0](picture) * 0).sum().backward()  # a fresh gradient
            picture.grad = None
            linear = picture
            for layer in net.encoder:
                linear = layer(linear) if hasattr(layer, "weight") else linear
            linear[0, :, position].sum().backward()
            if picture.grad[0, :, row].any():
                reads.append(position)
        assert (reads[0], reads[-1] + 1) == affected_positions(row, row, HEIGHT)


@every_way
def test_the_features_of_a_region_do_not_depend_on_other_regions(way):
    net, picture = encoder(), image()
    alone = boxes((UPPER, 16, 36, 14, 34))
    other_picture = torch.where(alone[:, UPPER : UPPER + 1] > 0, picture, image(seed=9))
    reference = codes(net, picture, alone, way=way)[0, UPPER]
    assert torch.equal(codes(net, other_picture, alone, way=way)[0, UPPER], reference)
    torch.testing.assert_close(codes(net, other_picture, STANDING, way=way)[0, UPPER], reference, rtol=0, atol=1e-12)


@every_way
def test_moving_a_region_by_one_feature_position_moves_its_features(way):
    net = encoder()
    picture = image()
    here = codes(net, picture, boxes((UPPER, 20, 32, 16, 28)), way=way)[0, UPPER]
    there = codes(net, picture.roll((8, 8), (2, 3)), boxes((UPPER, 28, 40, 24, 36)), way=way)[0, UPPER]
    torch.testing.assert_close(there[:, 1:, 1:], here[:, :-1, :-1], rtol=0, atol=1e-12)


@every_way
def test_with_the_mask_channel_grey_differs_from_absent(way):
    grey, masks = torch.zeros(1, 3, HEIGHT, WIDTH, dtype=torch.float64), boxes((UPPER, 16, 36, 14, 34))
    assert codes(encoder(mask_channel=True), grey, masks, way=way)[0, UPPER].any()
    assert not codes(encoder(mask_channel=False), grey, masks, way=way)[0, UPPER].any()


@every_way
def test_a_batch_of_different_people_equals_its_members(way):
    net, picture, masks = encoder(), image(2), torch.cat([STANDING, SITTING])
    together = codes(net, picture, masks, way=way)
    alone = [codes(net, picture[i : i + 1], masks[i : i + 1], way=way) for i in range(2)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-12)


@every_way
@pytest.mark.parametrize("mask_channel", [True, False])
def test_carried_colours_are_means_and_do_not_change_the_features(mask_channel, way):
    plain = codes(encoder(mask_channel), image(), STANDING, way=way)
    carrying = codes(encoder(mask_channel, carried_cells=1), image(), STANDING, way=way)
    assert torch.equal(carrying[:, :, :4], plain)
    for region in range(8):
        mask = STANDING[:, region : region + 1]
        expected = torch.nn.functional.avg_pool2d(torch.cat([image() * mask, mask], dim=1), 8)
        assert torch.allclose(carrying[:, region, 4:], expected, rtol=0, atol=1e-12)


@every_way
def test_a_region_carries_the_colours_of_each_cell_of_a_position(way):
    carrying = codes(encoder(carried_cells=4), image(), STANDING, way=way)[:, :, 4:]
    for region in range(8):
        mask = STANDING[:, region : region + 1]
        expected = torch.nn.functional.avg_pool2d(torch.cat([image() * mask, mask], dim=1), 2)
        assert torch.allclose(torch.nn.functional.pixel_shuffle(carrying[:, region], 4), expected, rtol=0, atol=1e-12)
