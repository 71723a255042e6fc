"""Several photos of one person: the choice of photo for each part, their joint warp, and ``--same-person``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Place, Scm
from personal_models import CANVAS, a_photo, save_model
from test_crossed_arms import crossed, skin_on
from test_crossed_arms import photo as across
from test_extremities import STANDING, standing
from test_unseen_limbs import LEFT, SHORT, joints_with
from test_unseen_limbs import photo as arms

from scmnet_cli.data.cropping import resized
from scmnet_cli.data.dataset import collate
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.personal import library_poses
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.inference.synthesis import SourcePhoto
from scmnet_cli.models.part_warp import PartWarp, warp_parts
from scmnet_cli.models.parts import PARTS
from scmnet_cli.models.several_photos import Photo, best_photo, part_scores, warp_photos
from scmnet_cli.regions import BACKGROUND, one_hot
from scmnet_cli.skeleton import MIRRORED
from scmnet_cli.types import Canvas, Person

LARGE = Canvas(128, 96)
CPU = torch.device("cpu")
RED, BLUE = (200, 30, 30), (30, 30, 200)


def coloured(person: Person, colour: tuple[int, int, int]) -> Person:
    image = person.image.copy()
    image[person.regions != BACKGROUND] = colour
    return dataclasses.replace(person, image=image)


def from_behind(person: Person) -> Person:
    """Return a person whose joints are seen from behind: sides are swapped, the face is hidden."""
    joints = person.joints[list(MIRRORED)].copy()
    joints[[0, 14, 15]] = 0
    return dataclasses.replace(person, joints=joints)


def upper_half(person: Person) -> Person:
    """Return a person as if the photo showed nothing below the hips."""
    hips = round(float(person.joints[[8, 11], 1].max()))
    image, regions, joints = person.image.copy(), person.regions.copy(), person.joints.copy()
    image[hips:], regions[hips:] = 230, BACKGROUND
    joints[joints[:, 1] > hips] = 0
    return dataclasses.replace(person, image=image, regions=regions, joints=joints)


def as_photo(person: Person, detail: float = 1.0) -> Photo:
    batch = collate([person], CPU)
    return Photo(batch.image, one_hot(batch.labels), batch.structure, detail)


def joints_of(person: Person) -> torch.Tensor:
    return torch.from_numpy(person.joints)[None]


def colour_of(warp: PartWarp) -> np.ndarray:
    """Return the mean colour of the warped person, in 0 to 255."""
    inside = (warp.coverage[0, 0] > 0.5) & (warp.regions[0, BACKGROUND] < 0.1)
    found: np.ndarray = ((warp.image[0, :, inside].mean(1) + 1) * 127.5).numpy()
    return found


def test_front_poses_are_drawn_from_the_front_photo_and_back_poses_from_the_back_photo() -> None:
    person = a_photo(1, LARGE)
    front, back = coloured(person, RED), from_behind(coloured(person, BLUE))
    photos = [as_photo(front), as_photo(back)]
    for number, pose in enumerate((person, from_behind(person))):
        scores = part_scores(photos, joints_of(pose))
        assert scores.shape == (2, len(PARTS))
        assert best_photo(scores) == number
        assert (scores.argmax(0)[scores.amax(0) > 0] == number).all()
        found = colour_of(warp_photos(photos, joints_of(pose), scores))
        assert np.abs(found - (RED, BLUE)[number]).max() < 25


def test_legs_come_from_the_photo_that_shows_them() -> None:
    person = a_photo(1, LARGE)
    half, whole = upper_half(coloured(person, RED)), coloured(person, BLUE)
    photos = [as_photo(half, detail=3.0), as_photo(whole)]
    scores = part_scores(photos, joints_of(person))
    legs = [number for number, name in enumerate(PARTS) if "thigh" in name or "shin" in name]
    assert (scores[:, legs].argmax(0) == 1).all()
    assert scores[:, PARTS.index("head")].argmax() == 0  # shown more closely
    found = warp_photos(photos, joints_of(person), scores)
    knees = person.joints[[9, 12], :2].round().astype(int)
    for x, y in knees:
        assert found.image[0, 2, y, x] > found.image[0, 0, y, x]  # blue
    x, y = person.joints[0, :2].round().astype(int)
    assert found.image[0, 0, y, x] > found.image[0, 2, y, x]  # red


def test_two_equal_photos_are_warped_as_one() -> None:
    person, pose = a_photo(1, LARGE), joints_of(a_photo(3, LARGE))
    photo = as_photo(person)
    both = warp_photos([photo, photo], pose, part_scores([photo, photo], pose))
    alone = warp_parts(photo.image, photo.masks, photo.joints, pose)
    for name in ("image", "regions", "coverage", "coordinates"):
        torch.testing.assert_close(getattr(both, name), getattr(alone, name), atol=2e-2, rtol=0)


def test_parts_of_a_warp_sum_to_the_whole() -> None:
    person, pose = a_photo(1, LARGE), joints_of(a_photo(3, LARGE))
    photo = as_photo(person)
    given = (photo.image, photo.masks, photo.joints, pose)
    whole = warp_parts(*given)
    arms = torch.tensor([[float("arm" in name) for name in PARTS]])
    first, second = (warp_parts(*given, parts=parts) for parts in (arms, 1 - arms))
    torch.testing.assert_close(first.coverage + second.coverage, whole.coverage, atol=0.04, rtol=0)
    assert first.coverage.sum() > 0
    assert second.coverage.sum() > first.coverage.sum()


def test_holes_of_one_photo_are_filled_from_the_other() -> None:
    person = a_photo(1, LARGE)
    holed = person.regions.copy()
    x, y = person.joints[[8, 11], :2].mean(0).round().astype(int)
    holed[y - 6 : y + 6, x - 6 : x + 6] = BACKGROUND
    first = as_photo(dataclasses.replace(person, regions=holed), detail=4.0)
    pose = joints_of(person)
    photos = [first, as_photo(coloured(person, BLUE))]
    found = warp_photos(photos, pose, part_scores(photos, pose))
    alone = warp_parts(first.image, first.masks, first.joints, pose)
    assert alone.regions[0, 1:, y, x].sum() < 0.2  # empty there
    assert found.regions[0, 0].sum() <= alone.regions[0, 0].sum()


def test_an_arm_across_the_body_does_not_stay_there_with_several_photos_either() -> None:
    joints = crossed()
    taken = SourcePhoto(*across(joints), joints)
    pose = standing()
    alone = taken.person.warp(pose)
    for photos in ([taken], [taken, taken]):
        found = warp_photos(photos, pose, part_scores(photos, pose))
        assert skin_on(found) == 0
        for name in ("image", "regions", "coverage"):
            torch.testing.assert_close(getattr(found, name), getattr(alone, name), atol=2e-2, rtol=0)


def test_an_unseen_arm_comes_from_the_photo_that_shows_it_and_not_mirrored() -> None:
    short = joints_with(**SHORT)
    image, masks = arms(standing())
    x, y = (round(value) for value in STANDING["right_wrist"])
    shown = image[0, 0, y, x]
    photos = [
        SourcePhoto(*arms(short), short, detail=4.0, replaced=torch.tensor([[True] + [False] * 5])),
        SourcePhoto(image, masks, standing(), replaced=torch.zeros(1, 6, dtype=torch.bool)),
    ]
    found = warp_photos(photos, standing(), part_scores(photos, standing()))
    assert abs(photos[0].warp(standing()).image[0, 0, y, x] - LEFT) < 0.05, "mirrored"
    assert abs(found.image[0, 0, y, x] - shown) < 0.05


@pytest.fixture
def base(tmp_path: Path) -> Pipeline:
    return Pipeline.from_pretrained(save_model(tmp_path / "base.safetensors"), "cpu")


def test_one_photo_is_drawn_as_without_this_feature(base: Pipeline) -> None:
    photo = a_photo(1)
    drawn = [np.asarray(base.transfer(source, a_photo(3)).image) for source in (photo, base.encode_photos([photo]))]
    assert (drawn[0] == drawn[1]).all()


def test_a_batch_of_poses_is_drawn_as_one_by_one_at_any_size(base: Pipeline) -> None:
    source = base.encode_photos([a_photo(1, LARGE), from_behind(a_photo(1, LARGE))])
    poses = [a_photo(3), from_behind(a_photo(3)), a_photo(5)]
    together = list(base.transfer_many(source, poses, batch=3))
    assert together[0].image.size == (LARGE.width, LARGE.height)
    for pose, result in zip(poses, together, strict=True):
        alone = base.transfer(source, pose)
        assert np.abs(np.asarray(alone.image, int) - np.asarray(result.image, int)).max() <= 1


def test_the_style_is_that_of_the_photo_that_fits_the_pose(base: Pipeline) -> None:
    front, back = coloured(a_photo(1), RED), from_behind(coloured(a_photo(1), BLUE))
    source = base.encode_photos([front, back])
    drawn = base.transfer(source, from_behind(a_photo(3)))
    moved = np.asarray(drawn.moved_source, int)[drawn.moved_regions != BACKGROUND]
    assert moved[:, 2].mean() > moved[:, 0].mean()


def test_several_photos_need_a_part_warp(tmp_path: Path) -> None:
    flat = Pipeline.from_pretrained(save_model(tmp_path / "flat.safetensors", part_warp=False), "cpu")
    with pytest.raises(ScmError, match="has no part warp"):
        flat.encode_photos([a_photo(1), a_photo(3)])


def test_two_sources_are_two_pictures_unless_they_are_of_one_person(place: Place, scm: Scm) -> None:
    save_model(place.path / "base.safetensors")
    Place.prepare(place.path / "drawn", [resized(a_photo(seed), CANVAS) for seed in (0, 1)], [])
    words = ["transfer", "--src", "drawn/drawn-0", "--src", "drawn/drawn-1", "--pose", "walking"]
    apart = scm(*words, "-m", "base.safetensors", "-o", "apart")
    assert len(apart.paths) == 2
    together = scm(*words, "-m", "base.safetensors", "-o", "together", "--same-person")
    assert [path.name for path in together.paths] == ["drawn-0_to_walking.png"]
    source = together.report()["inputs"]["source"]
    assert source["name"] == "drawn-0"
    assert [Path(path).name for path in source["further_photos"]] == ["drawn-1.png"]


def test_an_edit_of_several_photos_of_one_person_is_refused(place: Place, scm: Scm) -> None:
    outcome = scm("edit", "--src", "data/anna", "--region", "upper", "--ref", "data/ben", "--same-person")
    assert outcome.code == 2
    assert "an edit changes one photo" in outcome.errors[0]


def test_library_poses_lie_on_the_canvas() -> None:
    poses = library_poses(CANVAS)
    assert len(poses) > 10
    for joints in poses.values():
        known = joints[joints[:, 2] > 0, :2]
        assert (known >= -0.5).all()
        assert (known <= (CANVAS.width, CANVAS.height)).all()
