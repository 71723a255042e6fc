"""``scm transfer``: draw people in the poses of others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from scmnet_cli.cli.commands import with_help
from scmnet_cli.cli.completion import complete_poses
from scmnet_cli.cli.drawing.same_person import PersonOptions
from scmnet_cli.cli.estimators import EstimatorOptions
from scmnet_cli.cli.grouping import grouped
from scmnet_cli.cli.interrupts import NOTHING_DRAWN, stops_with
from scmnet_cli.cli.options import InputOptions, OptionalSources, PhotoOptions, Runtime, RuntimeChoice
from scmnet_cli.errors import ScmError

_NUM_WORDS = 2


@dataclass(frozen=True)
class AnimationOptions:
    """Options of an animated picture or a video."""

    animate: Annotated[
        Path | None,
        typer.Option(
            "--animate",
            metavar="FILE",
            help="Write one animated picture with one frame per pose instead: FILE.gif, FILE.webp or FILE.png (APNG). "
            "With --strip each frame shows source, pose and result.",
        ),
    ] = None
    rate: Annotated[
        float, typer.Option("--fps", min=0.1, max=50, help="Frames per second of the animated picture.")
    ] = 8
    smooth: Annotated[
        float | None,
        typer.Option(
            "--smooth",
            min=0,
            max=5,
            metavar="S",
            help="For a video: smooth the joints over S seconds; 0: no smoothing.",
        ),
    ] = None


@dataclass(frozen=True)
class InputNames:
    """Sources and poses, given by options or by two arguments."""

    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[A B]", autocompletion=complete_poses, help="Short form of --src A --pose B.", show_default=False
        ),
    ] = None
    sources: OptionalSources = None
    poses: Annotated[
        list[str] | None,
        typer.Option(
            "--pose",
            metavar="B",
            autocompletion=complete_poses,
            help="The pose: any input that --src takes, a shipped pose (`scm poses` lists them), a pose file "
            "(FILE.json, FILE.csv, FILE.csv#ROW), a folder of pose files, or a video; repeatable.",
        ),
    ] = None

    def read(self) -> tuple[list[str], list[str]]:
        """Return sources and poses.

        Raises:
            ScmError: if both forms are given, the arguments are not two, or an option is missing.
        """
        words, sources, poses = self.words or [], self.sources or [], self.poses or []
        if words and (sources or poses):
            option = f"--src {sources[0]}" if sources else f"--pose {poses[0]}"
            raise ScmError(f"{' '.join(words)}: given together with {option}; use only options, or only A and B")
        if words and len(words) != _NUM_WORDS:
            raise ScmError(
                f"{' '.join(words)}: expected one person and one pose, not {len(words)} words; for more, use --src and "
                "--pose"
            )
        if words:
            return words[:1], words[1:]
        if not sources or not poses:
            missing = "--pose" if sources else "--src"
            raise ScmError(f"{missing}: is missing; give a person and a pose, such as: scm transfer me.jpg walking")
        return sources, poses


_HELP = """Draw the person of A in the pose of B, for every A and every B.

Writes OUT/A_to_B.png and a JSON of the same name (inputs, model,
settings, seconds, metrics), and prints the path of each picture. The
same inputs overwrite their earlier picture; for other inputs with the
same names a number is appended.

An unusable input is reported in one line and skipped. The exit code is
2 only if no picture could be drawn.

\b
Examples:
  scm transfer me.jpg walking
  scm transfer --src data/ccp/0010 --pose data/ccp/0020 -m runs/ccp
  scm transfer --data data/ccp --src 0010 --src 0030 --pose 0020 --strip
  scm transfer --src group.jpg --person 2 --pose dancer.jpg --keep-size
  scm transfer --src photo.jpg --pose poses.csv -o outputs/poses
  scm transfer --src photo.jpg --pose walking --pose catwalk --mirror
  scm transfer --src photo.jpg --pose openpose/ --frame 1080x1920 \\
               --animate outputs/dance.gif --fps 12
  scm transfer --src me.jpg --pose clip.mp4 -o out.mp4
  scm transfer --src me.jpg --pose walking --personalize
  scm transfer --src front.jpg --src back.jpg --same-person --pose walking
  scm transfer --src me.jpg --pose walking -m exported --runtime onnx
  scm transfer --src me.jpg --pose walking --parser schp.onnx \\
               --parser-labels schp-atr
"""


@grouped
@with_help(_HELP)
def transfer(
    named: InputNames,
    drawing: PhotoOptions,
    inputs: InputOptions,
    animation: AnimationOptions,
    estimators: EstimatorOptions,
    person: PersonOptions,
    strip: Annotated[bool, typer.Option("--strip", help="Also write a strip: source, pose, result.")] = False,
    runtime: RuntimeChoice = Runtime.torch,
) -> None:
    """Draw the person of A in the pose of B, for every A and every B."""
    sources, poses = named.read()
    with stops_with(NOTHING_DRAWN):
        _transfer(sources, poses, drawing, inputs, animation, Extras(estimators, person, strip, runtime))


@dataclass(frozen=True)
class Extras:
    """Further options: estimators, personalization, strips, and the runtime."""

    estimators: EstimatorOptions
    person: PersonOptions
    strip: bool
    runtime: Runtime


def _transfer(
    sources: list[str],
    poses: list[str],
    drawing: PhotoOptions,
    inputs: InputOptions,
    animation: AnimationOptions,
    extras: Extras,
) -> None:
    from scmnet_cli.cli.drawing.setup import check_animation, set_up
    from scmnet_cli.cli.drawing.task import Task
    from scmnet_cli.inference.video_files import is_clip

    exported = drawing.model if extras.runtime is Runtime.onnx else None
    animate, load_analyser = animation.animate, partial(extras.estimators.analyser, exported=exported)
    if any(is_clip(word) for word in poses):
        from scmnet_cli.cli.video import ClipOptions, draw_clip

        _check_no_picture_options(drawing, f"--pose {next(filter(is_clip, poses))}")
        drawing = drawing if animate is None else replace(drawing, out=animate)
        clip = ClipOptions(extras.strip, animation.smooth, extras.runtime, extras.person)
        draw_clip(sources, poses, drawing, inputs, clip, load_analyser)
        return
    if animate is not None:
        check_animation(animate)
        _check_no_picture_options(drawing, f"--animate {animate}")
        drawing = replace(drawing, out=animate.parent)
    person, runtime = extras.person, extras.runtime
    further = {**extras.estimators.given, "runtime": runtime.value, **person.changing}
    finder, renderer = set_up(
        drawing, inputs, further, strip=extras.strip, runtime=runtime, personalizer=person.personalizer()
    )
    finder.use_analyser(load_analyser)
    people = person.grouped(finder.people(sources, "--src"))
    if animate is None:
        renderer.draw(Task(people, finder.poses(poses, "--pose"), {}))
    else:
        renderer.animate(Task(people, finder.sequence(poses, "--pose"), {}), animate, animation.rate)


def _check_no_picture_options(drawing: PhotoOptions, video: str) -> None:
    """Check that options of single pictures are not given for a video or an animated picture.

    Raises:
        ScmError: for the first such option.
    """
    for option, given in (
        ("--keep-size", drawing.keep_size),
        ("--cutout", drawing.cutout),
        ("--skip-existing", drawing.skip_existing),
        ("--before-after", drawing.before_after),
    ):
        if given:
            raise ScmError(f"{option}: is for single pictures; leave out {option} or {video}")
