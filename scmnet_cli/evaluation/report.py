"""The report of an evaluation: one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
import io
import math
from html import escape

import numpy as np
from PIL import Image

from scmnet_cli.evaluation.cases import Case
from scmnet_cli.evaluation.instruments import METRICS
from scmnet_cli.evaluation.summary import Evaluation, shown
from scmnet_cli.images import contact_sheet
from scmnet_cli.types import UInt8Array

_SHOWN = 3
_BINS = 24
_WIDTH, _HEIGHT = 260, 90
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em; color: #222; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
td, th { border: 1px solid #ccc; padding: .3em .6em; text-align: right; } td:first-child { text-align: left; }
.plots { display: flex; flex-wrap: wrap; gap: 1em; } figure { margin: 0; } figcaption { font-size: 13px; }
img { max-width: 100%; } dt { font-weight: bold; }
"""


def html_report(evaluation: Evaluation, compared: str = "") -> str:
    """Return the report: tables, protocol, a histogram a metric, and the best, median and worst pictures.

    Args:
        evaluation: what was measured.
        compared: a table in Markdown to show too.
    """
    answer, scores = next(iter(evaluation.judgement.scores.items()))
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>scm eval</title>",
        f"<style>{_STYLE}</style><h1>scm eval</h1><p>{escape(evaluation.sentence())}</p>",
        _table(evaluation.table()),
    ]
    if evaluation.judgement.not_computed:
        items = (f"<li>{escape(name)}: {escape(why)}" for name, why in evaluation.judgement.not_computed.items())
        parts.append(f"<h2>Not computed</h2><ul>{''.join(items)}</ul>")
    if compared:
        table, _, warnings = compared.partition("\n\n")
        parts.append(f"<h2>Published</h2>{_table(table)}<p>{escape(warnings)}</p>")
    parts.append(f"<h2>Over the pictures: {escape(answer)}</h2><div class='plots'>")
    for name, values in scores.per_image.items():
        mean = shown(scores.values[name])
        parts.append(f"<figure>{histogram(values)}<figcaption>{METRICS[name].title}, mean {mean}</figcaption></figure>")
    parts.append("</div>")
    parts += _strips(evaluation)
    rows = "".join(f"<dt>{escape(key)}<dd>{escape(str(value))}" for key, value in evaluation.protocol.as_json().items())
    parts.append(f"<h2>Protocol</h2><dl>{rows}</dl></html>")
    return "\n".join(parts) + "\n"


def _table(markdown: str) -> str:
    lines = [line.strip("| ").split(" | ") for line in markdown.splitlines() if not line.startswith("| ---")]
    header = "".join(f"<th>{escape(cell)}" for cell in lines[0])
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}" for cell in line) for line in lines[1:])
    return f"<table><tr>{header}{rows}</table>"


def histogram(values: list[float]) -> str:
    """Return a histogram as SVG."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "<svg width='1' height='1'></svg>"
    counts, edges = np.histogram(finite, bins=_BINS)
    step = _WIDTH / _BINS
    bars = "".join(
        f"<rect x='{place * step:.1f}' y='{_HEIGHT * (1 - count / counts.max()):.1f}' width='{step - 1:.1f}' "
        f"height='{_HEIGHT * count / counts.max():.1f}' fill='#4a78a8'/>"
        for place, count in enumerate(counts.tolist())
    )
    ends = (
        f"<text x='0' y='{_HEIGHT + 14}' font-size='11'>{edges[0]:.3g}</text>"
        f"<text x='{_WIDTH}' y='{_HEIGHT + 14}' font-size='11' text-anchor='end'>{edges[-1]:.3g}</text>"
    )
    return f"<svg width='{_WIDTH}' height='{_HEIGHT + 18}'>{bars}{ends}</svg>"


def _strips(evaluation: Evaluation) -> list[str]:
    """Show the best, the median and the worst pictures of the first answer."""
    answer, scores = next(iter(evaluation.judgement.scores.items()))
    by = next((name for name in ("lpips_alex", "ssim", *METRICS) if name in scores.per_image), None)
    if by is None:
        return []
    values = scores.per_image[by]
    known = [index for index in range(len(values)) if not math.isnan(values[index])]
    sign = -1 if METRICS[by].better == "higher" else 1
    order = sorted(known, key=lambda index: (sign * values[index], index))
    middle = max(0, len(order) // 2 - _SHOWN // 2)
    chosen = {"Best": order[:_SHOWN], "Median": order[middle : middle + _SHOWN], "Worst": order[-_SHOWN:]}
    parts = [f"<h2>{escape(answer)} by {METRICS[by].title}</h2>"]
    for word, indices in chosen.items():
        cases = [evaluation.cases.one(index) for index in indices]
        captions = [f"{case.name}  {values[index]:.4f}" for case, index in zip(cases, indices, strict=True)]
        shown_there = [*(["source"] if cases[0].source is not None else []), *cases[0].answers, "reference"]
        order_of_pictures = escape(", ".join(shown_there))
        sheet = contact_sheet([_row(case) for case in cases], captions=captions)
        parts.append(
            f"<h3>{word}</h3><p>From the left: {order_of_pictures}.</p>"
            f"<img alt='{word}' src='data:image/png;base64,{_png(sheet)}'>"
        )
    return parts


def _row(case: Case) -> list[UInt8Array]:
    source = [] if case.source is None else [case.source]
    return [*source, *case.answers.values(), case.reference]


def _png(picture: UInt8Array) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
