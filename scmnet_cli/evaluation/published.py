"""The paper's tables, and their comparison with our results."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from scmnet_cli.errors import ScmError, nearest

COLUMNS = ("fid", "ssim", "lpips", "is")
_TITLES = {"fid": "FID↓", "ssim": "SSIM↑", "lpips": "LPIPS↓", "is": "IS↑"}
_OURS = {"fid": "fid", "ssim": "ssim", "lpips": "lpips_alex", "is": "is"}
_TEST_PAIRS = 8570


@dataclass(frozen=True)
class PublishedRow:
    """A row as printed in the paper; ``likely_protocol`` and ``why`` are our inference, since the paper names none."""

    method: str
    group: str
    fid: float | None
    ssim: float | None
    lpips: float | None
    likely_protocol: str
    why: str
    inception_score: float | None

    def value(self, column: str) -> float | None:
        """Return the value of a column of :data:`COLUMNS`."""
        values = {"fid": self.fid, "ssim": self.ssim, "lpips": self.lpips, "is": self.inception_score}
        return values[column]


@dataclass(frozen=True)
class PublishedTable:
    """A table of the paper."""

    name: str
    title: str
    source: str
    data: str
    rows: tuple[PublishedRow, ...]


@cache
def published_tables() -> dict[str, PublishedTable]:
    """Return the paper's tables by name: ``Table 1`` and ``Table 2``."""
    found: dict[str, Any] = json.loads(files("scmnet_cli.evaluation").joinpath("published.json").read_text("utf-8"))
    tables = {}
    for table in found["tables"]:
        rows = tuple(
            PublishedRow(inception_score=row["is"], **{key: value for key, value in row.items() if key != "is"})
            for row in table["rows"]
        )
        tables[table["name"]] = PublishedTable(table["name"], table["title"], found["source"], found["data"], rows)
    return tables


def compare(metrics: dict[str, Any], name: str = "Table 1") -> str:
    """Return a table of the paper followed by our results, and warnings about what makes them incomparable.

    Args:
        metrics: content of metrics.json.
        name: name of the paper's table.

    Raises:
        ScmError: if there is no such table.
    """
    tables = published_tables()
    if name not in tables:
        raise ScmError(f"the paper has no '{name}', but {', '.join(tables)}{nearest(name, tables)}")
    table = tables[name]
    header = ["method", *_TITLES.values(), "protocol"]
    lines = ["| " + " | ".join(header) + " |", "| --- " * len(header) + "|"]
    for row in table.rows:
        cells = ["-" if row.value(column) is None else str(row.value(column)) for column in COLUMNS]
        lines.append("| " + " | ".join([row.method, *cells, f"{row.likely_protocol} (likely)"]) + " |")
    protocol = metrics["protocol"]["name"]
    for answer, numbers in metrics["answers"].items():
        cells = ["-" if _OURS[c] not in numbers else f"{float(numbers[_OURS[c]]['value']):.4g}" for c in COLUMNS]
        lines.append("| " + " | ".join([f"ours: {answer}", *cells, protocol]) + " |")
    return "\n".join([*lines, "", *(f"warning: {warning}" for warning in differences(metrics, table))])


def differences(metrics: dict[str, Any], table: PublishedTable) -> list[str]:
    """Return the reasons why our results and a table cannot be compared."""
    protocol = metrics["protocol"]["name"]
    others = [row.method for row in table.rows if row.likely_protocol != protocol]
    found = []
    if others:
        found.append(
            f"ours use protocol {protocol}; the paper's rows {', '.join(others)} most likely do not"
            + ("" if protocol == "patn" else " (--protocol patn is the nearest to most)")
        )
    if metrics["form"] == "reconstruction":
        found.append("ours reconstruct a person from a moved copy; the paper's transfer between two photos")
    if metrics["count"] != _TEST_PAIRS:
        found.append(
            f"ours are over {metrics['count']:,} pictures, not the benchmark's {_TEST_PAIRS:,} test pairs: FID and "
            "IS depend on the count"
        )
    found.append(f"the paper's are on {table.data}; it names neither its FID reference set nor its LPIPS network")
    return found
