"""Predicted sensitivity against one run a layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from qdebug.analysis.sensitivity import measure_sensitivity, with_shares
from qdebug.capture.engine import CaptureSettings
from qdebug.cure import sensitivity
from qdebug.cure.sensitivity import Predicted, predict_sensitivity
from qdebug.run.model import Sensitivity
from tests.support.pairs_of_models import LoadedPair, detector, load_pair

Array = npt.NDArray[Any]
SETTINGS = CaptureSettings(workers=1)


@pytest.fixture(scope="module")
def pair() -> LoadedPair:
    return detector("int8_naive")


@pytest.fixture(scope="module")
def feeds(pair: LoadedPair) -> list[Mapping[str, Array]]:
    """The pair's own, and the same with noise over it."""
    rng = np.random.default_rng(0)
    noisy = [
        {k: (v + rng.normal(0, 0.05, v.shape)).astype(v.dtype) for k, v in feed.items()}
        for feed in pair.feeds
    ]
    return [*pair.feeds, *noisy]


@pytest.fixture(scope="module")
def predicted(pair: LoadedPair, feeds: list[Mapping[str, Array]]) -> Predicted:
    """On two samples."""
    return predict(pair, feeds)


@pytest.fixture(scope="module")
def measured(pair: LoadedPair, feeds: list[Mapping[str, Array]]) -> dict[int, Sensitivity]:
    """On the same two, with one run a layer and sample."""
    return exact(pair, feeds)


def predict(
    pair: LoadedPair, feeds: Sequence[Mapping[str, Array]], settings: CaptureSettings = SETTINGS
) -> Predicted:
    graphs = pair.float_graph, pair.quant_graph
    samples = [lambda feed=feed: (feed, feed) for feed in feeds]
    return predict_sensitivity(graphs, pair.pairing.pairs, samples, settings)


def exact(
    pair: LoadedPair, feeds: Sequence[Mapping[str, Array]], only: Sequence[int] | None = None
) -> dict[int, Sensitivity]:
    return measure_sensitivity(
        (pair.float_graph, pair.quant_graph),
        pair.pairing.pairs,
        [(feed, feed) for feed in feeds],
        SETTINGS,
        count=len(feeds),
        only=only,
    )


def ranks(values: Sequence[float]) -> Array:
    return np.asarray(np.argsort(np.argsort(values)))


def test_the_order_is_that_of_one_run_a_layer(
    predicted: Predicted, measured: dict[int, Sensitivity]
) -> None:
    """On trained networks Spearman's coefficient is 0.93 to 0.99 (docs/benchmarks.md)."""
    assert not predicted.unreached
    assert set(predicted.layers) == set(measured)
    finite = [at for at in measured if np.isfinite(measured[at].sqnr_db)]
    a = [predicted.layers[at].sqnr_db for at in finite]
    b = [measured[at].sqnr_db for at in finite]
    assert np.corrcoef(ranks(a), ranks(b))[0, 1] > 0.95
    assert np.median(np.abs(np.subtract(a, b))) < 2


def test_what_a_prediction_says_of_itself(pair: LoadedPair, predicted: Predicted) -> None:
    outputs = set(pair.float_graph.outputs)
    assert predicted.samples == 2
    assert predicted.runs == 2 * sensitivity.probes_of(2, len(outputs))
    for found in predicted.layers.values():
        assert found.method == "first-order"
        assert found.output in outputs
        assert set(found.per_output) <= outputs
        assert found.sqnr_db == min(found.per_output.values())


def test_a_layer_without_an_error_of_its_own_does_nothing(
    predicted: Predicted, measured: dict[int, Sensitivity]
) -> None:
    silent = {at for at, s in measured.items() if s.sqnr_db == float("inf")}
    assert silent <= {at for at, s in predicted.layers.items() if s.sqnr_db == float("inf")}


def test_little_memory_changes_nothing(pair: LoadedPair, feeds: list[Mapping[str, Array]]) -> None:
    small = dataclasses.replace(SETTINGS, max_memory=1 << 23)
    one, other = predict(pair, feeds[:1]), predict(pair, feeds[:1], small)
    assert other.runs == one.runs
    assert one.layers.keys() == other.layers.keys()
    for at, found in one.layers.items():
        assert other.layers[at].sqnr_db == pytest.approx(found.sqnr_db, abs=1e-3)


@pytest.mark.parametrize(
    ("samples", "outputs", "runs"),
    [(1, 1, 2), (3, 1, 2), (4, 1, 1), (16, 1, 1), (8, 3, 2), (2, 12, 6), (1, 9999, 32)],
)
def test_the_cost_is_bounded(samples: int, outputs: int, runs: int) -> None:
    """Two runs a sample at most, or one for each output, of which no more than 32 are alone."""
    assert sensitivity.probes_of(samples, outputs) == runs


def heads(count: int, quantized: bool) -> onnx.ModelProto:
    """A shared layer, and as many outputs behind it, each scaled otherwise and squashed."""
    helper, value = onnx.helper, onnx.helper.make_tensor_value_info
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, Any] = {}
    if quantized:
        constants = {"scale": np.float32(1 / 127), "zero": np.int8(0)}

    def layer(op: str, inputs: list[str], name: str) -> str:
        nodes.append(helper.make_node(op, inputs, [name], name))
        if not quantized:
            return name
        nodes.append(helper.make_node("QuantizeLinear", [name, "scale", "zero"], [f"{name}_q"]))
        nodes.append(
            helper.make_node("DequantizeLinear", [f"{name}_q", "scale", "zero"], [f"{name}_d"])
        )
        return f"{name}_d"

    shared, outputs = layer("Tanh", ["x"], "shared"), []
    for number in range(count):
        own = layer("Tanh", [shared], f"own{number}")
        constants[f"w{number}"] = np.float32(10.0 ** (number % 5 - 2))
        nodes.append(helper.make_node("Mul", [own, f"w{number}"], [f"out{number}"]))
        outputs.append(value(f"out{number}", 1, [1, 64]))
    made = [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "heads", [value("x", 1, [1, 64])], outputs, made)
    opset = helper.make_opsetid("", 13)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8)


def pair_of_heads(count: int, folder: Path) -> LoadedPair:
    files = folder / "float.onnx", folder / "quant.onnx"
    for file, quantized in zip(files, (False, True), strict=True):
        onnx.save(heads(count, quantized), str(file))
    x = np.random.default_rng(0).uniform(-2, 2, (1, 64)).astype(np.float32)
    return load_pair(*files, [{"x": x}] * 4)


def test_samples_are_taken_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensitivity, "SAMPLES", 3)
    asked: list[int] = []
    pair = pair_of_heads(2, tmp_path)

    def sample(at: int) -> tuple[Mapping[str, Array], Mapping[str, Array]]:
        asked.append(at)
        return pair.feeds[0], pair.feeds[0]

    graphs = pair.float_graph, pair.quant_graph
    samples = [lambda at=at: sample(at) for at in range(9)]
    found = predict_sensitivity(graphs, pair.pairing.pairs, samples, SETTINGS)
    assert asked == [0, 4, 8]
    assert found.samples == 3


def test_many_outputs_cost_no_more_and_say_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What reaches one output of a group is told of that one; what reaches all, of all alike."""
    loaded = pair_of_heads(20, tmp_path)
    given = loaded.feeds
    alone = predict(loaded, given)
    monkeypatch.setattr(sensitivity, "GROUPS", 4)
    together = predict(loaded, given)
    assert (alone.outputs, alone.groups, together.groups) == (20, 20, 4)
    assert together.runs <= 4 * sensitivity.ENOUGH < alone.runs
    distances = []
    for at, one in alone.layers.items():
        other = together.layers[at]
        assert one.per_output.keys() == set(loaded.float_graph.outputs), "each output has its turn"
        reached = {n for n, db in one.per_output.items() if np.isfinite(db)}
        assert {n for n, db in other.per_output.items() if np.isfinite(db)} == reached
        assert other.output in reached
        # One run an output scatters, and the worst of many runs is no measure of it.
        medians = [np.median([x.per_output[name] for name in reached]) for x in (one, other)]
        distances.append(float(medians[1] - medians[0]))
    assert len(distances) == len(loaded.pairing.pairs) - 1
    assert np.median(np.abs(distances)) < 0.01
    assert abs(distances[0]) < 1.5, "the shared layer, which reaches all of them"


def test_some_layers_alone(
    pair: LoadedPair, feeds: list[Mapping[str, Array]], measured: dict[int, Sensitivity]
) -> None:
    some = sorted(measured)[3:6]
    assert exact(pair, feeds, some) == {at: measured[at] for at in some}


def test_shares() -> None:
    def one(db: float, other: float, worst: str = "a") -> Sensitivity:
        return Sensitivity(min(db, other), 1.0, worst, {"a": db, "b": other})

    found = with_shares({0: one(10, 99), 1: one(20, 99), 2: one(float("inf"), 30, "b")})
    assert found[0].share == pytest.approx(0.1 / 0.11)
    assert found[1].share == pytest.approx(0.01 / 0.11)
    assert found[2].share == pytest.approx(1, abs=1e-6)
    nothing = with_shares({0: Sensitivity(float("inf"), 1.0, "a", {"a": float("inf")})})
    assert nothing[0].share is None
    unknown = with_shares({0: Sensitivity(float("nan"), 1.0, "a", {"a": float("nan")})})
    assert unknown[0].share is None
