"""``scm preprocess``: usable people are prepared, the others are reported in one line each, and no work is lost."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from scmnet_cli.cli.preprocess import Background, Layout, read_canvas
from scmnet_cli.data.cropping import crop_person
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.images import PLAIN_GREY, CropBox, read_label_map, read_photo, save_png
from scmnet_cli.preprocess.budget import PixelBudget
from scmnet_cli.preprocess.layouts import LAYOUTS, open_source
from scmnet_cli.preprocess.prepare import BACKGROUNDS, Prepared, prepare
from scmnet_cli.preprocess.sheet import draw_sheet
from scmnet_cli.sources.drawn import draw_person
from scmnet_cli.sources.folder import FolderSource
from scmnet_cli.types import Canvas

if TYPE_CHECKING:
    from conftest import Scm

CANVAS = Canvas(64, 48)


@pytest.fixture
def source(drawn_source: Path, tmp_path: Path) -> Path:
    """Twelve drawn people that a test may damage."""
    return Path(shutil.copytree(drawn_source, tmp_path / "people"))


def run(source: Path, out: Path, limit: int | None = None, jobs: int = 2, background: str = "plain") -> Prepared:
    return prepare(FolderSource(source), out, CANVAS, background, limit, jobs)


@pytest.mark.parametrize("box", [None, CropBox(-30, 20, 90, 120, CANVAS), CropBox(150, 5, 20, 30, CANVAS)])
def test_a_plain_crop_equals_the_crop_of_a_photo_that_is_painted_as_a_whole(
    box: CropBox | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scmnet_cli.data.cropping._STRIP_PIXELS", 700)
    person = draw_person(3)
    whole = person.image.copy()
    whole[person.regions == 0] = PLAIN_GREY
    cropped, used = crop_person(person, CANVAS, "plain", box)
    assert np.array_equal(cropped.image, used.crop_image(whole, PLAIN_GREY))


def test_large_photos_are_read_one_after_the_other_and_small_ones_together(tmp_path: Path) -> None:
    large, small = tmp_path / "large.png", tmp_path / "small.png"
    Image.new("1", (9000, 9000)).save(large)
    Image.new("1", (100, 100)).save(small)
    budget, order = PixelBudget(2), []

    def read(photo: Path) -> None:
        with budget.held(photo):
            order.append(photo.stem)

    with budget.held(large), budget.held(tmp_path / "absent.png"):
        waiting = threading.Thread(target=read, args=[large])
        waiting.start()
        read(small)
        waiting.join(0.1)
        assert order == ["small"]
    waiting.join(10)
    assert order == ["small", "large"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_person_is_prepared_and_every_tenth_is_val(drawn_data: Path) -> None:
    data = PreparedFolder(drawn_data)
    names = [f"drawn_{number:04d}" for number in range(12)]
    assert data.names() == names
    assert data.names("val") == [names[9]]
    assert data.names("train") == [*names[:9], *names[10:]]
    assert data.manifest.counts == {"usable": 12, "left_out": 0, "train": 11, "val": 1}
    assert data.manifest.layout == "folder"


def test_images_regions_and_joints_match_on_the_canvas(drawn_data: Path) -> None:
    data = PreparedFolder(drawn_data)
    for name in data.names():
        person, original = data.load(name), draw_person(int(name[-4:]))
        assert person.canvas == CANVAS
        y, x = np.nonzero(person.regions)
        assert min(y.min(), x.min()) >= 1  # free space all around
        assert y.max() <= 62
        assert x.max() <= 46
        for (at_x, at_y, score), there in zip(person.joints, original.joints, strict=True):
            assert score == there[2]
            if score:
                rows = slice(max(0, round(at_y) - 2), round(at_y) + 3)
                assert person.regions[rows, max(0, round(at_x) - 2) : round(at_x) + 3].any(), name
        back = data.entry(name).crop.to_original(person.joints[:, :2])
        known = person.joints[:, 2] > 0
        assert np.allclose(back[known], original.joints[known, :2], atol=0.02)
        assert data.entry(name).photo_size == original.image.shape[1::-1]


def test_a_plain_background_is_light_grey_and_a_kept_one_is_unchanged(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "plain", limit=2)
    run(source, tmp_path / "keep", limit=2, background="keep")
    plain, keep = PreparedFolder(tmp_path / "plain"), PreparedFolder(tmp_path / "keep")
    assert (plain.manifest.background, keep.manifest.background) == ("plain", "keep")
    for name in plain.names():
        one, other = plain.load(name), keep.load(name)
        assert np.array_equal(one.regions, other.regions)
        assert np.array_equal(one.joints, other.joints)
        assert (one.image[0] == 230).all()
        assert not (other.image[0] == 230).all()
        inside = np.zeros_like(one.regions, bool)  # far from the background nothing differs
        for y in range(4, 60):
            for x in range(4, 44):
                inside[y, x] = (one.regions[y - 4 : y + 5, x - 4 : x + 5] > 0).all()
        assert inside.any()
        assert np.array_equal(one.image[inside], other.image[inside])


def cut_short(people: Path) -> None:
    path = people / "drawn_0000.png"
    path.write_bytes(path.read_bytes()[:3000])


def map_of_another_size(people: Path) -> None:
    save_png(people / "regions" / "drawn_0001.png", np.ones((20, 20), np.uint8))


def id_out_of_range(people: Path) -> None:
    path = people / "regions" / "drawn_0002.png"
    labels = read_label_map(path).copy()
    labels[0, 0] = 12
    save_png(path, labels)


def no_map(people: Path) -> None:
    (people / "regions" / "drawn_0003.png").unlink()


def photo_leads_out(people: Path) -> None:
    outside = people.parent / "outside.png"
    (people / "drawn_0004.png").rename(outside)
    (people / "drawn_0004.png").symlink_to(outside)


def map_leads_out(people: Path) -> None:
    outside = people.parent / "outside_map.png"
    (people / "regions" / "drawn_0005.png").rename(outside)
    (people / "regions" / "drawn_0005.png").symlink_to(outside)


def links_in_a_circle(people: Path) -> None:
    path = people / "regions" / "drawn_0005.png"
    path.unlink()
    path.symlink_to(path)


def same_picture(people: Path) -> None:
    (people / "drawn_0006.png").write_bytes((people / "drawn_0005.png").read_bytes())
    (people / "regions" / "drawn_0006.png").write_bytes((people / "regions" / "drawn_0005.png").read_bytes())


def same_name(people: Path) -> None:
    Image.fromarray(read_photo(people / "drawn_0007.png")).save(people / "drawn_0007.jpg")


def hostile_name(people: Path) -> None:
    (people / "drawn_0008.png").rename(people / "drawn 0008.png")


def all_background(people: Path) -> None:
    path = people / "regions" / "drawn_0009.png"
    save_png(path, np.zeros_like(read_label_map(path)))


def edit_table(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    def apply(people: Path) -> None:
        path = people / "joints.csv"
        path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")

    return apply


@pytest.mark.parametrize(
    ("spoil", "name", "reason"),
    [
        (cut_short, "drawn_0000", "cannot be read as a picture"),
        (map_of_another_size, "drawn_0001", "is 20x20, the photo is 320x224"),
        (id_out_of_range, "drawn_0002", "holds id 12, beyond 0-7"),
        (no_map, "drawn_0003", "no such file"),
        (photo_leads_out, "drawn_0004", "leads out of"),
        (map_leads_out, "drawn_0005", "leads out of"),
        (links_in_a_circle, "drawn_0005", "cannot be resolved|no such file"),
        (same_picture, "drawn_0006", "is the same picture as 'drawn_0005'"),
        (same_name, "drawn_0007", r"several photos have this name \(drawn_0007.jpg, drawn_0007.png\)"),
        (hostile_name, "drawn 0008", "cannot be a file name here"),
        (all_background, "drawn_0009", "is all background"),
        (edit_table(lambda lines: [line for line in lines if "_0010" not in line]), "drawn_0010", "no row 'drawn_0010"),
        (edit_table(lambda lines: [*lines, lines[-1]]), "drawn_0011", "line 14: 'drawn_0011' is repeated"),
        (edit_table(lambda lines: [*lines[:-1], lines[-1][:60]]), "drawn_0011", r"line 13 \('drawn_0011'\)"),
        (edit_table(lambda lines: [*lines[:-1], "drawn_0011" + ",0" * 54]), "drawn_0011", "no joint is known"),
        (edit_table(lambda lines: [*lines[:-1], "drawn_0011" + ",nan" * 54]), "drawn_0011", "no joint is known"),
        (edit_table(lambda lines: [*lines[:-1], "drawn_0011" + ",1e9" * 54]), "drawn_0011", "not a pixel"),
    ],
)  # fmt: skip
def test_unusable_people_are_reported_in_one_line_and_all_others_are_prepared(
    source: Path, tmp_path: Path, spoil: Callable[[Path], None], name: str, reason: str
) -> None:
    spoil(source)
    outcome = run(source, tmp_path / "data")
    data = PreparedFolder(tmp_path / "data")
    assert outcome.left_out == data.manifest.left_out
    ((left_out, why),) = outcome.left_out.items()
    assert left_out == name
    assert "\n" not in why
    assert re.search(reason, why)
    assert len(data.names()) == outcome.num_usable == 11
    assert name not in data.names()
    assert data.names("val") == [data.names()[9]]
    for kept in data.names():
        data.load(kept)


def test_the_split_does_not_depend_on_limit_or_interruptions(source: Path, tmp_path: Path) -> None:
    cut_short(source)
    whole = run(source, tmp_path / "whole", jobs=4)
    run(source, tmp_path / "parts", limit=3, jobs=1)
    first = PreparedFolder(tmp_path / "parts")
    assert first.names("train") == ["drawn_0001", "drawn_0002", "drawn_0003"]
    assert first.names("val") == []
    limited = run(source, tmp_path / "parts", limit=10)
    assert PreparedFolder(tmp_path / "parts").names("val") == ["drawn_0010"] == PreparedFolder(whole.path).names("val")
    assert limited.num_new == 7
    run(source, tmp_path / "parts")
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_a_second_run_prepares_only_missing_or_changed_people(source: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert run(source, data).num_new == 12
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*.png")}
    assert run(source, data).num_new == 0
    (data / "regions" / "drawn_0003.png").unlink()
    save_png(source / "drawn_0004.png", read_photo(source / "drawn_0004.png")[:, ::-1].copy())
    assert run(source, data).num_new == 2
    after = {path: path.stat().st_mtime_ns for path in data.rglob("*.png")}
    assert after.keys() == before.keys()
    assert {path.stem for path in after if after[path] != before[path]} == {"drawn_0003", "drawn_0004"}


def test_after_kill_9_the_same_command_resumes_with_the_same_result(source: Path, tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    script = f"""
        import os, signal
        from pathlib import Path
        from scmnet_cli.sources.folder import FolderSource
        from scmnet_cli.preprocess.prepare import prepare
        from scmnet_cli.types import Canvas

        def progress(done, total):
            if done == 5:
                os.kill(os.getpid(), signal.SIGKILL)

        prepare(FolderSource(Path({str(source)!r})), Path({str(killed)!r}), Canvas(64, 48), jobs=2, progress=progress)
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(ScmError, match=r"no manifest\.json"):
        PreparedFolder(killed)
    with (killed / "journal.jsonl").open("a") as journal:
        journal.write('{"name": "drawn_0005", "stam')  # a line cut by a kill
    (killed / "images" / ".drawn_0006.png.abc").write_bytes(b"half a picture")
    assert run(source, killed).num_new == 7
    run(source, whole)
    assert contents(killed) == contents(whole)


def test_the_report_does_not_depend_on_the_names_of_the_folders(source: Path, tmp_path: Path, scm: Scm) -> None:
    (source / "regions" / "drawn_0003.png").write_bytes(b"damaged")
    (source / "drawn_0004.png").write_bytes(b"damaged")
    (source / "raw.cr2").write_bytes(b"a camera's")
    shutil.copytree(source, tmp_path / "elsewhere" / "others")
    reports = []
    for place, out in ((source, "a"), (tmp_path / "elsewhere" / "others", "b")):
        assert scm("preprocess", str(place), "-o", str(tmp_path / "made" / out), "--jobs", "1").code == 0
        reports.append((tmp_path / "made" / out / "report.html").read_bytes())
    assert reports[0] == reports[1]
    assert b"SRC/regions/drawn_0003.png" in reports[0]


def test_a_folder_prepared_with_other_settings_is_refused_with_the_difference(source: Path, tmp_path: Path) -> None:
    run(source, tmp_path / "data", limit=1)
    with pytest.raises(ScmError, match=r"was prepared with other settings.*background plain -> keep"):
        run(source, tmp_path / "data", background="keep")
    with pytest.raises(ScmError, match=r"was prepared with other settings.*height 64 -> 128, width 48 -> 96"):
        prepare(FolderSource(source), tmp_path / "data", Canvas(128, 96))


def test_a_folder_of_another_program_is_not_written_to(source: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    for out in (tmp_path / "mine", tmp_path / "mine" / "thesis.txt", source):
        before = contents(tmp_path)
        with pytest.raises(ScmError, match="was not made by 'scm preprocess'"):
            run(source, out)
        assert contents(tmp_path) == before


def test_no_usable_person_is_an_error_with_the_first_reason(source: Path, tmp_path: Path) -> None:
    shutil.rmtree(source / "regions")
    with pytest.raises(ScmError, match=r"no person is usable; all 12 were left out, 'drawn_0000' because: .*no such"):
        run(source, tmp_path / "data")


def test_photos_may_be_in_images_and_joints_in_the_benchmarks_format(source: Path, tmp_path: Path) -> None:
    expected = PreparedFolder(run(source, tmp_path / "one", limit=2).path)
    (source / "images").mkdir()
    lines = ["name:keypoints_y:keypoints_x"]
    for name in expected.names():
        (source / f"{name}.png").rename(source / "images" / f"{name}.png")
        joints = draw_person(int(name[-4:])).joints
        x, y = ([round(float(v)) if s else -1 for v, s in zip(joints[:, i], joints[:, 2], strict=True)] for i in (0, 1))
        lines.append(f"{name}.png: {y}:{x}")
    (source / "joints.csv").unlink()
    (source / "keypoints.csv").write_text("\n".join(lines))
    found = PreparedFolder(run(source, tmp_path / "two", limit=2).path)
    for name in expected.names():
        assert np.allclose(found.load(name).joints, expected.load(name).joints, atol=0.6 * 64 / 200)
        assert np.array_equal(found.load(name).image, expected.load(name).image)
        assert found.entry(name).photo == f"images/{name}.png"


def test_a_folder_without_photos_or_joints_is_refused_with_the_remedy(source: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScmError, match="holds no photos"):
        open_source("folder", tmp_path / "empty")
    (source / "joints.csv").rename(tmp_path / "elsewhere.csv")
    with pytest.raises(ScmError, match=r"joints\.csv: no such file.*--joints FILE"):
        open_source("folder", source)
    assert len(open_source("folder", source, joints=tmp_path / "elsewhere.csv").names()) == 12
    with pytest.raises(ScmError, match="no such folder"):
        open_source("folder", tmp_path / "absent")
    with pytest.raises(ScmError, match="does not have the layout of Clothing Co-Parsing"):
        open_source("ccp", source)


def test_the_sheet_shows_photo_image_regions_and_skeleton_of_each_person(drawn_source: Path, drawn_data: Path) -> None:
    data = PreparedFolder(drawn_data)
    sheet = draw_sheet(FolderSource(drawn_source), data, num=3)
    assert sheet.shape[1] > 2 * (45 + 3 * 48)
    assert sheet.shape[0] > 2 * 64
    first = data.load(data.names()[0]).image
    windows = np.lib.stride_tricks.sliding_window_view(sheet[:100, :150], first.shape[:2], axis=(0, 1))
    assert (windows.transpose(0, 1, 3, 4, 2) == first).all(axis=(2, 3, 4)).any()


def scm_lines(capfd: pytest.CaptureFixture[str]) -> tuple[list[str], list[str]]:
    out, err = capfd.readouterr()
    return out.splitlines(), err.splitlines()


def test_the_command_reports_prepared_and_skipped_people(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from scmnet_cli.cli.main import main

    cut_short(source)
    monkeypatch.chdir(tmp_path)
    command = ["preprocess", "people", "-o", "data", "--layout", "folder", "--canvas", "64x48"]
    command += ["--limit", "3", "--sheet"]
    with pytest.raises(SystemExit) as caught:
        main(command)
    assert not caught.value.code
    out, err = scm_lines(capfd)
    assert out == ["3 people (3 train, 0 val; 3 new), 1 left out: data"]
    assert [line for line in err if line.startswith("left out drawn_0000: ")]
    assert read_photo(tmp_path / "data" / "sheet.png").shape[0] > 64
    with pytest.raises(SystemExit):
        main(command)
    assert scm_lines(capfd)[0] == ["3 people (3 train, 0 val; 0 new), 1 left out: data"]


@pytest.mark.parametrize("text", ["256", "256x", "axb", "100x48", "8x8", "256x176x3", "-64x48", "99999x64"])
def test_an_invalid_canvas_is_refused(text: str) -> None:
    with pytest.raises(ScmError, match=f"--canvas {text}: "):
        read_canvas(text)


def test_a_canvas_is_height_times_width() -> None:
    assert read_canvas("256x176") == Canvas(256, 176)


def test_the_command_offers_every_layout_and_background() -> None:
    assert [layout.value for layout in Layout] == list(LAYOUTS)
    assert [background.value for background in Background] == list(BACKGROUNDS)


def test_a_row_of_joints_that_leads_out_of_the_folder_is_reported_and_not_followed(
    source: Path, tmp_path: Path
) -> None:
    zeros = ",0" * 54
    edit_table(lambda lines: [*lines, f"../outside{zeros}", f"/etc/passwd{zeros}", f"elsewhere{zeros}"])(source)
    outcome = run(source, tmp_path / "data")
    skipped = outcome.left_out
    assert outcome.num_usable == 12
    assert set(skipped) == {"../outside", "/etc/passwd"}  # a row without a photo is ignored
    assert all("leads out of the folder" in reason for reason in skipped.values())
    assert PreparedFolder(tmp_path / "data").manifest.left_out == skipped
