"""TensorRT, HiSilicon, Ascend, ESP-PPQ, NNCF, TIDL and Axera."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from qdebug.encodings import Encoding, Encodings, Entry
from qdebug.encodings.source import Source
from qdebug.errors import EncodingsError, UsageError
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.vendors.advice import BetterRange, FloatLayer
from qdebug.vendors.ascend.encodings import read_record
from qdebug.vendors.ascend.encodings import write_cfg as write_amct
from qdebug.vendors.axera.encodings import write_config
from qdebug.vendors.encodings import Beside, Change
from qdebug.vendors.esp_ppq.encodings import is_pickle, read_json, refuse_pickle, write_dispatching
from qdebug.vendors.hisilicon.encodings import read_param, write_gfpq, write_high_precision
from qdebug.vendors.openvino.encodings import read_ir, write_ignored
from qdebug.vendors.prototxt import parse, quoted
from qdebug.vendors.tensorrt.encodings import read_cache, write_cache, write_exclude
from qdebug.vendors.tidl.encodings import write_wide
from tests.support.graphs import float_model


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    path = tmp_path / "float.onnx"
    path.write_bytes(float_model().SerializeToString())
    return load_graph(path)


def source(text: str, name: str = "table.txt") -> Source:
    return Source(Path(name), text.encode())


def conv(graph: Graph) -> FloatLayer:
    node = next(node for node in graph.nodes if node.op == "Conv")
    return FloatLayer(node.label, node.op, node.outputs[0])


def asking(*keep: FloatLayer, ranges: tuple[BetterRange, ...] = ()) -> Change:
    entries = (Entry("images", Encoding.linear("int8", 0.5)),)
    return Change(Encodings(entries), keep, keep=keep, ranges=ranges)


# TensorRT


@pytest.mark.parametrize("version", ["8510-EntropyCalibration2", "100001-MinMaxCalibration"])
def test_a_cache_holds_steps_in_hexadecimal(version: str, graph: Graph) -> None:
    text = f"TRT-{version}\nimages: 3c008912\n(Unnamed Layer* 1) [Shuffle]_output: 3f000000\n"
    images, other = read_cache(source(text), Beside(graph)).entries
    assert images.encoding == Encoding.linear("int8", struct.unpack(">f", b"\x3c\x00\x89\x12")[0])
    assert other.name == "(Unnamed Layer* 1) [Shuffle]_output"


def test_a_cache_is_read_back_as_it_was_written(graph: Graph) -> None:
    text = write_cache(asking()).content.decode()
    assert text == "TRT-8510-EntropyCalibration2\nimages: 3f000000\n"
    assert read_cache(source(text), Beside(graph)).entries == asking().encodings.entries


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("images: 3c0089", "line 2: a row is not NAME"),
        ("images: 00000000", "line 2: the scale of 'images' is 0"),
        ("images: bf800000", "is -1"),
        ("images: 7fc00000", "is nan"),
        ("images: 3c008912\nimages: 3c008912", "line 3: 'images' has a second entry, as in line 2"),
        ("", "no entries"),
    ],
)
def test_a_broken_cache_is_refused(row: str, told: str, graph: Graph) -> None:
    with pytest.raises(EncodingsError, match=told):
        read_cache(source(f"TRT-8510-EntropyCalibration2\n{row}\n"), Beside(graph))


def test_modelopt_gets_whole_names_as_regular_expressions() -> None:
    text = write_exclude(asking(FloatLayer("a.b/Conv 1", "Conv", "t"))).content.decode()
    assert text == "--nodes_to_exclude '^a\\.b/Conv\\ 1$'\n"
    with pytest.raises(UsageError, match="cannot keep a layer in float"):
        write_cache(asking(FloatLayer("a", "Conv", "t")))


# Protocol buffers as text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("layer {\n name: 'a'\n", "line 1: a brace is never closed"),
        ("layer {}\n}\n", "line 2: a brace is closed"),
        ("a: 1\nb\n", "line 2: it ends in the middle of a field"),
        ("a b", "line 1: 'a' has neither"),
        ("a: }", "line 1: 'a' has no value"),
        ("a {" * 50, "nested too deeply"),
        ('a: "b\n"', "line 1: it is no text of a protocol buffer"),
    ],
)
def test_a_broken_text_is_refused_with_its_line(text: str, told: str) -> None:
    with pytest.raises(EncodingsError, match=told):
        parse(source(text))


def test_texts_are_quoted_so_that_they_are_read_back() -> None:
    for name in ('a"b\\c', "a\u202eb", "{a: 1}"):
        assert parse(source(f"x: {quoted(name)}")).text("x") == name


# HiSilicon and Ascend


def gfpq(layer: FloatLayer, scale: str = "12.75") -> str:
    factors = f"input {{ data_type: S8 scale: {scale} offset: -77 }} weight {{ scale: 127 }}"
    return f"version: 65536\nlayer {{ name: {quoted(layer.node)}\n quant_param {{ {factors} }} }}\n"


def test_hisilicon_s_scales_are_codes_a_unit(graph: Graph) -> None:
    layer = conv(graph)
    fed, weight = read_param(source(gfpq(layer)), Beside(graph)).entries
    node = next(node for node in graph.nodes if node.label == layer.node)
    assert (fed.name, fed.readers) == (node.inputs[0], (node.label,))
    assert fed.encoding == Encoding.linear("int8", 1 / 12.75, -77)
    low, high = fed.encoding.quantizer().real_range
    assert (low, high) == pytest.approx((-4.0, 16.0))
    assert (weight.kind, weight.name) == ("weight", node.inputs[1])


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "inf", "x"])
def test_hisilicon_s_scales_must_be_meant(scale: str, graph: Graph) -> None:
    with pytest.raises(EncodingsError, match="line 3"):
        read_param(source(gfpq(conv(graph), scale)), Beside(graph))


def test_hisilicon_s_part_of_a_file_is_read_back(graph: Graph) -> None:
    node = next(node for node in graph.nodes if node.op == "Conv")
    better = BetterRange(FloatLayer("", "", node.inputs[0]), -1.0, 3.0, clips=False)
    change = Change(Encodings(()), (), ranges=(better,), float_graph=graph)
    entries = read_param(source(write_gfpq(change).content.decode()), Beside(graph)).entries
    found = next(e for e in entries if e.readers == (node.label,))
    step = 4 / 255
    assert found.encoding.quantizer().real_range == pytest.approx((-1.0, 3.0), abs=step)


def test_hisilicon_s_argument_names_nodes() -> None:
    layers = (FloatLayer("a", "Conv", "t"), FloatLayer("b", "Add", "u"))
    assert write_high_precision(asking(*layers)).content == b'--high_precision_layer="a;b"\n'
    with pytest.raises(UsageError, match="semicolon"):
        write_high_precision(asking(FloatLayer("a;b", "Conv", "t")))
    with pytest.raises(UsageError, match="not known for certain"):
        write_gfpq(asking(*layers))


def test_amct_s_scales_are_steps(graph: Graph) -> None:
    layer = conv(graph)
    value = 'scale_d: 0.08 offset_d: 1 scale_w: 0.003 skip_fusion: true dst_type: "INT8"'
    text = f"record {{ key: {quoted(layer.node)} value {{ {value} }} }}\n"
    fed, weight = read_record(source(text), Beside(graph)).entries
    assert fed.encoding == Encoding.linear("int8", 0.08, 1)
    assert weight.encoding == Encoding.linear("int8", 0.003)
    with pytest.raises(EncodingsError, match=r"line 1: .*is 0"):
        read_record(source(text.replace("0.08", "0")), Beside(graph))


def test_a_node_that_is_not_there_is_told(graph: Graph) -> None:
    text = 'record { key: "gone" value { scale_d: 0.5 } }'
    (entry,) = read_record(source(text), Beside(graph)).entries
    assert entry.homeless == "no node has that name"


def test_amct_skips_layers() -> None:
    text = write_amct(asking(FloatLayer('a"b', "Conv", "t"))).content
    assert text == b'skip_layers : "a\\"b"\n'


# ESP-PPQ


def ppq(graph: Graph, **changed: object) -> dict[str, object]:
    node = next(node for node in graph.nodes if node.op == "Conv")
    item = {"bit_width": 8, "state": "ACTIVATED", "quant_min": 0, "quant_max": 255, "hash": 1}
    item |= {"dominator": 1, **changed}
    names = [*node.inputs, *node.outputs]
    operands = {f"PPQ_Variable_{at}": item for at in range(len(names))}
    return {
        "configs": {node.label: operands},
        "dispatchings": {},
        "values": {"1": {"scale": 0.25, "zero_point": 7.0}},
    }


def test_renamed_operands_are_found_by_their_place(graph: Graph) -> None:
    found = read_json(source(json.dumps(ppq(graph))), Beside(graph)).entries
    node = next(node for node in graph.nodes if node.op == "Conv")
    assert [e.name for e in found] == [*node.inputs, *node.outputs]
    assert found[0].encoding == Encoding.linear("uint8", 0.25, 7)
    assert found[1].kind == "weight"


def test_a_json_without_any_scale_is_refused(graph: Graph) -> None:
    with pytest.raises(EncodingsError, match="no entries"):
        read_json(source(json.dumps(ppq(graph, dominator=2))), Beside(graph))


def test_a_pickle_is_never_opened(graph: Graph) -> None:
    content = Source(Path("m.native"), pickle.dumps({"a": 1}))
    assert is_pickle(content)
    with pytest.raises(EncodingsError, match="never opened"):
        refuse_pickle(content, Beside(graph))


def test_layers_are_dispatched_to_16_bits() -> None:
    text = write_dispatching(asking(FloatLayer("a'b", "Conv", "t"))).content.decode()
    assert text.startswith('quant_setting.dispatching_table.append("a\'b", ')


# NNCF


def ir(low: float, high: float, levels: int = 256) -> tuple[str, bytes]:
    layers = '<layer id="0" name="images" type="Parameter"><output><port id="0" names="images"/>'
    layers += "</output></layer>"
    for at in range(2):
        layers += f'<layer id="{at + 1}" name="c{at}" type="Const"><data element_type="f32" '
        layers += f'shape="" offset="{4 * at}" size="4"/><output><port id="0"/></output></layer>'
    layers += f'<layer id="3" name="fq" type="FakeQuantize"><data levels="{levels}"/></layer>'
    pairs = [(0, 0), (1, 1), (2, 2), (1, 3), (2, 4)]
    edges = "".join(
        f'<edge from-layer="{a}" from-port="0" to-layer="3" to-port="{b}"/>' for a, b in pairs
    )
    text = f'<?xml version="1.0"?>\n<net name="m" version="11"><layers>{layers}</layers>'
    return f"{text}<edges>{edges}</edges></net>", np.asarray([low, high], "<f4").tobytes()


def read_written_ir(folder: Path, graph: Graph, text: str, weights: bytes | None) -> Encodings:
    path = folder / "m.xml"
    path.write_text(text)
    if weights is not None:
        path.with_suffix(".bin").write_bytes(weights)
    return read_ir(Source.read(path), Beside(graph))


def test_a_fake_quantize_is_an_encoding(tmp_path: Path, graph: Graph) -> None:
    (entry,) = read_written_ir(tmp_path, graph, *ir(0.0, 2.55)).entries
    assert entry.name == "images"
    assert entry.encoding == Encoding.linear("uint8", np.float32(np.float32(2.55) / 255))
    (entry,) = read_written_ir(tmp_path, graph, *ir(-1.28, 1.27)).entries
    assert entry.encoding.dtype == "int8"
    assert entry.encoding.zero_point == 0


def test_a_broken_ir_is_refused(tmp_path: Path, graph: Graph) -> None:
    text, weights = ir(0.0, 1.0)
    cases = [
        (text, None, ".bin file beside it is missing"),
        (text, weights[:4], "lies outside the .bin"),
        (text[:-30], weights, "line 2: it is no XML"),
        (text.replace("<net", "<!DOCTYPE x [<!ENTITY a 'b'>]><net"), weights, "declares entities"),
        (ir(1.0, 1.0)[0], ir(1.0, 1.0)[1], "range of 'images' is empty"),
        (ir(0.0, 1.0, 300)[0], weights, "300 levels"),
    ]
    for at, (content, binary, told) in enumerate(cases):
        folder = tmp_path / str(at)
        folder.mkdir()
        with pytest.raises(EncodingsError, match=told):
            read_written_ir(folder, graph, content, binary)


# What is written only


def test_lists_of_layers_that_other_toolchains_take() -> None:
    layers = (FloatLayer("n", "Conv", "t"), FloatLayer("m", "Sigmoid", "u"))
    tidl = write_wide(asking(*layers))
    assert tidl.content == b"advanced_options:output_feature_16bit_names_list = t\n"
    assert "not the whole fix: 1 layer cannot stand in the list" in tidl.notes[0]
    assert "'m'" in tidl.notes[0]
    axera = json.loads(write_config(asking(*layers)).content)
    assert axera["quant"]["layer_configs"] == [{"layer_names": ["n", "m"], "data_type": "U16"}]
    assert b"names=[\n    'n',\n    'm',\n]" in write_ignored(asking(*layers)).content
    for writer in (write_wide, write_config, write_ignored, write_dispatching, write_amct):
        with pytest.raises(UsageError, match="nothing is to be kept"):
            writer(asking())
