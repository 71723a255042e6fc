"""Measure models of one person: ``python docs/scripts/measure_personalize.py DATA OUT [NUM] [VARIANT ...]``.

DATA is a prepared folder; NUM of its val people (12), or those named (0011,0066), are learned one by one from their
photo, by each variant. Budgets are steps; those of 60, 120 and 300 seconds are what two idle cores do in that time
(docs/lab/personalize.md).

Judged are views that were kept out: the photo brought into the poses of six other val people is the source, the photo
the truth. In a second judgement, "elsewhere", the photo brought into the poses of six further people is the truth,
where the warp covers it: it shows whether more is learned than the pose of the photo. The judged picture is the
composed one that users get, on the model's canvas.

OUT/personalize.jsonl gets a line for each person and variant as it is done, and OUT/NAME-VARIANT.png the photo, the
kept-out views before and after, and three shipped poses before and after; OUT/NAME-VARIANT.safetensors
is the personal model. A line also holds the measures of every
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

from scmnet_cli.checkpoint import save_personal
from scmnet_cli.data.cropping import resized
from scmnet_cli.data.dataset import Batch, PeopleGiven, TrainingBatch
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.data.reposing import align_pose, repose
from scmnet_cli.images import to_uint8
from scmnet_cli.inference.composition.enlarging import enlarge
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
    """Return a variant of so many steps, validated about every twenty."""
    return Variant(Recipe(num_checks=max(num // 20, 1), **recipe), Budget(None, num))


VARIANTS = {
    "60s": Variant(recipe_for(Budget(60)), Budget(None, 190)),
    "120s": Variant(recipe_for(Budget(120)), Budget(None, 395)),
    "300s": Variant(recipe_for(Budget(300)), Budget(None, 1010)),
    "30-steps": Variant(Recipe(num_checks=1), Budget(None, 30)),
    "60-steps": in_steps(60),
    "60-steps-lr-1e-4": in_steps(60, learning_rate=1e-4),
    "60-steps-last-layers": in_steps(60, trained=DECODER[1:]),
    "60-steps-no-vgg": in_steps(60, vgg=False),
    "60-steps-float32": in_steps(60, bfloat16=False),
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
        if inputs.sure is not None:
            drawn, person = torch.lerp(inputs.target, drawn, inputs.sure), person * inputs.sure
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


def donors_of(pipeline: Pipeline, folder: PreparedFolder, name: str, first: int) -> list[np.ndarray]:
    """Return joints of six people of val, beginning with the ``first`` after a person."""
    names = folder.names("val")
    start = names.index(name) + first
    donors = (folder.load(names[(start + number) % len(names)]) for number in range(NUM_VIEWS))
    return [resized(donor, pipeline.canvas).joints for donor in donors]


def kept_out(pipeline: Pipeline, folder: PreparedFolder, name: str) -> TrainingBatch:
    """Return a person's photo as truth, brought into the poses of the next people of val as source."""
    photo = PeopleGiven([folder.load(name)], pipeline.canvas, CPU, plain=True)
    return held_out_views(photo, donors_of(pipeline, folder, name, 1), NUM_VIEWS)


def elsewhere(pipeline: Pipeline, folder: PreparedFolder, name: str, views: TrainingBatch) -> TrainingBatch:
    """Return the same sources with the photo brought into the poses of six further people of val as the truth."""
    target, posed = views.target, views.target.structure.clone()
    for row, donor in enumerate(donors_of(pipeline, folder, name, NUM_VIEWS + 1)):
        pose = align_pose(target.structure[row].numpy(), donor)
        if pose is not None:
            posed[row] = torch.from_numpy(pose)
    moved = repose(target.image, target.labels, target.structure, posed, plain=True)
    return TrainingBatch(Batch(moved.image, moved.labels, moved.joints, target.domain), views.source, moved.sure)


def measure(
    pipeline: Pipeline, judges: tuple[Judge, Judge], photo: Any, variant: Variant, sheet: Path
) -> dict[str, Any]:
    """Learn one person, judge before and after, and draw the sheet."""
    judge, other = judges
    run = prepare_run(pipeline, [photo], variant.budget, recipe=variant.recipe)
    *_, last = run.steps(variant.budget, time.process_time)
    save_personal(sheet.with_suffix(".safetensors"), run.difference(), pipeline.path)
    personal, newest = (
        pipeline.with_difference({name: change.half() for name, change in difference.items()})
        for difference in (run.difference(), run.difference(newest=True))
    )
    (before, first), (after, second), (refused, _) = judge(pipeline), judge(personal), judge(newest)
    for found, model in ((before, pipeline), (after, personal), (refused, newest)):
        found |= {f"elsewhere_{name}": value for name, value in other(model)[0].items() if name != "face_crop"}
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
        "| variant | people | steps | LPIPS person | face crop | L1 person | elsewhere | its L1 | base kept | worse |",
        "|" + " --- |" * 10,
    ]
    for variant in dict.fromkeys(line["variant"] for line in lines):
        of = [line for line in lines if line["variant"] == variant]
        ratios = {
            key: [line["after"][key] / line["before"][key] - 1 for line in of]
            for key in ("lpips_person", "face_crop", "l1_person", "elsewhere_lpips_person", "elsewhere_l1_person")
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
    people = sys.argv[3] if len(sys.argv) > 3 else str(NUM_PEOPLE)
    variants = sys.argv[4:] or ["60s", "120s", "300s"]
    out.mkdir(parents=True, exist_ok=True)
    log = out / "personalize.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    done = {(line["person"], line["variant"]) for line in lines}
    pipeline, folder, lpips = Pipeline.from_pretrained(SHIPPED_MODEL, "cpu"), PreparedFolder(data), Lpips("alex")
    chosen = people.split(",") if len(people) > 2 else chosen_people(folder, int(people))
    for name in chosen:
        waiting = [variant for variant in variants if (name, variant) not in done]
        if not waiting:
            continue
        views = kept_out(pipeline, folder, name)
        judges = Judge(lpips, views), Judge(lpips, elsewhere(pipeline, folder, name, views))
        for variant in waiting:
            sheet = out / f"{name}-{variant}.png"
            found = measure(pipeline, judges, folder.load(name), VARIANTS[variant], sheet)
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
