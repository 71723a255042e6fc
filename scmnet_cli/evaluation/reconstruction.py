"""How well a model draws people it never trained on from a moved source, beside the trivial answers.

The source is the person's own picture, flipped, rotated, scaled, shifted and warped (:func:`moved_sources`; nothing is
lost, and every model gets the same moves); the truth is the unmoved picture. Two answers need no model: the moved
source as it is, and the mean colour of each of its regions painted into the target's regions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scmnet_cli.data.dataset import PeopleInMemory, resized
from scmnet_cli.data.prepared import PreparedFolder
from scmnet_cli.errors import ScmError
from scmnet_cli.images import contact_sheet, draw_skeleton, to_uint8
from scmnet_cli.metrics.colour_transfer import Carried, colour_transfer, region_colours
from scmnet_cli.metrics.l1 import l1
from scmnet_cli.metrics.lpips import Lpips
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.pipeline import Pipeline
from scmnet_cli.regions import BACKGROUND, one_hot, region_id
from scmnet_cli.training.measure import Grid, draw_grid, field_statistics, moved_sources, spread_of
from scmnet_cli.training.phases import Drawn, GeneratorPass, Inputs
from scmnet_cli.training.tracking import draw_sample_sheet
from scmnet_cli.types import UInt8Array

_BATCH = 8
_SPREAD_PEOPLE = 16
_GARMENTS = ("pants", "skirt", "upper")
_SMALLEST_GARMENT = 0.01  # share of the canvas


@dataclass(frozen=True)
class Row:
    """One answer's mean distances from the truth: L1 in [0, 2] and LPIPS-alex, whole and on the person's pixels."""

    answer: str
    l1: float
    l1_person: float
    lpips_alex: float | None
    lpips_alex_person: float | None


@dataclass(frozen=True)
class Reconstruction:
    """Rows of the table, and what the field does; ``not_computed`` says what is missing and why."""

    split: str
    canvas: str
    num_people: int
    rows: list[Row]
    region_accuracy: float
    entropy: float
    source_spread: float
    num_spread_people: int
    lightness: Carried
    chroma: Carried
    not_computed: str | None

    def table(self) -> str:
        """Return a Markdown table."""
        lines = [
            "| answer | L1 | L1 person | LPIPS-alex | LPIPS-alex person |",
            "| --- | --- | --- | --- | --- |",
        ]
        for row in self.rows:
            cells = [row.l1, row.l1_person, row.lpips_alex, row.lpips_alex_person]
            lines.append(f"| {row.answer} | " + " | ".join("-" if c is None else f"{c:.4f}" for c in cells) + " |")
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """Return everything as plain values."""
        return asdict(self)


def region_mean(source: Tensor, source_masks: Tensor, target_masks: Tensor) -> Tensor:
    """Paint the mean colour of each source region into the target's region.

    A region that the source lacks is painted in the mean colour of the source's whole person.

    Shape:
        source: (B, 3, H, W); source_masks, target_masks: (B, 8, H, W) one-hot; result: (B, 3, H, W).
    """
    areas = source_masks.sum((2, 3))  # (B, 8)
    colours = torch.einsum("bchw,brhw->brc", source, source_masks) / areas.clamp(min=1)[..., None]
    person = 1 - source_masks[:, BACKGROUND : BACKGROUND + 1]
    overall = (source * person).sum((2, 3)) / person.sum((2, 3)).clamp(min=1)  # (B, 3)
    colours = torch.where(areas[..., None] > 0, colours, overall[:, None])
    return torch.einsum("brc,brhw->bchw", colours, target_masks)


@torch.no_grad()
def evaluate_reconstruction(
    pipeline: Pipeline,
    data: Path,
    split: str = "val",
    weights_dir: Path | None = None,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Reconstruction:
    """Reconstruct every person of a split from a moved source.

    LPIPS is left out, and the reason given, where AlexNet's weights are not found.

    Raises:
        ScmError: if the folder or split cannot be read or is empty.
    """
    net, canvas = pipeline.model, pipeline.config.model.canvas
    people = load_people(pipeline, data, split, limit)
    try:
        lpips: Lpips | None = Lpips("alex", weights_dir).to(pipeline.device)
        missing = None
    except ScmError as error:
        lpips, missing = None, f"LPIPS-alex: {error}"

    generator = GeneratorPass(net)
    names = ("SCM-Net", "source unchanged", "mean colour of each region")
    distances: dict[str, list[Tensor]] = {name: [] for name in names}
    fields: dict[str, list[Tensor]] = {"region_accuracy": [], "entropy": []}
    for start in range(0, len(people), _BATCH):
        indices = list(range(start, min(start + _BATCH, len(people))))
        inputs = Inputs.of(moved_sources(people, indices), canvas)
        drawn = Drawn(*generator(inputs.maps, inputs.style_image, inputs.style_masks))
        person = 1 - inputs.target_masks[:, BACKGROUND : BACKGROUND + 1]
        means = region_mean(inputs.style_image, inputs.style_masks, inputs.target_masks)
        for name, answer in zip(names, (drawn.image, inputs.style_image, means), strict=True):
            columns = [l1(answer, inputs.target), l1(answer, inputs.target, person)]
            if lpips is not None:
                columns += [lpips(answer, inputs.target), lpips(answer, inputs.target, person)]
            distances[name].append(torch.stack(columns, dim=1))
        for name, values in field_statistics(net, drawn, inputs).items():
            fields[name].append(values)
        if progress:
            progress(indices[-1] + 1, len(people))
    rows = []
    for name, parts in distances.items():
        mean = [float(value) for value in torch.cat(parts).nanmean(0)] + [math.nan, math.nan]
        rows.append(Row(name, mean[0], mean[1], *(mean[2:4] if lpips is not None else (None, None))))
    grid = _grid(net, people, pipeline, _SPREAD_PEOPLE)
    lightness, chroma = garment_colours(grid)
    return Reconstruction(
        split=split,
        canvas=str(canvas),
        num_people=len(people),
        rows=rows,
        region_accuracy=float(torch.cat(fields["region_accuracy"]).nanmean()),
        entropy=float(torch.cat(fields["entropy"]).nanmean()),
        source_spread=spread_of(grid),
        num_spread_people=len(grid.people),
        lightness=lightness,
        chroma=chroma,
        not_computed=missing,
    )


@torch.no_grad()
def garment_colours(grid: Grid) -> tuple[Carried, Carried]:
    """Return how much of the lightness and chroma of the sources' garments is drawn, over all sources and poses."""
    masks = one_hot(grid.people.labels)[:, [region_id(name) for name in _GARMENTS]]  # (S, 3, H, W)
    large = masks.mean((2, 3)) > _SMALLEST_GARMENT
    worn = region_colours(grid.people.image, masks)
    wanted, drawn = [], []
    for source, images in enumerate(grid.images):
        seen = large[source] & large  # (S, 3): the source wears it, and the pose's owner has a place for it
        wanted.append(worn[source].expand_as(worn)[seen])
        drawn.append(region_colours(images, masks)[seen])
    return colour_transfer(torch.cat(wanted), torch.cat(drawn))


def load_people(pipeline: Pipeline, data: Path, split: str, limit: int | None = None) -> PeopleInMemory:
    """Load a split of a prepared folder on the model's canvas.

    Raises:
        ScmError: if it cannot be read or is empty.
    """
    folder = PreparedFolder(data)
    return PeopleInMemory(folder, folder.names(split)[:limit], pipeline.config.model.canvas, pipeline.device)


def _grid(net: SCMNet, people: PeopleInMemory, pipeline: Pipeline, wanted: int) -> Grid:
    num = min(len(people), wanted)
    chosen = [index * len(people) // num for index in range(num)]
    return draw_grid(net, people.batch(chosen), pipeline.config.model.canvas)


@torch.no_grad()
def transfer_sheet(pipeline: Pipeline, people: PeopleInMemory, num: int = 8) -> UInt8Array:
    """Draw people of a split in each other's poses: a row a source, a column a pose.

    Shape:
        result: (H', W', 3) uint8.
    """
    sheet: UInt8Array = draw_sample_sheet(_grid(pipeline.model, people, pipeline, num))
    return sheet


@torch.no_grad()
def reconstruction_sheet(pipeline: Pipeline, people: PeopleInMemory, num: int = 8) -> UInt8Array:
    """Draw a row a person: moved source, pose, SCM-Net, mean colour of each region, truth.

    Shape:
        result: (H', W', 3) uint8.
    """
    num = min(num, len(people))
    chosen = [index * len(people) // num for index in range(num)]
    inputs = Inputs.of(moved_sources(people, chosen), pipeline.config.model.canvas)
    drawn = Drawn(*GeneratorPass(pipeline.model)(inputs.maps, inputs.style_image, inputs.style_masks))
    means = region_mean(inputs.style_image, inputs.style_masks, inputs.target_masks)
    joints = people.batch(chosen).joints.cpu().numpy()
    rows = []
    for row in range(num):
        truth = to_uint8(inputs.target[row])
        pictures = [to_uint8(picture[row]) for picture in (inputs.style_image, drawn.image, means)]
        rows.append([pictures[0], draw_skeleton(truth, joints[row]), pictures[1], pictures[2], truth])
    return contact_sheet(rows, headers=["moved source", "pose", "SCM-Net", "region mean", "truth"])


@torch.no_grad()
def edit_sheet(pipeline: Pipeline, data: Path, split: str, regions: tuple[str, ...], num: int = 6) -> UInt8Array:
    """Draw edits: a row a person; the person, its reconstruction, then for each region a reference and the result.

    Shape:
        result: (H', W', 3) uint8.
    """
    folder = PreparedFolder(data)
    names = folder.names(split)
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
            cells += [reference.image, _picture(pipeline.edit(source, {region: reference}).image)]
        rows.append(cells)
    headers = ["person", "redrawn", *[word for region in regions for word in (f"{region} from", "edited")]]
    return contact_sheet(rows, headers=headers[: max(len(row) for row in rows)])


def _picture(image: Image.Image) -> UInt8Array:
    return np.asarray(image)
