"""The prepared folder returns what was written; a broken one is a one-line error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from scmnet_cli.data.prepared import Entry, Manifest, PreparedFolder, PreparedWriter, check_name
from scmnet_cli.errors import ScmError
from scmnet_cli.images import CropBox, save_png
from scmnet_cli.types import Canvas, Person

CANVAS = Canvas(32, 24)


def a_person(name: str, seed: int) -> Person:
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (32, 24, 3), dtype=np.uint8)
    regions = random.integers(0, 8, (32, 24), dtype=np.uint8)
    joints = random.uniform(0, 24, (18, 3)).astype(np.float32)
    joints[:, 2] = random.integers(0, 2, 18)
    joints[joints[:, 2] == 0] = 0
    return Person(name, image, regions, joints)


PEOPLE = [a_person(name, seed) for seed, name in enumerate(["anna", "ben", "cleo"])]
CROP = CropBox(-3, 12, 300, 400, CANVAS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    writer = PreparedWriter(path, CANVAS)
    for person in PEOPLE:
        assert not writer.has(person.name)
        writer.write(person)
        assert writer.has(person.name)
    manifest = Manifest(
        layout="test", height=32, width=24, background="keep", pose_estimator="t", parser="t", counts={"usable": 3}
    )
    entries = [Entry(person.name, f"in/{person.name}, 1.jpg", (640, 480), CROP, person.joints) for person in PEOPLE]
    writer.finish(manifest, entries, {"train": ["anna", "cleo"], "val": ["ben"]}, [("anna", "ben")])
    return path


def test_a_written_folder_is_read_back_unchanged(folder: Path) -> None:
    data = PreparedFolder(folder)
    assert data.names() == ["anna", "ben", "cleo"]
    assert (data.names("train"), data.names("val"), data.names("test")) == (["anna", "cleo"], ["ben"], [])
    assert data.pairs() == [("anna", "ben")]
    assert data.manifest.canvas == CANVAS
    assert data.manifest.background == "keep"
    for person in PEOPLE:
        read = data.load(person.name)
        assert np.array_equal(read.image, person.image)
        assert np.array_equal(read.regions, person.regions)
        assert np.allclose(read.joints, person.joints, atol=1e-4)
        assert data.entry(person.name) == Entry(
            person.name, f"in/{person.name}, 1.jpg", (640, 480), CROP, person.joints
        )


def test_changing_a_loaded_person_does_not_affect_later_loads(folder: Path) -> None:
    data = PreparedFolder(folder)
    data.load("anna").joints[:] = 0
    assert data.load("anna").joints.any()


def test_without_pairs_there_is_no_pairs_file(folder: Path) -> None:
    (folder / "pairs.csv").unlink()
    assert PreparedFolder(folder).pairs() == []


def edit(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / name
        path.write_text(change(path.read_text()))

    return apply


def manifest(**values: object) -> Callable[[Path], None]:
    return edit("manifest.json", lambda text: json.dumps({**json.loads(text), **values}))


@pytest.mark.parametrize(
    ("breaks", "message"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), r"no manifest\.json.*scm preprocess"),
        (edit("manifest.json", lambda text: text[:40]), r"manifest\.json: is damaged or of another program"),
        (edit("manifest.json", lambda _: "[]"), r"manifest\.json: is damaged or of another program"),
        (manifest(format="another tool's"), r"manifest\.json: is damaged or of another program"),
        (manifest(version=99), "format version 99 is newer than 1; update"),
        (lambda folder: (folder / "joints.csv").unlink(), r"joints\.csv: no such file"),
        (edit("joints.csv", lambda text: text.replace("neck_x", "hals_x")), "lacks the columns neck_x"),
        (edit("joints.csv", lambda text: text.replace("\nben,", "\nanna,")), r"line 3: 'anna' is repeated"),
        (edit("joints.csv", lambda text: text.replace("\nben,", "\n../ben,")), r"line 3: name '\.\./ben'"),
        (edit("joints.csv", lambda text: text.replace("300,400", "300,0")), "line 2: .*crop without area"),
        (edit("joints.csv", lambda text: text.replace(",640,", ",wide,")), "line 2: .*wide"),
        (edit("joints.csv", lambda text: text[: text.index("\ncleo,") + 40]), "line 4: "),
        (edit("joints.csv", lambda text: text + "x" * 200_000), r"joints\.csv, line 4: cannot be read as a table"),
        (edit("train.txt", lambda text: text + "dora\n"), r"train\.txt: names 'dora'"),
        (lambda folder: (folder / "joints.csv").write_bytes(b"\xff\xfe\x00"), "cannot be read as text"),
    ],
)  # fmt: skip
def test_a_broken_folder_is_refused_in_one_line(folder: Path, breaks: Callable[[Path], None], message: str) -> None:
    breaks(folder)
    with pytest.raises(ScmError, match=message) as caught:
        PreparedFolder(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("breaks", "message"),
    [
        (lambda folder: (folder / "images" / "anna.png").unlink(), r"anna\.png: no such file"),
        (lambda folder: (folder / "regions" / "anna.png").write_bytes(b"\x89PNG"), "cannot be read as a picture"),
        (lambda folder: save_png(folder / "images" / "anna.png", np.zeros((16, 24, 3), np.uint8)), "is 16x24.*32x24"),
        (lambda folder: save_png(folder / "regions" / "anna.png", np.full((32, 24), 8, np.uint8)), "holds id 8"),
    ],
)
def test_a_broken_entry_is_an_error_when_it_is_loaded(
    folder: Path, breaks: Callable[[Path], None], message: str
) -> None:
    breaks(folder)
    data = PreparedFolder(folder)
    with pytest.raises(ScmError, match=message):
        data.load("anna")
    assert data.load("ben").name == "ben"


def test_unknown_people_splits_and_pairs_are_named(folder: Path) -> None:
    data = PreparedFolder(folder)
    with pytest.raises(ScmError, match="has no person 'dora'"):
        data.load("dora")
    with pytest.raises(ScmError, match="split 'dev' is not one of train, val, test"):
        data.names("dev")
    (folder / "pairs.csv").write_text("from,to\nanna,dora\n")
    with pytest.raises(ScmError, match="has no person 'dora'"):
        data.pairs()
    (folder / "pairs.csv").write_text("a,b\nanna,ben\n")
    with pytest.raises(ScmError, match="lacks the columns from, to"):
        data.pairs()


def test_a_pairs_file_may_have_more_columns(folder: Path) -> None:
    (folder / "pairs.csv").write_text(",to,from\n0,ben,anna\n")
    assert PreparedFolder(folder).pairs() == [("anna", "ben")]


HOSTILE = ["", ".", "..", "../a", "a/b", "a\\b", ".hidden", "-o", "a b", "a\nb", "a,b", "x" * 201]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_leads_out_of_the_folder_or_is_ambiguous_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ScmError, match="cannot be a file name here"):
        check_name(name)
    with pytest.raises(ScmError, match="cannot be a file name here"):
        PreparedWriter(tmp_path / "data", CANVAS).write(a_person(name, 0))
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize("name", ["0001", "fashionWOMEN-1.front_2", "ä", "人"])
def test_ordinary_names_are_accepted(name: str) -> None:
    assert check_name(name) == name


def test_a_person_of_another_canvas_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match="anna: is 32x24, the folder's canvas is 64x48"):
        PreparedWriter(tmp_path / "data", Canvas(64, 48)).write(PEOPLE[0])


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ScmError, match="cannot be made"):
        PreparedWriter(tmp_path / "file" / "data", CANVAS)
