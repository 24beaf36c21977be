"""Contributions against quantizing one tensor alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import parser

from qdebug.capture.session import SessionSettings
from qdebug.cure.contributions import Contributions, measure_contributions
from qdebug.cure.runs import ReverseRuns
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
    model: onnx.ModelProto, feeds: list[dict[str, Array]], at: list[str], **options: Any
) -> Contributions:
    """Contributions with a group for each tensor."""
    graph = Graph(model, Path("net.onnx"), "")
    memory = {k: options.pop(k) for k in ("max_memory",) if k in options}
    groups = options.pop("groups", {tensor: [tensor] for tensor in at})
    runs = ReverseRuns(graph, at, outputs_of(model), SETTINGS, **memory)
    samples = [partial(lambda sample: (sample, weights_of(model, sample)), s) for s in feeds]
    return measure_contributions(runs, samples, groups, **options)


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
    large = [t for t in tensors if found.whole[t].counts.sum() > 1000 * found.runs]
    assert len(large) > 8
    for tensor in large:
        histogram = found.whole[tensor]
        low, high = share * min(histogram.low, 0), share * max(histogram.high, 0)
        step = (high - low) / 255
        low = round(low / step) * step
        truth = loss(model, with_quantizer(model, tensor, low, low + 255 * step), feeds)
        error = 10 * np.log10(float(histogram.cost(low, low + 255 * step)) / truth)
        assert error < 2, tensor
        assert share < 1 or error > -1, tensor


def test_each_part_has_a_range_of_its_own(
    model: onnx.ModelProto, feeds: list[dict[str, Array]], tensors: list[str]
) -> None:
    found, name = measured(model, feeds, tensors, folds=4, probes=2), tensors[3]
    assert len(found.ranges[name]) == 4
    assert found.whole[name].runs == found.runs == 2 * SAMPLES
    whole = found.whole[name]
    assert all(whole.low <= low <= 0 <= high <= whole.high for low, high in found.ranges[name])


def test_tensors_under_one_scale_add_up(
    model: onnx.ModelProto, feeds: list[dict[str, Array]], tensors: list[str]
) -> None:
    both = tensors[2:4]
    apart = measured(model, feeds[:3], both)
    joined = measured(model, feeds[:3], both, groups={tensor: ["one"] for tensor in both})
    ends = -max(abs(apart.whole[t].low) for t in both), max(apart.whole[t].high for t in both)
    total = sum(float(apart.whole[t].cost(*ends)) for t in both)
    assert float(joined.whole["one"].cost(*ends)) == pytest.approx(total, rel=1e-3)


def test_less_memory_changes_nothing(
    model: onnx.ModelProto, feeds: list[dict[str, Array]], tensors: list[str]
) -> None:
    """A segment for nearly every node gives what one for all of them gives."""
    one, few = (measured(model, feeds[:2], tensors, max_memory=m) for m in (1 << 30, 1 << 12))
    assert one.unreached == few.unreached == {}
    for name in tensors:
        np.testing.assert_allclose(one.whole[name].weights, few.whole[name].weights, rtol=1e-4)


def test_twice_the_same(
    model: onnx.ModelProto, feeds: list[dict[str, Array]], tensors: list[str]
) -> None:
    one, two = (measured(model, feeds[:2], tensors[:2]) for _ in range(2))
    np.testing.assert_array_equal(one.whole[tensors[0]].weights, two.whole[tensors[0]].weights)


def test_what_was_done_until_it_is_stopped(
    model: onnx.ModelProto, feeds: list[dict[str, Array]], tensors: list[str]
) -> None:
    assert measured(model, feeds, tensors, stop=lambda done: done >= 2).runs == 2


def test_the_input_of_the_network(model: onnx.ModelProto, feeds: list[dict[str, Array]]) -> None:
    (name,) = feeds[0]
    found = measured(model, feeds, [name])
    assert found.whole[name].high == pytest.approx(max(float(f[name].max()) for f in feeds))


@pytest.mark.parametrize("is_seen", [True, False])
def test_an_error_that_does_not_count_has_no_share(is_seen: bool) -> None:
    """A number added to all scores costs where scores count, not where a Softmax is next."""
    model = parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 13]>
        net (float[1,1] x, float[1,9] y) => (float[1,9] scores) {
            shift = Neg (x)
            own = Neg (y)
            scores = Add (shift, own)
        }"""
    )

    def seen(_: str, error: Array) -> Array:
        return error if is_seen else np.asarray(error - error.mean(axis=-1, keepdims=True))

    rng = np.random.default_rng(0)
    feeds = {n: rng.normal(size=s).astype(np.float32) for n, s in (("x", (1, 1)), ("y", (1, 9)))}
    runs = ReverseRuns(
        Graph(model, Path("net.onnx"), ""), ["shift", "own"], ["scores"], SETTINGS, seen=seen
    )
    groups = {name: [name] for name in ("shift", "own")}
    found = measure_contributions(runs, [lambda: (feeds, weights_of(model, feeds))], groups)
    costs = {name: float(found.whole[name].cost(-0.1, 0.1)) for name in groups}
    assert costs["own"] > 1e-3
    assert (costs["shift"] > 1e-3) == is_seen
