"""ncnn: a calibration table, changed where it has to be.

A table is written from the one that ``ncnn2table`` wrote only: its names are those of ``pnnx``,
which no ONNX model tells.
"""

from __future__ import annotations

from collections.abc import Mapping

from qdebug.errors import UsageError
from qdebug.graph.model import Graph, Node
from qdebug.graph.operators import ACTIVATIONS
from qdebug.vendors.advice import FloatLayer
from qdebug.vendors.encodings import Change, Written
from qdebug.vendors.ncnn.table import TOP, Layer, layers_of, matched
from qdebug.vocabulary.numbers import plural


def write_table(change: Change) -> Written:
    """The table with both lines of a float layer commented out, and other input scales."""
    base, graph = change.base, change.float_graph
    if base is None:
        raise UsageError(
            "a table of ncnn has the layer names of pnnx, which the ONNX model does not tell",
            "give the table that ncnn2table wrote: --names model.table",
        )
    if graph is None:
        raise UsageError(
            "the layers of a table are recognized by the weights of the float model",
            "give it: --float FLOAT",
        )
    layers = layers_of(base)
    nodes = {name: mark.node for name, mark in matched(layers, graph).items()}
    dropped, notes = _dropped(change, graph, layers, nodes)
    scales, left = _scales(change, layers, nodes)
    if not dropped and not scales:
        return Written(base.content, tuple([*notes, *left]))
    lines = (base.text or "").splitlines(keepends=True)
    for number in dropped:
        lines[number - 1] = f"#{lines[number - 1]}"
    for number, scale in scales.items():
        if number not in dropped:
            lines[number - 1] = _with_scale(lines[number - 1], scale)
    return Written("".join(lines).encode(), tuple([*notes, *left]))


def _dropped(
    change: Change, graph: Graph, layers: list[Layer], nodes: Mapping[str, Node]
) -> tuple[set[int], list[str]]:
    """Numbers of the lines to comment out, both of each layer; and what is not among them."""
    by_label = {nodes[layer.name].label: layer for layer in layers if layer.name in nodes}
    found: set[int] = set()
    others = 0
    for item in change.keep:
        layer = by_label.get(item.node) or _fused(graph, item, by_label)
        if layer is not None:
            found |= {layer.line, layer.fed_line}
        others += layer is None
    count = plural(others, "layer has", "layers have")
    notes = [f"{count} no line in the table: ncnn computes them in float"]
    return found, notes if others else []


def _fused(graph: Graph, item: FloatLayer, by_label: Mapping[str, Layer]) -> Layer | None:
    """The layer that an activation is a part of: the product just before it."""
    node = graph.producer.get(item.tensor)
    if node is None or node.op not in ACTIVATIONS:
        return None
    makers = (graph.producer.get(tensor) for tensor in node.inputs)
    return next((by_label[m.label] for m in makers if m and m.label in by_label), None)


def _scales(
    change: Change, layers: list[Layer], nodes: Mapping[str, Node]
) -> tuple[dict[int, float], list[str]]:
    """New scales by line: of each layer that reads a tensor which shall have another range."""
    reach = {x.layer.tensor: max(abs(x.low), abs(x.high)) for x in change.ranges}
    found: dict[int, float] = {}
    for layer in layers:
        fed = nodes[layer.name].inputs[0] if layer.name in nodes else ""
        if reach.get(fed):
            found[layer.fed_line] = TOP / reach[fed]
    read = {nodes[layer.name].inputs[0] for layer in layers if layer.name in nodes}
    others = len(set(reach) - read)
    notes = [f"{others} ranges are of tensors that no layer of the table reads"] if others else []
    return found, notes


def _with_scale(line: str, scale: float) -> str:
    name, old = line.split()
    return line.replace(f"{name} {old}", f"{name} {scale:.6f}", 1)
