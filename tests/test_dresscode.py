"""Virtual try-on data sets as published: Dress Code's folders, and VITON-HD's by ``--layout folder``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.poses.files import read_pose_file
from scmnet_cli.preprocess.layouts import likely_layout, open_source
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.regions import BODY_REGIONS, region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.sources.drawn import draw_person
from scmnet_cli.sources.dresscode import DressCodeSource
from scmnet_cli.sources.folder import FolderSource
from scmnet_cli.types import Canvas, Person, UInt8Array

if TYPE_CHECKING:
    from conftest import Scm

SIZE = Canvas(256, 192)
"""A quarter of the published size; joints are found at half of that."""

ATR_OF = {
    "background": 0, "pants": 6, "hair": 2, "skirt": 5, "face": 11, "upper": 4, "arms": 14, "legs": 12,
}  # fmt: skip
LIP_OF = {
    "background": 0, "pants": 9, "hair": 2, "skirt": 12, "face": 13, "upper": 5, "arms": 14, "legs": 16,
}  # fmt: skip
LIP_COLOURS = {
    0: (0, 0, 0), 2: (254, 0, 0), 5: (254, 85, 0), 9: (0, 85, 85), 10: (85, 51, 0), 12: (0, 128, 0), 13: (0, 0, 254),
    14: (51, 169, 220), 16: (85, 254, 169),
}  # fmt: skip
"""Colours of VITON-HD's palette: a level below CIHP_PGN's."""


def person(seed: int) -> Person:
    drawn = draw_person(seed)
    top = slice(0, SIZE.height)
    left = slice(16, 16 + SIZE.width)
    joints = drawn.joints - np.array([16, 0, 0], np.float32)
    beyond = ((joints[:, :2] < 1) | (joints[:, :2] >= (SIZE.width, SIZE.height))).any(axis=1)
    joints[beyond] = 0
    return Person(drawn.name, drawn.image[top, left], drawn.regions[top, left], joints)


def ids(regions: UInt8Array, id_of: dict[str, int]) -> UInt8Array:
    return np.array([id_of[region] for region in BODY_REGIONS], np.uint8)[regions]


def voc_palette() -> list[int]:
    palette = np.zeros((256, 3), int)
    for label in range(256):
        for bit in range(8):
            for channel in range(3):
                palette[label, channel] |= ((label >> (3 * bit + channel)) & 1) << (7 - bit)
    return palette.ravel().tolist()


def save_map(path: Path, labels: UInt8Array, palette: list[int]) -> None:
    image = Image.fromarray(labels).convert("P")
    image.putdata(labels.ravel().tolist())
    image.putpalette(palette)
    image.save(path)


def in_dresscodes_frame(joints: np.ndarray) -> list[list[float]]:
    rows, count = [], 0
    for x, y, score in joints:
        if score:
            rows.append([round(2 * float(x)), round(2 * float(y)), 0.9, float(count)])
            count += 1
        else:
            rows.append([-1.0, -1.0, 0.0, -1.0])
    return rows


def write_category(folder: Path, first: int, lists: dict[str, list[int]]) -> None:
    for name in ("images", "label_maps", "keypoints", "skeletons", "dense"):
        (folder / name).mkdir(parents=True)
    for number in range(first, first + 3):
        drawn = person(number)
        Image.fromarray(drawn.image).save(folder / "images" / f"{number:06}_0.jpg", quality=95)
        Image.new("RGB", (192, 256), "red").save(folder / "images" / f"{number:06}_1.jpg")
        Image.new("RGB", (192, 256), "red").save(folder / "skeletons" / f"{number:06}_5.jpg")
        save_map(folder / "label_maps" / f"{number:06}_4.png", ids(drawn.regions, ATR_OF), voc_palette())
        keypoints = {"keypoints": in_dresscodes_frame(drawn.joints)}
        (folder / "keypoints" / f"{number:06}_2.json").write_text(json.dumps(keypoints))
    for name, numbers in lists.items():
        (folder / name).write_text("".join(f"{number:06}_0.jpg\t{number:06}_1.jpg\n" for number in numbers))


@pytest.fixture
def dresscode(tmp_path: Path) -> Path:
    root = tmp_path / "DressCode"
    write_category(root / "upper_body", 0, {"train_pairs.txt": [0, 1], "test_pairs_paired.txt": [2]})
    write_category(root / "dresses", 10, {"train_pairs.txt": [10], "test_pairs_paired.txt": [11]})
    return root


def test_models_maps_joints_and_lists_of_dress_code_are_read(dresscode: Path) -> None:
    source = open_source("dresscode", dresscode)
    assert source.splits() == {
        "train": {"upper_body_000000", "upper_body_000001", "dresses_000010"},
        "test": {"upper_body_000002", "dresses_000011"},
    }
    assert source.remarks() == [f"{dresscode}: 1 models in no list, and not used"]
    for number in (0, 1, 2):
        found, expected = source.read(f"upper_body_{number:06}"), person(number)
        assert np.array_equal(found.regions, expected.regions)
        assert np.abs(found.joints - expected.joints * (1, 1, 0.9)).max() <= 0.26  # rounded to half a pixel
        assert found.image.shape == (256, 192, 3)


def test_dress_code_is_recognised_and_prepared_on_its_own_canvas(dresscode: Path, scm: Scm) -> None:
    assert likely_layout(dresscode) == likely_layout(dresscode / "dresses") == "dresscode"
    done = scm("preprocess", str(dresscode), "-o", str(dresscode.parent / "data"), "--jobs", "1")
    assert done.code == 0
    data = PreparedFolder(dresscode.parent / "data")
    assert data.manifest.layout == "dresscode"
    assert data.manifest.canvas == SIZE
    assert data.names("train") == ["dresses_000010", "upper_body_000000", "upper_body_000001"]
    assert data.names("test") == ["dresses_000011", "upper_body_000002"]
    person_0 = data.load("upper_body_000000")
    assert np.array_equal(person_0.regions, person(0).regions)


def test_one_category_without_lists_is_split_by_place(dresscode: Path) -> None:
    for path in (dresscode / "upper_body").glob("*.txt"):
        path.unlink()
    source = DressCodeSource(dresscode / "upper_body")
    assert source.names() == ["000000", "000001", "000002"]
    assert source.splits() is None
    prepare(source, dresscode.parent / "data", Canvas(64, 48), jobs=1)
    assert len(PreparedFolder(dresscode.parent / "data").names()) == 3


def test_joints_at_the_upper_and_left_edge_lie_beyond_the_photo(dresscode: Path) -> None:
    path = dresscode / "upper_body" / "keypoints" / "000000_2.json"
    rows = json.loads(path.read_text())["keypoints"]
    rows[0], rows[7] = [100.0, 0.0, 0.58, 0.0], [0.0, 90.0, 0.5, 7.0]
    path.write_text(json.dumps({"keypoints": rows}))
    joints = DressCodeSource(dresscode).read("upper_body_000000").joints
    assert not joints[[0, 7]].any()
    assert joints[[1, 2, 5], 2].all()


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("keypoints/000000_2.json", '{"keypoints": [[700, 1000, 1, 0]]}', "has 1 points"),
        ("keypoints/000000_2.json", json.dumps({"keypoints": [[700, 900, 1, n] for n in range(18)]}), "384x512"),
        ("keypoints/000000_2.json", "", "cannot be read as JSON"),
        ("label_maps/000000_4.png", "", "cannot be read as a picture"),
    ],
)
def test_a_damaged_file_of_dress_code_leaves_its_model_out(dresscode: Path, file: str, content: str, says: str) -> None:
    (dresscode / "upper_body" / file).write_text(content)
    outcome = prepare(DressCodeSource(dresscode), dresscode.parent / "data", Canvas(64, 48), jobs=1)
    assert list(outcome.left_out) == ["upper_body_000000"]
    assert says in outcome.left_out["upper_body_000000"]
    assert outcome.splits == {"train": 2, "test": 2}


def test_a_list_with_other_names_and_another_folder_are_refused(dresscode: Path, tmp_path: Path) -> None:
    (dresscode / "dresses" / "train_pairs.txt").write_text("000010_0.jpg 000010_1.jpg\n../../a_0.jpg b\n")
    with pytest.raises(ScmError, match=r"train_pairs\.txt, line 2: names no model, such as 000000_0\.jpg; correct"):
        DressCodeSource(dresscode)
    with pytest.raises(ScmError, match=r"is not laid out as Dress Code .* or another --layout"):
        open_source("dresscode", tmp_path)


def test_a_model_in_both_lists_is_not_trained_on_and_absent_ones_are_counted(dresscode: Path) -> None:
    (dresscode / "upper_body" / "train_pairs.txt").write_text("000000_0.jpg a\n000002_0.jpg a\n\n000777_0.jpg a\n")
    source = DressCodeSource(dresscode)
    splits = source.splits()
    assert splits is not None
    assert "upper_body_000002" not in splits["train"]
    assert "upper_body_000777" not in source.names()
    assert source.remarks()[:2] == [
        "upper_body/train_pairs.txt: 1 models without a photo",
        "train_pairs.txt: 1 models left out, another list tests on them",
    ]


def test_a_pose_file_of_dress_code_keeps_scores_and_the_nose(tmp_path: Path) -> None:
    """Its four numbers a joint are x, y, score and an index: read as MediaPipe's, index 0 would hide the nose."""
    rows = [[20.0 + n, 30.0 + 5 * n, 0.5 + n / 100, float(n)] for n in range(18)]
    rows[16], rows[17] = [-1.0, -1.0, 0.0, -1.0], [90.0, 95.0, 0.66, 16.0]
    (tmp_path / "000000_2.json").write_text(json.dumps({"keypoints": rows}))
    (posed,) = read_pose_file(tmp_path / "000000_2.json")
    joints = posed.person()
    assert joints[JOINTS.index("nose")] == pytest.approx([20, 30, 0.5])
    assert joints[17] == pytest.approx([90, 95, 0.66])
    assert not joints[16].any()


@pytest.mark.parametrize("count", [17, 18])
def test_four_numbers_of_unknown_meaning_are_refused(count: int, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"keypoints": [[20, 30 + n, 0.1, 0.97] for n in range(count)]}))
    with pytest.raises(ScmError, match=r"has four numbers; expected \[x, y, score\], MediaPipe's 33"):
        read_pose_file(tmp_path / "a.json")


def test_viton_hds_folders_are_read_and_the_neck_is_skin(tmp_path: Path, scm: Scm) -> None:
    train = tmp_path / "train"
    for name in ("image", "image-parse-v3", "openpose_json"):
        (train / name).mkdir(parents=True)
    palette = np.zeros((256, 3), int)
    for label, colour in LIP_COLOURS.items():
        palette[label] = colour
    for number in (3, 4):
        drawn = person(number)
        labels = ids(drawn.regions, LIP_OF)
        labels[50:54, 90:94] = 10
        Image.fromarray(drawn.image).save(train / "image" / f"0000{number}_00.jpg", quality=95)
        save_map(train / "image-parse-v3" / f"0000{number}_00.png", labels, palette.ravel().tolist())
        body_25 = np.zeros((25, 3))
        body_25[[*range(8), *range(9, 19)]] = drawn.joints
        people = {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": body_25.ravel().tolist()}]}
        (train / "openpose_json" / f"0000{number}_00_keypoints.json").write_text(json.dumps(people))
    source = FolderSource(
        train / "image", joints=train / "openpose_json", maps=train / "image-parse-v3", labels="cihp20"
    )
    for number in (3, 4):
        found, expected = source.read(f"0000{number}_00"), person(number)
        assert (found.regions[50:54, 90:94] == region_id("face")).all()
        expected.regions[50:54, 90:94] = region_id("face")
        assert np.array_equal(found.regions, expected.regions)
        assert np.allclose(found.joints, expected.joints, atol=0.01)
    options = ("--layout", "folder", "--maps", str(train / "image-parse-v3"), "--labels", "cihp20", "--jobs", "1")
    done = scm(
        "preprocess", str(train / "image"), "-o", str(tmp_path / "data"), *options, "--joints",
        str(train / "openpose_json"),
    )  # fmt: skip
    assert done.code == 0
    assert PreparedFolder(tmp_path / "data").names() == ["00003_00", "00004_00"]
