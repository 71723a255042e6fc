"""Options for drawing one person: several photos of them, and fine-tuning the model on them first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from scmnet_cli.cli.personalize import LearningOptions, Minutes, Steps, budget_of, learning_bar
from scmnet_cli.errors import ScmError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scmnet_cli.cli.drawing.input import Input
    from scmnet_cli.cli.drawing.renderer import Personalizer
    from scmnet_cli.inference.drawing_model import DrawingModel
    from scmnet_cli.training.personalizing import Budget
    from scmnet_cli.types import Person


@dataclass(frozen=True)
class PersonOptions:
    """Whether all photos show one person, and whether to personalize the model first."""

    same_person: Annotated[
        bool,
        typer.Option(
            "--same-person",
            help="All photos of --src show one person in the same clothes; each body part is taken from the photo that "
            "shows it best.",
        ),
    ] = False
    personalize: Annotated[
        bool,
        typer.Option(
            "--personalize",
            help="First fine-tune the model on each person, as `scm personalize` does; results are "
            "cached, so the same photos are used only once.",
        ),
    ] = False
    minutes: Minutes = 2
    steps: Steps = None

    @property
    def changing(self) -> dict[str, int | float]:
        """The options that change a picture, by name; empty without --personalize."""
        if not self.personalize:
            return {}
        budget = {"minutes": self.minutes} if self.steps is None else {"steps": self.steps}
        return {"personalize": True, **budget}

    def personalizer(self) -> Personalizer | None:
        """Return a function that fine-tunes a model on a person; None without --personalize."""
        if not self.personalize:
            return None
        return partial(_personalized, budget=budget_of(LearningOptions(self.minutes, self.steps)))

    def grouped(self, photos: list[Input]) -> list[Input]:
        """Return photos as one input with --same-person, else unchanged."""
        from scmnet_cli.cli.drawing.input import one_person

        return [one_person(photos)] if self.same_person and photos else photos


def _personalized(pipeline: DrawingModel, photos: Sequence[Person], budget: Budget) -> DrawingModel:
    from scmnet_cli.inference.personal import cached_personal
    from scmnet_cli.inference.pipeline import Pipeline

    if not isinstance(pipeline, Pipeline):
        raise ScmError("--personalize: an exported model does not learn; leave out --runtime onnx")
    if pipeline.is_personal:
        raise ScmError(f"--personalize: {pipeline.path} is a personalized model already; leave out one of the two")
    with learning_bar(photos[0].name) as show:
        return cached_personal(pipeline, photos, budget, progress=show)
