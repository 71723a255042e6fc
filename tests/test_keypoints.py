"""Joints are read from the benchmark's keypoint files, from our own tables, and from files beside a photo."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.inputs.photo import PhotoOptions, read_framed, read_person
from scmnet_cli.sources.folder import FolderSource
from scmnet_cli.sources.keypoints import COLUMNS, read_keypoint_file, read_keypoint_table
from scmnet_cli.types import Canvas

HEADER = "name:keypoints_y:keypoints_x"
Y, X = list(range(100, 118)), list(range(18))


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_benchmark_rows_list_y_first_and_only_minus_one_is_missing(tmp_path: Path) -> None:
    x, y = [-1, -2, *X[2:]], [-1, 101, *Y[2:]]
    table = read_keypoint_file(write(tmp_path / "k.csv", HEADER, f"a.jpg: {y}: {x}", f"b.jpg:{Y}:{X}"))
    assert list(table) == ["a.jpg", "b.jpg"]
    assert table["a.jpg"].shape == (18, 3)
    assert table["a.jpg"].dtype == np.float32
    assert list(table["a.jpg"][0]) == [0, 0, 0]
    assert list(table["a.jpg"][1]) == [-2, 101, 1]  # slightly outside the frame, and known
    assert list(table["b.jpg"][5]) == [5, 105, 1]


@pytest.mark.parametrize("missing", ["0", "null", "None", "NaN", "nan", ""])
def test_a_joint_at_0_0_or_without_numbers_is_missing_in_the_benchmarks_rows(tmp_path: Path, missing: str) -> None:
    y, x = (", ".join([*map(str, numbers[:-1]), missing]) for numbers in (Y, X))
    joints = read_keypoint_file(write(tmp_path / "k.csv", HEADER, f"a.jpg: [{y}]: [{x}]"))["a.jpg"]
    assert joints[17].tolist() == [0, 0, 0]
    assert joints[:17, 2].all()


@pytest.mark.parametrize("missing", ["0,0,1", ",,", "null,null,0", "None,None,1", "nan,nan,1", ",,0.5", "NA,NA,NA"])
def test_a_joint_at_0_0_or_without_numbers_is_missing_in_our_tables(tmp_path: Path, missing: str) -> None:
    cells = ",".join([*[f"{k + 1},{k + 2},1" for k in range(17)], missing])
    joints = read_keypoint_file(write(tmp_path / "k.csv", ",".join(COLUMNS), f"a,{cells}"))["a"]
    assert joints[17].tolist() == [0, 0, 0]
    assert joints[:17, 2].all()


def test_joints_between_0_and_1_are_scaled_by_the_pictures_size_or_refused(tmp_path: Path) -> None:
    y, x = [0.01 * value for value in range(18)], [0.05 * value for value in range(18)]
    table = read_keypoint_table(write(tmp_path / "k.csv", HEADER, f"a.jpg:{y}:{x}", f"b.jpg:{Y}:{X}"))
    assert table.find("a.jpg", size=Canvas(200, 100))[3] == pytest.approx([15, 6, 1])
    assert table.find("b.jpg", size=Canvas(200, 100))[3].tolist() == [3, 103, 1]
    with pytest.raises(ScmError, match=r"k\.csv: row 'a\.jpg': the joints lie between 0 and 1, not in pixels"):
        table.find("a.jpg")
    assert table.remarks() == ["k.csv: joints of 1 rows lie in 0-1; they are multiplied by the photo's size"]


def test_names_may_hold_colons(tmp_path: Path) -> None:
    assert list(read_keypoint_file(write(tmp_path / "k.csv", HEADER, f"12:30 a.jpg:{Y}:{X}"))) == ["12:30 a.jpg"]


def test_a_table_of_a_spreadsheet_is_read_from_utf_16_and_semicolons_are_named(tmp_path: Path) -> None:
    lines = [",".join(COLUMNS), "a" + ",1,2,1" * 18]
    (tmp_path / "k.csv").write_text("\n".join(lines), encoding="utf-16")
    assert read_keypoint_file(tmp_path / "k.csv")["a"].all()
    (tmp_path / "k.csv").write_text("\n".join(lines).replace(",", ";"))
    with pytest.raises(ScmError, match="columns are not separated by commas"):
        read_keypoint_table(tmp_path / "k.csv")
    (tmp_path / "k.csv").write_text("\n".join([*lines, "fünf"]), encoding="cp1252")
    with pytest.raises(ScmError, match=r"k\.csv: .*save it as UTF-8"):
        read_keypoint_table(tmp_path / "k.csv")


@pytest.mark.parametrize("name", ["C:\\photos\\a.jpg", "D:/photos/a.jpg", "..\\a.jpg", "/home/a.jpg"])
def test_a_path_of_another_machine_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    table = read_keypoint_table(write(tmp_path / "k.csv", HEADER, f"{name}:{Y}:{X}"))
    assert "write the file's name alone" in table.unmatched()[name]


def test_our_tables_have_scores_and_may_have_more_columns(tmp_path: Path) -> None:
    cells = [f"{value}" for k in range(18) for value in (k + 0.5, 2 * k, 0.25 if k else 0)]
    path = write(tmp_path / "k.csv", ",".join(["photo", *COLUMNS]), ",".join(["0001.jpg", "anna", *cells]))
    joints = read_keypoint_file(path)["anna"]
    assert list(joints[0]) == [0, 0, 0]
    assert list(joints[3]) == [3.5, 6, 0.25]


def test_rows_without_any_joint_are_not_poses(tmp_path: Path) -> None:
    none = [-1] * 18
    path = write(tmp_path / "k.csv", HEADER, f"a.jpg:{none}:{none}", f"b.jpg:{Y}:{X}")
    assert list(read_keypoint_file(path)) == ["b.jpg"]
    with pytest.raises(ScmError, match="holds no pose"):
        read_keypoint_file(write(tmp_path / "none.csv", HEADER, f"a.jpg:{none}:{none}"))


@pytest.mark.parametrize(
    "row",
    [
        "a.jpg", f"a.jpg:{Y}", f"a.jpg:{Y}:{X[1:]}", f"a.jpg:{Y[1:]}:{X[1:]}", f"a.jpg:{Y}:[1, 2", "a.jpg:5:6",
        'a.jpg:{"x": 1}:[1]', f"a.jpg:{Y}:{[1e9, *X[1:]]}",
        f"a.jpg:{Y}:{'[' * 3000}", f"a.jpg:{Y}:{[10**400, *X[1:]]}",
    ],
)  # fmt: skip
def test_a_damaged_row_is_named_by_its_line_and_the_others_are_read(tmp_path: Path, row: str) -> None:
    path = write(tmp_path / "k.csv", HEADER, f"b.jpg:{Y}:{X}", row)
    with pytest.raises(ScmError, match=r"k\.csv: line 3 \('a\.jpg'\)"):
        read_keypoint_file(path)
    table = read_keypoint_table(path)
    assert table.find("b.jpg").any()
    with pytest.raises(ScmError, match="line 3"):
        table.find("a.jpg")


def test_a_duplicate_name_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "k.csv", HEADER, f"a.jpg:{Y}:{X}", f"a.jpg:{X}:{Y}")
    with pytest.raises(ScmError, match=r"line 3: 'a\.jpg' is repeated"):
        read_keypoint_file(path)


@pytest.mark.parametrize("content", [b"", b"name,x,y\na,1,2\n", b"\xff\xfe\x00\x01"])
def test_a_file_that_is_not_a_keypoint_file_is_an_error_with_the_expected_header(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "k.csv").write_bytes(content)
    with pytest.raises(ScmError, match=r"k\.csv: (is not a keypoint file; its first line must be|cannot be read)"):
        read_keypoint_file(tmp_path / "k.csv")


@pytest.mark.parametrize("lines", [("x" * 200_000,), (",".join(COLUMNS), "a" * 200_000 + ",1")])
def test_a_table_with_an_oversized_cell_is_reported(tmp_path: Path, lines: tuple[str, ...]) -> None:
    with pytest.raises(ScmError, match=r"k\.csv: cannot be read as a table \(field larger than"):
        read_keypoint_table(write(tmp_path / "k.csv", *lines))


def test_a_photo_with_map_and_joints_beside_it_is_read_as_by_scm_preprocess(
    drawn_source: Path, drawn_data: Path, tmp_path: Path
) -> None:
    name = "drawn_0001"
    expected = PreparedFolder(drawn_data).load(name)
    shutil.copy(drawn_source / f"{name}.png", tmp_path / f"{name}.png")
    shutil.copy(drawn_source / "regions" / f"{name}.png", tmp_path / f"{name}.regions.png")
    joints = read_keypoint_file(drawn_source / "joints.csv")[name]
    (tmp_path / f"{name}.joints.json").write_text(json.dumps(joints.tolist()))
    for photo in (drawn_source / f"{name}.png", tmp_path / f"{name}.png"):
        person = read_person(photo, Canvas(64, 48))
        assert person.name == name
        assert np.array_equal(person.image, expected.image)
        assert np.array_equal(person.regions, expected.regions)
        assert np.allclose(person.joints, expected.joints, atol=1e-3)
    kept = read_person(tmp_path / f"{name}.png", Canvas(64, 48), "keep")
    assert not np.array_equal(kept.image, expected.image)
    assert np.array_equal(kept.regions, expected.regions)


def test_map_and_table_may_lie_one_folder_above_the_photos(drawn_source: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    shutil.copy(drawn_source / "drawn_0002.png", tmp_path / "images")
    shutil.copytree(drawn_source / "regions", tmp_path / "regions")
    shutil.copy(drawn_source / "joints.csv", tmp_path)
    assert read_person(tmp_path / "images" / "drawn_0002.png", Canvas(64, 48)).regions.any()


def test_a_folder_of_pose_files_is_a_table_of_joints(drawn_source: Path, tmp_path: Path) -> None:
    """VITON-HD's folders: a pose file of OpenPose's and a label map beside each photo."""
    for name, joints in read_keypoint_file(drawn_source / "joints.csv").items():
        person = {"pose_keypoints_2d": joints.reshape(-1).tolist()}
        small = {"pose_keypoints_2d": (joints * (0.1, 0.1, 1)).reshape(-1).tolist()}
        (tmp_path / f"{name}_keypoints.json").write_text(json.dumps({"people": [small, person]}))
    (tmp_path / "drawn_0003_keypoints.json").write_text("{")
    (tmp_path / "notes.txt").write_text("none")
    source = FolderSource(drawn_source, joints=tmp_path)
    found = source.read("drawn_0001")
    assert np.allclose(found.joints, FolderSource(drawn_source).read("drawn_0001").joints, atol=0.01)
    with pytest.raises(ScmError, match=r"drawn_0003_keypoints\.json: cannot be read as JSON"):
        source.read("drawn_0003")
    with pytest.raises(ScmError, match="holds no pose files"):
        FolderSource(drawn_source, joints=drawn_source / "regions")


def test_the_analyser_finds_the_joints_of_a_photo_with_a_map_and_no_joints(drawn_source: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    shutil.copy(drawn_source / "drawn_0002.png", tmp_path / "images")
    shutil.copytree(drawn_source / "regions", tmp_path / "regions")
    expected = FolderSource(drawn_source).read("drawn_0002")

    def analyser(image: np.ndarray) -> SimpleNamespace:
        regions = np.ones(image.shape[:2], np.uint8)
        return SimpleNamespace(has_person=True, joints=expected.joints, regions=regions, carried_pixels=None)

    photo = tmp_path / "images" / "drawn_0002.png"
    framed = read_framed(photo, Canvas(64, 48), options=PhotoOptions(analyser=lambda: analyser))  # type: ignore[arg-type, return-value]
    assert np.array_equal(framed.photo.regions, expected.regions)
    assert np.array_equal(framed.photo.joints, expected.joints)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def put(name: str, text: str) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / name).write_text(text)

    return apply


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (remove("a.png"), "no such file"),
        (remove("a.regions.png"), r"has no region map beside it; looked for a\.regions\.png, regions/a\.png"),
        (put("a.png", "text"), "cannot be read as a picture"),
        (put("a.joints.json", "[[1, 2, 1]]"), "expected 18 times"),
        (put("a.joints.json", "{"), "expected a list of 18"),
        (put("a.joints.json", json.dumps([[1, 2, 7]] * 18)), "score 7 is not between 0 and 1"),
        (put("a.joints.json", json.dumps([[0, 0, 0]] * 18)), "no joint is known"),
    ],
)
def test_a_missing_or_wrong_file_beside_a_photo_is_a_one_line_error_naming_the_photo(
    drawn_source: Path, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    shutil.copy(drawn_source / "drawn_0001.png", tmp_path / "a.png")
    shutil.copy(drawn_source / "regions" / "drawn_0001.png", tmp_path / "a.regions.png")
    (tmp_path / "a.joints.json").write_text(json.dumps([[50, 60, 1]] * 18))
    assert read_person(tmp_path / "a.png", Canvas(64, 48)).joints.any()
    spoil(tmp_path)
    with pytest.raises(ScmError, match=rf"a\.png: .*{message}") as caught:
        read_person(tmp_path / "a.png", Canvas(64, 48))
    assert "\n" not in str(caught.value)
