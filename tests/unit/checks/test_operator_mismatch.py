"""Layers that compute something else are named; other spellings of the same are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from qdebug.run.model import Finding, Run
from tests.support.checked import causes, finding, layer_names, net_run, sample_run, table_of
from tests.support.editor import Editor
from tests.support.nets import NetBuilder, sample_inputs
from tests.support.planting.families.converter import KINDS
from tests.support.planting.families.subjects import random_quantizer

Rng = np.random.Generator
SLUG = "operator-mismatch"
SEED = 5


def net() -> onnx.ModelProto:
    """A little of everything that a converter may get wrong."""
    b = NetBuilder(SEED)
    x = b.input("image", [1, 3, 32, 32])
    slices = [
        b.op("Slice", x, b.ints(*at), b.ints(64, 64), b.ints(2, 3), b.ints(2, 2))
        for at in ((0, 0), (1, 0), (0, 1), (1, 1))
    ]
    x = b.op("LeakyRelu", b.conv(b.op("Concat", *slices, axis=1), 12, 8), alpha=0.1)
    x = b.op("Relu", b.batch_norm(b.conv(x, 8, 8), 8))
    x = b.op("Add", x, b.clip(b.conv(x, 8, 8)))
    x = b.op("AveragePool", x, kernel_shape=[3, 3], pads=[1] * 4)
    x = b.op("Mul", x, b.op("HardSigmoid", b.conv(x, 8, 8, 1), alpha=0.2, beta=0.5))
    x = b.conv(b.op("Transpose", x, perm=[0, 1, 3, 2]), 8, 8)
    wide = b.op("Resize", x, "", b.const([1, 1, 2, 2]), mode="linear")
    gate = b.op("Sigmoid", b.conv(wide, 8, 8, stride=2))
    x = b.op("Sub", b.op("Tanh", x), gate)
    halves = b.op("Split", x, b.ints(4, 4), outputs=2, axis=1)
    return b.model(*(b.conv(half, 4, 4, 1) for half in halves))


@pytest.fixture(scope="module")
def subject() -> tuple[onnx.ModelProto, list[dict[str, Any]], Any]:
    model = net()
    feeds = sample_inputs(model, 3, SEED)
    return model, feeds, random_quantizer(np.random.default_rng(0), tuple(feeds))


def planted(subject: Any, kind: str) -> tuple[Run, Finding, list[onnx.NodeProto]]:
    model, feeds, quantize = subject
    editor = Editor(model)
    nodes = KINDS[kind](editor, np.random.default_rng(1))
    del editor.model.graph.value_info[:]
    run = net_run(model, quantize(editor.model), *feeds)
    return run, finding(run, SLUG), nodes


def test_the_sound_twin_computes_the_same(subject: Any) -> None:
    model, feeds, quantize = subject
    run = net_run(model, quantize(model), *feeds)
    assert finding(run, SLUG).status == "pass"
    assert not causes(run, "fail")


@pytest.mark.parametrize(
    "kind",
    [
        "Conv pads",
        "dilations",
        "MaxPool for AveragePool",
        "LeakyRelu alpha",
        "LeakyRelu for Relu",
        "HardSigmoid changed",
        "HardSigmoid for Sigmoid",
        "Concat order",
        "Sub or Div operands",
        "Slice off by one",
        "Transpose perm",
        "Resize coordinates",
        "BatchNorm epsilon",
        "BatchNorm folded twice",
        "Add dropped",
        "Split outputs swapped",
        "outputs swapped",
    ],
)
def test_a_converter_bug_is_named_first_and_in_its_place(subject: Any, kind: str) -> None:
    run, found, nodes = planted(subject, kind)
    assert found.status in ("fail", "warn")
    assert causes(run, "fail") <= {SLUG}
    assert next(f.slug for f in run.findings if f.status == found.status) == SLUG
    tensors = {run.layers[at].float_tensor for at in found.layers}
    outputs = {name for node in nodes for name in node.output}
    assert tensors & outputs or found.title.split(" (")[0] in {node.name for node in nodes}
    assert found.gain_db is not None
    assert found.gain_db > 1


def test_what_differs_is_told_with_both_values(subject: Any) -> None:
    _, found, _ = planted(subject, "dilations")
    assert "dilations [2, 2] instead of [1, 1]" in found.title
    assert "pads [2, 2, 2, 2] instead of [1, 1, 1, 1]" in found.title


def test_predicted_and_measured_error_stand_side_by_side(subject: Any) -> None:
    _, found, _ = planted(subject, "MaxPool for AveragePool")
    ((_, floats, quants, predicted, local, unquantized),) = table_of(found, "What the layer")
    assert (floats, quants) == ("AveragePool", "MaxPool")
    assert predicted > 30
    assert local < 20
    assert unquantized == pytest.approx(local, abs=1)


def test_the_error_is_not_called_spread(subject: Any) -> None:
    run, _, _ = planted(subject, "Conv pads")
    assert not any("spread" in f.title for f in run.findings if f.slug == "error-source")


def _branching(quantized: bool) -> onnx.ModelProto:
    """Conv, Relu, and an If that reads the activation; quantizers swallow a Relu where told."""
    rng = np.random.default_rng(3)
    weight = helper.make_tensor(
        "w", TensorProto.FLOAT, [4, 3, 3, 3], rng.normal(0, 0.4, 108).astype(np.float32)
    )
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    numbers = [
        weight,
        yes,
        helper.make_tensor("s", TensorProto.FLOAT, [], [np.float32(8 / 255)]),
        helper.make_tensor("z", TensorProto.UINT8, [], [0]),
    ]
    body = [
        helper.make_graph(
            [helper.make_node("Identity", ["act"], [f"{name}_out"])],
            name,
            [],
            [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, [1, 4, 16, 16])],
        )
        for name in ("then", "else")
    ]
    pads: dict[str, Any] = {"pads": [1] * 4, "kernel_shape": [3, 3]}
    front = [helper.make_node("Conv", ["x", "w"], ["act" if quantized else "c"], "conv", **pads)]
    read = "act"
    if quantized:
        front += [
            helper.make_node("QuantizeLinear", ["act", "s", "z"], ["q"], "Q"),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dq"], "DQ"),
        ]
        read = "dq"
    else:
        front += [helper.make_node("Relu", ["c"], ["act"], "relu")]
    chosen = helper.make_node(
        "If", ["yes"], ["branch"], "if", then_branch=body[0], else_branch=body[1]
    )
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("pooled", [1, 4, 1, 1]), ("branch", [1, 4, 16, 16]))
    ]
    pool = helper.make_node("GlobalAveragePool", [read], ["pooled"], "pool")
    entry = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 16, 16])
    graph = helper.make_graph([*front, pool, chosen], "g", [entry], outputs, numbers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def test_a_branch_that_reads_past_a_folded_relu() -> None:
    feed = {"x": np.random.default_rng(1).normal(0, 1, (1, 3, 16, 16)).astype(np.float32)}
    run = net_run(_branching(False), _branching(True), feed)
    found = finding(run, SLUG)
    assert found.status == "fail"
    assert found.title.startswith("relu (Relu)")
    assert "If if reads the value before the Relu, which only the quantizer computes" in found.title


@pytest.mark.parametrize("name", ["classifier-pads", "classifier-pool", "transformer-softmax"])
def test_the_sample_twins(name: str) -> None:
    found = finding(sample_run(name), SLUG)
    assert found.status == "fail"
    assert layer_names(sample_run(name), found)
