"""anti_copy: a move depends on its index in the stream, moves image and regions alike, and drops regions or halves."""

from __future__ import annotations

import torch

from scmnet_cli.config import DataConfig
from scmnet_cli.data.augmentation import Moves, close_up, draw_moves, move

STILL = DataConfig(flip=0, rotate=0, scale=0, shift=0, warp=0, drop_region=0, half_body=0)
WILD = DataConfig(drop_region=1, half_body=1)
PLAIN = 0.8


def people(num: int = 3, height: int = 32, width: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    """Boxes of three regions on a plain background; each region has its own grey."""
    labels = torch.zeros(num, height, width, dtype=torch.uint8)
    labels[:, 4:10, 8:16] = 4
    labels[:, 10:20, 6:18] = 5
    labels[:, 20:28, 8:16] = 1
    greys = torch.tensor([PLAIN, -0.5, 0, 0, 0.2, -0.2, 0, 0])
    return greys[labels.long()][:, None].expand(-1, 3, -1, -1).clone(), labels


def test_zero_ranges_leave_image_and_labels_unchanged() -> None:
    image, labels = people()
    moved, moved_labels = move(image, labels, draw_moves(STILL, 0, range(3)), PLAIN)
    assert torch.allclose(moved, image, atol=1e-5)
    assert torch.equal(moved_labels, labels)


def test_a_move_depends_only_on_its_index_in_the_stream() -> None:
    image, labels = people()
    whole, whole_labels = move(image, labels, draw_moves(WILD, 7, [5, 6, 7]), PLAIN)
    for row, position in enumerate([5, 6, 7]):
        one, one_labels = move(image[row : row + 1], labels[row : row + 1], draw_moves(WILD, 7, [position]), PLAIN)
        assert torch.equal(one[0], whole[row])
        assert torch.equal(one_labels[0], whole_labels[row])
    other, _ = move(image, labels, draw_moves(WILD, 8, [5, 6, 7]), PLAIN)
    assert not torch.allclose(other, whole)


def test_a_move_is_bit_identical_alone_and_in_a_batch() -> None:
    """In noise every pixel is a region border, so a coordinate off by one bit changes a label."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(7, 3, 64, 48, generator=generator)
    labels = torch.randint(0, 8, (7, 64, 48), generator=generator).to(torch.uint8)
    for seed in range(10):
        whole, whole_labels = move(image, labels, draw_moves(DataConfig(), seed, range(7)), PLAIN)
        for row in range(7):
            one, one_labels = move(
                image[row : row + 1], labels[row : row + 1], draw_moves(DataConfig(), seed, [row]), PLAIN
            )
            assert torch.equal(one[0], whole[row])
            assert torch.equal(one_labels[0], whole_labels[row])


def test_flip_mirrors_the_picture() -> None:
    image, labels = people()
    image[:, :, :, :12] += 0.1
    moves = draw_moves(STILL.model_copy(update={"flip": 1.0}), 0, range(3))
    moved, moved_labels = move(image, labels, moves, PLAIN)
    assert torch.allclose(moved, image.flip(3), atol=1e-5)
    assert torch.equal(moved_labels, labels.flip(2))


def test_image_and_regions_move_together() -> None:
    image, labels = people()
    moves = draw_moves(DataConfig(drop_region=0, half_body=0), 3, range(3))
    moved, moved_labels = move(image, labels, moves, PLAIN)
    assert not torch.equal(moved_labels, labels)
    inside = torch.nn.functional.avg_pool2d((moved_labels == 5).float(), 5, 1, 2) == 1  # far from borders
    assert inside.any()
    assert torch.allclose(moved[:, 0][inside], torch.tensor(-0.2), atol=1e-4)


def test_a_scale_of_two_halves_the_person() -> None:
    image, labels = people(1)
    zoom = Moves(torch.tensor([[[2.0, 0, 0], [0, 2.0, 0]]]), torch.zeros(1, 2, 4, 3), torch.tensor([-1]), torch.ones(1))
    _, moved = move(image, labels, zoom, PLAIN)
    assert abs(int((labels > 0).sum()) / int((moved > 0).sum()) - 4) < 0.5


def test_a_dropped_region_is_removed_and_the_others_stay() -> None:
    image, labels = people()
    moves = draw_moves(STILL.model_copy(update={"drop_region": 1.0}), 0, range(3))
    moved, moved_labels = move(image, labels, moves, PLAIN)
    for before, after, picture in zip(labels, moved_labels, moved, strict=True):
        gone = set(before.unique().tolist()) - set(after.unique().tolist())
        assert len(gone) == 1
        assert 0 not in gone
        assert torch.all(picture[:, before == gone.pop()] == PLAIN)


def test_a_half_body_keeps_the_upper_part_only() -> None:
    image, labels = people()
    _, moved = move(image, labels, draw_moves(STILL.model_copy(update={"half_body": 1.0}), 0, range(3)), PLAIN)
    assert torch.equal(moved[:, :14], labels[:, :14])
    assert not moved[:, 21:].any()


def test_the_only_region_is_never_dropped() -> None:
    image, labels = people(1)
    labels[labels > 0] = 5
    _, moved = move(image, labels, draw_moves(STILL.model_copy(update={"drop_region": 1.0}), 0, [0]), PLAIN)
    assert torch.equal(moved, labels)


def test_a_kept_background_is_padded_by_repeating_its_edge() -> None:
    image = torch.full((1, 3, 32, 24), -1.0)
    labels = torch.full((1, 32, 24), 5, dtype=torch.uint8)
    moved, moved_labels = move(image, labels, draw_moves(DataConfig(drop_region=0, half_body=0), 1, [0]), None)
    assert torch.allclose(moved, image)
    assert (moved_labels == 0).any()


def test_a_close_up_enlarges_the_upper_body_and_keeps_joints_on_it() -> None:
    image, labels = people(height=64, width=48)
    image[:, :, 40:56], labels[:, 40:56] = 0.5, 7
    head, shoe = (8.0, 6.0, 1.0), (10.0, 54.0, 1.0)
    labels[:, 5:8, 7:10], labels[:, 53:56, 9:12] = 2, 3
    joints = torch.tensor([[head, shoe]]).repeat(3, 1, 1)
    near = torch.tensor([True, False, True])
    seeds = [(1, place) for place in range(3)]
    _, cropped, moved = close_up(image, labels, joints, near, seeds)
    assert torch.equal(cropped[1], labels[1])
    assert torch.equal(moved[1], joints[1])
    for row in (0, 2):
        assert (cropped[row] == 2).sum() > 1.3 * (labels[row] == 2).sum()
        x, y, score = moved[row, 0].round().tolist()
        assert score == 1
        assert cropped[row, int(y), int(x)] == 2
        assert moved[row, 1].tolist() == [0, 0, 0]
    assert not torch.equal(cropped[0], cropped[2])


def test_a_close_up_depends_only_on_its_seed() -> None:
    image, labels = people()
    joints, seeds = torch.ones(3, 18, 3), [(4, place) for place in range(3)]
    whole = close_up(image, labels, joints, torch.tensor([True] * 3), seeds)
    alone = close_up(image[2:], labels[2:], joints[2:], torch.tensor([True]), seeds[2:])
    for together, one in zip(whole, alone, strict=True):
        assert torch.equal(together[2], one[0])
