"""Photos with several people, or with a small, cut-off or off-centre person; and results put back into the photo."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import skimage.data
from PIL import Image
from scipy import ndimage

from scmnet_cli.analyser.analysis import BEYOND, Analysis
from scmnet_cli.analyser.people import Analyser
from scmnet_cli.analyser.search import _without
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.images import CropBox, read_photo
from scmnet_cli.inference.inputs.photo import PhotoOptions, read_framed
from scmnet_cli.preprocess.photos import PhotoSource, read_analysed
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.regions import region_id
from scmnet_cli.types import Canvas

if TYPE_CHECKING:
    from conftest import Place, Scm

CANVAS = Canvas(64, 48)
LARGE, SMALL = (140, 210), (94, 140)


@pytest.fixture(scope="module")
def analyser() -> Analyser:
    return Analyser.load()


@pytest.fixture
def loaded(analyser: Analyser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Analyser, "load", lambda **_: analyser)


@pytest.fixture(scope="module")
def woman() -> Image.Image:
    """Eileen Collins, down to the hips."""
    return Image.fromarray(skimage.data.astronaut()).crop((60, 0, 400, 512))


@pytest.fixture(scope="module")
def pair(woman: Image.Image) -> Image.Image:
    """A small person on the left and a large one on the right, on grey."""
    picture = Image.new("RGB", (420, 250), (120, 130, 120))
    picture.paste(woman.resize(SMALL), (35, 250 - SMALL[1]))
    picture.paste(woman.transpose(Image.Transpose.FLIP_LEFT_RIGHT).resize(LARGE), (240, 250 - LARGE[1]))
    return picture


@pytest.fixture(scope="module")
def both(analyser: Analyser, pair: Image.Image) -> list[Analysis]:
    return analyser.people(pair)


def columns_of(found: Analysis) -> tuple[int, int]:
    columns = np.flatnonzero(found.regions.any(0))
    return int(columns[0]), int(columns[-1])


# Several people


def test_every_person_is_found_once_and_the_larger_comes_first(both: list[Analysis]) -> None:
    assert len(both) == 2
    large, small = both
    assert columns_of(large)[0] > 230
    assert columns_of(small)[1] < 140
    for found in both:
        assert found.has_person
        assert (found.joints[:, 2] > 0).sum() >= 8


def test_by_default_the_first_person_is_used(analyser: Analyser, pair: Image.Image, both: list[Analysis]) -> None:
    assert np.array_equal(analyser(pair).regions, both[0].regions)


def test_no_region_or_joint_lies_on_another_person(both: list[Analysis]) -> None:
    for found, other in (both, both[::-1]):
        left, top, right, bottom = (round(edge) for edge in other.box)
        assert not found.regions[max(0, top) : bottom, max(0, left) : right].any()
        x, y = found.joints[found.joints[:, 2] > 0, :2].T
        assert not ((x >= left) & (x <= right) & (y >= top) & (y <= bottom)).any()


def test_region_maps_have_no_specks(both: list[Analysis]) -> None:
    for found in both:
        cells = found.probabilities.argmax(0)
        for region in range(1, 8):
            labels, _ = ndimage.label(cells == region, np.ones((3, 3)))
            sizes = np.bincount(labels.ravel())[1:]
            assert (sizes >= 6).all(), region


def test_a_missing_person_is_a_one_line_error_with_the_number_of_people(
    analyser: Analyser, pair: Image.Image, woman: Image.Image, tmp_path: Path
) -> None:
    pair.save(tmp_path / "pair.png")
    woman.resize(LARGE).save(tmp_path / "one.png")
    assert read_analysed("pair", tmp_path / "pair.png", analyser, 2).regions[:, :140].any()
    with pytest.raises(ScmError, match=r"^there is no person 3; 2 people are found in the photo$"):
        read_analysed("pair", tmp_path / "pair.png", analyser, 3)
    with pytest.raises(ScmError, match="there is no person 2; 1 person is found"):
        read_analysed("one", tmp_path / "one.png", analyser, 2)


def test_person_2_of_a_photo_with_a_map_beside_it_is_refused(drawn_source: Path) -> None:
    with pytest.raises(ScmError, match=r"drawn_0001\.png: there is no person 2; the map and joints beside it are"):
        read_framed(drawn_source / "drawn_0001.png", CANVAS, options=PhotoOptions(number=2))


def test_all_people_of_a_photo_are_prepared_in_one_split(
    analyser: Analyser, pair: Image.Image, woman: Image.Image, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    pair.save(folder / "pair.png")
    woman.resize(LARGE).save(folder / "solo.png")
    outcome = prepare(PhotoSource(folder, analyser, all=True), tmp_path / "data", CANVAS, jobs=1)
    data = PreparedFolder(tmp_path / "data")
    assert data.names() == ["pair", "pair_2", "solo"]
    assert data.entry("pair_2").photo == data.entry("pair").photo == "pair.png"
    assert outcome.num_new == 3
    assert prepare(PhotoSource(folder, analyser, all=True), tmp_path / "data", CANVAS, jobs=1).num_new == 0
    (tmp_path / "data" / "images" / "pair_2.png").unlink()
    assert prepare(PhotoSource(folder, analyser, all=True), tmp_path / "data", CANVAS, jobs=1).num_new == 2
    prepare(PhotoSource(folder, analyser), tmp_path / "data", CANVAS, jobs=1)
    assert PreparedFolder(tmp_path / "data").names() == ["pair", "solo"]


class TwoInEach:
    """Stands in for the analyser: it finds two people in every photo."""

    sha256 = stamp = "f" * 64
    pose_estimator = parser = "two in each"

    def people(self, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> list[Analysis]:
        height, width = image.shape[:2]
        joints = np.ones((18, 3), np.float32) * (width / 2, height / 2, 1)
        found = []
        for half in (slice(0, 16), slice(16, 32)):
            probabilities = np.zeros((8, 32, 32), np.float32)
            probabilities[0] = 0.5
            probabilities[region_id("upper"), :, half] = 1
            crop = CropBox(0, 0, width, height, Canvas(64, 64))
            found.append(Analysis(1.0, joints.astype(np.float32), probabilities, crop, np.asarray(image)))
        return found

    def __call__(self, image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Analysis:
        return self.people(image)[0]


def test_people_of_one_photo_are_all_for_training_or_all_for_validation(tmp_path: Path) -> None:
    for number in range(11):
        Image.new("RGB", (40, 40), (20 * number, 90, 90)).save(tmp_path / f"p{number:02d}.png")
    Image.new("RGB", (40, 40), (7, 7, 7)).save(tmp_path / "p00_2.png")
    source = PhotoSource(tmp_path, TwoInEach(), all=True)  # type: ignore[arg-type]
    prepare(source, tmp_path / "data", CANVAS, jobs=2)
    data = PreparedFolder(tmp_path / "data")
    assert len(data.names()) == 24
    assert "p00_2_" in data.names()
    assert data.names("val") == ["p08", "p08_2"]


def test_all_people_cannot_be_combined_with_joints_or_maps(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match=r"--all: joints and regions of all people must be found; leave .*joints"):
        PhotoSource(tmp_path, joints=tmp_path / "joints.csv", all=True)


# Small, off-centre, cut off, none


@pytest.mark.parametrize("most_pixels", [24_000_000, 150_000], ids=["as it is", "on a smaller copy"])
def test_a_person_an_eighth_of_the_photo_high_is_found_by_a_search(
    analyser: Analyser, woman: Image.Image, most_pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scmnet_cli.analyser.search._MAX_SEARCHED_PIXELS", most_pixels)
    cup = Image.fromarray(skimage.data.coffee()).resize((900, 600))
    cup.paste(woman.resize((53, 80)), (700, 60))
    found = analyser(cup)
    assert found.has_person
    assert found.regions.shape == found.size == (600, 900)
    rows = np.flatnonzero(found.regions.any(1))
    assert 690 <= columns_of(found)[0] < columns_of(found)[1] <= 763
    assert 50 <= rows[0] < rows[-1] <= 150


@pytest.mark.parametrize("shift", [(-45, 30), (200, 60)], ids=["left", "right below"])
def test_a_person_cut_off_by_the_photo_is_found(analyser: Analyser, woman: Image.Image, shift: tuple[int, int]) -> None:
    picture = Image.new("RGB", (300, 220), (120, 130, 120))
    picture.paste(woman.resize(LARGE), shift)
    found = analyser(picture)
    assert found.has_person
    where = found.regions > 0
    inside = where[:, max(0, shift[0]) : shift[0] + LARGE[0]]
    assert inside.sum() > 0.9 * where.sum()
    known = found.joints[found.joints[:, 2] > 0, :2]
    assert ((known >= -0.5) & (known <= (299.5, 219.5))).all()


def test_a_photo_without_people_gives_an_empty_list(analyser: Analyser) -> None:
    assert analyser.people(Image.fromarray(skimage.data.coffee()).resize((150, 100))) == []


def test_people_of_a_large_photo_are_searched_for_on_a_smaller_one(
    analyser: Analyser, pair: Image.Image, both: list[Analysis], monkeypatch: pytest.MonkeyPatch
) -> None:
    large = pair.resize((pair.width * 2, pair.height * 2), Image.Resampling.BICUBIC)
    monkeypatch.setattr("scmnet_cli.analyser.search._MAX_SEARCHED_PIXELS", pair.width * pair.height)
    found = analyser.people(large)
    assert len(found) == len(both)
    for one, expected in zip(found, both, strict=True):
        assert one.size == (large.height, large.width)
        assert one.regions.shape == one.size
        known = (one.joints[:, 2] > 0) & (expected.joints[:, 2] > 0)
        assert known.sum() >= 6
        assert np.abs(one.joints[known, :2] - 2 * expected.joints[known, :2]).mean() < 0.02 * large.height


@pytest.mark.parametrize("widened_at_once", [24, 2])
def test_a_person_is_painted_out_with_a_margin_and_nothing_else(
    both: list[Analysis], pair: Image.Image, monkeypatch: pytest.MonkeyPatch, widened_at_once: int
) -> None:
    monkeypatch.setattr("scmnet_cli.analyser.search._WIDENED_AT_ONCE", widened_at_once)
    photo = np.full((*both[0].size, 3), 3, np.uint8)
    painted = _without(photo, both[0])
    gone = (painted == BEYOND).all(2)
    assert gone[both[0].rough_regions > 0].all()
    assert (painted[~gone] == 3).all()
    height = both[0].box[3] - both[0].box[1]
    margin = round(0.03 * height)
    widened = ndimage.binary_dilation(both[0].rough_regions > 0, iterations=margin + 2 * -(-margin // widened_at_once))
    assert not (gone & ~widened).any()
    assert gone.sum() >= ndimage.binary_dilation(both[0].rough_regions > 0, iterations=margin).sum()


# --keep-size


def test_an_edit_with_keep_size_is_the_photo_with_the_edited_person(
    place: Place, pair: Image.Image, loaded: None, both: list[Analysis], scm: Scm
) -> None:
    pair.save("pair.png")
    done = scm("edit", "--src", "pair.png", "--region", "upper", "--ref", "data/ben", "--keep-size", "-m", "run")
    assert done.code == 0
    assert done.paths == [Path("outputs/pair_upper-from-ben.png")]
    before, after = read_photo(Path("pair.png")), read_photo(done.paths[0])
    assert after.shape == before.shape
    left, top, width, height = done.report()["kept_size"]["crop"]
    changed = (before != after).any(2)
    assert changed.any()
    changed[max(0, top) : top + height, max(0, left) : left + width] = False
    assert not changed.any()


def test_a_transfer_with_keep_size_replaces_the_person_of_the_pose(
    place: Place, pair: Image.Image, loaded: None, both: list[Analysis], scm: Scm
) -> None:
    pair.save("pair.png")
    run = ("transfer", "--src", "data/anna", "--pose", "pair.png", "--keep-size", "-m", "run")
    for options, name, right in (((), "pair", True), (("--pose-person", 2), "pair_2", False)):
        done = scm(*run, *options)
        assert done.paths == [Path(f"outputs/anna_to_{name}.png")]
        changed = (read_photo(done.paths[0]) != read_photo(Path("pair.png"))).any(2)
        assert changed[:, 220:].any() == right
        assert changed[:, :150].any() != right


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--pose", "walking", "--keep-size"), "is not a photo that the result can be put into"),
        (("--pose", "data/ben", "--keep-size"), "is not a photo that the result can be put into"),
        (("--pose", "walking", "--keep-size", "--animate", "a.gif"), "--keep-size: is for single pictures"),
    ],
)
def test_keep_size_needs_one_photo_to_put_the_result_into(
    place: Place, scm: Scm, words: tuple[str, ...], line: str
) -> None:
    done = scm("transfer", "--src", "data/anna", *words, "-m", "run")
    assert done.code == 2
    assert line in done.errors[0]


# In commands


def test_transfer_and_inspect_use_the_requested_person(place: Place, pair: Image.Image, loaded: None, scm: Scm) -> None:
    pair.save("pair.png")
    run = ("transfer", "--src", "pair.png", "--pose", "data/ben", "-m", "run")
    assert scm(*run).paths == [Path("outputs/pair_to_ben.png")]
    second = scm(*run, "--person", 2)
    assert second.paths == [Path("outputs/pair_2_to_ben.png")]
    assert second.report()["inputs"]["source"]["path"].endswith("pair.png#person 2")
    none = scm(*run, "--person", 3)
    assert none.code == 2
    assert "there is no person 3; 2 people are found in the photo" in none.errors[0]
    seen = scm("inspect", "--src", "data/anna", "--pose", "pair.png", "--pose-person", 2, "-m", "run")
    assert seen.report()["inputs"]["pose"]["name"] == "pair_2"


def save_16_bit(picture: Image.Image, path: Path) -> None:
    Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257).save(path)


def save_turned(picture: Image.Image, path: Path) -> None:
    tags = Image.Exif()
    tags[274] = 6
    picture.transpose(Image.Transpose.ROTATE_90).save(path, quality=95, exif=tags)


def test_photos_of_every_kind_are_sources_prepared_and_drawn(
    place: Place, woman: Image.Image, loaded: None, scm: Scm
) -> None:
    kinds: dict[str, Callable[[Image.Image, Path], None]] = {
        "turned.jpg": save_turned,
        "deep.png": save_16_bit,
        "print.jpg": lambda picture, path: picture.convert("CMYK").save(path),
        "grey.png": lambda picture, path: picture.convert("L").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path),
        "palette.gif": lambda picture, path: picture.save(path, save_all=True, append_images=[picture]),
        "clear.png": lambda picture, path: picture.convert("RGBA").save(path),
    }
    folder = Path("kinds")
    folder.mkdir()
    for name, save in kinds.items():
        save(woman.resize(LARGE), folder / name)
    done = scm("transfer", "--src", folder, "--pose", "data/ben", "-m", "run")
    assert sorted(path.name for path in done.paths) == sorted(f"{Path(name).stem}_to_ben.png" for name in kinds)
    assert not done.errors
    prepared = scm("preprocess", folder, "-o", "prepared", "--canvas", "64x48")
    assert prepared.code == 0
    assert PreparedFolder(Path("prepared")).names() == sorted(Path(name).stem for name in kinds)
