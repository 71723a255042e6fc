"""Photos of every kind are read upright; crops are inverted exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from scmnet_cli.errors import ScmError
from scmnet_cli.images import (
    CropBox,
    contact_sheet,
    crop_around,
    draw_regions,
    draw_skeleton,
    picture_size,
    read_label_map,
    read_photo,
    save_png,
    to_tensor,
    to_uint8,
)
from scmnet_cli.types import Canvas, UInt8Array


def noise(height: int, width: int, seed: int = 0) -> UInt8Array:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("seed", range(20))
def test_the_crop_is_inverted_exactly(seed: int) -> None:
    random = np.random.default_rng(seed)
    left, top = random.integers(-50, 400, 2)
    right, bottom = left + random.integers(1, 600), top + random.integers(1, 900)
    canvas = Canvas(*(int(n) * 8 for n in random.integers(2, 40, 2)))
    box = crop_around((int(left), int(top), int(right), int(bottom)), canvas)
    points = random.uniform(-100, 1000, (30, 2))
    assert np.allclose(box.to_original(box.to_canvas(points)), points, atol=1e-9, rtol=0)
    assert np.allclose(box.to_canvas(box.to_original(points)), points, atol=1e-9, rtol=0)


@pytest.mark.parametrize("seed", range(20))
def test_the_crop_holds_the_whole_person_in_the_shape_of_the_canvas(seed: int) -> None:
    random = np.random.default_rng(seed)
    left, top = (int(n) for n in random.integers(0, 400, 2))
    right, bottom = left + int(random.integers(20, 600)), top + int(random.integers(20, 900))
    canvas = Canvas(256, 176)
    box = crop_around((left, top, right, bottom), canvas)
    assert box.left <= left
    assert box.top <= top
    assert box.left + box.width >= right
    assert box.top + box.height >= bottom
    assert abs(box.width / box.height - 176 / 256) <= 1 / box.height


def test_a_spot_lands_where_the_crop_maps_it() -> None:
    photo = np.zeros((300, 200, 3), np.uint8)
    photo[120:129, 60:69] = 255  # centred on (64, 124)
    box = CropBox(20, -10, 150, 225, Canvas(96, 64))
    cropped = box.crop_image(photo, 0)[..., 0].astype(np.float64)
    y, x = np.mgrid[:96, :64]
    centre = np.array([(x * cropped).sum(), (y * cropped).sum()]) / cropped.sum()
    assert np.allclose(centre, box.to_canvas(np.array([64.0, 124.0])), atol=0.02)


def test_a_crop_of_canvas_size_copies_pixels_and_pads_outside_the_photo() -> None:
    photo = noise(40, 30)
    box = CropBox(-5, 10, 24, 48, Canvas(48, 24))
    plain, kept = box.crop_image(photo, 230), box.crop_image(photo, None)
    for cropped in (plain, kept):
        assert np.array_equal(cropped[:30, 5:], photo[10:, :19])
    assert (plain[:, :5] == 230).all()
    assert (plain[30:] == 230).all()
    assert np.array_equal(kept[:30, 0], photo[10:, 0])
    assert np.array_equal(kept[47, 5:], photo[39, :19])
    labels = np.full((40, 30), 3, np.uint8)
    assert np.array_equal(np.unique(box.crop_labels(labels)), [0, 3])


def padded_and_cut(box: CropBox, photo: UInt8Array, fill: int | None) -> UInt8Array:
    """The crop by definition: the photo with a wide border, the box of it, and Pillow's resizing."""
    border = 2 * max(*photo.shape, box.width, box.height, abs(box.left), abs(box.top))
    pads = ((border, border), (border, border), (0, 0))[: photo.ndim]
    wide = np.pad(photo, pads, "edge") if fill is None else np.pad(photo, pads, constant_values=fill)
    top, left = border + box.top, border + box.left
    cut = Image.fromarray(wide[top : top + box.height, left : left + box.width])
    method = Image.Resampling.NEAREST if photo.ndim == 2 else Image.Resampling.LANCZOS
    return np.asarray(cut.resize((box.canvas.width, box.canvas.height), method))


BOXES = [
    CropBox(-20, -30, 90, 130, Canvas(32, 24)),
    CropBox(10, 5, 20, 30, Canvas(32, 24)),
    CropBox(12, 5, 66, 88, Canvas(32, 24)),
]
BEYOND = [CropBox(300, 5, 20, 30, Canvas(32, 24)), CropBox(-50, -90, 20, 30, Canvas(32, 24))]


@pytest.mark.parametrize("fill", [None, 230])
@pytest.mark.parametrize("box", BOXES)
def test_a_crop_is_the_resized_part_of_the_photo_with_a_border(box: CropBox, fill: int | None) -> None:
    photo = noise(70, 60)
    assert np.array_equal(box.crop_image(photo, fill), padded_and_cut(box, photo, fill))
    labels = photo[..., 0] % 8
    assert np.array_equal(box.crop_labels(labels), padded_and_cut(box, labels, 0))


@pytest.mark.parametrize("box", BEYOND)
def test_a_crop_beyond_the_photo_is_the_fill_or_the_nearest_edge(box: CropBox) -> None:
    photo = noise(70, 60)
    edge = np.concatenate([photo[0], photo[-1], photo[:, 0], photo[:, -1]])
    assert (box.crop_image(photo, 230) == 230).all()
    assert {tuple(p) for p in box.crop_image(photo, None).reshape(-1, 3).tolist()} <= {tuple(p) for p in edge.tolist()}
    assert not box.crop_labels(photo[..., 0] % 7 + 1).any()


@pytest.mark.parametrize("fill", [None, 230])
@pytest.mark.parametrize("box", BOXES)
@pytest.mark.parametrize("size", [(70, 60), (20, 400), (400, 20)])
def test_a_large_part_is_resized_in_strips_with_the_same_result(
    box: CropBox, fill: int | None, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scmnet_cli.images.cropping._MAX_CUT_PIXELS", 0)
    monkeypatch.setattr("scmnet_cli.images.cropping._STRIP_PIXELS", 500)
    photo = noise(*size) // 4 + 96  # between the two directions no value is clipped
    difference = box.crop_image(photo, fill).astype(int) - padded_and_cut(box, photo, fill)
    assert np.abs(difference).max() <= 2  # the two directions may be resized in the other order, each rounded


def test_a_photo_is_read_upright_as_its_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6  # turned by a quarter
    Image.fromarray(noise(20, 30)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_photo(tmp_path / "a.png"), np.rot90(noise(20, 30), -1))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_as_pillow_turns_it(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(noise(20, 30)).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(read_photo(tmp_path / "a.png"), np.asarray(ImageOps.exif_transpose(image)))


def test_a_photo_of_floats_is_read_and_its_damaged_pixels_are_black(tmp_path: Path) -> None:
    values = noise(16, 16)[..., 0].astype(np.float32)
    values[0, :2] = np.nan, np.inf
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert read_photo(tmp_path / "a.tif")[0, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("kind", ["EPS", "PPM", "PCX", "TGA", "ICO"])
def test_a_picture_of_another_kind_is_refused_whatever_its_name(kind: str, tmp_path: Path) -> None:
    Image.fromarray(noise(16, 16)).save(tmp_path / "a.png", kind)
    for read in (read_photo, read_label_map, picture_size):
        with pytest.raises(ScmError, match="not one of JPEG, PNG"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGBA", "LA", "CMYK", "I;16"])
def test_a_photo_of_any_mode_is_rgb(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(noise(16, 16))
    if mode == "I;16":
        image = Image.fromarray(noise(16, 16)[..., 0].astype(np.uint16) * 257)
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    (image if mode == "I;16" else image.convert(mode)).save(path)
    picture = read_photo(path)
    assert picture.shape == (16, 16, 3)
    assert picture.dtype == np.uint8
    if mode == "I;16":
        assert np.array_equal(picture[..., 1], noise(16, 16)[..., 0])


def test_transparent_pixels_become_light_grey(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert (read_photo(tmp_path / "a.png") == 230).all()


def test_a_file_that_is_not_a_picture_is_a_one_line_error(tmp_path: Path) -> None:
    whole = tmp_path / "whole.png"
    save_png(whole, noise(64, 64))
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:2000])
    (tmp_path / "text.jpg").write_text("no picture")
    for name in ("cut.png", "text.jpg"):
        with pytest.raises(ScmError, match=f"{name}: cannot be read as a picture"):
            read_photo(tmp_path / name)
    with pytest.raises(ScmError, match="no such file"):
        read_photo(tmp_path / "absent.png")


def test_a_photo_that_would_unpack_to_gigabytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scmnet_cli.images.reading.MAX_PIXELS", 1000)
    save_png(tmp_path / "a.png", noise(40, 40))
    with pytest.raises(ScmError, match="40x40 is over 1,000 pixels"):
        read_photo(tmp_path / "a.png")


def test_a_label_map_keeps_its_ids_in_grey_or_palette_mode_and_may_not_be_rgb(tmp_path: Path) -> None:
    labels = np.arange(64, dtype=np.uint8).reshape(8, 8) % 8
    Image.fromarray(labels).save(tmp_path / "grey.png")
    palette = Image.fromarray(labels).convert("P")
    palette.putdata(labels.reshape(-1).tolist())
    palette.putpalette([255 - i for i in range(24)])
    palette.save(tmp_path / "palette.png")
    save_png(tmp_path / "rgb.png", noise(8, 8))
    for name in ("grey.png", "palette.png"):
        assert np.array_equal(read_label_map(tmp_path / name), labels)
    with pytest.raises(ScmError, match="has mode RGB"):
        read_label_map(tmp_path / "rgb.png")


def test_a_png_is_written_atomically(tmp_path: Path) -> None:
    save_png(tmp_path / "a.png", noise(8, 8))
    with pytest.raises(ScmError, match="cannot be written"):
        save_png(tmp_path / "absent" / "a.png", noise(8, 8))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_pictures_survive_the_round_trip_to_tensors() -> None:
    picture = noise(8, 8)
    assert np.array_equal(to_uint8(to_tensor(picture)), picture)


def test_drawing_keeps_the_size_and_the_original() -> None:
    picture, labels = noise(32, 24), np.full((32, 24), 5, np.uint8)
    joints = np.random.default_rng(0).uniform(2, 20, (18, 3)).astype(np.float32)
    before = picture.copy()
    assert draw_regions(picture, labels).shape == picture.shape
    drawn = draw_skeleton(picture, joints)
    assert drawn.shape == picture.shape
    assert not np.array_equal(drawn, draw_skeleton(picture, np.zeros((18, 3), np.float32)))
    assert np.array_equal(picture, before)


def test_a_column_of_a_sheet_is_as_wide_as_its_header() -> None:
    narrow = [[np.zeros((8, 8, 3), np.uint8)] * 2]
    bare, headed = contact_sheet(narrow), contact_sheet(narrow, headers=["a", "region-mean"])
    assert headed.shape[1] > bare.shape[1] + 40


def test_a_sheet_holds_every_picture() -> None:
    rows = [[np.full((10, 8, 3), 10 * k + i, np.uint8) for i in range(3)] for k in range(2)]
    sheet = contact_sheet(rows, headers=["a", "b", "c"], captions=["one", "two"])
    for row in rows:
        for picture in row:
            assert (sheet == picture[0, 0]).all(axis=-1).sum() >= 80
