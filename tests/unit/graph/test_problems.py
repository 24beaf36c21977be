"""What ONNX Runtime will not run, said so that one knows what to do."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper

from qdebug.graph.load import load_graph
from qdebug.graph.problems import explain_ort_error, unsupported_ops
from tests.unit.graph.conftest import Load, Write

node = helper.make_node
X = {"x": [1, 4]}


@pytest.mark.parametrize(
    ("op", "domain", "vendor"),
    [
        ("ExtendedQuantizeLinear", "com.amd.quark", "AMD Quark"),
        ("Quant", "qonnx.custom_op.general", "QONNX"),
        ("AscendQuant", "", "Ascend AMCT"),
        ("EfficientNMS_TRT", "", "TensorRT"),
        ("FakeQuantize", "org.openvinotoolkit", "OpenVINO NNCF"),
        ("QcQuantizeOp", "aimet.customop.cpu", "AIMET"),
        ("HzPreprocess", "", "Horizon"),
        ("Anything", "my.company", ""),
    ],
)
def test_operators_of_vendors_are_named(load: Load, op: str, domain: str, vendor: str) -> None:
    nodes = [node(op, ["x"], ["a"], domain=domain, name="first"),
             node(op, ["a"], ["y"], domain=domain)]  # fmt: skip
    graph = load(nodes, X, ["y"])
    (found,) = unsupported_ops(graph)
    assert (found.op, found.vendor, found.node, found.count) == (op, vendor, "first", 2)
    error = explain_ort_error(graph, "whatever it said")
    assert op in error.message and vendor in error.message
    assert error.hint == found.hint


def test_operators_that_run_are_not_listed(load: Load) -> None:
    nodes = [node("Relu", ["x"], ["a"]), node("QuickGelu", ["a"], ["y"], domain="com.microsoft")]
    assert unsupported_ops(load(nodes, X, ["y"])) == []


def test_per_channel_before_opset_13(load: Load) -> None:
    given = {"w": np.ones((4, 4), np.int8), "s": np.ones(4, np.float32), "z": np.zeros(4, np.int8)}
    nodes = [node("DequantizeLinear", ["w", "s", "z"], ["d"], name="dq"),
             node("MatMul", ["x", "d"], ["y"])]  # fmt: skip
    error = explain_ort_error(load(nodes, X, ["y"], given, opset=11), "fail")
    assert "per channel" in error.message and "'dq'" in error.message
    assert "opset 13" in (error.hint or "")


def test_a_wrong_shape_as_onnx_runtime_words_it(write: Write) -> None:
    path = write([node("Relu", ["x"], ["y"])], X, ["y"])
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    with pytest.raises(Exception, match="invalid dimensions") as caught:
        session.run(None, {"x": np.ones((1, 5), np.float32)})
    error = explain_ort_error(load_graph(path), str(caught.value))
    assert "'x'" in error.message
    assert "\n" not in error.message


def test_long_messages_are_cut_to_one_line(load: Load) -> None:
    graph = load([node("Relu", ["x"], ["y"])], X, ["y"])
    error = explain_ort_error(graph, "[ONNXRuntimeError] : 1 : FAIL : " + "line\n" * 200)
    assert len(error.message) < 400
    assert "\n" not in error.message
