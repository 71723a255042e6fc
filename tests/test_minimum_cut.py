"""The minimum cut is SciPy's, and the cut of one photo at the canvas' size needs no SciPy."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from scmnet_cli.inference import minimum_cut
from scmnet_cli.inference.graph_cut import inside_of_cut
from scmnet_cli.inference.minimum_cut import source_side


def a_graph(seed: int, side: int, links: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return the links of a grid with smooth costs of source and sink, many of them equal: starts, ends, costs, num."""
    random = np.random.default_rng(seed)
    number = np.arange(side * side).reshape(side, side)
    pairs = [(number[1:], number[:-1]), (number[:, 1:], number[:, :-1]), (number[1:, 1:], number[:-1, :-1])]
    first, second = (np.concatenate([pair[end].ravel() for pair in pairs]) for end in (0, 1))
    towards = np.repeat(
        np.repeat(random.integers(-4 * links, 4 * links + 1, (side // 2, side // 2)), 2, 0), 2, 1
    ).ravel()
    towards = towards + random.integers(-1, 2, side * side)
    source, sink, every = side * side, side * side + 1, number.ravel()
    starts = np.concatenate([first, second, np.full(len(every), source), every])
    ends = np.concatenate([second, first, every, np.full(len(every), sink)])
    between = random.integers(0, links, len(first))
    costs = np.concatenate([between, between, towards.clip(0), (-towards).clip(0)])
    return starts, ends, costs.astype(np.int64), side * side + 2


def by_scipy(starts: np.ndarray, ends: np.ndarray, costs: np.ndarray, num: int) -> np.ndarray:
    graph = coo_matrix((costs.astype(np.int32), (starts, ends)), shape=(num, num)).tocsr()
    rest = graph - maximum_flow(graph, num - 2, num - 1).flow
    rest.data = rest.data.clip(0)
    rest.eliminate_zeros()
    side = np.zeros(num, bool)
    side[breadth_first_order(rest, num - 2, return_predecessors=False)] = True
    return side


@pytest.mark.parametrize("few", [0, 10_000])
@pytest.mark.parametrize("links", [2, 5, 20])
@pytest.mark.parametrize("seed", range(6))
def test_the_cut_is_that_of_scipy(seed: int, links: int, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minimum_cut, "_FEW", few)
    graph = a_graph(seed, 12, links)
    side = source_side(*graph)
    assert np.array_equal(side, by_scipy(*graph))
    assert 1 < side.sum() < len(side) - 1, "neither side is empty"


def test_a_photo_is_cut_without_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    image = np.full((40, 60, 3), 60, np.uint8)
    image[:, 33:] = 180
    image += np.random.default_rng(0).integers(0, 12, image.shape, dtype=np.uint8)
    columns = np.broadcast_to(np.arange(60), (40, 60))
    inside = inside_of_cut(image, columns < 20, columns >= 40, (columns >= 20) & (columns < 40))
    assert np.array_equal(inside, (columns >= 20) & (columns < 33))
