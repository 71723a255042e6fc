"""The guard of personal models: which weights draw a person worse than the base does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from personal_models import a_photo, save_model
from torch import Tensor

from scmnet_cli.inference.personal import library_poses
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.models.generator import Rendering
from scmnet_cli.models.part_warp import PartWarp
from scmnet_cli.regions import region_id
from scmnet_cli.training.personal_guard import Change, Likeness, Validation, losses_of_person
from scmnet_cli.training.personalizing import PersonalRun

PHOTO = a_photo(1)  # seen from the front
TRUTH = torch.from_numpy(PHOTO.image).permute(2, 0, 1)[None] / 127.5 - 1
LABELS = torch.from_numpy(PHOTO.regions)[None, None]
FACE = ((region_id("face") == LABELS) | (region_id("hair") == LABELS)).float()
PERSON = (LABELS > 0).float()
GREY = torch.full_like(TRUTH, 0.4)


def blurred(image: Tensor, mask: Tensor) -> Tensor:
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1), mode="replicate")
    return torch.lerp(image, torch.nn.functional.avg_pool2d(padded, 3, stride=1), mask)


def faded(image: Tensor, share: float, mask: Tensor | float = 1.0) -> Tensor:
    return torch.lerp(image, GREY, share * mask)


class DrawnViews:
    """A run whose composed pictures are given: ``draw`` maps the number of views to their pictures."""

    def __init__(self, base: Pipeline) -> None:
        self.draw: Callable[[int], Tensor] = TRUTH.expand
        donors = list(library_poses(base.canvas).values())
        self.run = PersonalRun(base.model, base.config, [PHOTO], donors, compose=self._compose)

    def _compose(self, rendering: Rendering, warp: PartWarp, _: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.draw(len(warp.image)), rendering.alpha

    def validate(self, *pictures: Tensor) -> Validation:
        """Validate with these pictures in turn as drawn views."""
        self.draw = lambda num: torch.cat([pictures[row % len(pictures)] for row in range(num)])
        return self.run.validate()


@pytest.fixture
def views(tmp_path: Path) -> DrawnViews:
    return DrawnViews(Pipeline.from_pretrained(save_model(tmp_path / "base.safetensors"), "cpu"))


def test_a_picture_nearer_to_the_photo_everywhere_is_kept(views: DrawnViews) -> None:
    base = views.validate(faded(TRUTH, 0.4))
    found = views.validate(faded(TRUTH, 0.3))
    assert found.error(base) < 0.9
    assert found.harm(base) == ""


def test_a_better_person_does_not_hide_a_worse_face(views: DrawnViews) -> None:
    base = views.validate(faded(TRUTH, 0.4))
    found = views.validate(faded(faded(TRUTH, 0.2), 0.5, FACE))
    assert found.error(base) < 1
    assert "face" in found.harm(base)


def test_nearer_colours_do_not_hide_a_blurred_person(views: DrawnViews) -> None:
    base = views.validate(blurred(TRUTH, 0.3 * PERSON) + 0.2)
    found = views.validate(blurred(TRUTH, 0.6 * PERSON * (1 - FACE)))
    assert found.error(base) < 1
    assert "edges" in found.harm(base)


def test_a_halo_around_the_person_is_harm(views: DrawnViews) -> None:
    halo = torch.nn.functional.max_pool2d(PERSON, 9, stride=1, padding=4) - PERSON
    base = views.validate(faded(TRUTH, 0.4, PERSON))
    found = views.validate(torch.lerp(faded(TRUTH, 0.3, PERSON), -torch.ones_like(TRUTH), halo))
    assert "whole picture" in found.harm(base)


def test_a_gain_of_one_view_alone_is_noise(views: DrawnViews) -> None:
    base = views.validate(faded(TRUTH, 0.4))
    found = views.validate(TRUTH, *[faded(TRUTH, 0.41)] * 11)
    assert found.error(base) < 1, "the mean is better"
    assert "may get worse" in found.harm(base)


def test_many_views_in_different_poses_are_judged(views: DrawnViews) -> None:
    found = views.validate(faded(TRUTH, 0.4)).likeness
    assert len(found.colours) == 12
    poses = views.run._held_out.source.structure[..., :2].flatten(1)
    assert len(torch.unique(poses, dim=0)) == 12


def test_the_guard_needs_no_weights_of_other_networks(
    views: DrawnViews, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SCM_WEIGHTS", str(tmp_path))
    assert views.run._objective.vgg is None
    base = views.validate(faded(TRUTH, 0.4))
    assert "face" in views.validate(faded(faded(TRUTH, 0.2), 0.5, FACE)).harm(base)


def test_the_foreground_that_users_get_is_compared(views: DrawnViews) -> None:
    views.run._compose = lambda drawn, _, __: (drawn.image, torch.ones_like(drawn.image[:, :1]))
    base = views.run.validate()
    views.run._compose = lambda drawn, _, __: (drawn.image, torch.zeros_like(drawn.image[:, :1]))
    assert "of the person is missing in held-out poses" in views.run.validate().harm(base)


def test_a_measure_that_no_view_shows_is_left_out() -> None:
    unseen = (float("nan"),) * 2
    base, found = (Likeness((value,) * 2, (value,) * 2, (value,) * 2, unseen, unseen) for value in (0.4, 0.3))
    assert [name for name, _ in found.changes(base)] == ["picture", "colours", "edges"]
    assert Validation(found).error(Validation(base)) == pytest.approx(0.75)


def test_a_view_that_both_draw_far_off_does_not_decide_alone() -> None:
    change = Change.of((0.05,) * 9 + (0.3,), (0.045,) * 9 + (0.33,))
    assert change is not None
    assert not change.is_worse, "nine of ten views gain a tenth"


def test_the_noise_is_the_standard_error_of_the_views_relative_changes() -> None:
    change = Change.of((1.0, 2.0, 4.0, float("nan")), (0.9, 1.7, 4.4, 5.0))
    assert change is not None
    changes = torch.tensor([-0.1, -0.15, 0.1])
    assert change.mean == pytest.approx(float(changes.mean()))
    assert change.noise == pytest.approx(float(changes.std()) / 3**0.5)
    assert change.is_worse


@pytest.mark.parametrize(
    ("mean", "noise", "is_worse"),
    [(-0.02, 0.01, False), (-0.02, 0.03, True), (-0.004, 0.005, False), (0.001, 0.0, True), (0.0, 0.0, False)],
)
def test_a_measure_is_worse_if_it_rose_or_may_have_risen_visibly(mean: float, noise: float, is_worse: bool) -> None:
    assert Change(mean, noise).is_worse == is_worse


def test_a_halo_that_goes_is_no_loss_and_a_hole_in_the_person_is() -> None:
    base, shown = torch.full((1, 1, 8, 8), 0.9), torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    shown[..., :4] = True  # the warp shows the person in the left half; the base's right half is a halo
    without_halo, with_hole = base.clone(), base.clone()
    without_halo[..., 4:] = 0
    with_hole[..., 0, :4] = 0
    assert losses_of_person(without_halo, base, shown) == (0, pytest.approx(0))
    assert losses_of_person(with_hole, base, shown) == (pytest.approx(1 / 8), pytest.approx(1 / 8))
