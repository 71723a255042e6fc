"""Every metric on every case, in one pass: per picture a row of numbers, of the whole set its distances."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scmnet_cli.edges import canny_edges
from scmnet_cli.errors import ScmError
from scmnet_cli.evaluation.cases import Case, Cases
from scmnet_cli.evaluation.folders import fitted
from scmnet_cli.evaluation.instruments import METRICS, Instruments
from scmnet_cli.evaluation.protocols import Protocol
from scmnet_cli.evaluation.reference_statistics import ReferenceStatistics
from scmnet_cli.images import CropBox, to_tensor
from scmnet_cli.metrics.copying import copy_score
from scmnet_cli.metrics.edge_fidelity import edge_f1
from scmnet_cli.metrics.frechet import FeatureStatistics, frechet_distance
from scmnet_cli.metrics.inception_score import SPLITS, InceptionScore
from scmnet_cli.metrics.l1 import l1
from scmnet_cli.metrics.pck import pck
from scmnet_cli.metrics.psnr import psnr
from scmnet_cli.metrics.region_consistency import region_colour_distance, region_consistency
from scmnet_cli.metrics.ssim import ssim_masked, ssim_raw
from scmnet_cli.regions import BACKGROUND, one_hot
from scmnet_cli.types import Canvas, FloatArray, UInt8Array

_SMALLEST = 32


_NEED_NO_TRUTH = ("region_consistency", "region_colour", "edge_f1", "pck", "fid", "is", "fd_vgg16")
"""What says something of a picture of which only source and layout are known, and the set of real pictures."""


@dataclass(frozen=True)
class Value:
    """A number, the deviation over pictures (or splits), and of how many pictures; NaN pictures do not count."""

    value: float
    deviation: float | None
    count: int


@dataclass(frozen=True)
class Scores:
    """What one answer reached: ``per_image`` has a value for each case, NaN where there was nothing to measure."""

    values: dict[str, Value]
    per_image: dict[str, list[float]]


@dataclass(frozen=True)
class Judgement:
    """Everything that was measured, at which sizes (height x width), and why the rest was not."""

    names: list[str]
    scores: dict[str, Scores]
    not_computed: dict[str, str]
    weights: dict[str, dict[str, str]]
    num_references: int
    reference_sha256: str
    sizes: list[str]


@dataclass(frozen=True)
class _Fitted:
    """A case on the protocol's size, as tensors (1, ...); joints in its pixels."""

    case: Case
    answers: dict[str, Tensor]
    reference: Tensor
    source: Tensor | None
    masks: Tensor | None
    source_masks: Tensor | None
    joints: FloatArray | None
    found_joints: FloatArray | None
    pictures: dict[str, UInt8Array]


@torch.no_grad()
def judge(
    cases: Cases,
    protocol: Protocol,
    instruments: Instruments,
    *,
    batch: int = 8,
    keep: Callable[[Case], None] | None = None,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Judgement:
    """Measure all cases.

    Pictures are read and dropped chunk by chunk; what stays is a row of numbers each.

    Args:
        cases: what is judged.
        protocol: how.
        instruments: the networks.
        batch: cases at a time; the numbers do not depend on it beyond rounding.
        keep: told of every case, for whoever wants to save the pictures.
        cache: folder for statistics of reference sets, found again by what they hold; None: none is kept.
        progress: told of cases done and their number.

    Raises:
        ScmError: if there is nothing to judge, or a picture cannot be read or is too small.
    """
    if not len(cases):
        raise ScmError("there is no picture to judge")
    missing, weights = dict(instruments.not_computed), dict(instruments.weights)
    has_truth = True
    reference_hash = cases.reference_sha256()
    stores = ReferenceStatistics(cache, protocol, reference_hash, instruments)
    seen: set[str] = set()
    sizes: set[str] = set()
    names: list[str] = []
    rows: dict[str, dict[str, list[float]]] = {answer: {} for answer in cases.answers}
    ours = {answer: {network: FeatureStatistics() for network in stores.networks} for answer in cases.answers}
    inception_scores: dict[str, InceptionScore] = {}
    if "is" in instruments.wanted and instruments.inception is not None:
        if len(cases) < SPLITS:
            missing["is"] = f"needs {SPLITS} pictures or more, not {len(cases)}"
        else:
            inception_scores = {answer: InceptionScore(len(cases)) for answer in cases.answers}

    for chunk in cases.chunks(batch):
        fit = [_fit(case, protocol, instruments.device) for case in chunk]
        for _, same in groupby(fit, key=lambda one: one.reference.shape):
            group = list(same)
            sizes.add("x".join(str(side) for side in group[0].reference.shape[2:]))
            new = [one for one in group if one.case.reference_key not in seen]
            first = {one.case.reference_key: one for one in new}
            seen |= set(first)
            if first and stores.networks:
                stores.add(torch.cat([one.reference for one in first.values()]))
            for answer in cases.answers:
                images = torch.cat([one.answers[answer] for one in group])
                for name, column in _columns(answer, images, group, protocol, instruments).items():
                    rows[answer].setdefault(name, []).extend(column)
                for network, features in instruments.features(images).items():
                    ours[answer][network].add(features)
                    if network == "inception" and answer in inception_scores and instruments.inception is not None:
                        inception_scores[answer].add(instruments.inception.probabilities(features))
        if any(case.found_joints is not None for case in chunk):
            weights.pop("pck", None)  # the analyser had no part in it
        for case in chunk:
            names.append(case.name)
            has_truth &= case.has_truth
            if keep:
                keep(case)
        if progress:
            progress(len(names), len(cases))

    references = stores.finished()
    scores = {}
    for answer in cases.answers:
        values = {name: _mean(rows[answer][name]) for name in METRICS if name in rows[answer]}
        for metric, network in (("fid", "inception"), ("fd_vgg16", "vgg16")):
            if network in references and metric in instruments.wanted:
                try:
                    distance = frechet_distance(ours[answer][network], references[network])
                except ScmError as error:
                    missing[metric] = str(error)
                    continue
                values[metric] = Value(distance, None, len(names))
        if answer in inception_scores:
            values["is"] = Value(*inception_scores[answer].result(), len(names))
        known = {name: values[name] for name in METRICS if name in values and values[name].count}
        scores[answer] = Scores(known, {name: rows[answer][name] for name in known if name in rows[answer]})
    silent = {"ssim_raw"} if _repeats(protocol, instruments) else set()
    silent |= {"edge_f1"} - instruments.asked_for  # of people nobody expects it
    for name in instruments.wanted:
        if name not in missing and name not in silent and not any(name in found.values for found in scores.values()):
            missing[name] = _why_not(name, has_truth)
    return Judgement(names, scores, missing, weights, len(seen), reference_hash, sorted(sizes))


def _why_not(name: str, has_truth: bool) -> str:
    if not has_truth and name not in _NEED_NO_TRUTH:
        return "what the picture should be is not known"
    if name == "edge_f1":
        return "the references are no faces of a prepared folder"
    if name == "pck":
        return "the references' joints are not known; give --data"
    if name == "copy_score":
        return "the sources are not known"
    return "region maps are not known; give --data"


def _fit(case: Case, protocol: Protocol, device: torch.device) -> _Fitted:
    height, width = case.reference.shape[:2]
    box = protocol.box(Canvas(height, width), case.name)
    if min(box.canvas.height, box.canvas.width) < _SMALLEST:
        raise ScmError(f"{case.name}: is {box.canvas}; metrics need {_SMALLEST}x{_SMALLEST} or more")

    def picture(image: UInt8Array) -> UInt8Array:
        if protocol.size is None:
            return fitted(image, box.canvas)
        return _cut(image, protocol.box(Canvas(image.shape[0], image.shape[1]), case.name))

    def masks(labels: UInt8Array | None) -> Tensor | None:
        if labels is None:
            return None
        own = protocol.box(Canvas(labels.shape[0], labels.shape[1]), case.name)
        return one_hot(torch.tensor(own.crop_labels(labels))[None]).to(device)

    def tensor(image: UInt8Array) -> Tensor:
        return to_tensor(image)[None].to(device)

    pictures = {answer: picture(image) for answer, image in case.answers.items()}

    def placed(joints: FloatArray | None, own: CropBox) -> FloatArray | None:
        return None if joints is None else np.concatenate([own.to_canvas(joints[:, :2]), joints[:, 2:]], axis=1)

    drawn = next(iter(case.answers.values())).shape
    drawn_box = CropBox(0, 0, drawn[1], drawn[0], box.canvas)
    if protocol.size is not None:
        drawn_box = protocol.box(Canvas(drawn[0], drawn[1]), case.name)
    return _Fitted(
        case,
        {answer: tensor(image) for answer, image in pictures.items()},
        tensor(_cut(case.reference, box)),
        None if case.source is None else tensor(picture(case.source)),
        masks(case.labels),
        masks(case.source_labels) if protocol.size is not None or case.source_labels is None else _own(case, device),
        placed(case.joints, box),
        placed(case.found_joints, drawn_box),
        pictures,
    )


def _own(case: Case, device: torch.device) -> Tensor:
    """Return the source's masks on the reference's size, as its picture is."""
    assert case.source_labels is not None
    height, width = case.reference.shape[:2]
    labels = case.source_labels
    box = CropBox(0, 0, labels.shape[1], labels.shape[0], Canvas(height, width))
    return one_hot(torch.tensor(box.crop_labels(labels))[None]).to(device)


def _cut(image: UInt8Array, box: CropBox) -> UInt8Array:
    whole = (box.left, box.top, box.height, box.width) == (0, 0, *image.shape[:2])
    if whole and (box.canvas.height, box.canvas.width) == image.shape[:2]:
        return image
    return box.crop_image(image, 255)


def _columns(
    answer: str, images: Tensor, group: list[_Fitted], protocol: Protocol, instruments: Instruments
) -> dict[str, list[float]]:
    """Return the wanted metrics of pictures of one size, a value a picture."""
    reference = torch.cat([one.reference for one in group])
    masks = _together([one.masks for one in group])
    source = _together([one.source for one in group])
    source_masks = _together([one.source_masks for one in group])
    person = None if masks is None else 1 - masks[:, BACKGROUND : BACKGROUND + 1]
    makers: dict[str, Callable[[], Tensor]] = {
        "ssim": lambda: protocol.ssim(images, reference),
        "psnr": lambda: psnr(images, reference),
        "l1": lambda: l1(images, reference),
    }
    if not _repeats(protocol, instruments):
        makers["ssim_raw"] = lambda: ssim_raw(images, reference)
    if person is not None:
        makers["ssim_person"] = lambda: ssim_masked(images, reference, person)
        makers["l1_person"] = lambda: l1(images, reference, person)
    if source is not None:
        makers["copy_score"] = lambda: copy_score(images, source, reference, person)
        if masks is not None and source_masks is not None:
            makers["region_consistency"] = lambda: region_consistency(images, masks, source, source_masks)
            makers["region_colour"] = lambda: region_colour_distance(images, masks, source, source_masks)
    alex, vgg = instruments.lpips_alex, instruments.lpips_vgg
    if alex is not None:
        makers["lpips_alex"] = lambda: alex(images, reference)
        if person is not None:
            makers["lpips_alex_person"] = lambda: alex(images, reference, person)
    if vgg is not None:
        makers["lpips_vgg"] = lambda: vgg(images, reference)
    analyser = instruments.analyser
    if analyser is not None and all(one.joints is not None for one in group):

        def found(one: _Fitted) -> FloatArray:
            return analyser(one.pictures[answer]).joints if one.found_joints is None else one.found_joints

        makers["pck"] = lambda: pck(
            torch.from_numpy(np.stack([found(one) for one in group])),
            torch.from_numpy(np.stack([one.joints for one in group if one.joints is not None])),
        )
    wanted_edges = [one.case.edges for one in group]
    if all(edges is not None and edges.shape == images.shape[2:] for edges in wanted_edges):
        makers["edge_f1"] = lambda: edge_f1(
            torch.from_numpy(np.stack([canny_edges(one.pictures[answer]) for one in group])),
            torch.from_numpy(np.stack([edges for edges in wanted_edges if edges is not None])),
        )
    wanted = instruments.wanted
    if not all(one.case.has_truth for one in group):
        wanted = [name for name in wanted if name in _NEED_NO_TRUTH]
    return {name: make().double().tolist() for name, make in makers.items() if name in wanted}


def _repeats(protocol: Protocol, instruments: Instruments) -> bool:
    """Say whether a column of raw SSIM would repeat the protocol's."""
    return protocol.ssim is ssim_raw and "ssim" in instruments.wanted


def _together(parts: list[Tensor | None]) -> Tensor | None:
    """Join what all of a group know."""
    known = [part for part in parts if part is not None]
    return torch.cat(known) if len(known) == len(parts) else None


def _mean(values: list[float]) -> Value:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return Value(math.nan, None, 0)
    if any(math.isinf(value) for value in known):
        return Value(math.fsum(known) if len(known) == 1 else statistics.fmean(known), None, len(known))
    return Value(statistics.fmean(known), statistics.pstdev(known), len(known))
