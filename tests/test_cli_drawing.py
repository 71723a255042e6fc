"""Options and interrupts of transfer, edit and colorize: Ctrl-C, --skip-existing, --cutout, --before-after."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from scmnet_cli import checkpoint
from scmnet_cli.cli.drawing.outputs import Outputs
from scmnet_cli.config import parse_config
from scmnet_cli.images import PLAIN_GREY
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.models.build import build_generator
from scmnet_cli.provenance import read_provenance

if TYPE_CHECKING:
    from conftest import Place, Scm

TRANSFER = ("transfer", "--src", "data", "--pose", "data", "-m", "run")


@pytest.fixture
def warping(place: Place) -> Path:
    """A model with part warp and foreground mask, of random weights."""
    model = {"size": "tiny", "height": 64, "width": 48, "carry_colours": True, "part_warp": True}
    config = parse_config({"model": model}, "test")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        checkpoint.save_model(place.path / "warping.safetensors", build_generator(config.model).state_dict(), config)
    return Path("warping.safetensors")


def interrupt_at(monkeypatch: pytest.MonkeyPatch, number: int, *, inside: bool) -> None:
    """Send Ctrl-C while the picture of that number is written, or before it is."""
    write = Outputs.write
    written: list[Path] = []

    def writing(self: Outputs, *given: object, **options: object) -> Path:
        is_time = len(written) + 1 == number
        if is_time and not inside:
            signal.raise_signal(signal.SIGINT)
        written.append(write(self, *given, **options))  # type: ignore[arg-type]
        if is_time and inside:
            signal.raise_signal(signal.SIGINT)
        return written[-1]

    monkeypatch.setattr(Outputs, "write", writing)


def test_ctrl_c_finishes_the_picture_and_says_what_is_done(
    place: Place, scm: Scm, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_at(monkeypatch, 4, inside=True)
    done = scm(*TRANSFER)
    assert done.code == 130
    (line,) = done.errors
    assert line.startswith(
        "scm: stopped: 4 of 9 pictures are written to outputs; each is complete; the same command with"
    )
    assert len(done.paths) == 4
    assert sorted(Path("outputs").iterdir()) == sorted(
        [*done.paths, *(path.with_suffix(".json") for path in done.paths)]
    )
    for path in done.paths:
        with Image.open(path) as picture:
            picture.load()
    monkeypatch.undo()
    monkeypatch.chdir(place.path)
    again = scm(*TRANSFER, "--skip-existing")
    assert (again.code, len(again.paths)) == (0, 9)
    assert again.errors == ["scm: 4 of 9 pictures existed already and are kept"]


def test_ctrl_c_before_anything_is_drawn_says_so(place: Place, scm: Scm, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> Pipeline:
        raise KeyboardInterrupt

    monkeypatch.setattr(Pipeline, "from_pretrained", interrupted)
    for command in (TRANSFER, ("edit", "--src", "data/anna", "--region", "upper", "--ref", "data/ben", "-m", "run")):
        done = scm(*command)
        assert (done.code, done.paths, done.errors) == (130, [], ["scm: stopped: nothing was drawn"])


def test_a_signal_from_outside_ends_a_transfer_with_130_and_whole_files(place: Place) -> None:
    place.prepare(place.path / "many", [place.person(f"p{number:02}", number) for number in range(40)], [])
    command = [sys.executable, "-m", "scmnet_cli", "transfer", "--src", "many", "--pose", "many", "-m", "run", "-q"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    written = sorted(Path("outputs").glob("*.png"))
    assert err.startswith(f"scm: stopped: {len(written)} of 1600 pictures are written to outputs; each is complete")
    assert len(out.splitlines()) + 1 == len(written)
    assert [path.suffix for path in Path("outputs").iterdir() if path.suffix not in (".png", ".json")] == []


def test_an_animation_that_is_stopped_is_not_written(place: Place, scm: Scm, monkeypatch: pytest.MonkeyPatch) -> None:
    many = Pipeline.transfer_many

    def stopping(self: Pipeline, *given: object, **options: object) -> object:
        results = many(self, *given, **options)  # type: ignore[arg-type]
        yield next(results)
        raise KeyboardInterrupt

    monkeypatch.setattr(Pipeline, "transfer_many", stopping)
    done = scm("transfer", "--src", "data/anna", "--pose", "data", "-m", "run", "--animate", "a.gif")
    assert (done.code, done.errors) == (130, ["scm: stopped: 1 of 3 frames are drawn; a.gif is not written"])
    assert not Path("a.gif").exists()


def drawn_again(before: dict[Path, int]) -> set[str]:
    return {path.stem for path, written in before.items() if path.stat().st_mtime_ns != written}


def test_existing_pictures_are_kept_only_if_nothing_that_changes_them_changed(place: Place, scm: Scm) -> None:
    first = scm("transfer", "--src", "data/anna", "--pose", "data", "-m", "run")
    before = {path: path.stat().st_mtime_ns for path in first.paths}
    keep = ("transfer", "--src", "data/anna", "--pose", "data", "-m", "run", "--skip-existing")
    assert scm(*keep).paths == first.paths
    assert drawn_again(before) == set()

    os.utime("data/images/ben.png", ns=(max(before.values()) + 10**9,) * 2)
    assert set(scm(*keep).paths) == set(first.paths)
    assert drawn_again(before) == {"anna_to_ben"}

    before = {path: path.stat().st_mtime_ns for path in first.paths}
    scm(*keep, "--mark")
    assert drawn_again(before) == {"anna_to_anna", "anna_to_ben", "anna_to_cleo"}

    before = {path: path.stat().st_mtime_ns for path in first.paths}
    assert scm(*keep, "--mark", "--strip").paths == first.paths
    assert drawn_again(before) == {"anna_to_anna", "anna_to_ben", "anna_to_cleo"}, "the strips were absent"


def test_edits_are_skipped_too(place: Place, scm: Scm) -> None:
    command = ("edit", "--src", "data", "--region", "upper", "--ref", "data/ben", "-m", "run", "--skip-existing")
    first = scm(*command)
    before = {path: path.stat().st_mtime_ns for path in first.paths}
    again = scm(*command)
    assert again.errors == ["scm: 3 of 3 pictures existed already and are kept"]
    assert drawn_again(before) == set()


@pytest.mark.parametrize("ending", [".png", ".webp"])
def test_a_cutout_is_transparent_where_the_model_sees_background(
    place: Place, warping: Path, scm: Scm, ending: str
) -> None:
    arguments = ("transfer", "data/anna", "data/cleo", "-m", warping)
    plain = scm(*arguments, "-o", "plain.png").paths[0]
    path = scm(*arguments, "--cutout", "-o", f"cut{ending}").paths[0]
    with Image.open(path) as cut, Image.open(plain) as whole:
        assert cut.mode == "RGBA"
        pixels, wanted = np.asarray(cut).astype(float), np.asarray(whole).astype(float)
    opacity = pixels[..., 3:] / 255
    assert 0 < opacity.mean() < 1
    over_grey = pixels[..., :3] * opacity + PLAIN_GREY * (1 - opacity)
    away = np.abs(over_grey - wanted)
    if ending == ".png":
        assert away.max() < 2
    else:  # WebP loses single pixels of so small a picture
        assert away.mean() < 6
    assert read_provenance(path).is_generated
    assert json.loads(path.with_suffix(".json").read_text())["options"] == {"cutout": True, "runtime": "torch"}


def test_a_marked_cutout_shows_its_mark(place: Place, warping: Path, scm: Scm) -> None:
    path = scm("transfer", "data/anna", "data/cleo", "-m", warping, "--cutout", "--mark").paths[0]
    with Image.open(path) as cut:
        assert (np.asarray(cut)[-4:, -10:, 3] == 255).all()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-m", "run", "--cutout"), "predicts no foreground mask; leave out --cutout, or use a model that does"),
        (("-m", "run", "--cutout", "-o", "a.jpg"), "--out a.jpg: JPEG has no transparency for --cutout"),
        (("-m", "run", "--cutout", "--keep-size"), "--cutout and --keep-size: one removes the background"),
        (("-m", "run", "--before-after"), "--before-after: needs --keep-size"),
        (
            ("-m", "run", "--cutout", "--animate", "a.gif"),
            "--cutout: is for single pictures; leave out --cutout or --animate",
        ),
        (("-m", "run", "--skip-existing", "--animate", "a.gif"), "--skip-existing: is for single pictures"),
    ],
)
def test_options_that_do_not_fit_are_one_line(place: Place, scm: Scm, arguments: tuple[str, ...], says: str) -> None:
    done = scm("transfer", "--src", "data/anna", "--pose", "data/cleo", *arguments)
    assert (done.code, done.paths, len(done.errors)) == (2, [], 1)
    assert says in done.errors[0]


def test_before_and_after_stand_side_by_side(place: Place, scm: Scm) -> None:
    from test_cli_transfer import photo

    image = photo(place, "eve", 7)
    done = scm("transfer", "photos/eve.jpg", "photos/eve.jpg", "-m", "run", "--keep-size", "--before-after")
    with Image.open(done.paths[0].with_suffix(".before-after.png")) as sheet, Image.open(done.paths[0]) as result:
        pixels, after = np.asarray(sheet), np.asarray(result)
    rows = np.nonzero((pixels[:-300, : -2 * 400] == image[0, 0]).all(-1))
    assert pixels.shape[1] >= 2 * image.shape[1]
    assert any(np.array_equal(pixels[y : y + 300, x : x + 400], image) for y, x in zip(*rows, strict=True))
    assert np.array_equal(pixels[-304:-4, -404:-4], after)
