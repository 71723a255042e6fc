"""``scm transfer``: the people of some pictures in the poses of others."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    """An animated picture, or the clip of a film."""

    animate: Annotated[
        Path | None,
        typer.Option(
            "--animate",
            metavar="FILE",
            help="Write one animated picture instead, a frame a pose in order: FILE.gif, FILE.webp or FILE.png (APNG). "
            "With --strip each frame shows source, pose and result.",
        ),
    ] = None
    rate: Annotated[float, typer.Option("--fps", min=0.1, max=50, help="Frames a second of the animated picture.")] = 8
    smooth: Annotated[
        float | None,
        typer.Option(
            "--smooth", min=0, max=5, metavar="S", help="Of a clip: smooth the joints over S seconds; 0: not."
        ),
    ] = None


@dataclass(frozen=True)
class InputNames:
    """Who is drawn in which poses: by options, or the two words after the command."""

    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[A B]", autocompletion=complete_poses, help="Short for --src A --pose B.", show_default=False
        ),
    ] = None
    sources: OptionalSources = None
    poses: Annotated[
        list[str] | None,
        typer.Option(
            "--pose",
            metavar="B",
            autocompletion=complete_poses,
            help="The pose: as --src, or a shipped pose (`scm poses` lists them), a pose file (FILE.json, FILE.csv, "
            "FILE.csv#ROW), or a folder of these; repeatable.",
        ),
    ] = None

    def read(self) -> tuple[list[str], list[str]]:
        """Return sources and poses.

        Raises:
            ScmError: if both forms are given, not two words, or an option is missing.
        """
        words, sources, poses = self.words or [], self.sources or [], self.poses or []
        if words and (sources or poses):
            option = f"--src {sources[0]}" if sources else f"--pose {poses[0]}"
            raise ScmError(f"{' '.join(words)}: stands beside {option}; give all by options, or A and B alone")
        if words and len(words) != _NUM_WORDS:
            raise ScmError(
                f"{' '.join(words)}: expected one person and one pose, not {len(words)} words; name any number with "
                "--src and --pose"
            )
        if words:
            return words[:1], words[1:]
        if not sources or not poses:
            missing = "--pose" if sources else "--src"
            raise ScmError(
                f"{missing}: is missing; say who is drawn in which pose, such as: scm transfer me.jpg walking"
            )
        return sources, poses


_HELP = """Draw the person of A in the pose of B: every A in every B.

Writes OUT/A_to_B.png with a JSON beside it (inputs, model, settings,
seconds, metrics), and prints the path of each picture. The same inputs
overwrite their earlier picture; other inputs of the same names get a
number.

An unusable input is reported in one line and skipped; the exit
code is 2 only if nothing at all could be drawn.

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
    """Draw the person of A in the pose of B: every A in every B."""
    sources, poses = named.read()
    with stops_with(NOTHING_DRAWN):
        _transfer(sources, poses, drawing, inputs, animation, Extras(estimators, person, strip, runtime))


@dataclass(frozen=True)
class Extras:
    """Estimators of raw photos, how a person is learned, whether strips are written, and what runs the networks."""

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
    from scmnet_cli.cli.drawing.artist import check_animation, set_up
    from scmnet_cli.cli.drawing.task import Task
    from scmnet_cli.cli.video import ClipOptions, draw_clip, is_clip

    animate, look = animation.animate, extras.estimators.analyser
    if any(is_clip(word) for word in poses):
        _check_film(drawing, f"--pose {next(filter(is_clip, poses))}")
        drawing = drawing if animate is None else replace(drawing, out=animate)
        clip = ClipOptions(extras.strip, animation.smooth, extras.runtime, extras.person)
        draw_clip(sources, poses, drawing, inputs, clip, look)
        return
    if animate is not None:
        check_animation(animate)
        _check_film(drawing, f"--animate {animate}")
        drawing = replace(drawing, out=animate.parent)
    person, runtime = extras.person, extras.runtime
    further = {**extras.estimators.given, "runtime": runtime.value, **person.changing}
    finder, artist = set_up(drawing, inputs, further, strip=extras.strip, runtime=runtime, teach=person.teach())
    finder.look_with(look)
    people = person.grouped(finder.people(sources, "--src"))
    if animate is None:
        artist.draw(Task(people, finder.poses(poses, "--pose"), {}))
    else:
        artist.animate(Task(people, finder.sequence(poses, "--pose"), {}), animate, animation.rate)


def _check_film(drawing: PhotoOptions, film: str) -> None:
    """Refuse options of single pictures for a film or an animated picture.

    Raises:
        ScmError: naming the first of them.
    """
    for option, given in (
        ("--keep-size", drawing.keep_size),
        ("--cutout", drawing.cutout),
        ("--skip-existing", drawing.skip_existing),
        ("--before-after", drawing.before_after),
    ):
        if given:
            raise ScmError(f"{option}: is for single pictures; leave it or {film} out")
