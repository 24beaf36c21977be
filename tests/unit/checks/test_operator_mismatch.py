"""Layers that compute something else are named; other spellings of the same are not."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnxruntime.quantization import QuantType

from qdebug.checks import operator_mismatch
from qdebug.checks.facts import operators
from qdebug.run.model import Finding, Run
from tests.support.checked import causes, finding, layer_names, net_run, sample_run, table_of
from tests.support.editor import Editor
from tests.support.flavours.quantizers import Desk, copied, quiet, static
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


def test_exchanged_outputs_of_a_split_are_named_at_the_split(subject: Any) -> None:
    _, found, _ = planted(subject, "Split outputs swapped")
    assert found.title.startswith("/Split_0 (Split) computes something else: ")
    assert "its output 1 stands for output 0" in found.title


@pytest.mark.parametrize("swapped", [True, False])
def test_readers_without_weights_of_exchanged_outputs_name_the_split(swapped: bool) -> None:
    b = NetBuilder(9)
    x = b.conv(b.input("image", [1, 3, 16, 16]), 3, 8)
    first, second = b.op("Split", x, b.ints(4, 4), outputs=2, axis=1)
    model = b.model(*(b.conv(b.op("Sigmoid", half), 4, 4, 1) for half in (first, second)))
    feeds = sample_inputs(model, 3, SEED)
    quantize = random_quantizer(np.random.default_rng(0), tuple(feeds))
    editor = Editor(model)
    if swapped:
        KINDS["Split outputs swapped"](editor, np.random.default_rng(1))
    found = finding(net_run(model, quantize(editor.model), *feeds), SLUG)
    assert (found.status in ("fail", "warn")) == swapped
    told = "/Split_0 (Split) computes something else: Sigmoid /Sigmoid_0 reads its output 1"
    assert found.title.startswith(told) == swapped


@pytest.mark.parametrize("swapped", [True, False])
def test_equal_operators_between_exchanged_outputs_and_their_reader(swapped: bool) -> None:
    """As in a YOLO head: both halves are doubled, one of them is moved and the other squared."""
    b = NetBuilder(9)
    x = b.op("Sigmoid", b.conv(b.input("image", [1, 3, 16, 16]), 3, 8))
    first, second = b.op("Split", x, b.ints(4, 4), outputs=2, axis=1)
    doubled = [b.op("Mul", half, b.const(2.0)) for half in (first, second)]
    moved = b.op("Add", doubled[0], b.const(np.linspace(0, 1, 256).reshape(1, 1, 16, 16)))
    model = b.model(b.op("Concat", moved, b.op("Pow", doubled[1], b.const(2.0)), axis=1))
    feeds = sample_inputs(model, 3, SEED)
    twin = Editor(random_quantizer(np.random.default_rng(0), tuple(feeds))(model))
    if swapped:
        KINDS["Split outputs swapped"](twin, np.random.default_rng(1))
    found = finding(net_run(model, twin.model, *feeds), SLUG)
    assert (found.status in ("fail", "warn")) == swapped
    assert found.title.startswith("/Split_0 (Split) computes something else: ") == swapped


@pytest.mark.parametrize("stride", [2, 1])
def test_a_stride_before_slices_is_named_at_the_conv(stride: int) -> None:
    """Halved by its stride, the Conv's values have the shape of what a Slice behind it takes."""
    b = NetBuilder(9)
    x = b.op("Relu", b.conv(b.input("image", [1, 3, 16, 16]), 3, 8, 1))
    slices = [
        b.op("Slice", x, b.ints(*at), b.ints(2**31 - 1, 2**31 - 1), b.ints(2, 3), b.ints(2, 2))
        for at in ((0, 0), (1, 0), (0, 1), (1, 1))
    ]
    x = b.op("Relu", b.conv(b.op("Concat", *slices, axis=1), 32, 16))
    x = b.op("Flatten", b.op("GlobalAveragePool", x))
    model = b.model(b.op("Gemm", x, b.weight(16, 4)))
    feeds = sample_inputs(model, 3, SEED)
    quantize = random_quantizer(np.random.default_rng(0), tuple(feeds))
    editor = Editor(model)
    first = next(n for n in editor.graph.node if n.op_type == "Conv")
    next(a for a in first.attribute if a.name == "strides").ints[:] = [stride, stride]
    del editor.model.graph.value_info[:]
    run = net_run(model, quantize(editor.model), *feeds)
    found = finding(run, SLUG)
    told = f"{first.name} (Conv) computes something else: strides [2, 2] instead of [1, 1]"
    assert (found.title == told) == (stride == 2)
    assert (found.status == "fail") == (stride == 2)
    assert (causes(run, "fail") == {SLUG}) == (stride == 2)


@pytest.mark.parametrize("changed", [True, False])
def test_a_pad_of_another_mode_is_named(changed: bool) -> None:
    b = NetBuilder(9)
    x = b.op("Relu", b.conv(b.input("image", [1, 3, 16, 16]), 3, 8))
    x = b.op("Pad", x, b.ints(0, 0, 2, 2, 0, 0, 2, 2))
    model = b.model(b.conv(x, 8, 4))
    feeds = sample_inputs(model, 3, SEED)
    quantize = random_quantizer(np.random.default_rng(0), tuple(feeds))
    editor = Editor(model)
    if changed:
        KINDS["Pad mode"](editor, np.random.default_rng(1))
    found = finding(net_run(model, quantize(editor.model), *feeds), SLUG)
    assert (found.status in ("fail", "warn")) == changed
    assert found.title.startswith("/Pad_0 (Pad) computes something else: mode ") == changed


def _beside_another_output(share: float, step: float) -> Run:
    """A LeakyRelu changed that has a share in one output; another output is rounded to a step."""
    b = NetBuilder(4)
    x = b.op("Tanh", b.conv(b.input("image", [1, 3, 16, 16]), 3, 4))
    leaky = b.op("LeakyRelu", x, alpha=0.1)
    first = b.op("Add", x, b.op("Mul", leaky, b.const(share)))
    model = b.model(first, b.op("Sigmoid", b.conv(x, 4, 4)))
    twin = Editor(model)
    KINDS["LeakyRelu alpha"](twin, np.random.default_rng(1))
    (last,) = [n for n in twin.graph.node if n.op_type == "Sigmoid"]
    held, last.output[0] = last.output[0], "fine"
    for name, value in (("step", np.float32(step)), ("zero", np.uint8(0))):
        twin.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    twin.graph.node.extend(
        [
            helper.make_node("QuantizeLinear", ["fine", "step", "zero"], ["codes"], "q"),
            helper.make_node("DequantizeLinear", ["codes", "step", "zero"], [held], "dq"),
        ]
    )
    return net_run(model, twin.model, *sample_inputs(model, 3, SEED))


@pytest.mark.parametrize("share", [0.05, 1e-5])
def test_another_operator_is_no_matter_of_resolution(share: float) -> None:
    """It costs what it costs at an output that has enough left, beside one that has less."""
    run = _beside_another_output(share, 0.1)
    found = finding(run, SLUG)
    levels = [o.accumulated.sqnr_db for o in run.outputs if o.accumulated is not None]
    assert levels[0] > 35 > levels[1]
    assert found.title.startswith("/LeakyRelu_0 (LeakyRelu) computes something else: alpha ")
    assert found.status == ("warn" if share == 0.05 else "info")


@pytest.mark.parametrize(("step", "status"), [(0.1, "warn"), (0.005, "fail")])
def test_it_fails_where_the_task_is_harmed_and_no_worse_output_may_have_done_it(
    step: float, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (operator_mismatch, operators):
        monkeypatch.setattr(module, "task_is_harmed", lambda _: True)
    assert finding(_beside_another_output(0.05, step), SLUG).status == status


def _two_slices(moved: bool, shared: bool) -> Run:
    """Two equal Slices; the twin has the second one moved, or that one alone."""
    b = NetBuilder(7)
    x = b.conv(b.input("image", [1, 3, 16, 16]), 3, 4)
    slices = [b.op("Slice", x, b.ints(0), b.ints(2), b.ints(1)) for _ in range(2)]
    model = b.model(b.op("Sub", b.op("Abs", slices[0]), b.op("Sigmoid", slices[1])))
    twin = Editor(model)
    first, second = (n for n in twin.graph.node if n.op_type == "Slice")
    if shared:
        (reader,) = twin.readers(first.output[0])
        reader.input[0] = second.output[0]
        twin.graph.node.remove(first)
    for slot, value in ((1, 1), (2, 3)) if moved else ():
        twin.set(twin.own(second, slot), np.array([value]))
    del twin.model.graph.value_info[:]
    return net_run(model, twin.model, *sample_inputs(model, 3, SEED))


@pytest.mark.parametrize("shared", [True, False])
def test_of_equal_slices_only_the_moved_one_is_named(shared: bool) -> None:
    run = _two_slices(moved=True, shared=shared)
    found = [f for f in run.findings if f.status in ("fail", "warn") and f.slug == SLUG]
    assert [f.title.split(" computes")[0] for f in found] == ["/Slice_1 (Slice)"]
    assert len(found[0].layers) == (2 if shared else 1)


@pytest.mark.parametrize("shared", [True, False])
def test_equal_slices_that_one_stands_for_compute_the_same(shared: bool) -> None:
    assert finding(_two_slices(moved=False, shared=shared), SLUG).status == "pass"


def relu_range(step: float) -> Run:
    """A Relu up to about 20 whose quantizer has a symmetric int8 range of the given step."""
    b = NetBuilder(3)
    x = b.op("Relu", b.op("Mul", b.conv(b.input("image", [1, 3, 16, 16]), 3, 8), b.const(5.0)))
    model = b.model(b.conv(x, 8, 4))
    twin = Editor(model)
    parts = [twin.graph.initializer.add() for _ in range(2)]
    parts[0].CopyFrom(onnx.numpy_helper.from_array(np.float32(step), "step"))
    parts[1].CopyFrom(onnx.numpy_helper.from_array(np.int8(0), "zero"))
    (last,) = [n for n in twin.graph.node if x in n.input]
    at = list(twin.graph.node).index(last)
    last.input[0] = "held"
    q = helper.make_node("QuantizeLinear", [x, "step", "zero"], ["codes"], name="q")
    dq = helper.make_node("DequantizeLinear", ["codes", "step", "zero"], ["held"], name="dq")
    twin.graph.node.insert(at, dq)
    twin.graph.node.insert(at, q)
    return net_run(model, twin.model, *sample_inputs(model, 4, 3))


@pytest.mark.parametrize("step", [6 / 127, 12 / 255, 6 / 128])
def test_a_relu6_that_is_only_in_a_symmetric_range_is_named(step: float) -> None:
    found = finding(relu_range(step), SLUG)
    assert found.status in ("fail", "warn")
    assert "ends at exactly 6, as Relu6 does" in found.title


@pytest.mark.parametrize("cut", [True, False])
def test_a_relu6_that_is_in_the_range_before_it_as_well_is_undone_in_both(cut: bool) -> None:
    b = NetBuilder(3)
    x = b.op("Relu", b.conv(b.op("Relu", b.conv(b.input("image", [1, 3, 16, 16]), 3, 8)), 8, 8))
    model = b.model(b.conv(b.op("Mul", x, b.op("Sigmoid", b.op("GlobalAveragePool", x))), 8, 4))
    feeds = [
        {name: v * np.float32(10) for name, v in f.items()} for f in sample_inputs(model, 4, 3)
    ]
    editor = Editor(model)
    if cut:
        relu = next(n for n in editor.graph.node if n.name == "/Relu_1")
        relu.op_type = "Clip"
        relu.input.extend([b.const(0.0), b.const(6.0)])
        editor.graph.initializer.extend(b.initializers[-2:])
    signed = {"weight_type": QuantType.QInt8, "activation_type": QuantType.QInt8}
    step = static(extra_options={"ActivationSymmetric": True}, **signed)
    with tempfile.TemporaryDirectory() as name, quiet():
        twin = step(copied(editor.model), Desk(Path(name), tuple(feeds)))
    found = finding(net_run(model, twin, *feeds), SLUG)
    assert found.status == ("fail" if cut else "pass")
    assert found.title.startswith("/Relu_1 (Relu) computes something else: ") == cut
    assert (found.gain_db or 0.0) > 6 or not cut


@pytest.mark.parametrize("step", [6.3 / 127, 13 / 255, 5.9 / 128])
def test_a_range_that_ends_elsewhere_is_no_relu6(step: float) -> None:
    run = relu_range(step)
    assert finding(run, SLUG).status == "pass"
    assert finding(run, "activation-clipping").status in ("fail", "warn")


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
