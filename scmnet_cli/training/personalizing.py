"""Teach a trained model one person: a short training run on views of their photos (docs/use.md, scm personalize).

The run keeps the weights that draw held-out views best; where no weights are better than the base's, the base stays.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scmnet_cli.config import Config
from scmnet_cli.data.dataset import PeopleGiven
from scmnet_cli.errors import ScmError
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.training.objective import GeneratorObjective, GeneratorPass, Inputs
from scmnet_cli.training.personal_views import PersonalStream, held_out_views
from scmnet_cli.types import FloatArray, Person

DECODER = ("generator.up.", "generator.refine.", "generator.draw.", "generator.to_rgb.")
"""Prefixes of the parameters that draw, from H/16 to the picture."""


@dataclass(frozen=True)
class Recipe:
    """How a model is taught one person.

    Attributes:
        trained: prefixes of the parameters that are trained; empty: all.
        learning_rate: Adam's at the start; it falls to a tenth by the end of the budget.
        height: of the training views; 0: the model's own canvas.
        batch: views a step.
        num_checks: on held-out views, spread evenly over the budget.
        patience: checks without a gain after which training stops.
        num_held_out: held-out views.
    """

    trained: tuple[str, ...] = DECODER
    learning_rate: float = 3e-4
    height: int = 0
    batch: int = 4
    num_checks: int = 6
    patience: int = 2
    num_held_out: int = 4


BUDGET_USED, NO_GAIN = "the budget is used", "held-out views gain no more"
"""Why training ended."""


@dataclass(frozen=True)
class Budget:
    """When training ends, whichever comes first; one of the two has to be given.

    Attributes:
        seconds: most seconds of the clock, checks included; None: as long as the steps take.
        steps: most steps; None: as many as fit into the time.
    """

    seconds: float | None = 120.0
    steps: int | None = None

    def __post_init__(self) -> None:
        """Refuse a budget without an end.

        Raises:
            ScmError: if it has none.
        """
        if (self.seconds is None and self.steps is None) or (self.seconds or 1) <= 0 or (self.steps or 1) <= 0:
            raise ScmError(f"budget of {self.seconds} seconds and {self.steps} steps: give one of them, above 0")

    def share(self, steps: int, seconds: float) -> float:
        """Return which share of the budget is used, 1 at its end."""
        by_steps = 0.0 if self.steps is None else steps / max(self.steps, 1)
        by_seconds = 0.0 if self.seconds is None else seconds / max(self.seconds, 1e-9)
        return min(max(by_steps, by_seconds), 1.0)


@dataclass(frozen=True)
class PersonalProgress:
    """State of a run after a step.

    Attributes:
        steps: done so far.
        seconds: since the run began.
        share: of the budget that is used.
        error: of held-out views at the last check, as a share of the base's; 1 before training.
        best: the least of these.
        finished: why training ended; empty: it goes on.
    """

    steps: int
    seconds: float
    share: float
    error: float
    best: float
    finished: str = ""


def recipe_for(budget: Budget) -> Recipe:  # noqa: ARG001
    """Return the best measured recipe for a budget (docs/lab/personalize.md)."""
    return Recipe()


class PersonalRun:
    """A short training run on photos of one person; iterate over :meth:`steps`, and read :meth:`difference`.

    The base network is copied and stays as it is. The run can be left after any step: :meth:`difference` is then the
    best so far.
    """

    def __init__(
        self,
        base: SCMNet,
        config: Config,
        photos: Sequence[Person],
        donors: Sequence[FloatArray],
        recipe: Recipe | None = None,
        *,
        plain: bool = True,
        weights_dir: Path | None = None,
    ) -> None:
        """Copy the network and prepare the views.

        Args:
            base: the network, in eval mode.
            config: the one it was trained with.
            photos: of one person, of the shape of the network's canvas.
            donors: joints on the network's canvas into which the photos are brought; every fourth is held out.
            recipe: how it is trained; None: the default.
            plain: whether the background is plain.
            weights_dir: folder of VGG weights; where none are found the losses on VGG features are left out.

        Raises:
            ScmError: if the network has no part warp, or a photo shows nobody or has another shape.
        """
        if not base.reads_part_warp:
            raise ScmError("personalize: needs a model with part warp; the one that ships has it")
        self.recipe = recipe = recipe or Recipe()
        self.device = next(base.parameters()).device
        own = config.model.canvas
        canvas = own.resized_to(recipe.height) if recipe.height else own
        self.net = copy.deepcopy(base).requires_grad_(requires_grad=False).eval()  # eval: batch norm stays frozen
        self._trained = {
            name: parameter
            for name, parameter in self.net.named_parameters()
            if not recipe.trained or name.startswith(recipe.trained)
        }
        for parameter in self._trained.values():
            parameter.requires_grad = True
        self._base = {name: parameter.detach().clone() for name, parameter in self._trained.items()}
        self._best: dict[str, Tensor] | None = None
        self._objective, self.uses_vgg = _objective(config, self.device, weights_dir, fields=not recipe.trained)
        self._generator = GeneratorPass(self.net)
        self._optimizer = torch.optim.Adam(self._trained.values(), recipe.learning_rate, (0.5, 0.999))
        held_out, used = list(donors[::4]), [pose for k, pose in enumerate(donors) if k % 4]
        self._views = held_out_views(PeopleGiven(photos, own, self.device, plain=plain), held_out, recipe.num_held_out)
        scale = np.array([canvas.width / own.width, canvas.height / own.height, 1], np.float32)
        training = PeopleGiven(photos, canvas, self.device, plain=plain)
        self._stream = PersonalStream(training, config.data, 0, [pose * scale for pose in used])
        self._band_share = config.loss.vgg_band

    def steps(self, budget: Budget) -> Iterator[PersonalProgress]:
        """Train until the budget is used or held-out views gain no more, yielding after each step.

        The first state, of 0 steps, comes once the base is measured.
        """
        recipe, start = self.recipe, time.perf_counter()
        base = self.error()
        yield PersonalProgress(0, time.perf_counter() - start, 0.0, 1.0, 1.0)
        best, error, stale, step, checked, share = 1.0, 1.0, 0, 0, 0, 0.0
        while True:
            self._step(step, share)
            step += 1
            share = budget.share(step, time.perf_counter() - start)
            finished = BUDGET_USED if share >= 1 else ""
            if int(share * recipe.num_checks) > checked:
                checked = int(share * recipe.num_checks)
                error = self.error() / base
                stale = 0 if error < best else stale + 1
                if error < best:
                    best = error
                    self._best = {name: parameter.detach().clone() for name, parameter in self._trained.items()}
                if stale >= recipe.patience and not finished:
                    finished = NO_GAIN
            yield PersonalProgress(step, time.perf_counter() - start, share, error, best, finished)
            if finished:
                return

    def difference(self) -> dict[str, Tensor]:
        """Return what the best weights differ by from the base's, by parameter; empty if the base is the best."""
        if self._best is None:
            return {}
        return {name: best - self._base[name] for name, best in self._best.items()}

    @torch.no_grad()
    def error(self) -> float:
        """Return the loss on the held-out views."""
        return float(self._objective.total(self._terms(Inputs.of(self._views, part_warp=True), None)))

    def _step(self, step: int, share: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * (1 - 0.9 * share)
        inputs = Inputs.of(self._stream.batch(step * self.recipe.batch, self.recipe.batch), part_warp=True)
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._objective.total(self._terms(inputs, self._band(step, inputs.target.shape[2])))
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._trained.values(), _MAX_GRADIENT)
        if bool(torch.isfinite(norm)):
            self._optimizer.step()

    def _terms(self, inputs: Inputs, band: slice | None) -> Mapping[str, Tensor]:
        return self._objective(self._generator(inputs), inputs, None, band=band)

    def _band(self, step: int, height: int) -> slice | None:
        rows = max(int(height * self._band_share) // 8 * 8, 8)
        if rows >= height:
            return None
        top = int(np.random.default_rng((_BAND_STREAM, step)).integers(height - rows + 1))
        return slice(top, top + rows)


_MAX_GRADIENT, _BAND_STREAM = 20.0, 23


def _objective(
    config: Config, device: torch.device, weights_dir: Path | None, *, fields: bool
) -> tuple[GeneratorObjective, bool]:
    """Return the losses, and whether those on VGG features are among them.

    Args:
        config: the model's.
        device: where the losses compute.
        weights_dir: folder of VGG weights.
        fields: whether the correlation field is trained.
    """
    changes = {"adversarial": 0.0} | ({} if fields else {"field_regions": 0.0, "field_colours": 0.0})
    loss = config.loss.model_copy(update=changes)
    try:
        return GeneratorObjective(config.model_copy(update={"loss": loss}), weights_dir, device), True
    except ScmError:
        loss = loss.model_copy(update={"perceptual": 0.0, "style": 0.0, "bsr": 0.0})
        return GeneratorObjective(config.model_copy(update={"loss": loss}), weights_dir, device), False
