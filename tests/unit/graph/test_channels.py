"""The axis of channels, followed through a graph."""

from __future__ import annotations

import numpy as np
from onnx import helper

from qdebug.graph.channels import MAX_CHANNELS, channel_axes
from tests.unit.graph.conftest import Load

node = helper.make_node


def test_convolutions_transpositions_and_products(load: Load) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Relu", ["c"], ["r"]),
        node("Transpose", ["r"], ["t"], perm=[0, 2, 3, 1]),
        node("Sigmoid", ["t"], ["s"]),
        node("MatMul", ["s", "m"], ["y"]),
    ]
    given = {"w": np.ones((5, 3, 1, 1), np.float32), "m": np.ones((5, 7), np.float32)}
    graph = load(nodes, {"x": [1, 3, 8, 8]}, ["y"], given)
    axes = channel_axes(graph, graph.types)
    assert axes == {"c": 1, "r": 1, "t": 3, "s": 3, "y": 3}


def test_heads_that_lose_track_and_axes_too_long(load: Load) -> None:
    nodes = [
        node("Reshape", ["x", "boxes"], ["b"]),
        node("Reshape", ["x", "values"], ["v"]),
        node("MatMul", ["z", "m"], ["y"]),
        node("ReduceSum", ["x"], ["scalar"], keepdims=0),
    ]
    given = {
        "boxes": np.asarray([1, 100, 8]), "values": np.asarray([1, 8, 100]),
        "m": np.ones((4, MAX_CHANNELS + 1), np.float32),
    }  # fmt: skip
    graph = load(nodes, {"x": [1, 800], "z": [2, 4]}, ["b", "v", "y", "scalar"], given)
    axes = channel_axes(graph, graph.types)
    assert (axes["b"], axes["v"]) == (2, 1)
    assert "y" not in axes
    assert "scalar" not in axes


def test_a_head_of_anchors_is_judged_along_its_values(load: Load) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Reshape", ["c", "five"], ["r"]),
        node("Transpose", ["r"], ["t"], perm=[0, 1, 3, 4, 2]),
        node("Sigmoid", ["t"], ["s"]),
        node("Reshape", ["c", "flat"], ["f"]),
    ]
    given = {
        "w": np.ones((3 * 7, 3, 1, 1), np.float32),
        "five": np.asarray([1, 3, 7, 8, 8]),
        "flat": np.asarray([1, 21, 64]),
    }
    graph = load(nodes, {"x": [1, 3, 8, 8]}, ["s", "f"], given)
    axes = channel_axes(graph, graph.types)
    assert axes == {"c": 1, "r": 2, "t": 4, "s": 4, "f": 1}
