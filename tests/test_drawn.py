"""Synthetic people: image, regions and joints agree, and people vary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_label_map, read_photo
from scmnet_cli.regions import BACKGROUND, BODY_REGIONS, region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.sources.drawn import PHOTO, draw_person, write_drawn_source
from scmnet_cli.sources.keypoints import read_keypoint_table
from scmnet_cli.types import FloatArray, Person


@pytest.fixture(scope="module")
def people() -> list[Person]:
    return [draw_person(seed) for seed in range(16)]


def joint(person: Person, name: str) -> FloatArray:
    return person.joints[JOINTS.index(name)]


def region_around(person: Person, place: FloatArray) -> set[str]:
    """Return the names of the regions within two pixels of a place."""
    x, y = round(float(place[0])), round(float(place[1]))
    return {BODY_REGIONS[i] for i in np.unique(person.regions[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3])}


def test_the_same_seed_draws_the_same_person_and_another_seed_another(people: list[Person]) -> None:
    again = draw_person(3)
    assert again.name == people[3].name
    for array in ("image", "regions", "joints"):
        assert getattr(again, array).tobytes() == getattr(people[3], array).tobytes()
    assert len({person.image.tobytes() for person in people}) == len(people)
    assert len({person.joints.tobytes() for person in people}) == len(people)


def test_picture_map_and_joints_have_the_types_of_a_person(people: list[Person]) -> None:
    for person in people:
        assert person.image.dtype == np.uint8
        assert person.regions.dtype == np.uint8
        assert person.joints.dtype == np.float32
        assert person.joints.shape == (18, 3)
        assert person.image.shape[:2] == person.regions.shape
        assert person.regions.max() < len(BODY_REGIONS)


def test_joints_lie_on_the_region_they_belong_to(people: list[Person]) -> None:
    belongs = {
        "nose": {"face"},
        "right_ankle": {"legs", "pants"},
        "left_ankle": {"legs", "pants"},
        "neck": {"upper", "face", "hair", "arms"},
        "right_wrist": {"arms", "upper", "face", "hair"},
        "left_wrist": {"arms", "upper", "face", "hair"},
    }
    for person in people:
        for name, regions in belongs.items():
            place = joint(person, name)
            if place[2] > 0:
                assert region_around(person, place) & regions, (person.name, name)


def test_every_known_joint_lies_on_the_person_and_a_missing_one_is_zero(people: list[Person]) -> None:
    for person in people:
        for place in person.joints:
            if place[2] == 0:
                assert not place.any()
            else:
                assert region_around(person, place) != {BODY_REGIONS[BACKGROUND]}, person.name


def test_a_front_view_has_its_right_side_on_the_left_and_a_back_view_has_no_face(
    people: list[Person],
) -> None:
    num_from_behind = 0
    for person in people:
        from_behind = joint(person, "nose")[2] == 0
        num_from_behind += from_behind
        right, left = joint(person, "right_shoulder"), joint(person, "left_shoulder")
        assert (right[0] < left[0]) != from_behind, person.name
        eyes = joint(person, "right_eye"), joint(person, "left_eye")
        assert all((eye[2] == 0) == from_behind for eye in eyes), person.name
    assert 0 < num_from_behind < len(people) // 2


def test_all_regions_occur_including_skirts_and_pants(people: list[Person]) -> None:
    present = np.zeros(len(BODY_REGIONS), int)
    for person in people:
        present[np.unique(person.regions)] += 1
    assert (present > 0).all()
    assert present[region_id("skirt")] < len(people)
    assert present[region_id("pants")] < len(people)


def test_some_people_are_cut_off_below_the_hips_and_have_no_ankles(people: list[Person]) -> None:
    full, half = [], []
    for person in people:
        (half if person.canvas.height < PHOTO.height else full).append(person)
    assert half
    assert len(half) < len(full)
    assert all(joint(person, "right_ankle")[2] == 0 for person in half)
    assert all(joint(person, "right_ankle")[2] == 1 for person in full)
    assert all(joint(person, "right_hip")[2] == 1 for person in half)


def test_the_source_folder_contains_the_drawn_people(tmp_path: Path) -> None:
    names = write_drawn_source(tmp_path / "people", 2, seed=7)
    assert names == ["drawn_0007", "drawn_0008"]
    table = read_keypoint_table(tmp_path / "people" / "joints.csv")
    assert not table.problems
    for seed, name in enumerate(names, start=7):
        person = draw_person(seed)
        assert np.array_equal(read_photo(tmp_path / "people" / f"{name}.png"), person.image)
        assert np.array_equal(read_label_map(tmp_path / "people" / "regions" / f"{name}.png"), person.regions)
        np.testing.assert_allclose(table.joints[name], person.joints, atol=0.0051)
    with Image.open(tmp_path / "people" / "regions" / f"{names[0]}.png") as regions:
        assert regions.mode == "L"


def test_a_folder_that_cannot_be_created_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "people").write_text("a file")
    with pytest.raises(ScmError, match="choose another folder"):
        write_drawn_source(tmp_path / "people", 1)
