"""Train the shipped decoder on exactly warped sources: ``python docs/scripts/finish_decoder.py DATA OUT [STEPS]``.

DATA is a prepared folder; the recipe of `scm personalize` runs on all of its train people at once (2800 steps of four
pairs: 38 minutes of two cores). Nine people are kept out, and their error is logged every 250 steps, where the shipped
model's is 1. OUT is the model, a .safetensors file for `-m`; it is written again at each of these steps.
docs/lab/settings.md says what came out.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from scmnet_cli.checkpoint import load_model, save_model
from scmnet_cli.data.cropping import resized
from scmnet_cli.data.dataset import PeopleGiven
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.inference.personal import library_poses, prepare_run
from scmnet_cli.inference.pipeline import SHIPPED_MODEL, Pipeline
from scmnet_cli.training.personal_views import PersonalStream
from scmnet_cli.training.personalizing import Budget, PersonalRun, Recipe

BATCH, EVERY, SEED = 4, 250, 1
_KEPT_OUT, _DONORS = 100, 6  # every so many people: one is kept out; one of the others is a donor of poses


class ManyPeople(PersonalStream):
    """Pairs as of one person, of many: the source is always the target's own photo."""

    def _partner(self, index: int, position: int) -> int:  # noqa: ARG002 - as in the base class
        return index


def run_of(pipeline: Pipeline, folder: PreparedFolder, steps: int) -> PersonalRun:
    """Return a run on the train people of a folder."""
    people = [folder.load(name) for name in folder.names("train")]
    kept_out = people[::_KEPT_OUT]
    used = [person for number, person in enumerate(people) if number % _KEPT_OUT]
    recipe = Recipe(batch=BATCH, pool=16 * BATCH, num_checks=max(steps // EVERY, 1), patience=steps)
    run = prepare_run(pipeline, kept_out, Budget(None, steps), recipe=recipe)
    donors = [pose for number, pose in enumerate(library_poses(pipeline.canvas).values()) if number % 4]
    donors += [resized(person, pipeline.canvas).joints for person in used[::_DONORS]]
    given = PeopleGiven(used, pipeline.canvas, run.device, plain=True)
    run._stream = ManyPeople(given, pipeline.config.data, SEED, donors)  # noqa: SLF001 - the run has one person's
    return run


def main(data: Path, out: Path, steps: int = 2800) -> None:
    """Train, and write the model."""
    pipeline = Pipeline.from_pretrained(SHIPPED_MODEL, "cpu")
    run, saved = run_of(pipeline, PreparedFolder(data), steps), load_model(SHIPPED_MODEL)
    for state in run.steps(Budget(None, steps)):
        if state.steps and (state.steps % EVERY == 0 or state.finished):
            changed = {name: saved.state[name] + change for name, change in run.difference(newest=True).items()}
            save_model(out, saved.state | changed, saved.config, half=True, extra=saved.extra)
            sys.stdout.write(f"{state.steps} steps: error {state.error:.3f}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:4]))
