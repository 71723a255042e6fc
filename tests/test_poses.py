"""Poses on other canvases, the shipped poses, and ``scm poses``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from scmnet_cli.errors import ScmError
from scmnet_cli.poses.files import read_pose_file, save_pose
from scmnet_cli.poses.library import shipped_folder, shipped_poses
from scmnet_cli.poses.placing import mirrored, place, place_together
from scmnet_cli.poses.sheet import draw_poses
from scmnet_cli.skeleton import JOINTS, LIMBS, MIRRORED, pose_maps, squared_distances
from scmnet_cli.types import Canvas, Pose

if TYPE_CHECKING:
    from conftest import Place, Scm

PORTRAIT, FILM = Canvas(256, 176), Canvas(480, 640)


def standing(x: float = 300, height: float = 200, canvas: Canvas = FILM, name: str = "standing") -> Pose:
    """Return an upright person with the nose at (x, 100) and the ankles ``height`` lower."""
    down = {
        "nose": 0, "eye": 0, "ear": 0, "neck": 0.15, "shoulder": 0.15, "elbow": 0.3, "wrist": 0.45, "hip": 0.5,
        "knee": 0.75, "ankle": 1,
    }  # fmt: skip
    joints = np.ones((18, 3), np.float32)
    for number, joint in enumerate(JOINTS):
        aside = 0 if joint in ("nose", "neck") else (-0.1 if joint.startswith("right") else 0.1)
        joints[number, :2] = x + aside * height, 100 + down[joint.split("_")[-1]] * height
    return Pose(name, joints, canvas)


def test_the_limbs_of_each_person_of_a_batch_are_drawn_by_the_distance_to_the_nearest_one() -> None:
    import torch

    people = np.stack([standing(40 + 20 * number, 90, Canvas(128, 88)).joints for number in range(3)])
    people[1, JOINTS.index("left_knee"), 2] = 0
    drawn = pose_maps(torch.from_numpy(people), Canvas(128, 88))[:, -1].numpy()
    points = np.stack(np.meshgrid(np.arange(88.0), np.arange(128.0)), -1).astype(np.float32)
    for joints, lines in zip(people, drawn, strict=True):
        known = [pair for pair in LIMBS if (joints[list(pair), 2] > 0).all()]
        nearest = np.min([squared_distances(points, *joints[list(pair), :2]) for pair in known], axis=0)
        np.testing.assert_allclose(lines, np.exp(-nearest / (2 * 1.5**2)), atol=1e-4)


def test_a_pose_is_scaled_to_a_canvas_of_its_aspect() -> None:
    pose = standing(canvas=Canvas(512, 352))
    placed = place(pose, PORTRAIT)
    assert placed.canvas == PORTRAIT
    assert np.allclose(placed.joints[:, :2], pose.joints[:, :2] / 2)


def test_a_pose_of_another_aspect_is_cropped_around_the_person() -> None:
    placed = place(standing(x=500, height=90), PORTRAIT)
    joints = placed.joints
    assert (joints[:, 2] == 1).all()
    assert 80 < joints[0, 0] < 96  # the middle of 176
    assert 25 < joints[0, 1] < 60
    assert 205 < joints[JOINTS.index("left_ankle"), 1] < 235
    tall, wide = np.ptp(joints[:, 1]), np.ptp(joints[:, 0])
    assert tall / wide == pytest.approx(1 / 0.2, rel=0.03)  # no stretching


def test_the_position_in_the_frame_matters_only_in_a_video() -> None:
    left, right = standing(x=150, name="0"), standing(x=450, name="1")
    apart = [place(pose, PORTRAIT).joints for pose in (left, right)]
    assert np.allclose(*apart, atol=1.1)
    together = [pose.joints for pose in place_together([left, right], PORTRAIT)]
    assert together[1][0, 0] - together[0][0, 0] > 100
    assert all((joints[:, 2] == 1).all() for joints in together)


def test_a_pose_without_joints_is_unchanged() -> None:
    empty = Pose("empty", np.zeros((18, 3), np.float32), FILM)
    assert not place(empty, PORTRAIT).joints.any()
    placed = place_together([empty, standing()], PORTRAIT)
    assert not placed[0].joints.any()
    assert placed[1].joints.all(axis=1).any()


def test_missing_joints_stay_missing_on_any_canvas() -> None:
    pose = standing()
    pose.joints[4] = 0
    assert not place(pose, PORTRAIT).joints[4].any()


def test_the_size_of_a_frame_costs_no_memory() -> None:
    vast = Canvas(100_000, 50_000)
    pose = Pose("vast", standing().joints * np.array([100, 100, 1], np.float32), vast)
    assert (place(pose, PORTRAIT).joints[:, 2] == 1).all()
    assert draw_poses([pose]).shape[0] < 400


def test_mirroring_swaps_left_and_right_and_is_its_own_inverse() -> None:
    pose = standing(x=100)
    pose.joints[4] = 0
    turned = mirrored(pose)
    assert turned.name == "standing-mirrored"
    assert turned.joints[0, 0] == FILM.width - 1 - pose.joints[0, 0]
    assert not turned.joints[MIRRORED.index(4)].any()
    assert np.allclose(mirrored(turned).joints, pose.joints)


def test_at_least_16_poses_ship_with_descriptions() -> None:
    shipped = shipped_poses()
    assert len(shipped) >= 16
    assert {"front", "back", "side", "walking", "hand-on-hip", "close"} <= set(shipped)
    for name, (path, posed) in shipped.items():
        assert posed.name == name == path.stem
        assert posed.canvas == PORTRAIT
        assert posed.description
        assert posed.source.startswith("Clothing Co-Parsing photo ")


@pytest.mark.parametrize("name", sorted(shipped_poses()))
def test_a_shipped_pose_is_a_whole_person_in_its_frame(name: str) -> None:
    joints = shipped_poses()[name][1].person()
    known = joints[:, 2] > 0
    assert known.sum() >= 14
    assert known[[JOINTS.index(joint) for joint in ("neck", "right_hip", "left_hip")]].all()
    inside = (joints[known, :2] >= 0) & (joints[known, :2] < (PORTRAIT.width, PORTRAIT.height))
    assert inside.all()
    longest = max(
        np.linalg.norm(joints[a, :2] - joints[b, :2]) for a, b in LIMBS if joints[a, 2] > 0 and joints[b, 2] > 0
    )
    assert longest < 0.4 * PORTRAIT.height


def test_no_two_shipped_poses_are_alike() -> None:
    joints = {name: posed.person()[:, :2] for name, (_, posed) in shipped_poses().items()}
    names = sorted(joints)
    for number, name in enumerate(names):
        for other in names[number + 1 :]:
            assert np.abs(joints[name] - joints[other]).max() > 10, (name, other)


def test_a_sheet_has_one_cell_per_pose() -> None:
    one, ten = draw_poses([standing()]), draw_poses([standing()] * 10)
    assert ten.shape[1] > 8 * one.shape[1]
    assert ten.shape[0] > 1.8 * one.shape[0]
    assert len(np.unique(one.reshape(-1, 3), axis=0)) > 10  # limbs of several colours


def test_scm_poses_lists_and_draws_the_shipped_poses(place: Place, scm: Scm) -> None:
    done = scm("poses")
    assert done.code == 0
    lines = [str(path) for path in done.paths]
    assert lines[-1] == "outputs/poses.png"
    assert [line.split()[0] for line in lines[:-1]] == sorted(shipped_poses())
    assert any("walking towards the camera" in line for line in lines)
    with Image.open("outputs/poses.png") as sheet:
        assert sheet.width > 1000


def test_poses_of_every_kind_are_listed_with_their_frames(place: Place, scm: Scm) -> None:
    save_pose(Path("mine.json"), standing())
    done = scm("poses", "mine.json", "walking", "data/anna", "data/joints.csv#ben", "-o", "deep/sheet.png")
    assert [str(path).split()[:4] for path in done.paths[:-1]] == [
        ["standing", "18", "joints", "480x640"],
        ["walking", "18", "joints", "256x176"],
        ["anna", "18", "joints", "64x48"],
        ["ben", "18", "joints", "64x48"],
    ]
    assert Path("deep/sheet.png").is_file()


def test_a_pose_of_any_kind_is_saved_as_json_and_used_again(place: Place, scm: Scm) -> None:
    done = scm("poses", "data/cleo", "--save", "kept")
    assert done.paths == [Path("kept/cleo.json")]
    (posed,) = read_pose_file(done.paths[0])
    assert posed.canvas == Canvas(64, 48)
    assert np.array_equal(posed.person(), place.person("cleo", 2).joints)
    saved = scm("transfer", "--src", "data/anna", "--pose", "kept/cleo.json", "-m", "run")
    direct = scm("transfer", "--src", "data/anna", "--pose", "data/cleo", "-m", "run", "-o", "direct")
    assert saved.paths[0].read_bytes() == direct.paths[0].read_bytes()


def test_saving_mirrored_gives_the_pose_another_name(place: Place, scm: Scm) -> None:
    done = scm("poses", "walking", "side", "--mirror", "--save", "kept")
    assert done.paths == [Path("kept/walking-mirrored.json"), Path("kept/side-mirrored.json")]
    (posed,) = read_pose_file(done.paths[0])
    own = shipped_poses()["walking"][1].person()
    assert posed.person()[0, 0] == pytest.approx(175 - own[0, 0], abs=1e-3)


def test_a_saved_pose_is_never_overwritten(place: Place, scm: Scm) -> None:
    assert scm("poses", "walking", "--save", "mine.json").paths == [Path("mine.json")]
    again = scm("poses", "side", "--save", "mine.json")
    assert again.code == 2
    assert "--save mine.json: exists and may have been edited" in again.errors[0]
    assert read_pose_file(Path("mine.json"))[0].name == "walking"
    assert "is one file for 2 poses; give a folder" in scm("poses", "side", "front", "--save", "two.json").errors[0]


def test_a_name_from_a_file_never_leaves_the_folder(place: Place, scm: Scm) -> None:
    Path("evil.json").write_text(json.dumps({"name": "../../../evil", "joints": {"nose": {"x": 3, "y": 4}}}))
    done = scm("poses", "evil.json", "--save", "kept")
    assert done.paths == [Path("kept/evil.json")]
    drawn = scm("transfer", "--src", "data/anna", "--pose", "evil.json", "--frame", "64x48", "-m", "run")
    assert drawn.paths == [Path("outputs/anna_to_evil.png")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("wlaking",), "POSE wlaking: no such entry, file or shipped pose; did you mean 'walking'?"),
        (("library:wlaking",), "no shipped pose is called 'wlaking'; did you mean 'walking'?"),
        (("library:zzz",), "no shipped pose is called 'zzz'; 'scm poses' lists them"),
        (("zzz",), "or a pose file, or a shipped pose ('scm poses' lists them)"),
        (("--data", "data", "anne"), "did you mean 'anna'?"),
        (("run",), "is neither a prepared folder nor a folder of photos or pose files"),
        (("data/joints.csv#ben", "--person", "2"), "ben: there is no person 2; the file has 1 in this picture"),
        (("data/joints.csv#bean",), "the file has no row 'bean'; did you mean 'ben'?"),
        (("walking", "--save", "data/manifest.json/x"), "--save data/manifest.json/x: cannot be created"),
        (("walking", "-o", "data/manifest.json/x.png"), "cannot be created"),
    ],
)
def test_a_users_mistake_with_poses_is_one_line_and_exit_code_2(
    place: Place, scm: Scm, arguments: tuple[str, ...], says: str
) -> None:
    done = scm("poses", *arguments)
    assert done.code == 2
    assert len(done.errors) == 1
    assert says in done.errors[0]


def test_one_unusable_pose_of_many_is_reported_and_skipped(place: Place, scm: Scm) -> None:
    Path("poses").mkdir()
    save_pose(Path("poses/good.json"), standing())
    Path("poses/bad.json").write_text("{}")
    done = scm("poses", "poses")
    assert done.code == 0
    assert len(done.paths) == 2
    assert done.errors[0].startswith("scm: skipped bad.json: ")


def test_the_shipped_poses_are_in_the_package() -> None:
    assert shipped_folder().parent.name == "poses"
    assert shipped_folder().parent.parent.name == "scmnet_cli"
    with pytest.raises(ScmError):
        read_pose_file(shipped_folder() / "none.json")
