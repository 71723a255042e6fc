"""Fine-tune a trained model on one person: a short run on views of their photos (docs/use.md, scm personalize).

The run keeps the weights with the lowest error on held-out views. If none beat the base's weights, the base stays.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scmnet_cli.config import Config
from scmnet_cli.data.dataset import PeopleGiven, TrainingBatch
from scmnet_cli.data.reposing import align_pose
from scmnet_cli.errors import ScmError
from scmnet_cli.metrics.l1 import l1
from scmnet_cli.models.generator import Rendering
from scmnet_cli.models.part_warp import PartWarp
from scmnet_cli.models.scmnet import SCMNet
from scmnet_cli.regions import BACKGROUND
from scmnet_cli.training.objective import GeneratorObjective, GeneratorOutput, GeneratorPass, Inputs
from scmnet_cli.training.personal_views import PersonalStream, held_out_views
from scmnet_cli.types import FloatArray, Person
from scmnet_cli.weights import find_backbone

log = logging.getLogger(__name__)

DECODER = ("generator.up.", "generator.refine.", "generator.draw.", "generator.to_rgb.")
"""Prefixes of the parameters that draw, from H/16 to the picture."""


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of training on one person.

    Attributes:
        trained: name prefixes of the trained parameters; empty: all are trained.
        learning_rate: Adam's learning rate after a short warm-up; it falls to a tenth by the end of the budget.
        height: height of the training views in pixels, at most the model's own; 0: the model's own.
        batch: views per step.
        num_checks: number of validations on held-out views, spread evenly over the budget.
        patience: validations without improvement after which training stops.
        num_held_out: number of held-out views.
        vgg: whether the losses on VGG features are used.
    """

    trained: tuple[str, ...] = DECODER
    learning_rate: float = 1e-4
    height: int = 128
    batch: int = 8
    num_checks: int = 5
    patience: int = 2
    num_held_out: int = 4
    vgg: bool = True


BUDGET_USED, NO_GAIN = "the budget is used up", "held-out views no longer improve"
"""Reasons why training ended."""


MOST_LOST = 0.01
"""Maximum share of the person that may be missing in held-out poses; weights with more are rejected."""

MOST_FADED = 0.02
"""Maximum fall of the mean foreground mask over the person in held-out poses; weights with more are rejected."""

MOST_L1 = 1.02
"""Maximum L1 on the person in held-out views, divided by the base's; weights with more are rejected."""


@dataclass(frozen=True)
class Validation:
    """Measures of a network on held-out views and poses.

    Attributes:
        error: loss on the held-out views.
        l1: mean absolute difference on the person in the held-out views, from 0 to 2.
        lost: largest share of the person's pixels that a drawing in a held-out pose lacks, that is, holes.
        faded: largest relative fall of the mean foreground mask over these pixels in a held-out pose.
    """

    error: float
    l1: float
    lost: float = 0.0
    faded: float = 0.0

    def harm(self, base: Validation) -> str:
        """Return why weights are not kept at any error: holes, a fainter person, other colours; empty if none is so."""
        if self.lost > MOST_LOST:
            return f"{self.lost:.1%} of the person is missing in held-out poses (at most {MOST_LOST:.0%})"
        if self.faded > MOST_FADED:
            return f"the person is {self.faded:.1%} fainter in held-out poses (at most {MOST_FADED:.0%})"
        if self.l1 > MOST_L1 * base.l1:
            return f"L1 on the person rises by {self.l1 / base.l1 - 1:.1%} (at most {MOST_L1 - 1:.0%})"
        return ""


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
        error: error on held-out views at the last validation, divided by the base's; 1 before training.
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
        return Recipe(num_checks=3)
    return Recipe() if seconds < _LONG else Recipe(num_checks=8, patience=3)


_SHORT, _LONG = 90.0, 200.0
"""Seconds."""


Compose = Callable[[Rendering, PartWarp, Tensor], Tensor]
"""Composes the picture that users get of the network's output, the part warp and the poses, (B, 18, 3)."""


@dataclass(frozen=True)
class _Views:
    """Inputs of views, and their poses.

    Shape:
        joints: (B, 18, 3) in pixels of the canvas.
    """

    inputs: Inputs
    joints: Tensor

    @classmethod
    def of(cls, batch: TrainingBatch) -> _Views:
        return cls(Inputs.of(batch, part_warp=True), batch.target.structure)


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
            compose: composes the picture that users get, which is trained and judged; None: the network's own is.

        Raises:
            ScmError: if the network has no part warp, or a photo shows no person or has another aspect ratio.
        """
        if not base.reads_part_warp:
            raise ScmError("personalize: needs a model with part warp, such as the shipped one")
        self.recipe = recipe = recipe or Recipe()
        self.device = next(base.parameters()).device
        own = config.model.canvas
        canvas = own.resized_to(min(recipe.height or own.height, own.height))
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
        losses = _losses_of(config, weights_dir, fields=not recipe.trained, vgg=recipe.vgg)
        self._objective = GeneratorObjective(losses, weights_dir, self.device)
        wanted = config.loss.perceptual or config.loss.style or config.loss.bsr
        self.lacks_vgg = bool(wanted) and self._objective.vgg is None
        self._generator = GeneratorPass(self.net)
        self._optimizer = torch.optim.Adam(self._trained.values(), recipe.learning_rate, (0.5, 0.999))
        held_out, used = list(donors[::4]), [pose for k, pose in enumerate(donors) if k % 4]
        given = PeopleGiven(photos, own, self.device, plain=plain)
        self._compose = compose
        self._views = _Views.of(held_out_views(given, held_out, recipe.num_held_out))
        self._uses = _photos_in_poses(given, held_out)
        self._shown = _shown_by_the_warp(self._uses)
        self._base_alpha: Tensor | None = None
        self.validations: list[tuple[int, Validation]] = []
        scale = np.array([canvas.width / own.width, canvas.height / own.height, 1], np.float32)
        training = PeopleGiven(photos, canvas, self.device, plain=plain)
        self._stream = PersonalStream(training, config.data, 0, [pose * scale for pose in used])
        self._band_share = config.loss.vgg_band

    def steps(self, budget: Budget, clock: Callable[[], float] = time.perf_counter) -> Iterator[PersonalProgress]:
        """Train until the budget is used up or held-out views stop improving; yield the state after each step.

        The first state, with 0 steps, is yielded after the base is validated.

        Args:
            budget: when training ends.
            clock: clock of the budget's seconds; with ``time.process_time`` they are CPU seconds.
        """
        recipe, start = self.recipe, clock()
        base = self.validate()
        self.validations.append((0, base))
        yield PersonalProgress(0, clock() - start, 0.0, 1.0, 1.0)
        best, error, stale, step, checked, share, harm = 1.0, 1.0, 0, 0, 0, 0.0, ""
        while True:
            self._step(step, share)
            step += 1
            share = budget.share(step, clock() - start)
            finished = BUDGET_USED if share >= 1 else ""
            if int(share * recipe.num_checks) > checked:
                checked = int(share * recipe.num_checks)
                found = self.validate()
                error = found.error / base.error
                harm = found.harm(base) if error < best else ""
                gains = error < best and not harm
                self._record(step, found, gains=gains, harm=harm)
                stale = 0 if gains else stale + 1
                if gains:
                    best = error
                    self._best = {name: parameter.detach().clone() for name, parameter in self._trained.items()}
                if stale >= recipe.patience and (best < 1 or share >= _PATIENT_UNTIL) and not finished:
                    finished = NO_GAIN
            yield PersonalProgress(step, clock() - start, share, error, best, finished, harm)
            if finished:
                return

    def _record(self, step: int, found: Validation, *, gains: bool, harm: str) -> None:
        """Keep and log the measures of a validation, and whether its weights are kept."""
        base = self.validations[0][1]
        self.validations.append((step, found))
        log.info(
            "step %d: held-out loss %.4f (%+.1f %%), L1 on the person %.4f (%+.1f %%), lost %.2f %%, faded %.2f %%: %s",
            step,
            found.error,
            100 * (found.error / base.error - 1),
            found.l1,
            100 * (found.l1 / max(base.l1, 1e-9) - 1),
            100 * found.lost,
            100 * found.faded,
            "kept" if gains else f"rejected, {harm}" if harm else "not better",
        )

    def difference(self) -> dict[str, Tensor]:
        """Return the best weights minus the base's, by parameter name; empty if the base is the best."""
        if self._best is None:
            return {}
        return {name: best - self._base[name] for name, best in self._best.items()}

    @torch.no_grad()
    def validate(self) -> Validation:
        """Measure the network; the first call measures the base, which later calls compare foreground masks with.

        Masks are compared in held-out poses, since the held-out views cannot show a person that fades there: their
        truth is the photo in its own pose.
        """
        inputs, drawn = self._views.inputs, self._drawn(self._views)
        error = float(self._objective.total(self._objective(drawn, inputs, None)))
        person = 1 - inputs.target_masks[:, BACKGROUND : BACKGROUND + 1]
        difference = float(l1(drawn.image, inputs.target, person).mean())
        alpha = self._foreground()
        if self._base_alpha is None:
            self._base_alpha = alpha
        if alpha is None or self._base_alpha is None:
            return Validation(error, difference)
        return Validation(error, difference, *_losses_of_person(alpha, self._base_alpha, self._shown))

    def _drawn(self, views: _Views) -> GeneratorOutput:
        """Draw views as users get them."""
        drawn: GeneratorOutput = self._generator(views.inputs)
        if self._compose is None or views.inputs.warp is None:
            return drawn
        image = self._compose(drawn.rendering, views.inputs.warp, views.joints)
        return replace(drawn, rendering=replace(drawn.rendering, image=image))

    @torch.no_grad()
    def _foreground(self) -> Tensor | None:
        """Return the foreground masks of the photos in held-out poses; None if the network draws backgrounds."""
        drawn: GeneratorOutput = self._generator(self._uses)
        return drawn.rendering.alpha

    def _step(self, step: int, share: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * min((step + 1) / _WARM_UP, 1) * (1 - 0.9 * share)
        views = _Views.of(self._stream.batch(step * self.recipe.batch, self.recipe.batch))
        inputs = views.inputs
        self._optimizer.zero_grad(set_to_none=True)
        terms = self._objective(self._drawn(views), inputs, None, band=self._band(step, inputs.target.shape[2]))
        loss = self._objective.total(terms)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self._trained.values(), _MAX_GRADIENT)
        if bool(torch.isfinite(norm)):
            self._optimizer.step()

    def _band(self, step: int, height: int) -> slice | None:
        rows = max(int(height * self._band_share) // 8 * 8, 8)
        if rows >= height:
            return None
        top = int(np.random.default_rng((_BAND_STREAM, step)).integers(height - rows + 1))
        return slice(top, top + rows)


_MAX_GRADIENT, _BAND_STREAM = 20.0, 23
_WARM_UP = 8
"""Warm-up steps of the learning rate, since Adam's first steps are full-sized but poorly estimated."""

_PATIENT_UNTIL = 0.5
"""Share of the budget up to which a run goes on that has not gained yet: the first steps may make views worse."""

_USED_POSES, _SOLID, _HOLE, _SHOWN = 3, 0.8, 0.4, 0.5


def _shown_by_the_warp(inputs: Inputs) -> Tensor:
    """Return where the warped photo shows the person, (B, 1, H, W) bool.

    Pixels outside are the network's own: a base that draws halos loses them in training, which is a gain.
    """
    assert inputs.warp is not None
    return (inputs.warp.coverage > _SHOWN) & (inputs.warp.regions[:, BACKGROUND, None] < 1 - _SHOWN)


def _losses_of_person(alpha: Tensor, base: Tensor, shown: Tensor) -> tuple[float, float]:
    """Return the share of the person's pixels that are missing and by how much they are fainter, in the worst picture.

    Shape:
        alpha, base: (B, 1, H, W), foreground masks from 0 to 1; shown: (B, 1, H, W), where the warp shows the person.
    """
    solid = (base > _SOLID) & shown
    num = solid.float().sum((1, 2, 3)).clamp(min=1)
    lost = ((alpha < _HOLE) & solid).float().sum((1, 2, 3)) / num
    before, after = ((mask * solid).sum((1, 2, 3)) / num for mask in (base, alpha))
    faded = 1 - after / before.clamp(min=_SOLID)
    return float(lost.max()), float(faded.masked_fill(~solid.any(3).any(2).any(1), 0).max())


def _photos_in_poses(photos: PeopleGiven, poses: Sequence[FloatArray]) -> Inputs:
    """Return inputs as at test time: the photos as sources, and held-out poses as targets."""
    num = max(len(photos), _USED_POSES)
    source = photos.batch([index % len(photos) for index in range(num)])
    posed = source.structure.clone()
    for row in range(num):
        pose = align_pose(source.structure[row].cpu().numpy(), poses[row % len(poses)])
        posed[row] = posed[row] if pose is None else torch.from_numpy(pose).to(posed)
    target = replace(source, structure=posed)
    return Inputs.of(TrainingBatch(target, source), part_warp=True)


def _losses_of(config: Config, weights_dir: Path | None, *, fields: bool, vgg: bool) -> Config:
    """Return the config of the losses, without those on VGG features if the weights are missing.

    Args:
        config: the model's config.
        weights_dir: folder of VGG weights.
        fields: whether the correlation field is trained.
        vgg: whether losses on VGG features are wanted.
    """
    changes = {"adversarial": 0.0} | ({} if fields else {"field_regions": 0.0, "field_colours": 0.0})
    if not (vgg and _has_weights(config.loss.vgg, weights_dir)):
        changes |= {"perceptual": 0.0, "style": 0.0, "bsr": 0.0}
    return config.model_copy(update={"loss": config.loss.model_copy(update=changes)})


def _has_weights(name: str, weights_dir: Path | None) -> bool:
    try:
        find_backbone(name, weights_dir)
    except ScmError:
        return False
    return True
