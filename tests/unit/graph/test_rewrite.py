"""Parts of graphs compute what the whole does."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from qdebug.graph.pairs import Quantizer, TensorForm
from qdebug.graph.qparams import code_range
from qdebug.graph.rewrite import PartBuilder, constants_of, renamed
from tests.unit.graph.conftest import Load

node = helper.make_node


def run(model: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return list(session.run(None, feeds))


def test_a_cut_computes_the_same_and_keeps_only_its_constants(load: Load) -> None:
    rng = np.random.default_rng(0)
    given = {name: rng.normal(size=(4, 4)).astype(np.float32) for name in "ab"}
    nodes = [node("MatMul", ["x", "a"], ["m"]), node("Relu", ["m"], ["r"]),
             node("MatMul", ["r", "b"], ["y"])]  # fmt: skip
    graph = load(nodes, {"x": [1, 4]}, ["y"], given)
    part = PartBuilder(graph)
    part.add_nodes(graph.nodes[1:], {"m": "cut"})
    part.add_input("cut", TensorProto.FLOAT, [1, 4])
    part.add_output("y")
    made = part.build()
    assert [t.name for t in made.graph.initializer] == ["b"]
    x = rng.normal(size=(1, 4)).astype(np.float32)
    (y,) = run(made, {"cut": x @ given["a"]})
    assert np.allclose(y, np.maximum(x @ given["a"], 0) @ given["b"], atol=1e-6)


def test_what_no_output_needs_is_left_out(load: Load) -> None:
    given = {name: np.ones((4, 4), np.float32) for name in "ab"}
    nodes = [node("MatMul", ["x", "a"], ["m"]), node("MatMul", ["x", "b"], ["unread"]),
             node("Split", ["m"], ["half", "rest"], axis=1), node("Relu", ["rest"], ["y"]),
             node("Relu", ["unread"], ["unread_too"])]  # fmt: skip
    graph = load(nodes, {"x": [1, 4]}, ["y"], given)
    part = PartBuilder(graph)
    part.add_nodes(graph.nodes)
    part.add_input("x", TensorProto.FLOAT, [1, 4])
    part.add_output("y")
    made = part.build()
    assert [n.op_type for n in made.graph.node] == ["MatMul", "Split", "Relu"]
    assert [t.name for t in made.graph.initializer] == ["a"]
    (y,) = run(made, {"x": np.ones((1, 4), np.float32)})
    assert y.tolist() == [[4.0, 4.0]]


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
@pytest.mark.parametrize("perm", [None, (0, 3, 1, 2)])
def test_encode_undoes_decode(load: Load, dtype: str, perm: tuple[int, ...] | None) -> None:
    low, high = code_range(dtype)
    zero = np.asarray((low + high) // 2, np.int64)
    quantizer = Quantizer(dtype, np.asarray(0.05, np.float32), zero, None, low, high)
    form = TensorForm(quantizer, perm, (1, -1))
    graph = load([node("Relu", ["x"], ["y"])], {"x": [1]}, ["y"], opset=13)
    kind = getattr(TensorProto, dtype.upper())
    part = PartBuilder(graph)
    part.add_input("codes", kind, [1, 2, 3, 4])
    real = part.decode("codes", form, kind, "there")
    part.add_output(part.encode(real, form, kind, [1, 2, 3, 4], "back"))
    part.add_output(real)
    rng = np.random.default_rng(1)
    codes = rng.integers(low, high + 1, (1, 2, 3, 4)).astype(dtype)
    back, values = run(part.build(), {"codes": codes})
    expected = (codes.astype(np.float32) - np.float32(zero)) * np.float32(0.05)
    expected = expected if perm is None else expected.transpose(perm)
    assert np.allclose(values, expected.reshape(1, -1), atol=1e-6)
    if perm is None:
        assert np.array_equal(back, codes)
    assert np.array_equal(np.sort(back, axis=None), np.sort(codes, axis=None))


def test_renaming_reaches_into_bodies(load: Load) -> None:
    out = helper.make_tensor_value_info("o", TensorProto.FLOAT, [1])
    body = helper.make_graph([node("Add", ["m", "m"], ["o"])], "body", [], [out])
    made = renamed(node("If", ["c"], ["y"], then_branch=body, else_branch=body), {"m": "other"})
    assert [list(a.g.node[0].input) for a in made.attribute] == [["other", "other"]] * 2


def test_random_numbers_are_no_constants(load: Load) -> None:
    nodes = [node("Neg", ["w"], ["n"]), node("RandomNormal", [], ["r"], shape=[1]),
             node("Add", ["n", "x"], ["y"])]  # fmt: skip
    graph = load(nodes, {"x": [1]}, ["y"], {"w": np.ones(1, np.float32)})
    assert constants_of(graph) == {"w", "n"}


def test_what_is_computed_of_constants_comes_when_it_is_read(load: Load) -> None:
    """A session that keeps the order holds one dequantized weight at a time."""
    make = helper.make_node
    weights = [make("DequantizeLinear", [f"w{at}", "s"], [f"d{at}"]) for at in range(3)]
    chain = [make("Transpose", ["d2"], ["t2"])]
    nodes = [*weights, *chain]
    for at, weight in enumerate(("d0", "d1", "t2")):
        nodes.append(make("MatMul", [f"y{at}" if at else "x", weight], [f"y{at + 1}"]))
    given = {f"w{at}": np.ones((4, 4), np.int8) for at in range(3)} | {"s": np.float32(0.5)}
    graph = load(nodes, {"x": [1, 4]}, ["y3"], given)
    builder = PartBuilder(graph)
    builder.add_nodes(graph.nodes)
    builder.add_input("x", 1, [1, 4])
    builder.add_output("y3")
    model = builder.build()
    made = [node.output[0] for node in model.graph.node]
    assert made == ["d0", "y1", "d1", "y2", "d2", "t2", "y3"]
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.ones((1, 4), np.float32)})[0].tolist() == [[8.0] * 4]
