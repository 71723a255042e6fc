"""The page learns a visitor, for the visit alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from test_app import photo, pixels, studio_of, taken

from scmnet_cli.app import session as steps
from scmnet_cli.app.studio import Studio
from scmnet_cli.checkpoint import SavedModel
from scmnet_cli.config import parse_config
from scmnet_cli.errors import ScmError
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.models.build import build_generator
from scmnet_cli.training.personalizing import Budget

if TYPE_CHECKING:
    from conftest import Place


def learning_studio() -> Studio:
    loss = {"adversarial": 0, "perceptual": 0, "style": 0, "bsr": 0, "reconstruction": 5}
    config = parse_config(
        {"model": {"size": "tiny", "height": 64, "width": 48, "part_warp": True}, "loss": loss}, "test"
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = build_generator(config.model)
    studio = studio_of(Pipeline(net, SavedModel(net.state_dict(), config), torch.device("cpu")))
    studio.learning = Budget(None, 6)
    return studio


def test_a_visitor_is_learned_for_the_visit_and_nothing_is_written(place: Place, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCM_CACHE", str(place.path / "cache"))
    studio = learning_studio()
    session = taken(studio, steps.start(studio), "me")
    before = sorted(place.path.rglob("*"))
    *states, learned = steps.learn(studio, session)
    assert [state.steps for state in states] == list(range(len(states))), "it may stop before the sixth step"
    assert 1 < len(states) <= 7
    assert isinstance(learned, steps.Learned)
    assert sorted(place.path.rglob("*")) == before
    personal = studio.pipeline.with_difference(
        {name: torch.full_like(p, 0.2) for name, p in studio.pipeline.model.named_parameters() if "to_rgb.bias" in name}
    )
    after = steps.draw(studio, steps.use_learned(session, steps.Learned(learned.found, personal)))
    assert after.personal is personal
    assert (pixels(after) != pixels(session)).any()
    assert steps.read_photo(studio, after, photo("another", 2)).personal is None


def test_what_was_learned_of_one_photo_is_not_used_for_another(place: Place):
    studio = learning_studio()
    first = taken(studio, steps.start(studio), "me")
    assert first.found is not None
    learned = steps.Learned(first.found, studio.pipeline)
    second = taken(studio, first, "another", 2)
    assert steps.use_learned(second, learned) is second
    assert steps.use_learned(second, None) is second


def test_without_a_photo_there_is_nobody_to_learn(place: Place):
    studio = learning_studio()
    with pytest.raises(ScmError, match="choose your photo first"):
        next(steps.learn(studio, steps.start(studio)))
