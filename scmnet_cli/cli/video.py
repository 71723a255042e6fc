"""``scm transfer --pose clip.mp4``: draw a person in the poses of a video."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scmnet_cli.cli.console import note, warn
from scmnet_cli.cli.drawing.input import Input, one_person
from scmnet_cli.cli.drawing.inputs import Finder
from scmnet_cli.cli.drawing.opening import find_inputs, open_drawing_model, read_output_size
from scmnet_cli.cli.drawing.outputs import Outputs, make_folder, safe_name
from scmnet_cli.cli.drawing.same_person import PersonOptions
from scmnet_cli.cli.drawing.task import named
from scmnet_cli.cli.interrupts import interrupts_wait, stops_with
from scmnet_cli.cli.options import DrawingOptions, InputOptions, Runtime
from scmnet_cli.cli.progress import Bars, bars
from scmnet_cli.data.cropping import resized
from scmnet_cli.errors import ScmError
from scmnet_cli.evaluation.one_clip import ClipMetrics
from scmnet_cli.images import ANIMATED, PLAIN_GREY, contact_sheet, draw_skeleton
from scmnet_cli.inference.drawing_model import DrawingModel
from scmnet_cli.inference.tracking import SMOOTHING, Follower, find_joints, finder_of, framed, steadied
from scmnet_cli.inference.values import ReadySource
from scmnet_cli.inference.video import draw_film
from scmnet_cli.inference.video_files import VIDEO_ENDINGS, ClipWriter, Film, is_clip, open_film, read_frames
from scmnet_cli.photo_files import is_photo
from scmnet_cli.poses.placing import mirrored
from scmnet_cli.provenance import GENERATED
from scmnet_cli.skeleton import rescale
from scmnet_cli.system.processes import this_rank
from scmnet_cli.types import Canvas, FloatArray, Person, Pose, UInt8Array

if TYPE_CHECKING:
    from scmnet_cli.analyser.people import Analyser

_MOST_FRAMES = 1500
"""Maximum frames of an animated picture, since all are in memory until it is written."""


@dataclass(frozen=True)
class ClipOptions:
    """Options for drawing a video.

    Attributes:
        strip: show source and pose beside the result.
        smooth: seconds over which joints are smoothed; None: the default.
        runtime: runtime of the networks.
        person: options of --same-person and --personalize.
    """

    strip: bool = False
    smooth: float | None = None
    runtime: Runtime = Runtime.torch
    person: PersonOptions = field(default_factory=PersonOptions)


def draw_clip(
    sources: Sequence[str],
    poses: Sequence[str],
    drawing: DrawingOptions,
    inputs: InputOptions,
    options: ClipOptions,
    load_analyser: Callable[[], Analyser],
) -> None:
    """Draw one person in the poses of one video; print the path of the result to stdout.

    Raises:
        ScmError: if the video cannot be read or shows no person, an option does not apply, or the result cannot be
            written.
    """
    clip = _only_clip(poses)
    wanted = _wanted(drawing.out, clip)
    film = open_film(clip)
    _check_length(wanted, film)
    opened = _open(clip, sources, drawing, inputs, options, load_analyser)
    pipeline, encoded, outputs = opened.pipeline, opened.encoded, opened.outputs
    batch = drawing.batch or pipeline.default_batch
    source, clip_named = named(one_person(opened.photos)), {"name": clip.stem, "path": str(clip.resolve())}
    with bars() as bar, stops_with(lambda: f"{bar.latest or 'no'} frames; no video is written"):
        steps = _find_poses(clip, film, load_analyser, inputs, options, bar)
        placed = framed(steps.steady, float(film.rate), pipeline.canvas)
        held = sum(pose is None for pose in placed)
        placed = [mirrored(pose) if inputs.mirror and pose else pose for pose in placed]
        canvas = pipeline.output_canvas(encoded, opened.size)
        pictures = _pictures(pipeline, encoded, placed, batch, canvas, strip=options.strip)
        meter = ClipMetrics()

        def frames() -> Iterator[UInt8Array]:
            for number, (drawn, picture) in enumerate(pictures, start=1):
                meter.add(drawn)
                yield picture
                bar.count("drawing", number, len(placed))

        settings = {
            "device": str(pipeline.device), "batch": batch, "canvas": str(pipeline.canvas), "size": str(canvas),
            "frames_a_second": float(film.rate), "smooth_seconds": steps.smooth,
            "mirrored_limbs": pipeline.mirrored_limbs,
        }  # fmt: skip

        def report() -> dict[str, Any]:
            return {
                "settings": settings | _chosen(inputs, options), "frames": steps.counts | {"picture_held": held},
                "seconds": {
                    "finding_joints": steps.seconds, "reading_style": encoded.seconds, "drawing": meter.seconds,
                },
                "metrics": meter.values(steps.found, steps.steady),
            }  # fmt: skip

        path = _write(outputs, opened.wanted, film, frames(), {"source": source, "clip": clip_named}, report)
    if held:
        absent = f"{held} of {len(placed)} frames show no person for over half a second"
        warn(f"{absent}; the last picture is repeated there")
    if film.has_sound:
        note(f"the sound of {clip.name} is not kept")
    print(path)


def _chosen(inputs: InputOptions, options: ClipOptions) -> dict[str, Any]:
    """Return the chosen options for the report."""
    return {
        "strip": options.strip,
        "mirror": inputs.mirror,
        "person": inputs.person,
        "pose_person": inputs.pose_person,
        **options.person.changing,
    }


def _check_length(wanted: Path | None, film: Film) -> None:
    if wanted is not None and wanted.suffix.lower() in ANIMATED and film.num_frames > _MOST_FRAMES:
        raise ScmError(f"-o {wanted}: {film.num_frames} frames are too many for an animated picture; write an .mp4")


@dataclass(frozen=True)
class _Opened:
    """The model, the photos of the person, and the output."""

    pipeline: DrawingModel
    photos: list[Input]
    encoded: ReadySource
    outputs: Outputs
    wanted: Path
    size: Canvas | None


def _open(
    clip: Path,
    sources: Sequence[str],
    drawing: DrawingOptions,
    inputs: InputOptions,
    options: ClipOptions,
    load_analyser: Callable[[], Analyser],
) -> _Opened:
    pipeline = open_drawing_model(drawing, options.runtime)
    size = read_output_size(drawing.size, pipeline)
    finder = find_inputs(pipeline, InputOptions(inputs.data, person=inputs.person), size)
    finder.use_analyser(load_analyser)
    photos = _photos_of_one(finder, sources, clip, options.person)
    wanted = _wanted(drawing.out, clip) or drawing.out / f"{safe_name(photos[0].name)}_to_{safe_name(clip.stem)}.mp4"
    make_folder(wanted.parent, "-o")
    outputs = Outputs(wanted.parent, pipeline, mark=drawing.mark)
    people = [shown for shown in (photo.read() for photo in photos) if isinstance(shown, Person)]
    if len(people) != len(photos):
        raise ScmError(f"--src {' '.join(sources)}: is a pose without a picture; give photos of a person")
    personalizer = options.person.personalizer()
    pipeline = pipeline if personalizer is None else personalizer(pipeline, people)
    encoded = pipeline.encode_photos(people)
    return _Opened(pipeline, photos, encoded, outputs, wanted, size)


def _photos_of_one(finder: Finder, sources: Sequence[str], clip: Path, person: PersonOptions) -> list[Input]:
    """Find the photos of the person to draw."""
    if person.same_person:
        return finder.people(sources, "--src")
    if len(sources) != 1:
        raise ScmError(
            f"--pose {clip}: is drawn with one person, but --src gives {len(sources)}; give one of them, or "
            "--same-person if all show one person"
        )
    return [finder.person(sources[0], "--src")]


def _only_clip(poses: Sequence[str]) -> Path:
    if len(poses) != 1:
        raise ScmError(f"--pose {next(filter(is_clip, poses))}: is a video; give no other --pose")
    if this_rank().count > 1:
        raise ScmError(f"--pose {poses[0]}: a video is drawn by one process; start it without torchrun")
    clip = Path(poses[0])
    if not clip.is_file():
        raise ScmError(f"--pose {clip}: no such file")
    return clip


@dataclass(frozen=True)
class _FoundPoses:
    """Joints of every frame, as found and after smoothing, (F, 18, 3), and numbers for the report."""

    found: FloatArray
    steady: FloatArray
    size: Canvas
    smooth: float
    seconds: float

    @property
    def counts(self) -> dict[str, Any]:
        return {
            "all": len(self.found), "size": str(self.size), "with_a_person": int(self.found[..., 2].any(1).sum()),
            "joints_found": int((self.found[..., 2] > 0).sum()), "joints_used": int((self.steady[..., 2] > 0).sum()),
        }  # fmt: skip


def _find_poses(
    clip: Path, film: Film, load_analyser: Callable[[], Analyser], inputs: InputOptions, options: ClipOptions, bar: Bars
) -> _FoundPoses:
    start = time.perf_counter()
    smooth = SMOOTHING if options.smooth is None else options.smooth
    analyser = load_analyser()
    follow = Follower(finder_of(analyser), float(film.rate), finder_of(analyser, inputs.pose_person))
    found, size = find_joints(_counted(read_frames(clip), bar, film), follow)
    seconds = time.perf_counter() - start
    return _FoundPoses(found, steadied(found, float(film.rate), smooth), size, smooth, seconds)


def _write(
    outputs: Outputs,
    wanted: Path,
    film: Film,
    frames: Iterator[UInt8Array],
    named: dict[str, Any],
    report: Callable[[], dict[str, Any]],
) -> Path:
    """Write a video, or an animated picture, depending on the ending; then compute and write the report."""
    if wanted.suffix.lower() in ANIMATED:
        collected = list(frames)
        with interrupts_wait():
            return outputs.write_animation(wanted, collected, float(film.rate), named, report())
    part = wanted.with_name(f".{wanted.stem}.{os.getpid()}.mp4")
    writer = ClipWriter(part, film.rate, GENERATED, mark=outputs.mark)
    try:
        for frame in frames:
            writer.write(frame)
        with interrupts_wait():
            writer.close()
            return outputs.adopt(wanted, part, named, report())
    finally:
        part.unlink(missing_ok=True)


def _wanted(out: Path, clip: Path) -> Path | None:
    """Return ``out`` if it is a file, or None if it is a folder."""
    ending = out.suffix.lower()
    if ending == ".mp4" or ending in ANIMATED:
        if out.resolve() == clip.resolve():
            raise ScmError(f"-o {out}: is the input video; give another name")
        return out
    if ending in VIDEO_ENDINGS or (is_photo(out) and not out.is_dir()):
        raise ScmError(f"-o {out}: cannot be written; give a name that ends with .mp4 or {', '.join(ANIMATED)}")
    return None


def _pictures(
    pipeline: DrawingModel,
    encoded: ReadySource,
    poses: Sequence[Pose | None],
    batch: int,
    canvas: Canvas,
    *,
    strip: bool,
) -> Iterator[tuple[UInt8Array, UInt8Array]]:
    """Yield each drawn picture, and the frame that shows it."""
    source = resized(encoded.largest, canvas)
    for pose, result in draw_film(pipeline, encoded, poses, batch, canvas):
        drawn = np.asarray(result.image)
        yield drawn, _strip(source, pose, drawn) if strip else drawn


def _strip(source: Person, pose: Pose, drawn: UInt8Array) -> UInt8Array:
    joints = rescale(pose.joints, pose.canvas, source.canvas)
    skeleton = draw_skeleton(np.full_like(drawn, PLAIN_GREY), joints)
    return contact_sheet([[source.image, skeleton, drawn]], ["source", "pose", "result"])


def _counted(frames: Iterator[UInt8Array], bar: Bars, film: Film) -> Iterator[UInt8Array]:
    for number, frame in enumerate(frames, start=1):
        yield frame
        bar.count("finding joints", number, max(film.num_frames, number))
