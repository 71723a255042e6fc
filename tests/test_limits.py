"""No input under 50 MB takes more than 1.5 GB of memory or 20 seconds; each is measured in its own child process."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageOps

from scmnet_cli.analyser.windows import Window
from scmnet_cli.config import load_config, parse_config
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.files import make_folders, open_to_append, translate_os_errors, write_text
from scmnet_cli.images import crop_around, read_label_map, read_photo
from scmnet_cli.inference.animations import animation_rate, is_animation, read_animation
from scmnet_cli.inference.editing import Edit
from scmnet_cli.inference.inputs.demo_people import demo_people
from scmnet_cli.inference.inputs.framed import Framed
from scmnet_cli.inference.inputs.framed_face import FramedFace
from scmnet_cli.metrics.frechet import FeatureStatistics
from scmnet_cli.sources.keypoints import read_keypoint_table
from scmnet_cli.system.devices import choose_device
from scmnet_cli.system.locks import held
from scmnet_cli.training.tracking import read_stats
from scmnet_cli.types import Canvas, Person

GIGABYTE = 2**30


@dataclass(frozen=True)
class Cost:
    """Cost of a call: CPU time, since the machine may be busy, and the peak memory of its process."""

    outcome: str
    seconds: float
    gigabytes: float


def cost_of(call: Callable[[], object]) -> Cost:
    """Call in a forked child and return what became of it: ``read``, ``refused`` or the error's name."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            call()
            outcome = "read"
        except ScmError as error:
            outcome = "refused" if len(str(error)) < 2000 and str(error).isprintable() else "a line too long"
        except BaseException as error:  # noqa: BLE001 - reported by the parent
            outcome = repr(error)
        os.write(writing, outcome.encode(errors="replace")[:1000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        outcome = file.read().decode(errors="replace")
    _, status, usage = os.wait4(child, 0)
    return Cost(outcome or f"killed by {status}", usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / GIGABYTE)


def check(call: Callable[[], object], outcome: str) -> None:
    cost = cost_of(call)
    assert cost.outcome == outcome
    assert cost.seconds < 20
    assert cost.gigabytes < 1.5


def cost_of_command(*arguments: str) -> Cost:
    """Run ``scm`` in a process of its own; the outcome is what it prints."""
    command = [sys.executable, "-m", "scmnet_cli", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, text
    return Cost(text, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / GIGABYTE)


def test_the_cost_of_a_call_is_measured() -> None:
    def work() -> None:
        np.ones(60_000_000).sum()  # 0.45 GiB

    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIGABYTE
    assert cost_of(work).gigabytes > 0.44
    assert cost_of(lambda: None).gigabytes <= own + 0.05
    assert "ZeroDivisionError" in cost_of(lambda: 1 // 0).outcome


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


# --- configs


def bomb(levels: int = 40) -> str:
    lines = ["model: {size: small}", "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [bomb(), "train: {batch: " + "9" * 50_000 + "}", "train: {batch: 0x" + "f" * 40_000 + "}", "a: [" * 10_000,
     "x: " + "y" * 50_000_000, "train: {batch: " + "1:" * 500 + "1}"],
)  # fmt: skip
def test_a_yaml_bomb_is_refused_in_a_second(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    cost = cost_of(lambda: load_config(str(path)))
    assert cost.outcome == "refused"
    assert cost.seconds < 3
    assert cost.gigabytes < 1.5  # the forked child starts with the memory of the whole suite


@pytest.mark.parametrize(
    "value", ["[&a [x], *a]", "9" * 50_000, "0x" + "f" * 50_000, "[" * 10_000, "{a: &a [*a]}", "1e999", "&a [*a]"]
)
def test_a_setting_that_is_a_bomb_is_refused(value: str) -> None:
    cost = cost_of(lambda: load_config("smoke", [f"train.batch={value}"]))
    assert cost.outcome == "refused"
    assert cost.seconds < 3


def test_a_recursive_value_is_refused_without_expansion() -> None:
    values = yaml.safe_load("model: {height: &a [1, *a]}")
    with pytest.raises(ScmError, match="height"):
        parse_config(values, "config a.yaml")


@pytest.mark.parametrize(
    "setting", ["model.height=1e9", "model.width=1000000000", "train.batch=10000000000000000000000"]
)
def test_an_implausible_size_is_refused(setting: str) -> None:
    with pytest.raises(ScmError, match=setting.partition("=")[0].replace(".", r"\.")):
        load_config("smoke", [setting])


def test_a_device_without_values_is_refused() -> None:
    with pytest.raises(ScmError, match=r"--device meta: cannot be used here"):
        choose_device("meta")


# --- own files, damaged


@pytest.mark.parametrize(
    "line",
    [b"\xff\xfe", b"[1]", b"{}", b'{"images": -1}', b'{"images": "many"}', b'{"images": 1, "loss": "x"}',
     b'{"images": ' + b"9" * 5000 + b"}", b'{"images": 1, "a": {}}',
     b"null", b"[" * 5000, b'{"images": 1, "\\ud800": 1}'],
)  # fmt: skip
def test_a_damaged_line_of_stats_is_an_error_with_file_line_and_remedy(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "stats.jsonl").write_bytes(b'{"images": 4, "loss": 0.5, "x": null}\n' + line + b"\n")
    with pytest.raises(ScmError, match=r"stats\.jsonl, line 2: .*delete that line or the file"):
        read_stats(tmp_path)


def test_an_incomplete_last_line_of_stats_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "stats.jsonl").write_bytes(b'{"images": 4, "loss": 0.5, "x": null}\n{"images": 8, "lo')
    assert read_stats(tmp_path) == [{"images": 4, "loss": 0.5, "x": None}]


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + bytes(18), b"x" * 1000])
def test_damaged_statistics_in_the_cache_are_an_error_with_the_remedy(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ScmError, match=r"a\.npz: is damaged .*delete it, it is a cache"):
        FeatureStatistics.read(tmp_path / "a.npz")


def test_statistics_of_wrong_shapes_or_compressed_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    good = {"count": 4, "sum": np.zeros(3), "products": np.zeros((3, 3))}
    for bad in (
        {"products": np.zeros((3, 2))},
        {"sum": np.zeros(3, np.float32)},
        {"count": -1},
        {"sum": np.full(3, np.nan)},
    ):
        np.savez(path, **{**good, **bad})  # type: ignore[arg-type]
        with pytest.raises(ScmError, match="delete it"):
            FeatureStatistics.read(path)
    np.savez_compressed(path, **{**good, "sum": np.zeros(100_000)})  # type: ignore[arg-type]
    with pytest.raises(ScmError, match="its members are compressed"):
        FeatureStatistics.read(path)
    np.savez(path, **good)  # type: ignore[arg-type]
    assert FeatureStatistics.read(path).count == 4


def test_a_table_of_millions_of_short_rows_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "joints.csv"
    path.write_bytes(b"name\n" + b"ab\n" * 16_000_000)
    check(lambda: read_keypoint_table(path), "refused")


# --- disks and links


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "precious.txt"
    path.parent.mkdir()
    path.write_text("precious", encoding="utf-8")
    return path


def test_a_file_is_never_written_through_a_link(tmp_path: Path, target: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("manifest.json", ".manifest.json.partial", "journal.jsonl", ".lock"):
        (folder / name).symlink_to(target)
    write_text(folder / "manifest.json", "{}")
    assert not (folder / "manifest.json").is_symlink()
    with pytest.raises(ScmError, match=r"journal\.jsonl: is a link"), translate_os_errors(folder):
        open_to_append(folder / "journal.jsonl")
    with pytest.raises(ScmError, match=r"\.lock: is a link"), held(folder / ".lock", "taken"):
        pass
    assert target.read_text(encoding="utf-8") == "precious"
    assert list(target.parent.iterdir()) == [target]


def test_a_folder_that_leads_elsewhere_is_refused(tmp_path: Path, target: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "images").symlink_to(target.parent)
    with pytest.raises(ScmError, match="images: is a link that leads out of"):
        make_folders(folder, "images", "regions")


def test_a_full_disk_is_an_error_that_says_how_to_continue(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match=r"the disk is full .*run the same command again"), translate_os_errors(tmp_path):
        Path("/dev/full").write_bytes(b"x")


def test_a_failed_write_keeps_the_existing_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    resource_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource_limit[1]))
    try:
        with pytest.raises(ScmError, match=r"a\.txt: cannot be written \(File too large\)"):
            write_text(path, "x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, resource_limit)
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_manifest_is_an_error_with_value_and_remedy(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"version": 1, "height": -5}), encoding="utf-8")
    with pytest.raises(ScmError, match=r"manifest\.json: is damaged or of another program .*prepare the folder again"):
        PreparedFolder(tmp_path)
