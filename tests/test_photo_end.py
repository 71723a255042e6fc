"""Photos of half a body: what lies below the photo is unknown, not background."""

from __future__ import annotations

import pytest
import torch
from warped_people import HEIGHT, WIDTH, standing

from scmnet_cli.inference.limbs.crossed_arms import PersonToWarp
from scmnet_cli.models.photo_end import within_photo
from scmnet_cli.regions import BACKGROUND, NUM_REGIONS, region_id

UPPER, CUT = region_id("upper"), 60
LEGS = ("right_knee", "left_knee", "right_ankle", "left_ankle")


def half_body(cut: int = CUT, slope: float = 0.0) -> torch.Tensor:
    """Return masks of a trunk that ends at a row, lower on the right by a slope, (1, 8, H, W)."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    trunk = (y >= 26) & (x >= 28) & (x < 52) & (y < cut + slope * (x - 28))
    masks = torch.zeros(1, NUM_REGIONS, HEIGHT, WIDTH)
    masks[0, UPPER], masks[0, BACKGROUND] = trunk.float(), (~trunk).float()
    return masks


def test_below_the_end_of_half_a_body_all_masks_are_0() -> None:
    masks = half_body()
    found = within_photo(masks, standing(*LEGS))
    assert (found[:, :, CUT:] == 0).all()
    assert torch.equal(found[:, :, :CUT], masks[:, :, :CUT])
    assert torch.equal(torch.from_numpy(within_photo(masks.numpy(), standing(*LEGS).numpy())), found)


@pytest.mark.parametrize(
    ("masks", "joints"),
    [
        (half_body(), standing("right_ankle")),
        (half_body(HEIGHT), standing(*LEGS)),
        (half_body(slope=1.0), standing(*LEGS)),
        (torch.eye(NUM_REGIONS)[BACKGROUND].view(1, -1, 1, 1).repeat(1, 1, HEIGHT, WIDTH), standing(*LEGS)),
    ],
    ids=["with a foot", "down to the canvas's end", "with a slanted hem", "nobody"],
)
def test_other_masks_stay_as_they_are(masks: torch.Tensor, joints: torch.Tensor) -> None:
    assert within_photo(masks, joints) is masks


def test_the_warp_of_half_a_body_says_nothing_about_its_legs() -> None:
    image, masks, pose = torch.zeros(1, 3, HEIGHT, WIDTH), half_body(), standing()
    half, whole = (PersonToWarp(image, masks, joints).warp(pose).coverage[0, 0] for joints in (standing(*LEGS), pose))
    assert (half[40:50, 36:44] > 0.3).all()
    assert (half[CUT + 2 :] == 0).all()
    assert (whole[CUT + 2 : CUT + 20, 34] > 0.2).all()
