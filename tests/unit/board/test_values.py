"""Nameless tensors of a dump, told by their values alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from qdebug.board import measure
from qdebug.board.layouts import fit_dump
from qdebug.board.measure import BoardRun
from qdebug.board.values import LayerValues
from qdebug.dumps import Dump, DumpTensor
from qdebug.graph.pairs import Pair

Array = npt.NDArray[Any]
SHAPE = (1, 8, 12, 10)


def _layers(count: int) -> list[Array]:
    rng = np.random.default_rng(7)
    return [rng.normal(0.3, 2, SHAPE).astype(np.float32) for _ in range(count)]


def _noisy(value: Array, share: float) -> Array:
    noise = np.random.default_rng(1).normal(0, share * float(value.std()), value.shape)
    return np.asarray(value + noise, np.float32)


def _kept(layers: list[Array]) -> LayerValues:
    kept = LayerValues()
    for at, value in enumerate(layers):
        kept.add(at, value)
    return kept


@pytest.mark.parametrize(
    "made",
    [
        lambda x: x,
        lambda x: np.ascontiguousarray(x.transpose(0, 2, 3, 1)),
        lambda x: x.reshape(-1),
        lambda x: np.rint(x / 0.07 - 4).astype(np.int8),
        lambda x: np.pad(x, ((0, 0), (0, 0), (0, 0), (0, 6))),
        lambda x: _noisy(x, 0.3),
    ],
    ids=["plain", "NHWC", "flat", "codes", "padded rows", "ten decibels"],
)
def test_whose_a_tensor_is(made: Any) -> None:
    layers = _layers(12)
    owners = _kept(layers).owners(made(layers[5]))
    assert owners is not None
    assert [owner.at for owner in owners] == [5]


def test_what_is_alike_nothing_is_no_ones() -> None:
    layers = _layers(12)
    assert _kept(layers).owners(np.random.default_rng(9).normal(size=SHAPE)) == []
    assert _kept(layers).owners(np.zeros((1, 3, 3, 3), np.float32)) is None


def test_the_unit_tells_a_layer_from_its_multiple() -> None:
    """A product with 1.2 correlates with its factor perfectly."""
    layer = _layers(1)[0]
    kept = _kept([layer, layer * np.float32(1.2), layer + np.float32(0.5)])
    found = [[owner.at for owner in kept.owners(_noisy(value, 1e-3)) or ()] for value in (
        layer * np.float32(1.2), layer, layer + np.float32(0.5)
    )]  # fmt: skip
    assert found == [[1], [0], [2]]


def test_layers_that_hold_the_same_are_all_named() -> None:
    layer = _layers(1)[0]
    kept = _kept([layer, layer.reshape(1, -1), _layers(2)[1]])
    assert [owner.at for owner in kept.owners(layer) or ()] == [0, 1]


def test_values_that_are_not_finite_are_left_out() -> None:
    layers = _layers(6)
    dumped = layers[3].copy()
    dumped[0, 0] = np.inf
    assert [owner.at for owner in _kept(layers).owners(dumped) or ()] == [3]


def _run(layers: list[Array], order: Any, reads: list[str]) -> BoardRun:
    """A dump of all layers under numbers, in another order; counts what is read of it."""

    def reader(name: str, value: Array) -> Any:
        def read() -> Array:
            reads.append(name)
            return value

        return read

    tensors = tuple(
        DumpTensor(str(900 + n), reader(str(900 + n), layers[at])) for n, at in enumerate(order)
    )
    pairs = [Pair(f"t{at}", f"t{at}", f"t{at}", (), None, "graph") for at in range(len(layers))]
    labels = [f"n{at}" for at in range(len(layers))]
    return BoardRun(Dump("d", "a dump", tensors), pairs, labels, ["Relu"] * len(layers), {})


@pytest.mark.parametrize("count", [20, 80])
def test_the_work_grows_with_the_tensors(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three reads and at most two trials of layouts a tensor, however many are of one size."""
    trials: list[int] = []

    def counted(*given: Any) -> Any:
        trials.append(1)
        return fit_dump(*given)

    monkeypatch.setattr(measure, "fit_dump", counted)
    layers, reads = _layers(count), list[str]()
    order = np.random.default_rng(2).permutation(count)
    run = _run(layers, order, reads)
    for at, value in enumerate(layers):
        run.receive(at, "float", value)
        run.receive(at, "quant", value)
    found = run.positions_by_values()
    assert {at: int(t.name) - 900 for at, t in found.items()} == {
        int(at): n for n, at in enumerate(order)
    }
    run.adopt(found)
    for at, value in enumerate(layers):
        run.receive(at, "float", value)
        run.receive(at, "quant", value)
    run.close()
    assert len(run.compared) == count
    assert len(reads) <= 3 * count
    assert len(trials) <= 2 * count


def test_tensors_of_one_value_are_given_out_in_turn() -> None:
    layer = _layers(1)[0]
    layers, reads = [layer, layer.copy(), _layers(2)[1]], list[str]()
    run = _run(layers, [0, 1, 2], reads)
    for at, value in enumerate(layers):
        run.receive(at, "float", value)
        run.receive(at, "quant", value)
    found = run.positions_by_values()
    run.close()
    assert {at: t.name for at, t in found.items()} == {0: "900", 1: "901", 2: "902"}


def test_layers_may_come_from_several_threads() -> None:
    layers, reads = _layers(60), list[str]()
    run = _run(layers, range(60), reads)

    def come(at: int) -> None:
        run.receive(at, "float", layers[at])
        run.receive(at, "quant", layers[at])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(come, range(60)))
    found = run.positions_by_values()
    run.close()
    assert {at: t.name for at, t in found.items()} == {at: str(900 + at) for at in range(60)}
    assert len(reads) == 2 * 60
