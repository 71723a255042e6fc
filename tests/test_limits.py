"""No input under 50 MB takes more than 1.5 GB of memory or 20 seconds; each is measured in its own child process."""

from __future__ import annotations

import io
import resource
import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from costs import GIGABYTE, check, cost_of, cost_of_command
from PIL import Image, ImageOps

from scmnet_cli.analyser.windows import Window
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.images import crop_around, read_label_map, read_photo
from scmnet_cli.inference.animations import animation_rate, is_animation, read_animation
from scmnet_cli.inference.edits.editing import Edit
from scmnet_cli.inference.inputs.demo_people import demo_people
from scmnet_cli.inference.inputs.framed import Framed
from scmnet_cli.inference.inputs.framed_face import FramedFace
from scmnet_cli.types import Canvas, Person


def test_the_cost_of_a_call_is_measured() -> None:
    def work() -> None:
        np.ones(60_000_000).sum()  # 0.45 GiB

    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIGABYTE
    assert cost_of(work).gigabytes > 0.44
    assert cost_of(lambda: None).gigabytes <= own + 0.05
    assert "ZeroDivisionError" in cost_of(lambda: 1 // 0).outcome


def test_the_memory_of_the_suite_does_not_count() -> None:
    """On a machine with one core the suite is one process, which grows beyond every bound."""
    large = np.ones(200_000_000)  # 1.5 GiB
    assert cost_of(lambda: None).gigabytes < 0.6
    assert cost_of(lambda: np.ones(60_000_000).sum()).gigabytes > 0.44
    del large


def photo_of(kind: str, mode: str, size: tuple[int, int], path: Path) -> Path:
    with path.open("wb") as file:
        Image.new(mode, size, 77 if mode in ("L", "I", "F", "P", "I;16") else None).save(file, kind)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["F", "I;16", "I", "RGBA", "CMYK", "RGB", "P"])
def test_a_photo_of_100_megapixels_is_read_in_bounded_memory(mode: str, tmp_path: Path) -> None:
    photo = tmp_path / "a.tif"
    Image.new(mode, (10_000, 10_000)).save(photo, "TIFF", compression="tiff_lzw")
    check(lambda: read_photo(photo), "read")


@pytest.mark.slow
@pytest.mark.parametrize("size", [(60_000, 650), (1, 50_000), (12_000, 600), (65_000, 1500), (1500, 65_000)])
def test_a_panorama_is_cropped_in_bounded_memory(size: tuple[int, int]) -> None:
    width, height = size
    photo = np.zeros((height, width, 3), np.uint8)
    box = crop_around((0, 0, width, height), Canvas(256, 176))

    def crop() -> None:
        for fill in (None, 230):
            assert box.crop_image(photo, fill).shape == (256, 176, 3)
        box.crop_labels(photo[..., 0])

    check(crop, "read")


@pytest.mark.slow
@pytest.mark.parametrize("background", ["plain", "keep"])
def test_a_person_is_put_back_into_the_largest_photo_in_bounded_memory(background: str) -> None:
    height, width = 8_500, 6_100  # --keep-size takes 52 megapixels
    photo, regions = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    photo[:] = 200
    regions[500:8_000, 1_500:4_500] = 5
    crop = crop_around((1_500, 500, 4_500, 8_000), Canvas(256, 176))
    blank = np.zeros((256, 176, 3), np.uint8)
    small = Person("a", blank, blank[..., 0], np.zeros((18, 3), np.float32))
    framed = Framed(replace(small, image=photo, regions=regions), small, crop, background)
    drawn = np.full((256, 176, 3), 230, np.uint8)
    drawn[20:230, 50:120] = (200, 30, 30)
    whole = np.ones((256, 176), np.float32)
    edit = Edit(small, np.ones((256, 176, 3), np.float32), whole, whole)
    check(lambda: framed.put_back(drawn), "read")
    check(lambda: framed.put_back_edit(edit), "read")


@pytest.mark.slow
def test_a_face_is_put_back_into_the_largest_photo_in_bounded_memory() -> None:
    photo = np.full((8_500, 6_100, 3), 200, np.uint8)
    blank = np.zeros((512, 512, 3), np.uint8)
    small = Person("a", blank, blank[..., 0], np.zeros((18, 3), np.float32))
    given = FramedFace(photo, small, Window(3_050, 4_250, 7_000, angle=0.3))
    whole = np.ones((512, 512), np.float32)
    edit = Edit(small, np.full((512, 512, 3), 20, np.float32), whole, whole)
    check(lambda: given.put_back_edit(edit), "read")


@pytest.mark.slow
@pytest.mark.parametrize("size", [(50_000, 1), (1, 50_000), (60_000, 30), (12_000, 600)])
def test_a_strip_is_searched_for_people_in_bounded_memory(size: tuple[int, int], tmp_path: Path) -> None:
    (source := tmp_path / "photos").mkdir()
    shutil.copy(next(iter(demo_people().values())), source)
    Image.effect_noise(size, 60).convert("RGB").save(source / "strip.png")
    cost = cost_of_command("preprocess", str(source), "-o", str(tmp_path / "data"), "--jobs", "1", "--all")
    assert cost.gigabytes < 1.5
    assert cost.seconds < 20


def photo_of_twelve_people(path: Path, **options: Any) -> None:
    """Write a photo of 99.9 megapixels: the shipped people, enlarged, in two rows of six."""
    people = [Image.open(photo).convert("RGB") for photo in demo_people().values()]
    whole = Image.new("RGB", (10_000, 9_990), (205, 205, 200))
    for number in range(12):
        person = people[number % len(people)]
        person = ImageOps.contain(person, (1666, 4995))
        column, row = number % 6, number // 6
        whole.paste(person, (1666 * column + (1666 - person.width) // 2, 4995 * (row + 1) - person.height))
    whole.save(path, **options)
    assert path.stat().st_size < 50_000_000


@pytest.mark.slow
@pytest.mark.parametrize("everybody", [[], ["--all"]], ids=["one person", "all people"])
@pytest.mark.parametrize("name", ["large.jpg", "large.png"])
def test_a_photo_of_100_megapixels_among_small_ones_is_prepared_in_bounded_memory(
    name: str, everybody: list[str], tmp_path: Path
) -> None:
    source = tmp_path / "photos"
    source.mkdir()
    for photo in demo_people().values():
        shutil.copy(photo, source)
    arguments = ["--jobs", "2", *everybody]
    small = cost_of_command("preprocess", str(source), "-o", str(tmp_path / "small"), *arguments)
    photo_of_twelve_people(source / name, **({"quality": 90} if name.endswith("jpg") else {"compress_level": 1}))
    cost = cost_of_command("preprocess", str(source), "-o", str(tmp_path / "data"), *arguments)
    assert len(PreparedFolder(tmp_path / "data").names()) >= len(demo_people()) + (9 if everybody else 1)
    assert cost.gigabytes < 1.5
    assert cost.seconds - small.seconds < 20


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def picture(kind: str, mode: str, size: tuple[int, int] = (8, 8), **options: object) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, kind, **options)
    return stream.getvalue()


def gif_of_comments() -> bytes:
    gif = picture("GIF", "P")
    start = 13 + (3 * (2 << (gif[10] & 7)) if gif[10] & 128 else 0)
    return gif[:start] + b"\x21\xfe" + (b"\xff" + b"a" * 255) * 80_000 + b"\0" + gif[start:]


def png_of_chunks() -> bytes:
    png = picture("PNG", "L")
    return png[:33] + chunk(b"abCd") * 4_000_000 + png[33:]


def jpeg_of_scans() -> bytes:
    jpeg = picture("JPEG", "L", (8000, 8000), progressive=True)
    starts = [n for n in range(len(jpeg) - 1) if jpeg[n] == 0xFF and jpeg[n + 1] in (0xDA, 0xC4)]
    return jpeg[:-2] + jpeg[starts[-2] : -2] * 2000 + jpeg[-2:]


def bmp_of_runs() -> bytes:
    width, height, colours = 5000, 4800, b"".join(bytes([n, n, n, 0]) for n in range(256))
    pixels = (b"\x01\x05" * width + b"\0\0") * height + b"\0\x01"
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(pixels), 2835, 2835, 256, 256)
    start = 14 + 40 + len(colours)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + header + colours + pixels


@pytest.mark.slow
@pytest.mark.parametrize("make", [gif_of_comments, png_of_chunks, jpeg_of_scans, bmp_of_runs])
def test_a_file_that_takes_minutes_to_decode_is_refused_in_seconds(make: Callable[[], bytes], tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(make())
    check(lambda: read_photo(path), "refused")
    check(lambda: read_label_map(path), "refused")


def animated(path: Path, size: tuple[int, int], num: int, **options: Any) -> Path:
    first, *others = (Image.new("L", size, number * 5 % 256) for number in range(num))
    first.save(path, "GIF", save_all=True, append_images=others, **options)
    return path


def test_an_animated_picture_of_large_frames_is_refused(tmp_path: Path) -> None:
    path = animated(tmp_path / "a.gif", (4200, 4200), 2)
    for read in (animation_rate, lambda given: list(read_animation(given))):
        with pytest.raises(ScmError, match=r"a\.gif: 4200x4200 is over 16,800,000 pixels for an animated picture"):
            read(path)
    assert not is_animation(path)


def test_an_animated_picture_that_decodes_for_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = animated(tmp_path / "a.gif", (40, 40), 30)
    assert animation_rate(path)[1] == 30
    monkeypatch.setattr("scmnet_cli.inference.animations._MAX_SECONDS", 0.0)
    with pytest.raises(ScmError, match=r"a\.gif: takes over 0 s to decode; convert it to \.mp4"):
        animation_rate(path)


@pytest.mark.slow
def test_an_animated_picture_of_many_frames_is_refused_in_seconds(tmp_path: Path) -> None:
    path = animated(tmp_path / "a.gif", (4000, 4000), 3)
    content = path.read_bytes()
    frames = content.index(b"\x21\xf9")
    path.write_bytes(content[:frames] + content[frames:-1] * 400 + b";")
    assert path.stat().st_size < 50_000_000
    check(lambda: animation_rate(path), "refused")


def test_a_photo_of_one_million_by_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match="over 65,535 in one"):
        read_photo(photo_of("PNG", "L", (1_000_000, 1), tmp_path / "a.png"))


def test_a_text_of_50_megabytes_in_an_error_is_cut_before_it_is_escaped() -> None:
    check(lambda: ScmError("\x00" * 50_000_000), "read")
    assert len(str(ScmError("a.csv: " + "\ud800" * 10_000_000 + " remove it"))) < 1600
    assert str(ScmError("a.csv: " + "x" * 10_000_000 + " remove it")).startswith("a.csv: xx")
    assert str(ScmError("a.csv: " + "x" * 10_000_000 + " remove it")).endswith("xx remove it")
