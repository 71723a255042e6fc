"""``scm edit --keep-size`` of a face: its edit is put back into the whole photo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from faces_of_discs import SKIN, SMALL, TURNED, Colours, a_face, a_parser, in_photo, nobody
from PIL import Image

from scmnet_cli.analyser.faces import FaceParser, find_face
from scmnet_cli.analyser.network import Analysed
from scmnet_cli.analyser.windows import Window
from scmnet_cli.errors import ScmError
from scmnet_cli.images import read_photo, save_png
from scmnet_cli.inference.edits.editing import Edit
from scmnet_cli.inference.inputs.faces import read_framed_face
from scmnet_cli.inference.inputs.framed_face import FramedFace
from scmnet_cli.regions import FACE_REGIONS
from scmnet_cli.types import NO_JOINTS, Canvas, FloatArray, Person, UInt8Array

if TYPE_CHECKING:
    from conftest import Place, Scm, SomeFaces
    from torch import Tensor

CANVAS = Canvas(64, 64)
ROTATED = Window(90, 70, 80, angle=0.4)


def noise(height: int, width: int) -> UInt8Array:
    return np.random.default_rng(0).integers(40, 200, (height, width, 3), dtype=np.uint8)


def framed(window: Window, photo: UInt8Array, canvas: Canvas = CANVAS) -> FramedFace:
    image = np.full((canvas.height, canvas.width, 3), 100, np.uint8)
    return FramedFace(photo, Person("ann", image, np.ones(image.shape[:2], np.uint8), NO_JOINTS), window)


def edit_of(given: FramedFace, area: FloatArray, change: float = 40) -> Edit:
    """Return an edit that adds the same to every colour of an area."""
    colour = given.cropped.image.astype(np.float32) + change
    return Edit(given.cropped, colour, np.ones_like(area), area)


def a_square(first: int = 24, last: int = 40, size: int = 64) -> FloatArray:
    area = np.zeros((size, size), np.float32)
    area[first:last, first:last] = 1
    return area


def canvas_places(given: FramedFace) -> FloatArray:
    """Return x, y on the canvas of every pixel of the photo, (H, W, 2)."""
    height, width = given.image.shape[:2]
    points = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)
    return given.window.to_canvas(points.reshape(-1, 2), given.cropped.canvas).reshape(height, width, 2)


def test_only_the_edited_area_of_the_photo_changes() -> None:
    given = framed(ROTATED, noise(150, 200))
    result = given.put_back_edit(edit_of(given, a_square()))
    changed = (result != given.image).any(2)
    away = np.abs(canvas_places(given) - 31.5).max(-1)
    assert changed[away < 6].all()
    assert not changed[away > 10].any()
    assert np.array_equal(result[away < 6], given.image[away < 6] + 40)


def test_an_edit_lands_in_place_in_a_rotated_window() -> None:
    given = framed(ROTATED, np.full((150, 200, 3), 100, np.uint8))
    rows, columns = np.mgrid[:64, :64]
    area = np.exp(-((columns - 20.3) ** 2 + (rows - 41.6) ** 2) / 50).astype(np.float32)
    change = given.put_back_edit(edit_of(given, area, 150)).astype(float).mean(2) - 100
    y, x = (np.average(place, weights=change) for place in np.mgrid[:150, :200])
    expected = given.window.to_photo(np.array([20.3, 41.6], np.float32), CANVAS)
    assert np.abs(expected - (x, y)).max() < 0.1


def test_the_photo_keeps_detail_that_the_canvas_does_not_have() -> None:
    photo = np.full((400, 400, 3), 80, np.uint8)
    photo[:, ::2] = 120
    given = framed(Window(200, 200, 320), photo)
    result = given.put_back_edit(edit_of(given, a_square()))
    inside = (slice(165, 235), slice(165, 235))
    assert np.array_equal(result[inside], photo[inside] + 40)


def test_a_canvas_finer_than_the_photo_is_averaged() -> None:
    given = framed(Window(20, 20, 16), np.full((40, 40, 3), 100, np.uint8))
    stripes = a_square(8, 56)
    stripes[np.arange(64) % 4 > 0] = 0
    result = given.put_back_edit(edit_of(given, stripes, 80))
    assert np.abs(result[17:23, 17:23].astype(int) - 120).max() <= 1


def test_strips_give_the_same_picture_as_the_whole_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    given = framed(ROTATED, noise(150, 200))
    edit = edit_of(given, np.random.default_rng(1).random((64, 64)).astype(np.float32))
    at_once = given.put_back_edit(edit)
    monkeypatch.setattr("scmnet_cli.inference.inputs.framed_face._STRIP_PIXELS", 7 * 100)
    in_strips = given.put_back_edit(edit)
    assert (at_once != given.image).any()
    assert np.abs(at_once.astype(int) - in_strips).max() <= 1


def test_a_change_fades_out_where_the_part_goes_beyond_the_window() -> None:
    given = framed(Window(100, 75, 100), np.full((150, 200, 3), 100, np.uint8))
    area = np.zeros((64, 64), np.float32)
    area[24:, 20:44] = 1  # as long hair
    change = given.put_back_edit(edit_of(given, area, 60))[:, :, 0].astype(int) - 100
    down = change[60:130, 100]
    assert down[5] == 60
    assert np.array_equal(np.sort(down[10:])[::-1], down[10:])
    assert np.abs(np.diff(down[10:])).max() <= 9
    assert not change[125:].any()
    assert (change[75, 85:115] == 60).all()  # the sides of the part do not fade
    assert "goes beyond" in given.unchanged_part(edit_of(given, area))


def test_a_change_does_not_fade_at_the_border_of_the_photo() -> None:
    given = framed(Window(50, 50, 100), np.full((100, 100, 3), 100, np.uint8))
    edit = edit_of(given, np.ones((64, 64), np.float32))
    assert given.unchanged_part(edit) == ""
    assert (given.put_back_edit(edit) == 140).all()


def test_an_edit_within_the_window_is_whole() -> None:
    given = framed(ROTATED, noise(150, 200))
    assert given.unchanged_part(edit_of(given, a_square())) == ""


def test_a_face_that_is_drawn_anew_is_refused() -> None:
    given = framed(ROTATED, noise(150, 200))
    with pytest.raises(ScmError, match=r"^--keep-size: .* not a face that is drawn anew; leave out"):
        given.put_back(given.cropped.image)


def test_the_window_of_a_photo_with_a_map_shows_the_face(tmp_path: Path) -> None:
    photo, regions = np.full((60, 101, 3), 100, np.uint8), np.zeros((60, 101), np.uint8)
    photo[20:30, 40:50], regions[20:30, 40:50] = 200, FACE_REGIONS.index("skin")
    save_png(tmp_path / "ann.png", photo)
    save_png(tmp_path / "ann.regions.png", regions)
    given = read_framed_face(tmp_path / "ann.png", CANVAS)
    rows, columns = np.nonzero(given.cropped.regions)
    centre = np.array([columns.mean(), rows.mean()], np.float32)
    assert given.window.angle == 0
    assert given.window.to_photo(centre, CANVAS) == pytest.approx((44.5, 24.5), abs=0.6)
    corners = given.window.to_photo(np.array([[-0.5, -0.5], [63.5, 63.5]], np.float32), CANVAS)
    assert corners == pytest.approx(np.array([[19.5, -0.5], [79.5, 59.5]]), abs=0.51)


# The wide view

CLOTH = (230, 230, 230)


class Clothed(Colours):
    """Network stub for drawn faces that also finds clothes, by their colour."""

    def forward(self, image: Tensor) -> Analysed:
        answer = super().forward(image)
        is_cloth = ((image.float() + 1) * 127.5 > 200).all(1, keepdim=True).float()
        answer.regions[:, 7] = 40 * torch.nn.functional.avg_pool2d(is_cloth, 2)[:, 0] - 19
        return answer


def clothed_parser() -> FaceParser:
    return FaceParser(Clothed(), SMALL, analyser=nobody)  # type: ignore[arg-type]


def with_long_neck(photo: UInt8Array) -> UInt8Array:
    """Return a photo with skin below the face, and somebody else's skin beside it, whose clothes touch."""
    photo = photo.copy()
    photo[100:142, 96:106] = SKIN
    photo[110:142, 48:58] = SKIN
    photo[142:150, 40:120] = CLOTH
    photo[100:150, 106:118] = CLOTH
    return photo


def test_the_wide_view_holds_what_continues_from_the_face_and_nothing_else() -> None:
    photo = with_long_neck(in_photo(a_face(), Window(100, 75, 64), 200, 220))
    parser = clothed_parser()
    face = parser(photo)
    assert face is not None
    wide = parser.wide(face)
    assert wide.window.height == 2 * face.window.height
    skin = wide.regions == FACE_REGIONS.index("skin")
    assert skin[115:138, 99:103].all()  # the last rows share the coarse map's pixels with the clothes
    assert not skin[108:142, 45:60].any()
    assert (wide.regions == FACE_REGIONS.index("cloth"))[145:148, 60:110].all()
    num = face.probabilities.shape[1]
    within = face.probabilities[:, num // 5 : -num // 5, num // 5 : -num // 5]
    top, left = num * 5 // 16 + num // 5, num // 2 + num // 5
    size = within.shape[1]
    assert np.array_equal(wide.probabilities[:, top : top + size, left : left + size], within)


def test_a_found_face_is_read_with_the_window_that_it_was_seen_in(tmp_path: Path) -> None:
    photo = in_photo(a_face(), TURNED, 200, 220)
    save_png(tmp_path / "ann.png", photo)
    parser = a_parser()
    for wide, side in ((False, 80), (True, 160)):
        given = read_framed_face(
            tmp_path / "ann.png", SMALL, find=lambda *args, wide=wide: find_face(parser, *args, wide=wide)
        )
        assert given.window.height == pytest.approx(side, rel=0.05)
        assert given.window.angle == pytest.approx(0.4, abs=0.05)
        assert np.array_equal(given.image, photo)


# The command


@pytest.fixture
def faces_with_maps(place: Place) -> Place:
    """Photos ``ann.png`` and ``eve.png`` of 48x100 pixels with maps beside them: skin, hair above it, a mouth."""
    for name, shade in (("ann", 0), ("eve", 60)):
        photo, regions = noise(48, 100) // 8 + np.uint8(90), np.zeros((48, 100), np.uint8)
        for part, box, colour in (
            ("hair", np.s_[6:20, 40:60], (60 + shade, 40, 30)),
            ("skin", np.s_[20:40, 40:60], (190 - shade, 150, 130)),
            ("mouth", np.s_[32:36, 46:54], (170, 60 + shade, 70)),
        ):
            photo[box], regions[box] = colour, FACE_REGIONS.index(part)
        save_png(place.path / f"{name}.png", photo)
        save_png(place.path / f"{name}.regions.png", regions)
    return place


def edit_command(model: Path, *words: str) -> tuple[object, ...]:
    return ("edit", "--src", "ann.png", "--ref", "eve.png", *words, "--keep-size", "-m", model, "--device", "cpu")


def test_the_edited_face_is_in_the_whole_photo(faces_with_maps: Place, scm: Scm, some_faces: SomeFaces) -> None:
    done = scm(*edit_command(some_faces.model, "--region", "hair", "--before-after"))
    assert (done.code, done.errors) == (0, [])
    before, after = read_photo(Path("ann.png")), read_photo(done.paths[0])
    assert after.shape == (48, 100, 3)
    changed = (before != after).any(2)
    assert changed[8:18, 42:58].mean() > 0.9
    changed[4:23, 37:63] = False
    assert not changed.any()
    kept = done.report()["kept_size"]
    assert kept["photo"].endswith("ann.png")
    assert (kept["centre"], kept["size"], kept["angle"]) == ([50, 24], [48, 48], 0)
    with Image.open(done.paths[0].with_suffix(".before-after.png")) as sheet:
        assert sheet.width >= 2 * 100


def test_a_part_beyond_the_square_fades_out_with_one_line(
    faces_with_maps: Place, scm: Scm, some_faces: SomeFaces
) -> None:
    for name in ("ann", "eve"):
        regions = np.asarray(Image.open(f"{name}.regions.png")).copy()
        regions[8:16, 5:95] = FACE_REGIONS.index("hair")
        save_png(Path(f"{name}.regions.png"), regions)
    done = scm(*edit_command(some_faces.model, "--region", "hair"))
    assert done.code == 0
    assert [line for line in done.errors if "ann: the part goes beyond the square" in line] == done.errors
    changed = (read_photo(Path("ann.png")) != read_photo(done.paths[0])).any(2)
    assert not changed[:, :26].any()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--region", "background"), "--region background: the new background would end at the square"),
        (("--region", "hair", "--pose", "eve.png"), "--keep-size: only an edit in the face's own edges"),
    ],
)
def test_what_cannot_be_put_back_is_refused_before_anything_is_read(
    faces_with_maps: Place, scm: Scm, some_faces: SomeFaces, words: tuple[str, ...], line: str
) -> None:
    Path("eve.png").write_bytes(b"no picture")
    done = scm(*edit_command(some_faces.model, *words))
    assert (done.code, done.paths, len(done.errors)) == (2, [], 1)
    assert line in done.errors[0]
    assert "leave out --keep-size" in done.errors[0]


def test_an_entry_has_no_photo_to_put_the_face_into(place: Place, scm: Scm, some_faces: SomeFaces) -> None:
    words = ("--region", "skin", "--ref", "blue", "--keep-size", "-m", some_faces.model, "--device", "cpu")
    done = scm("edit", "--data", some_faces.data, "--src", "red", *words)
    assert (done.code, len(done.errors)) == (2, 1)
    assert "is not a photo that the result can be put into" in done.errors[0]
    assert "give the face by a photo" in done.errors[0]


def test_a_face_is_not_transferred_into_a_photo(faces_with_maps: Place, scm: Scm, some_faces: SomeFaces) -> None:
    done = scm("transfer", "--src", "ann.png", "--pose", "eve.png", "--keep-size", "-m", some_faces.model)
    assert (done.code, len(done.errors)) == (2, 1)
    assert "not a face that is drawn anew" in done.errors[0]


def test_a_found_face_is_searched_once_and_edited_with_its_long_neck(
    place: Place, scm: Scm, some_faces: SomeFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = with_long_neck(in_photo(a_face(), Window(100, 75, 64, angle=0.2), 200, 220))
    darker = np.where((photo == SKIN).all(2)[..., None], np.uint8([190, 160, 160]), photo)
    save_png(Path("ann.png"), photo)
    save_png(Path("eve.png"), darker)
    parser, calls = clothed_parser(), []

    def counting(image: UInt8Array) -> object:
        calls.append(image)
        return parser(image)

    counting.wide = parser.wide  # type: ignore[attr-defined]
    monkeypatch.setattr("scmnet_cli.cli.edit.load_face_parser", lambda *_: counting)
    done = scm(*edit_command(some_faces.model, "--region", "skin"))
    assert done.code == 0, done.errors
    assert len(calls) == 2
    after = read_photo(done.paths[0])
    changed = (after != photo).any(2)
    assert changed[70:80, 95:105].any()
    assert changed[115:140, 99:103].all()  # the neck, beyond the face's own square
    assert not changed[108:140, 45:60].any()
    assert np.abs(after[115:140, 100].astype(int) - (190, 160, 160)).max() < 12


def test_an_edit_of_no_pixels_is_the_photo() -> None:
    given = framed(ROTATED, noise(150, 200))
    edit = edit_of(given, np.zeros((64, 64), np.float32))
    assert np.array_equal(given.put_back_edit(replace(edit, opacity=edit.area)), given.image)
