"""The ablation study: train and evaluate variants of a config under one budget (the paper's Table 2, and ours).

Each setting is an ordinary run folder, with its evaluation in ``eval``. The study reads these folders to find what is
done, so it resumes after any interruption and repeats no work.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from scmnet_cli.checkpoint import MODEL_FILE, sha256
from scmnet_cli.config import Config, differences, load_config, parse_saved_config
from scmnet_cli.errors import ScmError, nearest
from scmnet_cli.evaluation.ablation_results import StudyResults, draw_study_sheet
from scmnet_cli.evaluation.ablation_settings import SETTINGS, Budget, Setting, shrunk
from scmnet_cli.evaluation.metric_networks import MetricNetworks
from scmnet_cli.evaluation.prepared_cases import PreparedCases
from scmnet_cli.evaluation.protocols import find_protocol
from scmnet_cli.evaluation.summary import evaluate
from scmnet_cli.files import write_text
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.preprocess.layouts import open_source
from scmnet_cli.preprocess.prepare import prepare
from scmnet_cli.provenance import save_generated
from scmnet_cli.sources.drawn import write_drawn_source
from scmnet_cli.system.devices import choose_device
from scmnet_cli.training.counted import Outcome, Report
from scmnet_cli.training.loop import SUMMARY_FILE, Run
from scmnet_cli.training.state import read_state

_KEY_FILE = "asked.json"
_NUM_DRAWN = 60
_TRIAL_STEPS = 30


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of the evaluation; the same as those of ``scm eval``."""

    split: str | None = None
    limit: int | None = None
    metrics: tuple[str, ...] | None = None
    protocol: str = "raw"


@dataclass(frozen=True)
class Planned:
    """Progress of a setting: images done, images in all, and whether it is evaluated."""

    setting: Setting
    images_done: int
    images: int
    evaluated: bool


@dataclass(frozen=True)
class Study:
    """Options of an ablation study.

    Attributes:
        changes: changes of the config for all settings.
        only: names of :data:`SETTINGS`; None for all that change something in this config.
        images: budget of each setting in images. If ``minutes`` is None too, an existing study keeps its budget, and a
            new one takes the config's own.
        minutes: budget as time: as many images as the full config trains on in it.
        evaluation: options of the evaluation.
        seed: seed of all runs.
        device: device to compute on.
        weights_dir: folder of backbones.
    """

    changes: Sequence[str] = ()
    only: Sequence[str] | None = None
    images: int | None = None
    minutes: float | None = None
    evaluation: EvaluationOptions = EvaluationOptions()
    seed: int = 0
    device: str = "auto"
    weights_dir: Path | None = None


class Ablation:
    """An ablation study in its own folder."""

    def __init__(
        self,
        config: str,
        out: Path,
        data: Path | None = None,
        study: Study | None = None,
    ) -> None:
        """Set up a study; nothing is computed or written yet.

        Args:
            config: name of a shipped config, or a YAML file.
            out: folder of the study; an existing study is resumed.
            data: prepared folder; None for synthetic people that the package draws.
            study: options; None for the defaults.

        Raises:
            ScmError: if config or settings do not fit, or the folder holds another study.
        """
        study = study or Study()
        self.out, self.data, self.evaluation = out, data, study.evaluation
        self._name, self._changes = config, tuple(study.changes)
        self._seed, self._device, self._weights_dir = study.seed, study.device, study.weights_dir
        self.config = load_config(config, self._changes)
        self.protocol = find_protocol(self.evaluation.protocol)
        self.settings = [SETTINGS[name] for name in self._choose_settings(study.only)]
        self._minutes = study.minutes
        self.budget = self._find_budget(study.images)

    def _choose_settings(self, only: Sequence[str] | None) -> list[str]:
        applicable = [name for name, one in SETTINGS.items() if self._applies(one)]
        if only is None:
            return applicable
        for name in only:
            if name not in SETTINGS:
                raise ScmError(f"--only: '{name}' is not one of {', '.join(SETTINGS)}{nearest(name, SETTINGS)}")
            if SETTINGS[name].of_part_warp and not self.config.model.part_warp:
                raise ScmError(f"--only {name}: this config has no model.part_warp; choose of {', '.join(applicable)}")
            if name not in applicable:
                changes = ", ".join(SETTINGS[name].changes)
                raise ScmError(f"--only {name}: this config has {changes} already; choose of {', '.join(applicable)}")
        return [name for name in applicable if name in only]

    def _applies(self, setting: Setting) -> bool:
        """Return whether a setting removes something that this config has."""
        if setting.of_part_warp and not self.config.model.part_warp:
            return False
        return not setting.changes or self._load_config(setting) != self.config

    def _load_config(self, setting: Setting, more: Sequence[str] = ()) -> Config:
        return load_config(self._name, [*self._changes, *setting.changes, *more])

    @property
    def _record(self) -> Path:
        return self.out / "ablation.json"

    def _find_budget(self, images: int | None) -> Budget | None:
        """Return the budget of the existing study, or the requested one; None if it has to be measured."""
        wanted = None if self._minutes is not None else Budget(images or self.config.train.images)
        if not self._record.is_file():
            return wanted
        keeps_budget = images is None and self._minutes is None
        found = _read(self._record)
        changed = differences(parse_saved_config(found["config"], f"config in {self._record}"), self.config)
        budget = Budget(**found["budget"])
        if not keeps_budget and (budget.minutes != self._minutes or (wanted is not None and wanted != budget)):
            now = f"{self._minutes:g} minutes" if wanted is None else f"{wanted.images} images"
            changed.append(f"budget: {budget.described()} -> {now}")
        if found["seed"] != self._seed:
            changed.append(f"seed: {found['seed']} -> {self._seed}")
        if found["data"] != self._data_name:
            changed.append(f"data: {found['data']} -> {self._data_name}")
        if changed:
            raise ScmError(f"-o {self.out}: holds another study ({'; '.join(changed)}); choose another -o")
        return budget

    @property
    def _data_name(self) -> str:
        return "drawn people" if self.data is None else str(self.data.resolve())

    def folder(self, setting: Setting) -> Path:
        """Return the run folder of a setting."""
        return self.out / setting.name

    def config_of(self, setting: Setting) -> Config:
        """Return the config of a setting with the budget's schedule; the budget must be known."""
        assert self.budget is not None
        return self._load_config(setting, shrunk(self.config, self.budget.images))

    def plan(self) -> list[Planned]:
        """Return the progress of every setting without training."""
        total = 0 if self.budget is None else self.budget.images
        planned = []
        for setting in self.settings:
            found = None if self.budget is None else read_state(self.folder(setting))
            done = 0 if found is None else found[1].images
            planned.append(Planned(setting, done, total, (self._results(setting) / _KEY_FILE).is_file()))
        return planned

    def prepare(self, progress: Callable[[str, int, int], None] | None = None) -> Budget:
        """Draw people if no data is given, measure the speed if the budget is a time, and write the study's record.

        Args:
            progress: called with the name of a step, its progress, and its total.

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
            speed = self._measure_speed(report_step)
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
            raise ScmError(f"-o {self.out}: cannot be made ({error}); choose a writable folder") from error
        write_text(self._record, json.dumps(record, indent=2) + "\n")
        return self.budget

    @property
    def _prepared(self) -> Path:
        return self.out / "data" if self.data is None else self.data

    def _measure_speed(self, report_step: Callable[[str, int, int], None]) -> float:
        """Return images per second of the full config over its shrunk schedule.

        Raises:
            KeyboardInterrupt: if a signal stops it.
        """
        batch = self.config.train.batch
        config = self._load_config(SETTINGS["full"], shrunk(self.config, _TRIAL_STEPS * batch))
        times: list[float] = []

        def record(report: Report) -> None:
            times.append(time.perf_counter())
            report_step("measuring the speed", report.images, report.total)

        with tempfile.TemporaryDirectory() as folder:
            run = Run(self._prepared, Path(folder), config, device=self._device, weights_dir=self._weights_dir)
            if not run.train(record).finished:
                raise KeyboardInterrupt
        # The first step allocates memory, and the last one validates.
        return (len(times) - 2) * batch / (times[-2] - times[0])

    def is_trained(self, setting: Setting) -> bool:
        """Return whether a setting has used its whole budget."""
        summary = self.folder(setting) / SUMMARY_FILE
        return summary.is_file() and bool(_read(summary).get("finished"))

    def train(self, setting: Setting, progress: Callable[[int, int], None] | None = None) -> Outcome | None:
        """Train or resume a setting; return None if it has used its whole budget before.

        Args:
            setting: the setting.
            progress: called with the number of images done and in all.

        Raises:
            ScmError: if data, weights or the content of its folder do not fit.
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
        return MetricNetworks(self.evaluation.metrics, self._weights_dir, choose_device(self._device))

    def _cases(self, pipeline: Pipeline | None) -> PreparedCases:
        """Return the cases with the model alone, or, without a model, with the baselines."""
        methods = None if pipeline is None else ()
        options = self.evaluation
        canvas = self.config.model.canvas
        return PreparedCases(self._prepared, options.split, pipeline, methods, limit=options.limit, canvas=canvas)

    def evaluate(self, setting: Setting | None, progress: Callable[[int, int], None] | None = None) -> bool:
        """Evaluate a trained setting like ``scm eval``, or the baselines for None.

        Returns:
            False if the same evaluation was done before.

        Raises:
            ScmError: if there is no case to evaluate, or the results cannot be written.
        """
        if self._is_evaluated(setting):
            return False
        out, key = self._results(setting), self._evaluation_key(setting)
        pipeline = None if setting is None else Pipeline.from_pretrained(self.folder(setting), self._device)
        out.mkdir(parents=True, exist_ok=True)
        (out / _KEY_FILE).unlink(missing_ok=True)
        evaluate(self._cases(pipeline), self.protocol, self._metric_networks, progress=progress).write(out)
        write_text(out / _KEY_FILE, json.dumps(key, indent=2) + "\n")
        return True

    def _evaluation_key(self, setting: Setting | None) -> dict[str, Any]:
        """Return everything that the metrics of a setting depend on."""
        return {
            **asdict(self.evaluation),
            "model": None if setting is None else sha256(self.folder(setting) / MODEL_FILE),
            "data": self._data_name,
            "weights": self._metric_networks.weights,
        }

    def _is_evaluated(self, setting: Setting | None) -> bool:
        path = self._results(setting) / _KEY_FILE
        return path.is_file() and _read(path) == json.loads(json.dumps(self._evaluation_key(setting)))

    def _results(self, setting: Setting | None) -> Path:
        return self.out / "trivial" if setting is None else self.folder(setting) / "eval"

    def write_results(self) -> str:
        """Write table.md, table.json and sheet.png of all settings evaluated with these options so far.

        Returns:
            the content of table.md.

        Raises:
            ScmError: if no setting is evaluated, or a file cannot be written.
        """
        evaluated = [one for one in SETTINGS.values() if self._is_evaluated(one)]
        if not evaluated:
            raise ScmError(f"-o {self.out}: no setting is evaluated yet")
        assert self.budget is not None
        results = StudyResults(
            self.config,
            self.budget,
            self._seed,
            self._data_name,
            evaluated,
            metrics={one.name: _read(self._results(one) / "metrics.json") for one in evaluated},
            summaries={one.name: _read(self.folder(one) / SUMMARY_FILE) for one in evaluated},
            baselines=_read(self._results(None) / "metrics.json"),
        )
        text = results.table()
        write_text(self.out / "table.md", text)
        write_text(self.out / "table.json", json.dumps(results.as_json(), indent=2) + "\n")
        with_models = (
            (one.title, self._cases(Pipeline.from_pretrained(self.folder(one), self._device))) for one in evaluated
        )
        save_generated(self.out / "sheet.png", draw_study_sheet(self._cases(None), with_models))
        return text


def _read(path: Path) -> dict[str, Any]:
    """Read a file of the study.

    Raises:
        ScmError: if it is damaged.
    """
    try:
        found = json.loads(path.read_bytes())
        if isinstance(found, dict):
            return found
        raise ValueError("not a mapping")
    except (OSError, ValueError, RecursionError) as error:
        raise ScmError(f"{path}: cannot be read ({error}); delete it and run the same command again") from error
