"""Fine-tune a trained model on one person: a short run on views of their photos (docs/use.md, scm personalize).

The run keeps the weights with the lowest error on held-out views among those that draw nothing worse than the base does
(personal_guard.py). If there are none, the base stays.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from scmnet_cli.config import Config
from scmnet_cli.data.dataset import PeopleGiven
from scmnet_cli.errors import ScmError
from scmnet_cli.models.generator import Rendering
from scmnet_cli.models.part_warp import PartWarp
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.regions import BACKGROUND, one_hot
from scmnet_cli.training.choice import bfloat16_pays
from scmnet_cli.training.objective import GeneratorObjective, Inputs
from scmnet_cli.training.personal_guard import Validation, likeness, losses_of_person
from scmnet_cli.training.personal_pool import PreparedViews, ViewPool, person_window, torn_off
from scmnet_cli.training.personal_views import PersonalStream, held_out_views, outside_holes, photos_in_poses
from scmnet_cli.training.vgg_views import random_band
from scmnet_cli.training.workers import Workers
from scmnet_cli.types import FloatArray, Person
from scmnet_cli.weights import find_backbone

log = logging.getLogger(__name__)

DECODER = ("generator.up.", "generator.refine.", "generator.draw.", "generator.to_rgb.")
"""Prefixes of the parameters that draw, from H/16 to the picture."""


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of training on one person.

    Attributes:
        trained: name prefixes of the trained parameters, all of the decoder.
        learning_rate: Adam's learning rate after a short warm-up; it falls to 0 by the end of the budget, as a cosine.
        batch: views per step.
        num_checks: number of validations on held-out views, spread evenly over the budget.
        patience: validations without a lower error, kept or not, after which training stops: weights that the guard
            rejects often pass it when the learning rate has fallen.
        num_held_out: number of held-out views.
        vgg: whether the losses on VGG features are used.
        pool: number of pairs kept in memory, a multiple of ``batch``; each is prepared once.
        visits: number of steps that use a pair.
        bfloat16: whether steps compute in bfloat16; None: on a CPU that is clearly faster so. Views are judged in
            float32, as pictures are drawn.
    """

    trained: tuple[str, ...] = DECODER
    learning_rate: float = 3e-4
    batch: int = 2
    num_checks: int = 6
    patience: int = 3
    num_held_out: int = 12
    vgg: bool = True
    pool: int = 32
    visits: int = 2
    bfloat16: bool | None = None


BUDGET_USED, NO_GAIN = "the budget is used up", "held-out views no longer improve"
"""Reasons why training ended."""


@dataclass(frozen=True)
class Budget:
    """When training ends: at the first of two limits, of which at least one must be given.

    Attributes:
        seconds: maximum wall-clock seconds, validation included; None: no time limit.
        steps: maximum number of steps; None: no limit on steps.
    """

    seconds: float | None = 120.0
    steps: int | None = None

    def __post_init__(self) -> None:
        """Check that at least one limit is given and that both are positive.

        Raises:
            ScmError: if not.
        """
        if (self.seconds is None and self.steps is None) or (self.seconds or 1) <= 0 or (self.steps or 1) <= 0:
            raise ScmError(f"budget of {self.seconds} seconds and {self.steps} steps: give one of them, above 0")

    def share(self, steps: int, seconds: float) -> float:
        """Return the share of the budget used so far, from 0 to 1."""
        by_steps = 0.0 if self.steps is None else steps / max(self.steps, 1)
        by_seconds = 0.0 if self.seconds is None else seconds / max(self.seconds, 1e-9)
        return min(max(by_steps, by_seconds), 1.0)


@dataclass(frozen=True)
class PersonalProgress:
    """State of a run after a step.

    Attributes:
        steps: number of steps so far.
        seconds: time since the run began.
        share: share of the budget used, from 0 to 1.
        error: error on held-out views at the last validation, where the base's is 1; 1 before training.
        best: lowest ``error`` so far of weights that were kept.
        finished: why training ended; empty while it continues.
        harm: which guard rejected the weights of the last validation although their error was lower; else empty.
    """

    steps: int
    seconds: float
    share: float
    error: float
    best: float
    finished: str = ""
    harm: str = ""


def recipe_for(budget: Budget) -> Recipe:
    """Return the recipe for a budget; longer budgets have more validations (docs/lab/personalize.md)."""
    seconds = budget.seconds
    if seconds is None:
        return Recipe()
    if seconds < _SHORT:
        return Recipe(num_checks=4, patience=2)
    return Recipe() if seconds < _LONG else Recipe(num_checks=10, patience=4)


_SHORT, _LONG = 90.0, 200.0
"""Seconds."""


Compose = Callable[[Rendering, PartWarp, Tensor], tuple[Tensor, Tensor | None]]
"""Composes what users get, picture and foreground mask, of the network's output, the part warp and poses (B, 18, 3)."""


class PersonalRun:
    """A short training run on photos of one person: iterate over :meth:`steps`, then read :meth:`difference`.

    The base network is copied and stays unchanged. The caller may stop after any step: :meth:`difference` then returns
    the best weights so far.

    Attributes:
        lacks_vgg: True if the losses on VGG features are left out because their weights were not found.
        validations: steps and measures of each validation so far; the first is the base's.
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
        compose: Compose | None = None,
    ) -> None:
        """Copy the network and prepare the views.

        Args:
            base: the network, in eval mode.
            config: config that the network was trained with.
            photos: photos of one person, with the aspect ratio of the network's canvas.
            donors: joints on the network's canvas; the photos are warped into these poses. Every fourth is held out.
            recipe: hyperparameters; None: the defaults.
            plain: whether the background is plain.
            weights_dir: folder of VGG weights; without weights the losses on VGG features are left out.
            compose: composes what users get, which is trained and judged; None: the network's own is.

        Raises:
            ScmError: if the network has no part warp, or a photo shows no person or has another aspect ratio.
        """
        if not base.reads_part_warp:
            raise ScmError("personalize: needs a model with part warp, such as the shipped one")
        self.recipe = recipe = recipe or Recipe()
        self.device = next(base.parameters()).device
        self._bfloat16 = recipe.bfloat16
        if self._bfloat16 is None:
            self._bfloat16 = self.device.type == "cpu" and bfloat16_pays()
        canvas = config.model.canvas
        self.net = copy.deepcopy(base).requires_grad_(requires_grad=False).eval()  # eval: batch norm stays frozen
        self._trained = {
            name: parameter for name, parameter in self.net.named_parameters() if name.startswith(recipe.trained)
        }
        for parameter in self._trained.values():
            parameter.requires_grad = True
        self._base = {name: parameter.detach().clone() for name, parameter in self._trained.items()}
        self._best: dict[str, Tensor] | None = None
        losses = _losses_of(config, weights_dir, vgg=recipe.vgg)
        self._objective = GeneratorObjective(losses, weights_dir, self.device)
        wanted = config.loss.perceptual or config.loss.style or config.loss.bsr
        self.lacks_vgg = bool(wanted) and self._objective.vgg is None
        self._base_net = base
        self._optimizer = torch.optim.Adam(self._trained.values(), recipe.learning_rate, (0.5, 0.999), fused=True)
        held_out, used = list(donors[::4]), [pose for k, pose in enumerate(donors) if k % 4]
        given = PeopleGiven(photos, canvas, self.device, plain=plain)
        self._compose = compose
        self._held_out = held_out_views(given, held_out, recipe.num_held_out, held_out)
        self._posed = photos_in_poses(given, held_out)
        self._base_alpha: Tensor | None = None
        self.validations: list[tuple[int, Validation]] = []
        self._stream = PersonalStream(given, config.data, 0, used)
        self._pool = ViewPool(recipe.pool, recipe.visits, 0)
        self._band_share = config.loss.vgg_band

    @cached_property
    def _views(self) -> PreparedViews:
        """The held-out views; what the warp tears off does not count."""
        views = PreparedViews.of(self._base_net, self._held_out)
        with torch.no_grad():
            torn = torn_off(views.inputs, self._held_out.covered, self._drawn(views, self._base_net)[1])
        sure = None if views.inputs.sure is None else views.inputs.sure * ~torn
        return replace(views, inputs=replace(views.inputs, sure=sure))

    @cached_property
    def _uses(self) -> PreparedViews:
        """The photos in held-out poses."""
        return PreparedViews.of(self._base_net, self._posed)

    def steps(self, budget: Budget, clock: Callable[[], float] = time.perf_counter) -> Iterator[PersonalProgress]:
        """Train until the budget is used up or held-out views stop improving; yield the state after each step.

        The first state, with 0 steps, is yielded after the base is validated.

        Args:
            budget: when training ends.
            clock: clock of the budget's seconds; with ``time.process_time`` they are CPU seconds.
        """
        start = clock()
        base = self.validate()
        self.validations.append((0, base))
        yield PersonalProgress(0, clock() - start, 0.0, 1.0, 1.0)
        with Workers(self.recipe.batch if self.device.type == "cpu" else 1) as workers:
            yield from self._train(workers, budget, lambda: clock() - start)

    def _train(self, workers: Workers, budget: Budget, seconds: Callable[[], float]) -> Iterator[PersonalProgress]:
        recipe, (_, base) = self.recipe, self.validations[0]
        best, lowest, error, stale, step, checked, share, harm = 1.0, 1.0, 1.0, 0, 0, 0, 0.0, ""
        while True:
            self._step(workers, step, share)
            step += 1
            share = budget.share(step, seconds())
            finished = BUDGET_USED if share >= 1 else ""
            if int(share * recipe.num_checks) > checked:
                checked = int(share * recipe.num_checks)
                found = self.validate()
                error = found.error(base)
                harm = found.harm(base) if error < best else ""
                gains = error < best and not harm
                self._record(step, found, gains=gains, harm=harm)
                stale, lowest = 0 if error < lowest else stale + 1, min(error, lowest)
                if gains:
                    best = error
                    self._best = {name: parameter.detach().clone() for name, parameter in self._trained.items()}
                if stale >= recipe.patience and (lowest < 1 or share >= _PATIENT_UNTIL) and not finished:
                    finished = NO_GAIN
            yield PersonalProgress(step, seconds(), share, error, best, finished, harm)
            if finished:
                return

    def _record(self, step: int, found: Validation, *, gains: bool, harm: str) -> None:
        """Keep and log the measures of a validation, and whether its weights are kept."""
        base = self.validations[0][1]
        self.validations.append((step, found))
        changes = ", ".join(f"{name} {change}" for name, change in found.likeness.changes(base.likeness))
        outcome = "kept" if gains else f"rejected, {harm}" if harm else "not better"
        log.info(
            "step %d: held-out error %+.1f %% (%s), lost %.2f %%, faded %.2f %%: %s",
            step,
            100 * (found.error(base) - 1),
            changes,
            100 * found.lost,
            100 * found.faded,
            outcome,
        )

    def difference(self, *, newest: bool = False) -> dict[str, Tensor]:
        """Return the best weights minus the base's, by parameter name; empty if the base is the best.

        Args:
            newest: return the newest weights instead, rejected or not, for measurements.
        """
        found = {name: tensor.detach() for name, tensor in self._trained.items()} if newest else self._best or {}
        return {name: tensor - self._base[name] for name, tensor in found.items()}

    @torch.no_grad()
    def validate(self) -> Validation:
        """Measure the network; the first call measures the base, which later calls compare foreground masks with.

        Half of the views show the photo in its own pose, the others in a held-out pose as far as the warp knows it:
        weights that know one pose by heart are no better elsewhere. Masks are compared in held-out poses, since the
        views cannot show a person that fades in holes of the warp.
        """
        views, source, alpha = self._views, self._held_out.source, self._foreground()
        inputs = views.inputs
        image = self._drawn(views)[0].image
        if inputs.sure is not None:
            image = torch.lerp(inputs.target, image, inputs.sure)
        found = likeness(
            image,
            inputs.target,
            views.joints,
            inputs.target_masks,
            source.structure,
            one_hot(source.labels),
        )
        if self._base_alpha is None:
            self._base_alpha = alpha
        if alpha is None or self._base_alpha is None:
            return Validation(found)
        return Validation(found, *losses_of_person(alpha, self._base_alpha, _shown_by_the_warp(self._uses.inputs)))

    def _drawn(self, views: PreparedViews, net: SCMNet | None = None) -> tuple[Rendering, Tensor | None]:
        """Draw views as users get them; also return their foreground masks, None if the network draws backgrounds."""
        rendering = (net or self.net).generator.decode(views.given, views.inputs.warp)
        rendering = replace(rendering, image=rendering.image.float())
        if self._compose is None or views.inputs.warp is None:
            return rendering, rendering.alpha
        image, alpha = self._compose(rendering, views.inputs.warp, views.joints)
        return replace(rendering, image=image), alpha

    @torch.no_grad()
    def _foreground(self) -> Tensor | None:
        """Return the foreground masks of the photos in held-out poses; None if the network draws backgrounds."""
        return self._drawn(self._uses)[1]

    def _step(self, workers: Workers, step: int, share: float) -> None:
        """Change the decoder by the mean gradient of the step's pairs."""
        recipe = self.recipe
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.learning_rate * min((step + 1) / _WARM_UP, 1) * (1 + math.cos(math.pi * share)) / 2
        found = workers.map(self._gradients, range(step * recipe.batch, (step + 1) * recipe.batch))
        for parameter, *gradients in zip(self._trained.values(), *found, strict=True):
            parameter.grad = torch.empty_like(parameter)  # the fused optimizer relies on the parameter's strides
            parameter.grad.copy_(torch.stack(gradients).mean(0))
        norm = torch.nn.utils.clip_grad_norm_(self._trained.values(), _MAX_GRADIENT)
        if bool(torch.isfinite(norm)):
            self._optimizer.step()

    def _gradients(self, visit: int) -> tuple[Tensor, ...]:
        """Return the gradients of the loss of one pair."""
        views = self._pool.pair(visit, self._prepared)
        rows = random_band(views.inputs.target.shape[2], self._band_share, seed=(_BAND_STREAM, visit))
        with self._in_precision():
            rendering, _ = self._drawn(views)
            terms = self._objective.of_rendering(rendering, views.inputs, person_window(views.inputs, rows))
            loss = self._objective.total(terms)
        return torch.autograd.grad(loss, [*self._trained.values()])

    def _in_precision(self) -> torch.autocast:
        """Return the context of a step's precision; no cache of weights, which threads would share."""
        return torch.autocast(self.device.type, torch.bfloat16, bool(self._bfloat16), cache_enabled=False)

    def _prepared(self, number: int) -> PreparedViews:
        """Prepare a training pair."""
        with self._in_precision():
            batch = self._stream.batch(number, 1)
            views = PreparedViews.of(self._base_net, batch)
            return replace(views, inputs=self._with_holes_filled(views, batch.covered))

    @torch.no_grad()
    def _with_holes_filled(self, views: PreparedViews, covered: Tensor | None = None) -> Inputs:
        """Return inputs whose targets show what the base draws in the holes of the person.

        Nobody knows what is there, and training changes it: a strap that the region map lacks became a pale line. In
        another pose the warp tears wide clothes apart, and the network would learn to tear them.

        Args:
            views: views with targets.
            covered: where the targets' pixels are the photo's, (B, 1, H, W) bool; None: everywhere.
        """
        inputs = views.inputs
        hole = outside_holes(inputs.target_masks.argmax(1), views.joints) < 1
        if covered is None and not hole.any():
            return inputs
        drawn, alpha = self._drawn(views, self._base_net)
        filled = (hole | torn_off(inputs, covered, alpha)).float()
        masks = inputs.target_masks.clone()
        if drawn.alpha is not None:
            masks[:, BACKGROUND, None] = torch.lerp(masks[:, BACKGROUND, None], 1 - drawn.alpha, filled)
        target = torch.lerp(inputs.target, drawn.image.float(), filled)
        sure = None if inputs.sure is None else torch.maximum(inputs.sure, filled)
        return replace(inputs, target=target, target_masks=masks, sure=sure)


_MAX_GRADIENT, _BAND_STREAM = 20.0, 23
_WARM_UP = 8
"""Warm-up steps of the learning rate, since Adam's first steps are full-sized but poorly estimated."""

_PATIENT_UNTIL = 0.5
"""Share of the budget up to which a run goes on that has not gained yet: the first steps may make views worse."""

_SHOWN = 0.5


def _shown_by_the_warp(inputs: Inputs) -> Tensor:
    """Return where the warped photo shows the person, (B, 1, H, W) bool.

    Pixels outside are the network's own: a base that draws halos loses them in training, which is a gain.
    """
    assert inputs.warp is not None
    return (inputs.warp.coverage > _SHOWN) & (inputs.warp.regions[:, BACKGROUND, None] < 1 - _SHOWN)


def _losses_of(config: Config, weights_dir: Path | None, *, vgg: bool) -> Config:
    """Return the config of the decoder's losses, without those on VGG features if the weights are missing.

    Args:
        config: the model's config.
        weights_dir: folder of VGG weights.
        vgg: whether losses on VGG features are wanted.
    """
    changes = {"adversarial": 0.0, "feature_adversarial": 0.0, "field_regions": 0.0, "field_colours": 0.0}
    if not (vgg and _has_weights(config.loss.vgg, weights_dir)):
        changes |= {"perceptual": 0.0, "style": 0.0, "bsr": 0.0}
    return config.model_copy(update={"loss": config.loss.model_copy(update=changes)})


def _has_weights(name: str, weights_dir: Path | None) -> bool:
    try:
        find_backbone(name, weights_dir)
    except ScmError:
        return False
    return True
