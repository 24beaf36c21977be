"""The quant model, and reading one that is an ONNX graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from qdebug.graph.load import load_graph
from qdebug.graph.model import Graph
from qdebug.graph.shapes import infer_types
from qdebug.run.model import EncodingsInfo
from qdebug.vendors import registry

if TYPE_CHECKING:
    from qdebug.vendors.encodings import ToolchainEncodings
    from qdebug.vendors.vendor import Vendor

_ONNX_SUFFIX = ".onnx"


@dataclass(frozen=True)
class QuantRequest:
    """What says how the network is quantized.

    Attributes:
        path: the quant model: an ONNX graph or a toolchain's file.
        form: name of its format; None to recognize it.
        second: a second table of the toolchain.
        names: the toolchain's own optimized graph, or another file of it that tells names.
    """

    path: Path
    form: str | None = None
    second: Path | None = None
    names: Path | None = None


@dataclass(frozen=True)
class QuantModel:
    """The quant side of a comparison.

    Attributes:
        graph: the quantized graph, as it was read or as it was made of encodings.
        info: what was made of a toolchain's file; None for a graph.
        base: the float graph that encodings were written into; None for a graph.
    """

    graph: Graph
    info: EncodingsInfo | None = None
    base: Graph | None = None


_STANDARD = ("", "ai.onnx", "com.microsoft")
"""Domains whose operators of ONNX's names are no toolchain's own."""


def read_graph(path: Path) -> QuantModel:
    """An ONNX graph; one with a toolchain's own quantization operators is expanded."""
    graph = load_graph(path)
    foreign = {
        node.op
        for node in graph.nodes
        if node.domain not in _STANDARD or not onnx.defs.has(node.op)
    }
    if not foreign:  # no toolchain has to be loaded
        return QuantModel(graph)
    known: list[tuple[Vendor, ToolchainEncodings]] = registry.loaded("encodings")
    for vendor, part in known:
        if part.expand is None or not foreign & part.operators:
            continue
        expanded = part.expand(graph.proto, graph.folder)
        made = Graph(expanded, path, graph.sha256, graph.files, is_made=True)
        made.types = infer_types(made)
        return QuantModel(made, _expanded_info(path, vendor, part, expanded))
    return QuantModel(graph)


def _expanded_info(
    path: Path, vendor: Vendor, part: ToolchainEncodings, model: onnx.ModelProto
) -> EncodingsInfo:
    pairs = sum(node.op_type == "QuantizeLinear" for node in model.graph.node)
    return EncodingsInfo(path.name, part.graph_title, vendor.name, pairs, pairs)


def is_onnx(path: Path) -> bool:
    """Whether a file is to be read as an ONNX graph: by its name, or as it begins."""
    return path.suffix == _ONNX_SUFFIX or _is_protobuf(path)


def _is_protobuf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(1) == b"\x08"
    except OSError:
        return True
