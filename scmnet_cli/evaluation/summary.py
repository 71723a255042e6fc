"""Results of ``scm eval``: metrics with their conditions, values per image, tables."""

from __future__ import annotations

import importlib.metadata
import json
import math
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import scmnet_cli
from scmnet_cli.data.prepared import write_csv
from scmnet_cli.evaluation.cases import Case, Cases
from scmnet_cli.evaluation.field import FieldFound
from scmnet_cli.evaluation.metric_networks import METRICS, MetricNetworks
from scmnet_cli.evaluation.metric_results import MetricResults, Value, compute_metrics
from scmnet_cli.evaluation.prepared_cases import PreparedCases
from scmnet_cli.evaluation.protocols import Protocol
from scmnet_cli.files import write_text
from scmnet_cli.system.caches import cache_folder

_PACKAGES = ("torch", "torchvision", "scikit-image", "lpips", "pytorch-fid", "numpy", "pillow")
_DIGITS = 6


@dataclass(frozen=True)
class Evaluation:
    """Metrics of an evaluation with its cases and protocol."""

    cases: Cases
    protocol: Protocol
    results: MetricResults
    device: str
    seconds: float
    field: FieldFound | None = None

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values; only ``seconds`` differs between runs on the same input."""
        found = self.results
        return {
            "form": self.cases.form,
            "inputs": self.cases.described(),
            "protocol": self.protocol.as_json(),
            "count": len(found.names),
            "references": {"count": found.num_references, "sha256": found.reference_sha256},
            "answers": {
                answer: {name: self._number(name, value) for name, value in scores.values.items()}
                for answer, scores in found.scores.items()
            },
            "remarks": self.cases.remarks(),
            "not_computed": found.not_computed,
            "field": None if self.field is None else self.field.as_json(),
            "device": self.device,
            "versions": {
                "scmnet_cli": scmnet_cli.__version__,
                "python": platform.python_version(),
                **{package: importlib.metadata.version(package) for package in _PACKAGES},
            },
            "seconds": round(self.seconds, 2),
        }

    def _number(self, name: str, value: Value) -> dict[str, Any]:
        metric = METRICS[name]
        number: dict[str, Any] = {
            "value": plain(value.value),
            "deviation": None if value.deviation is None else plain(value.deviation),
            "count": value.count,
            "better": metric.better,
            "what": metric.what,
            "protocol": self.protocol.name,
            "size": self.size,
            "filter": self.protocol.filter,
        }
        if name in self.results.weights:
            number["weights"] = self.results.weights[name]
        if metric.of_set and name != "is":
            number["references_sha256"] = self.results.reference_sha256
        return number

    @property
    def size(self) -> str:
        """Height and width at which images were compared."""
        sizes = self.results.sizes
        return sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes, {sizes[0]} to {sizes[-1]}"

    def columns(self) -> list[str]:
        """Return the names of the metrics that any answer has, in the order of :data:`METRICS`."""
        scores = self.results.scores.values()
        return [name for name in METRICS if any(name in found.values for found in scores)]

    def table(self) -> str:
        """Return the results as a Markdown table, one row per answer."""
        names = self.columns()
        lines = ["| answer | " + " | ".join(METRICS[name].title for name in names) + " |", "| --- " * (len(names) + 1)]
        lines[1] += "|"
        for answer, scores in self.results.scores.items():
            cells = [shown(scores.values.get(name)) for name in names]
            lines.append(f"| {answer} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def sentence(self) -> str:
        """Return number, kind, protocol and size of the images as one sentence."""
        return (
            f"{len(self.results.names)} pictures ({self.cases.form}), protocol {self.protocol.name}, size "
            f"{self.size}; {self.results.num_references} references "
            f"{self.results.reference_sha256[:12]}{self._enlargement()}"
        )

    def _enlargement(self) -> str:
        """Return how the model's images were enlarged, or nothing if they were not."""
        drawn = self.cases.described().get("model_draws", self.size)
        return "" if drawn == self.size else f"; the model draws {drawn}"

    def notes(self) -> str:
        """Return remarks on the images and the statistics of the model's field, one sentence per line."""
        remarks = self.cases.remarks()
        if self.field is not None and isinstance(self.cases, PreparedCases):
            remarks = [*remarks, f"{self.field.num_people} of {self.cases.split}: {self.field.summary()}"]
        return "\n".join(remarks)

    def write(self, out: Path) -> None:
        """Write metrics.json, table.md and one CSV file per answer.

        Raises:
            ScmError: if a file cannot be written.
        """
        write_text(out / "metrics.json", json.dumps(self.as_json(), indent=2, ensure_ascii=False) + "\n")
        parts = [self.table(), self.sentence(), self.notes(), self.missing()]
        write_text(out / "table.md", "\n\n".join(part for part in parts if part) + "\n")
        for place, (answer, scores) in enumerate(self.results.scores.items()):
            name = "per_image.csv" if place == 0 else f"per_image.{_slug(answer)}.csv"
            rows = [
                [image, *(_cell(column[row]) for column in scores.per_image.values())]
                for row, image in enumerate(self.results.names)
            ]
            write_csv(out / name, ["name", *scores.per_image], rows)

    def missing(self) -> str:
        """Return the metrics that were not computed, one per line with the reason."""
        return "\n".join(f"not computed: {name}: {why}" for name, why in self.results.not_computed.items())


def evaluate(
    cases: Cases,
    protocol: Protocol,
    metric_networks: MetricNetworks,
    *,
    batch: int = 8,
    keep: Callable[[Case], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Compute all metrics and the statistics of the model's field; arguments as for :func:`compute_metrics`.

    Raises:
        ScmError: if there are no cases, or an image cannot be read or is too small.
    """
    started = time.perf_counter()
    found = compute_metrics(
        cases, protocol, metric_networks, batch=batch, keep=keep, cache=cache_folder(), progress=progress
    )
    field = cases.field() if isinstance(cases, PreparedCases) else None
    return Evaluation(cases, protocol, found, str(metric_networks.device), time.perf_counter() - started, field)


def plain(value: float) -> float | str:
    """Return a number for JSON, which has no infinity or NaN: those become text."""
    return round(value, _DIGITS) if math.isfinite(value) else str(value)


def shown(value: Value | None) -> str:
    """Return a value as text for tables."""
    if value is None:
        return "-"
    return f"{value.value:.2f}" if value.value >= 10 else f"{value.value:.4f}"


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.{_DIGITS}g}"


def _slug(answer: str) -> str:
    return re.sub(r"\W+", "-", answer.lower()).strip("-")
