"""``scm transfer --pose clip.mp4``: a person in the poses of a film."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from scmnet_cli.analyser.people import Analyser
from scmnet_cli.cli.drawing.opening import find_inputs, open_model
from scmnet_cli.cli.drawing.outputs import Outputs, make_folder, safe_name
from scmnet_cli.cli.options import Runtime
from scmnet_cli.cli.progress import Bars
from scmnet_cli.errors import ScmError
from scmnet_cli.images import ANIMATED, GENERATED, PLAIN_GREY, contact_sheet, draw_skeleton, to_tensor
from scmnet_cli.inference.pipeline import EncodedSource, Pipeline
from scmnet_cli.inference.video import (
    SMOOTHING,
    VIDEO_ENDINGS,
    ClipWriter,
    Film,
    Follower,
    draw_film,
    find_joints,
    finder_of,
    framed,
    open_film,
    read_frames,
    steadied,
)
from scmnet_cli.metrics.flicker import flicker, jitter
from scmnet_cli.poses.placing import mirrored
from scmnet_cli.system.processes import this_rank
from scmnet_cli.types import Person, Pose, UInt8Array

_MOST_FRAMES = 1500
"""Of an animated picture, whose frames are all in memory until it is written."""


def is_clip(word: str) -> bool:
    """Say whether a word of ``--pose`` names a film."""
    return word.lower().endswith(VIDEO_ENDINGS)


def draw_clip(
    sources: Sequence[str],
    poses: Sequence[str],
    model: Path | None,
    out: Path,
    look: Callable[[], Analyser],
    *,
    data: Path | None,
    person: int,
    pose_person: int,
    mirror: bool,
    strip: bool,
    batch: int,
    device: str,
    smooth: float | None,
    runtime: Runtime,
) -> None:
    """Draw one person in the poses of one film; the path of the clip goes to stdout.

    Raises:
        ScmError: if the film cannot be read or shows nobody, an option does not fit, or the clip cannot be written.
    """
    if len(poses) != 1:
        raise ScmError(f"--pose {next(filter(is_clip, poses))}: a film is drawn alone; give no other --pose")
    if this_rank().count > 1:
        raise ScmError(f"--pose {poses[0]}: one process draws a film; start it without torchrun")
    clip = Path(poses[0])
    if not clip.is_file():
        raise ScmError(f"--pose {clip}: no such file")
    wanted = _wanted(out, clip)
    film = open_film(clip)
    if wanted is not None and wanted.suffix.lower() in ANIMATED and film.num_frames > _MOST_FRAMES:
        raise ScmError(f"-o {wanted}: {film.num_frames} frames are too many for an animated picture; write an .mp4")
    pipeline = open_model(model, device, runtime)
    if len(sources) != 1:
        raise ScmError(f"--pose {clip}: is drawn with one person, and --src names {len(sources)}; name one of them")
    finder = find_inputs(pipeline, data, None, person=person)
    finder.look_with(look)
    source = finder.person(sources[0], "--src")
    wanted = wanted or out / f"{safe_name(source.name)}_to_{safe_name(clip.stem)}.mp4"
    make_folder(wanted.parent, "-o")
    outputs = Outputs(wanted.parent, pipeline)
    shown = source.read()
    if not isinstance(shown, Person):
        raise ScmError(f"--src {sources[0]}: is a pose without a picture")
    encoded = pipeline.encode(shown)

    start = time.perf_counter()
    seconds = SMOOTHING if smooth is None else smooth
    with _bars() as bars:
        analyser = look()
        follow = Follower(finder_of(analyser), float(film.rate), finder_of(analyser, pose_person))
        found, size = find_joints(_counted(read_frames(clip), bars, film), follow)
        looking = time.perf_counter() - start
        steady = steadied(found, float(film.rate), seconds)
        placed = framed(steady, float(film.rate), pipeline.canvas)
        held = sum(pose is None for pose in placed)
        placed = [mirrored(pose) if mirror and pose else pose for pose in placed]
        batch = batch or (8 if pipeline.device.type == "cuda" else 1)
        pictures = _pictures(pipeline, encoded, placed, batch, strip=strip)
        meter = _Meter()
        collected: list[UInt8Array] = []
        part = wanted.with_name(f".{wanted.stem}.{os.getpid()}.mp4")
        writer = None if wanted.suffix.lower() in ANIMATED else ClipWriter(part, film.rate, GENERATED)
        try:
            for number, (drawn, picture) in enumerate(pictures, start=1):
                meter.add(drawn)
                if writer is None:
                    collected.append(picture)
                else:
                    writer.write(picture)
                bars.count("drawing", number, len(placed))
            if writer is not None:
                writer.close()
            inputs = {
                "source": {"name": source.name, "path": source.where},
                "clip": {"name": clip.stem, "path": str(clip.resolve())},
            }
            report = {
                "settings": {
                    "device": str(pipeline.device), "batch": batch, "canvas": str(pipeline.canvas), "strip": strip,
                    "smooth_seconds": seconds, "mirror": mirror, "person": person, "pose_person": pose_person,
                    "frames_a_second": float(film.rate),
                },
                "frames": {
                    "all": len(found), "size": str(size), "with_a_person": int(found[..., 2].any(1).sum()),
                    "joints_found": int((found[..., 2] > 0).sum()), "joints_used": int((steady[..., 2] > 0).sum()),
                    "picture_held": held,
                },
                "seconds": {"finding_joints": looking, "reading_style": encoded.seconds, "drawing": meter.seconds},
                "metrics": meter.values(found, steady),
            }  # fmt: skip
            if writer is None:
                path = outputs.write_animation(wanted, collected, float(film.rate), inputs, report)
            else:
                path = outputs.adopt(wanted, part, inputs, report)
        finally:
            part.unlink(missing_ok=True)
    if held:
        _tell(f"{held} of {len(found)} frames show nobody for longer than half a second; the picture before them stays")
    if film.has_sound:
        _tell(f"the sound of {clip.name} is not kept")
    print(path)


def _wanted(out: Path, clip: Path) -> Path | None:
    """Return the file that is asked for, or None if it is a folder that is named."""
    ending = out.suffix.lower()
    if ending == ".mp4" or ending in ANIMATED:
        if out.resolve() == clip.resolve():
            raise ScmError(f"-o {out}: is the film itself; give another name")
        return out
    if ending in VIDEO_ENDINGS:
        raise ScmError(f"-o {out}: cannot be written; give a name that ends with .mp4 or {', '.join(ANIMATED)}")
    return None


class _Meter:
    """Adds up how far the drawn pictures flicker; holds three of them."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._last: list[torch.Tensor] = []
        self._sum, self._num = 0.0, 0
        self._before = time.perf_counter()

    def add(self, picture: UInt8Array) -> None:
        now = time.perf_counter()
        self.seconds, self._before = self.seconds + now - self._before, now
        self._last = [*self._last[-2:], to_tensor(picture)]
        if len(self._last) == 3:
            self._sum += float(flicker(torch.stack(self._last)))
            self._num += 1

    def values(self, found: Any, used: Any) -> dict[str, float]:
        measured = {
            "flicker": self._sum / self._num if self._num else float("nan"),
            "jitter_found": float(jitter(torch.from_numpy(found))),
            "jitter_used": float(jitter(torch.from_numpy(used))),
        }
        return {name: value for name, value in measured.items() if np.isfinite(value)}


def _pictures(
    pipeline: Pipeline, encoded: EncodedSource, poses: Sequence[Pose | None], batch: int, *, strip: bool
) -> Iterator[tuple[UInt8Array, UInt8Array]]:
    """Give what is drawn, and what is shown of it."""
    for pose, result in draw_film(pipeline, encoded, poses, batch):
        drawn = np.asarray(result.image)
        yield drawn, _strip(encoded.person, pose, drawn) if strip else drawn


def _strip(source: Person, pose: Pose, drawn: UInt8Array) -> UInt8Array:
    skeleton = draw_skeleton(np.full_like(drawn, PLAIN_GREY), pose.joints)
    return contact_sheet([[source.image, skeleton, drawn]], ["source", "pose", "result"])


def _counted(frames: Iterator[UInt8Array], bars: Bars, film: Film) -> Iterator[UInt8Array]:
    for number, frame in enumerate(frames, start=1):
        yield frame
        bars.count("finding joints", number, max(film.num_frames, number))


@contextmanager
def _bars() -> Iterator[Bars]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        yield bars


def _tell(text: str) -> None:
    print(f"scm: {text}", file=sys.stderr, flush=True)
