from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from strips import contains

from scmnet_cli.poses.files import save_pose
from scmnet_cli.poses.library import shipped_poses
from scmnet_cli.skeleton import MIRRORED
from scmnet_cli.types import Canvas, Pose

if TYPE_CHECKING:
    from conftest import Place, Scm


def save(path: Path, joints: np.ndarray, canvas: Canvas) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    save_pose(path, Pose(path.stem, joints.astype(np.float32), canvas))
    return path


def test_a_shipped_pose_is_available_by_name_on_any_canvas(place: Place, scm: Scm) -> None:
    done = scm("transfer", "--src", "data/anna", "--pose", "walking", "-m", "run")
    assert done.paths == [Path("outputs/anna_to_walking.png")]
    assert done.report()["inputs"]["pose"]["path"].endswith("walking.json")


def test_a_file_or_entry_takes_precedence_over_a_shipped_pose_of_that_name(place: Place, scm: Scm) -> None:
    place.prepare(place.path / "other", [place.person("walking", 4)], [])
    run = ("transfer", "--src", "data/anna", "-m", "run", "--data", "other", "--pose")
    shipped = scm(*run, "library:walking")
    entry = scm(*run, "walking")
    assert shipped.report()["inputs"]["pose"]["path"].endswith("shipped/walking.json")
    assert entry.report()["inputs"]["pose"]["path"] == str(place.path / "other" / "images" / "walking.png")
    save(Path("side/1.json"), place.person("ben", 1).joints, Canvas(64, 48))
    assert [path.name for path in scm(*run, "side").paths] == ["anna_to_1.png"]
    Path("front").mkdir()
    assert "--pose front: is neither a prepared folder" in scm(*run, "front").errors[0]


def test_all_shipped_poses_are_drawn_at_once(place: Place, scm: Scm) -> None:
    done = scm("transfer", "--src", "data/anna", "--pose", "library:", "-m", "run", "--batch", 8)
    assert [path.name for path in done.paths] == [f"anna_to_{name}.png" for name in shipped_poses()]


def test_a_pose_file_of_another_frame_is_cropped_around_the_person(place: Place, scm: Scm) -> None:
    joints = shipped_poses()["walking"][1].person()
    save(Path("film.json"), joints + np.array([700, 300, 0]), Canvas(1080, 1920))
    film = scm("transfer", "--src", "data/anna", "--pose", "film.json", "-m", "run")
    assert film.paths == [Path("outputs/anna_to_film.png")]
    near = scm("transfer", "--src", "data/anna", "--pose", "walking", "-m", "run")
    with Image.open(film.paths[0]) as one, Image.open(near.paths[0]) as two:
        difference = np.abs(np.asarray(one, float) - np.asarray(two, float)).mean()
    assert difference < 2  # of 255: the same pose, up to the rounding of the crop


def test_an_openpose_file_is_drawn_in_the_given_frame(place: Place, scm: Scm) -> None:
    joints = place.person("cleo", 2).joints
    small = joints * np.array([0.3, 0.3, 1])
    people = [{"pose_keypoints_2d": person.reshape(-1).tolist()} for person in (small, joints)]
    Path("clip_0001_keypoints.json").write_text(json.dumps({"version": 1.3, "people": people}))
    run = ("transfer", "--src", "data/anna", "--pose", "clip_0001_keypoints.json", "-m", "run")
    assert "give the image size with --frame" in scm(*run).errors[0]
    largest = scm(*run, "--frame", "64x48")
    assert largest.paths == [Path("outputs/anna_to_clip_0001.png")]
    picture = largest.paths[0].read_bytes()
    assert scm(*run, "--frame", "64x48", "--pose-person", 2, "-o", "two").paths[0].read_bytes() == picture
    assert scm(*run, "--frame", "64x48", "--pose-person", 1, "-o", "one").paths[0].read_bytes() != picture


def test_a_mirrored_pose_is_the_pose_of_the_mirrored_person(place: Place, scm: Scm) -> None:
    joints = place.person("cleo", 2).joints[list(MIRRORED)]
    joints[:, 0] = 47 - joints[:, 0]
    save(Path("turned.json"), joints, Canvas(64, 48))
    turned = scm("transfer", "--src", "data/anna", "--pose", "turned.json", "-m", "run")
    mirrored = scm("transfer", "--src", "data/anna", "--pose", "data/cleo", "--mirror", "-m", "run")
    assert mirrored.paths == [Path("outputs/anna_to_cleo-mirrored.png")]
    assert mirrored.paths[0].read_bytes() == turned.paths[0].read_bytes()
    assert mirrored.report()["inputs"]["pose"]["path"].endswith("cleo.png (mirrored)")


def sequence(place: Place, folder: str = "clip") -> list[np.ndarray]:
    """Write ten numbered poses; in alphabetical order 10 comes before 2."""
    joints = place.person("cleo", 2).joints
    moved = [joints + np.array([shift, 0, 0], np.float32) for shift in range(10)]
    for number, each in enumerate(moved, start=1):
        save(Path(folder) / f"frame_{number}.json", each, Canvas(64, 48))
    return moved


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_a_folder_of_poses_becomes_an_animation_in_numeric_order(place: Place, scm: Scm, ending: str) -> None:
    sequence(place)
    run = ("transfer", "--src", "data/anna", "--pose", "clip", "-m", "run")
    done = scm(*run, "--animate", f"film/a.{ending}", "--fps", 5)
    assert done.code == 0
    assert done.paths == [Path(f"film/a.{ending}")]
    assert sorted(path.name for path in Path("film").iterdir()) == sorted(["a.json", f"a.{ending}"])
    report = done.report()
    assert [pose["name"] for pose in report["inputs"]["poses"]] == [f"frame_{number}" for number in range(1, 11)]
    assert report["settings"]["frames_a_second"] == 5
    stills = [np.asarray(Image.open(path), float) for path in scm(*run).paths]
    with Image.open(done.paths[0]) as film:
        assert (film.n_frames, film.size, film.info["loop"]) == (10, (48, 64), 0)
        for number in range(10):
            film.seek(number)
            shown = np.asarray(film.convert("RGB"), float)
            assert film.info["duration"] == 200
            assert np.argmin([np.abs(shown - still).mean() for still in stills]) == number


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_an_animation_is_marked_as_generated(place: Place, scm: Scm, ending: str) -> None:
    sequence(place)
    done = scm("transfer", "--src", "data/anna", "--pose", "clip", "-m", "run", "--animate", f"a.{ending}")
    with Image.open(done.paths[0]) as film:
        metadata = str(film.info.get("comment", film.info)) + str(dict(film.getexif()))
    assert "scmnet_cli " in metadata
    assert "generated by SCM-Net" in metadata


def test_an_animation_can_show_source_and_pose_beside_the_result(place: Place, scm: Scm) -> None:
    sequence(place)
    done = scm("transfer", "--src", "data/anna", "--pose", "clip", "-m", "run", "--animate", "a.png", "--strip")
    with Image.open(done.paths[0]) as film:
        assert film.width >= 3 * 48
        assert contains(np.asarray(film.convert("RGB")), place.person("anna", 0).image)


def test_a_person_walking_across_video_frames_walks_across_the_animation(place: Place, scm: Scm) -> None:
    joints = shipped_poses()["walking"][1].person()
    for number in range(3):
        save(Path(f"clip/{number}.json"), joints + np.array([100 + 60 * number, 50, 0]), Canvas(400, 640))
    pictures = [scm("transfer", "--src", "data/anna", "--pose", f"clip/{n}.json", "-m", "run").paths[0] for n in (0, 2)]
    stills = [np.asarray(Image.open(path), float) for path in pictures]
    done = scm("transfer", "--src", "data/anna", "--pose", "clip", "-m", "run", "--animate", "a.png", "--strip")
    shown = []
    with Image.open(done.paths[0]) as film:
        for number in (0, 2):
            film.seek(number)
            shown.append(np.asarray(film.convert("RGB"), float)[:, 52:104])  # the pose
    assert np.abs(stills[0] - stills[1]).mean() < 2
    assert np.abs(shown[0] - shown[1]).mean() > 5


def test_an_unusable_frame_is_reported_and_skipped(place: Place, scm: Scm) -> None:
    sequence(place)
    Path("clip/frame_3.json").write_text('{"people": []}')
    Path("clip/frame_4.json").write_text("nothing")
    done = scm("transfer", "--src", "data/anna", "--pose", "clip", "-m", "run", "--animate", "a.webp")
    assert done.code == 0
    assert [line.split(":")[1] for line in done.errors] == [" skipped frame_3", " skipped frame_4.json"]
    with Image.open(done.paths[0]) as film:
        assert film.n_frames == 8


def test_a_foreign_animation_is_not_overwritten(place: Place, scm: Scm) -> None:
    sequence(place)
    Path("a.gif").write_bytes(b"precious")
    run = ("transfer", "--src", "data/anna", "--pose", "clip", "-m", "run", "--animate", "a.gif")
    assert [scm(*run).paths, scm(*run).paths] == [[Path("a_2.gif")]] * 2
    assert Path("a.gif").read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--pose", "clip", "--animate", "a.mp4"), "--animate a.mp4: cannot be written; give a name that ends"),
        (("--pose", "data/ben", "--animate", "a.gif"), "a.gif: needs at least 2 poses that can be drawn, found 1"),
        (("--src", "data/ben", "--pose", "data", "--animate", "a.gif"), "--animate a.gif: shows one person, but --src"),
        (("--pose", "data", "--animate", "data/manifest.json/a.gif"), "--out data/manifest.json: cannot be created"),
        (("--pose", "wakling"), "--pose wakling: no such entry, file or shipped pose; did you mean 'walking'?"),
        (("--pose", "data/ben", "--frame", "9999999999x1"), "--frame 9999999999x1"),
    ],
)  # fmt: skip
def test_an_invalid_pose_or_animation_is_a_one_line_error(
    place: Place, scm: Scm, arguments: tuple[str, ...], says: str
) -> None:
    Path("clip").mkdir()
    save(Path("clip/1.json"), place.person("ben", 1).joints, Canvas(64, 48))
    done = scm("transfer", "--src", "data/anna", "-m", "run", *arguments)
    assert (done.code, done.paths) == (2, [])
    assert len(done.errors) == 1
    assert says in done.errors[0]
