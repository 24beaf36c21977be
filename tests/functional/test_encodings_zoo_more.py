"""Files of ncnn, RKNN, NNCF and ESP-PPQ: what is placed, and whether the numbers are theirs."""

from __future__ import annotations

import io
import lzma
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from qdebug.encodings import Encodings
from qdebug.encodings.integer import Window
from qdebug.encodings.source import Source
from qdebug.graph.model import Graph
from qdebug.vendors.encodings import Beside, Change
from qdebug.vendors.esp_ppq.encodings import read_json
from qdebug.vendors.ncnn import replay
from qdebug.vendors.ncnn.table import layers_of, matched
from qdebug.vendors.ncnn.writing import write_table
from qdebug.vendors.quant import load_quant
from qdebug.vendors.quant_model import QuantRequest
from qdebug.vendors.rknn.cfg import is_cfg
from qdebug.vendors.rknn.writing import write_cfg
from tests.support.pairs_of_models import float_graph
from tests.support.running import run_tensors

Array = npt.NDArray[Any]

FILES = {
    "ncnn/mobilenetv2/mobilenetv2.kl.table": (106, 106),
    "ncnn/mobilenetv2/mobilenetv2.aciq.table": (106, 106),
    "ncnn/ppocrv4_det/ppocrv4_det.kl.table": (124, 124),
    "ncnn/ppocrv4_det/ppocrv4_det.aciq.table": (124, 124),
    "ncnn/yolov5n/yolov5n.kl.table": (120, 120),
    "ncnn/yolov5n/yolov5n.aciq.table": (120, 120),
    "rknn/mobilenetv2/mobilenetv2.quantization.cfg": (135, 134),
    "rknn/ppocrv4_det/ppocrv4_det.quantization.cfg": (333, 321),
    "rknn/yolov5n/yolov5n.quantization.cfg": (210, 198),
    "esp_ppq/mobilenetv2/mobilenetv2_espppq.json": (137, 135),
}


@pytest.mark.parametrize("file", FILES)
def test_every_file_finds_its_places(file: str, zoo: Path) -> None:
    graph = float_graph(zoo / file.split("/")[1])
    made = load_quant(QuantRequest(zoo / "vendor" / file), graph)
    assert made.info is not None
    assert (made.info.entries, made.info.placed) == FILES[file]
    onnx.checker.check_model(made.graph.proto)


def test_rknn_s_analysis_says_what_is_fused(zoo: Path) -> None:
    folder = zoo / "vendor" / "rknn" / "mobilenetv2"
    request = QuantRequest(
        folder / "mobilenetv2.quantization.cfg", second=folder / "error_analysis.txt"
    )
    info = load_quant(request, float_graph(zoo / "mobilenetv2")).info
    assert info is not None
    assert (info.entries, info.placed) == (135, 134)
    fused = [item for item in info.unplaced if "no numbers" in item.reason]
    assert len(fused) == 35


@pytest.mark.parametrize("file", [file for file in FILES if "ncnn" in file or "rknn" in file])
def test_a_file_that_is_not_changed_is_the_same_bytes(file: str, zoo: Path) -> None:
    source = Source.read(zoo / "vendor" / file)
    if is_cfg(source):
        written = write_cfg(Change(Encodings(()), (), base=source))
    else:
        graph = float_graph(zoo / file.split("/")[1])
        written = write_table(Change(Encodings(()), (), base=source, float_graph=graph))
    assert written.content == source.content


def test_nncf_s_ir_finds_its_places(zoo: Path, tmp_path: Path) -> None:
    folder = zoo / "vendor" / "nncf" / "mobilenetv2"
    shutil.copy(folder / "mobilenetv2_nncf_int8.xml", tmp_path)
    packed = (folder / "mobilenetv2_nncf_int8.bin.xz").read_bytes()
    (tmp_path / "mobilenetv2_nncf_int8.bin").write_bytes(lzma.decompress(packed))
    graph = float_graph(zoo / "mobilenetv2")
    made = load_quant(QuantRequest(tmp_path / "mobilenetv2_nncf_int8.xml"), graph)
    assert made.info is not None
    assert (made.info.entries, made.info.placed) == (117, 116)


def test_esp_ppq_s_scales_are_those_of_its_graph(zoo: Path) -> None:
    folder = zoo / "vendor" / "esp_ppq" / "mobilenetv2"
    graph = float_graph(zoo / "mobilenetv2")
    source = Source.read(folder / "mobilenetv2_espppq.json")
    packed = (folder / "mobilenetv2_espppq_qdq.onnx.xz").read_bytes()
    exported = Graph(onnx.load_from_string(lzma.decompress(packed)), Path("q"), "")
    scales = {
        float(value)
        for node in exported.nodes
        if node.op == "QuantizeLinear" and (value := exported.constant(node.inputs[1])) is not None
    }
    entries = read_json(source, Beside(graph)).entries
    placed = [e for e in entries if e.kind == "tensor" and e.name in graph.producer]
    assert len(placed) >= 20
    assert all(float(np.asarray(e.encoding.scale)) in scales for e in placed)


def test_ncnn_s_convs_are_replayed(zoo: Path) -> None:
    """Each is fed ncnn's own blob: 140 dB where it writes floats, else 0.15 % of the codes."""
    folder = zoo / "vendor" / "ncnn" / "mobilenetv2"
    graph = float_graph(zoo / "mobilenetv2")
    layers = {x.name: x for x in layers_of(Source.read(folder / "mobilenetv2.kl.table"))}
    marks = matched(list(layers.values()), graph)
    blobs = np.load(folder / "mobilenetv2_int8_blobs.npz")
    rows = [line.split() for line in (folder / "mobilenetv2.int8.param").read_text().splitlines()]
    convs = [row for row in rows[2:] if row[0].startswith("Convolution")]
    writes_codes = {row[5]: row for row in convs if {"8=101", "8=102"} & set(row)}
    readers = {row[4]: row[1] for row in convs}
    floats = coded = 0
    for row in convs:
        name, source, target = row[1], row[4], row[5]
        if source not in blobs.files or target not in blobs.files:
            continue
        layer, node = layers[name], marks[name].node
        fed = blobs[source].astype(np.float32)[None]
        if source in writes_codes:
            fed = (fed / np.float32(layer.fed)).astype(np.float32)
        weight, bias = (graph.constant(x) for x in node.inputs[1:3])
        assert weight is not None
        assert bias is not None
        made = replay.conv(fed, weight, bias, layer, window(node.attributes))
        made = np.clip(made, 0, 6) if "9=3" in row else made
        wanted = blobs[target][None]
        if target in writes_codes:
            ours = replay.codes(made, np.float32(layers[readers[target]].fed))
            off = np.abs(ours - wanted)
            assert off.max() <= 1
            assert (off > 0).mean() <= 0.0015
            coded += 1
        else:
            noise = np.square(made.astype(np.float64) - wanted).sum()
            assert 10 * np.log10(np.square(wanted, dtype=np.float64).sum() / noise) >= 140
            floats += 1
    assert (floats, coded) == (4, 7)


def window(attributes: dict[str, Any]) -> Window:
    strides, pads, dilations = (
        tuple(attributes.get(name, default))
        for name, default in (("strides", [1, 1]), ("pads", [0] * 4), ("dilations", [1, 1]))
    )
    return Window(strides, pads, dilations, attributes.get("group", 1))


def test_rknn_s_convs_agree_with_its_simulator(zoo: Path, tmp_path: Path) -> None:
    """Each Conv is fed the simulator's own tensor; the build was int8 throughout."""
    folder = zoo / "vendor" / "rknn" / "mobilenetv2"
    graph = float_graph(zoo / "mobilenetv2")
    _, _, parameters = (
        (folder / "mobilenetv2.quantization.cfg").read_text().partition("quantize_parameters:")
    )
    path = tmp_path / "int8.quantization.cfg"
    path.write_text(f"custom_quantize_layers: {{}}\nquantize_parameters:{parameters}")
    twin = load_quant(QuantRequest(path), graph).graph
    values = simulated(folder / "snapshot.tar.xz")
    agreement = {}
    for node in twin.nodes:
        if node.op != "Conv":
            continue
        fed = node.inputs[0].removesuffix("_DequantizeLinear_Output")
        made = behind(graph, node.outputs[0])
        if fed not in values or made not in values:
            continue
        weight = twin.type_of(node.inputs[1]).fixed_shape
        assert weight is not None
        channels = weight[1] * node.attributes.get("group", 1)
        side = round(np.sqrt(values[fed].size / channels))
        x = values[fed].reshape(1, channels, side, side)
        names = [f"{made}_DequantizeLinear_Output", made]
        target = next(name for name in names if name in twin.producer)
        part = onnx.utils.Extractor(twin.proto).extract_model([fed], [target])
        (result,) = run_tensors(part, {fed: x}, [target]).values()
        wanted = values[made].reshape(result.shape).astype(np.float64)
        noise = np.square(result - wanted).sum()
        agreement[node.label] = 10 * np.log10(np.square(wanted).sum() / max(noise, 1e-30))
    assert len(agreement) == 9
    assert min(agreement.values()) >= 47


def behind(graph: Graph, tensor: str) -> str:
    """The activation's tensor where one is behind a product."""
    tensor = tensor.removesuffix("_QuantizeLinear_Input")
    readers = graph.readers.get(tensor, [])
    return readers[0].outputs[0] if len(readers) == 1 and readers[0].op == "Clip" else tensor


def simulated(archive: Path) -> dict[str, Array]:
    """The simulator's tensors, flat, by the name that their file has."""
    found = {}
    with tarfile.open(archive) as files:
        for item in files.getmembers():
            stored = files.extractfile(item) if "/simulator/" in item.name else None
            if stored is not None:
                text = io.TextIOWrapper(stored, "ascii")
                name = Path(item.name).stem
                found[name] = np.loadtxt(text, dtype=np.float32)
    return found
