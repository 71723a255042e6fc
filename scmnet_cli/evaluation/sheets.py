"""Contact sheets of transfers, edits and cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from scmnet_cli.data.cropping import resized
from scmnet_cli.data.dataset import People
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.edges import CANNY, draw_edges
from scmnet_cli.errors import ScmError
from scmnet_cli.evaluation.baselines import TITLES, Method
from scmnet_cli.evaluation.field import spaced_grid
from scmnet_cli.evaluation.prepared_cases import PreparedCases, load_people
from scmnet_cli.images import PLAIN_GREY, contact_sheet, draw_skeleton
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.provenance import save_generated
from scmnet_cli.training.tracking import draw_sample_sheet
from scmnet_cli.types import UInt8Array

_EDIT_PEOPLE = 256
"""Number of people of a split that are candidates for references in the sheet of edits; all are kept in memory."""


@torch.no_grad()
def transfer_sheet(pipeline: Pipeline, people: People, num: int = 8) -> UInt8Array:
    """Draw people of a split in each other's poses, one row per source and one column per pose.

    Shape:
        result: (H', W', 3) uint8.
    """
    sheet: UInt8Array = draw_sample_sheet(spaced_grid(pipeline.model, people, num))
    return sheet


def case_sheet(cases: PreparedCases, num: int = 8) -> UInt8Array:
    """Draw cases, one row each: source, pose, the image of each answer but the unchanged source, truth.

    Shape:
        result: (H', W', 3) uint8.
    """
    num = min(num, len(cases))
    copied = TITLES[Method.source_copy]
    drawn = [answer for answer in cases.answers if answer != copied]
    rows = []
    for case in (cases.one(index * len(cases) // num) for index in range(num)):
        assert case.source is not None
        pose = case.reference if case.joints is None else draw_skeleton(case.reference, case.joints)
        if case.edges is not None:
            pose = draw_edges(case.reference, CANNY * case.edges.astype(np.uint8))
        rows.append([case.source, pose, *(case.answers[answer] for answer in drawn), case.reference])
    method_of = {title: method.value for method, title in TITLES.items()}
    headers = [method_of.get(answer, answer) for answer in drawn]
    return contact_sheet(rows, headers=["source", "pose", *headers, "truth"])


@torch.no_grad()
def edit_sheet(pipeline: Pipeline, data: Path, split: str, num: int = 6) -> UInt8Array:
    """Draw edits, one row per person: the person, its reconstruction, then a reference and the result per region.

    Shape:
        result: (H', W', 3) uint8.
    """
    folder = PreparedFolder(data)
    regions, region_id = pipeline.domain.edited, pipeline.domain.region_id
    names = folder.names(split)[:_EDIT_PEOPLE]
    rows = []
    people = [resized(folder.load(name), pipeline.canvas) for name in names]
    spaced = [people[index * len(people) // min(num, len(people))] for index in range(min(num, len(people)))]
    for row, person in enumerate(spaced):
        source = pipeline.encode(person)
        cells = [person.image, _picture(pipeline.transfer(source, person).image)]
        for region in regions:
            wearers = [other for other in people if other is not person and (other.regions == region_id(region)).any()]
            if not wearers:
                continue
            reference = wearers[(7 * row + 3) % len(wearers)]
            try:
                edited = _picture(pipeline.edit(source, {region: reference}).image)
            except ScmError:  # the photo does not show the region's place
                edited = np.full_like(person.image, PLAIN_GREY)
            cells += [reference.image, edited]
        rows.append(cells)
    headers = ["person", "redrawn", *[word for region in regions for word in (f"{region} from", "edited")]]
    return contact_sheet(rows, headers=headers[: max(len(row) for row in rows)])


def _picture(image: Image.Image) -> UInt8Array:
    return np.asarray(image)


def write_sheets(cases: PreparedCases, pipeline: Pipeline | None, out: Path, limit: int | None = None) -> None:
    """Write cases.png; with a model also transfers.png and, if the model has regions, edits.png.

    Args:
        cases: cases of a prepared folder.
        pipeline: their model; None without one.
        out: the output folder.
        limit: maximum number of people for transfers.
    """
    save_generated(out / "cases.png", case_sheet(cases))
    if pipeline is None:
        return
    people = load_people(pipeline, cases.data, cases.split, limit)
    save_generated(out / "transfers.png", transfer_sheet(pipeline, people))
    if pipeline.model.has_regions:
        save_generated(out / "edits.png", edit_sheet(pipeline, cases.data, cases.split))
