"""What kind of model a graph is said to be."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from qdebug.graph.describe import describe
from qdebug.graph.load import load_graph
from tests.support.flavours import FLAVOURS
from tests.support.flavours.quantizers import Desk
from tests.support.nets import NETS

KINDS = {
    "QDQ per tensor": ("qdq", "int8 activations, int8 weights per tensor"),
    "QDQ per channel": ("qdq", "per channel"),
    "QDQ 16-bit activations": ("qdq", "uint16 activations"),
    "QDQ int4 weights": ("qdq", "int4 weights"),
    "QCDQ": ("qdq", "int8 activations"),
    "QONNX": ("qdq", ""),
    "QOperator": ("qoperator", "int8 activations"),
    "dynamic": ("dynamic", "dynamic uint8 activations, uint8 weights"),
    "MatMulNBits": ("mixed", "4-bit weights in blocks"),
    "float16": ("float16", "float16"),
    "ORT-extended": ("float", "float32"),
}


@pytest.mark.parametrize("name", KINDS)
def test_formats_and_types(name: str, tmp_path: Path) -> None:
    flavour = next(f for f in FLAVOURS if f.name == name)
    onnx.save(flavour.make(NETS["attention"](), Desk(tmp_path))[1], tmp_path / "m.onnx")
    info = describe(load_graph(tmp_path / "m.onnx"))
    form, words = KINDS[name]
    assert info.format == form
    assert words in (info.detail or "")
    assert info.file == "m.onnx"
    assert info.nodes == len(onnx.load(tmp_path / "m.onnx").graph.node)


def test_counts_and_opset_of_a_float_model(tmp_path: Path) -> None:
    model = NETS["twins"]()
    model.producer_name, model.producer_version = "exporter", "1.2"
    onnx.save(model, tmp_path / "m.onnx")
    info = describe(load_graph(tmp_path / "m.onnx"))
    outputs = [name for node in model.graph.node for name in node.output]
    assert (info.opset, info.producer, info.tensors) == (13, "exporter 1.2", len(outputs))
