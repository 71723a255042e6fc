"""The part warp moves pixels with the joints: exactly in known cases, and like the slow reference everywhere."""

from __future__ import annotations

import weakref
from dataclasses import fields

import numpy as np
import pytest
import torch
from slow_body import Person
from slow_part_warp import faces_away, slow_part_warp
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from warped_people import (
    HEIGHT,
    WIDTH,
    assert_moved,
    covered,
    gathered,
    labels_of,
    moved,
    noise,
    on_boxes,
    people,
    ramp,
    standing,
    turned,
    without_face,
)

from scmnet_cli.models import part_warp
from scmnet_cli.models.part_joints import complete_joints
from scmnet_cli.models.part_warp import PartWarp, WarpSource, part_layers, warp_layers, warp_parts
from scmnet_cli.models.sampling import sampled_at
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.regions import one_hot
from scmnet_cli.skeleton import JOINTS, MIRRORED

# Poses whose pixels are known -----------------------------------------------------------------------------------------


@on_boxes
def test_the_same_pose_is_the_identity_where_covered(boxed: bool) -> None:
    joints, image = standing(), noise()
    labels = labels_of(joints)
    warp = warp_parts(image, one_hot(labels), joints, joints, on_boxes=boxed)
    assert_moved(warp, image, least=0.02)
    mask = covered(warp, 0.02)
    assert torch.equal(warp.regions.argmax(1)[mask], labels.long()[mask])
    assert (labels[~mask] != 0).sum() < 0.02 * (labels != 0).sum(), "all but what only a foreign part reaches"
    assert (warp.regions.sum(1)[mask] - 1).abs().max() < 1e-5
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    assert (warp.coordinates - torch.stack([x, y])).abs().amax(1)[mask].max() < 1e-3


@pytest.mark.parametrize("pose", range(6))
def test_any_pose_to_itself_is_the_identity_where_covered(pose: int) -> None:
    joints, image = people(6, seed=4)[pose : pose + 1], noise()
    warp = warp_parts(image, one_hot(without_face(labels_of(joints))), joints, joints)
    assert_moved(warp, image, least=0.02)


@on_boxes
def test_a_shifted_pose_shifts_every_pixel(boxed: bool) -> None:
    joints, image = standing(), noise()
    target = moved(joints, torch.eye(2), torch.tensor([9.0, -4.0]))
    warp = warp_parts(image, one_hot(labels_of(joints)), joints, target, on_boxes=boxed)
    assert_moved(warp, gathered(image, lambda x, y: (x - 9, y + 4)))


def test_a_pose_scaled_by_two_samples_between_pixels() -> None:
    joints, image = standing(), ramp()
    joints[..., :2] = (joints[..., :2] - 40) * 0.45 + 40
    target = moved(joints, torch.eye(2) * 2, torch.tensor([-40.0, -40.0]))
    warp = warp_parts(image, one_hot(labels_of(joints)), joints, target)
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    wanted = torch.stack([(x + 40) / 2, (y + 40) / 2])
    mask = covered(warp)
    difference = (warp.image[0, :2] - wanted)[:, mask[0]].abs()
    assert difference.max() < 1.5, "of 80: at the border of the legs each ends, and a bare arm at the shirt"
    assert difference.mean() < 5e-3
    assert (warp.coordinates[0] - wanted)[:, mask[0]].abs().max() < 1e-3


def test_rotating_a_pose_by_90_degrees_rotates_every_pixel() -> None:
    joints, image = standing(), noise()
    joints[..., :2] = (joints[..., :2] - torch.tensor([40.0, 48])) * 0.7 + torch.tensor([40.0, 48])
    quarter = torch.tensor([[0.0, -1], [1, 0]])  # (x, y) to (-y, x)
    target = moved(joints, quarter, torch.tensor([88.0, 8.0]))
    warp = warp_parts(image, one_hot(without_face(labels_of(joints))), joints, target)
    assert_moved(warp, gathered(image, lambda x, y: (y - 8, 88 - x)))


def test_a_mirrored_pose_mirrors_every_pixel() -> None:
    """Left and right are not swapped: the mirrored person lifts the same hand as a person seen from behind."""
    joints = turned(standing(), "right_shoulder", ("right_elbow", "right_wrist"), 70)
    joints = turned(joints, "left_hip", ("left_knee", "left_ankle"), -20)
    image = noise()
    target = joints.clone()
    target[..., 0] = WIDTH - 1 - target[..., 0]
    warp = warp_parts(image, one_hot(without_face(labels_of(joints))), joints, target)
    assert_moved(warp, image.flip(3), least=0.02)


def test_a_mirrored_pose_with_swapped_sides_is_not_inverted() -> None:
    """The photo of a symmetric pose and its mirror image, with left and right swapped, have the same pose."""
    joints, image = standing(), noise()
    target = joints[:, list(MIRRORED)].clone()
    target[..., 0] = WIDTH - target[..., 0]  # STANDING is symmetric about 40
    assert torch.equal(target, joints)
    warp = warp_parts(image, one_hot(labels_of(joints)), joints, target)
    assert_moved(warp, image, least=0.02)


def test_rotating_one_limb_moves_only_that_limb() -> None:
    joints, image = standing(), noise()
    target = turned(joints, "left_elbow", ("left_wrist",), -90)  # to the right of the picture, away from the body
    warp = warp_parts(image, one_hot(labels_of(joints)), joints, target)
    y, x = torch.meshgrid(torch.arange(float(HEIGHT)), torch.arange(float(WIDTH)), indexing="ij")
    near = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    for pose in (joints, target):
        start, end = (pose[0, JOINTS.index(name), :2] for name in ("left_elbow", "left_wrist"))
        along = (end - start) / (end - start).norm()
        dx, dy = x - start[0], y - start[1]
        u = dx * along[0] + dy * along[1]
        outside = torch.hypot(u - u.clamp(0, 1.4 * (end - start).norm()), dy * along[0] - dx * along[1])
        near |= outside < (0.55 + 0.6 * 0.13) * 25  # as far as a forearm reaches
    in_torso = (x >= 33) & (x <= 47) & (y >= 28) & (y <= 52)
    same = covered(warp, 0.9)[0] & (~near | in_torso)
    assert same.sum() > 1000
    assert (warp.image - image)[0, :, same].abs().max() < 1e-3
    # On the forearm: one pixel along the new bone is one pixel along the old one.
    elbow, new, old = target[0, 6, :2], target[0, 7, :2] - target[0, 6, :2], joints[0, 7, :2] - joints[0, 6, :2]
    for share in (0.3, 0.6, 0.9):
        at = (elbow + share * new).round()
        found = warp.coordinates[0, :, int(at[1]), int(at[0])]
        away = at - (elbow + share * new)
        back = torch.tensor([[0.0, -1], [1, 0]]) @ away  # a quarter turn
        expected = joints[0, 6, :2] + share * old + back
        assert (found - expected).norm() < 1e-2


def test_uncovered_pixels_are_plain_background_without_a_region() -> None:
    joints = standing()
    warp = warp_parts(noise(), one_hot(labels_of(joints)), joints, joints)
    nothing = warp.coverage[0, 0] == 0
    assert nothing[:, :5].all()
    assert (warp.image[0, :, nothing] == PLAIN_BACKGROUND).all()
    assert not warp.regions[0, :, nothing].any()
    assert not warp.coordinates[0, :, nothing].any()
    other = warp_parts(noise(), one_hot(labels_of(joints)), joints, joints, fill=0.25)
    assert (other.image[0, :, nothing] == 0.25).all()


def test_pixels_from_outside_the_source_are_not_covered() -> None:
    joints = standing()
    source = moved(joints, torch.eye(2), torch.tensor([0.0, -50.0]))  # only hips and legs are in the picture
    warp = warp_parts(noise(), one_hot(labels_of(source)), source, joints)
    assert not warp.coverage[0, 0, :48].any(), "rows from above the source's first row"
    assert warp.coverage[0, 0, 54:83, 33:36].min() > 0.4, "the right leg"


def test_a_warp_has_twelve_channels_in_the_documented_order() -> None:
    joints = standing()
    warp = warp_parts(noise(), one_hot(labels_of(joints)), joints, joints)
    channels = warp.channels()
    assert channels.shape == (1, 12, HEIGHT, WIDTH)
    for part, channel in ((warp.image, slice(3)), (warp.coverage, slice(3, 4)), (warp.regions, slice(4, 12))):
        assert torch.equal(channels[:, channel], part)


def slowly(image: Tensor, masks: Tensor, source: Tensor, target: Tensor) -> PartWarp:
    found = []
    for row in range(len(image)):
        hidden = faces_away(Person.of(source[row]), Person.of(target[row]))
        completed = [Person.of(complete_joints(joints[row : row + 1].double())[0]) for joints in (source, target)]
        found.append(
            slow_part_warp(
                image[row].double().numpy(), masks[row].double().numpy(), *completed, hidden=hidden,
                fill=PLAIN_BACKGROUND,
            )
        )  # fmt: skip
    picture, regions, coverage, coordinates = (torch.from_numpy(np.stack(part)) for part in zip(*found, strict=True))
    return PartWarp(picture, regions, coverage[:, None], coordinates)


def assert_close(one: PartWarp, other: PartWarp, tolerance: float) -> None:
    """Compare two warps except for the few pixels where coverage is at its threshold or two parts tie."""
    gap = (one.coverage - other.coverage).abs()[:, 0]
    at_threshold = gap > tolerance
    assert at_threshold.float().mean() < 1e-3
    assert gap.max() < 0.05, "the least coverage that is kept, and that of the background beside a limb"
    for name in ("image", "regions"):
        difference = (getattr(one, name) - getattr(other, name)).abs().amax(1)
        assert difference[~at_threshold].max() < tolerance, name
    places = (one.coordinates - other.coordinates).abs().amax(1)
    assert (places[~at_threshold] > 10 * tolerance).float().mean() < 1e-3


@on_boxes
@pytest.mark.parametrize("seed", range(5))
def test_a_batch_equals_a_float64_loop_over_people_and_parts(seed: int, boxed: bool) -> None:
    height, width = 64, 56
    source, target = people(4, height, width, seed), people(4, height, width, seed + 100)
    image, masks = noise(4, height, width), one_hot(labels_of(source, height, width))
    warp = warp_parts(image, masks, source, target, on_boxes=boxed)
    assert_close(warp, slowly(image, masks, source, target), 2e-3)


def test_the_oracle_detects_a_wrong_part() -> None:
    """The comparison itself is tested: it detects another pose of one forearm."""
    joints = standing()
    image, masks = noise(), one_hot(labels_of(joints))
    other = turned(joints, "left_elbow", ("left_wrist",), 3)
    with pytest.raises(AssertionError):
        assert_close(warp_parts(image, masks, joints, other), slowly(image, masks, joints, joints), 2e-3)


@on_boxes
def test_a_batch_equals_its_members(boxed: bool) -> None:
    """Bit for bit, since training on two processes and resuming depend on it."""
    source, target = people(9, seed=3), people(9, seed=30)
    image, masks = noise(9), one_hot(labels_of(source))
    whole = warp_parts(image, masks, source, target, on_boxes=boxed)
    for rows in (slice(0, 1), slice(4, 5), slice(6, 9), slice(0, 8)):
        part = warp_parts(image[rows], masks[rows], source[rows], target[rows], on_boxes=boxed)
        for field in fields(PartWarp):
            assert torch.equal(getattr(part, field.name), getattr(whole, field.name)[rows]), field.name


@pytest.mark.parametrize("missing", [(), ("nose", "left_eye", "right_eye", "left_ear", "right_ear")])
def test_a_source_warped_into_many_poses_equals_its_repeated_photo(missing: tuple[str, ...]) -> None:
    """Bit for bit; what the source keeps from one pose to the next changes nothing."""
    joints, poses = standing(), torch.cat([people(5, HEIGHT, WIDTH, seed=7), standing(*missing)])
    image, masks = noise(), one_hot(labels_of(joints))
    given = [tensor.expand(6, *tensor.shape[1:]) for tensor in (image, masks, joints)]
    expected = warp_parts(*given, poses)
    source = WarpSource(image, masks, joints)
    for _ in range(2):
        batch, single = source.warp(poses), PartWarp.joined([source.warp(pose) for pose in poses.split(1)])
        for field in fields(PartWarp):
            for found in (batch, single):
                assert torch.equal(getattr(found, field.name), getattr(expected, field.name)), field.name


def test_large_images_are_warped_one_by_one_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = people(4, seed=3), people(4, seed=30)
    given = noise(4), one_hot(labels_of(source)), source, target
    at_once = warp_parts(*given)
    monkeypatch.setattr(part_warp, "_FEW_PIXELS", 0)
    one_by_one = warp_parts(*given)
    for field in fields(PartWarp):
        assert torch.equal(getattr(one_by_one, field.name), getattr(at_once, field.name)), field.name


@pytest.mark.parametrize("height", [8, 7], ids=["in strips", "at once"])
def test_one_image_is_sampled_like_a_batch_although_threads_share_its_rows(height: int) -> None:
    random = torch.Generator().manual_seed(0)
    source = torch.rand(2, 5, 9, 6, generator=random, dtype=torch.float64)
    grid = torch.rand(2, 2, height, 4, generator=random, dtype=torch.float64) * 2.4 - 1.2
    both, alone = sampled_at(source, grid), sampled_at(source[:1], grid[:1])
    torch.testing.assert_close(alone, both[:1], rtol=1e-12, atol=0)


def test_boxes_contain_every_pixel_of_a_part() -> None:
    source, target = people(6, seed=5), people(6, seed=50)
    image, masks = noise(6), one_hot(labels_of(source))
    boxed, whole = (warp_parts(image, masks, source, target, on_boxes=boxed) for boxed in (True, False))
    for field in fields(PartWarp):
        torch.testing.assert_close(getattr(boxed, field.name), getattr(whole, field.name), rtol=1e-4, atol=1e-4)


# Faces ----------------------------------------------------------------------------------------------------------------


class Memory(TorchDispatchMode):
    """Counts the bytes of all live tensors, each storage once."""

    def __init__(self) -> None:
        super().__init__()
        self._known: set[int] = set()
        self.now = self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        given = func(*args, **(kwargs or {}))
        for value in given if isinstance(given, tuple | list) else [given]:
            if isinstance(value, Tensor) and value.untyped_storage().data_ptr() not in self._known:
                self._note(value)
        return given

    def _note(self, value: Tensor) -> None:
        address, num = value.untyped_storage().data_ptr(), value.untyped_storage().nbytes()
        self._known.add(address)
        self.now += num
        self.peak = max(self.peak, self.now)

        def forget() -> None:
            self._known.discard(address)
            self.now -= num

        weakref.finalize(value, forget)


def peak_memory(height: int, width: int) -> int:
    joints = standing() * torch.tensor([width / WIDTH, height / HEIGHT, 1])
    image, masks = noise(1, height, width), one_hot(labels_of(joints, height, width))
    with Memory() as memory:
        warp_parts(image, masks, joints, joints)
    return memory.peak


def test_memory_is_linear_in_the_number_of_pixels() -> None:
    small, large = peak_memory(HEIGHT, WIDTH), peak_memory(4 * HEIGHT, 4 * WIDTH)
    assert large == pytest.approx(16 * small, rel=0.2)
    assert small < 4 * 100 * HEIGHT * WIDTH, "a hundred numbers a pixel"


@pytest.mark.parametrize("missing", [(), ("left_wrist", "left_ankle")], ids=["whole", "joints missing"])
def test_layers_of_a_source_serve_every_pose_that_has_the_same_joints(missing: tuple[str, ...]) -> None:
    joints, image = standing("right_wrist"), noise()
    masks, poses = one_hot(labels_of(joints)), torch.cat([turned(standing(*missing), *arm) for arm in _ARMS_AT])
    layers = part_layers(masks, joints, poses[:1])
    for pose in torch.split(poses, 1):
        expected = warp_parts(image, masks, joints, pose, on_boxes=False)
        found = warp_layers(image, masks, layers, joints, pose, torch.ones(1, 10))
        assert all(torch.equal(getattr(found, name.name), getattr(expected, name.name)) for name in fields(PartWarp))


_ARMS_AT = [("right_shoulder", ("right_elbow", "right_wrist"), degrees) for degrees in (0, 40, 130)]
