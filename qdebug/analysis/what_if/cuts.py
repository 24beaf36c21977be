"""Where a graph can be cut in two at the price of few bytes.

What is kept at a cut lets any change behind it begin there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from qdebug.graph.model import Graph, TensorType
from qdebug.graph.multiplications import costs

CLOSER = 0.95
"""Of cuts with about as much left behind them, up to so much of each other, only the smallest one
is looked at. By judgement: what a choice among more would win is less than that."""
LEAST = 0.01
"""Of the whole run, what is left behind the last cut: a change there runs next to nothing. By
judgement."""


@dataclass(frozen=True)
class Cut:
    """Tensors that everything behind some node can be computed of.

    Attributes:
        left: of the cost of the whole graph, what is behind.
        tensors: their names.
    """

    left: float
    tensors: frozenset[str]


def spread_cuts(
    graph: Graph, types: Mapping[str, TensorType], sizes: Mapping[str, int], budget: int
) -> frozenset[str]:
    """Tensors of cuts all over a graph, those first that save most runs for their bytes.

    Args:
        graph: to be cut.
        types: of its tensors.
        sizes: of the tensors that may be kept, bytes.
        budget: bytes of all of them together.
    """
    known = list(_cuts(graph, types, sizes))
    places = np.array([cut.left for cut in known])
    begins = np.ones_like(places)  # what a change at each place runs, as a part of the graph
    left = _smallest(known, sizes)
    chosen: frozenset[str] = frozenset()

    def saved(cut: Cut) -> float:
        return float(np.maximum(begins - cut.left, 0)[places <= cut.left].sum())

    while left:
        more = {cut: _bytes(cut.tensors - chosen, sizes) for cut in left}
        best = max(left, key=lambda cut: (saved(cut) / max(1, more[cut]), cut.left))
        left.remove(best)
        if more[best] <= budget and saved(best) > 0:
            chosen |= best.tensors
            budget -= more[best]
            begins = np.where(places <= best.left, np.minimum(begins, best.left), begins)
    return chosen


def _smallest(cuts: Iterable[Cut], sizes: Mapping[str, int]) -> list[Cut]:
    """The smallest one of the cuts with about as much left behind them."""
    levels: dict[int, list[Cut]] = {}
    for cut in cuts:
        if LEAST <= cut.left < 1:
            levels.setdefault(int(np.log(cut.left) / np.log(CLOSER)), []).append(cut)
    return [min(level, key=lambda cut: _bytes(cut.tensors, sizes)) for level in levels.values()]


def _bytes(tensors: Iterable[str], sizes: Mapping[str, int]) -> int:
    return sum(sizes[name] for name in tensors)


def _cuts(graph: Graph, types: Mapping[str, TensorType], sizes: Mapping[str, int]) -> Iterator[Cut]:
    """The cut behind each node that makes something that may be kept."""
    by_node = costs(graph, types)
    whole, done = sum(by_node) or 1.0, 0.0
    last = {name: readers[-1].index for name, readers in graph.readers.items()}
    stands_for: dict[str, frozenset[str]] = {}
    live: Counter[str] = Counter()
    ends: dict[int, list[str]] = {}
    for node in graph.nodes:
        done += by_node[node.index]
        before = frozenset().union(*(stands_for.get(name, ()) for name in node.reads))
        for name in node.outputs:
            stands_for[name] = frozenset({name}) if name in sizes else before
            if last.get(name, -1) > node.index:
                live.update(stands_for[name])
                ends.setdefault(last[name], []).append(name)
        for name in ends.pop(node.index, ()):
            live.subtract(stands_for[name])
            for kept in stands_for[name]:
                if not live[kept]:
                    del live[kept]
        if any(name in sizes for name in node.outputs):
            yield Cut(1 - done / whole, frozenset(live))
