"""Cuts through graphs: what they save, and that everything behind can be had of them."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from qdebug.analysis.what_if.cuts import CLOSER, LEAST, Cut, _cuts, spread_cuts
from qdebug.graph.model import Graph
from qdebug.graph.rewrite import constants_of
from qdebug.graph.shapes import infer_types
from qdebug.graph.walk import walk
from tests.support.contexts import graph_of
from tests.support.random_nets import random_net
from tests.support.unusual_nets import unusual_net


def _sources(graph: Graph, cut: Cut, name: str) -> tuple[str, ...]:
    return () if name in cut.tensors else graph.sources(name)


@pytest.mark.parametrize("seed", range(8))
def test_all_behind_a_cut_is_computed_of_it(seed: int) -> None:
    graph = graph_of((random_net if seed % 2 else unusual_net)(seed))
    types = infer_types(graph, {n: graph.type_of(n).fixed_shape or () for n in graph.inputs})
    rng, constant = np.random.default_rng(seed), constants_of(graph)
    names = [n for n in graph.producer if n not in constant and rng.random() < 0.7]
    sizes = {name: int(rng.integers(1, 100)) for name in names}
    makers = [node for node in graph.nodes if any(name in sizes for name in node.outputs)]
    cuts = list(_cuts(graph, types, sizes))
    assert [cut.left for cut in cuts] == sorted((cut.left for cut in cuts), reverse=True)
    for cut, maker in zip(cuts, makers, strict=True):
        behind = [name for node in graph.nodes[maker.index + 1 :] for name in node.reads]
        needed = set(walk(behind, partial(_sources, graph, cut)))
        before = {n for n in needed & sizes.keys() if graph.producer[n].index <= maker.index}
        assert before <= cut.tensors
        assert cut.tensors <= needed


@pytest.mark.parametrize("seed", range(4))
def test_more_bytes_save_more_and_are_not_exceeded(seed: int) -> None:
    graph = graph_of(random_net(seed))
    types = infer_types(graph, {n: graph.type_of(n).fixed_shape or () for n in graph.inputs})
    constant = constants_of(graph)
    sizes = {n: int(np.prod(types[n].fixed_shape or ())) for n in graph.producer}
    sizes = {name: size for name, size in sizes.items() if name not in constant and size}
    places = list(_cuts(graph, types, sizes))

    def runs(kept: frozenset[str]) -> float:
        """What a change at each place runs, together."""
        begins = [cut.left for cut in places if cut.tensors <= kept and cut.left >= LEAST]
        nearest = (min(x for x in (1.0, *begins) if x >= p.left) for p in places)
        return sum(nearest)

    whole = sum(sizes.values())
    kept = {budget: spread_cuts(graph, types, sizes, budget) for budget in (0, whole // 8, whole)}
    for budget, names in kept.items():
        assert sum(sizes[name] for name in names) <= budget
    least, some, most = (runs(names) for names in kept.values())
    assert least == len(places)
    assert least > some >= most
    ideal = sum(max(LEAST, cut.left) for cut in places)
    assert most <= ideal / CLOSER + 0.1 * len(places)
