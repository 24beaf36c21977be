"""TPU-MLIR's tables and its lowered text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from qdebug.comparison.export import of_graph
from qdebug.encodings import Encoding, Encodings, Entry
from qdebug.encodings.source import Source
from qdebug.errors import EncodingsError, UsageError
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.vendors.advice import BetterRange, FloatLayer
from qdebug.vendors.encodings import Beside, Change
from qdebug.vendors.quant import load_quant
from qdebug.vendors.quant_model import QuantRequest
from qdebug.vendors.tpu_mlir.encodings import is_cali_table, read_cali_table, read_qtable
from qdebug.vendors.tpu_mlir.lowered import is_lowered, read_lowered
from qdebug.vendors.tpu_mlir.merge import merge_linear
from qdebug.vendors.tpu_mlir.replay import replay, steps
from qdebug.vendors.tpu_mlir.writing import write_cali_table, write_qtable
from tests.support.graphs import float_model
from tests.support.nets import NetBuilder
from tests.support.running import run_tensors

HALF = Encoding.linear("int8", 0.5)

TABLE = """\
# mlir version: v1.30.2-20260831 cali version 1.0
# genetated time: 2026-11-27 23:05:18.935707
# sample number: 16
###
# op_name    threshold    min    max
images 1.0000000 0.0000000 1.0000000
t2_Relu 2.5000000 0.0000000 4.0000000
t4_Relu 3.0000000 0.0000000 3.0000000
t5_GlobalAveragePool 2.0000000 0.0000000 2.0000000
t6_Flatten 2.0000000 0.0000000 2.0000000
scores_Gemm 6.3500000 -6.3500000 5.0000000
"""
QTABLE = "# op_name   quantize_mode\nt4_Relu F16\n"


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    path = tmp_path / "float.onnx"
    path.write_bytes(float_model().SerializeToString())
    return load_graph(path)


def source(text: str, name: str = "cali_table") -> Source:
    return Source(Path(name), text.encode())


def test_a_table_is_known_by_its_heading_or_by_its_rows() -> None:
    rows = "".join(line + "\n" for line in TABLE.splitlines() if not line.startswith("#"))
    assert is_cali_table(source(TABLE))
    assert is_cali_table(source(rows))
    assert not is_cali_table(source("conv_0_param_0 10.0 20.0 30.0\nconv_0 4.5\n"))
    assert not is_cali_table(source("some words of four\n"))


def test_signs_and_steps_follow_from_the_smallest_value(graph: Graph) -> None:
    found = {e.name: e for e in read_cali_table(source(TABLE), Beside(graph)).entries}
    assert found["t2_Relu"].encoding == Encoding.linear("uint8", np.float32(2.5 / 255))
    assert found["scores_Gemm"].encoding == Encoding.linear("int8", np.float32(0.05))
    assert found["t2_Relu"].line == 7


def test_the_table_makes_a_twin(graph: Graph, tmp_path: Path) -> None:
    table, second = tmp_path / "cali", tmp_path / "qtable"
    table.write_text(TABLE)
    second.write_text(QTABLE)
    made = load_quant(QuantRequest(table), graph)
    assert made.info is not None
    assert (made.info.placed, made.info.entries, made.info.unplaced) == (6, 6, ())
    assert "w2_quantized" in made.graph.initializers
    mixed = load_quant(QuantRequest(table, second=second), graph)
    assert mixed.info is not None
    assert mixed.info.entries == 7
    assert "w2" in mixed.graph.initializers  # its Relu is kept in float, and the Conv with it
    assert "w1_quantized" in mixed.graph.initializers


BAD = {
    "columns": ("t2_Relu 2.5", "line 6: a row has 2 columns"),
    "zero": ("t2_Relu 0.0 0.0 0.0", "line 6: the threshold of 't2_Relu' is 0"),
    "negative": ("t2_Relu -1 0.0 0.0", "line 6: the threshold of 't2_Relu' is -1"),
    "nan": ("t2_Relu nan 0.0 0.0", "line 6: the threshold of 't2_Relu' is nan"),
    "words": ("t2_Relu a b c", "line 6: the threshold of 't2_Relu' is 'a', which is no number"),
    "order": ("t2_Relu 1 2 1", "line 6: the min of 't2_Relu' is above its max"),
    "bidi": ("t2\u202e 1 2", "line 6: a row has 3 columns"),
    "twice": ("t2_Relu 1 0 1\nt2_Relu 1 0 1", "line 7: 't2_Relu' has a second entry, as in line 6"),
}


@pytest.mark.parametrize(("row", "message"), BAD.values(), ids=BAD)
def test_a_bad_row_is_named_with_its_line(row: str, message: str, graph: Graph) -> None:
    heading = "".join(line for line in TABLE.splitlines(True) if line.startswith("#"))
    with pytest.raises(EncodingsError) as caught:
        read_cali_table(source(heading + row + "\n"), Beside(graph))
    assert message in caught.value.message


def test_a_quantization_table_alone_is_no_model(graph: Graph) -> None:
    with pytest.raises(EncodingsError, match="no thresholds"):
        read_qtable(source(QTABLE), Beside(graph))


def test_a_table_of_another_model_is_refused_with_its_first_name(
    graph: Graph, tmp_path: Path
) -> None:
    path = tmp_path / "cali_table"
    path.write_text(TABLE.replace("\nt", "\nu"))
    with pytest.raises(EncodingsError, match="has a place for 2 of 6 entries only") as caught:
        load_quant(QuantRequest(path), graph)
    assert "another model" in str(caught.value.hint)


LOWERED = """\
#loc = loc(unknown)
module @net attributes {module.chip = "bm1684x", module.state = "TPU_LOWERED"} {
  func.func @main(%arg0: tensor<1x3x8x8xf32> loc(unknown)) -> tensor<1x4xf32> {
    %1 = "top.Input"(%arg0) {channel_format = "nchw"} : (tensor<1x3x8x8xf32>) -> \
tensor<1x3x8x8x!quant.calibrated<f32<-1.0:1.0>>> loc(#loc1)
    %2 = "tpu.Cast"(%1) {with_scale = true} : (tensor<1x3x8x8x!quant.calibrated<f32<-1.0:1.0>>>) \
-> tensor<1x3x8x8x!quant.uniform<i8:f32, 0.0078125>> loc(#loc2)
    %5 = "tpu.Conv2D"(%2, %3, %4) {dilations = [1, 1], do_relu = true, group = 1 : i64, \
multiplier = [3], pads = [0, 0, 0, 0], round_mode = #tpu<round_mode HalfUp>, rshift = [2], \
strides = [1, 1]} : (tensor<1x3x8x8x!quant.uniform<i8:f32, 0.0078125>>) -> \
tensor<1x8x8x8x!quant.uniform<u8:f32, 0.0125>> loc(#loc3)
    %6 = "tpu.Add"(%5, %5) {do_relu = false, multipliers = [9, 1], rshifts = [3, 0]} : \
(tensor<1x8x8x8x!quant.uniform<u8:f32, 0.0125>>) -> \
tensor<1x8x8x8x!quant.uniform<i8:f32, 0.02:3>> loc(#loc4)
    %7:2 = "tpu.Split"(%6) {axis = 1} : (tensor<1x8x8x8x!quant.uniform<i8:f32, 0.02>>) -> \
(tensor<1x4x8x8x!quant.uniform<i8:f32, 0.02>>, tensor<1x4x8x8xf16>) loc(#loc5)
  }
}
#loc1 = loc("images")
#loc2 = loc("imagest2_Relu_si8")
#loc3 = loc("t2_Relu")
#loc4 = loc("t3_Add")
#loc5 = loc(fused["a_Split", "b_Split"])
"""


def test_the_lowered_text_says_what_runs(graph: Graph) -> None:
    text = source(LOWERED, "net_tpu.mlir")
    assert is_lowered(text)
    found = {e.name: e for e in read_lowered(text, Beside(graph)).entries}
    assert {name: e.encoding for name, e in found.items()} == {
        "images": Encoding.linear("int8", 0.0078125),
        "t2_Relu": Encoding.linear("uint8", 0.0125),
        "t3_Add": Encoding.linear("int8", 0.02, 3),
        "a_Split": Encoding.linear("int8", 0.02),
        "b_Split": Encoding("float16"),
    }
    assert found["b_Split"].kind == "node"


def test_a_layer_in_float_hands_codes_to_the_next_one(graph: Graph) -> None:
    """As TPU-MLIR 1.30.2 lowers a layer that a quantization table keeps in F16."""
    real = "tensor<1x8x16x16x!quant.calibrated<f16<-4.0:4.0>>>"
    text = LOWERED.replace(
        "  }\n}",
        f'    %8 = "tpu.Conv2D"(%6) {{a = 1}} : (tensor<1xf16>) -> {real} loc(#loc6)\n'
        f'    %9 = "tpu.Cast"(%8) {{b = true}} : ({real}) -> '
        "tensor<1x8x16x16x!quant.uniform<i8:f16, 0.03125>> loc(#loc7)\n  }\n}",
    )
    text += '#loc6 = loc("t9_Conv")\n#loc7 = loc("t9_Convx_si8")\n'
    entries = read_lowered(source(text, "net_tpu.mlir"), Beside(graph)).entries
    assert {(e.kind, e.encoding.dtype) for e in entries if e.name == "t9_Conv"} == {
        ("node", "float16"),
        ("tensor", "int8"),
    }


def test_layers_are_replayed_in_integers() -> None:
    known = steps(source(LOWERED))
    conv, add = known["t2_Relu"], known["t3_Add"]
    assert (conv.operands[0], conv.dtype, conv.rounding) == (
        "imagest2_Relu_si8",
        "uint8",
        "half_up",
    )
    codes = np.asarray([-1, 1, 2, 90]).reshape(1, 1, 2, 2)
    weight = np.ones((1, 1, 1, 1), np.int64)
    made = replay(conv, [codes], weight, np.asarray([1]))
    assert made is not None
    # (code + 1) * 3 >> 2, halves up, nothing below zero.
    assert made.ravel().tolist() == [0, 2, 2, 68]
    both = replay(add, [codes, codes])
    assert both is not None
    assert both.ravel().tolist() == [-2, 2, 4, 127]
    assert replay(known["a_Split"], [codes]) is None


def change(graph: Graph, **parts: Any) -> Change:
    base = of_graph(graph)
    return Change(base.encodings, base.layers, **parts)


def test_a_table_is_written_back_byte_for_byte_or_with_one_threshold(graph: Graph) -> None:
    table = source(TABLE.replace("\n", "\r\n"))
    assert write_cali_table(change(graph, base=table)).content == table.content
    layer = FloatLayer("relu1", "Relu", "t2")
    better = (BetterRange(layer, 0.0, 3.25, clips=True),)
    written = write_cali_table(change(graph, base=table, ranges=better)).content.decode()
    assert "t2_Relu 3.2500000 0.0000000 4.0000000\r\n" in written
    assert written.replace("3.2500000", "2.5000000") == table.text
    gone = BetterRange(FloatLayer("x", "Relu", "x"), 0.0, 1.0, clips=True)
    notes = write_cali_table(change(graph, base=table, ranges=(gone,))).notes
    assert notes == ("the table has no row for x_Relu",)
    (note,) = write_cali_table(change(graph, base=table, keep=(layer,))).notes
    assert "1 layer to keep in float: that stands in the quantization table" in note


def test_what_is_written_is_read_again(graph: Graph, tmp_path: Path) -> None:
    path = tmp_path / "cali"
    path.write_text(TABLE)
    made = load_quant(QuantRequest(path), graph).graph
    parts = change(made)
    names = Change(parts.encodings, change(graph).layers)
    again = read_cali_table(source(write_cali_table(names).content.decode()), Beside(graph))
    first = read_cali_table(source(TABLE), Beside(graph))
    assert {e.name for e in again.entries} == {e.name for e in first.entries}
    for entry in again.entries:
        wanted = next(e for e in first.entries if e.name == entry.name).encoding
        assert entry.encoding.dtype == wanted.dtype
        assert entry.encoding.scale == pytest.approx(wanted.scale, rel=1e-6)


def test_the_quantization_table_names_tensors_with_their_operators(graph: Graph) -> None:
    layer = FloatLayer("relu1", "Relu", "t2")
    written = write_qtable(change(graph, keep=(layer,))).content.decode()
    assert written == "# op_name   quantize_mode\nt2_Relu F16\n"
    with pytest.raises(UsageError, match="nothing is to be kept"):
        write_qtable(change(graph))


def test_the_quantization_table_has_the_names_of_the_calibration_table(graph: Graph) -> None:
    """A Conv is named after the Relu that is computed with it; what has no row is told."""
    conv, fc = FloatLayer("conv1", "Conv", "t1"), FloatLayer("x", "Add", "gone")
    asked = Change(Encodings(()), (), (conv, fc), base=source(TABLE), float_graph=graph)
    written = write_qtable(asked)
    assert written.content.decode() == "# op_name   quantize_mode\nt2_Relu F16\n"
    assert [note.split(":")[0] for note in written.notes] == ["the table has no row for gone_Add"]
    (note,) = write_qtable(Change(Encodings(()), (), (conv,))).notes
    assert "passes over a row with another name" in note
    with pytest.raises(UsageError, match="no row for any of the 1 layers"):
        write_qtable(Change(Encodings(()), (), (fc,), base=source(TABLE)))


def test_two_linear_convs_are_one(tmp_path: Path) -> None:
    net = NetBuilder(0)
    x = net.input("x", (1, 3, 4, 4))
    first = net.conv(x, 3, 5, k=1)
    model = net.model(net.conv(first, 5, 2, k=1))
    out = model.graph.output[0].name
    names = Encodings((Entry("x", Encoding.linear("int8", 0.1)), Entry(f"{out}_Conv", HALF)))
    feeds = {"x": np.random.default_rng(1).normal(0, 1, (1, 3, 4, 4)).astype(np.float32)}
    before = run_tensors(model, feeds, [out])[out]
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    merged = merge_linear(copy, names)
    assert [n.op_type for n in merged.graph.node] == ["Conv"]
    assert np.allclose(run_tensors(merged, feeds, [out])[out], before, atol=1e-5)
    kept = Encodings((*names.entries, Entry(f"{first}_Conv", HALF)))
    copy.CopyFrom(model)
    assert len(merge_linear(copy, kept).graph.node) == 2


def test_thresholds_far_below_what_was_seen_are_told(graph: Graph) -> None:
    cut = TABLE.replace("t4_Relu 3.0000000", "t4_Relu 0.3000000")
    (note,) = read_cali_table(source(cut), Beside(graph)).notes
    assert note == (
        "1 threshold lies below half of what calibration saw, lowest of all: t4_Relu at 0.3 of 3"
    )
    assert read_cali_table(source(TABLE), Beside(graph)).notes == ()
