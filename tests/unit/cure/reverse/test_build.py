"""The walk: what is reached, what is not and why, and how gradients of several ways add up."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qdebug.cure.reverse import reverse_graph
from tests.support.differences import check_model, reverse_of, run_reverse

X = (2, 3)
FEEDS = {"x": np.random.default_rng(0).standard_normal(X).astype(np.float32)}


def model(
    *nodes: tuple[str, str, str] | onnx.NodeProto,
    outputs: tuple[str, ...] = ("y",),
    opset: int = 17,
    **constants: Any,
) -> onnx.ModelProto:
    """Nodes as ``(operator, inputs, outputs)``, with one input ``x``."""
    made = [
        n if isinstance(n, onnx.NodeProto) else helper.make_node(n[0], n[1].split(), n[2].split())
        for n in nodes
    ]
    for number, node in enumerate(made):
        node.name = node.name or f"node{number}"
    graph = helper.make_graph(
        made,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, X)],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def test_what_comes_back_by_two_ways_is_added() -> None:
    net = model(("Sigmoid", "x", "a"), ("Exp", "a", "b"), ("Mul", "a b", "c"), ("Add", "c x", "y"))
    check_model(net, FEEDS, ["x"])


def test_two_outputs_each_with_its_own_cotangent() -> None:
    net = model(("Tanh", "x", "a"), ("Exp", "a", "y"), ("Neg", "a", "z"), outputs=("y", "z"))
    reverse = reverse_of(net, FEEDS, ["a"])
    assert list(reverse.cotangents) == ["y", "z"]
    check_model(net, FEEDS, ["x"])
    weights = {"y": np.zeros(X), "z": np.ones(X)}
    np.testing.assert_array_equal(run_reverse(reverse, FEEDS, weights)["a"], -np.ones(X))


def test_an_output_that_is_also_read() -> None:
    net = model(("Tanh", "x", "a"), ("Exp", "a", "y"), outputs=("a", "y"))
    check_model(net, FEEDS, ["x"])


def test_the_gradient_by_an_output_is_its_cotangent() -> None:
    net = model(("Tanh", "x", "y"))
    weights = {"y": np.arange(6).reshape(X)}
    found = run_reverse(reverse_of(net, FEEDS, ["y"]), FEEDS, weights)
    np.testing.assert_array_equal(found["y"], weights["y"])


def test_forward_tensors_are_the_networks_own() -> None:
    net = model(("Tanh", "x", "a"), ("Exp", "a", "y"))
    reverse = reverse_of(net, FEEDS, ["a", "x"])
    names = [output.name for output in reverse.model.graph.output]
    assert names[:2] == ["y", "a"]
    assert "x" not in names


def test_one_way_without_a_rule_spoils_the_gradient_of_what_lies_before_it() -> None:
    """The other way alone would be a wrong gradient."""
    net = model(
        ("Exp", "x", "a"),
        ("Tanh", "a", "b"),
        ("ReduceProd", "b", "c"),
        ("Mul", "a c", "d"),
        ("Neg", "d", "y"),
    )
    reverse = reverse_of(net, FEEDS, ["x", "a", "b", "c", "d"])
    assert set(reverse.gradients) == {"c", "d"}
    for tensor in ("x", "a", "b"):
        assert reverse.unreached[tensor] == (
            "node2 (ReduceProd) is on its way to an output: "
            "there is no reverse rule for this operator"
        )


def test_what_nobody_asks_for_spoils_nothing() -> None:
    net = model(("ReduceProd", "x", "a"), ("Tanh", "x", "b"), ("Mul", "a b", "y"))
    assert not reverse_of(net, FEEDS, ["b"]).unreached


def test_a_step_passes_nothing_back() -> None:
    """Which values are greater does not move with them."""
    net = model(
        ("Tanh", "x", "a"),
        ("Greater", "a zero", "b"),
        ("Where", "b x zero", "y"),
        zero=np.float32(0),
    )
    reverse = reverse_of(net, FEEDS, ["x", "a"])
    assert "no way leads from it to an output" in reverse.unreached["a"]
    found = run_reverse(reverse, FEEDS, {"y": np.ones(X)})["x"]
    np.testing.assert_array_equal(found, FEEDS["x"] > 0)


def test_a_shape_is_no_value() -> None:
    net = model(
        ("Transpose", "x", "a"),
        ("Shape", "a", "s"),
        ("Reshape", "x s", "b"),
        ("Exp", "b", "y"),
    )
    check_model(net, FEEDS, ["x"])
    assert "no way leads" in reverse_of(net, FEEDS, ["a"]).unreached["a"]


@pytest.mark.parametrize("op", ["Gather", "GatherElements"])
def test_indices_computed_while_the_network_runs(op: str) -> None:
    """The choice does not move, what is chosen does; one value is chosen twice."""
    arg = helper.make_node("ArgMax", ["x"], ["i"], axis=1, keepdims=1)
    net = model(("Exp", "x", "e"), arg, helper.make_node(op, ["e", "i"], ["y"], axis=1))
    check_model(net, FEEDS, ["x"])


def test_before_operator_set_16_nothing_adds_at_computed_places() -> None:
    arg = helper.make_node("ArgMax", ["x"], ["i"], axis=1)
    net = model(arg, helper.make_node("Gather", ["x", "i"], ["y"], axis=1), opset=13)
    reverse = reverse_of(net, FEEDS, ["x"])
    assert "computed while the network runs" in reverse.unreached["x"]


def test_other_types_are_named() -> None:
    cast = helper.make_node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16)
    back = helper.make_node("Cast", ["h"], ["y"], to=TensorProto.FLOAT)
    reverse = reverse_of(model(cast, back), FEEDS, ["x", "h"])
    assert reverse.unreached["h"] == "it does not hold float32"
    assert "no way" in reverse.unreached["x"]


def test_recurrent_layers_are_refused_by_name() -> None:
    unsqueeze = ("Unsqueeze", "x axis", "a")
    gru = helper.make_node("GRU", ["a", "w", "r"], ["y"], name="reader", hidden_size=2)
    net = model(
        unsqueeze,
        gru,
        axis=np.array([0]),
        w=np.ones((1, 6, 3), np.float32),
        r=np.ones((1, 6, 2), np.float32),
    )
    reason = reverse_of(net, FEEDS, ["x"]).unreached["x"]
    assert reason.startswith("reader (GRU)")
    assert "recurrent" in reason


def branches(tensor: str) -> onnx.NodeProto:
    made = {}
    for name, op in (("then_branch", "Exp"), ("else_branch", "Neg")):
        node = helper.make_node(op, [tensor], ["inner"])
        result = helper.make_tensor_value_info("inner", TensorProto.FLOAT, X)
        made[name] = helper.make_graph([node], name, [], [result])
    return helper.make_node("If", ["condition"], ["y"], name="choice", **made)


def test_a_graph_of_its_own_is_refused_also_for_what_it_takes_from_outside() -> None:
    net = model(("Tanh", "x", "a"), branches("a"), condition=np.array(True))
    assert "choice (If)" in reverse_of(net, FEEDS, ["a"]).unreached["a"]


def test_a_name_that_is_not_in_the_network_is_said() -> None:
    assert "no way" in reverse_of(model(("Exp", "x", "y")), FEEDS, ["ghost"]).unreached["ghost"]


def test_a_size_that_depends_on_values_is_said() -> None:
    net = model(
        ("NonZero", "x", "places"),
        ("Tanh", "x", "a"),
        ("GatherND", "a turned", "b"),
        ("Exp", "b", "y"),
    )
    net.graph.node.insert(1, helper.make_node("Transpose", ["places"], ["turned"], name="t"))
    check_model(net, FEEDS, ["x"])
    softmax = model(("Transpose", "x", "a"), ("Mystery", "a", "b"), ("Softmax", "b", "y"))
    reverse = reverse_graph(softmax, {"x": X}, ["b"], ["y"])
    assert "Softmax" in reverse.unreached["b"]
    assert "shape of one of its tensors is not known" in reverse.unreached["b"]
