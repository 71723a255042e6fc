"""Faces in the part warp: never warped onto the back of a head."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from warped_people import (
    FACE,
    HEIGHT,
    WIDTH,
    assert_moved,
    gathered,
    moved,
    noise,
    standing,
    without_face,
)

from scmnet_cli.models.part_warp import warp_parts
from scmnet_cli.regions import one_hot, region_id
from scmnet_cli.skeleton import JOINTS


def face_and_hair(joints: Tensor) -> Tensor:
    """Return label maps with a face in front of hair, a shirt, and skin of the neck labelled as face."""
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    labels = torch.zeros(HEIGHT, WIDTH, dtype=torch.uint8)
    labels[27:53, 30:50] = region_id("upper")
    labels[torch.hypot(x - 40, y - 15) < 9] = region_id("hair")
    labels[torch.hypot((x - 40) * 1.2, y - 17) < 7] = FACE
    labels[22:27, 37:43] = FACE
    return labels[None].expand(len(joints), -1, -1)


def from_behind(joints: Tensor) -> Tensor:
    """Swap left and right, and drop the joints that the back of a head hides."""
    behind = joints.clone()
    behind[..., 0] = 80 - behind[..., 0]
    behind[:, [JOINTS.index(name) for name in ("nose", "right_eye", "left_eye")], 2] = 0
    return behind


def test_a_face_is_warped_to_a_head_seen_from_the_front() -> None:
    joints = standing()
    target = moved(joints, torch.eye(2), torch.tensor([3.0, 1.0]))
    warp = warp_parts(noise(), one_hot(face_and_hair(joints)), joints, target)
    assert warp.regions[0, FACE, 18, 43] > 0.99


@pytest.mark.parametrize("how", ["from behind", "no face joints", "sides exchanged"])
def test_a_face_is_never_warped_onto_the_back_of_a_head(how: str) -> None:
    joints = standing()
    target = from_behind(joints)
    if how == "no face joints":
        target = standing("nose", "right_eye", "left_eye")
    elif how == "sides exchanged":
        target[..., 2] = 1
    warp = warp_parts(noise(), one_hot(face_and_hair(joints)), joints, target)
    face = (warp.regions[0, FACE] * warp.coverage[0, 0])[:23]
    assert face.max() < 0.03, "the neck's skin, below, may show"
    assert warp.coverage[0, 0, 12:22, 37:44].max() < 0.01, "the face is left to the network"
    assert warp.regions[0, region_id("hair"), 8, 40] > 0.9, "the hair is"
    assert warp.regions[0, region_id("upper"), 40, 40] > 0.9, "the shirt is"


def test_a_back_view_is_warped_to_a_back_view() -> None:
    behind = from_behind(standing())
    target = moved(behind, torch.eye(2), torch.tensor([4.0, 0.0]))
    labels = without_face(face_and_hair(behind))
    warp = warp_parts(noise(), one_hot(labels), behind, target)
    assert_moved(warp, gathered(noise(), lambda x, y: (x - 4, y)))
