"""HiSilicon SVP_NNN: ``calibration_param.txt`` of its atc, and ``gfpq_param_file``.

Source: the protocol buffer that atc's manual prints. A scale is a multiplier, codes a unit, and an
offset is added: ``code = round(x * scale) + offset``. Layers that the file does not name are
calibrated by atc, so that a part of it is a valid file.
"""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.encodings.model import Encoding, Encodings, Entry
from qdebug.encodings.rules import Rules
from qdebug.encodings.source import Source
from qdebug.encodings.weights import symmetric
from qdebug.errors import UsageError
from qdebug.graph.model import Graph
from qdebug.graph.qparams import code_range
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
from qdebug.vendors.prototxt import Message, parse, quoted
from qdebug.vendors.readers import Reads, once

_TYPES = {
    f"{sign}{bits}": f"{'u' if sign == 'U' else ''}int{bits}"
    for sign in "SU"
    for bits in (4, 8, 16, 32)
}
_FLOATS = {"F16": "float16", "F32": "float32"}
_MOST = 32
"""Inputs of a layer that are written, at most (by judgement: no Concat has more)."""


def is_param(source: Source) -> bool:
    """Whether a file is such a text."""
    return "quant_param" in source.head and "layer" in source.head and "{" in source.head


def read_param(source: Source, beside: Beside) -> Encodings:
    """Read the scales of what each layer reads, and of its weight."""
    reads = Reads(beside.float_graph)
    entries = [e for layer in parse(source).messages("layer") for e in _layer(source, layer, reads)]
    return Encodings(source.checked(once(entries)))


def _layer(source: Source, layer: Message, reads: Reads) -> Iterator[Entry]:
    name = layer.text("name")
    if not name:
        raise source.fault("a layer has no name", layer.line)
    for param in layer.messages("quant_param"):
        for slot, item in enumerate(param.messages("input")):
            encoding = _encoding(source, name, item)
            if encoding is not None:
                yield reads.fed(name, slot, encoding, item.line)
        for item in param.messages("weight"):
            encoding = _encoding(source, name, item)
            if encoding is not None:
                yield reads.weight(name, encoding, item.line)


def _encoding(source: Source, name: str, item: Message) -> Encoding | None:
    """The encoding of a factor; None where it has no scale, as a type that holds real numbers."""
    kind = item.text("data_type", "S8")
    if kind in _FLOATS:
        return None
    if kind not in _TYPES:
        raise source.fault(f"{name_of(name)} has the type {name_of(kind)}", item.line)
    scales = item.numbers(source, "scale", name)
    offsets = item.numbers(source, "offset", name) or [0.0]
    if not scales or len(offsets) not in (1, len(scales)):
        raise source.fault(f"the scales and offsets of {name_of(name)} do not fit", item.line)
    if min(scales) <= 0:
        worst = f"a scale of {name_of(name)} is {min(scales):g}"
        raise source.fault(f"{worst}; it must be above zero", item.line)
    zeros = [int(offset) for offset in offsets]
    return Encoding.linear(_TYPES[kind], [1 / scale for scale in scales], zeros)


def write_high_precision(change: Change) -> Written:
    """The argument of atc that gives layers 16 bits."""
    if not change.keep:
        raise UsageError(
            "nothing is to be kept out of 8 bits: --high_precision_layer says nothing else",
            "for ranges, write a part of gfpq_param_file: --as gfpq --float FLOAT",
        )
    names = [layer.node for layer in change.keep]
    split = next((name for name in names if ";" in name), None)
    if split is not None:
        raise UsageError(f"the node {split!r} has a semicolon in its name, which separates names")
    notes = ["append it to atc; a product gets 16-bit activations, any other operator float16"]
    if change.ranges:
        notes.append("ranges go in a file of their own: --as gfpq")
    text = f'--high_precision_layer="{";".join(names)}"\n'
    return Written(text.encode(), tuple(notes))


def write_gfpq(change: Change) -> Written:
    """A part of ``gfpq_param_file``: the layers that read a tensor with another range."""
    if change.keep and not change.ranges:
        raise UsageError(
            "how a gfpq_param_file keeps a layer in float is not known for certain",
            "write --high_precision_layer: --as high-precision",
        )
    graph = change.float_graph
    if graph is None:
        raise UsageError(
            "a gfpq_param_file speaks of what nodes read", "give the float model: --float FLOAT"
        )
    wanted = {item.layer.tensor: (item.low, item.high) for item in change.ranges}
    known = {e.name: e.encoding for e in change.changed().entries if e.kind == "tensor"}
    rows = [row for row in _rows(graph, wanted, known) if row]
    if not rows:
        raise UsageError("no layer reads a tensor that is to have another range")
    return Written("".join(["version: 65536\n", *rows]).encode(), ("other layers are calibrated",))


def _rows(
    graph: Graph, wanted: dict[str, tuple[float, float]], known: dict[str, Encoding]
) -> Iterator[str]:
    signed = Encoding.linear("int8", 1.0, 1)
    for node in graph.nodes:
        fed = [name for name in node.inputs if name and not graph.is_constant(name)]
        if not wanted.keys() & set(fed) or len(fed) > _MOST:
            continue
        if any(name not in wanted and not _has_one_scale(known.get(name)) for name in fed):
            continue  # all inputs of a layer stand in the file, or none
        spans = [wanted.get(name) or known[name].quantizer().real_range for name in fed]
        inputs = "".join(f"    {_factor(signed.over(*span))}\n" for span in spans)
        head = f"  name: {quoted(node.label)}\n  calc_data_type: S8\n"
        yield f"layer {{\n{head}  quant_param {{\n{inputs}  }}\n}}\n"


def _has_one_scale(encoding: Encoding | None) -> bool:
    return encoding is not None and encoding.is_linear and encoding.quantizer().scale.ndim == 0


def _factor(encoding: Encoding) -> str:
    quantizer = encoding.quantizer()
    low, high = code_range("int8")
    offset = min(max(int(quantizer.zero_point), low), high)
    return f"input {{ data_type: S8 scale: {1 / float(quantizer.scale):.9g} offset: {offset} }}"


ENCODINGS = ToolchainEncodings(
    formats=(Format("gfpq", "HiSilicon calibration_param", is_param, read_param),),
    writers=(
        Writer(
            "high-precision", "atc --high_precision_layer", (".args", ".txt"), write_high_precision
        ),
        Writer("gfpq", "part of gfpq_param_file", (".prototxt",), write_gfpq),
    ),
    rules=Rules(
        weights=symmetric("int8"),
        rest="is calibrated by atc where the file says nothing; float here",
        notes=("held against the manual only: no tensors of the vendor's program were at hand",),
    ),
    target=Target(wide=("16", "float")),
)
