"""Personalized models: training pairs, the run, the file, the cache, and ``scm personalize``."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Place, Scm

from scmnet_cli import checkpoint
from scmnet_cli.config import DataConfig, parse_config
from scmnet_cli.data.cropping import crop_person
from scmnet_cli.data.dataset import PeopleGiven, TrainingStream
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.personal import cached_personal, library_poses, personalize, prepare_run
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.models.build import build_generator
from scmnet_cli.models.generator import Rendering
from scmnet_cli.models.part_warp import PartWarp
from scmnet_cli.sources.drawn import draw_person
from scmnet_cli.training.personal_views import PersonalStream, held_out_views
from scmnet_cli.training.personalizing import (
    BUDGET_USED,
    DECODER,
    MOST_FADED,
    MOST_L1,
    MOST_LOST,
    NO_GAIN,
    Budget,
    PersonalRun,
    Recipe,
    Validation,
)
from scmnet_cli.training.personalizing import _losses_of_person as losses_of_person
from scmnet_cli.types import Canvas, Person

CANVAS = Canvas(64, 48)
CPU = torch.device("cpu")
DATA = DataConfig(mirror=0.5, repose=0.75, close_up=0.25, close_up_both=0.35, flip=0, joint_noise=0.01)


def a_photo(seed: int = 0, canvas: Canvas = CANVAS) -> Person:
    """Return a drawn person on a small canvas."""
    person, _ = crop_person(draw_person(seed), canvas, "plain")
    return dataclasses.replace(person, name=f"drawn-{seed}", image=person.image.copy(), regions=person.regions.copy())


def save_model(path: Path, seed: int = 0, **fields: object) -> Path:
    model = {"size": "tiny", "height": 64, "width": 48, "part_warp": True, **fields}
    loss = {"adversarial": 0, "reconstruction": 5, "perceptual": 0, "style": 0, "bsr": 0, "person_weight": 3}
    config = parse_config({"model": model, "loss": loss, "data": DATA.model_dump()}, "test")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        checkpoint.save_model(path, build_generator(config.model).state_dict(), config)
    return path


@pytest.fixture
def base(tmp_path: Path) -> Pipeline:
    return Pipeline.from_pretrained(save_model(tmp_path / "base.safetensors"), "cpu")


def weights(pipeline: Pipeline) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in pipeline.model.state_dict().items()}


# Views ----------------------------------------------------------------------------------------------------------------


def stream(*photos: Person) -> PersonalStream:
    donors = list(library_poses(CANVAS).values())
    return PersonalStream(PeopleGiven(photos, CANVAS, CPU, plain=True), DATA, 0, donors)


def test_the_target_is_the_photo_and_the_source_another_view_of_it() -> None:
    photo = a_photo()
    plain = DATA.model_copy(update={"close_up": 0.0, "close_up_both": 0.0, "mirror": 0.0})
    pairs = PersonalStream(
        PeopleGiven([photo], CANVAS, CPU, plain=True), plain, 0, list(library_poses(CANVAS).values())
    ).batch(0, 6)
    truth = torch.from_numpy(photo.image).permute(2, 0, 1) / 127.5 - 1
    assert all(torch.equal(target, truth) for target in pairs.target.image)
    assert ((pairs.source.image - pairs.target.image).abs().mean((1, 2, 3)) > 0.01).all()


def test_a_position_of_the_stream_holds_the_same_pair_for_any_batch_size() -> None:
    whole, first, second = (stream(a_photo(), a_photo(1)).batch(*cut) for cut in ((0, 4), (0, 2), (2, 2)))
    for side in ("target", "source"):
        joined = torch.cat([getattr(part, side).image for part in (first, second)])
        torch.testing.assert_close(getattr(whole, side).image, joined)


def test_with_two_photos_some_sources_are_the_other_photo_unwarped() -> None:
    photos = [a_photo(0), a_photo(1)]
    plain = DATA.model_copy(update={"close_up": 0.0, "close_up_both": 0.0, "mirror": 0.0, "anti_copy": False})
    plain = plain.model_copy(update={"joint_noise": 0.0})
    people = PeopleGiven(photos, CANVAS, CPU, plain=True)
    pairs = PersonalStream(people, plain, 0, list(library_poses(CANVAS).values())).batch(0, 24)
    images = [people.batch([index]).image[0] for index in (0, 1)]
    crossed = sum(
        torch.equal(target, images[a]) and torch.equal(source, images[1 - a])
        for target, source in zip(pairs.target.image, pairs.source.image, strict=True)
        for a in (0, 1)
    )
    assert 2 <= crossed <= 12  # a quarter


def test_held_out_views_are_no_training_pairs_and_their_target_is_the_photo() -> None:
    photo = a_photo()
    people = PeopleGiven([photo], CANVAS, CPU, plain=True)
    views = held_out_views(people, list(library_poses(CANVAS).values())[::4], 4)
    again = held_out_views(people, list(library_poses(CANVAS).values())[::4], 4)
    truth = torch.from_numpy(photo.image).permute(2, 0, 1) / 127.5 - 1
    assert all(torch.equal(target, truth) for target in views.target.image)
    assert torch.equal(views.source.image, again.source.image)
    assert len({tuple(image.flatten().tolist()) for image in views.source.image}) == 4


def test_the_poses_of_a_stream_come_from_donors() -> None:
    photos = PeopleGiven([a_photo()], CANVAS, CPU, plain=True)
    own = TrainingStream(photos, DATA, 0).batch(0, 8)
    lent = TrainingStream(photos, DATA, 0, list(library_poses(CANVAS).values())).batch(0, 8)
    assert not torch.equal(own.source.structure, lent.source.structure)


# The run --------------------------------------------------------------------------------------------------------------


def run_of(base: Pipeline, *photos: Person, **recipe: object) -> PersonalRun:
    donors = list(library_poses(CANVAS).values())
    chosen = Recipe(**{"batch": 2, "height": 0, **recipe})  # type: ignore[arg-type]
    return PersonalRun(base.model, base.config, photos or [a_photo()], donors, chosen)


def measures(run: PersonalRun, monkeypatch: pytest.MonkeyPatch, errors: list[float], **last: float) -> None:
    """Let a run find these errors one after another, and from the second validation on these other measures."""
    found = [Validation(error, **({"l1": 0.1} | (last if number else {}))) for number, error in enumerate(errors)]
    left = iter(found)
    monkeypatch.setattr(run, "validate", lambda: next(left))


def test_learning_lowers_the_error_of_held_out_views_and_leaves_the_base_as_it_was(base: Pipeline) -> None:
    before = weights(base)
    run = run_of(base, learning_rate=3e-3)
    states = list(run.steps(Budget(None, 30)))
    assert states[0].steps == 0
    assert states[-1].steps == 30
    assert states[-1].finished == BUDGET_USED
    assert states[-1].best < 0.9
    assert all(torch.equal(before[name], tensor) for name, tensor in base.model.state_dict().items())


def test_validation_judges_the_picture_that_users_get(base: Pipeline) -> None:
    photo = a_photo()
    truth = torch.from_numpy(photo.image).permute(2, 0, 1)[None] / 127.5 - 1
    donors = list(library_poses(CANVAS).values())

    def perfect(rendering: Rendering, warp: PartWarp, joints: torch.Tensor) -> torch.Tensor:
        assert len(joints) == len(warp.image)
        return truth.expand_as(rendering.image)

    run = PersonalRun(base.model, base.config, [photo], donors, compose=perfect)
    assert run.validate().l1 == pytest.approx(0, abs=1e-6)
    assert prepare_run(base, [photo], Budget(None, 1)).validate().l1 < run_of(base).validate().l1, "the warp's pixels"


def test_only_the_decoder_is_trained_and_batch_norm_stays_frozen(base: Pipeline) -> None:
    run = run_of(base, learning_rate=3e-3, trained=DECODER)
    for _ in run.steps(Budget(None, 6)):
        pass
    before = base.model.state_dict()
    changed = {name for name, tensor in run.net.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith(DECODER) for name in changed)
    assert not any("running" in name or "num_batches" in name for name in changed)


def test_the_base_is_kept_if_held_out_views_get_worse(base: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(base)
    measures(run, monkeypatch, [1.0, *[1.1] * 9])
    states = list(run.steps(Budget(None, 6)))
    assert states[-1].best == 1
    assert run.difference() == {}


@pytest.mark.parametrize(
    ("harm", "kept"),
    [
        ({}, True),
        ({"lost": MOST_LOST, "faded": MOST_FADED, "l1": 0.1 * MOST_L1}, True),
        ({"lost": MOST_LOST + 0.001}, False),
        ({"faded": MOST_FADED + 0.001}, False),
        ({"l1": 0.1 * MOST_L1 + 0.001}, False),
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
        ({"l1": 0.11}, "L1 on the person rises by 10.0%"),
    ],
)
def test_the_log_and_the_state_name_the_guard_that_rejects(
    base: Pipeline,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    harm: dict[str, float],
    said: str,
) -> None:
    run = run_of(base)
    measures(run, monkeypatch, [1.0, *[0.5] * 9], **harm)
    with caplog.at_level("INFO", logger="scmnet_cli"):
        states = list(run.steps(Budget(None, 4)))
    assert said in states[-1].harm
    assert "held-out loss 0.5000 (-50.0 %)" in caplog.text
    assert said in caplog.text
    assert [step for step, _ in run.validations] == [0, 1, 2, 3, 4][: len(run.validations)]
    assert run.validations[0][1].error == 1.0


def test_the_log_says_which_weights_are_kept_and_which_are_not_better(
    base: Pipeline, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = run_of(base, num_checks=2)
    measures(run, monkeypatch, [1.0, 0.9, 0.95])
    with caplog.at_level("INFO", logger="scmnet_cli"):
        states = list(run.steps(Budget(None, 4)))
    assert [record.getMessage().rsplit(": ", 1)[1] for record in caplog.records] == ["kept", "not better"]
    assert states[-1].harm == ""


def test_a_halo_that_goes_is_no_loss_and_a_hole_in_the_person_is() -> None:
    base, shown = torch.full((1, 1, 8, 8), 0.9), torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    shown[..., :4] = True  # the warp shows the person in the left half; the base's right half is a halo
    without_halo, with_hole = base.clone(), base.clone()
    without_halo[..., 4:] = 0
    with_hole[..., 0, :4] = 0
    assert losses_of_person(without_halo, base, shown) == (0, pytest.approx(0))
    assert losses_of_person(with_hole, base, shown) == (pytest.approx(1 / 8), pytest.approx(1 / 8))


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


def test_a_budget_needs_a_limit() -> None:
    with pytest.raises(ScmError, match="give one of them"):
        Budget(None, None)


def test_a_model_without_part_warp_is_refused(tmp_path: Path) -> None:
    pipeline = Pipeline.from_pretrained(save_model(tmp_path / "flat.safetensors", part_warp=False), "cpu")
    with pytest.raises(ScmError, match="with part warp"):
        pipeline.personalized([a_photo()], Budget(None, 1))


def test_an_interrupted_training_gives_the_best_so_far(base: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "scmnet_cli.inference.personal.recipe_for", lambda _: Recipe(learning_rate=3e-3, batch=2, num_checks=10)
    )

    def interrupt(state: object) -> None:
        if getattr(state, "steps", 0) == 12:
            raise KeyboardInterrupt

    learned = personalize(base, [a_photo()], Budget(None, 20), progress=interrupt)
    assert not learned.finished
    assert learned.difference


# The file -------------------------------------------------------------------------------------------------------------


def a_difference(pipeline: Pipeline) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {
        name: 0.01 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in pipeline.model.named_parameters()
        if name.startswith("generator.to_rgb")
    }


def test_a_personal_file_on_its_base_draws_like_the_trained_model(base: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "me.safetensors"
    difference = {name: tensor.half().float() for name, tensor in a_difference(base).items()}
    checkpoint.save_personal(path, difference, base.path)
    photo = a_photo()
    taught, read = base.with_difference(difference), Pipeline.from_pretrained(path, "cpu")
    drawn = [np.asarray(each.transfer(photo, a_photo(1)).image) for each in (base, taught, read)]
    assert (drawn[1] == drawn[2]).all()
    assert (drawn[0] != drawn[1]).any()
    assert read.path == path
    assert read.is_personal
    assert not base.is_personal


def test_untrained_parameters_are_shared_with_the_base(base: Pipeline) -> None:
    taught = base.with_difference(a_difference(base))
    assert taught.model.pose_encoder is not base.model.pose_encoder
    own, others = (dict(each.model.named_parameters()) for each in (taught, base))
    for name, tensor in own.items():
        assert (tensor.data_ptr() == others[name].data_ptr()) == (not name.startswith("generator.to_rgb"))


def test_another_base_is_refused_in_one_line(base: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "me.safetensors"
    checkpoint.save_personal(path, a_difference(base), base.path)
    other = Pipeline.from_pretrained(save_model(tmp_path / "other.safetensors", seed=1), "cpu")
    with pytest.raises(ScmError, match=r"me\.safetensors: its base model .*is not .*other\.safetensors"):
        other.with_personal(path)
    save_model(base.path, seed=2)  # the base itself is replaced
    with pytest.raises(ScmError, match=r"me\.safetensors: its base model .*run 'scm personalize' again"):
        Pipeline.from_pretrained(path, "cpu")


def test_a_damaged_file_is_refused_in_one_line(base: Pipeline, tmp_path: Path) -> None:
    path = tmp_path / "me.safetensors"
    checkpoint.save_personal(path, {"generator.to_rgb.bias": torch.zeros(99)}, base.path)
    with pytest.raises(ScmError, match=r"generator\.to_rgb\.bias.*does not fit"):
        base.with_personal(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ScmError, match=r"me\.safetensors: is truncated"):
        base.with_personal(path)
    with pytest.raises(ScmError, match="no model of one person"):
        base.with_personal(base.path)


def test_training_does_not_start_from_a_personal_file(base: Pipeline, tmp_path: Path) -> None:
    checkpoint.save_personal(tmp_path / "me.safetensors", a_difference(base), base.path)
    with pytest.raises(ScmError, match="a model of one person"):
        checkpoint.load_model(tmp_path / "me.safetensors")


def test_a_file_of_over_four_megabytes_is_refused(base: Pipeline, tmp_path: Path) -> None:
    with pytest.raises(ScmError, match="over 4,000,000"):
        checkpoint.save_personal(tmp_path / "me.safetensors", {"x": torch.zeros(2_000_001)}, base.path)


def test_the_parameters_trained_by_default_fit_into_the_file() -> None:
    from scmnet_cli.inference.pipeline import SHIPPED_MODEL
    from scmnet_cli.training.personalizing import recipe_for

    saved = checkpoint.load_model(SHIPPED_MODEL)
    net = build_generator(saved.config.model)
    for seconds in (60, 120, 300):
        trained = recipe_for(Budget(seconds)).trained
        num = sum(parameter.numel() for name, parameter in net.named_parameters() if name.startswith(trained))
        assert trained
        assert 0 < 2 * num <= checkpoint.LARGEST_PERSONAL


# The cache ------------------------------------------------------------------------------------------------------------


def test_the_cache_is_used_for_the_same_photo_model_and_settings_only(
    base: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCM_CACHE", str(tmp_path / "cache"))
    seen: list[int] = []

    def learn(photo: Person, steps: int) -> Pipeline:
        seen.append(0)
        return cached_personal(base, [photo], Budget(None, steps), progress=lambda state: seen.append(state.steps))

    first = learn(a_photo(), 2)
    assert seen == [0, 0, 1, 2]
    again = learn(a_photo(), 2)
    assert seen == [0, 0, 1, 2, 0]  # nothing was trained
    assert all(torch.equal(a, b) for a, b in zip(first.model.parameters(), again.model.parameters(), strict=True))
    changed = a_photo()
    changed.image[5, 5] = 0
    learn(changed, 2)
    learn(a_photo(), 1)
    assert seen[5:] == [0, 0, 1, 2, 0, 0, 1]
    files = sorted((tmp_path / "cache" / "personal").iterdir())
    assert len(files) == 3
    assert all(file.stat().st_mode & 0o077 == 0 for file in [*files, files[0].parent])


def test_an_interrupted_training_is_not_cached(base: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCM_CACHE", str(tmp_path / "cache"))

    def interrupt(state: object) -> None:
        if getattr(state, "steps", 0) == 1:
            raise KeyboardInterrupt

    cached_personal(base, [a_photo()], Budget(None, 3), progress=interrupt)
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


# The commands ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def prepared(place: Place) -> Place:
    save_model(place.path / "base.safetensors")
    Place.prepare(place.path / "drawn", [a_photo(0), a_photo(1)], [])
    return place


def test_the_command_writes_a_small_file_and_a_sheet_that_transfer_and_edit_draw_with(
    prepared: Place, scm: Scm
) -> None:
    outcome = scm("personalize", "drawn/drawn-0", "-m", "base.safetensors", "-o", "me.safetensors", "--steps", 3)
    assert outcome.code == 0
    assert outcome.paths == [Path("me.safetensors")]
    assert Path("me.safetensors").stat().st_size <= 4_000_000
    assert Path("me.before-after.png").is_file()
    assert len(outcome.errors) == 2
    assert "3 steps" in outcome.errors[0]
    assert outcome.errors[1] == "scm: before and after: me.before-after.png"
    drawn = scm("transfer", "--src", "drawn/drawn-0", "--pose", "walking", "-m", "me.safetensors", "-o", "out")
    assert drawn.code == 0
    assert drawn.report()["model"]["path"].endswith("me.safetensors")
    edited = scm(
        "edit", "--src", "drawn/drawn-0", "--region", "upper", "--ref", "drawn/drawn-1", "-m", "me.safetensors",
        "--force", "-o", "out",
    )  # fmt: skip
    assert edited.code == 0, edited.errors


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["drawn/drawn-0", "-o", "me.png"], r"-o me\.png: is not the name of a model file"),
        (["nobody.jpg", "-o", "me.safetensors"], r"PHOTO nobody\.jpg: no such entry or file"),
        (["drawn/drawn-0", "-m", "run", "-o", "me.safetensors"], "give a PyTorch model with part warp"),
    ],
)
def test_invalid_input_is_a_one_line_error(prepared: Place, scm: Scm, arguments: list[str], line: str) -> None:
    given = arguments if "-m" in arguments else [*arguments, "-m", "base.safetensors"]
    outcome = scm("personalize", *given, "--steps", 1)
    assert outcome.code == 2
    assert len(outcome.errors) == 1
    with pytest.raises(AssertionError, match=line):
        raise AssertionError(outcome.errors[0])


def test_a_personal_model_is_not_personalized_again(prepared: Place, scm: Scm) -> None:
    scm("personalize", "drawn/drawn-0", "-m", "base.safetensors", "-o", "me.safetensors", "--steps", 1, "--no-sheet")
    again = scm("personalize", "drawn/drawn-0", "-m", "me.safetensors", "-o", "you.safetensors", "--steps", 1)
    assert again.code == 2
    assert "already" in again.errors[0]


def test_ctrl_c_keeps_the_best_so_far(prepared: Place, scm: Scm, monkeypatch: pytest.MonkeyPatch) -> None:
    import scmnet_cli.training.personalizing as module

    step = module.PersonalRun._step

    def interrupted(self: PersonalRun, number: int, share: float) -> None:
        if number == 3:
            signal.raise_signal(signal.SIGINT)
        step(self, number, share)

    monkeypatch.setattr(module.PersonalRun, "_step", interrupted)
    outcome = scm(
        "personalize", "drawn/drawn-0", "-m", "base.safetensors", "-o", "me.safetensors", "--steps", 50, "--no-sheet"
    )
    assert outcome.code == 0
    assert "interrupted" in outcome.errors[0]
    assert Path("me.safetensors").is_file()


def test_transfer_learns_the_person_once(prepared: Place, scm: Scm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCM_CACHE", str(prepared.path / "cache"))
    words = ["transfer", "--src", "drawn/drawn-0", "--pose", "walking", "-m", "base.safetensors", "--steps", "2"]
    outcomes = [scm(*words, "-o", f"out{k}", "--personalize") for k in (1, 2)]
    assert [outcome.code for outcome in outcomes] == [0, 0]
    assert [len(outcome.errors) for outcome in outcomes] == [1, 0]
    assert outcomes[0].paths[0].read_bytes() == outcomes[1].paths[0].read_bytes()


def test_an_edit_learns_its_source_and_not_its_reference(
    prepared: Place, scm: Scm, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned: list[list[str]] = []

    def learn(pipeline: Pipeline, photos: list[Person], *_: object, **__: object) -> Pipeline:
        learned.append([photo.name for photo in photos])
        return pipeline.with_difference(a_difference(pipeline))

    monkeypatch.setattr("scmnet_cli.inference.personal.cached_personal", learn)
    words = ["edit", "--src", "drawn/drawn-0", "--region", "upper", "--ref", "drawn/drawn-1", "-m", "base.safetensors"]
    plain = scm(*words, "--force", "-o", "plain")
    personal = scm(*words, "--force", "-o", "personal", "--personalize", "--steps", 1)
    assert (plain.code, personal.code, learned) == (0, 0, [["drawn-0"]])
    assert plain.paths[0].read_bytes() != personal.paths[0].read_bytes()
