"""Published layouts: pictures, maps and joints of every size align on every canvas, and lists are followed."""

from __future__ import annotations

import csv
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from benchmark_files import (
    CANVASES,
    FRAME,
    HEADER,
    POINTS,
    RAW,
    SIZES,
    A,
    B,
    C,
    D,
    a_benchmark,
    labels,
    picture,
    row,
    save,
    scm,
    write,
)
from test_market import body, region_at

from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.images import whole_box
from scmnet_cli.preprocess.layouts import LAYOUTS, open_source
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.regions import BODY_REGIONS, LABEL_SETS, SKIN, region_id
from scmnet_cli.sources.deepfashion import DeepFashionSource
from scmnet_cli.sources.label_maps import body_regions
from scmnet_cli.types import Canvas


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    return a_benchmark(tmp_path / "fashion")


def test_a_benchmark_becomes_a_prepared_folder_with_its_own_splits_and_pairs(fashion: Path, tmp_path: Path) -> None:
    outcome = prepare(DeepFashionSource(fashion), tmp_path / "data", FRAME)
    data = PreparedFolder(tmp_path / "data")
    assert data.names() == sorted([A, B, C, D])
    assert data.names("train") == sorted([C, D])
    assert data.names("test") == sorted([A, B])
    assert data.names("val") == []
    assert data.pairs() == [(A, B), (B, A)]
    assert data.manifest.counts == {"usable": 4, "left_out": 0, "train": 2, "test": 2, "pairs": 2}
    assert data.manifest.parser == "maps of semantic_merge3, labels regions"
    assert "fashion-resize-annotation-train.csv, fashion-resize-annotation-test.csv" in data.manifest.pose_estimator
    assert data.manifest.rule.endswith("split by the benchmark's lists")
    assert data.entry(A).photo == f"img/{RAW[A]}.png"
    assert outcome.remarks == data.manifest.remarks == []
    assert prepare(DeepFashionSource(fashion), tmp_path / "data", FRAME).num_new == 0


@pytest.mark.parametrize("canvas", CANVASES, ids=str)
@pytest.mark.parametrize("kind", ["semantic_merge3", "SPL8"])
@pytest.mark.parametrize("size", SIZES)
def test_picture_map_and_joints_of_any_size_agree_on_any_canvas(
    tmp_path: Path, size: str, kind: str, canvas: Canvas
) -> None:
    root = tmp_path / "fashion"
    save(root / "train" / f"{A}.png", picture(SIZES[size]))
    if kind == "SPL8":  # 3 is upper, 4 the lower body
        save(root / "trainSPL8" / f"{A}.png", labels((256, 256), (3, 4)))
    else:
        save(root / "semantic_merge3" / f"{RAW[A]}.npy", labels((256, 176), (5, 1)))
    write(root / "fasion-resize-annotation-train.csv", HEADER, row(f"{A}.jpg"))
    prepare(DeepFashionSource(root), tmp_path / "data", canvas, "keep")
    person = PreparedFolder(tmp_path / "data").load(A)
    left = 40 if canvas.width == 256 else 0

    within = person.image[:, left + 2 : left + 174].astype(float)
    tolerance = 1.5 if size == "750x1101" else 0
    assert np.abs(within[..., 0] - np.arange(2, 174)).max() <= tolerance
    assert np.abs(within[..., 1] - np.arange(256)[:, None]).max() <= tolerance

    assert {BODY_REGIONS[region] for region in np.unique(person.regions)} == {"background", "upper", "pants"}
    expected = np.zeros((256, canvas.width), np.uint8)
    expected[:, left : left + 176] = labels((256, 176), (region_id("upper"), region_id("pants")))
    if size == "750x1101":  # boundaries may fall on the next pixel
        assert (person.regions != expected).mean() < 0.006
    else:
        assert np.array_equal(person.regions, expected)

    known = person.joints[: len(POINTS)]
    assert (known[:, 2] == 1).all()
    assert np.abs(known[:, :2] - np.array(POINTS) - [left, 0]).max() < (0.15 if size == "750x1101" else 1e-3)
    assert not person.joints[len(POINTS) :].any()


def test_a_photo_176_wide_gets_40_pixels_on_either_side_of_a_square_canvas() -> None:
    wide, narrow = whole_box(176, 256, Canvas(256, 256)), whole_box(256, 256, Canvas(256, 176))
    assert (wide.left, wide.top, wide.width, wide.height) == (-40, 0, 256, 256)
    assert (narrow.left, narrow.top, narrow.width, narrow.height) == (40, 0, 176, 256)


@pytest.mark.parametrize(
    "spelling",
    [
        "img/WOMEN/Blouses_Shirts/id_00000001/02_1_front.jpg",
        "WOMEN/Blouses_Shirts/id_00000001/02_1_front.npy",
        "img_highres/WOMEN/Blouses_Shirts/id_00000001/02_1_front.JPG",
        "fashionWOMENBlouses_Shirtsid0000000102_1front.jpg",
        "test/fashionWOMENBlouses_Shirtsid0000000102_1front.png",
        "fasionWOMENBlouses_Shirtsid0000000102_1front.jpg",
        "fashionWOMENBlouses_Shirtsid0000000102_1_front.jpg",
        "fashionWOMENBlouses_Shirtsid0000000102_1front",
        "WOMEN-Blouses_Shirts-id_00000001-02_1_front.jpg",
    ],
)  # fmt: skip
def test_all_spellings_of_a_name_are_the_same_name(fashion: Path, spelling: str) -> None:
    assert DeepFashionSource(fashion).key(spelling) == A


@pytest.mark.parametrize(
    "foreign",
    ["", "a.jpg", "fashionWOMEN.jpg", "fashionCHILDDenimid0000000102_1front.jpg", "fashionWOMENDenimid12_1front.jpg",
     "0002_c1s1_000451_03.jpg", "fashionWOMENDenimid0000000102_1front.jpg/../x.jpg", "x" * 5000, "WOMEN_" * 2000],
)  # fmt: skip
def test_other_names_are_not_recognised(fashion: Path, foreign: str) -> None:
    assert DeepFashionSource(fashion).key(foreign) is None


@pytest.mark.parametrize("spelling", ["fashion-resize", "fasion-resize", "fasion", "fashion"])
def test_pairs_and_joints_are_found_under_every_spelling_in_any_folder(
    fashion: Path, tmp_path: Path, spelling: str
) -> None:
    for path in fashion.glob("*.csv"):
        write(tmp_path / "lists" / path.name.replace("fashion-resize", spelling), *path.read_text().splitlines())
        path.unlink()
    pairs = tmp_path / "lists" / f"{spelling}-pairs-test.csv"
    write(pairs, ",from,to", f"0,{A}.jpg,{B.replace('fashion', 'fasion')}.jpg")  # with an index, and misspelt
    source = DeepFashionSource(fashion, lists=tmp_path / "lists")
    assert source.pairs() == [(A, B)]
    assert source.read(C).joints[:, 2].sum() == len(POINTS)


def test_must_gans_list_of_training_images_is_read_by_its_column(fashion: Path) -> None:
    (fashion / "train.lst").unlink()
    write(fashion / "train_images_lst.csv", ",images_name", f"0,{C}.jpg")
    source = DeepFashionSource(fashion)
    assert source.splits() == {"train": {C}, "test": {A, B}}
    (remark,) = source.remarks()
    assert remark == f"{fashion}: 1 name ('{D}') in no list, and not used"


def test_val_is_every_tenth_person_unless_there_is_a_val_list(fashion: Path, tmp_path: Path) -> None:
    write(fashion / "val.lst", f"{D}.jpg")
    write(fashion / "train.lst", f"{C}.jpg")
    source = DeepFashionSource(fashion)
    assert source.splits() == {"train": {C}, "val": {D}, "test": {A, B}}
    for path in (*fashion.glob("*.lst"), *fashion.glob("*-pairs-*")):
        path.unlink()
    prepare(DeepFashionSource(fashion), tmp_path / "data", FRAME)
    assert PreparedFolder(tmp_path / "data").names("train") == sorted(RAW)


def test_without_lists_the_people_of_the_test_pairs_are_the_test_set(fashion: Path, tmp_path: Path) -> None:
    for path in fashion.glob("*.lst"):
        path.unlink()
    same_person = C.replace("7additional", "2side")
    raw = RAW[C].replace("7_additional", "2_side")
    save(fashion / "img" / f"{raw}.png", picture((256, 256), 9))
    write(fashion / "fashion-resize-pairs-test.csv", "from,to", f"{A}.jpg,{B}.jpg", f"{C}.jpg,{C}.jpg")
    source = DeepFashionSource(fashion)
    assert source.splits() == {"train": {D}, "test": {A, B, C, same_person}}
    (remark,) = source.remarks()
    assert "has no train.lst and test.lst; all photos of the people in the test pairs are the test set" in remark
    prepare(source, tmp_path / "data", FRAME)
    data = PreparedFolder(tmp_path / "data")
    assert data.names("test") == sorted([A, B, C])
    assert (A, B) in data.pairs()


def test_a_person_in_two_lists_is_not_used_for_training(fashion: Path) -> None:
    write(fashion / "train.lst", f"{C}.jpg", f"{D}.jpg", f"{A}.jpg", f"{D}.jpg")
    source = DeepFashionSource(fashion)
    assert source.splits() == {"train": {C, D}, "test": {A, B}}
    (remark,) = source.remarks()
    assert remark == f"list of train: 1 name ('{A}') left out, since another list has them"


def test_pairs_are_kept_if_both_ends_are_usable_and_the_rest_is_counted_by_reason(
    fashion: Path, tmp_path: Path
) -> None:
    absent = A.replace("00000001", "00000002")
    write(fashion / "fashion-resize-pairs-test.csv", "from,to", f"{A}.jpg,{B}.jpg", f"{A}.jpg,{absent}.jpg",
          f"{B}.jpg,{A}.jpg", f"{A}.jpg,{B}.jpg", f"{absent}.jpg,{C}.jpg")  # fmt: skip
    write(fashion / "fashion-resize-annotation-train.csv", HEADER, row(f"{C}.jpg", []), row(f"{D}.jpg"))
    write(fashion / "fashion-resize-pairs-train.csv", "from,to", f"{C}.jpg,{D}.jpg")
    outcome = prepare(DeepFashionSource(fashion), tmp_path / "data", FRAME)
    data = PreparedFolder(tmp_path / "data")
    assert data.pairs() == [(A, B), (B, A)]
    assert outcome.left_out == data.manifest.left_out == {C: "no joint is known"}
    assert data.manifest.counts["pairs"] == outcome.num_pairs == 2
    assert data.manifest.remarks == [
        "3 of 5 pairs were left out: 2 because an end was left out, 1 because an end has no photo"
    ]
    prepare(DeepFashionSource(fashion), tmp_path / "less", FRAME, limit=2)
    (remark,) = PreparedFolder(tmp_path / "less").manifest.remarks
    assert remark.startswith("5 of 5 pairs were left out: 2 because an end was left out, 2 because an end is beyond")
    assert PreparedFolder(tmp_path / "less").pairs() == []


def test_maps_of_a_parser_are_read_from_the_folder_and_label_set_that_are_named(fashion: Path, tmp_path: Path) -> None:
    shutil.rmtree(fashion / "semantic_merge3")
    with pytest.raises(ScmError, match=r"holds no region maps .*--maps.*--labels"):
        DeepFashionSource(fashion)
    for name in RAW:
        save(tmp_path / "parsed" / f"{name}.png", labels((256, 256), (4, 6)))
    source = open_source("deepfashion", fashion, maps=tmp_path / "parsed", labels="atr18")
    assert source.parser == "maps of parsed, labels atr18"
    assert {BODY_REGIONS[region] for region in np.unique(source.read(A).regions)} == {"background", "upper", "pants"}
    stamp = source.stamp(A)
    assert open_source("deepfashion", fashion, maps=tmp_path / "parsed", labels="lip20").stamp(A) != stamp


def test_the_published_photos_are_used_and_not_their_copies(fashion: Path) -> None:
    for folder in ("img_highres", "train", "test"):
        save(fashion / folder / f"{A}.png", picture((256, 176)))
    assert DeepFashionSource(fashion).photo(A) == fashion / "img" / f"{RAW[A]}.png"
    shutil.rmtree(fashion / "img_highres")
    shutil.rmtree(fashion / "train")
    shutil.rmtree(fashion / "img")
    assert DeepFashionSource(fashion).photo(A) == fashion / "test" / f"{A}.png"


def test_a_prepared_folder_and_maps_below_the_source_are_not_taken_for_photos(fashion: Path) -> None:
    save(fashion / "trainSPL8" / f"{A}.png", labels((256, 256), (3, 4)))
    save(fashion / "parsed" / f"{A}.png", labels((256, 256), (5, 1)))
    prepare(DeepFashionSource(fashion, maps=fashion / "parsed"), fashion / "data", FRAME, limit=1)
    again = DeepFashionSource(fashion, maps=fashion / "parsed")
    assert again.photo(A) == fashion / "img" / f"{RAW[A]}.png"
    assert again.read(A).regions.any()


def test_a_users_folder_can_have_maps_of_a_parser_in_numpy_files_elsewhere(drawn_source: Path, tmp_path: Path) -> None:
    own = open_source("folder", drawn_source)
    to_lip = np.array([LABEL_SETS["lip20"].index(region) for region in BODY_REGIONS], np.int64)
    for name in own.names()[:3]:
        save(tmp_path / "parsed" / f"{name}.npy", to_lip[own.read(name).regions])
    source = open_source("folder", drawn_source, maps=tmp_path / "parsed", labels="lip20")
    assert source.parser == "maps of the folder parsed, labels lip20"
    for name in own.names()[:3]:
        assert np.array_equal(source.read(name).regions, own.read(name).regions)
        assert source.stamp(name) != own.stamp(name)
    with pytest.raises(ScmError, match="no such file"):
        source.read(own.names()[3])
    with pytest.raises(ScmError, match=r"holds id \d+, beyond 0-7 of the labels 'spl8'"):
        open_source("folder", drawn_source, maps=tmp_path / "parsed", labels="spl8").read(own.names()[0])


def test_a_skin_label_goes_to_the_nearest_of_face_arms_and_legs() -> None:
    ids = np.zeros((128, 64), np.uint8)
    places = {(27, 19): "face", (16, 64): "arms", (39, 112): "legs"}
    for x, y in places:
        ids[y, x] = LABEL_SETS["fashn18"].index(SKIN)
    found = body_regions(ids, LABEL_SETS["fashn18"], body())
    assert {place: region_at(found, *place) for place in places} == places
    assert (found > 0).sum() == 3


def test_the_command_prints_each_reason_once(fashion: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(fashion / "fashion-resize-annotation-test.csv", HEADER, row(f"{A}.jpg", []), row(f"{B}.jpg", []))
    scm("preprocess", fashion, "-o", tmp_path / "data", "--layout", "deepfashion", "--canvas", "64x48")
    out, err = capfd.readouterr()
    assert out == f"2 people (2 train, 0 test; 2 new), 2 left out: {tmp_path / 'data'}\n"
    assert [line for line in err.splitlines() if line] == [
        f"left out 2 (first: {A}): no joint is known",
        "2 of 2 pairs were left out: 2 because an end was left out",
        f"scm: report: {tmp_path / 'data' / 'report.html'}",
    ]


def test_the_help_lists_every_layout_and_label_set(capfd: pytest.CaptureFixture[str]) -> None:
    scm("preprocess", "--help")
    text = capfd.readouterr().out
    for word in (*LAYOUTS, *LABEL_SETS):
        assert word in text, word


@pytest.mark.data
def test_the_benchmarks_own_lists_are_read_whole_and_619_rows_without_joints_are_one_line(
    shared: Callable[[str], Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lists = shared("data/deepfashion_lists")
    rows = dict(
        line.split(":", 1) for line in (lists / "fashion-resize-annotation-test.csv").read_text().splitlines()[1:]
    )
    empty = [name for name, values in rows.items() if set(re.findall(r"-?\d+", values)) == {"-1"}]
    assert (len(rows), len(empty)) == (4038, 619)
    with (lists / "fasion-pairs-test.csv").open() as file:
        first = [(pair["from"], pair["to"]) for pair in csv.DictReader(file)][:8]
    some = list(dict.fromkeys(name for pair in first for name in pair))
    root = tmp_path / "fashion"
    (root / "test").mkdir(parents=True)
    for name in empty:
        (root / "test" / name).touch()  # never opened
    for number, name in enumerate(some):
        save(root / "test" / name, picture((256, 176), number))
        save(root / "testSPL8" / f"{name[:-4]}.png", labels((256, 256), (3, 4)))
    scm("preprocess", root, "-o", tmp_path / "data", "--layout", "deepfashion", "--lists", lists)
    out, err = capfd.readouterr()
    data = PreparedFolder(tmp_path / "data")
    assert out.startswith(
        f"{len(some)} people (0 train, {len(some)} test; {len(some)} new), {len(data.pairs())} pairs, 619"
    )
    lines = [line for line in err.splitlines() if line]
    assert [line for line in lines if line.startswith("left out 619 (") and line.endswith("no joint is known")]
    assert [line for line in lines if line.startswith("train.lst: 48,674 names (")]
    assert [line for line in lines if line.startswith(f"test.lst: {4038 - 619 - len(some):,} names (")]
    assert [line for line in lines if line.startswith(f"{8570 - len(data.pairs()):,} of 8,570 pairs were left out: ")]
    assert len(lines) == 5
    assert set(first) <= {(f"{start}.jpg", f"{end}.jpg") for start, end in data.pairs()}
    assert sorted(data.manifest.left_out) == sorted(name[:-4] for name in empty)
    stem = some[0][:-4]
    y, x = (np.array([int(v) for v in part.split(",")]) for part in re.findall(r"\[(.*?)\]", rows[some[0]]))
    known = (x >= 0) & (y >= 0) & (x < 176)
    assert np.allclose(data.load(stem).joints[known, :2], np.stack([x, y], 1)[known], atol=1e-3)


@pytest.mark.data
@pytest.mark.slow
def test_with_a_photo_and_map_under_every_name_of_the_test_list_all_its_pairs_are_usable(
    shared: Callable[[str], Path], tmp_path: Path
) -> None:
    lists = shared("data/deepfashion_lists")
    root = tmp_path / "fashion"
    photo = save(tmp_path / "photo.png", picture((256, 256)))
    region_map = save(tmp_path / "map.npy", labels((256, 176), (5, 1)))
    for name in (lists / "test.lst").read_text().split():
        gender, kind, number, shot, view = re.fullmatch(
            r"fashion(MEN|WOMEN)(\w+?)id(\d{8})(\d\d_\d)(\w+)\.jpg", name
        ).groups()  # type: ignore[union-attr]
        raw = f"{gender}/{kind}/id_{number}/{shot}_{view}"
        for folder, file in (("img", photo), ("semantic_merge3", region_map)):
            link = root / folder / f"{raw}{file.suffix}"
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, link)
    outcome = prepare(DeepFashionSource(root, lists=lists), tmp_path / "data", Canvas(64, 48))
    assert (outcome.num_usable, outcome.num_pairs, len(outcome.left_out)) == (4038 - 619, 8570, 619)


@pytest.mark.data
def test_the_published_labels_of_ccp_are_in_the_order_of_its_label_set(shared: Callable[[str], Path]) -> None:
    root = shared("data/ccp")
    from scmnet_cli.sources.ccp import CcpSource

    assert CcpSource(root)._regions == LABEL_SETS["ccp59"]
