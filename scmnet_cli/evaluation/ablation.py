"""The ablation study: settings of one config, trained and judged under one budget (the paper's Table 2, and ours).

A setting is a run folder like any other, with its evaluation in ``eval`` inside. What is done is found again by what
lies there, so the study goes on after any interruption and does nothing twice.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from scmnet_cli.checkpoint import MODEL_FILE, sha256
from scmnet_cli.config import Config, differences, load_config, parse_config
from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.evaluation.baselines import TITLES, Method
from scmnet_cli.evaluation.judging import Value
from scmnet_cli.evaluation.metric_networks import METRICS, MetricNetworks
from scmnet_cli.evaluation.prepared_cases import MODEL, PreparedCases
from scmnet_cli.evaluation.protocols import find_protocol
from scmnet_cli.evaluation.published import compare, published_tables
from scmnet_cli.evaluation.summary import evaluate, shown
from scmnet_cli.files import write_text
from scmnet_cli.images import contact_sheet, draw_skeleton
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.preprocess.layouts import open_source
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.provenance import save_generated
from scmnet_cli.sources.drawn import write_drawn_source
from scmnet_cli.system.devices import choose_device
from scmnet_cli.training.counted import Outcome, Report
from scmnet_cli.training.loop import SUMMARY_FILE, Run
from scmnet_cli.training.state import read_state
from scmnet_cli.types import UInt8Array

_PAPERS = "Table 2"
_ASKED = "asked.json"
_NUM_DRAWN = 60
_NUM_SHOWN = 8
_TITLE_WIDTH = 112  # pixels; a column of the sheet is at least as wide
_TRIAL_STEPS = 30
_NUM_SAVES = 10
_FIELD = {"region_accuracy": "region accuracy", "source_spread": "source spread"}


@dataclass(frozen=True)
class Setting:
    """One row of the study: the changes that leave something out of the full config.

    Attributes:
        name: of its folder and for ``--only``.
        title: in the tables; the paper's own where it has one.
        changes: ``section.field=value`` each.
        of_part_warp: whether it applies to configs with ``model.part_warp`` only.
    """

    name: str
    title: str
    changes: tuple[str, ...] = ()
    of_part_warp: bool = False


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("no-dse", "w/o DSE", ("model.style=global",)),
        Setting("no-ccf", "w/o CCF", ("model.ccf=false",)),
        Setting("no-bsr", "w/o BSR", ("loss.bsr=0",)),
        Setting("full", "Full"),
        Setting("no-anti-copy", "w/o anti_copy", ("data.anti_copy=false",)),
        Setting("no-correspondence", "w/o correspondence", ("loss.field_regions=0", "loss.field_colours=0")),
        Setting("tau-1", "tau = 1", ("model.tau=1",)),
        Setting("no-part-warp", "w/o part warp", ("model.part_warp=false", "model.correlation=true")),
        Setting("no-repose", "w/o repose", ("data.repose=0",)),
        Setting("no-prior", "w/o prior", ("model.prior_sigma=0",), of_part_warp=True),
        Setting("no-correlation", "w/o correlation (the warp alone)", ("model.correlation=false",), of_part_warp=True),
    )
}
"""By name, in the order of the tables: the paper's four, then ours."""


@dataclass(frozen=True)
class Budget:
    """How long each setting is trained.

    Attributes:
        images: so many, the same for all.
        minutes: in which the whole config trains on that many here; None where images were asked for.
        images_per_second: the speed that was measured for it.
    """

    images: int
    minutes: float | None = None
    images_per_second: float | None = None


@dataclass(frozen=True)
class Asked:
    """Options of the evaluation, as ``scm eval`` has them."""

    split: str | None = None
    limit: int | None = None
    metrics: tuple[str, ...] | None = None
    protocol: str = "raw"


@dataclass(frozen=True)
class Planned:
    """A setting, what would be trained, and how far it is."""

    setting: Setting
    images_done: int
    images: int
    judged: bool


@dataclass(frozen=True)
class Study:
    """Settings of an ablation: what is trained and judged, and where.

    Attributes:
        changes: of the config, for all settings alike.
        only: names of :data:`SETTINGS`; None: all that change something in this config.
        images: budget of each setting; None: the config's own, if ``minutes`` is None too; a study that is there goes
            on with its own.
        minutes: budget as time: as many images as the whole config trains on in it.
        asked: what is judged.
        seed: of all runs.
        device: where to compute.
        weights_dir: folder of backbones.
    """

    changes: Sequence[str] = ()
    only: Sequence[str] | None = None
    images: int | None = None
    minutes: float | None = None
    asked: Asked = Asked()
    seed: int = 0
    device: str = "auto"
    weights_dir: Path | None = None


class Ablation:
    """A study in a folder of its own."""

    def __init__(
        self,
        config: str,
        out: Path,
        data: Path | None = None,
        study: Study | None = None,
    ) -> None:
        """Say what is studied; nothing is computed or written yet.

        Args:
            config: name of a shipped config, or a YAML file.
            out: folder of the study; one that is there goes on.
            data: prepared folder; None: people that the package draws itself.
            study: what is trained and judged; None: everything that changes something, on the config's own images.

        Raises:
            ScmError: if config or settings do not fit, or the folder holds a study of something else.
        """
        study = study or Study()
        self.out, self.data, self.asked = out, data, study.asked
        self._name, self._changes = config, tuple(study.changes)
        self._seed, self._device, self._weights_dir = study.seed, study.device, study.weights_dir
        self.config = load_config(config, self._changes)
        self.protocol = find_protocol(self.asked.protocol)
        self.settings = [SETTINGS[name] for name in self._chosen(study.only)]
        self._minutes = study.minutes
        self.budget = self._begun(study.images)

    def _chosen(self, only: Sequence[str] | None) -> list[str]:
        able = [name for name, one in SETTINGS.items() if self._applies(one)]
        if only is None:
            return able
        for name in only:
            if name not in SETTINGS:
                raise ScmError(f"--only: '{name}' is not one of {', '.join(SETTINGS)}{nearest(name, SETTINGS)}")
            if SETTINGS[name].of_part_warp and not self.config.model.part_warp:
                raise ScmError(f"--only {name}: this config has no model.part_warp; choose of {', '.join(able)}")
            if name not in able:
                wanted = ", ".join(SETTINGS[name].changes)
                raise ScmError(f"--only {name}: this config has {wanted} already; choose of {', '.join(able)}")
        return [name for name in able if name in only]

    def _applies(self, setting: Setting) -> bool:
        """Return whether a setting leaves out something that this config has."""
        if setting.of_part_warp and not self.config.model.part_warp:
            return False
        return not setting.changes or self._of(setting) != self.config

    def _of(self, setting: Setting, more: Sequence[str] = ()) -> Config:
        return load_config(self._name, [*self._changes, *setting.changes, *more])

    @property
    def _record(self) -> Path:
        return self.out / "ablation.json"

    def _begun(self, images: int | None) -> Budget | None:
        """Return the budget of the study that is there, or the one that is asked for; None: it is to be measured."""
        wanted = None if self._minutes is not None else Budget(images or self.config.train.images)
        if not self._record.is_file():
            return wanted
        as_begun = images is None and self._minutes is None
        found = _read(self._record)
        changed = differences(parse_config(found["config"], f"config in {self._record}"), self.config)
        budget = Budget(**found["budget"])
        if not as_begun and (budget.minutes != self._minutes or (wanted is not None and wanted != budget)):
            now = f"{self._minutes:g} minutes" if wanted is None else f"{wanted.images} images"
            changed.append(f"budget: {_told(budget)} -> {now}")
        if found["seed"] != self._seed:
            changed.append(f"seed: {found['seed']} -> {self._seed}")
        if found["data"] != self._data_name:
            changed.append(f"data: {found['data']} -> {self._data_name}")
        if changed:
            raise ScmError(f"-o {self.out}: holds a study of something else ({'; '.join(changed)}); choose another -o")
        return budget

    @property
    def _data_name(self) -> str:
        return "drawn people" if self.data is None else str(self.data.resolve())

    def folder(self, setting: Setting) -> Path:
        """Return the run folder of a setting."""
        return self.out / setting.name

    def config_of(self, setting: Setting) -> Config:
        """Return the config of a setting under the budget, once that is known."""
        assert self.budget is not None
        return self._of(setting, shrunk(self.config, self.budget.images))

    def plan(self) -> list[Planned]:
        """Say what would be trained, and how far it is."""
        total = 0 if self.budget is None else self.budget.images
        planned = []
        for setting in self.settings:
            found = None if self.budget is None else read_state(self.folder(setting))
            done = 0 if found is None else found[1].images
            planned.append(Planned(setting, done, total, (self._results(setting) / _ASKED).is_file()))
        return planned

    def begin(self, progress: Callable[[str, int, int], None] | None = None) -> Budget:
        """Draw people if there is no data, measure the speed if the budget is a time, and write down what is studied.

        Args:
            progress: called with a step, how far it is, and how far it goes.

        Raises:
            ScmError: if the folder cannot be used, or data or weights do not fit.
        """
        report_step = progress or (lambda _step, _done, _total: None)
        if self.data is None:
            people = self.out / "people"
            write_drawn_source(people, _NUM_DRAWN)
            prepare(open_source("folder", people), self.out / "data", self.config.model.canvas)
        if self.budget is None:
            assert self._minutes is not None
            speed = self._speed(report_step)
            batch = self.config.train.batch
            steps = max(1, int(self._minutes * 60 * speed / batch))
            self.budget = Budget(steps * batch, self._minutes, round(speed, 3))
        record = {
            "config": self.config.model_dump(mode="json"),
            "budget": asdict(self.budget),
            "data": self._data_name,
            "seed": self._seed,
        }
        try:
            self.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ScmError(f"-o {self.out}: cannot be made ({error}); name a folder you may write to") from error
        write_text(self._record, json.dumps(record, indent=2) + "\n")
        return self.budget

    @property
    def _prepared(self) -> Path:
        return self.out / "data" if self.data is None else self.data

    def _speed(self, report_step: Callable[[str, int, int], None]) -> float:
        """Return images a second of the whole config, over its whole schedule in small.

        Raises:
            KeyboardInterrupt: if a signal stops it.
        """
        batch = self.config.train.batch
        config = self._of(SETTINGS["full"], shrunk(self.config, _TRIAL_STEPS * batch))
        clock: list[float] = []

        def note(report: Report) -> None:
            clock.append(time.perf_counter())
            report_step("measuring the speed", report.images, report.total)

        with tempfile.TemporaryDirectory() as folder:
            run = Run(self._prepared, Path(folder), config, device=self._device, weights_dir=self._weights_dir)
            if not run.train(note).finished:
                raise KeyboardInterrupt
        # The first step waits for memory, the last one looks at people and draws a grid.
        return (len(clock) - 2) * batch / (clock[-2] - clock[0])

    def is_trained(self, setting: Setting) -> bool:
        """Say whether a setting has had its budget."""
        summary = self.folder(setting) / SUMMARY_FILE
        return summary.is_file() and bool(_read(summary).get("finished"))

    def train(self, setting: Setting, progress: Callable[[int, int], None] | None = None) -> Outcome | None:
        """Train a setting, or go on; None if it has had its budget.

        Args:
            setting: which.
            progress: called with the number of images done and of all.

        Raises:
            ScmError: if data, weights or what lies in its folder do not fit.
        """
        if self.is_trained(setting):
            return None
        run = Run(
            self._prepared,
            self.folder(setting),
            self.config_of(setting),
            seed=self._seed,
            device=self._device,
            weights_dir=self._weights_dir,
        )
        return run.train(lambda report: progress(report.images, report.total) if progress else None)

    @cached_property
    def _metric_networks(self) -> MetricNetworks:
        return MetricNetworks(self.asked.metrics, self._weights_dir, choose_device(self._device))

    def _cases(self, pipeline: Pipeline | None) -> PreparedCases:
        """Return what is judged: of the model alone, or, without one, of the answers that need none."""
        methods = None if pipeline is None else ()
        asked = self.asked
        canvas = self.config.model.canvas
        return PreparedCases(self._prepared, asked.split, pipeline, methods, limit=asked.limit, canvas=canvas)

    def judge(self, setting: Setting | None, progress: Callable[[int, int], None] | None = None) -> bool:
        """Judge a trained setting as ``scm eval`` does, or, for None, the answers that need no model.

        Returns:
            False if the same has been judged before.

        Raises:
            ScmError: if the folder has nobody to judge, or the disk does not take the results.
        """
        if self._is_judged(setting):
            return False
        out, asked = self._results(setting), self._question(setting)
        pipeline = None if setting is None else Pipeline.from_pretrained(self.folder(setting), self._device)
        out.mkdir(parents=True, exist_ok=True)
        (out / _ASKED).unlink(missing_ok=True)
        evaluate(self._cases(pipeline), self.protocol, self._metric_networks, progress=progress).write(out)
        write_text(out / _ASKED, json.dumps(asked, indent=2) + "\n")
        return True

    def _question(self, setting: Setting | None) -> dict[str, Any]:
        """Return what the numbers of a setting depend on."""
        return {
            **asdict(self.asked),
            "model": None if setting is None else sha256(self.folder(setting) / MODEL_FILE),
            "data": self._data_name,
            "weights": self._metric_networks.weights,
        }

    def _is_judged(self, setting: Setting | None) -> bool:
        note = self._results(setting) / _ASKED
        return note.is_file() and _read(note) == json.loads(json.dumps(self._question(setting)))

    def _results(self, setting: Setting | None) -> Path:
        return self.out / "trivial" if setting is None else self.folder(setting) / "eval"

    def finish(self) -> str:
        """Write table.md, table.json and sheet.png of all settings judged in this way so far, chosen now or earlier.

        Returns:
            what table.md holds.

        Raises:
            ScmError: if nothing is judged, or the disk does not take the files.
        """
        judged = [one for one in SETTINGS.values() if self._is_judged(one)]
        if not judged:
            raise ScmError(f"-o {self.out}: no setting is judged yet")
        found = {one.name: _read(self._results(one) / "metrics.json") for one in judged}
        trivial = _read(self._results(None) / "metrics.json")
        text = self._text(judged, found, trivial)
        write_text(self.out / "table.md", text)
        write_text(self.out / "table.json", json.dumps(self._as_json(judged, found, trivial), indent=2) + "\n")
        save_generated(self.out / "sheet.png", self._sheet(judged))
        return text

    def _text(self, judged: Sequence[Setting], found: Mapping[str, Any], trivial: dict[str, Any]) -> str:
        assert self.budget is not None
        first = found[judged[0].name]
        ours = {one.title: found[one.name]["answers"][MODEL] for one in judged}
        answers = ours | trivial["answers"]
        names = [name for name in METRICS if any(name in numbers for numbers in answers.values())]
        header = ["setting", *(METRICS[name].title for name in names), *_FIELD.values()]
        lines = ["| " + " | ".join(header) + " |", "| --- " * len(header) + "|"]
        field_of = {one.title: found[one.name]["field"] or {} for one in judged}
        for title, numbers in answers.items():
            values = [numbers.get(name, {}).get("value") for name in names]
            values += [field_of.get(title, {}).get(name) for name in _FIELD]
            cells = [shown(None if value is None else Value(float(value), None, 0)) for value in values]
            lines.append("| " + " | ".join([title, *cells]) + " |")
        missing = [f"not computed: {name}: {why}" for name, why in first["not_computed"].items()]
        sentence = (
            f"{_told(self.budget)} each, seed {self._seed}; {first['count']} pictures ({first['form']}) of "
            f"{self._data_name}, protocol {first['protocol']['name']}"
        )
        parts = ["\n".join(lines), sentence, "\n".join(missing), compare({**first, "answers": ours}, _PAPERS)]
        return "\n\n".join(part for part in parts if part) + "\n"

    def _as_json(self, judged: Sequence[Setting], found: Mapping[str, Any], trivial: dict[str, Any]) -> dict[str, Any]:
        assert self.budget is not None
        first = found[judged[0].name]
        settings = {}
        for one in judged:
            summary = _read(self.folder(one) / SUMMARY_FILE)
            settings[one.name] = {
                "title": one.title,
                "changes": list(one.changes),
                "images": summary["images"],
                "seconds": summary["seconds"],
                "numbers": found[one.name]["answers"][MODEL],
                "field": found[one.name]["field"],
            }
        return {
            "config": self.config.model_dump(mode="json"),
            "budget": asdict(self.budget),
            "seed": self._seed,
            **{name: first[name] for name in ("form", "protocol", "count", "references", "not_computed", "versions")},
            "data": self._data_name,
            "settings": settings,
            "without a model": trivial["answers"],
            "paper": asdict(published_tables()[_PAPERS]),
        }

    def _sheet(self, judged: Sequence[Setting]) -> UInt8Array:
        """Lay out cases, a row each: source, pose, what each setting draws, truth."""
        trivial = self._cases(None)
        num = min(_NUM_SHOWN, len(trivial))
        chosen = [index * len(trivial) // num for index in range(num)]
        columns = []
        for one in judged:
            cases = self._cases(Pipeline.from_pretrained(self.folder(one), self._device))
            columns.append([cases.one(index).answers[MODEL] for index in chosen])
        rows = []
        for row, index in enumerate(chosen):
            case = trivial.one(index)
            pose = case.reference if case.joints is None else draw_skeleton(case.reference, case.joints)
            source = case.answers[TITLES[Method.source_copy]]
            rows.append([source, pose, *(column[row] for column in columns), case.reference])
        zoom = -(-_TITLE_WIDTH // trivial.canvas.width)
        enlarged = [[picture.repeat(zoom, axis=0).repeat(zoom, axis=1) for picture in row] for row in rows]
        return contact_sheet(enlarged, headers=["source", "pose", *(one.title for one in judged), "truth"])


def shrunk(config: Config, images: int) -> list[str]:
    """Return settings that train a config for another number of images, with all of its schedule in proportion."""
    train = config.train
    share = images / train.images
    values = {"images": images}
    for name in ("decay_every", "discriminators_from", "vgg_losses_from", "ema_images"):
        at = getattr(train, name)
        values[name] = max(1, round(at * share)) if at else 0
    for name in ("save_every", "sample_every", "log_every"):
        values[name] = min(getattr(train, name), max(1, images // _NUM_SAVES))
    return [f"train.{name}={value}" for name, value in values.items()]


def _told(budget: Budget) -> str:
    if budget.minutes is None:
        return f"{budget.images:,} images"
    return (
        f"{budget.images:,} images, what the whole config trains on in {budget.minutes:g} minutes at "
        f"{budget.images_per_second} images/s"
    )


def _read(path: Path) -> dict[str, Any]:
    """Read a file of the study.

    Raises:
        ScmError: if it is damaged.
    """
    try:
        found = json.loads(path.read_bytes())
        if isinstance(found, dict):
            return found
        raise ValueError("no mapping")
    except (OSError, ValueError, RecursionError) as error:
        raise ScmError(f"{path}: cannot be read ({error}); delete it, and the same command makes it again") from error
