"""``scm personalize``: fine-tune the model on one person, from one or more photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scmnet_cli.cli.estimators import EstimatorOptions
from scmnet_cli.cli.grouping import grouped
from scmnet_cli.cli.options import Data, Device, Model, NoMirroredLimbs, PersonNumber
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.inputs.demo_people import complete_demo_people

if TYPE_CHECKING:
    from scmnet_cli.inference.pipeline import Pipeline
    from scmnet_cli.training.personalizing import Budget, PersonalProgress
    from scmnet_cli.types import Person

_ENDING = ".safetensors"
_SHEET_ENDING = ".before-after.png"
_TICKS = 1000
"""Resolution of the progress bar."""

Minutes = Annotated[
    float, typer.Option("--minutes", min=0.1, max=600, help="Maximum training time per person; it may end earlier.")
]
Steps = Annotated[
    int | None,
    typer.Option("--steps", min=1, max=100_000, metavar="N", help="Train for N steps instead of a time."),
]


@dataclass(frozen=True)
class LearningOptions:
    """Options of the training length."""

    minutes: Minutes = 2
    steps: Steps = None


def budget_of(options: LearningOptions) -> Budget:
    """Return the training budget of the options."""
    from scmnet_cli.training.personalizing import Budget

    return Budget(60 * options.minutes) if options.steps is None else Budget(None, options.steps)


@grouped
def personalize(
    photos: Annotated[
        list[str],
        typer.Argument(
            metavar="PHOTO...",
            autocompletion=complete_demo_people,
            help="Photos of one person in the same clothes: files, a folder, demo:NAME or DATA/NAME.",
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The personal model, a .safetensors file.")],
    learning: LearningOptions,
    estimators: EstimatorOptions,
    model: Model = None,
    device: Device = "auto",
    data: Data = None,
    person: PersonNumber = 0,
    sheet: Annotated[bool, typer.Option("--sheet/--no-sheet", help="Write a sheet with before and after.")] = True,
    no_mirrored_limbs: NoMirroredLimbs = False,
) -> None:
    """Fine-tune the model on one person.

    Outlines, shoes and patterns get sharper. Limbs that the photo does not
    show do not get better.

    Writes FILE, at most 4 MB, with the difference to the base model; use it
    like any model: -m FILE. FILE.before-after.png shows three poses before
    and after.

    Training is validated on held-out views of the photos. It ends when these
    no longer improve, and the best weights are kept. Ctrl-C keeps the best
    so far. If nothing improved, the base model's weights are kept.

    FILE is as private as the photos, since it draws this person.

    \b
    Examples:
      scm personalize me.jpg -o me.safetensors
      scm personalize front.jpg back.jpg -o me.safetensors --minutes 5
      scm transfer --src me.jpg --pose walking -m me.safetensors
    """  # noqa: D301 - a backspace keeps the lines of the examples
    from scmnet_cli.cli.drawing.opening import find_inputs, open_model
    from scmnet_cli.cli.options import InputOptions
    from scmnet_cli.types import Person

    if out.suffix != _ENDING:
        raise ScmError(f"-o {out}: is not the name of a model file; use the ending {_ENDING}")
    budget = budget_of(learning)
    pipeline = open_model(model, device, mirrored_limbs=not no_mirrored_limbs)
    if pipeline.is_personal:
        raise ScmError(f"-m {model}: is a personalized model already; give its base model")
    finder = find_inputs(pipeline, InputOptions(data=data, person=person))
    finder.use_analyser(estimators.analyser)
    read = [given.read() for given in finder.people(photos, "PHOTO")]
    people = [shown for shown in read if isinstance(shown, Person)]
    _learn(pipeline, people, budget, out, sheet=sheet)
    print(out)


def _learn(pipeline: Pipeline, people: list[Person], budget: Budget, out: Path, *, sheet: bool) -> None:
    """Fine-tune the model; write the personal model and, on request, the sheet with before and after."""
    from scmnet_cli.checkpoint import save_personal
    from scmnet_cli.cli.console import note
    from scmnet_cli.inference.personal import before_after_sheet
    from scmnet_cli.inference.personal import personalize as learn
    from scmnet_cli.provenance import save_generated

    with learning_bar() as show:
        learned = learn(pipeline, people, budget, progress=show)
    if learned.lacks_vgg:
        note("no VGG weights found, so the losses on VGG features were left out; 'scm weights fetch vgg16' gets them")
    save_personal(out, learned.difference, pipeline.path)
    if sheet:
        drawn = before_after_sheet(pipeline, pipeline.with_personal(out), people)
        save_generated(out.with_name(out.stem + _SHEET_ENDING), drawn)
        note(f"before and after: {out.with_name(out.stem + _SHEET_ENDING)}")


@contextmanager
def learning_bar(name: str = "") -> Iterator[Callable[[PersonalProgress], None]]:
    """Show a progress bar on stderr and a summary line at the end; yield the function that updates the bar."""
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

    from scmnet_cli.cli.console import note, progress_console
    from scmnet_cli.cli.progress import Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[found]}"), TimeElapsedColumn())
    last: list[PersonalProgress] = []

    def show(state: PersonalProgress) -> None:
        last[:] = [state]
        found = f"{state.steps} steps, held-out error {state.best - 1:+.1%}"
        done = _TICKS if state.finished else int(_TICKS * state.share)
        bar.count(f"training on {name}" if name else "training", done, _TICKS, found=found)

    with Bars(*columns, console=progress_console()) as bar:
        yield show
    if last:
        note(_summary(last[-1]))


def _summary(state: PersonalProgress) -> str:
    why = state.finished or "interrupted"
    done = f"{state.steps} steps in {state.seconds:.0f} s ({why})"
    if state.best < 1:
        return f"trained: {done}; error on held-out views {state.best - 1:+.1%}"
    if state.harm:
        return f"nothing kept: {done}; held-out views improved, but {state.harm}; the base model is kept"
    return f"no improvement on held-out views: {done}; the base model is kept"
