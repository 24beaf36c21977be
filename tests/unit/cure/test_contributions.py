"""Contributions against quantizing one tensor, or one weight, alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from qdebug.capture.session import SessionSettings
from qdebug.cure.contributions import Contributions, measure_contributions
from qdebug.cure.runs import Delta, ReverseRuns
from qdebug.graph.model import Graph
from tests.support.differences import all_tensors, forward
from tests.support.nets import conv_net, sample_inputs

Array = npt.NDArray[Any]
SAMPLES = 6
SETTINGS = SessionSettings(threads=1)


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return conv_net()


@pytest.fixture(scope="module")
def feeds(model: onnx.ModelProto) -> list[dict[str, Array]]:
    return sample_inputs(model, SAMPLES)


@pytest.fixture(scope="module")
def tensors(model: onnx.ModelProto, feeds: list[dict[str, Array]]) -> list[str]:
    values = all_tensors(model, feeds[0])
    inside = [node.output[0] for node in model.graph.node[:-2]]
    return [name for name in inside if values[name].dtype == np.float32]


def outputs_of(model: onnx.ModelProto) -> list[str]:
    return [output.name for output in model.graph.output]


def weights_of(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """One over the output's power: L is noise over signal."""
    return {
        name: np.full(value.shape, 1 / (value.astype(float) ** 2).sum())
        for name, value in forward(model, feeds).items()
    }


def measured(
    model: onnx.ModelProto,
    feeds: list[dict[str, Array]],
    at: list[str],
    deltas: Mapping[str, Delta] | None = None,
    **options: Any,
) -> Contributions:
    graph = Graph(model, Path("net.onnx"), "")
    memory = {k: options.pop(k) for k in ("max_memory",) if k in options}
    runs = ReverseRuns(graph, at, outputs_of(model), SETTINGS, deltas, **memory)
    samples = [(sample, weights_of(model, sample)) for sample in feeds]
    return measure_contributions(runs, samples, **options)


def loss(model: onnx.ModelProto, changed: onnx.ModelProto, feeds: list[dict[str, Array]]) -> float:
    total = 0.0
    for sample in feeds:
        weights, wanted, got = (
            weights_of(model, sample),
            forward(model, sample),
            forward(changed, sample),
        )
        total += sum(float((weights[n] * (got[n] - wanted[n]) ** 2).sum()) for n in wanted)
    return total / len(feeds)


def with_quantizer(model: onnx.ModelProto, tensor: str, low: float, high: float) -> onnx.ModelProto:
    """The model with one tensor rounded to 8 bits."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    step = (high - low) / 255
    for name, value in (("scale", np.float32(step)), ("zero", np.uint8(round(-low / step)))):
        changed.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    nodes = list(changed.graph.node)
    at = next(k for k, node in enumerate(nodes) if tensor in node.output)
    nodes[at].output[0] = "raw"
    quantize = onnx.helper.make_node("QuantizeLinear", ["raw", "scale", "zero"], ["codes"])
    back = onnx.helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], [tensor])
    del changed.graph.node[:]
    changed.graph.node.extend([*nodes[: at + 1], quantize, back, *nodes[at + 1 :]])
    return changed


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_a_tensor_alone(
    model: onnx.ModelProto, feeds: list[dict[str, Array]], tensors: list[str], share: float
) -> None:
    """Of the larger tensors: a pooled one of eight values is no statistics.

    What is clipped errs to one side everywhere, and such errors add up: their cost is predicted
    too low, by up to 15 dB for an end that cuts deep, and never too high.
    """
    found = measured(model, feeds, tensors, probes=8)
    assert not found.unreached
    large = [t for t in tensors if found.at(t).counts.sum() > 1000 * found.runs]
    assert len(large) > 8
    for tensor in large:
        histogram = found.at(tensor)
        low, high = share * min(histogram.low, 0), share * max(histogram.high, 0)
        step = (high - low) / 255
        low = round(low / step) * step
        truth = loss(model, with_quantizer(model, tensor, low, low + 255 * step), feeds)
        error = 10 * np.log10(float(histogram.cost(low, low + 255 * step)) / truth)
        assert error < 2, tensor
        assert share < 1 or error > -1, tensor


def weighted(model: onnx.ModelProto) -> dict[str, tuple[str, Array]]:
    """By output of a weighted node: its weight's name and value."""
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    return {
        node.output[0]: (node.input[1], constants[node.input[1]])
        for node in model.graph.node
        if node.op_type in ("Conv", "Gemm", "MatMul") and node.input[1] in constants
    }


def test_a_weight_alone(model: onnx.ModelProto, feeds: list[dict[str, Array]]) -> None:
    """Its errors are not independent: the same one at every position."""
    made = {}
    for output, (_, value) in weighted(model).items():
        step = np.abs(value).max() / 127
        made[output] = Delta((np.round(value / step) * step - value).astype(np.float32))
    found = measured(model, feeds, [], made, probes=24)
    assert list(found.weights) == list(made)
    for output, (name, value) in weighted(model).items():
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        for tensor in changed.graph.initializer:
            if tensor.name == name:
                quantized = value + made[output].weight
                tensor.CopyFrom(onnx.numpy_helper.from_array(quantized, name))
        truth = loss(model, changed, feeds)
        assert abs(10 * np.log10(found.weights[output] / truth)) < 2.5, output


def test_a_bias_counts(model: onnx.ModelProto, feeds: list[dict[str, Array]]) -> None:
    output, (_, value) = next(iter(weighted(model).items()))
    nothing = np.zeros_like(value)
    some = Delta(nothing, np.full(value.shape[0], 0.1, np.float32))
    assert measured(model, feeds, [], {output: Delta(nothing)}).weights[output] == 0
    assert measured(model, feeds, [], {output: some}).weights[output] > 0


def test_folds_are_parts_of_the_whole(
    model: onnx.ModelProto, feeds: list[dict[str, Array]], tensors: list[str]
) -> None:
    found = measured(model, feeds, tensors, folds=4, probes=2)
    name = tensors[3]
    assert [fold[name].runs for fold in found.folds] == [4, 4, 2, 2]
    assert found.at(name).runs == found.runs == 2 * SAMPLES
    counted = sum(fold[name].counts.sum() for fold in found.folds)
    assert counted == found.at(name).counts.sum()


def test_less_memory_changes_nothing(
    model: onnx.ModelProto, feeds: list[dict[str, Array]], tensors: list[str]
) -> None:
    """Only what is held at once: the run is repeated for what did not fit."""
    one, few = (measured(model, feeds[:2], tensors, max_memory=m) for m in (1 << 30, 1 << 12))
    for name in tensors:
        np.testing.assert_allclose(one.at(name).weights, few.at(name).weights, rtol=1e-6)


def test_twice_the_same(
    model: onnx.ModelProto, feeds: list[dict[str, Array]], tensors: list[str]
) -> None:
    one, two = (measured(model, feeds[:2], tensors[:2]) for _ in range(2))
    np.testing.assert_array_equal(one.at(tensors[0]).weights, two.at(tensors[0]).weights)


def test_what_was_done_until_it_is_stopped(
    model: onnx.ModelProto, feeds: list[dict[str, Array]], tensors: list[str]
) -> None:
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 2

    assert measured(model, feeds, tensors, stop=stop).runs == 2


def test_the_input_of_the_network(model: onnx.ModelProto, feeds: list[dict[str, Array]]) -> None:
    (name,) = feeds[0]
    found = measured(model, feeds, [name])
    assert found.at(name).high == pytest.approx(max(float(f[name].max()) for f in feeds))
