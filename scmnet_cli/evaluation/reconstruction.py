"""How well a model draws people it never trained on, beside the answers that need no model.

Reconstruction: the source is the person's own picture, flipped, rotated, scaled, shifted and warped
(:func:`moved_sources`; nothing is lost, and every model gets the same moves); the truth is the unmoved picture.
Pairs: source and truth are two pictures of one person. Half to full body: the source is the person's own picture as
if the photo ended at the hips (:func:`half_body`); the truth is the whole picture. Cross: everybody in the layout of
somebody else, a seeded derangement; what that should look like is not known. Two answers need no model: the source as
it is, and the mean colour of each of its regions painted into the target's regions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scmnet_cli.checkpoint import sha256
from scmnet_cli.data.dataset import People, PeopleOnDisk, TrainingBatch, collate, resized
from scmnet_cli.data.prepared import SPLITS, PreparedFolder
from scmnet_cli.domains import FACE, PERSON
from scmnet_cli.edges import CANNY, draw_edges
from scmnet_cli.errors import ScmError
from scmnet_cli.evaluation.cases import Case, hash_of_contents
from scmnet_cli.images import contact_sheet, draw_skeleton, to_uint8
from scmnet_cli.metrics.colour_transfer import Carried, colour_transfer, region_colours
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.pipeline import Pipeline
from scmnet_cli.preprocess.run import crop_person
from scmnet_cli.regions import BACKGROUND, one_hot
from scmnet_cli.skeleton import JOINTS
from scmnet_cli.training.measure import Grid, draw_grid, field_statistics, moved_sources, spread_of
from scmnet_cli.training.phases import Drawn, GeneratorPass, Inputs
from scmnet_cli.training.tracking import draw_sample_sheet
from scmnet_cli.types import Canvas, FloatArray, Person, UInt8Array

_SPREAD_PEOPLE = 16
_SMALLEST_GARMENT = 0.01  # share of the canvas
_CROSS_SEED = 30_000
_EDIT_PEOPLE = 256
"""The first of a split, among whom the sheet of edits finds its references; all are in memory."""

MODEL = "SCM-Net"


class CaseSet(StrEnum):
    """What is drawn of a split, and what the truth is."""

    reconstruction = "reconstruction"
    pairs = "pairs"
    half2full = "half2full"
    cross = "cross"


class Method(StrEnum):
    """An answer that needs no model."""

    source_copy = "source-copy"
    region_mean = "region-mean"


TITLES = {Method.source_copy: "source unchanged", Method.region_mean: "mean colour of each region"}


@dataclass(frozen=True)
class FieldFound:
    """What the correlation field of a model does on the people of a split."""

    num_people: int
    region_accuracy: float
    entropy: float
    source_spread: float
    num_spread_people: int
    coloured: tuple[str, ...]
    """Regions whose lightness and chroma are meant."""
    lightness: Carried
    chroma: Carried

    def summary(self) -> str:
        """Return it in a sentence."""
        return (
            f"region accuracy {self.region_accuracy:.3f}, entropy {self.entropy:.2f} nats, "
            f"source spread {self.source_spread:.3f} ({self.num_spread_people} sources); "
            f"of the lightness of {', '.join(self.coloured)} {self.lightness.slope:.2f} arrives "
            f"(r {self.lightness.correlation:.2f}), "
            f"of their chroma {self.chroma.slope:.2f} (r {self.chroma.correlation:.2f})"
        )

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)


class PreparedCases:
    """A split of a prepared folder: reconstructed from a moved source, as pairs, from half a body, or crosswise."""

    def __init__(
        self,
        data: Path,
        split: str | None,
        pipeline: Pipeline | None,
        methods: Sequence[Method] = tuple(Method),
        *,
        case_set: CaseSet | None = None,
        limit: int | None = None,
        canvas: Canvas | None = None,
    ) -> None:
        """Open the folder.

        Args:
            data: the prepared folder.
            split: train, val or test; None: val, or test where the folder has no val list.
            pipeline: the model; None: only the methods answer.
            methods: answers beside the model's.
            case_set: what is drawn; None: the split's pairs where it has any, else reconstruction.
            limit: at most so many.
            canvas: without a model, the size of the pictures; None: the folder's own.

        Raises:
            ScmError: if it cannot be read, or the split holds nobody for this set.
        """
        folder = PreparedFolder(data)
        self.data = folder.path
        self.split = split or ("val" if folder.names("val") else "test")
        self._folder, self._pipeline, self._methods = folder, pipeline, tuple(methods)
        names = folder.names(self.split)
        if not names:
            filled = [f"{other} ({len(folder.names(other))})" for other in SPLITS if folder.names(other)]
            raise ScmError(f"{data}: no people in {self.split}; name another --split: {', '.join(filled)}")
        listed = [pair for pair in folder.pairs() if set(pair) <= set(names)]
        self.form: str = case_set or (CaseSet.pairs if listed else CaseSet.reconstruction)
        self._pairs = listed[:limit] if self.form == CaseSet.pairs else []
        if self.form == CaseSet.pairs:
            names = list(dict.fromkeys(name for pair in self._pairs for name in pair))
        elif self.form == CaseSet.half2full:
            names = [name for name in names if is_full_body(folder.entry(name).joints)][:limit]
        else:
            names = names[:limit]
        if self.form == CaseSet.cross:
            self._pairs = deranged(names)
        if not names:
            wanted = "pair with both ends" if self.form == CaseSet.pairs else "person with neck and both whole legs"
            raise ScmError(f"{data}: has no {wanted} in {self.split}; leave --set out, or name another --split")
        self.canvas: Canvas = (canvas or folder.manifest.canvas) if pipeline is None else pipeline.canvas
        device = torch.device("cpu") if pipeline is None else pipeline.device
        self._people = PeopleOnDisk(folder, names, self.canvas, device)
        self._generator = None if pipeline is None else GeneratorPass(pipeline.model)
        self._statistics: dict[str, list[float]] = {"region_accuracy": [], "entropy": []}
        model = () if pipeline is None else (MODEL,)
        self.answers: tuple[str, ...] = (*model, *(TITLES[method] for method in self._methods))

    def __len__(self) -> int:
        return len(self._pairs) or len(self._people)

    def _names(self, index: int) -> tuple[str, str]:
        """Return whose source and whose target a case is."""
        return self._pairs[index] if self._pairs else (self._people.names[index], self._people.names[index])

    def _target_file(self, index: int) -> Path:
        return self._folder.path / "images" / f"{self._names(index)[1]}.png"

    def reference_sha256(self) -> str:
        """Return the hash of what the references hold, whatever they are called."""
        return hash_of_contents({self._target_file(index) for index in range(len(self))})

    def chunks(self, size: int) -> Iterator[list[Case]]:
        """Give all cases, so many at a time, and take note of what the model's field does."""
        for start in range(0, len(self), size):
            yield self._drawn(range(start, min(start + size, len(self))), note=True)

    def one(self, index: int) -> Case:
        """Give one case once more."""
        return self._drawn([index], note=False)[0]

    @torch.no_grad()
    def _drawn(self, indices: Sequence[int], *, note: bool) -> list[Case]:
        batch = self._batch(indices)
        inputs = Inputs.of(batch)
        pictures: dict[str, Tensor] = {}
        if self._generator is not None and self._pipeline is not None:
            drawn = Drawn(*self._generator(inputs.maps, inputs.style_image, inputs.style_masks))
            pictures[MODEL] = drawn.image
            if note:
                for name, values in field_statistics(self._pipeline.model, drawn, inputs).items():
                    self._statistics[name] += values.double().tolist()
        for method in self._methods:
            if method == Method.source_copy:
                pictures[TITLES[method]] = inputs.style_image
            else:
                pictures[TITLES[method]] = region_mean(inputs.style_image, inputs.style_masks, inputs.target_masks)
        cases = []
        for row, index in enumerate(indices):
            source, target = self._names(index)
            structure = batch.target.structure[row].cpu().numpy()
            cases.append(
                Case(
                    f"{source}_to_{target}" if self._pairs else target,
                    {answer: to_uint8(images[row]) for answer, images in pictures.items()},
                    to_uint8(inputs.target[row]),
                    target,
                    to_uint8(inputs.style_image[row]),
                    batch.target.labels[row].cpu().numpy(),
                    batch.style_labels[row].cpu().numpy().astype(np.uint8),
                    structure if batch.target.domain is PERSON else None,
                    (structure & CANNY) > 0 if batch.target.domain is FACE else None,
                    has_truth=self.form != CaseSet.cross,
                )
            )
        return cases

    def _batch(self, indices: Sequence[int]) -> TrainingBatch:
        if self.form == CaseSet.reconstruction:
            return moved_sources(self._people, list(indices))
        if self.form == CaseSet.half2full:
            background = self._folder.manifest.background
            halves = [
                half_body(self._folder.load(self._people.names[index]), self.canvas, background) for index in indices
            ]
            sources = collate(halves, self._people.device)
            return TrainingBatch(self._people.batch(indices), sources.image, sources.labels)
        place = {name: number for number, name in enumerate(self._people.names)}
        sources, targets = (self._people.batch([place[self._names(index)[end]] for index in indices]) for end in (0, 1))
        return TrainingBatch(targets, sources.image, sources.labels)

    def described(self) -> dict[str, Any]:
        """Return folder and model."""
        found: dict[str, Any] = {"data": str(self.data), "split": self.split, "canvas": str(self.canvas)}
        if self._pipeline is not None:
            found["model"] = {"path": str(self._pipeline.path), "sha256": sha256(self._pipeline.path)}
        return found

    def field(self) -> FieldFound | None:
        """Return what the field did on all cases, and on a grid of some people in each other's poses.

        None without a model that has a field to judge, or before :meth:`chunks` has run.
        """
        if self._pipeline is None or not self._statistics["entropy"]:
            return None
        grid = _grid(self._pipeline.model, self._people, _SPREAD_PEOPLE)
        lightness, chroma = garment_colours(grid)
        return FieldFound(
            num_people=len(self),
            region_accuracy=float(np.nanmean(self._statistics["region_accuracy"])),
            entropy=float(np.nanmean(self._statistics["entropy"])),
            source_spread=spread_of(grid),
            num_spread_people=len(grid.people),
            coloured=grid.people.domain.coloured,
            lightness=lightness,
            chroma=chroma,
        )


def deranged(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return pairs of source and target in which everybody is each once, and nobody both; the same every time."""
    order = np.random.default_rng(_CROSS_SEED).permutation(len(names))
    place = {int(index): number for number, index in enumerate(order)}
    return [(names[order[(place[index] + 1) % len(names)]], name) for index, name in enumerate(names)]


_FULL_BODY = [JOINTS.index(name) for name in (
    "neck", "right_hip", "left_hip", "right_knee", "left_knee", "right_ankle", "left_ankle",
)]  # fmt: skip
_HIPS = [JOINTS.index("right_hip"), JOINTS.index("left_hip")]


def is_full_body(joints: FloatArray) -> bool:
    """Say whether neck, hips, knees and ankles are all known, and the neck is above the hips.

    Shape:
        joints: (18, 3).
    """
    known = len(joints) > 0 and bool((joints[_FULL_BODY, 2] > 0).all())
    return known and bool(joints[JOINTS.index("neck"), 1] < joints[_HIPS, 1].mean())


def half_body(person: Person, canvas: Canvas, background: str) -> Person:
    """Return the person as a photo that ends at the hips would have been prepared: what is left fills the canvas.

    Args:
        person: with both hips known.
        canvas: size of the result.
        background: of the prepared folder, ``plain`` or ``keep``.

    Raises:
        ScmError: if the region map knows nothing of the person above the hips.
    """
    hips = round(float(person.joints[_HIPS, 1].mean()))
    half = Person(person.name, person.image[:hips], person.regions[:hips], person.joints)
    try:
        return crop_person(half, canvas, background)[0]
    except ScmError as error:
        raise ScmError(f"{person.name}: above the hips {error}; prepare it again, or leave it out") from error


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
def garment_colours(grid: Grid) -> tuple[Carried, Carried]:
    """Return how much of the lightness and chroma of the sources' garments is drawn, over all sources and poses.

    Of faces those of skin, hair and mouth.
    """
    domain = grid.people.domain
    masks = one_hot(grid.people.labels)[:, [domain.region_id(name) for name in domain.coloured]]  # (S, 3, H, W)
    large = masks.mean((2, 3)) > _SMALLEST_GARMENT
    worn = region_colours(grid.people.image, masks)
    wanted, drawn = [], []
    for source, images in enumerate(grid.images):
        seen = large[source] & large  # (S, 3): the source wears it, and the pose's owner has a place for it
        wanted.append(worn[source].expand_as(worn)[seen])
        drawn.append(region_colours(images, masks)[seen])
    return colour_transfer(torch.cat(wanted), torch.cat(drawn))


def load_people(pipeline: Pipeline, data: Path, split: str, limit: int | None = None) -> PeopleOnDisk:
    """Open a split of a prepared folder on the model's canvas; its people are read when asked for.

    Raises:
        ScmError: if it cannot be read or is empty.
    """
    folder = PreparedFolder(data)
    return PeopleOnDisk(folder, folder.names(split)[:limit], pipeline.config.model.canvas, pipeline.device)


def _grid(net: SCMNet, people: People, wanted: int) -> Grid:
    num = min(len(people), wanted)
    chosen = [index * len(people) // num for index in range(num)]
    return draw_grid(net, people.batch(chosen))


@torch.no_grad()
def transfer_sheet(pipeline: Pipeline, people: People, num: int = 8) -> UInt8Array:
    """Draw people of a split in each other's poses: a row a source, a column a pose.

    Shape:
        result: (H', W', 3) uint8.
    """
    sheet: UInt8Array = draw_sample_sheet(_grid(pipeline.model, people, num))
    return sheet


def case_sheet(cases: PreparedCases, num: int = 8) -> UInt8Array:
    """Lay out cases, a row each: source, pose, what each answer but the source itself draws, truth.

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
    """Draw edits: a row a person; the person, its reconstruction, then for each region a reference and the result.

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
            cells += [reference.image, _picture(pipeline.edit(source, {region: reference}).image)]
        rows.append(cells)
    headers = ["person", "redrawn", *[word for region in regions for word in (f"{region} from", "edited")]]
    return contact_sheet(rows, headers=headers[: max(len(row) for row in rows)])


def _picture(image: Image.Image) -> UInt8Array:
    return np.asarray(image)
