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
    help="Person to draw: DATA/NAME of a prepared folder, any photo, demo:NAME for a shipped photo, or a whole "
    "prepared folder or folder of photos; repeatable.",
)
Sources = Annotated[list[str], _SOURCE]
OptionalSources = Annotated[list[str] | None, _SOURCE]
Model = Annotated[
    Path | None,
    typer.Option(
        "-m",
        "--model",
        envvar="SCM_MODEL",
        help="Run folder of `scm train` or model file [default: the shipped model].",
    ),
]
WardrobeFile = Annotated[
    Path | None,
    typer.Option(
        "--wardrobe", envvar="SCM_WARDROBE", metavar="FILE", help="Wardrobe file [default: the shipped wardrobe]."
    ),
]
OutFolder = Annotated[
    Path, typer.Option("-o", "--out", help="Output folder, or FILE.png, .jpg or .webp for a single picture.")
]
Data = Annotated[
    Path | None, typer.Option("--data", help="Prepared folder; A and B may then be just the names of its entries.")
]
Frame = Annotated[
    str | None,
    typer.Option(
        "--frame",
        metavar="HxW",
        help="Image size for pose files that do not give one themselves [default: 256x176].",
    ),
]
PersonNumber = Annotated[
    int,
    typer.Option(
        "--person",
        min=0,
        metavar="N",
        help="Person to draw from a photo with several people: the N-th largest, from 1. 0: the most prominent.",
    ),
]
PosePersonNumber = Annotated[
    int,
    typer.Option(
        "--pose-person",
        min=0,
        metavar="N",
        help="Person who gives the pose, in a photo or pose file with several people: the N-th, from 1. 0: the most "
        "prominent.",
    ),
]
KeepSize = Annotated[
    bool,
    typer.Option(
        "--keep-size",
        help="Put the result back into the photo that gives the pose, at full size, in place of the person there; "
        "with a face model only edits.",
    ),
]
BeforeAfter = Annotated[
    bool,
    typer.Option(
        "--before-after", help="With --keep-size: also write NAME.before-after.png, photo and result side by side."
    ),
]
Mirror = Annotated[bool, typer.Option("--mirror", help="Mirror the poses and swap left and right joints.")]
Batch = Annotated[
    int, typer.Option("--batch", min=0, max=1024, help="Poses per forward pass; 0: 1 on a CPU, 8 on a GPU.")
]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")]
RuntimeChoice = Annotated[
    Runtime,
    typer.Option(
        "--runtime", help="Runtime of the networks; onnx: ONNX Runtime on the CPU, with -m a folder of `scm export`."
    ),
]


@dataclass(frozen=True)
class InputOptions:
    """Where to find people and poses, and which person to take from several."""

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
        help="Size of the pictures, height first, such as 512x352; `model`: the network's canvas [default: the photo's "
        "own size, at most 1024x704].",
    ),
]


Mark = Annotated[
    bool,
    typer.Option(
        "--mark",
        help="Write a small visible “AI-generated” into the corner of each picture. The metadata always says so.",
    ),
]


NoMirroredLimbs = Annotated[
    bool,
    typer.Option(
        "--no-mirrored-limbs",
        help="Draw only what a photo shows of arms and legs: for people with one arm, a prosthesis or a tattoo. "
        "Otherwise both sides are assumed alike, and a limb that hardly shows is drawn as the other one, mirrored.",
    ),
]


@dataclass(frozen=True)
class OutputOptions:
    """Options of drawing: model, device, output, and whether limbs are mirrored."""

    model: Model = None
    out: OutFolder = Path("outputs")
    device: Device = "auto"
    size: Size = None
    mark: Mark = False
    no_mirrored_limbs: NoMirroredLimbs = False


Cutout = Annotated[
    bool,
    typer.Option(
        "--cutout",
        help="Make the background transparent (PNG or WebP); needs a model that predicts a foreground mask.",
    ),
]
SkipExisting = Annotated[
    bool,
    typer.Option(
        "--skip-existing",
        help="Skip pictures that already exist for the same inputs, model and options.",
    ),
]


@dataclass(frozen=True)
class DrawingOptions(OutputOptions):
    """Output options, and the batch size, cut-outs and skipping of existing pictures."""

    batch: Batch = 0
    cutout: Cutout = False
    skip_existing: SkipExisting = False


@dataclass(frozen=True)
class PhotoOptions(DrawingOptions):
    """Drawing options, and putting the result back into the photo."""

    keep_size: KeepSize = False
    before_after: BeforeAfter = False


def read_size(text: str, option: str, example: str) -> Canvas:
    """Parse a size such as ``256x176``, height first.

    Args:
        text: value of the option.
        option: name of the option for the error.
        example: valid size for the error.

    Raises:
        ScmError: if it is not a size.
    """
    from scmnet_cli.types import Canvas

    size = Canvas.parse(text)
    if size is None:
        raise ScmError(f"{option} {text}: is not a size; write height x width, such as {example}")
    return size
