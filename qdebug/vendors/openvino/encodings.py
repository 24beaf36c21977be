"""NNCF: the ``FakeQuantize`` operators of an OpenVINO IR.

Source: an IR that NNCF wrote. Activations go through FakeQuantize; weights are stored as codes,
``Const -> Convert [-> Subtract] -> Multiply``. ONNX's tensor names are kept at the ports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from qdebug.encodings.model import Encoding, Encodings, Entry
from qdebug.encodings.rules import Rules
from qdebug.encodings.source import Source
from qdebug.errors import UsageError
from qdebug.graph.validity import name_of
from qdebug.vendors.encodings import (
    Beside,
    Change,
    Format,
    Target,
    ToolchainEncodings,
    Writer,
    Written,
)
from qdebug.vendors.openvino.fake_quantize import OPERATORS, expand
from qdebug.vendors.readers import Reads, once

Array = npt.NDArray[Any]
_TYPES = {"f32": "<f4", "f16": "<f2", "i8": "i1", "u8": "u1"}
_LEVELS = {256: 8, 255: 8, 65536: 16, 65535: 16}
_PRODUCTS = ("Convolution", "GroupConvolution", "MatMul")
_APPENDED = re.compile(r"/WithoutBiases$")


def is_ir(source: Source) -> bool:
    """Whether a file is the text of an IR."""
    return "<net " in source.head and "<layers" in source.head


@dataclass
class _Layer:
    name: str
    op: str
    data: dict[str, str]
    tensors: dict[str, str]
    """ONNX's name of an output, by port."""
    feeds: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Layer and port of each input."""


class _Network:
    """The layers of an IR and the constants in the file beside it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        root = _root(source)
        self.layers = {item.get("id", ""): _layer(item) for item in root.iterfind("layers/layer")}
        for edge in root.iterfind("edges/edge"):
            reader = self.layers.get(edge.get("to-layer", ""))
            if reader is not None:
                origin = edge.get("from-layer", ""), edge.get("from-port", "")
                reader.feeds[int(edge.get("to-port", "0"))] = origin
        path: Path = source.path.with_suffix(".bin")
        self.weights = Source.read(path).content if path.exists() else None

    def fed(self, layer: _Layer, slot: int) -> _Layer | None:
        """The layer that makes an input."""
        origin = layer.feeds.get(slot)
        return self.layers.get(origin[0]) if origin else None

    def tensor(self, layer: _Layer, slot: int) -> str:
        """ONNX's name of an input; empty where it has none."""
        maker, port = layer.feeds.get(slot, ("", ""))
        names = self.layers[maker].tensors if maker in self.layers else {}
        return names.get(port, "")

    def constant(self, layer: _Layer | None) -> Array | None:
        """The value of a constant; None where the layer is none."""
        if layer is None or layer.op != "Const":
            return None
        if self.weights is None:
            raise self.source.fault(
                "the .bin file beside it is missing, which holds the ranges",
                hint="put both files of the IR into one folder, with one name",
            )
        kind = layer.data.get("element_type", "")
        offset, size = int(layer.data["offset"]), int(layer.data["size"])
        if kind not in _TYPES or offset < 0 or offset + size > len(self.weights):
            raise self.source.fault(
                f"the constant {name_of(layer.name)} lies outside the .bin file"
            )
        shape = [int(word) for word in re.findall(r"\d+", layer.data.get("shape", ""))]
        values = np.frombuffer(self.weights[offset : offset + size], _TYPES[kind])
        if values.size != int(np.prod(shape)):
            raise self.source.fault(f"the constant {name_of(layer.name)} has another size")
        return values.reshape(shape)


def _root(source: Source) -> ElementTree.Element:
    text = source.text or ""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise source.fault("it declares entities, as no IR does")
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        hint = "the file is cut off, or was edited by hand"
        raise source.fault("it is no XML", error.position[0], hint) from None


def _layer(item: ElementTree.Element) -> _Layer:
    data = item.find("data")
    ports = {p.get("id", ""): p.get("names", "") for p in item.iterfind("output/port")}
    return _Layer(
        item.get("name", ""),
        item.get("type", ""),
        dict(data.attrib) if data is not None else {},
        {port: _first(names) for port, names in ports.items() if names},
    )


def _first(names: str) -> str:
    """The first of a port's names, which commas separate; one in a name is escaped."""
    return re.split(r"(?<!\\),", names)[0].replace("\\,", ",")


def read_ir(source: Source, beside: Beside) -> Encodings:
    """Read the ranges of activations, and the scales of weights."""
    network = _Network(source)
    entries = [*_activations(network), *_weights(network, Reads(beside.float_graph))]
    return Encodings(source.checked(once(entries)))


def _activations(network: _Network) -> Iterator[Entry]:
    for layer in network.layers.values():
        if layer.op != "FakeQuantize":
            continue
        tensor = network.tensor(layer, 0)
        ranges = [network.constant(network.fed(layer, slot)) for slot in range(1, 5)]
        if any(value is None for value in ranges) or _is_constant(network.fed(layer, 0)):
            continue
        low, high = (np.asarray(value, np.float64).reshape(-1) for value in ranges[2:])
        name = tensor or layer.name
        yield Entry(name, _encoding(network.source, name, layer, low, high))


def _is_constant(layer: _Layer | None) -> bool:
    return layer is not None and layer.op == "Const"


def _encoding(source: Source, name: str, layer: _Layer, low: Array, high: Array) -> Encoding:
    levels = int(layer.data["levels"])
    bits = _LEVELS.get(levels)
    if bits is None:
        raise source.fault(f"{name_of(name)} has {levels} levels: no type of codes has so many")
    scale = ((high - low) / (levels - 1)).astype(np.float32)
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise source.fault(f"the range of {name_of(name)} is empty or not finite")
    narrow = levels % 2 == 1
    first = -(2 ** (bits - 1)) + narrow if (low < 0).any() else 0
    zero = np.rint(first - low / scale).astype(np.int64)
    dtype = f"{'int' if first else 'uint'}{bits}"
    return Encoding.linear(dtype, scale, zero, 1, narrow=narrow)


def _weights(network: _Network, reads: Reads) -> Iterator[Entry]:
    for layer in network.layers.values():
        product = network.fed(layer, 1)
        if layer.op not in _PRODUCTS or product is None:
            continue
        while product is not None and product.op == "Reshape":
            product = network.fed(product, 0)
        if product is None or product.op != "Multiply":
            continue
        scale = network.constant(network.fed(product, 1))
        if scale is not None:
            encoding = Encoding.linear("int8", np.abs(scale.astype(np.float32)).reshape(-1))
            yield reads.weight(_APPENDED.sub("", layer.name), encoding, None)


def write_ignored(change: Change) -> Written:
    """The scope that NNCF leaves in float, as Python."""
    if not change.keep:
        raise UsageError(
            "nothing is to be kept in float: an IgnoredScope says nothing else",
            "NNCF takes no range of a tensor",
        )
    names = "".join(f"    {layer.node!r},\n" for layer in change.keep)
    notes = ["pass it to nncf.quantize(..., ignored_scope=ignored_scope)"]
    if change.ranges:
        notes.append(f"{len(change.ranges)} better ranges are left out: NNCF takes none")
    text = f"import nncf\n\nignored_scope = nncf.IgnoredScope(names=[\n{names}])\n"
    return Written(text.encode(), tuple(notes))


ENCODINGS = ToolchainEncodings(
    formats=(Format("openvino-ir", "OpenVINO IR of NNCF", is_ir, read_ir),),
    writers=(Writer("ignored-scope", "NNCF IgnoredScope", (".py",), write_ignored),),
    rules=Rules(simplify=True, rest="stays float: NNCF quantizes what has a FakeQuantize"),
    operators=OPERATORS,
    expand=expand,
    graph_title="graph with OpenVINO's FakeQuantize",
    target=Target(wide=("float",), ranges=False),
)
