"""Every metric on every case, in one pass: per picture a row of numbers, of the whole set its distances."""

from __future__ import annotations

import hashlib
import json
import math
import os
import statistics
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scmnet_cli.checkpoint import sha256
from scmnet_cli.edges import canny_edges
from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.evaluation.cases import Case, Cases
from scmnet_cli.evaluation.folders import fitted
from scmnet_cli.evaluation.protocols import Protocol
from scmnet_cli.images import CropBox, to_tensor
from scmnet_cli.metrics.copying import copy_score
from scmnet_cli.metrics.edge_fidelity import edge_f1
from scmnet_cli.metrics.fd_vgg16 import Vgg16Features
from scmnet_cli.metrics.frechet import FeatureStatistics, frechet_distance
from scmnet_cli.metrics.inception import Inception
from scmnet_cli.metrics.inception_score import SPLITS, InceptionScore
from scmnet_cli.metrics.l1 import l1
from scmnet_cli.metrics.lpips import Lpips
from scmnet_cli.metrics.pck import NEAR, pck
from scmnet_cli.metrics.psnr import psnr
from scmnet_cli.metrics.region_consistency import region_colour_distance, region_consistency
from scmnet_cli.metrics.ssim import ssim_masked, ssim_raw
from scmnet_cli.preprocess.analyser import SHIPPED, Analyser
from scmnet_cli.regions import BACKGROUND, one_hot
from scmnet_cli.types import Canvas, FloatArray, UInt8Array
from scmnet_cli.weights import find_backbone

_SMALLEST = 32


@dataclass(frozen=True)
class Metric:
    """A column of the tables.

    Attributes:
        better: ``higher`` or ``lower``.
        weights: the backbone it needs, or ``analyser``; empty for none.
        of_set: whether it is a number of the whole set, and not a mean over pictures.
    """

    name: str
    title: str
    better: str
    what: str
    weights: str = ""
    of_set: bool = False


METRICS = {
    metric.name: metric
    for metric in (
        Metric("ssim", "SSIM", "higher", "by the protocol"),
        Metric("ssim_raw", "SSIM raw", "higher", "without padding, data range 255"),
        Metric("ssim_person", "SSIM person", "higher", "mean of the raw SSIM map over the reference's person"),
        Metric("psnr", "PSNR", "higher", "dB, in float"),
        Metric("l1", "L1", "lower", "mean absolute difference in [-1, 1], 0 to 2"),
        Metric("l1_person", "L1 person", "lower", "the same over the reference's person"),
        Metric("lpips_alex", "LPIPS-alex", "lower", "official package, version 0.1", "alexnet"),
        Metric("lpips_alex_person", "LPIPS-alex person", "lower", "mean of its map over the person", "alexnet"),
        Metric("lpips_vgg", "LPIPS-vgg", "lower", "official package, version 0.1", "vgg16"),
        Metric("copy_score", "copy", "lower", "1: the unmoved source; 0: as far from it as the reference"),
        Metric("region_consistency", "consistency", "higher", "colours of each region against the source's"),
        Metric("region_colour", "colour distance", "lower", "mean colours of each region against the source's, 0 to 2"),
        Metric("edge_f1", "edge F1", "higher", "Canny's edges against the reference's, within 1 px"),
        Metric("pck", "PCK", "higher", f"joints found in the picture within {NEAR} of the reference's", "analyser"),
        Metric("fid", "FID", "lower", "pytorch-fid's Inception, 2,048 features", "inception", of_set=True),
        Metric("is", "IS", "higher", f"{SPLITS} splits, 1,008 logits of the same network", "inception", of_set=True),
        Metric("fd_vgg16", "FD-VGG16", "lower", "Fréchet distance on mean relu5_3; no FID", "vgg16", of_set=True),
    )
}
"""By name, in the order of the tables."""

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


class Instruments:
    """The networks that metrics need, loaded once; one that is missing leaves its metrics out, with the reason."""

    def __init__(
        self, wanted: Collection[str] | None = None, weights_dir: Path | None = None, device: str | torch.device = "cpu"
    ) -> None:
        """Load what the wanted metrics need.

        Raises:
            ScmError: if a metric is unknown, or a weight file is there but damaged.
        """
        for name in wanted or ():
            if name not in METRICS:
                raise ScmError(f"--metrics: '{name}' is not one of {', '.join(METRICS)}{nearest(name, METRICS)}")
        self.wanted = [name for name in METRICS if wanted is None or name in wanted]
        self.asked_for = frozenset(wanted or ())
        self.device = torch.device(device)
        self.not_computed: dict[str, str] = {}
        self.weights: dict[str, dict[str, str]] = {}
        for name in list(self.wanted):
            source = METRICS[name].weights
            if not source:
                continue
            try:
                path = _weights_of(source, weights_dir)
            except ScmError as error:
                self.not_computed[name] = str(error)
                continue
            self.weights[name] = {"name": path.name, "sha256": sha256(path)}
        self.lpips_alex = Lpips("alex", weights_dir).to(self.device) if self._can("lpips_alex") else None
        self.lpips_vgg = Lpips("vgg", weights_dir).to(self.device) if self._can("lpips_vgg") else None
        self.inception = Inception(weights_dir).to(self.device) if self._can("fid", "is") else None
        self.vgg16 = Vgg16Features(weights_dir).to(self.device) if self._can("fd_vgg16") else None
        self.analyser = Analyser.load() if self._can("pck") else None

    def _can(self, *names: str) -> bool:
        """Say whether a network for any of these is wanted and there; ``lpips_alex`` is for the person's too."""
        return any(metric.startswith(name) and metric in self.weights for name in names for metric in self.wanted)

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Return the features that set metrics are taken from, by the network's name."""
        found = {}
        if self.inception is not None:
            found["inception"] = self.inception(images)
        if self.vgg16 is not None:
            found["vgg16"] = self.vgg16(images)
        return found


def _weights_of(source: str, weights_dir: Path | None) -> Path:
    return SHIPPED if source == "analyser" else find_backbone(source, weights_dir)


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
    stores = _Store(cache, protocol, reference_hash, instruments)
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


class _Store:
    """Statistics of the reference set, from the cache where it knows this very set."""

    def __init__(self, cache: Path | None, protocol: Protocol, reference_hash: str, instruments: Instruments) -> None:
        self._instruments = instruments
        weights = {"inception": instruments.weights.get("fid"), "vgg16": instruments.weights.get("fd_vgg16")}
        weights["inception"] = weights["inception"] or instruments.weights.get("is")
        present = {"inception": instruments.inception is not None, "vgg16": instruments.vgg16 is not None}
        self.networks = [network for network, there in present.items() if there]
        self._paths: dict[str, Path] = {}
        self._known: dict[str, FeatureStatistics] = {}
        self._new: dict[str, FeatureStatistics] = {}
        for network in self.networks:
            identity: dict[str, Any] = {"references": reference_hash, "weights": weights[network], "network": network}
            identity |= {"protocol": protocol.as_json()}
            key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
            if cache is not None:
                self._paths[network] = cache / f"{network}-{key[:32]}.npz"
            known = self._paths[network] if network in self._paths and self._paths[network].is_file() else None
            if known is not None:
                self._known[network] = FeatureStatistics.read(known)
            else:
                self._new[network] = FeatureStatistics()

    def add(self, images: Tensor) -> None:
        if self._new:
            for network, features in self._instruments.features(images).items():
                if network in self._new:
                    self._new[network].add(features)

    def finished(self) -> dict[str, FeatureStatistics]:
        for network, found in self._new.items():
            if network in self._paths:
                found.write(self._paths[network])
        return self._known | self._new


def cache_folder() -> Path:
    """Return where statistics of reference sets are kept: ``SCM_CACHE``, or the user's cache."""
    given = os.environ.get("SCM_CACHE")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "scmnet_cli"
