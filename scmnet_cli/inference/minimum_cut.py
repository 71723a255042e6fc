"""The minimum cut of a graph: most nodes are decided by their own links, in NumPy; a few others without SciPy.

SciPy takes longer to import than the cut of one photo takes.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

_BoolArray = npt.NDArray[np.bool_]
_IntArray = npt.NDArray[np.int64]

_FEW = 150
"""Undecided nodes up to which paths are searched in Python."""


def source_side(starts: _IntArray, ends: _IntArray, costs: _IntArray, num: int) -> _BoolArray:
    """Return the nodes on the source's side of a minimum cut: of all minimum cuts the one with the fewest of them.

    Args:
        starts: node where each link starts.
        ends: node where it ends; a node may have several links to another, but none to itself.
        costs: whole numbers, at least 0, that cutting the links costs.
        num: number of nodes; the last two are source and sink.

    Shape:
        starts, ends, costs: (L,); result: (num,).
    """
    source, sink = num - 2, num - 1
    sides = _decided(starts, ends, costs, num)
    name = np.where(sides > 0, source, np.where(sides < 0, sink, np.arange(num)))
    starts, ends = name[starts], name[ends]
    used = (starts != ends) & (ends != source) & (starts != sink) & (costs > 0)
    starts, ends, costs = starts[used], ends[used], costs[used]
    few = np.count_nonzero(sides == 0) <= _FEW
    reached = _reached(starts, ends, costs, num) if few else _reached_by_scipy(starts, ends, costs, num)
    return (sides > 0) | reached


def _decided(starts: _IntArray, ends: _IntArray, costs: _IntArray, num: int) -> npt.NDArray[np.int8]:
    """Return 1 for nodes that are surely on the source's side, -1 for those surely on the sink's, 0 for others, (num,).

    A node is on the source's side if the links to it from nodes there cost more than all its links to others: moving it
    there would make any other cut cheaper. Likewise for the sink; where both cost the same the sink's side is meant.
    """
    sides = np.zeros(num, np.int8)
    sides[-2:] = 1, -1
    while True:
        of_source, of_sink = sides > 0, sides < 0
        gained = np.bincount(ends, costs * of_source[starts], num)
        lost = np.bincount(starts, costs * ~of_source[ends], num)
        kept = np.bincount(starts, costs * of_sink[ends], num)
        given_up = np.bincount(ends, costs * ~of_sink[starts], num)
        found = np.where(sides != 0, sides, np.where(gained > lost, 1, np.where(kept >= given_up, -1, 0)))
        if np.array_equal(found, sides):
            return sides
        sides = found.astype(np.int8)


def _reached(starts: _IntArray, ends: _IntArray, costs: _IntArray, num: int) -> _BoolArray:
    """Return the nodes that the source reaches after a maximum flow, by shortest paths (Edmonds and Karp), (num,)."""
    source, sink = num - 2, num - 1
    rest: dict[int, dict[int, int]] = {source: {}, sink: {}}
    for start, end, cost in zip(starts.tolist(), ends.tolist(), costs.tolist(), strict=True):
        there, back = rest.setdefault(start, {}), rest.setdefault(end, {})
        there[end] = there.get(end, 0) + cost
        back.setdefault(start, 0)
    while sink in (before := _paths(rest, source, sink)):
        path, node = [], sink
        while node != source:
            path.append((before[node], node))
            node = before[node]
        flow = min(rest[start][end] for start, end in path)
        for start, end in path:
            rest[start][end] -= flow
            rest[end][start] += flow
    reached = np.zeros(num, np.bool_)
    reached[list(before)] = True
    return reached


def _paths(rest: dict[int, dict[int, int]], source: int, sink: int) -> dict[int, int]:
    """Return, for each node that the source reaches, the node before it on a shortest path; stop at the sink."""
    before, queue = {source: source}, deque([source])
    while queue and sink not in before:
        node = queue.popleft()
        for end, left in rest[node].items():
            if left and end not in before:
                before[end] = node
                queue.append(end)
    return before


def _reached_by_scipy(starts: _IntArray, ends: _IntArray, costs: _IntArray, num: int) -> _BoolArray:
    """Return the nodes that the source reaches after a maximum flow, (num,)."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    source, sink = num - 2, num - 1
    graph = coo_matrix((costs.astype(np.int32), (starts, ends)), shape=(num, num)).tocsr()
    rest = graph - maximum_flow(graph, source, sink).flow
    rest.data = rest.data.clip(0)
    rest.eliminate_zeros()
    reached = np.zeros(num, np.bool_)
    reached[breadth_first_order(rest, source, return_predecessors=False)] = True
    return reached
