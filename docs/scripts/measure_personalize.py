"""Measure models of one person: ``python docs/scripts/measure_personalize.py DATA OUT [NUM] [VARIANT ...]``.

DATA is a prepared folder; NUM of its val people (12) are learned one by one from their photo, by each variant. Budgets
are steps, or seconds of the processor and not of the clock: 120 are what two idle cores do in 60 seconds. Judged are
views that were kept out: the photo brought into the poses of six other val people is the source, the photo the truth.
The judged picture is the composed one that users get, on the model's canvas.

OUT/personalize.jsonl gets a line for each person and variant as it is done, and OUT/NAME-VARIANT.png the photo, the
kept-out views before and after, and three shipped poses before and after. A line also holds the measures of every
validation, which say why a guard refused, and the judged measures of the newest weights even if they were refused.
Started again, it goes on where it stopped. At the end it prints a table: medians, and how many people got worse. LPIPS
needs the weights of `scm weights`.
"""

import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from scmnet_cli.data.cropping import resized
from scmnet_cli.data.dataset import PeopleGiven, TrainingBatch
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.images import to_uint8
from scmnet_cli.inference.enlarging import enlarge
from scmnet_cli.inference.personal import before_after_sheet, prepare_run
from scmnet_cli.inference.pipeline import SHIPPED_MODEL, Pipeline
from scmnet_cli.metrics.face_crop import face_crop
from scmnet_cli.metrics.l1 import l1
from scmnet_cli.metrics.lpips import Lpips
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.training.objective import GeneratorPass, Inputs
from scmnet_cli.training.personal_views import held_out_views
from scmnet_cli.training.personalizing import DECODER, Budget, Recipe, recipe_for

NUM_PEOPLE, NUM_VIEWS, SHOWN_VIEWS = 12, 6, 3
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Variant:
    """One variant of the comparison: a recipe and its budget."""

    recipe: Recipe
    budget: Budget


def in_steps(num: int, **recipe: Any) -> Variant:
    """Return a variant of so many steps, validated every eight."""
    return Variant(Recipe(num_checks=num // 8, **recipe), Budget(None, num))


VARIANTS = {
    "60s": Variant(recipe_for(Budget(60)), Budget(120)),
    "120s": Variant(recipe_for(Budget(120)), Budget(240)),
    "300s": Variant(recipe_for(Budget(300)), Budget(600)),
    "16-steps": in_steps(16),
    "24-steps": in_steps(24),
    "24-steps-lr-3e-4": in_steps(24, learning_rate=3e-4),
    "24-steps-all": in_steps(24, trained=()),
    "24-steps-last-layers": in_steps(24, trained=DECODER[1:]),
    "24-steps-no-vgg": Variant(Recipe(num_checks=3, vgg=False), Budget(None, 24)),
    "24-steps-own-canvas": in_steps(24, height=0, batch=2),
}


class Judge:
    """Judges a network on kept-out views of one person."""

    def __init__(self, lpips: Lpips, views: TrainingBatch) -> None:
        self.lpips, self.views = lpips, views
        self.inputs = Inputs.of(views, part_warp=True)

    @torch.no_grad()
    def __call__(self, pipeline: Pipeline) -> tuple[dict[str, float], list[np.ndarray]]:
        """Return the measures, means over the views, and what was drawn."""
        inputs, target, source = self.inputs, self.views.target, self.views.source
        rendering, warp = GeneratorPass(pipeline.model)(inputs).rendering, inputs.warp
        assert warp is not None
        drawn = enlarge(rendering, warp, target.structure, pipeline.background_level).image
        person = 1 - inputs.target_masks[:, BACKGROUND : BACKGROUND + 1]
        faces = face_crop(
            self.lpips, drawn, inputs.target, target.structure, inputs.target_masks, source.structure,
            inputs.style_masks,
        )  # fmt: skip
        found = {
            "lpips_person": self.lpips(drawn, inputs.target, person).mean(),
            "l1_person": l1(drawn, inputs.target, person).mean(),
            "face_crop": faces.nanmean(),
        }
        return {name: float(value) for name, value in found.items()}, [to_uint8(image) for image in drawn]


def kept_out(pipeline: Pipeline, folder: PreparedFolder, name: str) -> TrainingBatch:
    """Return a person's photo as truth, brought into the poses of the next people of val as source."""
    canvas, names = pipeline.canvas, folder.names("val")
    start = names.index(name)
    donors = [resized(folder.load(names[(start + k) % len(names)]), canvas).joints for k in range(1, NUM_VIEWS + 1)]
    photo = PeopleGiven([folder.load(name)], canvas, CPU, plain=True)
    return held_out_views(photo, donors, NUM_VIEWS)


def measure(pipeline: Pipeline, judge: Judge, photo: Any, variant: Variant, sheet: Path) -> dict[str, Any]:
    """Learn one person, judge before and after, and draw the sheet."""
    run = prepare_run(pipeline, [photo], variant.budget, recipe=variant.recipe)
    *_, last = run.steps(variant.budget, time.process_time)
    personal, newest = (
        pipeline.with_difference({name: change.half() for name, change in difference.items()})
        for difference in (run.difference(), run.difference(newest=True))
    )
    (before, first), (after, second), (refused, _) = judge(pipeline), judge(personal), judge(newest)
    views = [to_uint8(image) for image in judge.views.source.image]
    row = [resized(photo, pipeline.canvas).image]
    for number in range(SHOWN_VIEWS):
        row += [views[number], first[number], second[number]]
    poses = before_after_sheet(pipeline, personal, [photo])
    upper = np.concatenate(row, axis=1)
    width = max(upper.shape[1], poses.shape[1])
    both = [np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=255) for part in (upper, poses)]
    Image.fromarray(np.concatenate(both)).save(sheet)
    outcome = {"steps": last.steps, "seconds": round(last.seconds, 1), "held_out": last.best, "why": last.finished}
    outcome |= {
        "harm": last.harm,
        "validations": [{"steps": steps} | asdict(found) for steps, found in run.validations],
    }
    return outcome | {"before": before, "after": after, "newest": refused, "vgg": not run.lacks_vgg}


def chosen_people(folder: PreparedFolder, num: int) -> list[str]:
    """Return val people, spread evenly, of whom neck and both ankles are seen."""
    whole = [name for name in folder.names("val") if (folder.entry(name).joints[[1, 10, 13], 2] > 0).all()]
    return [whole[number * len(whole) // num] for number in range(num)]


def table(lines: list[dict[str, Any]]) -> str:
    """Return the medians of each variant."""
    rows = [
        "| variant | people | steps | LPIPS person | face crop | L1 person | base kept | LPIPS worse |",
        "|" + " --- |" * 8,
    ]
    for variant in dict.fromkeys(line["variant"] for line in lines):
        of = [line for line in lines if line["variant"] == variant]
        ratios = {
            key: [line["after"][key] / line["before"][key] - 1 for line in of]
            for key in ("lpips_person", "face_crop", "l1_person")
        }
        changes = [f"{statistics.median(values):+.1%}" for values in ratios.values()]
        kept = sum(line["held_out"] >= 1 for line in of)
        worse = sum(value > 0 for value in ratios["lpips_person"])
        steps = statistics.median(line["steps"] for line in of)
        rows.append(f"| {variant} | {len(of)} | {steps:g} | {' | '.join(changes)} | {kept} | {worse} |")
    return "\n".join(rows)


def main() -> None:
    """Measure what has not been measured, and print the table."""
    data, out = Path(sys.argv[1]), Path(sys.argv[2])
    num = int(sys.argv[3]) if len(sys.argv) > 3 else NUM_PEOPLE
    variants = sys.argv[4:] or ["60s", "120s", "300s"]
    out.mkdir(parents=True, exist_ok=True)
    log = out / "personalize.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    done = {(line["person"], line["variant"]) for line in lines}
    pipeline, folder, lpips = Pipeline.from_pretrained(SHIPPED_MODEL, "cpu"), PreparedFolder(data), Lpips("alex")
    for name in chosen_people(folder, num):
        waiting = [variant for variant in variants if (name, variant) not in done]
        if not waiting:
            continue
        judge = Judge(lpips, kept_out(pipeline, folder, name))
        for variant in waiting:
            sheet = out / f"{name}-{variant}.png"
            found = measure(pipeline, judge, folder.load(name), VARIANTS[variant], sheet)
            lines.append({"person": name, "variant": variant} | found)
            with log.open("a") as file:
                file.write(json.dumps(lines[-1]) + "\n")
            changes = {key: f"{found['after'][key] / found['before'][key] - 1:+.1%}" for key in found["after"]}
            took = f"{found['steps']} steps, {found['seconds']} s"
            sys.stdout.write(f"{name} {variant}: {took}, {changes} {found['harm']}\n")
            sys.stdout.flush()
    sys.stdout.write(table(lines) + "\n")


if __name__ == "__main__":
    main()
