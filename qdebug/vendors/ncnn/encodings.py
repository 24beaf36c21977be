"""ncnn: its calibration table.

Source: tables that the wheel of 2026-10-20 wrote; its arithmetic was held against its own blobs.
A layer's code is ``clip(round half away(x * scale), -127, 127)``, of its input and of its weight;
what is not a product stays float.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qdebug.encodings.model import Encoding, Encodings, Entry
from qdebug.encodings.rules import Rules
from qdebug.encodings.source import Source
from qdebug.vendors.encodings import Beside, Format, Target, ToolchainEncodings, Writer
from qdebug.vendors.ncnn.table import OTHER_LINE, Layer, Mark, groups, is_table, layers_of, matched
from qdebug.vendors.ncnn.writing import write_table
from qdebug.vocabulary.numbers import plural

_LOST = "no weight of the float model has its scales"


def read_table(source: Source, beside: Beside) -> Encodings:
    """Read a table: for each layer the codes of its input, read by it alone, and of its weight."""
    layers = layers_of(source)
    marks = matched(layers, beside.float_graph)
    entries: dict[tuple[str, str], Entry] = {}
    for layer in layers:
        for entry in _entries(layer, marks.get(layer.name)):
            label = entry.readers[0] if entry.readers else ""
            entries.setdefault((entry.name, label), entry)
    others = sum(bool(OTHER_LINE.search(line.split()[0])) for _, line in source.lines())
    notes = [
        "layers are recognized by the scales of their weights: the names of a table are pnnx's"
    ]
    if others:
        count = plural(others, "line is", "lines are")
        notes.append(f"{count} for second weights, which are not simulated")
    return Encodings(source.checked(list(entries.values())), notes=tuple(notes))


def _entries(layer: Layer, mark: Mark | None) -> list[Entry]:
    fed = Encoding.linear("int8", 1 / layer.fed, narrow=True)
    if mark is None:
        return [Entry(layer.name, fed, line=layer.line, homeless=_LOST)]
    scales = layer.weight * mark.factor
    scales = np.where(np.isfinite(scales) & (scales > 0), scales, 1.0)
    node = mark.node
    if groups(node):
        scales = np.repeat(scales, mark.channels // scales.size)
    codes = Encoding.linear("int8", 1 / scales, narrow=True)
    per_unit = scales.astype(np.float32).reshape(codes.quantizer().scale.shape)
    codes = replace(codes, per_unit=per_unit)
    return [
        Entry(node.inputs[0], fed, readers=(node.label,), line=layer.fed_line),
        Entry(node.inputs[1], codes, "weight", line=layer.line),
    ]


RULES = Rules(
    simplify=True,
    rounding="away",
    rest="stays float: ncnn quantizes what a product reads",
    notes=(
        "ncnn rounds half a step away from zero; here an input's goes to the even code: single "
        "codes differ",
    ),
)

ENCODINGS = ToolchainEncodings(
    formats=(Format("ncnn-table", "ncnn calibration table", is_table, read_table),),
    writers=(Writer("table", "ncnn calibration table", (".table", ".table.txt"), write_table),),
    rules=RULES,
    target=Target(wide=("float",), symmetric=True),
)
