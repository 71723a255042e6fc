"""``scm demo``: the main job in miniature."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder for everything the demo makes.")] = Path(
        "outputs/demo"
    ),
    images: Annotated[int, typer.Option("--images", min=1, help="Train on this many images.")] = 640,
    people: Annotated[int, typer.Option("--people", min=10, help="Draw this many people.")] = 120,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of people and weights.")] = 0,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")] = "auto",
) -> None:
    """Draw people, prepare them, train for some steps, transfer and edit, and draw a sheet of it all.

    No trained model is shipped yet: this shows that everything runs, not how well it draws. Each step is the real one.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

    from scmnet_cli.cli.progress import Bars
    from scmnet_cli.demo import run_demo

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True)) as bar:
        made = run_demo(out, num_people=people, images=images, seed=seed, device=device, progress=bar.count)
    print(f"{made.num_people} people, drawn by this program and prepared: {made.data}")
    print(f"a small model, trained on them for {made.steps} steps ({made.images} images): {made.run}")
    print("It has seen too little to draw well; for a real model see 'Real photos' in the README.")
    print(f"what it draws: {made.sheet}")
