"""QOperator graphs written as QDQ: the same values, operator by operator and in whole networks."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import quantization as q

from qdebug.graph.expand import Expansion, expand
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from tests.support.flavours.quantizers import Desk, copied, quiet, static
from tests.support.nets import sample_inputs
from tests.support.pairs_of_models import detector
from tests.support.random_nets import random_net
from tests.support.running import direct_sqnr, run_tensors

Array = npt.NDArray[Any]
MS = "com.microsoft"
SAME_DB = 35.0
"""Single codes that ONNX Runtime's kernels round otherwise add up over 20 layers, by judgement."""


class Codes:
    """A graph of one operator on codes, whose input ``x`` and output ``y`` are codes."""

    def __init__(self, opset: int = 13, kind: str = "uint8") -> None:
        self.opset, self.kind = opset, kind
        self.rng = np.random.default_rng(7)
        self.constants: list[onnx.TensorProto] = []
        self.nodes: list[onnx.NodeProto] = []

    def const(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def step(self, name: str, scale: Any, zero: Any, dtype: Any = None) -> list[str]:
        kind = np.dtype(dtype or self.kind)
        return [self.const(f"{name}_scale", scale), self.const(f"{name}_zero", zero, kind)]

    def codes(self, name: str, *shape: int, dtype: Any = np.int8) -> str:
        limits = np.iinfo(dtype)
        return self.const(name, self.rng.integers(limits.min, limits.max + 1, shape), dtype)

    def node(self, op: str, inputs: Sequence[str], domain: str = MS, **attributes: Any) -> None:
        attributes = {k: v for k, v in attributes.items() if v is not None}
        self.nodes.append(
            helper.make_node(op, list(inputs), ["y_quantized"], "node", domain=domain, **attributes)
        )

    def graph(self, x: Sequence[int], rank: int = 4) -> Graph:
        """The graph behind a quantizer, so that its codes are known, and before a dequantizer."""
        x_step = ["x_scale", "x_zero"]
        y_step = ["y_scale", "y_zero"] if "y_scale" in self._names() else x_step
        nodes = [
            helper.make_node("QuantizeLinear", ["real", *x_step], ["x_quantized"], "first"),
            *self.nodes,
            helper.make_node("DequantizeLinear", ["y_quantized", *y_step], ["y"], "last"),
        ]
        body = helper.make_graph(
            nodes,
            "codes",
            [helper.make_tensor_value_info("real", TensorProto.FLOAT, list(x))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [f"d{i}" for i in range(rank)])],
            self.constants,
        )
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(MS, 1)]
        model = helper.make_model(body, opset_imports=opsets)
        model.ir_version = 8
        return Graph(model, Path("codes.onnx"), "")

    def _names(self) -> set[str]:
        return {tensor.name for tensor in self.constants}


def conv(per_channel: bool, opset: int = 13, kind: str = "uint8") -> Graph:
    made = Codes(opset, kind)
    scales = np.linspace(0.01, 0.03, 6) if per_channel else 0.02
    zeros = np.zeros(6) if per_channel else 0
    x, w, y = (
        made.step("x", 0.05, 3),
        made.step("w", scales, zeros, np.int8),
        made.step("y", 0.3, 5),
    )
    bias = made.const("bias", made.rng.integers(-9000, 9000, 6), np.int32)
    inputs = ["x_quantized", *x, made.codes("w", 6, 4, 3, 3), *w, *y, bias]
    made.node("QLinearConv", inputs, "", kernel_shape=[3, 3], pads=[1, 0, 1, 2], strides=[2, 1])
    return made.graph([1, 4, 9, 8])


def matmul(per_column: bool) -> Graph:
    made = Codes()
    scales = np.linspace(0.01, 0.03, 5) if per_column else 0.02
    zeros = np.zeros(5) if per_column else 0
    x, w, y = (
        made.step("x", 0.05, 3),
        made.step("w", scales, zeros, np.int8),
        made.step("y", 0.2, 120),
    )
    made.node("QLinearMatMul", ["x_quantized", *x, made.codes("w", 8, 5), *w, *y], "")
    return made.graph([3, 8], 2)


def gemm(trans_b: int, alpha: float, is_real: bool) -> Graph:
    made = Codes()
    x, w = (
        made.step("x", 0.05, 3),
        made.step("w", np.linspace(0.01, 0.03, 5), np.zeros(5), np.int8),
    )
    y = [] if is_real else made.step("y", 0.2, 120)
    bias = made.const("bias", made.rng.integers(-900, 900, 5), np.int32)
    weight = made.codes("w", *((5, 8) if trans_b else (8, 5)))
    made.node("QGemm", ["x_quantized", *x, weight, *w, bias, *y], alpha=alpha, transB=trans_b)
    if not is_real:
        return made.graph([3, 8], 2)
    graph = made.graph([3, 8], 2).proto
    del graph.graph.node[-1]
    graph.graph.node[-1].output[0] = "y"
    return Graph(graph, Path("codes.onnx"), "")


def binary(op: str) -> Graph:
    made = Codes()
    x, w, y = made.step("x", 0.05, 3), made.step("w", 0.02, 10), made.step("y", 0.09, 60)
    made.node(op, ["x_quantized", *x, made.codes("w", 1, 4, 1, 1, dtype=np.uint8), *w, *y])
    return made.graph([2, 4, 5, 5])


def unary(op: str, version: int = 13, scale: float = 0.004, **attributes: Any) -> Graph:
    made = Codes(version)
    made.node(op, ["x_quantized", *made.step("x", 0.05, 90), *made.step("y", scale, 0)])
    made.nodes[-1].attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
    return made.graph([2, 4, 6, 6])


def concat() -> Graph:
    made = Codes()
    x, w, y = made.step("x", 0.05, 3), made.step("w", 0.02, 10), made.step("y", 0.06, 8)
    other = made.codes("w", 2, 3, 5, 5, dtype=np.uint8)
    made.node("QLinearConcat", [*y, "x_quantized", *x, other, *w], axis=1)
    return made.graph([2, 4, 5, 5])


def where() -> Graph:
    made = Codes()
    x, w, y = made.step("x", 0.05, 3), made.step("w", 0.02, 10), made.step("y", 0.06, 8)
    other = made.codes("w", 4, 5, dtype=np.uint8)
    condition = made.const("condition", made.rng.random((4, 5)) < 0.5, np.bool_)
    made.node("QLinearWhere", [condition, "x_quantized", *x, other, *w, *y])
    return made.graph([4, 5], 2)


def moved(op: str, *more: Any, opset: int = 13, **attributes: Any) -> Graph:
    """An operator that moves codes between two that compute on them."""
    made = Codes(opset)
    x = made.step("x", 0.05, 3)
    extra = [
        "" if v is None else made.const(f"c{i}", v, v.dtype if hasattr(v, "dtype") else np.int64)
        for i, v in enumerate(more)
    ]
    made.node(op, ["x_quantized", *extra], "", **attributes)
    moving = made.nodes.pop()
    made.node("QLinearSigmoid", ["moved_quantized", *x, *made.step("y", 0.004, 0)])
    moving.output[0], moving.name = "moved_quantized", "moving"
    made.nodes.insert(0, moving)
    return made.graph([1, 4, 6, 6], 2 if op == "Reshape" else 4)


ALL = {
    "Conv": conv(False),
    "Conv per channel": conv(True),
    "Conv per channel before opset 13": conv(True, opset=11),
    "Conv int8": conv(True, kind="int8"),
    "MatMul": matmul(False),
    "MatMul per column": matmul(True),
    "Gemm": gemm(0, 1.0, False),
    "Gemm transposed, scaled": gemm(1, 0.5, False),
    "Gemm to real numbers": gemm(1, 1.0, True),
    "Add": binary("QLinearAdd"),
    "Mul": binary("QLinearMul"),
    "Concat": concat(),
    "Where": where(),
    "Sigmoid": unary("QLinearSigmoid"),
    "LeakyRelu": unary("QLinearLeakyRelu", scale=0.04, alpha=0.2),
    "GlobalAveragePool": unary("QLinearGlobalAveragePool", scale=0.04),
    "AveragePool": unary(
        "QLinearAveragePool", scale=0.04, kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1
    ),
    "Softmax": unary("QLinearSoftmax", **{"axis": 3, "opset": 13}),
    "Softmax by default before 13": unary("QLinearSoftmax", 11, **{"axis": -1, "opset": 11}),
    "MaxPool": moved("MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
    "Reshape": moved("Reshape", np.array([1, -1])),
    "Transpose": moved("Transpose", perm=[0, 2, 3, 1]),
    "Slice": moved("Slice", np.array([1]), np.array([5]), np.array([2])),
    "Pad": moved("Pad", np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.array(3, np.uint8)),
    "Resize": moved(
        "Resize", np.zeros(0, np.float32), np.array([1, 1, 2, 2], np.float32), mode="nearest"
    ),
}


def codes_of(expansion: Expansion, feeds: dict[str, Array]) -> tuple[dict[str, Array], ...]:
    """Every tensor of codes and every output, of the graph as it is and of the expanded one."""
    names = [*expansion.real, *expansion.original.outputs]
    graphs = expansion.original, expansion.graph
    first, second = (run_tensors(graph.proto, feeds, names) for graph in graphs)
    return first, second


def most_apart(expansion: Expansion, feeds: dict[str, Array]) -> int:
    first, second = codes_of(expansion, feeds)
    apart = [np.abs(first[n].astype(int) - second[n].astype(int)).max() for n in expansion.real]
    return int(max(apart, default=0))


@pytest.mark.parametrize("name", ALL)
def test_an_operator_on_codes_and_its_float_form_agree_to_a_code(name: str) -> None:
    graph = ALL[name]
    expansion = expand(graph)
    assert expansion.is_changed
    assert not expansion.left
    assert not [n for n in expansion.graph.nodes if n.op.startswith("QLinear") or n.op == "QGemm"]
    shape = graph.type_of("real").fixed_shape or ()
    feeds = {"real": np.random.default_rng(1).normal(0, 4, shape).astype(np.float32)}
    assert most_apart(expansion, feeds) <= 1
    first, second = codes_of(expansion, feeds)
    assert float(np.std(first["y"])) > 0
    assert direct_sqnr(first["y"], second["y"]) > 40


def test_an_optimizers_layout_stays_and_is_told() -> None:
    graph = unary(
        "QLinearAveragePool", scale=0.04, kernel_shape=[2, 2], channels_last=1, strides=[1, 1]
    )
    expansion = expand(graph)
    assert not expansion.is_changed
    assert expansion.left == ("node",)
    (note,) = expansion.notes
    assert note.startswith("1 QLinearAveragePool on codes cannot be written as QDQ")


def test_a_softmax_over_several_axes_stays() -> None:
    assert expand(unary("QLinearSoftmax", 13, **{"axis": 1, "opset": 11})).left == ("node",)


@pytest.mark.parametrize("twin", ["int8", "dynamic"])
def test_a_graph_without_operators_on_codes_is_itself(twin: str) -> None:
    pair = detector(twin)
    expansion = expand(pair.quant_graph)
    assert expansion.graph is pair.quant_graph
    assert expansion.pairing(pair.pairing) is pair.pairing
    told = [note for note in expansion.notes if "DynamicQuantizeLinear: the scales" in note]
    assert len(told) == len(expansion.notes) == (twin == "dynamic")


@pytest.mark.parametrize("seed", [2, 4, 11])
@pytest.mark.parametrize("per_channel", [False, True])
def test_the_twins_of_onnx_runtimes_quantizer(seed: int, per_channel: bool) -> None:
    model = random_net(seed)
    per_channel = per_channel and model.opset_import[0].version >= 13
    feeds = sample_inputs(model, 3, seed)
    step = static(q.QuantFormat.QOperator, per_channel=per_channel, weight_type=q.QuantType.QInt8)
    with tempfile.TemporaryDirectory() as name, quiet():
        twin = step(copied(model), Desk(Path(name), tuple(feeds)))
    expansion = expand(Graph(twin, Path("twin.onnx"), ""))
    assert expansion.is_changed
    assert not expansion.left
    assert not expansion.notes
    first, second = codes_of(expansion, feeds[0])
    for name in expansion.original.outputs:
        assert direct_sqnr(first[name], second[name]) > SAME_DB


def test_a_pair_stands_for_the_same_value_in_both_graphs() -> None:
    pair = detector("int8_qoperator")
    expansion = expand(pair.quant_graph)
    moved_pairs = expansion.pairing(pair.pairing).pairs
    names = [p.read for p in pair.pairing.pairs]
    values = run_tensors(pair.quant_graph.proto, pair.feeds[0], names)
    ours = run_tensors(expansion.graph.proto, pair.feeds[0], [p.read for p in moved_pairs])
    coded = 0
    for before, after in zip(pair.pairing.pairs, moved_pairs, strict=True):
        assert after.read_form.quantizer is None
        assert after.read in expansion.graph.producer or after.read in expansion.graph.inputs
        if before.read_form.quantizer is None:
            continue
        coded += 1
        quantizer = before.read_form.quantizer
        real = (values[before.read].astype(np.float64) - quantizer.zero_point) * quantizer.scale
        assert direct_sqnr(real.astype(np.float32), ours[after.read]) > 20
        assert [expansion.graph.nodes[i].op for i in after.path][-1] == "DequantizeLinear"
    assert coded > 100


def test_the_written_model_loads_again(tmp_path: Path) -> None:
    graph = expand(conv(True)).graph
    file = tmp_path / "qdq.onnx"
    onnx.save(graph.proto, file)
    onnx.checker.check_model(onnx.load(file))
    assert [node.op for node in load_graph(file).nodes] == [node.op for node in graph.nodes]
