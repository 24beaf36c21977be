"""TPU-MLIR's tables and its lowered text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdebug.encodings import Encoding
from qdebug.encodings.source import Source
from qdebug.errors import EncodingsError
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.vendors.encodings import Beside
from qdebug.vendors.quant_files import QuantRequest, load_quant
from qdebug.vendors.tpu_mlir.encodings import is_cali_table, read_cali_table, read_qtable
from tests.support.graphs import float_model

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
