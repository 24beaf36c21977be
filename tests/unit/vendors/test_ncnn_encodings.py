"""ncnn's calibration table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdebug.encodings.source import Source
from qdebug.errors import EncodingsError, UsageError
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.vendors.advice import BetterRange, FloatLayer
from qdebug.vendors.encodings import Beside, Change
from qdebug.vendors.ncnn.encodings import read_table
from qdebug.vendors.ncnn.table import is_table, layers_of, matched
from qdebug.vendors.ncnn.writing import write_table
from qdebug.vendors.onnxruntime.encodings import is_calibration_cache
from qdebug.vendors.quant import load_quant
from qdebug.vendors.quant_model import QuantRequest
from tests.support.graphs import float_model


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    path = tmp_path / "float.onnx"
    path.write_bytes(float_model().SerializeToString())
    return load_graph(path)


def table_of(graph: Graph, top: float = 127.0, names: str = "layer") -> str:
    """A table as ncnn2table writes one for the Convs of a graph: blank at each line's end."""
    weights, inputs = [], []
    convs = [node for node in graph.nodes if node.op == "Conv"]
    for at, node in enumerate(convs):
        weight = graph.constant(node.inputs[1])
        assert weight is not None
        scales = top / np.abs(weight).max(axis=(1, 2, 3))
        weights.append(f"{names}_{at}_param_0 " + "".join(f"{x:f} " for x in scales))
        inputs.append(f"{names}_{at} {40 + at:f} ")
    return "\n".join([*weights, *inputs, ""])


def source(text: str) -> Source:
    return Source(Path("model.table"), text.encode())


def test_layers_are_found_by_their_weights_whatever_their_names(graph: Graph) -> None:
    found = read_table(source(table_of(graph, names="renamed")), Beside(graph))
    convs = [node for node in graph.nodes if node.op == "Conv"]
    tensors = [e for e in found.entries if e.kind == "tensor"]
    assert {e.readers[0] for e in tensors} == {node.label for node in convs}
    assert {e.name for e in tensors} == {node.inputs[0] for node in convs}
    assert all(not e.homeless and e.encoding.narrow for e in found.entries)


def test_a_table_becomes_the_twin(graph: Graph, tmp_path: Path) -> None:
    path = tmp_path / "model.table"
    path.write_text(table_of(graph))
    made = load_quant(QuantRequest(path), graph)
    assert made.info is not None
    assert made.info.placed == made.info.entries == 2 * len(layers_of(Source.read(path)))
    assert any(node.op == "QuantizeLinear" for node in made.graph.nodes)


def test_weights_for_winograd_have_six_bits(graph: Graph) -> None:
    assert matched(layers_of(source(table_of(graph, top=31))), graph)


def test_another_model_s_table_is_said_to_be_one(graph: Graph, tmp_path: Path) -> None:
    path = tmp_path / "model.table"
    path.write_text("conv_0_param_0 3.000000 4.000000 \nconv_0 5.000000 \n")
    with pytest.raises(EncodingsError) as caught:
        load_quant(QuantRequest(path), graph)
    assert "no weight of the float model has its scales" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a_param_0 1.0 2.0\n", "line 1: 'a' has no line for its input"),
        ("a_param_0 1.0\na 2.0\nb 3.0\n", "line 3: 'b' has no line for its weight"),
        ("a_param_0 1.0 0.0\na 2.0\n", "line 1: a scale of 'a_param_0' is 0"),
        ("a_param_0 1.0\na -2.0\n", "line 2: a scale of 'a' is -2"),
        ("a_param_0 1.0 nan\na 2.0\n", "line 1: a scale of 'a_param_0' is nan"),
        ("a_param_0 1.0\na inf\n", "line 2: a scale of 'a' is inf"),
        ("a_param_0 1.0\na 2.0\na 2.0\n", "line 3: 'a' has a second line, as line 2"),
        ("a_param_0 1.0 x\na 2.0\n", "which is no number"),
        ("a_param_0 1.0\na 2.0 3.0\n", "line 2: 'a' has 2 scales"),
    ],
)
def test_a_broken_table_is_refused_with_its_line(text: str, told: str) -> None:
    with pytest.raises(EncodingsError, match=told.replace("(", r"\(")):
        layers_of(source(text))


def test_a_channel_of_zeros_has_an_infinite_scale() -> None:
    (layer,) = layers_of(source("a_param_0 1.0 inf \na 2.0 \n"))
    assert np.isinf(layer.weight[1])


def test_a_table_is_not_taken_for_a_calibration_cache(graph: Graph) -> None:
    assert is_table(source(table_of(graph)))
    assert not is_calibration_cache(source(table_of(graph)))
    assert not is_table(source("images 1.0\n"))


def change(graph: Graph, **what: object) -> Change:
    base = source(table_of(graph))
    encodings = read_table(base, Beside(graph))
    return Change(encodings, (), base=base, float_graph=graph, **what)  # type: ignore[arg-type]


def conv_layer(graph: Graph) -> FloatLayer:
    node = next(node for node in graph.nodes if node.op == "Conv")
    return FloatLayer(node.label, node.op, node.outputs[0])


def test_a_table_that_is_not_changed_is_the_same_bytes(graph: Graph) -> None:
    assert write_table(change(graph)).content == table_of(graph).encode()


def test_both_lines_of_a_float_layer_are_commented_out(graph: Graph) -> None:
    written = write_table(change(graph, keep=(conv_layer(graph),))).content.decode()
    dropped = [line.split()[0] for line in written.splitlines() if line.startswith("#")]
    assert dropped == ["#layer_0_param_0", "#layer_0"]
    assert written.replace("#", "") == table_of(graph)
    assert len(layers_of(source(written))) == len(layers_of(source(table_of(graph)))) - 1


def test_a_better_range_changes_the_line_of_each_reader(graph: Graph) -> None:
    node = next(node for node in graph.nodes if node.op == "Conv")
    fed = FloatLayer("", "", node.inputs[0])
    better = BetterRange(fed, -1.0, 2.0, clips=False)
    written = source(write_table(change(graph, ranges=(better,))).content.decode())
    assert layers_of(written)[0].fed == pytest.approx(63.5)
    assert layers_of(written)[1:] != []


def test_a_table_is_not_made_of_nothing(graph: Graph) -> None:
    empty = Change(read_table(source(table_of(graph)), Beside(graph)), ())
    with pytest.raises(UsageError, match="layer names of pnnx"):
        write_table(empty)
