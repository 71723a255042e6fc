"""``scm demo``: draw a photo with the shipped model, or, with ``--train``, run the whole workflow in miniature."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scmnet_cli.cli.grouping import grouped
from scmnet_cli.cli.options import Device, Model, NoMirroredLimbs, WardrobeFile
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.inputs.demo_people import DEFAULT, PREFIX, complete_demo_people, find_demo_people

if TYPE_CHECKING:
    from scmnet_cli.cli.progress import Bars


@dataclass(frozen=True)
class MiniatureOptions:
    """Options of the miniature workflow."""

    train: Annotated[
        bool,
        typer.Option(
            "--train", help="Instead, run the workflow: make synthetic people, prepare, train for a minute, transfer."
        ),
    ] = False
    images: Annotated[int, typer.Option("--images", min=1, help="With --train: number of training images.")] = 640
    people: Annotated[int, typer.Option("--people", min=10, help="With --train: number of synthetic people.")] = 120
    seed: Annotated[int, typer.Option("--seed", min=0, help="With --train: seed of people and weights.")] = 0


@grouped
def demo(
    miniature: MiniatureOptions,
    photo: Annotated[
        str | None,
        typer.Argument(
            metavar="[PHOTO]",
            autocompletion=complete_demo_people,
            help="A photo of a person, or demo:NAME [default: demo:coral-jacket].",
        ),
    ] = None,
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for the page and the pictures.")] = Path("demo"),
    model: Model = None,
    wardrobe_file: WardrobeFile = None,
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser, if there is one.")] = True,
    device: Device = "auto",
    no_mirrored_limbs: NoMirroredLimbs = False,
) -> None:
    """Draw the person of a photo in other poses and clothes, and show where pixels came from.

    Works offline: photo, model, poses and wardrobe are installed. Writes
    OUT/index.html and OUT/sheet.png. With --train it runs the real steps of
    the main workflow in miniature, on synthetic people.

    \b
    Examples:
      scm demo
      scm demo me.jpg -o me
      scm demo demo:stripes -o stripes
      scm demo --train -o outputs/miniature
    """  # noqa: D301 - a backspace keeps the lines of the examples
    if miniature.train and photo is not None:
        raise ScmError(f"demo {photo} --train: trains on synthetic people; leave out the photo or --train")
    if miniature.train:
        _train(out, miniature, device)
    else:
        _show(photo, out, model, wardrobe_file, show, device, mirrored_limbs=not no_mirrored_limbs)


def _show(
    photo: str | None,
    out: Path,
    model: Path | None,
    wardrobe_file: Path | None,
    show: bool,
    device: str,
    *,
    mirrored_limbs: bool,
) -> None:
    from scmnet_cli.cli.drawing.opening import open_model
    from scmnet_cli.demo.photo import run_demo
    from scmnet_cli.inference.opening import open_wardrobe

    pipeline = open_model(model, device, mirrored_limbs=mirrored_limbs)
    garments = open_wardrobe(wardrobe_file) if wardrobe_file is not None or model is None else None
    photo = photo or f"{PREFIX}{DEFAULT}"
    path = find_demo_people(photo, "demo")[0] if photo.startswith(PREFIX) else Path(photo)
    with _bars() as bar:
        made = run_demo(path, out, pipeline, garments, bar.count)
    print(f"{made.num_pictures} pictures in {made.seconds:.0f} s")
    print(made.sheet)
    print(made.page)
    if show:
        _open(made.page)


def _open(page: Path) -> None:
    """Open a page in a graphical browser, if there is one."""
    import os
    import sys
    import webbrowser

    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    webbrowser.open(page.resolve().as_uri())


def _train(out: Path, options: MiniatureOptions, device: str) -> None:
    from scmnet_cli.demo.miniature import run_miniature

    with _bars() as bar:
        made = run_miniature(
            out,
            num_people=options.people,
            images=options.images,
            seed=options.seed,
            device=device,
            progress=bar.count,
        )
    print(f"{made.num_people} synthetic people, prepared: {made.data}")
    print(f"a small model, trained on them for {made.steps} steps ({made.images} images): {made.run}")
    print("It is trained too briefly to draw well; for a real model see 'Train' in the README.")
    print(f"pictures that it draws: {made.sheet}")


def _bars() -> Bars:
    from scmnet_cli.cli.progress import bars

    return bars()
