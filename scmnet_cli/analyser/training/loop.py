"""Training loop of the analyser and the face parser; it counts in views and resumes exactly."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from scmnet_cli.analyser.answers import HEAT_STRIDE, joints_of_heat
from scmnet_cli.analyser.network import ENCODER_PACKAGE, AnalyserNet, imagenet_encoder
from scmnet_cli.analyser.subjects import read_weights
from scmnet_cli.analyser.training.losses import ViewBatch, class_weights_of, losses
from scmnet_cli.analyser.training.photos import Material
from scmnet_cli.analyser.training.settings import AnalyserConfig
from scmnet_cli.analyser.training.views import (
    Views,
    plain_view,
)
from scmnet_cli.checkpoint import load_strict, load_tensors, save_tensors
from scmnet_cli.errors import ScmError
from scmnet_cli.files import make_folders, translate_os_errors
from scmnet_cli.training.counted import CountedRun, Outcome, Report, append_line
from scmnet_cli.training.ema import MovingAverage
from scmnet_cli.training.signals import stop_signals
from scmnet_cli.training.state import STATE_FILE, restore, state_tensors
from scmnet_cli.types import Canvas

log = logging.getLogger(__name__)

CURVE_FILE = "curve.jsonl"


_MAX_GRADIENT = 5.0
_WEIGHTS = {"regions": 1.0, "overlap": 1.0, "heat": 0.5, "place": 0.1, "visible": 0.5, "person": 0.5}


class AnalyserRun(CountedRun):
    """Network, optimiser and photos of one run."""

    def __init__(
        self,
        material: Material,
        run: Path,
        config: AnalyserConfig,
        *,
        seed: int = 0,
        pretrained: bool = True,
        init: Path | None = None,
    ) -> None:
        """Build the network, and resume from the state in ``run`` if there is one.

        Args:
            material: the photos.
            run: folder of the run.
            config: settings; a resumed run may only change the number of images.
            seed: seed of weights, order and views.
            pretrained: initialise the encoder with ImageNet weights.
            init: weights of an analyser to initialise the whole network; None for none.

        Raises:
            ScmError: if the state in ``run`` has other settings or photos.
        """
        super().__init__(config.batch)
        self.run, self.config, self.seed, self.material = run, config, seed, material
        canvas = Canvas(config.height, config.width)
        subject, manner = material.subject, material.manner
        self.views = Views(
            [*material.train, *material.unlabelled, *material.drawn], material.pictures, canvas, seed, manner
        )
        self.val = [plain_view(photo, canvas, manner) for photo in material.val]
        torch.manual_seed(seed)
        self.net = subject.build()
        if init is not None:
            read_weights(init, self.net, subject)
        elif pretrained:
            load_strict(self.net.encoder, imagenet_encoder(subject.num_stages), ENCODER_PACKAGE)
        self.net.encoder.freeze(config.frozen_stages)
        self.net.to(memory_format=torch.channels_last)
        self.average = MovingAverage(self.net, config.ema_images)
        encoder = {id(p) for p in self.net.encoder.parameters()}
        parameters = [p for p in self.net.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in parameters if id(p) not in encoder], "share": 1.0},
                {"params": [p for p in parameters if id(p) in encoder], "share": config.encoder_share},
            ],
            config.learning_rate,
            (0.9, 0.99),
            weight_decay=config.weight_decay,
        )
        self.class_weights = class_weights_of(material.train, len(subject.regions) + subject.carried, config.balance)
        self._resume()

    def train(self, progress: Callable[[Report], None] | None = None) -> Outcome:
        """Train up to the config's number of views, or until SIGINT or SIGTERM; save the state either way.

        Raises:
            ScmError: if the loss stops being finite; the last good state stays.
        """
        make_folders(self.run)
        with translate_os_errors(self.run):
            return self._train(progress)

    def _train(self, progress: Callable[[Report], None] | None) -> Outcome:
        config = self.config
        self._start_counting()
        sums: dict[str, float] = {}
        num_summed = 0
        with stop_signals() as stopped:
            while self.images < config.images and not stopped:
                terms = self._step()
                total = sum(_WEIGHTS[name] * value for name, value in terms.items())
                if not math.isfinite(total):
                    raise ScmError(f"{self.run}: the loss is not finite at {self.images} views; lower learning_rate")
                for name, value in terms.items():
                    sums[name] = sums.get(name, 0.0) + value
                num_summed += 1
                self.average.update(self.net, self.images, config.batch)
                self._count_step()
                if progress:
                    progress(self._report(config.images, {"loss": total}))
                if self._passed(config.measure_every) or self.images >= config.images:
                    self._log({name: value / num_summed for name, value in sums.items()} | self._validate())
                    sums, num_summed = {}, 0
                if self._passed(config.save_every):
                    self._save()
            self._save()
        return Outcome(self.images, self.images >= config.images, stopped[0] if stopped else None, self._weights)

    @property
    def _weights(self) -> Path:
        return self.run / self.material.subject.file

    def _step(self) -> dict[str, float]:
        config = self.config
        batch = ViewBatch.of([self.views.view(self.images + k) for k in range(config.batch)])
        done = min(1.0, self.images / config.images)
        rate = config.learning_rate * (0.01 + 0.99 * (0.5 + 0.5 * math.cos(math.pi * done)))
        rate *= min(1.0, (self.images + config.batch) / max(config.warmup, 1))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self.net.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16"):
            found = self.net(batch.image)
        terms = losses(found, batch, self.class_weights, self.material.one_of)
        total = torch.stack([_WEIGHTS[name] * term for name, term in terms.items()]).sum()
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), _MAX_GRADIENT)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {name: float(term.detach()) for name, term in terms.items()}

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """Measure on val people cropped to the canvas, at the grid's resolution; faster than the full protocol."""
        net = self.average.module
        num_regions = len(self.material.subject.regions)
        shared, united = torch.zeros(num_regions), torch.zeros(num_regions)
        near, num_joints = np.zeros(2), 0
        for start in range(0, len(self.val), self.config.batch):
            views = self.val[start : start + self.config.batch]
            batch = ViewBatch.of(views)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.config.precision == "bf16"):
                found = net.eval()(batch.image)
            chosen = F.one_hot(found.regions.argmax(1), num_regions).bool()
            true = F.one_hot(batch.labels, num_regions).bool()
            shared += (chosen & true).sum((0, 1, 2))
            united += (chosen | true).sum((0, 1, 2))
            for heat, joints in zip(found.heat.float().numpy(), batch.joints.numpy(), strict=True):
                seen = joints[:, 2] > 0
                place = (joints_of_heat(heat)[0] + 0.5) * HEAT_STRIDE - 0.5
                away = np.linalg.norm(place[seen] - joints[seen, :2], axis=1) / max(np.ptp(joints[seen, 1]), 1.0)
                near += [(away < 0.05).sum(), (away < 0.025).sum()]
                num_joints += int(seen.sum())
        iou = shared / united.clamp(min=1)
        return {
            "val_mean_iou": float(iou.mean()),
            "val_within_0.05": float(near[0]) / max(num_joints, 1),
            "val_within_0.025": float(near[1]) / max(num_joints, 1),
        }

    def _log(self, values: dict[str, float]) -> None:
        line = {"images": self.images, "seconds": round(self.seconds), **{k: round(v, 4) for k, v in values.items()}}
        append_line(self.run / CURVE_FILE, line)
        log.info("%s", line)

    def _save(self) -> None:
        modules = {"net": self.net, "average": self.average.module}
        metadata = {
            "images": str(self.images),
            "seconds": repr(self.seconds),
            "seed": str(self.seed),
            "config": self.config.model_dump_json(),
            "photos": self.material.fingerprint,
        }
        save_tensors(self.run / STATE_FILE, state_tensors(modules, {"net": self.optimizer}), metadata)
        save_weights(self._weights, self.average.module, {**self.material.about, "images": str(self.images)})

    def _resume(self) -> None:
        path = self.run / STATE_FILE
        if not path.is_file():
            return
        tensors, metadata = load_tensors(path)
        before = type(self.config).model_validate_json(metadata["config"])
        same = {"images": 0, "save_every": 1, "measure_every": 1}
        if (before.model_copy(update=same), metadata["seed"], metadata["photos"]) != (
            self.config.model_copy(update=same),
            str(self.seed),
            self.material.fingerprint,
        ):
            raise ScmError(f"{self.run}: the run was started with other settings, seed or photos; choose another -o")
        restore(tensors, {"net": self.net, "average": self.average.module}, {"net": self.optimizer}, str(path))
        self.images, self.seconds = int(metadata["images"]), float(metadata["seconds"])


def save_weights(path: Path, net: AnalyserNet, about: Mapping[str, str]) -> None:
    """Write an analyser's weights as float16, with a header on their kind and origin."""
    tensors = {
        key: value.half() if value.is_floating_point() else value
        for key, value in net.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    save_tensors(path, tensors, dict(about))
