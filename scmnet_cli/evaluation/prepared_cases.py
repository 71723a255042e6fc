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
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scmnet_cli.checkpoint import sha256
from scmnet_cli.data.dataset import PeopleOnDisk, TrainingBatch, collate
from scmnet_cli.data.prepared import SPLITS, PreparedFolder
from scmnet_cli.domains import FACE, PERSON
from scmnet_cli.edges import CANNY
from scmnet_cli.errors import ScmError
from scmnet_cli.evaluation.baselines import TITLES, Method, region_mean
from scmnet_cli.evaluation.cases import Case, hash_of_contents
from scmnet_cli.evaluation.field import SPREAD_PEOPLE, FieldFound, garment_colours, spaced_grid
from scmnet_cli.evaluation.half_body import half_body, is_full_body
from scmnet_cli.images import to_uint8
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.training.measure import field_statistics, moved_sources, spread_of
from scmnet_cli.training.objective import GeneratorOutput, GeneratorPass, Inputs
from scmnet_cli.types import Canvas

_CROSS_SEED = 30_000

MODEL = "SCM-Net"


class CaseSet(StrEnum):
    """What is drawn of a split, and what the truth is."""

    reconstruction = "reconstruction"
    pairs = "pairs"
    half2full = "half2full"
    cross = "cross"


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
        reads_warp = self._pipeline is not None and self._pipeline.config.model.part_warp
        inputs = Inputs.of(batch, part_warp=reads_warp)
        pictures: dict[str, Tensor] = {}
        if self._generator is not None and self._pipeline is not None:
            drawn: GeneratorOutput = self._generator(inputs)
            pictures[MODEL] = drawn.image
            if note:
                for name, values in field_statistics(drawn, inputs).items():
                    self._statistics.setdefault(name, [])
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
                    batch.source.labels[row].cpu().numpy().astype(np.uint8),
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
            return TrainingBatch(self._people.batch(indices), sources)
        place = {name: number for number, name in enumerate(self._people.names)}
        sources, targets = (self._people.batch([place[self._names(index)[end]] for index in indices]) for end in (0, 1))
        return TrainingBatch(targets, sources)

    def remarks(self) -> list[str]:
        """Return nothing: a prepared folder's pictures are all of one size."""
        return []

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
        grid = spaced_grid(self._pipeline.model, self._people, SPREAD_PEOPLE)
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


def load_people(pipeline: Pipeline, data: Path, split: str, limit: int | None = None) -> PeopleOnDisk:
    """Open a split of a prepared folder on the model's canvas; its people are read when asked for.

    Raises:
        ScmError: if it cannot be read or is empty.
    """
    folder = PreparedFolder(data)
    return PeopleOnDisk(folder, folder.names(split)[:limit], pipeline.config.model.canvas, pipeline.device)
