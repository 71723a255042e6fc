"""Published layouts: a file that is wrong is skipped with its reason, or refused in one line."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from benchmark_files import (
    FRAME,
    HEADER,
    RAW,
    A,
    B,
    C,
    D,
    a_benchmark,
    picture,
    row,
    save,
    write,
)

from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.preprocess.layouts import open_source
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.sources.deepfashion import DeepFashionSource


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    return a_benchmark(tmp_path / "fashion")


def break_photo(root: Path) -> None:
    (root / "img" / f"{RAW[A]}.png").write_bytes(b"no picture")


def odd_photo(root: Path) -> None:
    save(root / "img" / f"{RAW[A]}.png", picture((100, 300)))


def photo_leads_out(root: Path) -> None:
    path = root / "img" / f"{RAW[A]}.png"
    path.rename(root.parent / "outside.png")
    path.symlink_to(root.parent / "outside.png")


def photo_in_a_folder_of_no_name(root: Path) -> None:
    folder = root / "img" / os.fsdecode(b"\xff")
    folder.mkdir()
    (root / "img" / f"{RAW[A]}.png").rename(folder / f"{A}.png")


def duplicate_photo(root: Path) -> None:
    save(root / "img" / "copies" / f"{A}.png", picture((256, 176)))


def map_path(root: Path) -> Path:
    return root / "semantic_merge3" / f"{RAW[A]}.npy"


def duplicate_map(root: Path) -> None:
    shutil.copy(map_path(root), root / "semantic_merge3" / f"{A}.npy")


def map_leads_out(root: Path) -> None:
    map_path(root).rename(root.parent / "outside.npy")
    map_path(root).symlink_to(root.parent / "outside.npy")


def another_map(pixels: object) -> Callable[[Path], None]:
    return lambda root: np.save(map_path(root), np.asarray(pixels), allow_pickle=True)


def cut_map(root: Path) -> None:
    map_path(root).write_bytes(map_path(root).read_bytes()[:3000])


def huge_map(root: Path) -> None:
    header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (4000000, 4000000), }".ljust(117) + b"\n"
    map_path(root).write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)


def joints(*rows: str) -> Callable[[Path], None]:
    return lambda root: (write(root / "fashion-resize-annotation-test.csv", HEADER, *rows), None)[1]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (break_photo, "cannot be read as a picture"),
        (odd_photo, "the photo is 300x100; DeepFashion has 176x256, 256x256 and 750x1101"),
        (photo_leads_out, "leads out of"),
        (photo_in_a_folder_of_no_name, r"its name is not UTF-8; rename it"),
        (duplicate_photo, r"several photos .*keep one, or give a folder with only one"),
        (duplicate_map, "several maps"),
        (map_leads_out, "leads out of"),
        (lambda root: map_path(root).unlink(), "has no map in"),
        (another_map(np.ones((100, 100), int)), r"is 100x100; a map is 176x256, 256x256 or as its photo, 256x256"),
        (another_map(np.full((256, 176), 9)), r"holds id 9, beyond 0-7 of the labels 'regions'; .*--labels"),
        (another_map(np.full((256, 176), -1)), "beyond 0-255"),
        (another_map(np.full((256, 176), 1.5)), "not a map of whole numbers"),
        (another_map(np.zeros((256, 176, 3), int)), "not a map of whole numbers"),
        (another_map(np.zeros((256, 176), int)), "the region map is all background"),
        (another_map({"a": 1}), "cannot be read as a label map"),
        (cut_map, "cannot be read as a label map"),
        (huge_map, "cannot be read as a label map"),
        (joints(row(f"{B}.jpg")), "has no row in the annotation files"),
        (joints(row(f"{A}.jpg", []), row(f"{B}.jpg")), "no joint is known"),
        (joints(row(f"{A}.jpg"), row(f"{A}.jpg"), row(f"{B}.jpg")), "is repeated"),
        (joints(row(f"{A}.jpg"), row(A.replace("fashion", "fasion")), row(f"{B}.jpg")), "repeated, once as 'fasion"),
        (joints(f"{A}.jpg:[1]:[2]", row(f"{B}.jpg")), "does not hold 18 joints"),
    ],
)  # fmt: skip
def test_an_unusable_person_is_skipped_with_the_reason(
    fashion: Path, tmp_path: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(fashion)
    outcome = prepare(DeepFashionSource(fashion), tmp_path / "data", FRAME, jobs=1)
    assert list(outcome.left_out) == [A]
    assert re.search(reason, outcome.left_out[A])
    assert PreparedFolder(tmp_path / "data").names() == sorted([B, C, D])


def test_names_that_leave_the_folder_or_are_invalid_are_reported_and_never_followed(
    fashion: Path, tmp_path: Path
) -> None:
    outside = save(tmp_path / f"{A.replace('02_1', '09_1')}.png", picture((256, 256), 77))
    write(fashion / "test.lst", f"{A}.jpg", f"{B}.jpg", f"../{outside.name}", "/etc/passwd", f"..\\{outside.name}")
    write(fashion / "fashion-resize-annotation-test.csv", HEADER, row(f"{A}.jpg"), row(f"{B}.jpg"),
          row(f"../{outside.name}"))  # fmt: skip
    write(fashion / "fashion-resize-pairs-test.csv", "from,to", f"{A}.jpg,../{outside.name}", f"{A}.jpg,{B}.jpg")
    outcome = prepare(DeepFashionSource(fashion), tmp_path / "data", FRAME)
    assert outcome.num_usable == 4
    assert outcome.remarks == [
        f"test.lst: 3 names ('../{outside.name}', ...) no name of DeepFashion",
        f"fashion-resize-annotation-test.csv: 1 name ('../{outside.name}') no name of DeepFashion",
        "1 of 2 pairs were left out: 1 because an end has no photo",
    ]
    assert PreparedFolder(tmp_path / "data").pairs() == [(A, B)]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: write(root / "test.lst", "a.jpg", "b.jpg"), r"test\.lst: holds no name of DeepFashion, such as"),
        (lambda root: write(root / "test.lst", " "), r"test\.lst: is empty"),
        (lambda root: (root / "test.lst").write_bytes(b"\xff\xfe\x00"), r"test\.lst: cannot be read as a list"),
        (lambda root: write(root / "fashion-resize-pairs-test.csv", "a,b", "1,2"), "has no column from and to"),
        (lambda root: write(root / "fashion-resize-pairs-test.csv", "from,to", "x"), "line 2: lacks from or to"),
        (lambda root: write(root / "fashion-resize-annotation-test.csv", "x"), "is not a keypoint file"),
        (joints(row("a.jpg")), "has no row under a name of DeepFashion"),
        (lambda root: [path.unlink() for path in root.glob("*annotation*")],
         r"holds no joints \(fashion-resize-annotation-test\.csv or fasion-.*--lists or the file with --joints"),
        (lambda root: [write(root / f"{split}.lst", A.replace("02_1", "03_1")) for split in ("train", "test")],
         r"4 names \('fashionMENDenim.*none of them in the lists of"),
        (lambda root: shutil.rmtree(root / "img"), "holds no photo under a name of DeepFashion, such as fashionWOMEN"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_the_benchmarks_is_refused(
    fashion: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(fashion)
    with pytest.raises(ScmError, match=message):
        DeepFashionSource(fashion)


def test_options_that_a_layout_lacks_and_missing_paths_are_refused(fashion: Path, tmp_path: Path) -> None:
    with pytest.raises(ScmError, match=r"--lists .*: layout folder has no such option; leave it out"):
        open_source("folder", fashion, lists=tmp_path)
    with pytest.raises(ScmError, match=r"--labels atr81: is not one of .*did you mean 'atr18'"):
        open_source("deepfashion", fashion, labels="atr81")
    with pytest.raises(ScmError, match=r"--maps .*absent: no such folder"):
        open_source("deepfashion", fashion, maps=tmp_path / "absent")
    with pytest.raises(ScmError, match=r"--lists .*absent: no such folder"):
        open_source("deepfashion", fashion, lists=tmp_path / "absent")
