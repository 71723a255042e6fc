"""Clothing Co-Parsing: the layout, its labels, and photos without annotation."""

from __future__ import annotations

import re
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from PIL import Image

from scmnet_cli.analyser.analysis import Analysis
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.images import CropBox
from scmnet_cli.preprocess.layouts import open_source
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.regions import BODY_REGIONS, region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.sources.ccp import CcpSource
from scmnet_cli.sources.drawn import draw_person
from scmnet_cli.sources.label_maps import nearest_limb_regions
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

CANVAS = Canvas(64, 48)
LABELS = ["null", "skin", "hair", "dress", "jeans", "boots", "bag", "skirt", "gloves"]


def write_ccp(root: Path, num: int) -> None:
    """Drawn people in the layout of Clothing Co-Parsing: face, arms and bare legs are all skin."""
    for folder in ("photos", "annotations/pixel-level"):
        (root / folder).mkdir(parents=True)
    cells = np.empty((1, len(LABELS)), object)
    cells[0] = [np.array([label]) for label in LABELS]
    scipy.io.savemat(root / "label_list.mat", {"label_list": cells})
    as_ccp = {"hair": "hair", "upper": "dress", "pants": "jeans", "skirt": "skirt"}
    lines = ["name:keypoints_y:keypoints_x"]
    for number in range(num):
        person = draw_person(number)
        Image.fromarray(person.image).save(root / "photos" / f"{number:04d}.jpg")
        names = [as_ccp.get(name, "skin") for name in BODY_REGIONS[1:]]
        labels = np.array([0, *[LABELS.index(name) for name in names]], np.uint8)[person.regions]
        scipy.io.savemat(root / "annotations" / "pixel-level" / f"{number:04d}.mat", {"groundtruth": labels})
        joints = np.where(person.joints[:, 2:] > 0, person.joints[:, :2].round(), -1).astype(int)
        lines.append(f"{number:04d}.jpg:{joints[:, 1].tolist()}:{joints[:, 0].tolist()}")
    (root / "keypoints.csv").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def ccp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ccp")
    write_ccp(root, 6)
    return root


def test_ccps_skin_label_is_split_into_face_arms_and_legs(ccp: Path) -> None:
    source = CcpSource(ccp)
    assert source.names() == [f"{number:04d}" for number in range(6)]
    facing_us = [name for name in source.names() if draw_person(int(name)).joints[JOINTS.index("nose"), 2]]
    assert len(facing_us) > 2
    for name in facing_us:
        found, true = source.read(name).regions, draw_person(int(name)).regions
        skin = np.isin(true, [region_id(region) for region in ("face", "arms", "legs")])
        assert np.array_equal(found[~skin], true[~skin])
        assert (found[skin] == true[skin]).mean() > 0.9, name


def test_bags_of_ccp_are_background_and_known_as_carried(tmp_path: Path) -> None:
    write_ccp(tmp_path, 1)
    labels = np.zeros(draw_person(0).regions.shape, np.uint8)
    labels[20:60, 10:40], labels[60:80, 10:40] = LABELS.index("dress"), LABELS.index("bag")
    scipy.io.savemat(tmp_path / "annotations" / "pixel-level" / "0000.mat", {"groundtruth": labels})
    source = CcpSource(tmp_path)
    assert np.array_equal(source.carried("0000"), labels == LABELS.index("bag"))
    assert not source.read("0000").regions[60:80].any()


class FoundPerson:
    """Stands in for the analyser: it finds a person in one half of every photo."""

    parser = stamp = "f" * 64

    def __init__(self, half: slice) -> None:
        self._half = half

    def __call__(self, image: UInt8Array) -> Analysis:
        probabilities = np.zeros((8, 64, 64), np.float32)
        probabilities[0] = 0.5
        probabilities[region_id("upper"), :, self._half] = 1
        height, width = image.shape[:2]
        crop = CropBox(0, 0, width, height, Canvas(128, 128))
        return Analysis(1.0, np.zeros((18, 3), np.float32), probabilities, crop, np.asarray(image))


def test_unlabelled_photos_of_ccp_are_added_to_train_only_with_the_analysers_maps(tmp_path: Path) -> None:
    root = tmp_path / "ccp"
    write_ccp(root, 13)
    for number in (2, 5):
        (root / "annotations" / "pixel-level" / f"{number:04d}.mat").unlink()
    prepare(CcpSource(root), tmp_path / "fewer", CANVAS)
    everywhere: Any = FoundPerson(slice(None))
    prepare(CcpSource(root, unlabelled=everywhere), tmp_path / "all", CANVAS)
    fewer, whole = PreparedFolder(tmp_path / "fewer"), PreparedFolder(tmp_path / "all")
    assert whole.names("val") == fewer.names("val") == ["0011"]
    assert set(whole.names("train")) == {*fewer.names("train"), "0002", "0005"}
    assert whole.load("0002").regions.any()
    assert set(np.unique(whole.load("0002").regions)) <= {0, region_id("upper")}
    assert "f" * 64 in whole.manifest.parser


def test_an_unlabelled_photo_is_skipped_if_the_analyser_finds_another_person(tmp_path: Path) -> None:
    root = tmp_path / "ccp"
    write_ccp(root, 3)
    (root / "annotations" / "pixel-level" / "0001.mat").unlink()
    beside: Any = FoundPerson(slice(0, 1))
    outcome = prepare(CcpSource(root, unlabelled=beside), tmp_path / "all", CANVAS)
    assert "lie on the person that the analyser finds" in outcome.left_out["0001"]


def test_unlabelled_is_refused_for_layouts_without_such_photos(drawn_source: Path) -> None:
    with pytest.raises(ScmError, match="--unlabelled: layout folder has no such option"):
        open_source("folder", drawn_source, unlabelled=True)


def test_a_map_that_unpacks_to_gigabytes_is_refused_before_it_is_unpacked(ccp: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(ccp, tmp_path / "ccp"))
    packer = zlib.compressobj(9)
    packed = b"".join([*(packer.compress(bytes(10_000_000)) for _ in range(30)), packer.flush()])
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H2s", 0x0100, b"IM")
    bomb = header + struct.pack("<II", 15, len(packed)) + packed  # 15: a compressed variable
    assert len(bomb) < 1_000_000
    (root / "annotations" / "pixel-level" / "0001.mat").write_bytes(bomb)
    outcome = prepare(CcpSource(root), tmp_path / "data", CANVAS)
    assert "0001.mat: cannot be read as a MATLAB file (it unpacks to over 100 MB)" in outcome.left_out["0001"]


def test_ccp_becomes_a_prepared_folder(ccp: Path, tmp_path: Path) -> None:
    outcome = prepare(CcpSource(ccp), tmp_path / "data", CANVAS, limit=4)
    data = PreparedFolder(tmp_path / "data")
    assert outcome.num_usable == 4
    assert data.manifest.layout == "ccp"
    assert data.entry("0003").photo == "photos/0003.jpg"
    assert data.load("0003").canvas == CANVAS


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (np.zeros((320, 224), np.uint8), r"covers 0\.0% of the photo, less than 1%"),
        (np.ones((100, 100), np.uint8), "the annotation is 100x100, the photo 320x224"),
        (np.full((320, 224), 9, np.uint8), "holds id 9, beyond 0-8"),
        (np.full((320, 224), 0.5), "not a map of whole numbers"),
    ],
)
def test_an_unusable_annotation_is_reported(
    ccp: Path, tmp_path: Path, labels: np.ndarray[tuple[int, int], np.dtype[np.uint8]], reason: str
) -> None:
    root = Path(shutil.copytree(ccp, tmp_path / "ccp"))
    scipy.io.savemat(root / "annotations" / "pixel-level" / "0001.mat", {"groundtruth": labels})
    with pytest.raises(ScmError, match=reason):
        CcpSource(root).read("0001")


def test_a_broken_annotation_a_missing_photo_and_too_few_joints_are_reported(ccp: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(ccp, tmp_path / "ccp"))
    annotations = root / "annotations" / "pixel-level"
    (annotations / "0000.mat").write_bytes((annotations / "0000.mat").read_bytes()[:300])
    scipy.io.savemat(annotations / "0001.mat", {"truth": np.ones((2, 2))})
    (root / "photos" / "0002.jpg").unlink()
    lines = (root / "keypoints.csv").read_text().splitlines()
    missing = [-1] * 18
    lines[4] = f"0003.jpg:{missing}:{missing}"
    del lines[5]
    (root / "keypoints.csv").write_text("\n".join(lines))
    reasons = {
        "0000": "cannot be read as a MATLAB file", "0001": "holds no variable 'groundtruth'", "0002": "no such file",
        "0003": "only 0 joints are known, fewer than 6", "0004": r"no row '0004\.jpg' in keypoints\.csv",
    }  # fmt: skip
    outcome = prepare(CcpSource(root), tmp_path / "data", CANVAS)
    assert list(outcome.left_out) == list(reasons)
    for name, reason in reasons.items():
        assert re.search(reason, outcome.left_out[name])
    assert PreparedFolder(tmp_path / "data").names() == ["0005"]


def joints_at(**places: tuple[float, float]) -> FloatArray:
    joints = np.zeros((18, 3), np.float32)
    for name, place in places.items():
        joints[JOINTS.index(name)] = (*place, 1)
    return joints


def test_skin_is_assigned_to_the_nearest_limb_and_hands_to_the_arm() -> None:
    joints = joints_at(
        nose=(50, 10), neck=(50, 25), left_elbow=(80, 50), left_wrist=(80, 90), left_hip=(60, 90), left_knee=(60, 140),
        left_ankle=(60, 190),
    )  # fmt: skip
    places = {(50, 12): "face", (52, 24): "face", (79, 70): "arms", (72, 104): "arms", (63, 120): "legs"}
    places[(60, 200)] = "legs"
    found = nearest_limb_regions(np.array(list(places)), joints)
    assert [BODY_REGIONS[region] for region in found] == list(places.values())


def test_skin_of_a_pose_without_limbs_is_face() -> None:
    assert (nearest_limb_regions(np.array([[1, 2], [3, 4]]), np.zeros((18, 3), np.float32)) == region_id("face")).all()


@pytest.mark.data
def test_real_ccp_photos_are_prepared(tmp_path: Path, shared: Callable[[str], Path]) -> None:
    prepare(CcpSource(shared("data/ccp")), tmp_path / "data", Canvas(128, 88), limit=11)
    data = PreparedFolder(tmp_path / "data")
    assert data.names() == ["0001", "0002", "0003", "0004", "0005", "0006", "0008", "0009", "0010", "0011", "0012"]
    assert data.names("val") == ["0011"]
    for name in data.names():
        person = data.load(name)
        present = {BODY_REGIONS[region] for region in np.unique(person.regions)}
        assert {"background", "hair", "face", "upper"} <= present
        assert 0.05 < (person.regions > 0).mean() < 0.6
        nose_x, nose_y, nose_score = person.joints[JOINTS.index("nose")]
        assert nose_score == 1
        around = person.regions[round(nose_y) - 3 : round(nose_y) + 4, round(nose_x) - 3 : round(nose_x) + 4]
        assert (around == region_id("face")).any()
        feet = person.joints[[JOINTS.index("right_ankle"), JOINTS.index("left_ankle")]]
        assert (feet[feet[:, 2] > 0, 1] > nose_y + 60).all()
