"""``scm transfer --pose clip.mp4``: videos are read and written; joints are tracked, smoothed and framed."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from scmnet_cli.cli import video as command
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.inference.tracking import Follower, find_joints, framed, steadied
from scmnet_cli.inference.video_files import ClipWriter, is_clip, open_film, read_frames, upright
from scmnet_cli.metrics.flicker import flicker, jitter
from scmnet_cli.poses.placing import person_box
from scmnet_cli.types import Canvas, Person

if TYPE_CHECKING:
    from conftest import Place, Scm

av = pytest.importorskip("av", reason="needs the extra video")
RATE = 10


def standing(x: float = 40, y: float = 10, height: float = 60) -> np.ndarray:
    """Joints of a person with the middle at x and the head at y."""
    joints = np.ones((18, 3), np.float32)
    joints[:, 0] = x + height / 8 * np.array([0, 0, -1, -1, -1, 1, 1, 1, -1, -1, -1, 1, 1, 1, -0.3, 0.3, -0.5, 0.5])
    shares = [0.05, 0.2, 0.2, 0.35, 0.5, 0.2, 0.35, 0.5, 0.5, 0.75, 1, 0.5, 0.75, 1, 0, 0, 0.03, 0.03]
    joints[:, 1] = y + height * np.array(shares)
    return joints


def a_film(path: Path, num: int = 8, size: tuple[int, int] = (48, 64), rate: Fraction = Fraction(RATE)) -> Path:
    """A grey video that gets lighter by ten levels per frame."""
    writer = ClipWriter(path, rate, {"Comment": "made for a test"})
    for number in range(num):
        writer.write(np.full((*size, 3), 40 + 10 * number % 200, np.uint8))
    writer.close()
    return path


# Reading and writing


def test_a_clip_keeps_frames_size_and_rate_and_has_a_comment(tmp_path: Path) -> None:
    path = a_film(tmp_path / "clip.mp4", rate=Fraction(30000, 1001))
    film = open_film(path)
    assert (film.rate, film.num_frames, film.has_sound) == (Fraction(30000, 1001), 8, False)
    frames = list(read_frames(path))
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 8
    assert [round(frame.mean()) for frame in frames] == pytest.approx([40 + 10 * n for n in range(8)], abs=2)
    with av.open(str(path)) as container:
        assert container.metadata["comment"] == "made for a test"


def test_odd_sizes_are_padded_by_a_pixel(tmp_path: Path) -> None:
    (frame, *_) = read_frames(a_film(tmp_path / "odd.mp4", size=(47, 63)))
    assert frame.shape == (48, 64, 3)


def test_frames_are_read_lazily(tmp_path: Path) -> None:
    frames = read_frames(a_film(tmp_path / "clip.mp4", num=60))
    next(frames)
    frames.close()  # an unclosed file would warn


STORED = np.arange(24, dtype=np.uint8).reshape(4, 6)
MATRICES = {
    "as stored": ([[1, 0], [0, 1]], STORED),
    "turned left": ([[0, -1], [1, 0]], np.rot90(STORED)),
    "turned right": ([[0, 1], [-1, 0]], np.rot90(STORED, -1)),
    "upside down": ([[-1, 0], [0, -1]], np.rot90(STORED, 2)),
    "mirrored": ([[-1, 0], [0, 1]], STORED[:, ::-1]),
    "mirrored top to bottom": ([[1, 0], [0, -1]], STORED[::-1]),
    "turned right and mirrored": ([[0, 1], [1, 0]], np.rot90(STORED, -1)[:, ::-1]),
    "turned left and mirrored": ([[0, -1], [-1, 0]], np.rot90(STORED)[:, ::-1]),
}


@pytest.mark.parametrize("how", MATRICES)
def test_a_frame_is_rotated_and_mirrored_by_the_display_matrix(how: str) -> None:
    matrix, expected = MATRICES[how]
    seen = upright(np.repeat(STORED[..., None], 3, 2), 65536 * np.array(matrix))
    assert np.array_equal(seen[..., 0], expected)


@pytest.mark.parametrize("how", MATRICES)
def test_a_video_is_read_upright_by_its_header(how: str, tmp_path: Path) -> None:
    """The matrix is written into the track's header, as phone cameras do."""
    matrix, _ = MATRICES[how]
    a_film(tmp_path / "a.mp4", 2)
    (plain, *_) = read_frames(tmp_path / "a.mp4")
    content = (tmp_path / "a.mp4").read_bytes()
    numbers = [matrix[0][0], matrix[0][1], 0, matrix[1][0], matrix[1][1], 0, 0, 0]
    header = content.index(b"tkhd") + 4 + 40
    written = np.array([65536 * number for number in numbers], ">i4").tobytes() + (1 << 30).to_bytes(4, "big")
    (tmp_path / "b.mp4").write_bytes(content[:header] + written + content[header + 36 :])
    (turned, *_) = read_frames(tmp_path / "b.mp4")
    assert np.array_equal(turned, upright(plain, np.array(matrix)))


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_an_animation_is_read_as_a_video(ending: str, tmp_path: Path) -> None:
    frames = [np.full((16, 24, 3), 60 * number, np.uint8) for number in range(4)]
    images = [Image.fromarray(frame) for frame in frames]
    path = tmp_path / f"a.{ending}"
    images[0].save(path, save_all=True, append_images=images[1:], duration=100, lossless=True)
    film = open_film(path)
    assert (film.rate, film.num_frames, film.has_sound) == (10, 4, False)
    assert [int(frame[0, 0, 0]) for frame in read_frames(path)] == [0, 60, 120, 180]
    assert is_clip(str(path))
    images[0].save(path)
    assert not is_clip(str(path))


@pytest.mark.parametrize("content", [b"", b"no film at all", b"\0\0\0\x18ftypmp42"])
def test_a_file_that_is_not_a_video_is_an_error_that_names_it(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(ScmError, match=r"broken\.mp4"):
        open_film(path)
    with pytest.raises(ScmError, match=r"broken\.mp4"):
        list(read_frames(path))


def test_a_clip_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ScmError, match=r"no-folder.*cannot be written"):
        a_film(tmp_path / "no-folder" / "clip.mp4")


def test_without_the_video_extra_the_error_has_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = builtins.__import__

    def without(name: str, *about: Any) -> Any:
        if name == "av":
            raise ImportError("No module named 'av'")
        return find(name, *about)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ScmError, match=r"pip install 'scmnet-cli\[video\]'"):
        open_film(tmp_path / "clip.mp4")


# Tracking


class Scene:
    """Numbered frames and the people in each; a person is found if the analysed crop shows them."""

    def __init__(self, *people: list[np.ndarray | None], size: tuple[int, int] = (100, 200)) -> None:
        self.people = people
        self.size = size

    def frames(self) -> list[np.ndarray]:
        rows, columns = np.mgrid[: self.size[0], : self.size[1]]
        return [np.stack([np.full_like(rows, t), rows, columns], -1) for t in range(len(self.people[0]))]

    def find(self, part: np.ndarray) -> np.ndarray | None:
        t, top, left = part[0, 0]
        bottom, right = top + part.shape[0], left + part.shape[1]
        for person in self.people:  # the first is the most prominent
            joints = person[t]
            if joints is not None:
                a, b, c, d = person_box(joints)
                if left <= (a + c) / 2 < right and top <= (b + d) / 2 < bottom:
                    return joints - np.array([left, top, 0], np.float32)
        return None


def follow(scene: Scene) -> np.ndarray:
    return find_joints(scene.frames(), Follower(scene.find, RATE))[0]


def test_the_same_person_is_followed_when_a_more_prominent_one_appears() -> None:
    walker = [standing(40 + 3 * t) for t in range(12)]
    passer_by = [None if t < 4 else standing(170) for t in range(12)]
    found = follow(Scene(passer_by, walker))
    np.testing.assert_allclose(found, np.stack(walker), atol=1e-4)


def test_after_a_second_without_the_person_another_one_is_followed() -> None:
    gone = [standing(40) if t < 3 else None for t in range(30)]
    other = [None if t < 3 else standing(160) for t in range(30)]
    found = follow(Scene(gone, other))
    seen = np.flatnonzero(found[..., 2].any(1))
    assert seen.tolist() == [0, 1, 2, *range(3 + RATE + 1, 30)]
    assert found[-1, 0, 0] == pytest.approx(160)


def test_a_video_without_people_is_refused() -> None:
    with pytest.raises(ScmError, match="no person found in any of its 5 frames"):
        follow(Scene([None] * 5))


# Smoothing


def walk(num: int = 40, noise: float = 0.0) -> np.ndarray:
    random = np.random.default_rng(0)
    joints = np.stack([standing(40 + 2 * t) for t in range(num)])
    joints[..., :2] += random.normal(0, noise, joints[..., :2].shape)
    return joints.astype(np.float32)


def test_smoothing_removes_noise_and_keeps_the_motion() -> None:
    true, noisy = walk(), walk(noise=2)
    steady = steadied(noisy, RATE, 0.9)
    assert np.abs(steady - true).mean() < 0.65 * np.abs(noisy - true).mean()
    assert jitter(torch.from_numpy(steady)) < 0.25 * jitter(torch.from_numpy(noisy))
    np.testing.assert_allclose(steadied(true, RATE, 0.9), true, atol=1e-3)  # constant velocity is unchanged: no lag


def test_an_outlier_of_one_frame_is_removed() -> None:
    joints = walk()
    joints[20, 4, :2] = (0, 0)
    assert np.abs(steadied(joints, RATE, 0.5) - walk())[18:23, 4].max() < 3
    assert steadied(joints, RATE, 0)[20, 4, 0] == 0


def test_a_short_gap_is_interpolated_and_a_long_one_is_not() -> None:
    joints = walk()
    joints[10:14, 7] = 0
    joints[20:26, 7] = 0
    joints[:3, 9] = 0
    steady = steadied(joints, RATE, 0)
    np.testing.assert_allclose(steady[10:14, 7], walk()[10:14, 7], atol=1e-3)
    assert not steady[20:26, 7].any()
    assert not steady[:3, 9].any(), "nothing is known from before"


def test_without_smoothing_joints_are_unchanged() -> None:
    noisy = walk(noise=2)
    assert np.array_equal(steadied(noisy, RATE, 0), noisy)


# Framing

CANVAS = Canvas(64, 48)


def test_a_walking_person_stays_in_the_frame_at_a_constant_size() -> None:
    poses = framed(walk(60), RATE, CANVAS)
    assert all(pose is not None and pose.canvas == CANVAS and (pose.joints[:, 2] > 0).all() for pose in poses)
    necks = np.array([pose.joints[1, :2] for pose in poses if pose])
    assert np.ptp(necks[15:-15], axis=0).max() < 1
    heights = np.array([np.ptp(pose.joints[:, 1]) for pose in poses if pose])
    assert np.ptp(heights) < 0.5
    assert np.abs(np.diff(necks, axis=0)).max() < 2


def test_a_jump_of_the_joints_box_does_not_move_the_crop_abruptly() -> None:
    joints = np.stack([standing() for _ in range(40)])
    joints[20, 4, :2] = (90, 0)  # an outlier: an arm flung out for one frame
    necks = np.array([pose.joints[1, :2] for pose in framed(joints, RATE, CANVAS) if pose])
    assert np.abs(np.diff(necks, axis=0)).max() < 1.5


def test_a_frame_without_a_person_has_no_pose_and_a_new_shot_has_its_own_crop() -> None:
    joints = np.stack([standing(40) for _ in range(40)])
    joints[25:] = standing(150, height=30)
    joints[10:25] = 0
    poses = framed(joints, RATE, CANVAS)
    assert [pose is None for pose in poses] == [10 <= t < 25 for t in range(40)]
    assert poses[9] is not None
    assert poses[25] is not None
    np.testing.assert_allclose(poses[25].joints, poses[9].joints, atol=3)


# Measuring


def test_still_and_linearly_changing_videos_do_not_flicker() -> None:
    ramp = torch.linspace(-1, 1, 5)[:, None, None, None].expand(5, 3, 2, 2)
    assert flicker(ramp) == pytest.approx(0, abs=1e-6)
    assert flicker(torch.zeros(4, 3, 2, 2)) == 0


def test_alternating_black_and_white_flickers_by_the_whole_range() -> None:
    turns = torch.tensor([1.0, -1, 1, -1])[:, None, None, None].expand(4, 3, 2, 2)
    assert flicker(turns) == 2
    assert flicker(turns.flip(0)) == flicker(turns)


def test_jitter_is_relative_to_the_persons_height_and_needs_three_frames() -> None:
    still = torch.from_numpy(np.stack([standing(height=60) for _ in range(3)]))
    shaken = still.clone()
    shaken[1, 4, 0] += 6
    assert jitter(still) == 0
    assert jitter(shaken) == pytest.approx(6 / 60 / 18, rel=1e-4)
    shaken[2, 4, 2] = 0
    assert jitter(shaken) == 0


# The command


@pytest.fixture
def film(place: Place, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A video of eight frames of a person walking; the last two show nobody."""

    def finder_of(analyser: object, person: int = 0) -> Any:
        def find(frame: np.ndarray) -> np.ndarray | None:
            t = round((float(frame.mean()) - 40) / 10)
            return standing(20 + 2 * t, 2, 40) if t < 6 and frame.shape == (48, 64, 3) else None

        return find

    monkeypatch.setattr(command, "finder_of", finder_of)
    return a_film(place.path / "walk.mp4")


def test_a_clip_has_the_frames_and_rate_of_the_video(film: Path, place: Place, scm: Scm) -> None:
    done = scm("transfer", "--src", "data/anna", "--pose", "walk.mp4", "-o", "out.mp4", "-m", "run")
    assert done.code == 0
    assert done.paths == [Path("out.mp4")]
    made = open_film(Path("out.mp4"))
    assert (made.rate, made.num_frames) == (RATE, 8)
    frames = list(read_frames(Path("out.mp4")))
    assert frames[0].shape == (64, 48, 3)
    assert np.abs(frames[5].astype(int) - frames[7]).max() <= 8, "the picture before stays"
    report = done.report()
    assert report["frames"] == {
        "all": 8, "size": "48x64", "with_a_person": 6, "joints_found": 108, "joints_used": 108, "picture_held": 2,
    }  # fmt: skip
    assert report["settings"]["smooth_seconds"] == 0.3
    assert set(report["metrics"]) == {"flicker", "jitter_found", "jitter_used"}
    assert "2 of 8 frames" in done.errors[0]
    assert sorted(path.name for path in place.path.glob("*out*")) == ["out.json", "out.mp4"]


def test_the_same_command_writes_the_same_clip(film: Path, scm: Scm) -> None:
    arguments = ["transfer", "--src", "data/anna", "--pose", "walk.mp4", "-m", "run", "--batch", 4, "--smooth", 0]
    first = scm(*arguments)
    assert first.paths == [Path("outputs/anna_to_walk.mp4")]
    content = first.paths[0].read_bytes()
    assert scm(*arguments).paths == first.paths
    assert first.paths[0].read_bytes() == content


def test_a_style_is_encoded_once_for_a_whole_clip(film: Path, scm: Scm, monkeypatch: pytest.MonkeyPatch) -> None:
    from scmnet_cli.models.scmnet import SCMNet

    read = []
    encode = SCMNet.encode_regions
    monkeypatch.setattr(SCMNet, "encode_regions", lambda self, *given: read.append(1) or encode(self, *given))
    scm("transfer", "--src", "data/anna", "--pose", "walk.mp4", "-m", "run", "--batch", 2)
    assert read == [1]


def test_a_clip_is_drawn_with_the_model_that_learned_the_person(
    film: Path, scm: Scm, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[list[str]] = []

    def learn(pipeline: Pipeline, photos: list[Person], *_: object, **__: object) -> Pipeline:
        learned.append([photo.name for photo in photos])
        bias = dict(pipeline.model.named_parameters())["generator.to_rgb.bias"]
        return pipeline.with_difference({"generator.to_rgb.bias": torch.full_like(bias, 2.0)})

    monkeypatch.setattr("scmnet_cli.inference.personal.cached_personal", learn)
    words = ["transfer", "--src", "data/anna", "--pose", "walk.mp4", "-m", "run"]
    plain, personal = scm(*words, "-o", "plain.mp4"), scm(*words, "-o", "personal.mp4", "--personalize", "--steps", 1)
    assert (plain.code, personal.code, learned) == (0, 0, [["anna"]])
    before, after = (next(iter(read_frames(Path(name)))).astype(int) for name in ("plain.mp4", "personal.mp4"))
    assert np.abs(before - after).mean() > 10


def test_a_clip_can_be_written_as_an_animation_of_strips(film: Path, scm: Scm) -> None:
    done = scm("transfer", "--src", "data/anna", "--pose", "walk.mp4", "-o", "out.gif", "-m", "run", "--strip")
    with Image.open(done.paths[0]) as image:
        assert image.n_frames >= 5
        assert image.width > 3 * 48


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--pose", "walk.mp4", "--pose", "walking"], "is a video; give no other --pose"),
        (["--pose", "absent.mp4"], "absent.mp4: no such file"),
        (["--pose", "walk.mp4", "-o", "walk.mp4"], "is the input video"),
        (["--pose", "walk.mp4", "-o", "out.avi"], "ends with .mp4"),
        (["--pose", "walk.mp4", "-o", "out.jpg"], "ends with .mp4"),
        (["--pose", "walk.mp4", "--src", "data/ben"], "--src gives 2"),
    ],
)
def test_a_wrong_option_is_a_one_line_error_and_writes_nothing(
    arguments: list[str], line: str, film: Path, place: Place, scm: Scm
) -> None:
    before = film.read_bytes()
    done = scm("transfer", "--src", "data/anna", *arguments, "-m", "run")
    assert done.code == 2
    assert line in done.errors[0]
    assert not list(place.path.glob("out*"))
    assert film.read_bytes() == before


def test_ctrl_c_leaves_no_half_film_and_says_how_far_it_was(
    film: Path, scm: Scm, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = command.draw_film

    def stopping(*given: Any) -> Iterator[Any]:
        drawn = drawing(*given)
        yield next(drawn)
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "draw_film", stopping)
    done = scm("transfer", "data/anna", film, "-m", "run", "-o", "out/clip.mp4")
    assert (done.code, done.paths) == (130, [])
    assert done.errors == ["scm: stopped: drawing: 1 of 8 frames; no video is written"]
    assert list(Path("out").iterdir()) == []


def test_dropped_sound_is_reported(film: Path, scm: Scm, monkeypatch: pytest.MonkeyPatch) -> None:
    with av.open("loud.mp4", "w") as container, av.open(str(film)) as silent:
        pictures, sound = container.add_stream("libx264", rate=RATE), container.add_stream("aac", rate=16000)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        for frame in silent.decode(video=0):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"), format="rgb24")))
        container.mux(pictures.encode(None))
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        tone.sample_rate = 16000
        container.mux(sound.encode(tone))
        container.mux(sound.encode(None))
    done = scm("transfer", "--src", "data/anna", "--pose", "loud.mp4", "-o", "out.mp4", "-m", "run")
    assert any("the sound of loud.mp4 is not kept" in line for line in done.errors)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_of_a_video(tmp_path: Path) -> None:
    import tracemalloc

    peaks = []
    for num in (20, 200):
        path = a_film(tmp_path / f"{num}.mp4", num=num, size=(240, 320))
        tracemalloc.start()
        joints, _ = find_joints(read_frames(path), lambda _: standing())
        framed(steadied(joints, RATE), RATE, CANVAS)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 1_000_000, "180 frames more are 41 MB"
