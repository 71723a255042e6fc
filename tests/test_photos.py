"""Plain photos, without joints or maps, become prepared people, sources and poses."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import skimage.data
from PIL import Image

import scmnet_cli
from scmnet_cli.analyser.people import Analyser
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_photo
from scmnet_cli.inference.inputs.photo import PhotoOptions, read_person
from scmnet_cli.preprocess.layouts import likely_layout, open_source
from scmnet_cli.preprocess.photos import PhotoSource, read_analysed
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.regions import region_id
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.types import Canvas, FloatArray, Person

if TYPE_CHECKING:
    from conftest import Place, Scm

CANVAS = Canvas(64, 48)
# Joints that the picture clearly shows. The elbows are at its lower edge, where the analyser guesses: slight noise
# moves them by a quarter of the picture.
IN_PLAIN_SIGHT = [
    JOINTS.index(name)
    for name in ("nose", "neck", "right_shoulder", "left_shoulder", "right_eye", "left_eye", "right_ear", "left_ear")
]


@pytest.fixture(scope="session")
def analyser() -> Analyser:
    return Analyser.load()


@pytest.fixture
def loads(analyser: Analyser, monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Counts how often a command opens the analyser; it gets the one already loaded."""
    asked: list[None] = []

    def load(**_: object) -> Analyser:
        asked.append(None)
        return analyser

    monkeypatch.setattr(Analyser, "load", load)
    return asked


@pytest.fixture(scope="session")
def astronaut() -> Image.Image:
    """Eileen Collins, down to the hips, in front of a flag and a model of a shuttle."""
    return Image.fromarray(skimage.data.astronaut()).resize((240, 240), Image.Resampling.LANCZOS)


@pytest.fixture(scope="session")
def found(analyser: Analyser, astronaut: Image.Image) -> Person:
    """The analyser's result for the unchanged picture."""
    result = analyser(astronaut)
    return Person("astronaut", np.asarray(astronaut), result.regions, result.joints)


@pytest.fixture(scope="session")
def coffee() -> Image.Image:
    """A cup, without a person."""
    return Image.fromarray(skimage.data.coffee()).resize((150, 100))


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[274] = orientation
    return tags


def save_turned(picture: Image.Image, path: Path) -> None:
    picture.transpose(Image.Transpose.ROTATE_90).save(path, quality=95, exif=exif(6))


def save_mirrored(picture: Image.Image, path: Path) -> None:
    picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path, quality=95, exif=exif(2))


def save_16_bit(picture: Image.Image, path: Path) -> None:
    Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257).save(path)


def save_with_alpha(picture: Image.Image, path: Path) -> None:
    picture = picture.convert("RGBA")
    picture.putalpha(Image.new("L", picture.size, 255))
    picture.save(path)


def save_animated(picture: Image.Image, path: Path) -> None:
    picture.save(path, save_all=True, append_images=[Image.new("RGB", picture.size, "green")], duration=100)


def save_as(mode: str) -> Callable[[Image.Image, Path], None]:
    return lambda picture, path: picture.convert(mode).save(path)


def save_in_colours(num: int, dither: Image.Dither = Image.Dither.NONE) -> Callable[[Image.Image, Path], None]:
    """Save with a palette adapted to the picture."""
    return lambda picture, path: picture.quantize(num, dither=dither).save(path)


def overlap(a: Person, b: Person) -> float:
    """Return intersection over union of two people."""
    one, other = a.regions > 0, b.regions > 0
    return float((one & other).sum() / (one | other).sum())


def joint(joints: FloatArray, name: str) -> FloatArray:
    return joints[JOINTS.index(name)]


# One photo


def test_regions_and_joints_of_photos_match_hand_annotations(found: Person) -> None:
    size = len(found.image)
    places = {"hair": (0.44, 0.08), "face": (0.44, 0.24), "upper": (0.3, 0.8), "background": (0.85, 0.2)}
    for region, (x, y) in places.items():
        assert found.regions[round(y * size), round(x * size)] == region_id(region), region
    seen = {"nose": (0.44, 0.24), "right_eye": (0.39, 0.2), "left_eye": (0.48, 0.2)}
    for name, place in seen.items():
        assert np.abs(joint(found.joints, name)[:2] / size - place).max() < 0.04, name
    assert joint(found.joints, "right_shoulder")[0] < 0.3 * size
    assert joint(found.joints, "left_shoulder")[0] > 0.5 * size
    assert not joint(found.joints, "left_ankle").any()


@pytest.mark.parametrize(
    ("name", "save", "least"),
    [
        ("turned.jpg", save_turned, 0.95),
        ("mirrored.jpg", save_mirrored, 0.95),
        ("alpha.png", save_with_alpha, 0.99),
        ("cmyk.jpg", save_as("CMYK"), 0.9),
        ("grey.png", save_as("L"), 0.75),
        ("16bit.png", save_16_bit, 0.75),
        ("web-palette.png", save_as("P"), 0.85),
        ("256-colours.png", save_in_colours(256), 0.95),
        ("64-colours.png", save_in_colours(64), 0.9),
        ("64-colours-dithered.png", save_in_colours(64, Image.Dither.FLOYDSTEINBERG), 0.9),
        ("animated.gif", save_animated, 0.85),
        ("animated.webp", save_animated, 0.85),
        ("scan.tif", save_as("RGB"), 0.99),
        ("CAMERA.JPG", save_as("RGB"), 0.9),
    ],
)
def test_every_format_of_a_photo_gives_the_same_person(
    analyser: Analyser,
    astronaut: Image.Image,
    found: Person,
    tmp_path: Path,
    name: str,
    save: Callable[[Image.Image, Path], None],
    least: float,
) -> None:
    save(astronaut, tmp_path / name)
    person = read_analysed("a", tmp_path / name, analyser)
    assert person.image.shape == found.image.shape
    assert overlap(person, found) > least
    assert (person.joints[IN_PLAIN_SIGHT, 2] > 0.5).all()
    away = np.linalg.norm((person.joints - found.joints)[IN_PLAIN_SIGHT, :2], axis=1)
    assert away.max() < 0.06 * len(found.image)


def test_a_small_person_in_a_large_photo_fills_the_canvas(
    analyser: Analyser, astronaut: Image.Image, tmp_path: Path
) -> None:
    street = Image.new("RGB", (1000, 700), (120, 130, 120))
    street.paste(astronaut.resize((300, 300)), (640, 380))
    street.save(tmp_path / "street.png")
    in_photo = read_analysed("street", tmp_path / "street.png", analyser)
    columns = np.flatnonzero(in_photo.regions.any(0))
    assert columns[0] >= 630
    assert columns[-1] < 940
    person = read_person(tmp_path / "street.png", CANVAS, options=PhotoOptions(lambda: analyser))
    assert person.canvas == CANVAS
    rows, columns = (np.flatnonzero(person.regions.any(axis)) for axis in (1, 0))
    assert max(len(rows) / CANVAS.height, len(columns) / CANVAS.width) > 0.8
    assert joint(person.joints, "nose")[2] > 0


def test_a_map_and_joints_beside_a_photo_take_precedence_over_the_analyser(drawn_source: Path) -> None:
    def never() -> Analyser:
        raise AssertionError("the analyser was asked for")

    assert read_person(drawn_source / "drawn_0001.png", CANVAS, options=PhotoOptions(never)).regions.any()


def test_a_photo_without_a_person_is_a_one_line_error(analyser: Analyser, coffee: Image.Image, tmp_path: Path) -> None:
    coffee.save(tmp_path / "cup.png")
    with pytest.raises(ScmError, match=r"cup\.png: no person found in the photo; [^\n]*$"):
        read_person(tmp_path / "cup.png", CANVAS, options=PhotoOptions(lambda: analyser))


# scm preprocess


@pytest.fixture
def photos(tmp_path: Path, astronaut: Image.Image, coffee: Image.Image) -> Path:
    """A typical folder: one person in two photos, a cup, and files that are not photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    astronaut.save(folder / "me 1, at work.png")
    astronaut.resize((200, 200)).save(folder / "me2.jpg", quality=95)
    coffee.save(folder / "cup.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("no photo")
    (folder / "phone.heic").write_bytes(b"ftypheic")
    return folder


def test_a_folder_of_photos_needs_no_options(photos: Path, tmp_path: Path, loads: list[None], scm: Scm) -> None:
    data_path = tmp_path / "data"
    scm("preprocess", photos, "-o", data_path, "--canvas", "64x48", "--sheet")
    assert loads == [None]
    data = PreparedFolder(data_path)
    assert data.names() == ["me2", "me_1__at_work"]
    assert data.entry("me_1__at_work").photo == "me 1, at work.png"
    assert data.manifest.layout == "photos"
    assert set(data.manifest.left_out) == {"broken", "cup", "empty"}
    assert "no person found in the photo" in data.manifest.left_out["cup"]
    assert "cannot be read as a picture" in data.manifest.left_out["broken"]
    (remark,) = data.manifest.remarks
    assert remark.startswith("1 photo is left out, phone.heic the first: ")
    assert remark.endswith("convert it to .jpg")
    asset = Path(scmnet_cli.__file__).parent / "assets" / "analyser.safetensors"
    assert data.manifest.parser.endswith(f"weights sha256 {hashlib.sha256(asset.read_bytes()).hexdigest()}")
    assert data.manifest.pose_estimator == data.manifest.parser
    assert (data_path / "sheet.png").is_file()
    person = data.load("me2")
    assert (person.regions == region_id("face")).any()
    assert joint(person.joints, "nose")[2] > 0


class _Counting(Analyser):
    """Counts what it analyses."""

    def __init__(self, analyser: Analyser, sha256: str) -> None:
        self._real, self.sha256, self.num = analyser, sha256, 0

    def __call__(self, image: object) -> object:  # type: ignore[override]
        self.num += 1
        return self._real(image)  # type: ignore[arg-type]


def test_a_photo_is_analysed_again_only_if_it_or_the_analyser_changed(
    photos: Path, tmp_path: Path, analyser: Analyser, coffee: Image.Image
) -> None:
    first, same, other = _Counting(analyser, "a" * 64), _Counting(analyser, "a" * 64), _Counting(analyser, "b" * 64)
    assert prepare(PhotoSource(photos, first), tmp_path / "data", CANVAS, jobs=2).num_new == 2
    assert first.num == 3
    coffee.rotate(180).save(photos / "cup.jpg", quality=60)
    assert prepare(PhotoSource(photos, same), tmp_path / "data", CANVAS, jobs=1).num_new == 0
    assert same.num == 1
    assert prepare(PhotoSource(photos, other), tmp_path / "data", CANVAS, jobs=1).num_new == 2
    assert other.num == 3


def test_photos_that_share_a_name_are_skipped_and_reported(
    tmp_path: Path, analyser: Analyser, coffee: Image.Image
) -> None:
    for name in ("a b.png", "a_b.png"):
        coffee.save(tmp_path / name)
    source = PhotoSource(tmp_path, analyser)
    assert source.names() == ["a_b"]
    with pytest.raises(ScmError, match=r"several photos have this name \(a b\.png, a_b\.png\); rename all but one"):
        source.read("a_b")


def test_joints_or_maps_in_the_folder_select_the_layout_folder(drawn_source: Path, tmp_path: Path) -> None:
    assert likely_layout(drawn_source) == "folder"
    assert likely_layout(tmp_path) == "photos"
    assert likely_layout(tmp_path, None, Path("maps"), None) == "folder"
    (tmp_path / "regions").mkdir()
    assert likely_layout(tmp_path) == "folder"


def test_a_folder_without_photos_is_an_error_that_lists_the_formats(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match=r"holds no photos \(\.jpg .*\.tif"):
        open_source("photos", tmp_path)


# scm transfer, edit, inspect


def test_photos_without_annotations_are_sources_and_poses(
    place: Place, photos: Path, loads: list[None], scm: Scm
) -> None:
    done = scm("transfer", "--src", photos / "me2.jpg", "--pose", photos / "me 1, at work.png", "-m", "run")
    assert done.code == 0
    assert len(done.paths) == 1
    assert loads == [None]
    assert done.report()["inputs"]["source"]["path"] == str((photos / "me2.jpg").resolve())
    assert "region_consistency" in done.report()["metrics"]
    edited = scm("edit", "--src", photos / "me2.jpg", "--region", "upper", "--ref", "data/ben", "-m", "run")
    assert edited.code == 0
    inspected = scm("inspect", "--src", "data/anna", "--pose", photos / "me2.jpg", "-m", "run")
    assert inspected.report()["inputs"]["pose"]["name"] == "me2"
    assert len(loads) == 3


def test_prepared_people_do_not_load_the_analyser(place: Place, loads: list[None], scm: Scm) -> None:
    assert scm("transfer", "--src", "data/anna", "--pose", "data/ben", "-m", "run").code == 0
    assert not loads


@pytest.mark.parametrize("option", ["--src", "--pose"])
def test_a_command_on_a_photo_without_a_person_is_a_one_line_error(
    place: Place, photos: Path, loads: list[None], option: str, scm: Scm
) -> None:
    inputs = {"--src": "data/anna", "--pose": "data/ben"} | {option: str(photos / "cup.jpg")}
    done = scm("transfer", *[word for pair in inputs.items() for word in pair], "-m", "run")
    assert done.code == 2
    assert not done.paths
    lines = [line for line in done.errors if "no person found in the photo" in line]
    assert len(lines) == 1
    assert "cup.jpg" in lines[0]


def test_unusable_photos_of_a_folder_are_skipped_and_reported(
    place: Place, photos: Path, loads: list[None], scm: Scm
) -> None:
    done = scm("transfer", "--src", photos, "--pose", "data/ben", "-m", "run")
    assert done.code == 0
    assert len(done.paths) == 2
    assert len(done.errors) == 3
    assert loads == [None]


def test_a_region_map_beside_a_photo_is_not_taken_for_a_photo(
    place: Place, drawn_source: Path, tmp_path: Path, loads: list[None], scm: Scm
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    name = "drawn_0001"
    Image.fromarray(read_photo(drawn_source / f"{name}.png")).save(folder / f"{name}.png")
    (folder / f"{name}.regions.png").write_bytes((drawn_source / "regions" / f"{name}.png").read_bytes())
    (folder / "joints.csv").write_bytes((drawn_source / "joints.csv").read_bytes())
    done = scm("transfer", "--src", folder, "--pose", "data/ben", "-m", "run")
    assert [path.name for path in done.paths] == [f"{name}_to_ben.png"]
    assert not done.errors
    assert not loads
