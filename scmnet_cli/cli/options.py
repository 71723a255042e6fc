"""Options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scmnet_cli.errors import ScmError
from scmnet_cli.inference.inputs.demo_people import complete_demo_people

if TYPE_CHECKING:
    from scmnet_cli.types import Canvas


class Runtime(StrEnum):
    """Runtime of the networks."""

    torch = "torch"
    onnx = "onnx"


class DomainName(StrEnum):
    """Names of :data:`scmnet_cli.domains.DOMAINS`."""

    PERSON = "person"
    FACE = "face"


_SOURCE = typer.Option(
    "--src",
    metavar="A",
    autocompletion=complete_demo_people,
    help="Who is drawn: DATA/NAME of a prepared folder, any photo, demo:NAME of the photos that ship, or a whole "
    "folder of either kind; repeatable.",
)
Sources = Annotated[list[str], _SOURCE]
OptionalSources = Annotated[list[str] | None, _SOURCE]
Model = Annotated[
    Path | None,
    typer.Option(
        "-m", "--model", envvar="SCM_MODEL", help="Run folder of `scm train`, or a model file; else the one that ships."
    ),
]
Closet = Annotated[
    Path | None,
    typer.Option("--wardrobe", envvar="SCM_WARDROBE", metavar="FILE", help="Wardrobe file; else the one that ships."),
]
OutFolder = Annotated[
    Path, typer.Option("-o", "--out", help="Folder for the pictures, or FILE.png, .jpg or .webp for one.")
]
Data = Annotated[
    Path | None, typer.Option("--data", help="Prepared folder whose entries A and B name without its path.")
]
Frame = Annotated[
    str | None,
    typer.Option(
        "--frame",
        metavar="HxW",
        help="Size of the pictures that a pose file refers to, where it does not say so itself; else 256x176.",
    ),
]
PersonNumber = Annotated[
    int,
    typer.Option(
        "--person",
        min=0,
        metavar="N",
        help="Of a photo with several people, who is drawn: the N-th by size, from 1. 0: the most prominent.",
    ),
]
PosePersonNumber = Annotated[
    int,
    typer.Option(
        "--pose-person",
        min=0,
        metavar="N",
        help="Of a photo or pose file with several people, who gives the pose: the N-th, from 1. 0: the most "
        "prominent.",
    ),
]
KeepSize = Annotated[
    bool,
    typer.Option(
        "--keep-size",
        help="Put the result into the photo that gives the pose, in its full size, in the place of who stands there.",
    ),
]
BeforeAfter = Annotated[
    bool,
    typer.Option(
        "--before-after", help="With --keep-size: also write NAME.before-after.png, photo and result side by side."
    ),
]
Mirror = Annotated[bool, typer.Option("--mirror", help="Mirror the poses, left and right joints swapped.")]
Batch = Annotated[int, typer.Option("--batch", min=0, max=1024, help="Poses at a time; 0: 1 on a CPU, 8 on a GPU.")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")]
RuntimeChoice = Annotated[
    Runtime,
    typer.Option(
        "--runtime", help="What runs the networks; onnx: ONNX Runtime on the CPU, -m a folder of `scm export`."
    ),
]


@dataclass(frozen=True)
class InputOptions:
    """Where people and poses are looked for, and which of several is meant."""

    data: Data = None
    frame: Frame = None
    person: PersonNumber = 0
    pose_person: PosePersonNumber = 0
    mirror: Mirror = False


Size = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="HxW",
        help="Size of the pictures, height first, such as 512x352; `model`: the network's own canvas. Default: the "
        "photo's own size, up to 1024x704.",
    ),
]


Mark = Annotated[
    bool,
    typer.Option(
        "--mark", help="Write a small visible “AI-generated” into the corner of each picture; all say so in metadata."
    ),
]


@dataclass(frozen=True)
class OutputOptions:
    """Options of drawing: model, device and output."""

    model: Model = None
    out: OutFolder = Path("outputs")
    device: Device = "auto"
    size: Size = None
    mark: Mark = False


Cutout = Annotated[
    bool,
    typer.Option(
        "--cutout", help="Leave the background transparent (PNG or WebP), with a model that draws a foreground mask."
    ),
]
SkipExisting = Annotated[
    bool,
    typer.Option(
        "--skip-existing",
        help="Keep pictures that are there already, of the same inputs, model and options, and draw the others.",
    ),
]


@dataclass(frozen=True)
class DrawingOptions(OutputOptions):
    """The same, how many pictures at a time, and which of them."""

    batch: Batch = 0
    cutout: Cutout = False
    skip_existing: SkipExisting = False


@dataclass(frozen=True)
class PhotoOptions(DrawingOptions):
    """The same, where the result may go back into the photo."""

    keep_size: KeepSize = False
    before_after: BeforeAfter = False


def read_size(text: str, option: str, example: str) -> Canvas:
    """Read a size such as ``256x176``, height first.

    Args:
        text: what was given.
        option: where, for the message.
        example: a size that makes sense there, for the message.

    Raises:
        ScmError: if it is none.
    """
    from scmnet_cli.types import Canvas

    size = Canvas.parse(text)
    if size is None:
        raise ScmError(f"{option} {text}: is no size; write height x width, such as {example}")
    return size
