"""Balanced channels: the outputs stay, and a planted imbalance is gone by as much as it cost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from qdebug.cure.balance.factors import balanced
from qdebug.cure.balance.links import Link, find_links
from qdebug.cure.float_edit import with_constants
from qdebug.graph.model import Graph
from tests.support.differences import all_tensors, forward
from tests.support.nets import NetBuilder, sample_inputs
from tests.support.unequal import chain, grouped_chain, normalized_chain, planted, twin

Array = npt.NDArray[Any]


def rebalanced(model: onnx.ModelProto, manner: Any = "weights") -> onnx.ModelProto:
    graph = Graph(model, Path("net.onnx"), "")
    links = find_links(graph)
    values = {t.name: np.asarray(graph.constant(t.name)) for t in model.graph.initializer}
    seen = [_peaks(model, link) for link in links]
    return with_constants(graph, balanced(links, values, manner, seen))


def _peaks(model: onnx.ModelProto, link: Link) -> Array:
    found = [all_tensors(model, feeds)[link.tensors[0]] for feeds in sample_inputs(model, 4)]
    rows = [np.moveaxis(np.abs(v), link.axis, 0).reshape(link.channels, -1) for v in found]
    return np.asarray(np.concatenate(rows, axis=1).max(axis=1), np.float64)


def noise_db(model: onnx.ModelProto, other: onnx.ModelProto) -> float:
    """Error of another model's outputs against the first's, dB."""
    signal = noise = 0.0
    for feeds in sample_inputs(model, 8, 1):
        for wanted, found in zip(
            forward(model, feeds).values(), forward(other, feeds).values(), strict=True
        ):
            signal += float((wanted.astype(float) ** 2).sum())
            noise += float(((wanted.astype(float) - found) ** 2).sum())
    return 10 * float(np.log10(noise / signal))


NETS = pytest.mark.parametrize(
    "net", [chain, grouped_chain, normalized_chain], ids=["plain", "in groups", "normalized"]
)


@NETS
@pytest.mark.parametrize("manner", ["weights", "activations"])
def test_the_outputs_stay(net: Callable[[], onnx.ModelProto], manner: str) -> None:
    model = planted(net())
    assert noise_db(model, rebalanced(model, manner)) < -90


@NETS
@pytest.mark.parametrize("manner", ["weights", "activations"])
def test_a_planted_imbalance_is_taken_back_whole(
    net: Callable[[], onnx.ModelProto], manner: str
) -> None:
    """What is balanced does not depend on how channels were scaled before: the fixed point of
    ``s = sqrt(r1 / r2)`` has r1 = r2 = sqrt(r1 r2), and a factor cancels in the product."""
    plain, unequal = rebalanced(net(), manner), rebalanced(planted(net()), manner)
    for one, other in zip(plain.graph.initializer, unequal.graph.initializer, strict=True):
        first, second = onnx.numpy_helper.to_array(one), onnx.numpy_helper.to_array(other)
        np.testing.assert_allclose(first, second, rtol=2e-3, atol=1e-6)


def test_both_layers_reach_the_geometric_mean() -> None:
    model = chain()
    graph, even = Graph(model, Path("net.onnx"), ""), rebalanced(model)
    after = Graph(even, Path("net.onnx"), "")
    for link in find_links(graph):
        one, other = link.makers[0], link.readers[0]
        first, second = (p.peaks(np.asarray(after.constant(p.tensor)), 16) for p in (one, other))
        np.testing.assert_allclose(first, second, rtol=2e-3)
    for part in (find_links(graph)[0].makers[0], find_links(graph)[-1].readers[0]):
        held = [np.asarray(g.constant(part.tensor)) for g in (graph, after)]
        assert not np.array_equal(held[0], held[1])


@pytest.mark.parametrize("net", [chain, grouped_chain], ids=["plain", "in groups"])
def test_what_the_imbalance_cost_comes_back(net: Callable[[], onnx.ModelProto]) -> None:
    """Sixteen channels that lie evenly between 1 and 64 cost most of the bits of the small ones."""
    model = net()
    bad = planted(model)
    good, worse, again = (noise_db(m, twin(m)) for m in (model, bad, rebalanced(bad)))
    assert worse > good + 10
    assert again < good + 1


def test_dead_channels_are_left() -> None:
    model = chain()
    graph = Graph(model, Path("net.onnx"), "")
    link = find_links(graph)[0]
    values = {t.name: np.array(graph.constant(t.name)) for t in model.graph.initializer}
    for part in link.makers:
        values[part.tensor][3] = 0
    links, seen = find_links(graph), [np.ones(16)] * 2
    found = balanced(links, values, "weights", seen)
    assert all(np.isfinite(value).all() for value in found.values())
    for part in link.makers:
        np.testing.assert_array_equal(found.get(part.tensor, values[part.tensor])[3], 0)


def test_a_normalization_is_balanced_by_activations_only() -> None:
    b = NetBuilder(5, 17)
    x = b.input("x", [1, 6, 12])
    norm = b.op("LayerNormalization", x, b.const(np.geomspace(0.1, 10, 12)), b.const(np.zeros(12)))
    model = b.model(b.op("MatMul", norm, b.weight(12, 7, fan_in=12)))
    graph = Graph(model, Path("net.onnx"), "")
    links = find_links(graph)
    values = {t.name: np.asarray(graph.constant(t.name)) for t in model.graph.initializer}
    seen = [_peaks(model, link) for link in links]
    assert not balanced(links, values, "weights", seen)
    even = with_constants(graph, balanced(links, values, "activations", seen))
    assert noise_db(model, even) < -90
    after = Graph(even, Path("net.onnx"), "")
    weight = links[0].readers[0]
    ends = _peaks(even, links[0]), weight.peaks(np.asarray(after.constant(weight.tensor)), 12)
    np.testing.assert_allclose(*ends, rtol=1e-3)  # sqrt(x w) on both sides
