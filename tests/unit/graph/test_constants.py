"""What a graph computes from constants alone."""

from __future__ import annotations

import numpy as np
from onnx import helper

from qdebug.graph.constants import Constants
from tests.unit.graph.conftest import Load

node = helper.make_node


def test_values_follow_from_constants_and_fixed_shapes(load: Load) -> None:
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "one"], ["d"]),
        node("Mul", ["d", "two"], ["twice"]),
        node("Transpose", ["w"], ["wt"]),
        node("MatMul", ["x", "wt"], ["y"]),
        node("Identity", ["twice"], ["z"]),
    ]
    given = {"one": np.int64(1), "two": np.int64(2), "w": np.arange(8, dtype=np.float32)}
    given["w"] = given["w"].reshape(2, 4)
    constants = Constants(load(nodes, {"x": [1, 4]}, ["y", "z"], given))
    value, turned = constants.value("z"), constants.value("wt")
    assert value is not None and int(value) == 8
    assert turned is not None and np.array_equal(turned, given["w"].T)
    assert "y" not in constants
    assert constants.value("y") is None


def test_open_shapes_and_random_numbers_have_no_value(load: Load) -> None:
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("RandomNormal", [], ["r"], shape=[4]),
        node("Add", ["x", "r"], ["y"]),
    ]
    constants = Constants(load(nodes, {"x": ["n", 4]}, ["y", "s"]))
    assert "s" in constants
    assert constants.value("s") is None
    assert "r" not in constants


def test_dequantized_weights_are_constants(load: Load) -> None:
    given = {"q": np.asarray([[1, -2], [3, 4]], np.int8), "s": np.asarray([0.5, 2], np.float32)}
    given["z"] = np.asarray([0, 1], np.int8)
    nodes = [node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=1),
             node("MatMul", ["x", "w"], ["y"])]  # fmt: skip
    value = Constants(load(nodes, {"x": [1, 2]}, ["y"], given)).value("w")
    assert value is not None
    assert value.tolist() == [[0.5, -6.0], [1.5, 6.0]]


def test_what_cannot_be_evaluated_stays_symbolic(load: Load) -> None:
    nodes = [node("Mystery", ["w"], ["v"], domain="vendor"), node("Add", ["x", "v"], ["y"])]
    constants = Constants(load(nodes, {"x": [1, 2]}, ["y"], {"w": np.ones(2, np.float32)}))
    assert "v" in constants
    assert constants.value("v") is None
