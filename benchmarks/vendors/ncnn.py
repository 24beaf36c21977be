"""ncnn: what a table that qdebug changed does in ncnn's own runtime (its wheel).

The wheel has no ``ncnn2int8``, so its file is written here from the float model and the table, and
held against the one that ``ncnn2int8`` wrote of the unchanged table. Needs the folder of real
models (``shared/zoo``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import qdebug
from benchmarks.vendors.work import Array, Bench, Row, fix_of, sqnr
from qdebug.encodings.source import Source
from qdebug.encodings.weights import output_axis
from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.vendors.ncnn.table import Layer, layers_of, matched
from qdebug.vendors.ncnn.writing import write_table

ZOO = Path(__file__).resolve().parents[3] / "shared" / "zoo"
_MODEL = "mobilenetv2"
_TERMS = {"Convolution": 2, "ConvolutionDepthWise": 1, "InnerProduct": 2}
"""Parameter 8 of a layer with int8 weights whose result is float."""
_INT8 = np.uint32(0x000D4B38)
"""What stands before int8 weights; zero before float32."""


def steps(bench: Bench) -> list[Row]:
    """The table as it was, and with a fix: layers in float."""
    folder = ZOO / "vendor" / "ncnn" / _MODEL
    table = folder / f"{_MODEL}.kl.table"
    graph = load_graph(ZOO / _MODEL / "float.onnx")
    stored = np.load(ZOO / "vendor" / "tpu_mlir" / _MODEL / f"{_MODEL}_in_f32.npz")
    fed = stored[stored.files[0]]
    np.save(bench.folder / "fed.npy", fed)
    net = _Net(folder / f"{_MODEL}.ncnn.param", graph, bench.folder)
    wanted = _onnx(ZOO / _MODEL / "float.onnx", fed)
    theirs = _run(folder / f"{_MODEL}.int8.param", folder / f"{_MODEL}.int8.bin", fed)
    ours = net.run(table, fed)
    same = Row(
        "the table as ncnn2int8 applies it, and as it is applied here",
        sqnr(theirs, ours) > 20,
        f"{sqnr(wanted, theirs):.1f} and {sqnr(wanted, ours):.1f} dB against float, one against "
        f"the other {sqnr(theirs, ours):.1f} dB",
    )
    run = qdebug.compare(ZOO / _MODEL / "float.onnx", table, bench.folder / "fed.npy")
    change = replace(fix_of(run, 4), ranges=(), base=Source.read(table), float_graph=graph)
    fixed = bench.folder / "fixed.table"
    fixed.write_bytes(write_table(change).content)
    mended = net.run(fixed, fed)
    path = bench.folder / "twin.onnx"
    twins = []
    for source in (table, fixed):
        qdebug.quantize(ZOO / _MODEL / "float.onnx", output=path, source=source, force=True)
        twins.append(_onnx(path, fed))
    kept = ", ".join(layer.tensor for layer in change.keep)
    told = f"ncnn {sqnr(wanted, ours):.1f} to {sqnr(wanted, mended):.1f} dB, qdebug's twin "
    told += f"{sqnr(wanted, twins[0]):.1f} to {sqnr(wanted, twins[1]):.1f} dB; float: {kept}"
    better = sqnr(wanted, mended) > sqnr(wanted, ours)
    return [same, Row("the table with the fix", better, told)]


def _onnx(model: Path, fed: Array) -> Array:
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    (value, *_) = session.run(None, {session.get_inputs()[0].name: fed})
    return np.asarray(value)


def _run(param: Path, weights: Path, fed: Array) -> Array:
    """The last blob of a net."""
    import ncnn

    net = ncnn.Net()
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage, net.opt.num_threads = False, 1
    if net.load_param(str(param)) or net.load_model(str(weights)):
        raise SystemExit(f"ncnn does not load {param.name}")
    lines = param.read_text().splitlines()
    extractor = net.create_extractor()
    extractor.input(lines[2].split()[4], ncnn.Mat(np.ascontiguousarray(fed[0])))
    last = lines[-1].split()
    _, value = extractor.extract(last[4 + int(last[2])])
    return np.array(value)


class _Net:
    """A float net whose weights are those of an ONNX model."""

    def __init__(self, param: Path, graph: Graph, folder: Path) -> None:
        self.lines, self.graph, self.folder = param.read_text().splitlines(), graph, folder
        whole = Source.read(param.with_name(f"{_MODEL}.kl.table"))
        self.marks = matched(layers_of(whole), graph)

    def run(self, table: Path, fed: Array) -> Array:
        """The output with a table applied."""
        layers = {layer.name: layer for layer in layers_of(Source.read(table))}
        param, weights = self.folder / "made.param", self.folder / "made.bin"
        lines, parts = [], list[bytes]()
        for line in self.lines:
            kind, name = (*line.split(), "", "")[:2]
            layer = layers.get(name)
            lines.append(f"{line} 8={_TERMS[kind]}" if layer and kind in _TERMS else line)
            if kind in _TERMS:
                parts += self._weights(name, layer)
        param.write_text("\n".join(lines) + "\n")
        weights.write_bytes(b"".join(parts))
        return _run(param, weights, fed)

    def _weights(self, name: str, layer: Layer | None) -> Iterator[bytes]:
        """What the file holds of a layer: weights, bias, and scales where they are int8."""
        node = self.marks[name].node
        weight, bias = (self._constant(tensor) for tensor in node.inputs[1:3])
        weight = np.moveaxis(weight, output_axis(node, weight.ndim), 0)
        if layer is None:
            yield np.uint32(0).tobytes() + weight.astype("<f4").tobytes()
            yield bias.astype("<f4").tobytes()
            return
        scales = np.where(np.isfinite(layer.weight), layer.weight, 1).astype(np.float32)
        rows = weight.reshape(scales.size, -1) * scales[:, None]
        codes = np.clip(np.sign(rows) * np.floor(np.abs(rows) + 0.5), -127, 127).astype(np.int8)
        held = codes.tobytes()
        yield _INT8.tobytes() + held + b"\0" * (-len(held) % 4)
        yield bias.astype("<f4").tobytes()
        yield scales.astype("<f4").tobytes() + np.float32(layer.fed).tobytes()

    def _constant(self, tensor: str) -> Any:
        value = self.graph.constant(tensor)
        assert value is not None, tensor
        return value
