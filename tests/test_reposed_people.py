"""Training photos of people with turned arms: pixels, labels and joints move together."""

from __future__ import annotations

import numpy as np
import pytest

from scmnet_cli.analyser.training.reposed_people import reposed_people
from scmnet_cli.analyser.training.views import UNKNOWN, TrainingPhoto, training_photo
from scmnet_cli.regions import BACKGROUND, region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.sources.drawn import draw_person
from scmnet_cli.types import FloatArray

ELBOWS = [JOINTS.index("right_elbow"), JOINTS.index("left_elbow")]


@pytest.fixture(scope="module")
def people() -> list[TrainingPhoto]:
    drawn = [draw_person(seed) for seed in range(12)]
    return [training_photo(person.image, person.regions, person.joints) for person in drawn]


def shares_on_person(photo: TrainingPhoto) -> float:
    """Return the share of the visible elbows that lie on the person's pixels."""
    labels = np.asarray(photo.labels)
    places = [photo.joints[joint, :2].round().astype(int) for joint in ELBOWS if photo.joints[joint, 2] > 0]
    return float(np.mean([labels[y, x] != BACKGROUND for x, y in places])) if places else 1.0


def upper_arms(photo: TrainingPhoto) -> FloatArray:
    """Return the directions of both upper arms in radians, (2,)."""
    shoulders = [JOINTS.index("right_shoulder"), JOINTS.index("left_shoulder")]
    x, y = (photo.joints[ELBOWS, :2] - photo.joints[shoulders, :2]).T
    return np.arctan2(y, x)


def test_arms_are_turned_and_the_joints_stay_on_the_person(people: list[TrainingPhoto]) -> None:
    found = reposed_people(people, [], 12, seed=0)
    assert len(found) == 12
    assert np.mean([shares_on_person(photo) for photo in found]) > 0.8
    before, after = ([upper_arms(photo) for photo in photos] for photos in (people, found))
    turns = [min(float(abs(angles - other).max()) for other in before) for angles in after]
    assert np.median(turns) > 0.1, "radians"


def test_holes_of_the_warp_have_no_label(people: list[TrainingPhoto]) -> None:
    labels = [np.asarray(photo.labels) for photo in reposed_people(people, [], 8, seed=0)]
    assert any((each == UNKNOWN).any() for each in labels)
    assert all(set(np.unique(each)) <= {*range(8), UNKNOWN} for each in labels)
    assert all((each == region_id("face")).any() for each in labels)


def test_the_same_seed_gives_the_same_photos(people: list[TrainingPhoto]) -> None:
    one, two, other = (reposed_people(people, [], 3, seed=seed) for seed in (1, 1, 2))
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(np.asarray(a.levels[0]), np.asarray(b.levels[0]))
        assert np.array_equal(a.joints, b.joints)
    assert any(not np.array_equal(a.joints, b.joints) for a, b in zip(one, other, strict=True))


def test_people_with_unknown_or_cut_limbs_are_left_out(people: list[TrainingPhoto]) -> None:
    armless = people[0].joints.copy()
    armless[ELBOWS] = 0
    without = training_photo(np.asarray(people[0].levels[0]), np.asarray(people[0].labels), armless)
    width, height = people[1].levels[0].size
    cut = people[1].cropped((0, 0, width, height // 2))
    assert reposed_people([without, cut], [], 3, seed=0) == []
