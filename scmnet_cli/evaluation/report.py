"""Report of an evaluation as one self-contained HTML file."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scmnet_cli.evaluation.cases import Case
from scmnet_cli.evaluation.metric_networks import METRICS
from scmnet_cli.evaluation.summary import Evaluation, shown
from scmnet_cli.files import render_html
from scmnet_cli.images import contact_sheet
from scmnet_cli.types import UInt8Array

_SHOWN = 3
_BINS = 24
_WIDTH, _HEIGHT = 260, 90
_TEMPLATE = Path(__file__).with_name("report.html.jinja")


def html_report(evaluation: Evaluation, compared: str = "") -> str:
    """Return the report: tables, protocol, a histogram per metric, and the best, median and worst images.

    Args:
        evaluation: the results.
        compared: another Markdown table to show, as :func:`scmnet_cli.evaluation.published.compare` returns it.
    """
    answer, scores = next(iter(evaluation.results.scores.items()))
    published, _, warnings = compared.partition("\n\n")
    plots = [
        _histogram(values) | {"title": METRICS[name].title, "mean": shown(scores.values[name])}
        for name, values in scores.per_image.items()
    ]
    by = next((name for name in ("lpips_alex", "ssim", *METRICS) if name in scores.per_image), None)
    return render_html(
        _TEMPLATE,
        sentence=evaluation.sentence(),
        notes=evaluation.notes().splitlines(),
        results=_rows(evaluation.table()),
        not_computed=evaluation.results.not_computed,
        published=_rows(published) if compared else [],
        warnings=warnings,
        answer=answer,
        plots=plots,
        strips=[] if by is None else _strips(evaluation, by),
        strips_by="" if by is None else METRICS[by].title,
        protocol=evaluation.protocol.as_json(),
    )


def _rows(markdown: str) -> list[list[str]]:
    """Return the cells of a Markdown table, one list per row, the header first."""
    return [line.strip("| ").split(" | ") for line in markdown.splitlines() if not line.startswith("| ---")]


def _histogram(values: list[float]) -> dict[str, Any]:
    """Return the bars of a histogram in pixels, and the values at its ends."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return {"width": 1, "height": 1, "bars": [], "low": "", "high": ""}
    counts, edges = np.histogram(finite, bins=_BINS)
    step = _WIDTH / _BINS
    heights = (_HEIGHT * counts / counts.max()).tolist()
    bars = [
        {"x": place * step, "y": _HEIGHT - height, "width": step - 1, "height": height}
        for place, height in enumerate(heights)
    ]
    return {"width": _WIDTH, "height": _HEIGHT, "bars": bars, "low": f"{edges[0]:.3g}", "high": f"{edges[-1]:.3g}"}


def _strips(evaluation: Evaluation, by: str) -> list[dict[str, str]]:
    """Return contact sheets of the best, median and worst images of the first answer."""
    scores = next(iter(evaluation.results.scores.values()))
    values = scores.per_image[by]
    known = [index for index in range(len(values)) if not math.isnan(values[index])]
    sign = -1 if METRICS[by].better == "higher" else 1
    order = sorted(known, key=lambda index: (sign * values[index], index))
    middle = max(0, len(order) // 2 - _SHOWN // 2)
    chosen = {"Best": order[:_SHOWN], "Median": order[middle : middle + _SHOWN], "Worst": order[-_SHOWN:]}
    strips = []
    for word, indices in chosen.items():
        cases = [evaluation.cases.one(index) for index in indices]
        captions = [f"{case.name}  {values[index]:.4f}" for case, index in zip(cases, indices, strict=True)]
        columns = [*(["source"] if cases[0].source is not None else []), *cases[0].answers, "reference"]
        sheet = contact_sheet([_row(case) for case in cases], captions=captions)
        strips.append({"word": word, "order": ", ".join(columns), "png": _png(sheet)})
    return strips


def _row(case: Case) -> list[UInt8Array]:
    source = [] if case.source is None else [case.source]
    return [*source, *case.answers.values(), case.reference]


def _png(picture: UInt8Array) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
