"""Types inferred where ONNX's own inference stops."""

from __future__ import annotations

import numpy as np
from onnx import helper

from qdebug.graph.shapes import infer_types
from tests.unit.graph.conftest import Load

node = helper.make_node


def test_open_dimensions_are_fixed_by_given_inputs(load: Load) -> None:
    weight = {"w": np.ones((5, 3, 3, 3), np.float32)}
    graph = load([node("Conv", ["x", "w"], ["y"])], {"x": ["n", 3, "h", "w_"]}, ["y"], weight)
    assert graph.type_of("y").fixed_shape is None
    assert infer_types(graph, {"x": (2, 3, 8, 9)})["y"].fixed_shape == (2, 5, 6, 7)


def test_reshape_to_a_computed_shape(load: Load) -> None:
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Cast", ["s"], ["f"], to=1),
        node("Cast", ["f"], ["i"], to=7),
        node("Slice", ["i", "zero", "one", "zero"], ["first"]),
        node("Concat", ["first", "rest"], ["target"], axis=0),
        node("Reshape", ["x", "target"], ["y"]),
    ]
    constants = {
        "zero": np.asarray([0]), "one": np.asarray([1]), "rest": np.asarray([-1]),
    }  # fmt: skip
    graph = load(nodes, {"x": [2, 3, 4]}, ["y"], constants)
    assert graph.type_of("y").fixed_shape == (2, 12)


def test_operators_of_onnx_runtime(load: Load) -> None:
    codes = np.zeros((6, 4), np.uint8)
    one, zero = np.float32(1), np.uint8(0)
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("QLinearMatMul", ["q", "s", "z", "w", "s", "z", "s", "z"], ["m"]),
        node("QLinearAdd", ["m", "s", "z", "m", "s", "z", "s", "z"], ["a"], domain="com.microsoft"),
        node("DequantizeLinear", ["a", "s", "z"], ["y"]),
    ]
    graph = load(nodes, {"x": [2, 6]}, ["y"], {"w": codes, "s": one, "z": zero})
    assert (graph.type_of("a").dtype, graph.type_of("a").fixed_shape) == ("uint8", (2, 4))
    assert (graph.type_of("y").dtype, graph.type_of("y").fixed_shape) == ("float", (2, 4))


def test_quantizers_of_onnx_runtime_in_16_bits(load: Load) -> None:
    """What its quantizer writes for 16 bits at an opset whose own operators have 8."""
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"], domain="com.microsoft"),
        node("DequantizeLinear", ["q", "s", "z"], ["d"], domain="com.microsoft"),
        node("MatMul", ["d", "w"], ["y"]),
    ]
    constants = {"w": np.ones((6, 4), np.float32), "s": np.float32(1), "z": np.uint16(0)}
    graph = load(nodes, {"x": [2, 6]}, ["y"], constants)
    assert (graph.type_of("q").dtype, graph.type_of("q").fixed_shape) == ("uint16", (2, 6))
    assert (graph.type_of("y").dtype, graph.type_of("y").fixed_shape) == ("float", (2, 4))


def test_packed_weights(load: Load) -> None:
    constants = {"w": np.zeros((6, 2, 8), np.uint8), "s": np.ones(12, np.float32)}
    product = node(
        "MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", K=32, N=6, bits=4,
        block_size=16,
    )  # fmt: skip
    assert load([product], {"x": [3, 32]}, ["y"], constants).type_of("y").fixed_shape == (3, 6)


def test_unknown_operators_leave_unknown_types(load: Load) -> None:
    nodes = [node("Mystery", ["x"], ["m"], domain="vendor"), node("Relu", ["m"], ["y"])]
    graph = load(nodes, {"x": [1, 4]}, ["y"])
    assert graph.type_of("m").elem_type == 0
    assert graph.type_of("m").shape is None
