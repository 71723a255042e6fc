"""Results of the ablation study: a table with the paper's rows, its JSON, and a contact sheet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from scmnet_cli.config import Config
from scmnet_cli.evaluation.ablation_settings import Budget, Setting
from scmnet_cli.evaluation.baselines import TITLES, Method
from scmnet_cli.evaluation.metric_networks import METRICS
from scmnet_cli.evaluation.metric_results import Value
from scmnet_cli.evaluation.prepared_cases import MODEL, PreparedCases
from scmnet_cli.evaluation.published import compare, published_tables
from scmnet_cli.evaluation.summary import shown
from scmnet_cli.images import contact_sheet, draw_skeleton
from scmnet_cli.types import UInt8Array

_PAPERS = "Table 2"
_NUM_SHOWN = 8
_TITLE_WIDTH = 112  # pixels; least width of a column of the sheet
_FIELD = {"region_accuracy": "region accuracy", "source_spread": "source spread"}


@dataclass(frozen=True)
class StudyResults:
    """Metrics of all evaluated settings.

    Attributes:
        config: the full config.
        budget: budget of each setting.
        seed: seed of all runs.
        data: name of the data.
        settings: the evaluated settings in the order of the table.
        metrics: content of each setting's metrics.json by the setting's name.
        summaries: content of each run's summary by the setting's name.
        baselines: content of the baselines' metrics.json.
    """

    config: Config
    budget: Budget
    seed: int
    data: str
    settings: Sequence[Setting]
    metrics: Mapping[str, Any]
    summaries: Mapping[str, Any]
    baselines: Mapping[str, Any]

    def table(self) -> str:
        """Return the table in Markdown, its conditions, and the paper's table beside it."""
        first = self.metrics[self.settings[0].name]
        ours = {one.title: self.metrics[one.name]["answers"][MODEL] for one in self.settings}
        answers = ours | self.baselines["answers"]
        names = [name for name in METRICS if any(name in numbers for numbers in answers.values())]
        header = ["setting", *(METRICS[name].title for name in names), *_FIELD.values()]
        lines = ["| " + " | ".join(header) + " |", "| --- " * len(header) + "|"]
        field_of = {one.title: self.metrics[one.name]["field"] or {} for one in self.settings}
        for title, numbers in answers.items():
            values = [numbers.get(name, {}).get("value") for name in names]
            values += [field_of.get(title, {}).get(name) for name in _FIELD]
            cells = [shown(None if value is None else Value(float(value), None, 0)) for value in values]
            lines.append("| " + " | ".join([title, *cells]) + " |")
        missing = [f"not computed: {name}: {why}" for name, why in first["not_computed"].items()]
        sentence = (
            f"{self.budget.described()} each, seed {self.seed}; {first['count']} pictures ({first['form']}) of "
            f"{self.data}, protocol {first['protocol']['name']}"
        )
        parts = ["\n".join(lines), sentence, "\n".join(missing), compare({**first, "answers": ours}, _PAPERS)]
        return "\n\n".join(part for part in parts if part) + "\n"

    def as_json(self) -> dict[str, Any]:
        """Return all results as plain values."""
        first = self.metrics[self.settings[0].name]
        settings = {
            one.name: {
                "title": one.title,
                "changes": list(one.changes),
                "images": self.summaries[one.name]["images"],
                "seconds": self.summaries[one.name]["seconds"],
                "numbers": self.metrics[one.name]["answers"][MODEL],
                "field": self.metrics[one.name]["field"],
            }
            for one in self.settings
        }
        return {
            "config": self.config.model_dump(mode="json"),
            "budget": asdict(self.budget),
            "seed": self.seed,
            **{name: first[name] for name in ("form", "protocol", "count", "references", "not_computed", "versions")},
            "data": self.data,
            "settings": settings,
            "without a model": self.baselines["answers"],
            "paper": asdict(published_tables()[_PAPERS]),
        }


def draw_study_sheet(baselines: PreparedCases, settings: Iterable[tuple[str, PreparedCases]]) -> UInt8Array:
    """Draw a contact sheet, one row per case: source, pose, the image of each setting, truth.

    Args:
        baselines: the cases without a model.
        settings: title of each setting, and the same cases with its model; only one model is in memory at a time.

    Shape:
        result: (H', W', 3) uint8.
    """
    num = min(_NUM_SHOWN, len(baselines))
    chosen = [index * len(baselines) // num for index in range(num)]
    columns = {title: [cases.one(index).answers[MODEL] for index in chosen] for title, cases in settings}
    rows = []
    for row, index in enumerate(chosen):
        case = baselines.one(index)
        pose = case.reference if case.joints is None else draw_skeleton(case.reference, case.joints)
        source = case.answers[TITLES[Method.source_copy]]
        rows.append([source, pose, *(column[row] for column in columns.values()), case.reference])
    zoom = -(-_TITLE_WIDTH // baselines.canvas.width)
    enlarged = [[picture.repeat(zoom, axis=0).repeat(zoom, axis=1) for picture in row] for row in rows]
    return contact_sheet(enlarged, headers=["source", "pose", *columns, "truth"])
