"""RKNN's quantization.cfg."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdebug.encodings import Encoding, Encodings
from qdebug.encodings.source import Source
from qdebug.errors import EncodingsError, UsageError
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.vendors.advice import FloatLayer
from qdebug.vendors.encodings import Beside, Change
from qdebug.vendors.quant import load_quant
from qdebug.vendors.quant_model import QuantRequest
from qdebug.vendors.rknn.cfg import is_cfg, read_cfg
from qdebug.vendors.rknn.encodings import quantize_weight, read
from qdebug.vendors.rknn.writing import write_cfg
from tests.support.graphs import float_model
from tests.support.nets import NetBuilder

ROW = """\
    {name}:
        qtype: asym
        qmethod: layer
        dtype: int8
        min:
        -   -1.0
        max:
        -   1.0
        scale:
        -   {scale}
        zero_point:
        -   3
        ori_min:
        -   -1.0
        ori_max:
        -   1.0
"""


def cfg(*names: str, scale: str = "0.0078125", custom: str = "") -> str:
    rows = "".join(ROW.format(name=name, scale=scale) for name in names)
    return f"custom_quantize_layers:{custom}    # 0.9\nquantize_parameters:\n{rows}"


def source(text: str) -> Source:
    return Source(Path("m.quantization.cfg"), text.encode())


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    path = tmp_path / "float.onnx"
    path.write_bytes(float_model().SerializeToString())
    return load_graph(path)


def test_scales_zero_points_and_float_layers_are_read(graph: Graph) -> None:
    text = cfg("t2", "'477'", custom="\n    t2: float16\n    '477': int16\n")
    found = {(e.kind, e.name): e for e in read(source(text), Beside(graph)).entries}
    assert found["tensor", "t2"].encoding == Encoding.linear("int8", 0.0078125, 3)
    assert found["node", "t2"].encoding == Encoding("float16")
    assert found["tensor", "477"].encoding.dtype == "int16"


def test_a_cfg_becomes_the_twin(graph: Graph, tmp_path: Path) -> None:
    tensors = [*graph.inputs, *(node.outputs[0] for node in graph.nodes if node.op == "Relu")]
    path = tmp_path / "m.quantization.cfg"
    path.write_text(cfg(f"{tensors[0]}_int8", *tensors[1:]))
    made = load_quant(QuantRequest(path), graph)
    assert made.info is not None
    assert made.info.placed == made.info.entries == len(tensors)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (cfg("a", scale="0.0"), "a scale of 'a' is 0"),
        (cfg("a", scale="-1.0"), "a scale of 'a' is -1"),
        (cfg("a", scale=".nan"), "is no number|is nan"),
        (cfg("a", "a"), "line 19: 'a' stands in it twice"),
        (cfg("a", custom="\n    a: int4\n"), "line 2: 'a' shall be 'int4'"),
        ("customized_quantize_layers: {}\nquantize_parameters: {}\n", "line 1: .*version 1"),
        ("quantize_parameters:\n    a: &x {}\n    b: *x\n", "line 2: it refers to another place"),
        ("quantize_parameters: !!python/object:os.system {}\n", "line 1: it has a tag"),
        ("quantize_parameters:\n  a: [1\n", "it is no YAML"),
        ("custom_quantize_layers:\n", "it has no quantize_parameters"),
        ("quantize_parameters:\n", "it has no entries"),
        ("quantize_parameters: " + "[" * 5000, "it is no YAML"),
    ],
)
def test_a_broken_cfg_is_refused(text: str, told: str, graph: Graph) -> None:
    assert is_cfg(source(text))
    with pytest.raises(EncodingsError, match=told):
        read(source(text), Beside(graph))


def test_weights_are_asymmetric_and_a_channel_of_zeros_stays_zero(graph: Graph) -> None:
    weight = np.asarray([[-1.0, 2.0], [0.0, 0.0]], np.float32).reshape(2, 2, 1, 1)
    node = next(node for node in graph.nodes if node.op == "Conv")
    coded = quantize_weight(weight, node, 0)
    assert coded.encoding.scale is not None
    assert coded.encoding.zero_point is not None
    steps = coded.codes - coded.encoding.zero_point.reshape(2, 1, 1, 1)
    real = steps * coded.encoding.scale.reshape(2, 1, 1, 1)
    assert np.abs(real[0] - weight[0]).max() <= coded.encoding.scale[0] / 2
    assert (real[1] == 0).all()


def test_a_product_before_an_activation_or_a_sum_has_no_codes_of_its_own(tmp_path: Path) -> None:
    net = NetBuilder(0)
    x = net.conv(net.input("images", [1, 4, 8, 8]), 4, 4)
    active = net.op("Relu", x)
    product = net.conv(active, 4, 4)
    total = net.op("Add", product, active)
    path = tmp_path / "float.onnx"
    path.write_bytes(net.model(total).SerializeToString())
    table = tmp_path / "m.quantization.cfg"
    table.write_text(cfg(x, active, product, total))
    made = load_quant(QuantRequest(table), load_graph(path))
    assert made.info is not None
    reasons = {item.name: item.reason for item in made.info.unplaced}
    assert reasons == {
        x: "the activation behind it is computed with it",
        product: "the Add behind it is computed with it",
    }


def test_a_float16_sum_is_computed_apart_from_its_product(tmp_path: Path) -> None:
    """As RKNN-Toolkit2 2.5.0 computes it: held against its simulator (benchmarks.vendors)."""
    net = NetBuilder(0)
    x = net.conv(net.input("images", [1, 4, 8, 8]), 4, 4)
    product = net.conv(x, 4, 4)
    total = net.op("Add", product, x)
    path = tmp_path / "float.onnx"
    path.write_bytes(net.model(total).SerializeToString())
    table = tmp_path / "m.quantization.cfg"
    table.write_text(cfg(x, product, total, custom=f"\n    {total}: float16\n"))
    made = load_quant(QuantRequest(table), load_graph(path))
    assert made.info is not None
    assert made.info.unplaced == ()


def test_what_rknn_makes_itself_has_its_reason(graph: Graph, tmp_path: Path) -> None:
    path = tmp_path / "m.quantization.cfg"
    path.write_text(cfg("images", "t2", "t4", "t5", "pool_2conv0", "w1_dup3", "t3_sw", "gone"))
    info = load_quant(QuantRequest(path), graph).info
    assert info is not None
    assert {item.name: item.reason for item in info.unplaced} == {
        "pool_2conv0": "RKNN computes a global average with Convs of its own",
        "w1_dup3": "RKNN copies a constant for each of its readers",
        "t3_sw": "RKNN swaps two operators: it holds what the one behind computes",
        "gone": "no tensor has that name",
    }


def written(text: str, *layers: FloatLayer) -> tuple[str, tuple[str, ...]]:
    change = Change(Encodings(()), layers, keep=layers, base=source(text))
    made = write_cfg(change)
    return made.content.decode(), made.notes


def test_lines_are_put_in_and_nothing_else_is_touched() -> None:
    text = cfg("t2", "t4", "'477'")
    made, notes = written(text, FloatLayer("n", "Conv", "t4"), FloatLayer("m", "Conv", "477"))
    added = "    t4: float16\n    '477': float16\n"
    assert made.replace(added, "") == text
    assert not notes
    again = read_cfg(source(made))
    assert {name: kind for name, (kind, _) in again.custom.items()} == {
        "t4": "float16",
        "477": "float16",
    }


def test_a_cfg_that_is_not_changed_is_the_same_bytes() -> None:
    text = cfg("t2").replace("\n", "\r\n")
    assert write_cfg(Change(Encodings(()), (), base=source(text))).content == text.encode()


def test_names_that_step_2_may_refuse_are_told() -> None:
    text = cfg("t2-rs", "t4")
    _, notes = written(text, FloatLayer("n", "Conv", "t2"), FloatLayer("m", "Concat", "t4"))
    assert "step 2 may refuse 2 of these names" in notes[0]
    _, notes = written(text, FloatLayer("x", "Conv", "gone"))
    assert "1 layer has no entry in the cfg" in notes[0]


def test_a_hostile_name_is_quoted_so_that_it_is_read_back() -> None:
    name = "a\u202eb: c"
    text = cfg("t2") + ROW.format(name='"a\\u202eb: c"', scale="0.5")
    made, _ = written(text, FloatLayer("n", "Conv", name))
    assert name in read_cfg(source(made)).custom


def test_without_its_own_cfg_nothing_is_written() -> None:
    layer = FloatLayer("n", "Conv", "t2")
    with pytest.raises(UsageError, match="its own cfg only"):
        write_cfg(Change(Encodings(()), (layer,), keep=(layer,)))
