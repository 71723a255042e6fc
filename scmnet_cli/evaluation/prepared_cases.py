"""Evaluate a model and the baselines on people outside the training set.

A :class:`CaseSet` defines sources and truth:

* reconstruction: the source is the person's own photo, flipped, rotated, scaled, shifted and warped
  (:func:`moved_sources`, without lost regions); the truth is the photo.
* moved: the same moves without flips. No model can tell from a mirrored source on which side a bag hung.
* reposed: the source is the person's own photo, moved by the part warp to the pose of the next person
  (:mod:`scmnet_cli.evaluation.reposed`); the truth is the photo.
* pairs: source and truth are two photos of one person.
* half2full: the source is the person's own photo, cut off at the hips (:func:`half_body`); the truth is the photo.
* cross: each person in the layout of another, by a seeded derangement; there is no truth.

All models get the same sources.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scmnet_cli.checkpoint import sha256
from scmnet_cli.data.dataset import PeopleOnDisk, TrainingBatch, collate
from scmnet_cli.data.prepared import SPLITS, PreparedFolder
from scmnet_cli.edges import CANNY
from scmnet_cli.errors import ScmError
from scmnet_cli.evaluation.baselines import TITLES, Method, draw_baseline, methods_for
from scmnet_cli.evaluation.cases import Case, hash_of_contents
from scmnet_cli.evaluation.field import SPREAD_PEOPLE, FieldFound, garment_colours, spaced_grid
from scmnet_cli.evaluation.folders import fitted
from scmnet_cli.evaluation.half_body import half_body, is_full_body
from scmnet_cli.evaluation.reposed import lend_poses, reposed_sources
from scmnet_cli.images import to_uint8
from scmnet_cli.inference.composition.enlarging import enlarge
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.skeleton import rescale
from scmnet_cli.training.measure import field_statistics, moved_sources, spread_of
from scmnet_cli.training.objective import GeneratorOutput, GeneratorPass, Inputs
from scmnet_cli.types import Canvas, FloatArray, Person, UInt8Array

_CROSS_SEED = 30_000

MODEL = "SCM-Net"


class CaseSet(StrEnum):
    """Kinds of cases that a split can give."""

    reconstruction = "reconstruction"
    moved = "moved"
    reposed = "reposed"
    pairs = "pairs"
    half2full = "half2full"
    cross = "cross"


_WANTED = {
    CaseSet.pairs: "pair with both ends",
    CaseSet.half2full: "person with neck and both whole legs",
    CaseSet.reposed: "two people with neck and hips",
}


class PreparedCases:
    """Cases of a split, with the images of a model and of the baselines."""

    def __init__(
        self,
        data: Path,
        split: str | None,
        pipeline: Pipeline | None,
        methods: Sequence[Method] | None = None,
        *,
        case_set: CaseSet | None = None,
        limit: int | None = None,
        canvas: Canvas | None = None,
    ) -> None:
        """Open the folder.

        Args:
            data: the prepared folder.
            split: train, val or test; None for val, or test if the folder has no val list.
            pipeline: the model; None for baselines only.
            methods: the baselines; None for all that fit the folder's domain.
            case_set: the kind of cases; None for pairs if the split has any, else reconstruction.
            limit: maximum number of cases.
            canvas: size of the images; None for the model's, or without a model the folder's. A model with part warp
                generates larger images directly; the images of another model are enlarged.

        Raises:
            ScmError: if the folder cannot be read, the split has no case of this kind, or a baseline does not fit.
        """
        folder = PreparedFolder(data)
        self.data = folder.path
        self.split = split or ("val" if folder.names("val") else "test")
        self._folder, self._pipeline = folder, pipeline
        fitting = methods_for(folder.domain)
        self._methods = fitting if methods is None else tuple(methods)
        for method in self._methods:
            if method not in fitting:
                raise ScmError(f"--method {method}: needs joints, which {folder.domain.members} lack; choose another")
        names = folder.names(self.split)
        if not names:
            filled = [f"{other} ({len(folder.names(other))})" for other in SPLITS if folder.names(other)]
            raise ScmError(f"{data}: no people in {self.split}; name another --split: {', '.join(filled)}")
        listed = [pair for pair in folder.pairs() if set(pair) <= set(names)]
        self.form: str = case_set or (CaseSet.pairs if listed else CaseSet.reconstruction)
        self._pairs = listed[:limit] if self.form == CaseSet.pairs else []
        self._poses: dict[str, FloatArray] = {}
        names = self._chosen(names, limit)
        if not names:
            wanted = _WANTED[CaseSet(self.form)]
            raise ScmError(f"{data}: has no {wanted} in {self.split}; leave --set out, or name another --split")
        self.canvas: Canvas = canvas or (folder.manifest.canvas if pipeline is None else pipeline.canvas)
        device = torch.device("cpu") if pipeline is None else pipeline.device
        self._people = PeopleOnDisk(folder, names, self.canvas, device)
        self._generator = None if pipeline is None or self._is_enlarged else GeneratorPass(pipeline.model)
        self._statistics: dict[str, list[float]] = {"region_accuracy": [], "entropy": []}
        model = () if pipeline is None else (MODEL,)
        self.answers: tuple[str, ...] = (*model, *(TITLES[method] for method in self._methods))

    def _chosen(self, names: list[str], limit: int | None) -> list[str]:
        """Return the names of the people to read; set the pairs and poses of the case set."""
        if self.form == CaseSet.pairs:
            return list(dict.fromkeys(name for pair in self._pairs for name in pair))
        if self.form == CaseSet.half2full:
            return [name for name in names if is_full_body(self._folder.entry(name).joints)][:limit]
        if self.form == CaseSet.reposed:
            if not self._folder.domain.has_joints:
                raise ScmError(f"--set reposed: needs joints, which {self._folder.domain.members} lack; choose another")
            lent = lend_poses([self._folder.entry(name).joints for name in names])
            found = [(name, pose) for name, pose in zip(names, lent, strict=True) if pose is not None][:limit]
            self._poses = dict(found)
            return list(self._poses)
        if self.form == CaseSet.cross:
            self._pairs = deranged(names[:limit])
        return names[:limit]

    @property
    def _is_enlarged(self) -> bool:
        """Whether the images are larger than the model's canvas."""
        return self._pipeline is not None and self._pipeline.canvas != self.canvas

    def __len__(self) -> int:
        return len(self._pairs) or len(self._people)

    def _names(self, index: int) -> tuple[str, str]:
        """Return the names of source and target of a case."""
        return self._pairs[index] if self._pairs else (self._people.names[index], self._people.names[index])

    def _target_file(self, index: int) -> Path:
        return self._folder.path / "images" / f"{self._names(index)[1]}.png"

    def reference_sha256(self) -> str:
        """Return a hash of the references' contents, independent of names and order."""
        return hash_of_contents({self._target_file(index) for index in range(len(self))})

    def chunks(self, size: int) -> Iterator[list[Case]]:
        """Yield all cases in chunks, and collect the statistics of the model's field."""
        for start in range(0, len(self), size):
            yield self._generate(range(start, min(start + size, len(self))), collect=True)

    def one(self, index: int) -> Case:
        """Return a single case."""
        return self._generate([index], collect=False)[0]

    @torch.no_grad()
    def _generate(self, indices: Sequence[int], *, collect: bool) -> list[Case]:
        batch = self._batch(indices)
        pictures = {} if self._pipeline is None else {MODEL: self._by_model(self._pipeline, batch, collect=collect)}
        plain = self._people.fill is not None
        for method in self._methods:
            pictures[TITLES[method]] = [to_uint8(image) for image in draw_baseline(method, batch, plain=plain)]
        cases = []
        for row, index in enumerate(indices):
            source, target = self._names(index)
            structure = batch.target.structure[row].cpu().numpy()
            has_joints = batch.target.domain.has_joints
            cases.append(
                Case(
                    f"{source}_to_{target}" if self._pairs else target,
                    {answer: images[row] for answer, images in pictures.items()},
                    to_uint8(batch.target.image[row]),
                    target,
                    to_uint8(batch.source.image[row]),
                    batch.target.labels[row].cpu().numpy(),
                    batch.source.labels[row].cpu().numpy().astype(np.uint8),
                    structure if has_joints else None,
                    None if has_joints else (structure & CANNY) > 0,
                    has_truth=self.form != CaseSet.cross,
                    source_joints=batch.source.structure[row].cpu().numpy() if has_joints else None,
                )
            )
        return cases

    def _by_model(self, pipeline: Pipeline, batch: TrainingBatch, *, collect: bool) -> list[UInt8Array]:
        """Generate the model's images: in one batch on its own canvas, larger ones by :meth:`Pipeline.transfer`."""
        if self._generator is None:
            return [self._enlarged(pipeline, batch, row) for row in range(len(batch.target))]
        inputs = Inputs.of(batch, part_warp=pipeline.config.model.part_warp)
        output: GeneratorOutput = self._generator(inputs)
        if collect:
            for name, values in field_statistics(output, inputs).items():
                self._statistics.setdefault(name, [])
                self._statistics[name] += values.double().tolist()
        images = output.image
        if inputs.warp is not None and output.rendering.blend is not None:
            images = enlarge(output.rendering, inputs.warp, batch.target.structure, pipeline.background_level).image
        return [to_uint8(image) for image in images]

    def _enlarged(self, pipeline: Pipeline, batch: TrainingBatch, row: int) -> UInt8Array:
        source, target = (
            Person(
                name,
                to_uint8(side.image[row]),
                side.labels[row].cpu().numpy().astype(np.uint8),
                side.structure[row].cpu().numpy(),
            )
            for name, side in (("source", batch.source), ("target", batch.target))
        )
        size = self.canvas if pipeline.config.model.part_warp else None
        return fitted(np.asarray(pipeline.transfer(source, target, size).image), self.canvas)

    def _batch(self, indices: Sequence[int]) -> TrainingBatch:
        if self.form in (CaseSet.reconstruction, CaseSet.moved):
            return moved_sources(self._people, list(indices), mirror=self.form == CaseSet.reconstruction)
        if self.form == CaseSet.reposed:
            have = self._folder.manifest.canvas
            poses = [rescale(self._poses[self._people.names[index]], have, self.canvas) for index in indices]
            return reposed_sources(self._people, indices, poses)
        if self.form == CaseSet.half2full:
            background = self._folder.manifest.background
            halves = [
                half_body(self._folder.load(self._people.names[index]), self.canvas, background) for index in indices
            ]
            sources = collate(halves, self._people.device)
            return TrainingBatch(self._people.batch(indices), sources)
        position = {name: number for number, name in enumerate(self._people.names)}
        sources, targets = (
            self._people.batch([position[self._names(index)[end]] for index in indices]) for end in (0, 1)
        )
        return TrainingBatch(targets, sources)

    def remarks(self) -> list[str]:
        """Return no remarks: all images of a prepared folder have one size."""
        return []

    def described(self) -> dict[str, Any]:
        """Return folder, size and model."""
        found: dict[str, Any] = {"data": str(self.data), "split": self.split, "canvas": str(self.canvas)}
        if self._pipeline is not None:
            found["model"] = {"path": str(self._pipeline.path), "sha256": sha256(self._pipeline.path)}
            found["model_draws"] = self._model_draws(self._pipeline)
        return found

    def _model_draws(self, pipeline: Pipeline) -> str:
        if not self._is_enlarged:
            return str(pipeline.canvas)
        how = "any-resolution drawing" if pipeline.config.model.part_warp else "Lanczos enlargement (no part warp)"
        return f"{pipeline.canvas}, enlarged to {self.canvas} by {how}"

    def field(self) -> FieldFound | None:
        """Return statistics of the field on all cases, and on a grid of some people in each other's poses.

        None without a model, at another size than the model's, or before :meth:`chunks`.
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


def check_size(size: Canvas, data: Path, pipeline: Pipeline | None) -> Canvas:
    """Return a size after checking that a prepared folder can be evaluated at it.

    Raises:
        ScmError: if it has another aspect, is larger than the folder's images, or smaller than the model's.
    """
    own = PreparedFolder(data).manifest.canvas
    if not size.has_shape_of(own):
        fitting = Canvas(size.height, round(size.height * own.width / own.height))
        raise ScmError(f"--size {size}: does not have the aspect ratio of the folder's {own}; try {fitting}")
    if size.height > own.height:
        raise ScmError(f"--size {size}: is larger than the images of {data}; choose at most {own}")
    if pipeline is not None and size.height < pipeline.canvas.height:
        raise ScmError(f"--size {size}: is smaller than the model's {pipeline.canvas}; choose that or more")
    return size


def deranged(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return a fixed derangement: (source, target) pairs in which each name is source once and target once."""
    order = np.random.default_rng(_CROSS_SEED).permutation(len(names))
    position = {int(index): number for number, index in enumerate(order)}
    return [(names[order[(position[index] + 1) % len(names)]], name) for index, name in enumerate(names)]


def load_people(pipeline: Pipeline, data: Path, split: str, limit: int | None = None) -> PeopleOnDisk:
    """Open a split of a prepared folder on the model's canvas; people are read on demand.

    Raises:
        ScmError: if it cannot be read or is empty.
    """
    folder = PreparedFolder(data)
    return PeopleOnDisk(folder, folder.names(split)[:limit], pipeline.config.model.canvas, pipeline.device)
