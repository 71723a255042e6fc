"""The training run of a personalized model: what is trained, which weights are kept, and when it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from personal_models import CANVAS, a_photo, run_of, save_model, weights

from scmnet_cli.errors import ScmError
from scmnet_cli.inference.personal import library_poses, personalize, prepare_run
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.models.generator import Rendering
from scmnet_cli.models.part_warp import PartWarp
from scmnet_cli.models.warp_fields import PLAIN_BACKGROUND
from scmnet_cli.training import personalizing
from scmnet_cli.training.personal_guard import MOST_FADED, MOST_LOST, Likeness, Validation
from scmnet_cli.training.personal_pool import PreparedViews
from scmnet_cli.training.personal_views import outside_holes
from scmnet_cli.training.personalizing import (
    BUDGET_USED,
    DECODER,
    NO_GAIN,
    Budget,
    PersonalRun,
    Recipe,
)
from scmnet_cli.training.workers import Workers


@pytest.fixture
def base(tmp_path: Path) -> Pipeline:
    return Pipeline.from_pretrained(save_model(tmp_path / "base.safetensors"), "cpu")


def measures(run: PersonalRun, monkeypatch: pytest.MonkeyPatch, errors: list[float], **last: float) -> None:
    """Let a run find these errors one after another, and from the second validation on these holes and fading."""
    found = [
        Validation(Likeness(*[(error, error)] * 5), **(last if number else {})) for number, error in enumerate(errors)
    ]
    left = iter(found)
    monkeypatch.setattr(run, "validate", lambda: next(left))


def test_learning_lowers_the_error_of_held_out_views_and_leaves_the_base_as_it_was(base: Pipeline) -> None:
    before = weights(base)
    run = run_of(base, learning_rate=1e-2)
    states = list(run.steps(Budget(None, 30)))
    assert states[0].steps == 0
    assert states[-1].steps == 30
    assert states[-1].finished == BUDGET_USED
    assert states[-1].best < 0.9
    assert all(torch.equal(before[name], tensor) for name, tensor in base.model.state_dict().items())


def test_validation_judges_the_picture_that_users_get(base: Pipeline) -> None:
    photo = a_photo()
    donors = list(library_poses(CANVAS).values())

    def perfect(rendering: Rendering, warp: PartWarp, joints: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        assert len(joints) == len(warp.image)
        truth = run._held_out.target.image
        return truth if len(joints) == len(truth) else rendering.image, rendering.alpha

    run = PersonalRun(base.model, base.config, [photo], donors, compose=perfect)
    assert run.validate().likeness.colours == pytest.approx([0] * 12, abs=1e-6)
    composed, network = (found.validate() for found in (prepare_run(base, [photo], Budget(None, 1)), run_of(base)))
    assert composed.error(network) < 1, "the warp's pixels"


def test_views_in_other_poses_are_judged_too_but_for_their_holes(base: Pipeline) -> None:
    def empty(rendering: Rendering, warp: PartWarp, joints: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        return torch.full_like(rendering.image, PLAIN_BACKGROUND), rendering.alpha

    run = PersonalRun(base.model, base.config, [a_photo()], list(library_poses(CANVAS).values()), compose=empty)
    inputs = run._views.inputs
    assert inputs.sure is not None
    holes = (inputs.sure < 0.5).sum((1, 2, 3))
    assert holes[1::2].min() > holes[::2].max()
    expected = (inputs.target - PLAIN_BACKGROUND).mul(inputs.sure).abs().mean((1, 2, 3))
    assert run.validate().likeness.picture == pytest.approx(expected.tolist(), rel=1e-4)


def test_what_a_target_does_not_show_is_to_be_drawn_as_the_base_does(base: Pipeline) -> None:
    run = run_of(base, learning_rate=1e-2, bfloat16=False)
    before = run._drawn(run._views)[0]
    for _ in run.steps(Budget(None, 2)):
        pass
    given, inputs = run._views.inputs, run._with_holes_filled(run._views)
    hole = outside_holes(given.target_masks.argmax(1), run._views.joints) == 0
    assert hole.any()
    assert given.sure is not None
    assert inputs.sure is not None
    assert torch.equal(inputs.sure, torch.where(hole, 1, given.sure)), "beside the person it still does not count"
    person, known = (1 - masks.target_masks[:, :1] for masks in (inputs, given))
    alpha = before.alpha
    assert alpha is not None
    torch.testing.assert_close(inputs.target, torch.where(hole, before.image, given.target), atol=1e-5, rtol=0)
    torch.testing.assert_close(person, torch.where(hole, alpha, known), atol=1e-5, rtol=0)


def a_view_in_another_pose(run: PersonalRun) -> tuple[PreparedViews, torch.Tensor]:
    """Return a training pair whose target the warp does not cover everywhere, and where it covers it."""
    for number in range(20):
        batch = run._stream.batch(number, 1)
        assert batch.covered is not None
        if not batch.covered.all():
            return PreparedViews.of(run._base_net, batch), batch.covered
    raise AssertionError


def test_what_the_warp_tears_off_a_target_is_to_be_drawn_as_the_base_does(base: Pipeline) -> None:
    run = run_of(base, bfloat16=False)
    views, covered = a_view_in_another_pose(run)
    drawn, alpha = run._drawn(views)
    given, inputs = views.inputs, run._with_holes_filled(views, covered)
    assert alpha is not None
    assert given.sure is not None
    assert inputs.sure is not None
    shown = given.target_masks[:, :1] < 0.5
    torn = (given.sure > 0) & ((~covered & (alpha > 0.5)) | (covered & shown & (alpha < 0.2)))
    assert torn.any()
    unknown = torn | (outside_holes(given.target_masks.argmax(1), views.joints) == 0)
    torch.testing.assert_close(inputs.target, torch.where(unknown, drawn.image, given.target), atol=1e-5, rtol=0)
    assert inputs.sure[torn].min() == 1
    assert torch.equal(inputs.sure[~unknown], given.sure[~unknown])


def test_what_the_warp_tears_off_held_out_views_does_not_count(base: Pipeline) -> None:
    run = run_of(base)
    inputs, covered = run._views.inputs, run._held_out.covered
    alpha = run._drawn(run._views)[1]
    assert covered is not None
    assert alpha is not None
    assert inputs.sure is not None
    assert (~covered & (alpha > 0.5)).any()
    assert inputs.sure[~covered & (alpha > 0.5)].max() == 0
    assert (inputs.sure[~covered] > 0).any(), "background that the base draws as background counts"


def test_only_the_decoder_is_trained_and_batch_norm_stays_frozen(base: Pipeline) -> None:
    run = run_of(base, learning_rate=3e-3, trained=DECODER)
    for _ in run.steps(Budget(None, 6)):
        pass
    before = base.model.state_dict()
    changed = {name for name, tensor in run.net.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith(DECODER) for name in changed)
    assert not any("running" in name or "num_batches" in name for name in changed)


@pytest.mark.parametrize("pays", [True, False])
def test_steps_compute_in_bfloat16_where_it_pays_and_views_are_judged_in_float32(
    base: Pipeline, monkeypatch: pytest.MonkeyPatch, pays: bool
) -> None:
    monkeypatch.setattr(personalizing, "bfloat16_pays", lambda: pays)
    run = run_of(base, batch=1)
    reduced: list[bool] = []
    draw = run._drawn  # draws for steps and for validation

    def noted(*views: Any) -> Any:
        reduced.append(torch.is_autocast_enabled("cpu"))
        return draw(*views)

    monkeypatch.setattr(run, "_drawn", noted)
    steps = run.steps(Budget(None, 2))
    next(steps)
    assert reduced == [False] * len(reduced), "validation"
    reduced.clear()
    next(steps)
    assert reduced[:2] == [pays, pays], "the base and the trained network"
    assert not any(reduced[2:]), "validation"


def test_the_recipe_chooses_the_precision_if_it_names_one(base: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personalizing, "bfloat16_pays", lambda: pytest.fail("measured"))
    assert list(run_of(base, bfloat16=True).steps(Budget(None, 1)))[-1].steps == 1


def test_the_base_is_kept_if_held_out_views_get_worse(base: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(base)
    measures(run, monkeypatch, [1.0, *[1.1] * 9])
    states = list(run.steps(Budget(None, 6)))
    assert states[-1].best == 1
    assert run.difference() == {}
    assert any(change.any() for change in run.difference(newest=True).values())


@pytest.mark.parametrize(
    ("harm", "kept"),
    [
        ({}, True),
        ({"lost": MOST_LOST, "faded": MOST_FADED}, True),
        ({"lost": MOST_LOST + 0.001}, False),
        ({"faded": MOST_FADED + 0.001}, False),
    ],
)
def test_weights_that_harm_the_person_are_not_kept_at_any_error(
    base: Pipeline, monkeypatch: pytest.MonkeyPatch, harm: dict[str, float], kept: bool
) -> None:
    run = run_of(base)
    measures(run, monkeypatch, [1.0, *[0.5] * 9], **harm)
    states = list(run.steps(Budget(None, 4)))
    assert bool(run.difference()) == kept
    assert (states[-1].best == 0.5) == kept


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ({"lost": 0.05}, "5.0% of the person is missing in held-out poses"),
        ({"faded": 0.04}, "the person is 4.0% fainter in held-out poses"),
    ],
)
def test_the_log_and_the_state_name_the_guard_that_rejects(
    base: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, harm: dict[str, float], said: str
) -> None:
    run = run_of(base)
    measures(run, monkeypatch, [1.0, *[0.5] * 9], **harm)
    with caplog.at_level("INFO", logger="scmnet_cli"):
        states = list(run.steps(Budget(None, 4)))
    assert said in states[-1].harm
    assert "held-out error -50.0 % (picture -50.0% ± 0.0%" in caplog.text
    assert said in caplog.text
    assert [step for step, _ in run.validations] == [0, 1, 2, 3, 4][: len(run.validations)]
    assert run.validations[0][1].likeness.picture == (1.0, 1.0)


def test_the_log_says_which_weights_are_kept_and_which_are_not_better(
    base: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = run_of(base, num_checks=2)
    measures(run, monkeypatch, [1.0, 0.9, 0.95])
    with caplog.at_level("INFO", logger="scmnet_cli"):
        states = list(run.steps(Budget(None, 4)))
    assert [record.getMessage().rsplit(": ", 1)[1] for record in caplog.records] == ["kept", "not better"]
    assert states[-1].harm == ""


@pytest.mark.parametrize(("logit", "lost", "faded"), [(0.0, False, False), (-1.5, False, True), (-10.0, True, True)])
def test_a_person_that_fades_is_seen_before_it_has_holes(
    base: Pipeline, monkeypatch: pytest.MonkeyPatch, logit: float, lost: bool, faded: bool
) -> None:
    run = run_of(base)
    monkeypatch.setattr(run, "_foreground", solid_at_first(run))
    first = run.validate()
    with torch.no_grad():
        run.net.generator.to_rgb.bias[4] += logit
    then = run.validate()
    assert (first.lost, first.faded) == (0, 0)
    assert (then.lost > MOST_LOST) == lost
    assert (then.faded > MOST_FADED) == faded


def solid_at_first(run: PersonalRun) -> Callable[[], torch.Tensor]:
    """Let the untrained base draw a solid person: the logits of this network plus 5."""
    drawn = run._foreground

    def shifted() -> torch.Tensor:
        alpha = drawn()
        assert alpha is not None
        return torch.sigmoid(torch.logit(alpha) + 5)

    return shifted


def test_a_network_that_draws_backgrounds_loses_nothing(tmp_path: Path) -> None:
    path = save_model(tmp_path / "keep.safetensors", foreground=False)
    run = run_of(Pipeline.from_pretrained(path, "cpu"), learning_rate=3e-3)
    for _ in run.steps(Budget(None, 6)):
        pass
    assert (run.validate().lost, run.validate().faded) == (0, 0)
    assert run.difference()


def test_the_run_ends_at_half_its_budget_if_held_out_views_never_improve(
    base: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(base, num_checks=12, patience=2)
    measures(run, monkeypatch, [1.0, *[1.1] * 12])
    states = list(run.steps(Budget(None, 24)))
    assert states[-1].steps == 12
    assert states[-1].finished == NO_GAIN


def test_a_run_that_has_gained_ends_after_two_checks_without_a_gain(
    base: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(base, num_checks=12, patience=2)
    measures(run, monkeypatch, [1.0, 0.9, 0.95, 0.95])
    states = list(run.steps(Budget(None, 24)))
    assert states[-1].steps == 6
    assert states[-1].best == 0.9


def test_a_run_goes_on_while_the_error_falls_although_the_guard_rejects(
    base: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(base, num_checks=6, patience=2)
    found = [Validation(Likeness(*[(error, error)] * 5)) for error in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)]
    rejected = [replace(each, lost=0.1 if 0 < number < 6 else 0.0) for number, each in enumerate(found)]
    left = iter(rejected)
    monkeypatch.setattr(run, "validate", lambda: next(left))
    states = list(run.steps(Budget(None, 12)))
    assert (states[-1].steps, states[-1].finished, states[-1].best) == (12, BUDGET_USED, 0.4)


def test_the_run_ends_at_its_time_limit(base: Pipeline) -> None:
    states = list(run_of(base).steps(Budget(0.05)))
    assert states[-1].finished == BUDGET_USED


def test_two_runs_learn_the_same(base: Pipeline) -> None:
    found = []
    for _ in range(2):
        run = run_of(base, learning_rate=1e-3)
        for _ in run.steps(Budget(None, 4)):
            pass
        found.append(run.difference())
    assert found[0].keys() == found[1].keys() != set()
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_step_is_one_of_plain_adam_on_the_mean_gradient_of_its_pairs(base: Pipeline) -> None:
    run = run_of(base, bfloat16=False)
    expected = {name: torch.nn.Parameter(tensor.detach().clone().contiguous()) for name, tensor in run._trained.items()}
    assert any(not tensor.is_contiguous() for tensor in run._trained.values()), "channels-last"
    adam = torch.optim.Adam(expected.values(), 1e-2, (0.5, 0.999), foreach=False)
    for parameter, *gradients in zip(expected.values(), run._gradients(0), run._gradients(1), strict=True):
        parameter.grad = torch.stack(gradients).mean(0)
    adam.step()
    with Workers(1) as workers:
        run._step(workers, 0, 0.0)
    for name, tensor in run._trained.items():
        change, wanted = tensor.detach() - run._base[name], expected[name].detach() - run._base[name]
        assert float((change * wanted).sum() / change.norm() / wanted.norm()) > 0.999, name


@pytest.fixture
def cores() -> Iterator[Callable[[int], None]]:
    """Set the number of cores that torch uses."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_pairs_side_by_side_teach_the_same_as_one_by_one(
    base: Pipeline, monkeypatch: pytest.MonkeyPatch, cores: Callable[[int], None]
) -> None:
    found, threads = [], set()
    for num in (1, 2):
        cores(num)
        run = run_of(base, a_photo(0), a_photo(1), learning_rate=1e-3, pool=4, visits=2, bfloat16=False)
        gradients = run._gradients

        def noted(visit: int, gradients: Callable[[int], Any] = gradients) -> Any:
            threads.add(threading.current_thread())
            return gradients(visit)

        monkeypatch.setattr(run, "_gradients", noted)
        for _ in run.steps(Budget(None, 6)):
            pass
        found.append(run.difference(newest=True))
    assert len(threads) == 3, "the calling one and two workers"
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_budget_needs_a_limit() -> None:
    with pytest.raises(ScmError, match="give one of them"):
        Budget(None, None)


def test_a_model_without_part_warp_is_refused(tmp_path: Path) -> None:
    pipeline = Pipeline.from_pretrained(save_model(tmp_path / "flat.safetensors", part_warp=False), "cpu")
    with pytest.raises(ScmError, match="with part warp"):
        pipeline.personalized([a_photo()], Budget(None, 1))


def test_an_interrupted_training_gives_the_best_so_far(base: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "scmnet_cli.inference.personal.recipe_for",
        lambda _: Recipe(learning_rate=3e-3, batch=2, num_checks=10, patience=9),
    )

    def interrupt(state: object) -> None:
        if getattr(state, "steps", 0) == 12:
            raise KeyboardInterrupt

    learned = personalize(base, [a_photo()], Budget(None, 20), progress=interrupt)
    assert not learned.finished
    assert learned.difference
