"""``scm transfer``: the people of some pictures in the poses of others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from scmnet_cli.cli.drawing.same_person import PersonOptions
from scmnet_cli.cli.estimators import EstimatorOptions
from scmnet_cli.cli.grouping import grouped
from scmnet_cli.cli.options import InputOptions, PhotoOptions, Runtime, RuntimeChoice, Sources
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.inputs.demo_people import complete_demo_people


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


@grouped
def transfer(
    sources: Sources,
    poses: Annotated[
        list[str],
        typer.Option(
            "--pose",
            metavar="B",
            autocompletion=complete_demo_people,
            help="The pose: as --src, or a shipped pose (`scm poses` lists them), a pose file (FILE.json, FILE.csv, "
            "FILE.csv#ROW), or a folder of these; repeatable.",
        ),
    ],
    drawing: PhotoOptions,
    inputs: InputOptions,
    animation: AnimationOptions,
    estimators: EstimatorOptions,
    person: PersonOptions,
    strip: Annotated[bool, typer.Option("--strip", help="Also write a strip: source, pose, result.")] = False,
    runtime: RuntimeChoice = Runtime.torch,
) -> None:
    """Draw the person of A in the pose of B: every A in every B.

    Writes OUT/A_to_B.png with a JSON beside it (inputs, model, settings,
    seconds, metrics), and prints the path of each picture. The same inputs
    overwrite their earlier picture; other inputs of the same names get a
    number.

    An unusable input is reported in one line and skipped; the exit
    code is 2 only if nothing at all could be drawn.

    \b
    Examples:
      scm transfer --src data/ccp/0010 --pose data/ccp/0020 -m runs/ccp
      scm transfer --data data/ccp --src 0010 --src 0030 --pose 0020 --strip
      scm transfer --src me.jpg --pose dancer.jpg
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
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from scmnet_cli.cli.drawing.artist import Task, check_animation, set_up
    from scmnet_cli.cli.video import ClipOptions, draw_clip, is_clip

    animate = animation.animate
    if any(is_clip(word) for word in poses):
        if drawing.keep_size:
            raise ScmError("--keep-size: is for single pictures; leave it out, or the film")
        drawing = drawing if animate is None else replace(drawing, out=animate)
        clip = ClipOptions(strip, animation.smooth, runtime, person)
        draw_clip(sources, poses, drawing, inputs, clip, estimators.analyser)
        return
    if animate is not None:
        check_animation(animate)
        if drawing.keep_size:
            raise ScmError("--keep-size: is for single pictures; leave it or --animate out")
        drawing = replace(drawing, out=animate.parent)
    finder, artist = set_up(drawing, inputs, strip=strip, runtime=runtime, teach=person.teach())
    finder.look_with(estimators.analyser)
    people = person.grouped(finder.people(sources, "--src"))
    if animate is None:
        artist.draw(Task(people, finder.poses(poses, "--pose"), {}))
    else:
        artist.animate(Task(people, finder.sequence(poses, "--pose"), {}), animate, animation.rate)
