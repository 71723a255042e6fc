"""The training loop. It counts in images and resumes exactly.

There is no random state between steps: the k-th image of the run and its augmentation are functions of the seed and k
(:mod:`scmnet_cli.data.dataset`). So the state is weights, optimisers and the number of images.
"""

from __future__ import annotations

import copy
import itertools
import json
import logging
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scmnet_cli.checkpoint import MODEL_FILE, save_model
from scmnet_cli.config import Config
from scmnet_cli.data.dataset import TrainingStream, open_people
from scmnet_cli.errors import ScmError
from scmnet_cli.files import make_folders, remove_unfinished, translate_os_errors, write_text
from scmnet_cli.system.devices import choose_device
from scmnet_cli.system.locks import held
from scmnet_cli.system.process import freed_memory_kept
from scmnet_cli.system.processes import Team, this_rank
from scmnet_cli.training.counted import CountedRun, Outcome, Plan, Report
from scmnet_cli.training.limits import Limits
from scmnet_cli.training.means import Means
from scmnet_cli.training.measure import draw_grid, field_statistics, measure, spaced, spread_of
from scmnet_cli.training.objective import (
    GeneratorObjective,
    GeneratorOutput,
    Inputs,
    JudgedFeatures,
    discriminator_terms,
    feature_discriminator_terms,
)
from scmnet_cli.training.setup import (
    LOCK_FILE,
    PreparedNetworks,
    build_accelerator,
    build_networks,
    check_batch,
    check_ranks_agree,
    licence_of,
    open_folder,
    resume,
    set_learning_rates,
)
from scmnet_cli.training.signals import stop_signals
from scmnet_cli.training.state import Progress, fingerprint, save_state
from scmnet_cli.training.tracking import Tracker
from scmnet_cli.training.vgg_views import random_band, sees_halved

log = logging.getLogger(__name__)

SUMMARY_FILE = "summary.json"
_MEASURED_PEOPLE = 100
_MAX_BAD_STEPS = 10
_BAND_STREAM, _HALVED_STREAM = 10, 11
_WORTH_MEASURING = 50
"""Steps of a run whose time is worth measuring."""
_TIMED_IMAGES = 2
_TIMED_STEPS = 3
_QUICK, _LONGEST_MEASURING = 3.0, 20.0
"""Seconds: of a step that is repeated, and after which no further phase is measured."""


class Run(CountedRun):
    """Networks, optimisers and data of one run."""

    def __init__(
        self,
        data: Path,
        run: Path,
        config: Config,
        *,
        seed: int = 0,
        device: str | None = None,
        weights_dir: Path | None = None,
        init: Path | None = None,
        allow_changes: bool = False,
        loading: Callable[[int, int], None] | None = None,
    ) -> None:
        """Build the networks, load the people, and resume from the state in ``run`` if there is one.

        Raises:
            ScmError: if data, weights, ``init`` or the state do not fit the config.
        """
        super().__init__(config.train.batch)
        self.run, self.config, self.seed = run, config, seed
        rank = this_rank()
        self.device = choose_device(device)
        self.team = Team(rank, with_gpus=self.device.type == "cuda")
        self.accelerator = build_accelerator(config, self.device, rank.count)
        folder = open_folder(data, config)
        train_names, val_names = folder.names("train"), folder.names("val")
        self.people_hash = fingerprint(train_names)
        self.canvas = config.model.canvas
        check_batch(config, rank.count)

        self.objective = GeneratorObjective(config, weights_dir, self.device)
        torch.manual_seed(seed)
        networks = build_networks(config, self.device, init, in_parallel=rank.count > 1)
        self.licence = networks.licence
        self.generator_pass, self.discriminators = networks.generator_pass, networks.discriminators
        self.feature_discriminator = networks.feature_discriminator
        self.average, self.modules, self.optimizers = networks.average, networks.modules, networks.optimizers
        progress = resume(run, networks, None if allow_changes else (config, seed, self.people_hash))
        if progress is not None:
            self.images, self.seconds = progress.images, progress.seconds
            self.licence = self.licence or licence_of(run)

        self.people = open_people(folder, train_names, self.canvas, self.device, config.data.cache, loading)
        self.val = open_people(folder, val_names or train_names, self.canvas, self.device, config.data.cache)
        self.stream = TrainingStream(self.people, config.data, seed)
        self.num_val = len(val_names)
        self.means = Means()
        check_ranks_agree(
            self.team,
            run,
            {
                "config": config.model_dump_json(),
                "seed": seed,
                "people": self.people_hash,
                "images of the state": self.images,
            },
        )

    def plan(self) -> Plan:
        """Return a summary of the run without training."""
        sizes = {name: sum(p.numel() for p in module.parameters()) for name, module in self.modules.items()}
        sizes.pop("average")
        left = max(0, self.config.train.images - self.images)
        return Plan(
            self.config, len(self.people), self.num_val, sizes, -(-left // self.config.train.batch), str(self.device),
            self.images,
        )  # fmt: skip

    def seconds_left(self) -> float | None:
        """Return about how long the rest of the run takes; None for a run too short to be worth measuring.

        A resumed run goes on at its own speed. A new one times a step in each of its phases, which start where the VGG
        losses and the discriminators join; on a CPU with two images at a time. Weights, optimisers and counts are put
        back, so the run is the same as without, tensor by tensor.
        """
        train, count = self.config.train, self.team.rank.count
        left = train.images - self.images
        if self.images and self.seconds:
            return left * self.seconds / self.images
        if left < _WORTH_MEASURING * train.batch:
            return None
        if self.device.type == "cpu":
            batch = _TIMED_IMAGES * count
            trial = train.model_copy(update={"batch": batch, "accumulate": 1})
        else:
            trial = train
        ends = [at for at in (train.vgg_losses_from, train.discriminators_from) if self.images < at < train.images]
        phases = list(itertools.pairwise([self.images, *sorted(set(ends)), train.images]))
        kept = self.config, self.images, self._kept()
        seconds, spent, an_image = 0.0, 0.0, 0.0
        self.config = self.config.model_copy(update={"train": trial})
        try:
            for start, end in reversed(phases):  # the dearest first: it stands for the others if it takes long
                if spent < _LONGEST_MEASURING:
                    self.images = start
                    step, took = self._timed_step()
                    an_image, spent = step / trial.batch, spent + took
                seconds += (end - start) * an_image
        finally:
            self.config, self.images, state = kept
            self._put_back(state)
        return seconds

    def _timed_step(self) -> tuple[float, float]:
        """Return the seconds of a step, warmed up if that is quick, and what measuring took."""
        began = time.perf_counter()
        step = 0.0
        for _ in range(_TIMED_STEPS):
            start = time.perf_counter()
            self._step(self._unprepared())
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            step = time.perf_counter() - start
            if step > _QUICK:
                break
        return step, time.perf_counter() - began

    def _unprepared(self) -> PreparedNetworks:
        return PreparedNetworks(self.generator_pass, self.discriminators, self.feature_discriminator)

    def _kept(self) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
        weights = {
            name: {key: tensor.clone() for key, tensor in module.state_dict().items()}
            for name, module in self.modules.items()
        }
        return weights, copy.deepcopy({name: one.state_dict() for name, one in self.optimizers.items()})

    def _put_back(self, state: tuple[dict[str, dict[str, Tensor]], dict[str, Any]]) -> None:
        weights, optimizers = state
        for name, module in self.modules.items():
            module.load_state_dict(weights[name])
            module.zero_grad(set_to_none=True)
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(optimizers[name])
        self.means = Means()

    def train(self, progress: Callable[[Report], None] | None = None, limits: Limits | None = None) -> Outcome:
        """Train up to the config's number of images, a time limit, SIGINT or SIGTERM; save the state in each case.

        Raises:
            ScmError: if the losses stop being finite (the last good state stays), or another process trains in ``run``.
        """
        with ExitStack() as stack:
            if self.team.rank.is_first:
                stack.enter_context(translate_os_errors(self.run))
                make_folders(self.run)
                refusal = (
                    f"{self.run}: another 'scm train' is writing into it; wait for it to end, or choose another -o"
                )
                stack.enter_context(held(self.run / LOCK_FILE, refusal))
                remove_unfinished(self.run)
            if self.device.type == "cpu":
                stack.enter_context(freed_memory_kept())
            return self._train(progress, limits or Limits())

    def _train(self, progress: Callable[[Report], None] | None, limits: Limits) -> Outcome:
        config, team = self.config.train, self.team
        tracker = None
        if team.rank.is_first:
            write_text(self.run / "config.json", self.config.model_dump_json(indent=2))
            tracker = Tracker(self.run, self.images)
            if limits.snapshots is not None:
                make_folders(limits.snapshots)
        limits.start()
        with warnings.catch_warnings():
            # torch 2.15 renames broadcast_buffers; accelerate does not know the new name yet.
            warnings.simplefilter("ignore", FutureWarning)
            networks = self._unprepared().map(self.accelerator.prepare_model)
        latest: dict[str, Any] = {}
        measured: dict[str, float] = {}
        self._start_counting()
        bad_steps, counted_from = 0, self.images
        log_started, log_from = time.perf_counter(), self.images
        with stop_signals() as stopped, team.connection_errors():
            if self.images == 0:
                measured = self._validate(tracker)
            # A signal reaches the processes in different steps, so they agree here; they also wait for rank 0 to save.
            while self.images < config.images and not team.any(bool(stopped) or limits.is_over()):
                set_learning_rates(self.optimizers, config, self.images)
                good = self._step(networks)
                if self.images == counted_from:
                    team.shorten_gpu_timeout()
                bad_steps = 0 if good else bad_steps + 1
                if bad_steps == _MAX_BAD_STEPS:
                    raise ScmError(
                        f"{self.run}: the losses were not finite for {_MAX_BAD_STEPS} steps at {self.images} images; "
                        "the last good state is kept: continue with a lower train.learning_rate and --allow-changes"
                    )
                self.average.update(self.generator_pass.net, self.images, config.batch)
                self._count_step()
                last = self.images >= config.images
                if self._passed(config.sample_every) or last:
                    measured = self._validate(tracker)
                if self._passed(config.log_every) or last:
                    speed = (self.images - log_from) / max(time.perf_counter() - log_started, 1e-9)
                    numbers = self.means.pop(team) | measured
                    if tracker:
                        latest = tracker.line(self.images, self.seconds, speed, numbers)
                    measured, log_started, log_from = {}, time.perf_counter(), self.images
                if tracker and self._passed(config.save_every):
                    self._save()
                if tracker and (snapshot := limits.snapshot_due(self.images)):
                    self._save_model(snapshot, half=True)
                if progress:
                    progress(self._report(config.images, latest))
            finished = self.images >= config.images
            if tracker:
                self._save()
                tracker.close()
                self._summarise(latest, finished)
            signals = [number for received in team.gather(stopped) for number in received]
        return Outcome(self.images, finished, signals[0] if signals else None, self.run / MODEL_FILE)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self.config.train.precision == "bf16", cache_enabled=True
        )

    def _step(self, networks: PreparedNetworks) -> bool:
        """Run one step of the generator and of each discriminator; return whether all gradients were finite.

        The batch is split into ``accumulate`` parts, and each part into one share per process. Batch statistics are
        those of a part, whatever the number of processes.
        """
        config, rank = self.config, self.team.rank
        accumulate = config.train.accumulate
        size = config.train.batch // (accumulate * rank.count)
        adversarial = self.images >= config.train.discriminators_from
        judged: list[tuple[Tensor, Inputs]] = []
        features: list[JudgedFeatures] = []

        def judge(seen: JudgedFeatures) -> Mapping[str, Tensor]:
            assert self.feature_discriminator is not None
            features.append(seen.detached())
            logits: Mapping[str, Tensor] = self.feature_discriminator(seen.generated)
            return logits

        self.optimizers["generator"].zero_grad(set_to_none=True)
        for network in (self.discriminators, self.feature_discriminator):
            if network is not None:
                network.requires_grad_(False)
        for part in range(accumulate):
            first = self.images + (part * rank.count + rank.index) * size
            inputs = Inputs.of(self.stream.batch(first, size), part_warp=config.model.part_warp)
            with self._sync_after_last(networks.generator_pass, part):
                with self._autocast():
                    output: GeneratorOutput = networks.generator_pass(inputs)
                    logits, image = None, output.judged
                    if adversarial and self.discriminators:
                        logits = self.discriminators(image, inputs.maps)
                    terms = self.objective(
                        output,
                        inputs,
                        logits,
                        with_vgg=self.images >= config.train.vgg_losses_from,
                        band=self._band(),
                        halved=sees_halved(config.loss.vgg_halved, seed=(self.seed, _HALVED_STREAM, self.images)),
                        judge=judge if adversarial and self.feature_discriminator else None,
                    )
                    total = self.objective.total(terms)
                self.accelerator.backward(total / accumulate)
            judged.append((image.detach(), inputs))
            for name, term in {**terms, "total": total}.items():
                self.means.add(name, term, images=size)
            if self._passes_next(config.train.log_every):
                for name, statistic in field_statistics(output, inputs).items():
                    self.means.add(name, statistic)
        finite = self._optimizer_step("generator")

        if networks.discriminators is not None and adversarial:
            losses = [
                partial(discriminator_terms, gan=config.loss.gan, image=image, inputs=inputs)
                for image, inputs in judged
            ]
            names = ["discriminator_style", "discriminator_pose"]
            finite = self._discriminator_step(networks.discriminators, names, losses) and finite
        if networks.feature_discriminator is not None and features:
            seen_by = [partial(feature_discriminator_terms, features=part) for part in features]
            names = ["discriminator_features"]
            finite = self._discriminator_step(networks.feature_discriminator, names, seen_by) and finite
        return finite

    def _discriminator_step(
        self, network: nn.Module, names: Sequence[str], losses: Sequence[Callable[[nn.Module], dict[str, Tensor]]]
    ) -> bool:
        """Step the optimisers of a discriminator; return whether all gradients were finite.

        Args:
            network: the discriminator, prepared.
            names: names of its optimisers.
            losses: return its loss by name, one for each part of the batch.
        """
        config = self.config.train
        size = config.batch // (config.accumulate * self.team.rank.count)
        network.requires_grad_(True)
        for name in names:
            self.optimizers[name].zero_grad(set_to_none=True)
        for part, loss in enumerate(losses):
            with self._sync_after_last(network, part):
                with self._autocast():
                    terms = loss(network)
                self.accelerator.backward(torch.stack(list(terms.values())).sum() / config.accumulate)
            for name, term in terms.items():
                self.means.add(name, term, images=size)
        finite = [self._optimizer_step(name) for name in names]
        return all(finite)

    def _band(self) -> slice | None:
        """Return the rows of the image that this step's VGG losses use; None for all rows."""
        seed = (self.seed, _BAND_STREAM, self.images)
        return random_band(self.canvas.height, self.config.loss.vgg_band, seed=seed)

    def _sync_after_last(self, network: nn.Module, part: int) -> AbstractContextManager[None]:
        """Exchange gradients between processes once per step, after its last part."""
        is_last = part == self.config.train.accumulate - 1
        no_sync: AbstractContextManager[None] = nullcontext() if is_last else self.accelerator.no_sync(network)
        return no_sync

    def _optimizer_step(self, name: str) -> bool:
        """Step one optimiser, unless its gradients are not finite."""
        gradients = [p.grad for p in self.modules[name].parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if not bool(torch.isfinite(norm)):
            log.warning("step at %d images skipped: the gradient of the %s is not finite", self.images, name)
            return False
        max_norm = self.config.train.max_gradient_norm
        if max_norm:
            torch.nn.utils.clip_grads_with_norm_(self.modules[name].parameters(), max_norm, norm)
        self.optimizers[name].step()
        return True

    def _validate(self, tracker: Tracker | None) -> dict[str, float]:
        """Validate the averaged model on all processes together; with a tracker, also draw the sample grid."""
        net, train = self.average.module, self.config.train
        with self._autocast():
            batch = -(-train.batch // self.team.rank.count)
            measured = measure(net, self.val, batch=batch, limit=_MEASURED_PEOPLE, team=self.team)
            if tracker is None:
                return measured
            grid = draw_grid(net, self.val.batch(spaced(len(self.val), train.num_samples)))
        tracker.grid(grid, self.images)
        return {**measured, "val_source_spread": spread_of(grid)}

    def _save(self) -> None:
        """Save state and model.

        Raises:
            ScmError: if a weight is not finite; the last good state stays.
        """
        for name, module in self.modules.items():
            if not all(bool(torch.isfinite(tensor).all()) for tensor in module.state_dict().values()):
                raise ScmError(
                    f"{self.run}: weights of the {name} are not finite at {self.images} images; the last good state is "
                    "kept: continue with a lower train.learning_rate and --allow-changes"
                )
        progress = Progress(self.images, self.seconds, self.seed, self.config, self.people_hash)
        save_state(self.run, self.modules, self.optimizers, progress)
        self._save_model(self.run / MODEL_FILE)

    def _save_model(self, path: Path, *, half: bool = False) -> None:
        """Save the averaged weights."""
        extra = {"images": str(self.images), "seconds": f"{self.seconds:.0f}", "people": self.people_hash}
        extra["background"] = "keep" if self.people.fill is None else "plain"  # inference treats photos likewise
        extra |= {"licence": self.licence} if self.licence else {}
        save_model(path, self.average.module.state_dict(), self.config, half=half, extra=extra)

    def _summarise(self, latest: Mapping[str, Any], finished: bool) -> None:
        summary = {"finished": finished, "seed": self.seed, "device": str(self.device), **latest}
        summary |= {"images": self.images, "seconds": round(self.seconds, 3)}  # more than in the latest line of the log
        write_text(self.run / SUMMARY_FILE, json.dumps(summary, indent=2))
