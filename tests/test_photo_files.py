"""Folders of photos: every readable format is read; an unreadable file is an error with the remedy."""

from __future__ import annotations

import json
import shutil
import sys
import types
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from scmnet_cli import photo_files
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.images import picture_formats, read_photo
from scmnet_cli.photo_files import files_of, is_photo, photo_endings, unread_photos, why_unread, without_photo_ending
from scmnet_cli.sources.source import find_photos, unread_remarks

if TYPE_CHECKING:
    from conftest import Place, Scm

GREY = np.full((32, 24, 3), 90, np.uint8)


@pytest.fixture
def no_heif(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_files, "has_heif", lambda: False)
    photo_endings.cache_clear()
    monkeypatch.setattr(photo_files, "photo_endings", photo_endings.__wrapped__)


def photo(path: Path, kind: str = "JPEG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(GREY).save(path, kind)
    return path


@pytest.mark.parametrize("ending", ["jpg", "JPEG", "jpe", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff", "avif"])
def test_photos_of_every_supported_format_are_found_and_read(tmp_path: Path, ending: str) -> None:
    if ending == "avif" and not photo_files.has_avif():
        pytest.skip("this Pillow reads no AVIF")
    kinds = {"png": "PNG", "webp": "WEBP", "bmp": "BMP", "gif": "GIF", "tif": "TIFF", "tiff": "TIFF", "avif": "AVIF"}
    path = photo(tmp_path / f"a.{ending}", kinds.get(ending, "JPEG"))
    assert find_photos(tmp_path) == {"a": [path]}
    assert np.abs(read_photo(path).astype(int) - 90).max() <= 3


def test_files_are_in_natural_order_without_hidden_files(tmp_path: Path) -> None:
    for name in ("10.jpg", "9.jpg", ".2.jpg", "a.txt"):
        photo(tmp_path / name)
    assert [path.name for path in files_of(tmp_path)] == ["9.jpg", "10.jpg", "a.txt"]
    assert files_of(tmp_path / "9.jpg") == []


@pytest.mark.usefixtures("no_heif")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a.heic", r"install the extra 'heif' \(pip install 'scmnet-cli\[heif\]'\), or convert it to \.jpg"),
        ("a.HEIF", "install the extra 'heif'"),
        ("a.cr2", "convert it to .jpg"),
        ("a.jpg", "^$"),
        ("a.csv", "^$"),
    ],
)
def test_an_unsupported_format_has_a_remedy(name: str, says: str) -> None:
    import re

    assert re.search(says, why_unread(Path(name)))
    assert is_photo(Path(name)) == (name == "a.jpg")


@pytest.mark.usefixtures("no_heif")
def test_unsupported_photos_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.heic", "images/c.HEIC"):
        photo(tmp_path / name)
    (remark,) = unread_remarks(tmp_path)
    assert remark.startswith("2 photos are left out, b.heic the first: install the extra 'heif'")
    assert unread_photos([tmp_path / "a.jpg"]) == ""
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(ScmError, match=r"holds no photos \(.*; 2 photos are left out, b\.heic the first: install"):
        find_photos(tmp_path)


@pytest.mark.usefixtures("no_heif")
def test_a_heic_file_is_refused_with_the_remedy_unless_it_is_a_jpeg(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(ScmError, match=r"a\.heic: cannot be read as a picture .*; install the extra 'heif'"):
        read_photo(tmp_path / "a.heic")
    assert read_photo(photo(tmp_path / "b.heic")).shape == GREY.shape


def test_pillow_heif_decodes_heic_if_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[bool] = []
    module = types.ModuleType("pillow_heif")
    module.register_heif_opener = lambda: registered.append(True)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    monkeypatch.setattr("scmnet_cli.images.reading.has_heif", lambda: True)
    assert picture_formats.__wrapped__()[-1] == "HEIF"
    assert registered == [True]


@pytest.mark.parametrize("ending", ["heic", "HEIF", "hif"])
def test_heic_photos_are_found_and_read_upright(tmp_path: Path, ending: str) -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra 'heif' (pillow-heif) is not installed")
    picture = GREY.copy()
    picture[:8] = (200, 30, 40)
    turned = Image.fromarray(np.rot90(picture).copy())
    exif = Image.Exif()
    exif[0x0112] = 6  # the file's picture lies on its side
    path = tmp_path / f"a.{ending}"
    heif.from_pillow(turned).save(path, quality=95, exif=exif.tobytes(), save_nclx_profile=True)
    assert find_photos(tmp_path) == {"a": [path]}
    found = read_photo(path)
    assert found.shape == picture.shape
    assert np.abs(found.astype(int) - picture)[[0, -1]].max() <= 12  # HEIC halves colour, and the edge between blurs


def test_a_damaged_heic_photo_is_refused_in_one_line(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra 'heif' (pillow-heif) is not installed")
    path = tmp_path / "a.heic"
    heif.from_pillow(Image.fromarray(GREY)).save(path)
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], content[:40], content[:200] + bytes(50) + content[250:]):
        path.write_bytes(damaged)
        with pytest.raises(ScmError, match=r"a\.heic: cannot be read as a picture"):
            read_photo(path)


def test_a_command_reads_heic_photos_of_a_folder(place: Place, scm: Scm) -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra 'heif' (pillow-heif) is not installed")
    Path("photos").mkdir()
    with Image.open("data/images/anna.png") as image:
        heif.from_pillow(image.convert("RGB")).save("photos/anna.heic", quality=90)
    for of, to in (("data/regions/anna.png", "anna.regions.png"),):
        shutil.copy(of, Path("photos") / to)
    joints = PreparedFolder(Path("data")).load("anna").joints
    Path("photos/anna.joints.json").write_text(json.dumps(joints.tolist()))
    done = scm("transfer", "--src", "photos", "--pose", "data/ben", "-m", "run", "-o", "out")
    assert (done.code, done.errors) == (0, [])
    assert [path.name for path in done.paths] == ["anna_to_ben.png"]


def test_only_suffixes_of_photos_are_removed_from_names() -> None:
    names = ["a.jpg", "a.HEIC", "a.b.png", "1.5", "dir/a.webp"]
    assert [without_photo_ending(name) for name in names] == ["a", "a", "a.b", "1.5", "dir/a"]


@pytest.mark.usefixtures("no_heif")
def test_a_command_reports_unsupported_photos_of_a_folder(
    place: Place, scm: Scm, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.jpg", "b.heic"):
        photo(Path("photos") / name)
    shutil.copy("data/images/anna.png", "photos/a.png")
    scm("poses", "photos", "-o", "poses.png")
    assert "POSE photos: 1 photo is left out, b.heic the first: install the extra 'heif'" in caplog.text


@pytest.mark.usefixtures("no_heif")
def test_a_photo_or_an_archive_that_cannot_be_read_is_refused_with_the_remedy(place: Place, scm: Scm) -> None:
    photo(Path("only/b.heic"))
    with zipfile.ZipFile("photos.zip", "w") as archive:
        archive.writestr("a.jpg", b"")
    for word, says in (
        ("only/b.heic", "only/b.heic: cannot be read here; install the extra 'heif'"),
        ("only", "only: has no readable photo; 1 photo is left out, b.heic the first: install"),
        ("photos.zip", "photos.zip: is an archive; unpack it and give the folder"),
    ):
        done = scm("transfer", "--src", word, "--pose", "data/ben", "-m", "run")
        assert done.code == 2
        assert says in done.errors[0]


def test_pose_files_with_hash_or_colon_in_their_name_are_found(place: Place, scm: Scm) -> None:
    joints = {"joints": {"nose": {"x": 20, "y": 10}, "neck": {"x": 20, "y": 20}}, "canvas": {"height": 64, "width": 48}}
    for name in ("my pose #1.json", "12:30 #2.json", "library:x.json"):
        Path(name).write_text(json.dumps(joints))
        done = scm("poses", name, "-o", "out/poses.png")
        assert (done.code, done.errors) == (0, [])
    rows = "name:keypoints_y:keypoints_x\na #1:" + f"{list(range(1, 19))}:{list(range(1, 19))}\n"
    Path("table #3.csv").write_text(rows)
    done = scm("poses", "table #3.csv#a #1", "--frame", "64x48", "-o", "out/poses.png")
    assert (done.code, done.errors) == (0, [])
    assert "the file has no row 'b'" in scm("poses", "table #3.csv#b").errors[0]


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_out_can_be_the_file_of_a_single_picture(place: Place, scm: Scm, ending: str) -> None:
    done = scm("transfer", "--src", "data/anna", "--pose", "data/ben", "-m", "run", "-o", f"new/mine.{ending}")
    assert done.paths == [Path(f"new/mine.{ending}")]
    with Image.open(done.paths[0]) as image:
        assert image.size == (48, 64)
        text = image.info.get("Comment", "") + str(image.getexif().get(270, ""))
    assert "generated by SCM-Net" in text
    assert Path("new/mine.json").is_file()


def test_out_as_a_file_is_refused_for_unsupported_formats_and_several_pictures(place: Place, scm: Scm) -> None:
    given = ("transfer", "--src", "data/anna", "--pose", "data/ben", "-m", "run")
    assert "--out mine.bmp: this image format cannot be written" in scm(*given, "-o", "mine.bmp").errors[0]
    done = scm(*given, "--pose", "data/cleo", "-o", "mine.png")
    assert "--out mine.png: is one file for 2 pictures; give a folder" in done.errors[0]
    assert not list(Path().glob("mine*"))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.pth", b"PK\x03\x04abc", "is a PyTorch checkpoint"),
        ("x.ckpt", b"\x80\x02}q", "is a PyTorch checkpoint"),
        ("x.onnx", b"\x08\x07", "is an ONNX network"),
        ("x.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer"),
        ("x.safetensors", b"abc", "is truncated or not a safetensors file"),
    ],
)
def test_a_model_file_of_another_kind_is_identified_in_the_error(
    place: Place, scm: Scm, name: str, content: bytes, says: str
) -> None:
    Path(name).write_bytes(content)
    done = scm("transfer", "--src", "data/anna", "--pose", "data/ben", "-m", name)
    assert done.code == 2
    assert f"{name}: {says}" in done.errors[0]
