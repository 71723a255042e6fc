"""Prepared views of a personalized model: the same drawing and gradients as from scratch, in bounded memory."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from pathlib import Path
from typing import cast

import pytest
import torch
from personal_models import CANVAS, CPU, DATA, a_photo, run_of, save_model

from scmnet_cli.data.dataset import PeopleGiven, TrainingBatch
from scmnet_cli.inference.personal import library_poses
from scmnet_cli.inference.pipeline import Pipeline
from scmnet_cli.training.objective import GeneratorPass, Inputs
from scmnet_cli.training.personal_pool import PreparedViews, ViewPool, person_window, torn_off
from scmnet_cli.training.personal_views import PersonalStream
from scmnet_cli.training.personalizing import DECODER, Budget


@pytest.fixture
def base(tmp_path: Path) -> Pipeline:
    return Pipeline.from_pretrained(save_model(tmp_path / "base.safetensors"), "cpu")


def a_batch() -> TrainingBatch:
    donors = list(library_poses(CANVAS).values())
    return PersonalStream(PeopleGiven([a_photo()], CANVAS, CPU, plain=True), DATA, 0, donors).batch(0, 2)


class Numbered:
    """A pool whose pairs are their own numbers."""

    def __init__(self, size: int, visits: int) -> None:
        self.pool, self.prepared = ViewPool(size, visits, 0), list[int]()

    def pair(self, visit: int) -> int:
        return cast("int", self.pool.pair(visit, self._prepare))

    def _prepare(self, number: int) -> PreparedViews:
        self.prepared.append(number)
        return cast("PreparedViews", number)


def test_prepared_views_are_drawn_with_the_same_picture_and_gradients_as_by_the_whole_network(base: Pipeline) -> None:
    batch, net = a_batch(), base.model
    weight = net.generator.draw[0][0][0].weight.requires_grad_()
    whole = GeneratorPass(net)(Inputs.of(batch, part_warp=True)).rendering
    prepared = PreparedViews.of(net, batch)
    decoded = net.generator.decode(prepared.given, prepared.inputs.warp)
    torch.testing.assert_close(decoded.image, whole.image, rtol=0, atol=1e-4)
    expected, found = (torch.autograd.grad(drawn.image.square().mean(), [weight])[0] for drawn in (whole, decoded))
    assert expected.abs().max() > 0
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3 * float(expected.abs().max()))


def test_every_pair_is_prepared_once_and_visited_equally_often() -> None:
    pool = Numbered(size=5, visits=3)
    seen = [pool.pair(visit) for visit in range(30)]
    assert sorted(pool.prepared) == list(range(10))
    assert set(Counter(seen).values()) == {3}
    assert set(seen[:15]) == set(range(5)), "those of a round are used up before the next ones"
    assert all(len(set(seen[first : first + 5])) == 5 for first in range(0, 30, 5))
    assert seen[:5] != seen[5:10], "in another order"


def test_the_pool_keeps_no_more_pairs_than_its_size() -> None:
    pool, most = Numbered(size=4, visits=2), 0
    for visit in range(40):
        pool.pair(visit)
        most = max(most, len(pool.pool))
    assert most == 4


def test_a_visit_has_the_same_pair_wherever_a_run_starts() -> None:
    pool, later = Numbered(4, 3), Numbered(4, 3)
    seen = [pool.pair(visit) for visit in range(30)]
    assert [later.pair(visit) for visit in range(17, 30)] == seen[17:]


def test_prepared_views_keep_nothing_that_the_decoder_does_not_read(base: Pipeline) -> None:
    views = PreparedViews.of(base.model, a_batch())
    inputs = views.inputs
    assert (inputs.maps.numel(), inputs.style_image.numel(), inputs.style_masks.numel()) == (0, 0, 0)
    tensors = [*vars(inputs).values(), *vars(inputs.warp).values(), *vars(views.given).values()]
    kept = sum(tensor.untyped_storage().nbytes() for tensor in tensors if isinstance(tensor, torch.Tensor))
    pixels = 2 * CANVAS.height * CANVAS.width
    assert kept < 4 * 70 * pixels, "values of float32 a pixel"


def test_a_run_prepares_a_pair_once_for_all_its_visits(base: Pipeline) -> None:
    run = run_of(base, pool=2, visits=3, patience=9)
    stream, asked = run._stream.batch, []

    def noted(start: int, size: int) -> TrainingBatch:
        asked.append(start)
        return stream(start, size)

    run._stream.batch = noted  # type: ignore[method-assign]
    for _ in run.steps(Budget(None, 12)):
        pass
    assert sorted(asked) == list(range(8))
    assert all(name.startswith(DECODER) for name in run.difference(newest=True))


def test_a_run_is_freed_with_its_views_when_nobody_refers_to_it(base: Pipeline) -> None:
    gc.collect()
    gc.disable()  # a cycle would wait for the garbage collector, which does not know how large tensors are
    try:
        run = run_of(base, pool=2)
        for _ in run.steps(Budget(None, 2)):
            pass
        freed = weakref.ref(run)
        del run
        assert freed() is None
    finally:
        gc.enable()


def test_the_warp_tears_off_what_the_base_draws_and_leaves_shreds_where_it_draws_nothing() -> None:
    person = torch.tensor([1.0, 1, 0, 0, 1, 0])
    masks = torch.stack([1 - person, person])[None, :, None]
    covered = torch.tensor([True, True, False, False, True, False])[None, None, None]
    sure = torch.tensor([1.0, 1, 1, 1, 0, 0])[None, None, None]
    alpha = torch.tensor([0.9, 0.1, 0.9, 0.1, 0.1, 0.9])[None, None, None]
    image = torch.zeros(1, 3, 1, 6)
    inputs = Inputs(image, image, masks, image, masks, sure=sure)
    assert torn_off(inputs, covered, alpha).flatten().tolist() == [False, True, True, False, False, False]
    assert not torn_off(inputs, torch.ones_like(covered), alpha).any(), "the photo itself"
    assert not torn_off(inputs, None, alpha).any()
    assert not torn_off(inputs, covered, None).any(), "a network that draws backgrounds"


def test_the_window_has_the_columns_of_the_person_and_the_rows_asked_for() -> None:
    masks = torch.zeros(1, 8, 64, 96)
    masks[:, 0] = 1
    masks[:, :2, 10:20, 40:50] = torch.tensor([0.0, 1.0])[:, None, None]
    image = torch.arange(64 * 96.0).reshape(1, 1, 64, 96)
    inputs = Inputs(image, image, masks, image, masks)
    assert torch.equal(person_window(inputs, slice(8, 24))(image), image[:, :, 8:24, 32:64])
    masks[:, 1], masks[:, 0] = 0, 1
    assert torch.equal(person_window(inputs, None)(image), image), "nobody"
