"""Pixels that float beside the person are removed, and nothing else."""

from __future__ import annotations

import pytest
import torch
from test_part_warp import HEIGHT, WIDTH, standing
from torch import Tensor

from scmnet_cli.inference.composition.debris import attached, slivers
from scmnet_cli.models.part_joints import complete_joints
from scmnet_cli.models.part_shapes import PartShapes
from scmnet_cli.models.part_warp import PartWarp, inside_body


@pytest.fixture
def body() -> Tensor:
    """The foreground mask of a standing person at twice the size of the joints, (1, 1, H, W)."""
    return (inside_body(joints(), (2 * HEIGHT, 2 * WIDTH)) > 0.5).float()


def joints() -> Tensor:
    return standing() * torch.tensor([2.0, 2.0, 1.0])


def found_attached(pose: Tensor, alpha: Tensor) -> Tensor:
    return attached(PartShapes.of(complete_joints(pose)), alpha)


def test_a_person_is_attached_to_the_last_finger(body: Tensor) -> None:
    assert body.mean() > 0.1
    assert (found_attached(joints(), body) * body == body).all()


def test_a_piece_beside_the_person_is_removed(body: Tensor) -> None:
    with_piece = body.clone()
    with_piece[..., 60:80, 4:10] = 1
    assert (body[..., 60:80, 4:14] == 0).all(), "a gap to the person"
    assert torch.equal(found_attached(joints(), with_piece) * with_piece, body)


@pytest.mark.parametrize("covered", [1.0, 0.0], ids=["the warp shows background", "the warp shows nothing"])
def test_a_sliver_beside_the_person_is_debris_where_the_warp_shows_background(body: Tensor, covered: float) -> None:
    with_sliver = body.clone()
    with_sliver[..., 40:110, 12] = 1
    assert (body[..., 40:110, 8:16] == 0).all(), "a gap to the person"
    regions = torch.zeros(1, 8, *body.shape[2:])
    regions[:, :1], regions[:, 5:6] = 1 - body, body
    warp = PartWarp(
        body.expand(-1, 3, -1, -1), regions, torch.full_like(body, covered), torch.zeros(1, 2, *body.shape[2:])
    )
    found = slivers(with_sliver, warp) * with_sliver
    assert torch.equal(found, (with_sliver - body) * covered)


def test_a_foot_below_a_hole_stays(body: Tensor) -> None:
    body[..., 150:158, :] = 0
    assert (found_attached(joints(), body) * body == body).all()


def test_without_joints_everything_stays(body: Tensor) -> None:
    assert (found_attached(torch.zeros(1, 18, 3), body) == 1).all()


def test_a_batch_equals_its_members(body: Tensor) -> None:
    other = torch.roll(joints(), 1, 0) + torch.tensor([6.0, 0.0, 0.0])
    both = found_attached(torch.cat([joints(), other]), torch.cat([body, body]))
    assert torch.equal(both, torch.cat([found_attached(joints(), body), found_attached(other, body)]))
