"""Training photos of people as if seen from behind: hair instead of a face, left and right exchanged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scmnet_cli.analyser.training.seen_from_behind import seen_from_behind
from scmnet_cli.analyser.training.views import TrainingPhoto, training_photo
from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.sources.drawn import draw_person

FACE, HAIR = region_id("face"), region_id("hair")
EYES_AND_NOSE = [JOINTS.index(name) for name in ("nose", "right_eye", "left_eye")]
RIGHT, LEFT = JOINTS.index("right_shoulder"), JOINTS.index("left_shoulder")


@pytest.fixture(scope="module")
def people() -> list[TrainingPhoto]:
    drawn = [draw_person(seed) for seed in range(12)]
    return [training_photo(person.image, person.regions, person.joints) for person in drawn]


def test_the_face_becomes_hair_and_the_sides_are_exchanged(people: list[TrainingPhoto]) -> None:
    for photo in seen_from_behind(people, 12, seed=0):
        labels, joints = np.asarray(photo.labels), photo.joints
        assert (labels == HAIR).sum() > 4 * (labels == FACE).sum()
        assert (joints[EYES_AND_NOSE, 2] == 0).all()
        assert joints[RIGHT, 0] > joints[LEFT, 0], "the right shoulder is on the right of the picture"


def test_hair_has_the_colour_of_the_persons_hair(people: list[TrainingPhoto]) -> None:
    for person in people:
        for photo in seen_from_behind([person], 1, seed=1):
            before, after = (
                np.median(np.asarray(one.levels[0])[np.asarray(one.labels) == HAIR].astype(float), 0)
                for one in (person, photo)
            )
            assert np.abs(before - after).max() < 40


def test_the_same_seed_gives_the_same_photos(people: list[TrainingPhoto]) -> None:
    one, two, other = (seen_from_behind(people, 3, seed=seed) for seed in (1, 1, 2))
    assert all(a.levels[0].tobytes() == b.levels[0].tobytes() for a, b in zip(one, two, strict=True))
    assert any(a.levels[0].tobytes() != b.levels[0].tobytes() for a, b in zip(one, other, strict=True))


def test_people_without_a_visible_face_or_without_labels_are_left_out(people: list[TrainingPhoto]) -> None:
    faceless = people[0].joints.copy()
    faceless[EYES_AND_NOSE] = 0
    assert seen_from_behind([replace(people[0], joints=faceless), replace(people[1], labels=None)], 3, seed=0) == []
