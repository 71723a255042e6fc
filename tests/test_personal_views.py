"""Training pairs of a personalized model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from personal_models import CANVAS, CPU, DATA, a_photo, save_model

from scmnet_cli.data.dataset import PeopleGiven, TrainingStream
from scmnet_cli.inference.personal import library_poses
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.training.personal_views import PersonalStream, held_out_views, outside_holes
from scmnet_cli.types import Canvas, Person


@pytest.fixture
def base(tmp_path: Path) -> Pipeline:
    return Pipeline.from_pretrained(save_model(tmp_path / "base.safetensors"), "cpu")


def stream(*photos: Person) -> PersonalStream:
    donors = list(library_poses(CANVAS).values())
    return PersonalStream(PeopleGiven(photos, CANVAS, CPU, plain=True), DATA, 0, donors)


def test_the_target_is_the_photo_or_a_view_of_it_and_the_source_another_view() -> None:
    photo = a_photo()
    plain = DATA.model_copy(update={"close_up": 0.0, "close_up_both": 0.0, "mirror": 0.0})
    pairs = PersonalStream(
        PeopleGiven([photo], CANVAS, CPU, plain=True), plain, 0, list(library_poses(CANVAS).values())
    ).batch(0, 24)
    truth = torch.from_numpy(photo.image).permute(2, 0, 1) / 127.5 - 1
    is_photo = torch.tensor([torch.equal(target, truth) for target in pairs.target.image])
    assert 4 <= is_photo.sum() <= 12, "a third of them"
    assert ((pairs.source.image - pairs.target.image).abs().mean((1, 2, 3)) > 0.01).all()
    assert pairs.sure is not None
    holes = (1 - pairs.sure).mean((1, 2, 3))
    assert holes[is_photo].max() < 0.01
    assert holes[~is_photo].mean() > 3 * holes[is_photo].mean(), "holes of a view do not count"
    poses = pairs.target.structure - torch.from_numpy(photo.joints)
    assert torch.equal(poses.abs().amax((1, 2)) > 0, ~is_photo)


def test_a_position_of_the_stream_holds_the_same_pair_for_any_batch_size() -> None:
    whole, first, second = (stream(a_photo(), a_photo(1)).batch(*cut) for cut in ((0, 4), (0, 2), (2, 2)))
    for side in ("target", "source"):
        joined = torch.cat([getattr(part, side).image for part in (first, second)])
        torch.testing.assert_close(getattr(whole, side).image, joined)


def test_with_two_photos_some_sources_are_the_other_photo_unwarped_and_unmoved() -> None:
    photos = [a_photo(0), a_photo(1)]
    plain = DATA.model_copy(update={"close_up": 0.0, "close_up_both": 0.0, "mirror": 0.0})
    assert plain.anti_copy
    assert plain.joint_noise > 0
    people = PeopleGiven(photos, CANVAS, CPU, plain=True)
    pairs = PersonalStream(people, plain, 0, list(library_poses(CANVAS).values())).batch(0, 48)
    images = [people.batch([index]).image[0] for index in (0, 1)]
    crossed = sum(
        torch.equal(target, images[a]) and torch.equal(source, images[1 - a])
        for target, source in zip(pairs.target.image, pairs.source.image, strict=True)
        for a in (0, 1)
    )
    assert 2 <= crossed <= 12  # an eighth


def test_held_out_views_are_no_training_pairs_and_their_target_is_the_photo() -> None:
    photo = a_photo()
    people = PeopleGiven([photo], CANVAS, CPU, plain=True)
    views = held_out_views(people, list(library_poses(CANVAS).values())[::4], 4)
    again = held_out_views(people, list(library_poses(CANVAS).values())[::4], 4)
    truth = torch.from_numpy(photo.image).permute(2, 0, 1) / 127.5 - 1
    assert all(torch.equal(target, truth) for target in views.target.image)
    assert torch.equal(views.source.image, again.source.image)
    assert len({tuple(image.flatten().tolist()) for image in views.source.image}) == 4


def test_half_of_the_held_out_targets_can_be_in_other_poses() -> None:
    people, poses = PeopleGiven([a_photo()], CANVAS, CPU, plain=True), list(library_poses(CANVAS).values())
    alone, views = (held_out_views(people, poses[::4], 4, targets) for targets in ([], poses[::4]))
    assert [torch.equal(*pair) for pair in zip(alone.target.image, views.target.image, strict=True)] == [
        True,
        False,
    ] * 2
    assert torch.equal(alone.source.image, views.source.image)
    assert views.sure is not None
    assert [float(sure.mean()) > 0.99 for sure in views.sure] == [True, False] * 2


@pytest.mark.parametrize(("width", "lost"), [(4, True), (60, True), (0, False)], ids=["a strap", "a leg", "nothing"])
def test_what_the_region_map_lost_is_not_learned_as_a_hole(width: int, lost: bool) -> None:
    photo = a_photo(1, Canvas(256, 192))
    labels, joints = torch.tensor(photo.regions)[None], torch.tensor(photo.joints)[None]
    x, y = ((joints[0, 9] + joints[0, 10]) / 2)[:2].int().tolist()  # of the right shin
    whole = outside_holes(labels, joints)
    labels[0, y - width // 2 : y + width // 2] = BACKGROUND
    counts = outside_holes(labels, joints)
    assert (counts[0, 0, y, x] == 0) == lost
    assert torch.equal(counts[:, :, : y - width], whole[:, :, : y - width])
    assert whole.mean() > 0.98
    assert counts[:, :, :, :10].min() == 1, "beside the person is background"


def test_the_poses_of_a_stream_come_from_donors() -> None:
    photos = PeopleGiven([a_photo()], CANVAS, CPU, plain=True)
    own = TrainingStream(photos, DATA, 0).batch(0, 8)
    lent = TrainingStream(photos, DATA, 0, list(library_poses(CANVAS).values())).batch(0, 8)
    assert not torch.equal(own.source.structure, lent.source.structure)
