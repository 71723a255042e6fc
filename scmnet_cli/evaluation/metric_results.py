"""Compute all metrics of all cases in one pass: values per image, and distances of whole sets."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from scmnet_cli.errors import ScmError
from scmnet_cli.evaluation.cases import Case, Cases
from scmnet_cli.evaluation.metric_networks import METRICS, MetricNetworks
from scmnet_cli.evaluation.pictures import FittedCase, Pictures, fit_case
from scmnet_cli.evaluation.protocols import Protocol
from scmnet_cli.evaluation.reference_statistics import ReferenceStatistics
from scmnet_cli.metrics.frechet import FeatureStatistics
from scmnet_cli.metrics.inception_score import SPLITS, InceptionScore
from scmnet_cli.metrics.ssim import ssim_raw

_GIVE_DATA = "give DATA, the prepared folder of the references"
_UNKNOWN = {
    "truth": "the true image is not known",
    "edges": "the references are not faces of a prepared folder",
    "joints": f"the references' joints are not known; {_GIVE_DATA}",
    "source_joints": f"the sources' joints are not known; {_GIVE_DATA}",
    "masks": f"region maps are not known; {_GIVE_DATA}",
    "source_masks": f"region maps are not known; {_GIVE_DATA}",
    "person": f"region maps are not known; {_GIVE_DATA}",
    "source": "the sources are not known",
}
"""Reasons why a metric is not computed, by the missing input."""

_OF_FACES, _OF_PEOPLE = ("edge_f1",), ("pck", "face_crop")
"""Metrics that exist for one domain only."""


@dataclass(frozen=True)
class Value:
    """Mean of a metric, its standard deviation over images (or splits), and the number of images without NaN."""

    value: float
    deviation: float | None
    count: int


@dataclass(frozen=True)
class Scores:
    """Metrics of one answer; ``per_image`` has one value per case, NaN if there was nothing to measure."""

    values: dict[str, Value]
    per_image: dict[str, list[float]]


@dataclass(frozen=True)
class MetricResults:
    """All metrics, the sizes of the images (height x width), and the reason for each metric that is missing."""

    names: list[str]
    scores: dict[str, Scores]
    not_computed: dict[str, str]
    weights: dict[str, dict[str, str]]
    num_references: int
    reference_sha256: str
    sizes: list[str]


@torch.no_grad()
def compute_metrics(
    cases: Cases,
    protocol: Protocol,
    metric_networks: MetricNetworks,
    *,
    batch: int = 8,
    keep: Callable[[Case], None] | None = None,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> MetricResults:
    """Compute the metrics of all cases.

    Images are read chunk by chunk; only their metrics stay in memory.

    Args:
        cases: the cases.
        protocol: the protocol of the comparison.
        metric_networks: the networks.
        batch: cases per chunk; the results do not depend on it beyond rounding.
        keep: called with every case, for example to save its images.
        cache: folder for statistics of reference sets, keyed by their content; None to keep none.
        progress: called with the number of cases done and in all.

    Raises:
        ScmError: if there are no cases, or an image cannot be read or is too small.
    """
    if not len(cases):
        raise ScmError("there is no picture to evaluate")
    accumulator = _Accumulator(cases, protocol, metric_networks, cache)
    for chunk in cases.chunks(batch):
        accumulator.add(chunk)
        for case in chunk:
            if keep:
                keep(case)
        if progress:
            progress(len(accumulator.names), len(cases))
    return accumulator.results()


class _Accumulator:
    """Metrics of the cases added so far."""

    def __init__(self, cases: Cases, protocol: Protocol, metric_networks: MetricNetworks, cache: Path | None) -> None:
        self._protocol, self._metric_networks, self._answers = protocol, metric_networks, cases.answers
        self._reference_hash = cases.reference_sha256()
        self._references = ReferenceStatistics(cache, protocol, self._reference_hash, metric_networks)
        self.names: list[str] = []
        self._seen: set[str] = set()
        self._sizes: set[str] = set()
        self._has_faces = False
        self._rows: dict[str, dict[str, list[float]]] = {answer: {} for answer in cases.answers}
        networks = self._references.networks
        self._features = {answer: {name: FeatureStatistics() for name in networks} for answer in cases.answers}
        self._weights = dict(metric_networks.weights)
        self._missing = dict(metric_networks.not_computed)
        self._unknown: dict[str, str] = {}  # by the metric's name: an input it lacks
        self._inception_scores: dict[str, InceptionScore] = {}
        if "is" in metric_networks.wanted and metric_networks.inception is not None:
            if len(cases) < SPLITS:
                self._missing["is"] = f"needs {SPLITS} images or more, not {len(cases)}"
            else:
                self._inception_scores = {answer: InceptionScore(len(cases)) for answer in cases.answers}

    def add(self, chunk: Sequence[Case]) -> None:
        """Compute the metrics of a chunk of cases."""
        fit = [fit_case(case, self._protocol, self._metric_networks.device) for case in chunk]
        for _, same in groupby(fit, key=lambda one: one.reference.shape):
            self._add_group(list(same))
        self._has_faces |= any(case.edges is not None for case in chunk)
        if any(case.found_joints is not None for case in chunk):
            self._weights.pop("pck", None)  # the analyser was not used
        self.names += [case.name for case in chunk]

    def _add_group(self, group: list[FittedCase]) -> None:
        """Compute the metrics of cases of one size."""
        self._sizes.add("x".join(str(side) for side in group[0].reference.shape[2:]))
        first = {one.case.reference_key: one for one in group if one.case.reference_key not in self._seen}
        self._seen |= set(first)
        if first and self._references.networks:
            self._references.add(torch.cat([one.reference for one in first.values()]))
        inception = self._metric_networks.inception
        for answer in self._answers:
            pictures = Pictures(answer, group, self._protocol, self._metric_networks)
            for name, column in self._columns(pictures).items():
                self._rows[answer].setdefault(name, []).extend(column)
            for network, features in self._metric_networks.features(pictures.images).items():
                self._features[answer][network].add(features)
                if network == "inception" and answer in self._inception_scores and inception is not None:
                    self._inception_scores[answer].add(inception.probabilities(features))

    def _columns(self, pictures: Pictures) -> dict[str, list[float]]:
        """Return the wanted metrics of images of one size, one value per image."""
        columns: dict[str, list[float]] = {}
        for name in self._metric_networks.wanted:
            metric = METRICS[name]
            if metric.of_set or metric.compute is None or name in self._missing or self._repeats(name):
                continue
            given = {need: getattr(pictures, need.rstrip("?")) for need in metric.needs}
            unknown = [need for need, value in given.items() if value is None and not need.endswith("?")]
            if unknown:
                self._unknown[name] = "truth" if "truth" in unknown else unknown[-1]
                continue
            values: Tensor = metric.compute(*given.values())
            columns[name] = values.double().tolist()
        return columns

    def _repeats(self, name: str) -> bool:
        """Return whether a column would repeat the protocol's SSIM."""
        return name == "ssim_raw" and self._protocol.ssim is ssim_raw and "ssim" in self._metric_networks.wanted

    def results(self) -> MetricResults:
        """Return all metrics."""
        references = self._references.finished()
        scores = {}
        for answer in self._answers:
            rows = self._rows[answer]
            values = {name: _mean(column) for name, column in rows.items()} | self._set_values(answer, references)
            known = {name: values[name] for name in METRICS if name in values and values[name].count}
            scores[answer] = Scores(known, {name: rows[name] for name in known if name in rows})
        computed = {name for found in scores.values() for name in found.values}
        for name in self._metric_networks.wanted:
            if name not in computed and name not in self._missing and not self._is_silent(name):
                self._missing[name] = _UNKNOWN.get(self._unknown.get(name, ""), "no image has what it measures")
        return MetricResults(
            self.names, scores, self._missing, self._weights, len(self._seen), self._reference_hash, sorted(self._sizes)
        )

    def _is_silent(self, name: str) -> bool:
        """Return whether a missing metric is not reported: it is for the other domain and was not requested."""
        others = _OF_PEOPLE if self._has_faces else _OF_FACES
        return self._repeats(name) or (name in others and name not in self._metric_networks.asked_for)

    def _set_values(self, answer: str, references: dict[str, FeatureStatistics]) -> dict[str, Value]:
        """Return the metrics of an answer's whole set of images."""
        values: dict[str, Value] = {}
        for name in self._metric_networks.wanted:
            metric = METRICS[name]
            (network, *_) = metric.needs
            if not metric.of_set or metric.compute is None or network not in references:
                continue
            try:
                distance: float = metric.compute(self._features[answer][network], references[network])
            except ScmError as error:
                self._missing[name] = str(error)
                continue
            values[name] = Value(distance, None, len(self.names))
        if answer in self._inception_scores:
            values["is"] = Value(*self._inception_scores[answer].result(), len(self.names))
        return values


def _mean(values: list[float]) -> Value:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return Value(math.nan, None, 0)
    if any(math.isinf(value) for value in known):
        return Value(math.fsum(known) if len(known) == 1 else statistics.fmean(known), None, len(known))
    return Value(statistics.fmean(known), statistics.pstdev(known), len(known))
