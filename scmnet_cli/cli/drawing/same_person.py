"""Options of drawing one person: several photos of them, and a model that is taught them first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from scmnet_cli.cli.personalize import LearningOptions, Minutes, Steps, budget_of, learning_bar
from scmnet_cli.errors import ScmError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scmnet_cli.cli.drawing.artist import Teach
    from scmnet_cli.cli.drawing.input import Input
    from scmnet_cli.inference.pipeline import Pipeline
    from scmnet_cli.training.personalizing import Budget
    from scmnet_cli.types import Person


@dataclass(frozen=True)
class PersonOptions:
    """What is known of the person, and whether it is learned first."""

    same_person: Annotated[
        bool,
        typer.Option(
            "--same-person",
            help="All photos of --src show one person in the same clothes; each part is taken from the photo that "
            "shows it best.",
        ),
    ] = False
    personalize: Annotated[
        bool,
        typer.Option(
            "--personalize",
            help="Learn each person first, as `scm personalize` does; the same photos are learned once and kept in "
            "the user's cache.",
        ),
    ] = False
    minutes: Minutes = 2
    steps: Steps = None

    @property
    def changing(self) -> dict[str, int | float]:
        """The options that change a picture, by name, where the person is learned."""
        if not self.personalize:
            return {}
        budget = {"minutes": self.minutes} if self.steps is None else {"steps": self.steps}
        return {"personalize": True, **budget}

    def teach(self) -> Teach | None:
        """Return what teaches a model a person, if that is wanted."""
        if not self.personalize:
            return None
        return partial(_taught, budget=budget_of(LearningOptions(self.minutes, self.steps)))

    def grouped(self, photos: list[Input]) -> list[Input]:
        """Return photos of one person as one input, if they are said to be of one."""
        from scmnet_cli.cli.drawing.input import one_person

        return [one_person(photos)] if self.same_person and photos else photos


def _taught(pipeline: Pipeline, photos: Sequence[Person], budget: Budget) -> Pipeline:
    from scmnet_cli.inference.personal import cached_personal

    if pipeline.is_personal:
        raise ScmError(f"--personalize: {pipeline.path} is a model of one person already; leave one of the two out")
    with learning_bar(photos[0].name) as show:
        return cached_personal(pipeline, photos, budget, progress=show)
