"""TIDL, ACUITY, and files that are known and hold no ranges."""

from __future__ import annotations

from pathlib import Path

import pytest

from qdebug.encodings import Encoding, Encodings, Entry
from qdebug.encodings.source import Source
from qdebug.errors import EncodingsError, UsageError
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.vendors.acuity import encodings as acuity
from qdebug.vendors.advice import BetterRange, FloatLayer
from qdebug.vendors.ascend.encodings import write_cfg as write_amct
from qdebug.vendors.encodings import Beside, Change
from qdebug.vendors.quant import load_quant
from qdebug.vendors.quant_files import formats
from qdebug.vendors.quant_model import QuantRequest
from qdebug.vendors.rknn.encodings import read as read_cfg
from qdebug.vendors.tidl.encodings import read_params
from qdebug.vendors.tpu_mlir.encodings import read_cali_table
from tests.support.graphs import float_model
from tests.unit.vendors.test_rknn_encodings import cfg
from tests.unit.vendors.test_tpu_mlir_encodings import TABLE


def source(text: str, name: str = "file") -> Source:
    return Source(Path(name), text.encode())


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    path = tmp_path / "float.onnx"
    path.write_bytes(float_model().SerializeToString())
    return load_graph(path)


# TIDL


def tensor(low: float, high: float, scale: str = "") -> str:
    return f"min: {low} max: {high} size: 1 element_type: 0 {scale} zero_point: 0"


def params(*layers: str) -> str:
    return f"num_layers: {len(layers)}\nquant_type: SYMMETRIC\n" + "".join(layers)


def layer(name: str, outputs: str, more: str = "", depth: int = 1) -> str:
    return (
        f'layers {{\n  layer_name: "{name}"\n  layer_type: "TIDL_ConvolutionLayer"\n'
        f"  bit_depth: {depth}\n  outputs {{ {outputs} }}\n{more}}}\n"
    )


def test_tidl_s_scales_are_codes_a_unit(graph: Graph) -> None:
    weights = "  weights { min: -0.25 max: 0.5 scale: 256 }\n"
    text = params(
        layer("t2", tensor(0, 4.09663105, "scale: 56.387794494628906"), weights),
        layer("scores_netFormat", tensor(-1, 2, "scale: 64")),
        layer("t4", tensor(-1, 3), depth=2),
    )
    found = {(e.kind, e.name): e.encoding for e in read_params(source(text), Beside(graph)).entries}
    assert found["tensor", "t2"] == Encoding.linear("uint8", 1 / 56.387794494628906)
    assert found["tensor", "scores_netFormat"] == Encoding.linear("int8", 1 / 64)
    assert found["tensor", "t4"] == Encoding.linear("int16", 3 / 32767)


def test_tidl_s_list_widens_tensors(graph: Graph, tmp_path: Path) -> None:
    path, second = tmp_path / "params.prototxt", tmp_path / "wide.txt"
    path.write_text(params(layer("t2", tensor(0, 4, "scale: 60")), layer("t4", tensor(0, 2))))
    second.write_text("advanced_options:output_feature_16bit_names_list = 't2, gone'\n")
    made = load_quant(QuantRequest(path, second=second), graph)
    assert made.info is not None
    assert (made.info.form, made.info.placed) == ("TIDL quantization prototxt", 2)
    assert made.info.notes[0] == "1 tensor of the 16-bit list have no range"
    quantizers = [node for node in made.graph.nodes if node.op == "QuantizeLinear"]
    dtypes = {made.graph.type_of(node.outputs[0]).dtype for node in quantizers}
    assert dtypes == {"uint16", "uint8"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (params(layer("t2", tensor(0, 1, "scale: 0"))), r"line 7: a scale of 't2' is 0"),
        (params(layer("t2", tensor(0, 1, "scale: nan"))), "is nan"),
        (params(layer("t2", tensor(2, 1))), "the min of 't2' is above its max"),
        (params(layer("t2", tensor(0, 1)))[:-3], "a brace is never closed"),
        (params(layer("t2", tensor(0, 1))).replace("layers: 1", "layers: 3"), "holds 1"),
        (params(layer("t2", tensor(0, 1)), layer("t2", tensor(0, 2))), "has a second entry"),
        (params(layer("t2", tensor(0, 1))).replace("SYMM", "ASYMM"), "asymmetric"),
        (params(layer("t2", tensor(0, 1), depth=3)), "bit_depth '3'"),
        (params(layer("t2", "size: 1")), "has no entries"),
    ],
)
def test_a_broken_prototxt_is_refused(text: str, told: str, graph: Graph) -> None:
    with pytest.raises(EncodingsError, match=told):
        read_params(source(text), Beside(graph))


# ACUITY

ROWS = """\
customized_quantize_layers:
    Relu_relu1_7: dynamic_fixed_point-i16
quantize_parameters:
    '@Relu_relu1_7:out0':
        qtype: u8
        quantizer: asymmetric_affine
        rounding: rtne
        max_value: 2.0
        min_value: -0.5
        scale: 0.01
        zero_point: 50
    '@Conv_conv1_9:weight':
        qtype: u8
        quantizer: asymmetric_affine
        scale: 0.002
        zero_point: 128
    '@attach_Gemm_scores/out0_2:out0':
        qtype: i16
        quantizer: dynamic_fixed_point
        fl: 9
    '@Gemm_scores_3:out0':
        dtype: dynamic_fixed_point
        method: layer
        qtype: i16
        fl: 9
"""


def test_acuity_s_rows_are_found_by_node_or_tensor(graph: Graph, tmp_path: Path) -> None:
    found = {e.name: e.encoding for e in acuity.read(source(ROWS), Beside(graph)).entries}
    assert found == {
        "t2": Encoding.linear("uint8", 0.01, 50),
        "scores": Encoding.linear("int16", 2.0**-9),
    }
    path = tmp_path / "net.quantize"
    path.write_text(ROWS)
    made = load_quant(QuantRequest(path), graph)
    assert made.info is not None
    assert (made.info.form, made.info.placed) == ("ACUITY .quantize", 2)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("scale: 0.01", "scale: 0.0", "line 5: a scale of '@Relu_relu1_7:out0' is 0"),
        ("scale: 0.01", "scale: .nan", "is no number|is nan"),
        (
            "layer\n        qtype: i16\n        fl: 9",
            "layer\n        qtype: i16\n        fl: 900",
            "the fl of .* is missing or far off",
        ),
        ("zero_point: 50", "zero_point: [1, 2]", "do not fit"),
        ("@Gemm_scores_3", "@Relu_relu1_7", "line 21: '@Relu_relu1_7:out0' stands in it twice"),
        ("qtype: u8", "qtype: !!python/name:os.system u8", "line 5: it has a tag"),
        ("qtype: u8\n", "qtype: &a u8\n        more: *a\n", "line 5: it refers to another place"),
    ],
)
def test_a_broken_quantize_file_is_refused(old: str, new: str, told: str, graph: Graph) -> None:
    with pytest.raises(EncodingsError, match=told):
        acuity.read(source(ROWS.replace(old, new, 1)), Beside(graph))


def test_a_cfg_of_version_1_is_no_acuity_file(graph: Graph, tmp_path: Path) -> None:
    path = tmp_path / "m.quantization.cfg"
    path.write_text(f"%YAML 1.2\n---\n{ROWS}")
    with pytest.raises(EncodingsError, match=r"line 4: it is a cfg of RKNN-Toolkit version 1"):
        load_quant(QuantRequest(path), graph)


def test_acuity_s_rows_are_put_in_and_nothing_else_is_touched() -> None:
    def change(*keep: FloatLayer) -> Change:
        return Change(Encodings(()), keep, keep, base=source(ROWS))

    assert acuity.write_quantize(change()).content == ROWS.encode()
    layers = FloatLayer("fc", "Gemm", "scores"), FloatLayer("x", "Conv", "gone")
    written = acuity.write_quantize(change(*layers))
    names = "attach_Gemm_scores/out0_2", "Gemm_scores_3"
    row = "".join(f"    {name}: dynamic_fixed_point-i16\n" for name in names)
    at = ROWS.index("    Relu_relu1_7")
    assert written.content.decode() == ROWS[:at] + row + ROWS[at:]
    assert any("'gone'" in note for note in written.notes)
    with pytest.raises(UsageError, match=r"its own \.quantize only"):
        acuity.write_quantize(Change(Encodings(()), (), layers))


# Files without ranges

ANALYSIS = """\
layer_name                   simulator_error
                             entire              single
----------------------------------------------------------
[Input] images               1.00000 | 0.00000   1.00000 | 0.00000
[Conv] t1
[Relu] t2                    0.99916 | 31.41832  0.99872 2485.576420.99998
"""
LOG = """\
INFO:root:the layer t2_Relu is 0 sensitive layer, loss is 0.0025, type is top.Relu
INFO:root:the layer t4_Relu is 1 sensitive layer, loss is 0.0040, type is top.Relu
INFO:root:int8 outputs_cos:0.989082 old
INFO:root:mix model outputs_cos:0.998243
"""
RANGELESS = {
    "rknn-analysis": ANALYSIS,
    "tpu-mlir-search": LOG,
    "tpu-mlir-loss": "No.0   : Layer: t2_Relu    \t\tCos: 0.890927\n",
    "pulsar2-config": '{"quant": {"layer_configs": [{"op_type": "Softmax", "data_type": "U16"}]}}',
    "ai-edge-recipe": '[{"regex": ".*", "operation": "*", "algorithm_key": "no_quantize"}]',
    "tidl-16bit": "advanced_options:output_feature_16bit_names_list = 168, 370\n",
}


@pytest.mark.parametrize("name", RANGELESS)
def test_a_file_without_ranges_is_known_and_refused(name: str, graph: Graph) -> None:
    content = source(RANGELESS[name])
    (found,) = [form for _, _, form in formats() if form.recognize(content)]
    assert found.name == name
    with pytest.raises(EncodingsError, match="and no ranges") as caught:
        found.read(content, Beside(graph))
    assert caught.value.hint


def test_rknn_s_analysis_says_what_is_a_part_of_what(graph: Graph) -> None:
    beside = Beside(graph, second=source(ANALYSIS, "error_analysis.txt"))
    read = read_cfg(source(cfg("t1", "t2")), beside)
    reasons = {entry.name: entry.unused for entry in read.entries}
    assert reasons == {
        "t1": "RKNN computes it with the layer behind it: its row in the analysis has no numbers",
        "t2": "",
    }
    worst = "least cosine of single layers 't2' at 0.99872, 'images' at 1.00000"
    assert read.notes[-1].endswith(worst)
    with pytest.raises(EncodingsError, match=r"no error_analysis\.txt"):
        read_cfg(source(cfg("t1")), Beside(graph, second=source(LOG)))


def test_a_search_is_told_beside_its_table(graph: Graph) -> None:
    notes = read_cali_table(source(TABLE), Beside(graph, second=source(LOG, "log.txt"))).notes
    assert "log.txt ranks 2 layers, most lossy first 't4_Relu', 't2_Relu'" in notes
    words = "0.9782 with int8 throughout, 0.9965 with its float layers"
    assert f"cosine of its outputs by TPU-MLIR's search: {words}" in notes


def test_the_lowered_text_overrides_the_table(graph: Graph) -> None:
    text = (
        'module @m attributes {module.chip = "bm1684x", module.state = "TPU_LOWERED"} {\n'
        '    %1 = "tpu.Active"(%0) : (tensor<1x!quant.uniform<u8:f32, 0.01>>) -> '
        "tensor<1x8x16x16x!quant.uniform<u8:f32, 0.0125>> loc(#loc1)\n}\n"
        '#loc1 = loc("t2_Relu")\n'
    )
    given = read_cali_table(source(TABLE), Beside(graph, second=source(text, "m_tpu.mlir")))
    found = {entry.name: entry.encoding for entry in given.entries}
    assert found["t2_Relu"] == Encoding.linear("uint8", 0.0125)
    assert found["t4_Relu"] == Encoding.linear("uint8", 3.0 / 255)
    replaced = "1 of 6 entries of the table are replaced by other ones of m_tpu.mlir"
    assert f"{replaced}, which are what ran" in given.notes


# AMCT's overrides


def test_amct_is_told_not_to_cut(graph: Graph) -> None:
    known = Encodings((Entry("t2", Encoding.linear("uint8", 1 / 255)),))
    relu = FloatLayer("relu1", "Relu", "t2")
    wider, tighter = BetterRange(relu, 0, 4, clips=False), BetterRange(relu, 0, 0.5, clips=False)
    change = Change(known, (relu,), ranges=(wider,), float_graph=graph)
    text = write_amct(change).content.decode()
    assert text.startswith('override_layer_configs : { layer_name : "conv2" ')
    assert "max_percentile : 1.0 min_percentile : 1.0" in text
    kept = Change(known, (relu,), (relu,), (tighter,), float_graph=graph)
    written = write_amct(kept)
    assert written.content == b'skip_layers : "relu1"\n'
    assert "1 better range is left out" in written.notes[-1]
