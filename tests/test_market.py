"""Market-1501: the layout, and regions that are drawn from joints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from benchmark_files import (
    HEADER,
    picture,
    row,
    save,
    scm,
    write,
)

from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.regions import BODY_REGIONS, region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.sources.drawn_maps import draw_region_map
from scmnet_cli.sources.market import MarketSource
from scmnet_cli.types import Canvas, FloatArray, UInt8Array


def body(width: int = 64, height: int = 128) -> FloatArray:
    """Return a standing person seen from the front, all joints known, for a photo of a size."""
    places = {
        "nose": (32, 18), "neck": (32, 30),
        "right_shoulder": (22, 31), "right_elbow": (18, 50), "right_wrist": (16, 66),
        "left_shoulder": (42, 31), "left_elbow": (46, 50), "left_wrist": (48, 66),
        "right_hip": (26, 66), "right_knee": (25, 90), "right_ankle": (25, 114),
        "left_hip": (38, 66), "left_knee": (39, 90), "left_ankle": (39, 114),
        "right_eye": (30, 15), "left_eye": (34, 15), "right_ear": (26, 17), "left_ear": (38, 17),
    }  # fmt: skip
    found = np.array([(*places[joint], 1) for joint in JOINTS], np.float32)
    found[:, :2] = (found[:, :2] + 0.5) * [width / 64, height / 128] - 0.5
    return found


def region_at(regions: UInt8Array, x: float, y: float) -> str:
    return BODY_REGIONS[regions[round(y), round(x)]]


def test_regions_are_drawn_along_the_limbs() -> None:
    regions = draw_region_map(body(), Canvas(128, 64))
    places = {
        (32, 18): "face", (32, 5): "hair", (25, 12): "hair", (32, 45): "upper", (28, 60): "upper", (21, 36): "upper",
        (17, 55): "arms", (48, 66): "arms", (49, 70): "arms", (25, 80): "pants", (39, 85): "pants", (25, 100): "legs",
        (39, 116): "legs", (2, 60): "background", (32, 100): "background", (60, 20): "background",
    }  # fmt: skip
    assert {place: region_at(regions, *place) for place in places} == places


def test_a_head_seen_from_behind_is_hair() -> None:
    joints = body()
    for joint in ("nose", "right_eye", "left_eye"):
        joints[JOINTS.index(joint)] = 0
    regions = draw_region_map(joints, Canvas(128, 64))
    assert region_at(regions, 32, 18) == "hair"
    assert not (regions == region_id("face")).any()


def test_drawn_regions_grow_with_the_photo() -> None:
    small = draw_region_map(body(), Canvas(128, 64))
    large = draw_region_map(body(256, 512), Canvas(512, 256))
    assert (large[2::4, 2::4] == small).mean() > 0.97


@pytest.mark.parametrize("known", [["neck"], ["nose"], ["left_hip"], ["left_ear"], ["left_knee", "left_ankle"],
                                   ["right_shoulder", "left_shoulder"]])  # fmt: skip
def test_regions_are_drawn_from_the_known_joints(known: list[str]) -> None:
    joints = body()
    joints[[k for k, joint in enumerate(JOINTS) if joint not in known]] = 0
    regions = draw_region_map(joints, Canvas(128, 64))
    x, y, _ = joints[JOINTS.index(known[0])]
    assert region_at(regions, x, y) != "background"
    assert (regions > 0).mean() < 0.5


def test_nothing_is_drawn_without_joints_and_distant_joints_are_harmless() -> None:
    assert not draw_region_map(np.zeros((18, 3), np.float32), Canvas(128, 64)).any()
    far = body()
    far[:, :2] = far[:, :2] * 1e4 - 3e5
    assert draw_region_map(far, Canvas(128, 64)).shape == (128, 64)


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """Three synthetic pedestrians, one without joints."""
    root = tmp_path / "market"
    joints = [(int(x), int(y)) for x, y, _ in body()]
    names = ["0002_c1s1_000451_03", "0002_c2s1_000776_01", "0007_c3s3_077419_03"]
    for number, name in enumerate(names):
        save(root / "bounding_box_train" / f"{name}.jpg", picture((256, 256), number)[::2, 96:160])
    rows = [row(f"{names[0]}.jpg", joints, " "), row(f"{names[1]}.jpg", joints), row(f"{names[2]}.jpg", [])]
    write(root / "market-annotation-train.csv", HEADER, *rows)
    write(root / "train.lst", f"{names[2]}.jpg")
    write(root / "test.lst", *[f"{name}.jpg" for name in names[:2]])
    write(root / "pairs-test.csv", "from,to", f"{names[0]}.jpg,{names[1]}.jpg", f"{names[0]}.jpg,{names[2]}.jpg")
    return root


def test_market_1501_is_prepared_with_drawn_regions_on_its_own_canvas(market: Path, tmp_path: Path) -> None:
    source = MarketSource(market)
    assert (source.canvas, source.background) == (Canvas(128, 64), "keep")
    outcome = prepare(source, tmp_path / "data", source.canvas, source.background)
    data = PreparedFolder(tmp_path / "data")
    assert data.manifest.parser.startswith("drawn from the joints")
    assert outcome.left_out == {"0007_c3s3_077419_03": "no joint is known"}
    assert data.names("test") == ["0002_c1s1_000451_03", "0002_c2s1_000776_01"]
    assert data.pairs() == [("0002_c1s1_000451_03", "0002_c2s1_000776_01")]
    person = data.load("0002_c1s1_000451_03")
    assert np.array_equal(person.joints, body())
    assert np.array_equal(person.regions, draw_region_map(body(), Canvas(128, 64)))


def test_maps_of_a_parser_replace_drawn_ones(market: Path, tmp_path: Path) -> None:
    ids = np.zeros((128, 64), np.uint8)
    ids[20:100, 20:40] = 17  # ATR's scarf
    for path in (market / "bounding_box_train").iterdir():
        save(tmp_path / "parsed" / f"{path.stem}.png", ids)
    source = MarketSource(market, maps=tmp_path / "parsed", labels="atr18")
    assert source.background == "plain"
    assert source.parser == "maps of parsed, labels atr18"
    regions = source.read("0002_c1s1_000451_03").regions
    assert np.array_equal(regions == region_id("upper"), ids > 0)


def test_the_command_takes_canvas_and_background_from_the_layout(market: Path, tmp_path: Path) -> None:
    scm("preprocess", market, "-o", tmp_path / "data", "--layout", "market1501", "--sheet")
    manifest = PreparedFolder(tmp_path / "data").manifest
    assert (manifest.canvas, manifest.background) == (Canvas(128, 64), "keep")
    assert (tmp_path / "data" / "sheet.png").is_file()
    scm("preprocess", market, "-o", tmp_path / "own", "--layout", "market1501", "--canvas", "64x32", "--background",
        "plain")  # fmt: skip
    manifest = PreparedFolder(tmp_path / "own").manifest
    assert (manifest.canvas, manifest.background) == (Canvas(64, 32), "plain")


@pytest.mark.data
@pytest.mark.slow
def test_all_of_market_1501_is_prepared(shared: Callable[[str], Path], tmp_path: Path) -> None:
    root = shared("data/market1501")
    source = MarketSource(root)
    outcome = prepare(source, tmp_path / "data", source.canvas, source.background)
    data = PreparedFolder(tmp_path / "data")
    assert (len(source.names()), outcome.num_usable, len(outcome.left_out)) == (9078, 8756, 322)
    assert set(outcome.left_out.values()) == {"no joint is known"}
    assert outcome.splits == {"train": 7247, "test": 1509}
    assert not {name[:4] for name in data.names("train")} & {name[:4] for name in data.names("test")}
    assert len(data.pairs()) == 964
    assert all(start[:4] == end[:4] for start, end in data.pairs())
    shares = np.zeros(8)
    for name in data.names()[::50]:
        shares += np.bincount(data.load(name).regions.reshape(-1), minlength=8) / (128 * 64)
    shares /= len(data.names()[::50])
    assert 0.5 < shares[0] < 0.85
    assert shares[region_id("upper")] > shares[region_id("pants")] > shares[region_id("arms")] > 0.01
