"""Cutting a graph off before operators that ONNX Runtime does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from qdebug.errors import ModelError, UsageError
from qdebug.graph import cut
from qdebug.graph.model import Graph
from qdebug.graph.shapes import infer_types
from tests.support import graphs


def graph_of(model: onnx.ModelProto) -> Graph:
    graph = Graph(model, Path("float.onnx"), "")
    graph.types = infer_types(graph)
    return graph


def with_end(
    model: onnx.ModelProto, op: str, reads: list[str], domain: str = "", **attributes: Any
) -> onnx.ModelProto:
    """A model whose output goes through one more operator, which reads another input as well."""
    node = helper.make_node(op, reads, ["found"], name="end", domain=domain, **attributes)
    model.graph.node.append(node)
    if "im_info" in reads:
        info = helper.make_tensor_value_info("im_info", TensorProto.FLOAT, [1, 3])
        model.graph.input.append(info)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("found", TensorProto.FLOAT, None))
    if domain:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    return model


@pytest.mark.parametrize(
    ("op", "domain"),
    [
        ("EfficientNMS_TRT", ""),
        ("DetectionOutput", ""),
        ("BatchedNMS_TRT", ""),
        ("HzDetection", "horizon"),
        ("Filter", "x"),
    ],
)
def test_a_vendor_s_end_is_cut_off_and_told(op: str, domain: str) -> None:
    model = with_end(graphs.float_model(), op, ["scores", "t4", "im_info"], domain)
    made = cut.before_foreign(graph_of(model))
    assert made is not None
    assert made.graph.outputs == ["scores", "t4"]
    assert made.graph.inputs == ["images"]
    onnx.checker.check_model(made.graph.proto, full_check=True)
    info = made.info
    assert (info.operators, info.nodes, info.layers, info.inputs) == ((op,), 1, 0, ("im_info",))


def test_a_graph_without_foreign_operators_is_not_cut() -> None:
    assert cut.before_foreign(graph_of(graphs.float_model())) is None
    assert cut.before_foreign(graph_of(graphs.qdq_model())) is None


def test_an_operator_of_onnx_runtime_s_own_is_not_foreign() -> None:
    model = with_end(graphs.float_model(), "ScaledTanh", ["scores"])
    assert cut.before_foreign(graph_of(model)) is None
    model = with_end(graphs.float_model(), "SimplifiedLayerNormalization", ["scores", "b3"])
    assert cut.before_foreign(graph_of(model)) is None


def test_what_computes_sizes_for_the_end_is_no_output() -> None:
    model = graphs.float_model()
    model.graph.node.append(helper.make_node("Shape", ["t4"], ["size"], name="shape"))
    made = cut.before_foreign(graph_of(with_end(model, "Proposal", ["scores", "size"])))
    assert made is not None
    assert made.graph.outputs == ["scores"]


def test_layers_behind_the_end_are_counted() -> None:
    model = graphs.float_model()
    pool = next(node for node in model.graph.node if node.name == "pool")
    pool.input[0] = "kept"
    model.graph.node.append(helper.make_node("Proposal", ["t4"], ["kept"], name="proposal"))
    made = cut.before_foreign(graph_of(model))
    assert made is not None
    assert (made.graph.outputs, made.info.layers) == (["t4"], 1)


def test_an_operator_that_most_layers_need_is_refused() -> None:
    model = graphs.float_model()
    relu = next(node for node in model.graph.node if node.name == "relu1")
    relu.op_type = "VendorSwish"
    with pytest.raises(ModelError, match=r"VendorSwish.*before it lie 1 of 3 layers") as caught:
        cut.before_foreign(graph_of(model))
    assert "--outputs" in str(caught.value.hint)
    made = cut.at(graph_of(model), ["t1"])
    assert made.info.layers == 2


def test_operators_that_quantize_are_never_cut_around() -> None:
    model = with_end(graphs.float_model(), "QcQuantizeOp", ["scores"], "aimet.customop")
    with pytest.raises(ModelError, match="AIMET"):
        cut.before_foreign(graph_of(model))


def test_outputs_are_named_by_tensor_or_node() -> None:
    graph = graph_of(graphs.float_model())
    assert cut.named(graph, "t4, fc") == ["t4", "scores"]
    with pytest.raises(UsageError, match="computes no tensor 'relu3'") as caught:
        cut.named(graph, "relu3")
    assert "relu" in str(caught.value.hint)


def test_a_tensor_behind_a_foreign_operator_cannot_be_an_output() -> None:
    model = with_end(graphs.float_model(), "DetectionOutput", ["scores"])
    with pytest.raises(ModelError, match="needs the operator DetectionOutput"):
        cut.at(graph_of(model), ["found"])


def test_an_operator_inside_a_body_counts() -> None:
    body = helper.make_graph(
        [helper.make_node("Filter", ["scores"], ["inner"], domain="vendor")],
        "body",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, [1, 4])],
    )
    model = with_end(graphs.float_model(), "If", ["flag"], then_branch=body, else_branch=body)
    model.graph.input.append(helper.make_tensor_value_info("flag", TensorProto.BOOL, []))
    model.opset_import.append(helper.make_opsetid("vendor", 1))
    made = cut.before_foreign(graph_of(model))
    assert made is not None
    assert made.graph.outputs == ["scores"]
