"""``scm preprocess`` on large folders: no finished work is lost, and a report lists every photo."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from rich.console import Console

from scmnet_cli.analyser.analysis import Analysis
from scmnet_cli.analyser.in_torch import InTorch
from scmnet_cli.analyser.network import AnalyserNet
from scmnet_cli.analyser.people import Analyser
from scmnet_cli.analyser.subjects import PEOPLE
from scmnet_cli.cli import progress
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.images import CropBox, save_png
from scmnet_cli.preprocess import prepare as prepare_module
from scmnet_cli.preprocess import report
from scmnet_cli.preprocess.photos import PhotoSource
from scmnet_cli.preprocess.prepare import prepare, prepare_share
from scmnet_cli.preprocess.report import write_report
from scmnet_cli.system.processes import Rank
from scmnet_cli.types import Canvas, UInt8Array

if TYPE_CHECKING:
    from conftest import Scm

CANVAS = Canvas(64, 48)
NUM = 12


class Quick(Analyser):
    """Analyser stub: a person covers every photo that is not black."""

    def __init__(self) -> None:
        self.sha256 = "0" * 64

    def __call__(self, image: UInt8Array | Image.Image) -> Analysis:
        height, width = np.asarray(image).shape[:2]
        probabilities = np.zeros((8, 12, 8), np.float32)
        probabilities[5] = 1
        joints = np.tile(np.array([width / 2, height / 2, 1], np.float32), (18, 1))
        crop = CropBox(0, 0, width, height, Canvas(24, 16))
        return Analysis(float(np.asarray(image).any()), joints, probabilities, crop, np.asarray(image))


@pytest.fixture
def photos(tmp_path: Path, drawn_source: Path) -> Path:
    """Twelve photos."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(NUM):
        shutil.copy(drawn_source / f"drawn_{number:04d}.png", folder / f"{number:02d}.png")
    return folder


def run(photos: Path, out: Path, jobs: int = 2) -> Any:
    return prepare(PhotoSource(photos, Quick()), out, CANVAS, jobs=jobs)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# interruptions


def test_preprocessing_resumes_after_kill_9_with_the_same_result(photos: Path, tmp_path: Path) -> None:
    script = f"""
        import os, signal, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from pathlib import Path
        from test_large_folders import CANVAS, Quick
        from scmnet_cli.preprocess.photos import PhotoSource
        from scmnet_cli.preprocess.prepare import prepare

        def progress(done, total):
            if done == 5:
                os.kill(os.getpid(), signal.SIGKILL)

        source = PhotoSource(Path({str(photos)!r}), Quick())
        prepare(source, Path({str(tmp_path / "killed")!r}), CANVAS, jobs=2, progress=progress)
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert process.returncode == -signal.SIGKILL
    assert run(photos, tmp_path / "killed").num_new == NUM - 5
    run(photos, tmp_path / "whole")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_shares_prepared_one_by_one_equal_one_run(photos: Path, tmp_path: Path) -> None:
    save_png(photos / "00.png", np.zeros((20, 20, 3), np.uint8))
    made = [
        prepare_share(PhotoSource(photos, Quick()), tmp_path / "shares", CANVAS, "plain", None, 1, None, Rank(index, 3))
        for index in (2, 0, 1)
    ]
    assert made == [4, 3, 4]
    assert run(photos, tmp_path / "shares").num_new == 0
    assert run(photos, tmp_path / "whole").num_new == NUM - 1
    own = {"journal.jsonl"}  # in the order in which things were made
    shares, whole = (
        {name: data for name, data in contents(tmp_path / folder).items() if name not in own and ".lock" not in name}
        for folder in ("shares", "whole")
    )
    assert shares == whole


class FullDisk:
    """Allow a number of pictures to be written, then report a full disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, num: int) -> None:
        self.left = num
        save = Image.Image.save

        def limited(image: Image.Image, file: Any, *given: Any, **settings: Any) -> None:
            self.left -= 1
            if self.left < 0:
                file.write(b"half a picture")
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            save(image, file, *given, **settings)

        monkeypatch.setattr(Image.Image, "save", limited)


def test_a_full_disk_is_a_one_line_error_and_the_next_run_resumes(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        FullDisk(patch, 9)
        with pytest.raises(
            ScmError, match=r"data: the disk is full \(No space left on device\); finished work is kept"
        ) as caught:
            run(photos, tmp_path / "data", jobs=1)
    assert "\n" not in str(caught.value)
    left = contents(tmp_path / "data")
    assert not [name for name in left if Path(name).name.startswith(".") and not name.startswith(".lock")]
    assert "manifest.json" not in left
    assert run(photos, tmp_path / "data").num_new == NUM - 4  # two pictures per person
    run(photos, tmp_path / "whole")
    assert contents(tmp_path / "data") == contents(tmp_path / "whole")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_too_full_for_the_journal_is_a_one_line_error(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(prepare_module, "open_to_append", lambda _: open("/dev/full", "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        with pytest.raises(ScmError, match="the disk is full"):
            run(photos, tmp_path / "data", jobs=1)
    assert run(photos, tmp_path / "data").num_usable == NUM
    run(photos, tmp_path / "whole")
    assert contents(tmp_path / "data") == contents(tmp_path / "whole")


def test_the_command_ends_with_2_on_a_full_disk(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scm: Scm
) -> None:
    monkeypatch.setattr(Analyser, "load", lambda **_: Quick())
    command = ("preprocess", photos, "-o", tmp_path / "data", "--canvas", "64x48", "--jobs", "1")
    with monkeypatch.context() as patch:
        FullDisk(patch, 9)
        done = scm(*command)
    assert done.code == 2
    (line,) = done.errors
    assert "the disk is full" in line
    assert scm(*command).code == 0
    assert len(PreparedFolder(tmp_path / "data").names()) == NUM


# files as they are found


def spoil(photos: Path) -> dict[str, str]:
    """Write files that are not photos; return the expected reason by file name."""
    (photos / "empty.jpg").touch()
    (photos / "folder.jpg").mkdir()
    (photos / "text.jpg").write_text("<html>not found</html>")
    whole = (photos / "03.png").read_bytes()
    (photos / "half.png").write_bytes(whole[: len(whole) // 2])
    header = b"IHDR" + struct.pack(">IIBBBBB", 11000, 10000, 8, 2, 0, 0, 0)
    (photos / "huge.png").write_bytes(whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:])
    (photos / "gone.jpg").symlink_to(photos / "nowhere.jpg")
    outside = photos.parent / "secret.png"
    save_png(outside, np.full((30, 30, 3), 7, np.uint8))
    (photos / "outside.png").symlink_to(outside)
    save_png(photos / "nobody <i>.png", np.zeros((20, 20, 3), np.uint8))
    save_png(photos / "nobody 2.png", np.zeros((30, 20, 3), np.uint8))
    return {
        "empty": "the file is empty", "folder": "is not a file", "text": "it is not one of JPEG",
        "half": "cannot be read as a picture", "huge": "11000x10000 is over 100,000,000 pixels",
        "gone": "no such file", "outside": "leads out of", "nobody_<i>": "no person found",
        "nobody_2": "no person found",
    }  # fmt: skip


def test_unusable_files_are_reported_by_name_and_all_other_photos_are_prepared(photos: Path, tmp_path: Path) -> None:
    said = spoil(photos)
    Image.open(photos / "05.png").save(photos / "really a jpeg.png", "JPEG")
    (photos / "notes.txt").write_text("no photo at all")
    os.mkfifo(photos / "pipe.jpg")
    outcome = run(photos, tmp_path / "data")
    assert outcome.num_usable == NUM + 1
    assert "really_a_jpeg" in PreparedFolder(tmp_path / "data").names()
    assert set(outcome.left_out) == {*said, "pipe"}
    for name, reason in said.items():
        assert reason in outcome.left_out[name]
        assert "\n" not in outcome.left_out[name]


def test_a_photo_that_vanishes_or_becomes_unreadable_is_skipped(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(source: PhotoSource, name: str) -> Any:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(photos / f"{name}.png"))

    source = PhotoSource(photos, Quick())
    real = source.read
    monkeypatch.setattr(source, "read", lambda name: read(source, name) if name == "04" else real(name))
    outcome = prepare(source, tmp_path / "data", CANVAS, jobs=2)
    assert outcome.num_usable == NUM - 1
    assert re.fullmatch(r"cannot be read \(.*Permission denied.*04\.png'\)", outcome.left_out["04"])


# the report


class _Page(HTMLParser):
    """Contents of an HTML page: rows of text and pictures, and all it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[str] = []
        self.pictures_in_row: list[int] = []
        self.fetched: list[str] = []
        self.num_pictures = 0
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append("")
            self.pictures_in_row.append(0)
        for name, value in attrs:
            if name in ("src", "href") and not (value or "").startswith("data:image/jpeg;base64,"):
                self.fetched.append(f"{tag} {value}")
        if tag == "img":
            self.num_pictures += 1
            if self.rows:
                self.pictures_in_row[-1] += 1

    def handle_data(self, data: str) -> None:
        if self.rows:
            self.rows[-1] += f" {data.strip()}"


def test_the_report_shows_people_and_every_skipped_photo_with_picture_and_reason(photos: Path, tmp_path: Path) -> None:
    said = spoil(photos)
    source = PhotoSource(photos, Quick())
    outcome = prepare(source, tmp_path / "data", CANVAS, jobs=2)
    file = tmp_path / "report.html"
    write_report(file, source, PreparedFolder(tmp_path / "data"), num=5)
    text = file.read_text()
    page = _Page(text)
    assert not page.fetched  # it needs nothing beside it
    assert not page.tags & {"script", "i", "link"}
    files = {name: source.photo(name).name for name in said}
    rows = {name: next(row for row in page.rows if f" {file}" in row) for name, file in files.items()}
    for name, reason in said.items():
        assert reason in rows[name]
        with_picture = page.pictures_in_row[page.rows.index(rows[name])]
        assert with_picture == (name.startswith("nobody")), name  # no thumbnail of a file outside the folder
    assert page.num_pictures == 5 * 4 + 2
    for kind in ("no person found in the photo 2", "cannot be read as a picture 3", "leads out of … 1"):
        assert kind in [row.strip() for row in page.rows]
    assert f" usable {outcome.num_usable}" in page.rows
    assert f" left out {len(said)}" in page.rows
    assert f" nose {NUM} 100.0%" in page.rows
    write_report(tmp_path / "again.html", source, PreparedFolder(tmp_path / "data"), num=5)
    assert (tmp_path / "again.html").read_bytes() == file.read_bytes()


def test_a_report_with_many_skipped_photos_shows_the_first_and_lists_all(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        save_png(photos / f"black{number}.png", np.zeros((20, 20 + number, 3), np.uint8))
    source = PhotoSource(photos, Quick())
    prepare(source, tmp_path / "data", CANVAS, jobs=2)
    monkeypatch.setattr(report, "MOST_THUMBNAILS", 2)
    write_report(tmp_path / "report.html", source, PreparedFolder(tmp_path / "data"), num=1)
    page = _Page((tmp_path / "report.html").read_text())
    assert page.num_pictures == 4 + 2
    assert sum("black" in row for row in page.rows) == 6


def test_the_command_writes_the_report_into_the_folder_or_to_the_given_path(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scm: Scm
) -> None:
    monkeypatch.setattr(Analyser, "load", lambda **_: Quick())
    command = ("preprocess", photos, "-o", tmp_path / "data", "--canvas", "64x48")
    assert scm(*command).code == 0
    there = (tmp_path / "data" / "report.html").read_bytes()
    assert scm(*command, "--report", tmp_path / "mine.html").code == 0
    assert (tmp_path / "mine.html").read_bytes() == there
    assert scm(*command, "--report", tmp_path / "nowhere" / "mine.html").code == 2
    assert PreparedFolder(tmp_path / "data").names()


# batches


@pytest.fixture(scope="module")
def pictures() -> list[UInt8Array]:
    astronaut = np.asarray(Image.fromarray(skimage.data.astronaut()).resize((200, 200)))
    return [astronaut, astronaut[:, ::-1].copy(), astronaut[:150, 20:140].copy()]


def test_requests_of_many_threads_are_batched_with_the_same_results(pictures: list[UInt8Array]) -> None:
    alone = Analyser.load(bfloat16=False)
    net = PEOPLE.build()
    net.load_state_dict(_state_of_the_shipped(), strict=True)
    network = InTorch(net, batch=4)
    together = Analyser(network)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(together, pictures))
    assert network.batches is not None
    assert network.batches.largest > 1
    for picture, one in zip(pictures, found, strict=True):
        expected = alone(picture)
        assert one.person == pytest.approx(expected.person, abs=1e-3)
        assert one.crop == expected.crop
        np.testing.assert_allclose(one.joints, expected.joints, atol=0.05)
        np.testing.assert_allclose(one.probabilities, expected.probabilities, atol=1e-3)


def _state_of_the_shipped() -> dict[str, torch.Tensor]:
    from scmnet_cli.analyser.people import SHIPPED
    from scmnet_cli.analyser.subjects import read_weights

    net = PEOPLE.build()
    read_weights(SHIPPED, net)
    return net.state_dict()


def test_a_failure_in_a_batch_reaches_every_caller() -> None:
    network = InTorch(AnalyserNet(), batch=4)
    with pytest.raises(RuntimeError, match=r"size|shape|channels"):
        network(np.zeros((5, 64, 64), np.float32))
    assert network(np.zeros((3, 64, 64), np.float32)).visible.shape == (18,)


# progress


def test_progress_in_a_log_is_an_occasional_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    times: Iterator[float] = iter([0.0, 10.0, 40.0, 41.0, 100.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    console = Console(stderr=True, force_terminal=False, width=100)
    with progress.Bars(console=console, transient=True, get_time=lambda: 0.0) as bars:
        for done in (0, 100, 400, 410, 1000):
            bars.count("preparing", done, 10000)
    lines = [line for line in capfd.readouterr().err.splitlines() if line.strip()]
    assert lines == ["preparing: 400 of 10,000, 0:16:00 left", "preparing: 1,000 of 10,000, 0:15:00 left"]
