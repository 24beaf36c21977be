"""The reverse pass for several losses, and in pieces of every size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from qdebug.capture.session import SessionSettings
from qdebug.cure.runs import Reached, ReverseRuns
from qdebug.graph.model import Graph
from tests.support.differences import all_tensors
from tests.support.nets import conv_net, sample_inputs

Array = npt.NDArray[Any]
SETTINGS = SessionSettings(threads=1)
SMALL = 1 << 12
"""Bytes that hold hardly a tensor: a segment for nearly every node."""

MODEL = conv_net()
(FEEDS,) = sample_inputs(MODEL, 1)
VALUES = all_tensors(MODEL, FEEDS)
AT = [n.output[0] for n in MODEL.graph.node if VALUES[n.output[0]].dtype == np.float32]
OUTPUTS = [output.name for output in MODEL.graph.output]


def runs(**options: Any) -> ReverseRuns:
    return ReverseRuns(Graph(MODEL, Path("net.onnx"), ""), AT, OUTPUTS, SETTINGS, **options)


def loss(seed: int) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(VALUES[name].shape).astype(np.float32) for name in OUTPUTS}


def gradients(reverse: ReverseRuns, cotangents: Mapping[str, Array]) -> dict[str, Array]:
    found: dict[str, Array] = {}

    def receive(tensor: str, value: Array, gradient: Array) -> None:
        np.testing.assert_allclose(value, VALUES[tensor], rtol=1e-4, atol=1e-5)
        found[tensor] = gradient.copy()

    reverse.run(FEEDS, cotangents, receive)
    return found


@pytest.mark.parametrize("memory", [1 << 28, SMALL])
@pytest.mark.parametrize("few", [True, False])
def test_several_losses_are_as_one_after_the_other(memory: int, few: bool) -> None:
    losses = [loss(seed) for seed in range(3)]
    reverse = runs(max_memory=memory, few=few)
    together: list[dict[str, Array]] = [{}, {}, {}]
    made: list[str] = []
    shown: dict[str, Array] = {}

    def visit(reached: Reached) -> None:
        if reached.probe == 0:
            assert {*reached.made} <= reached.values.keys()
            made.extend(reached.made)
        shown.update({name: value.copy() for name, value in reached.shown.items()})
        together[reached.probe].update({n: g.copy() for n, g in reached.gradients.items()})

    reverse.walk(FEEDS, losses, visit)
    assert sorted(made) == sorted(AT)
    for name in OUTPUTS:
        np.testing.assert_allclose(shown[name], VALUES[name], rtol=1e-4, atol=1e-5)
    for found, cotangents in zip(together, losses, strict=True):
        alone = gradients(reverse, cotangents)
        assert found.keys() == alone.keys() == {*AT}
        for tensor, gradient in alone.items():
            np.testing.assert_array_equal(found[tensor], gradient)


def test_a_segment_is_told_what_else_it_is_asked_for() -> None:
    """Tensors of earlier segments that its own nodes do not read."""
    first = AT[0]
    seen: list[bool] = []

    def visit(reached: Reached) -> None:
        if reached.made:
            np.testing.assert_allclose(reached.values[first], VALUES[first], rtol=1e-4, atol=1e-5)
            seen.append(first in reached.made)

    runs(max_memory=SMALL, beside=lambda _: [first]).walk(FEEDS, [loss(0)], visit)
    assert seen.count(False) > 3
    assert seen.count(True) == 1


def test_optimizations_change_the_last_bits_only() -> None:
    """They are left out where there are few runs."""
    one, other = (gradients(runs(few=few), loss(0)) for few in (True, False))
    assert one.keys() == other.keys()
    for tensor, gradient in one.items():
        size = float(np.abs(gradient).max())
        np.testing.assert_allclose(other[tensor], gradient, rtol=1e-3, atol=1e-4 * size)


def test_segments_that_give_nothing_are_not_run() -> None:
    """What lies before the first tensor asked for; ONNX Runtime opens no empty model."""
    last = AT[-1]
    reverse = ReverseRuns(
        Graph(MODEL, Path("net.onnx"), ""), [last], OUTPUTS, SETTINGS, max_memory=SMALL
    )
    np.testing.assert_allclose(
        gradients(reverse, loss(0))[last], gradients(runs(), loss(0))[last], rtol=1e-5
    )
