"""ACUITY: its ``.quantize`` file.

Source: excerpts of files that pegasus wrote, and its users' descriptions of them. A row's name is
``@OPERATOR_NODE_NUMBER:out0``; ``attach_`` stands before the names of outputs.
``asymmetric_affine`` is ``(code - zero_point) * scale``, ``dynamic_fixed_point`` is
``code * 2 ** -fl``. How weights are rounded is not known, and their rows are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

from qdebug.encodings.model import Encoding, Encodings, Entry
from qdebug.encodings.rules import Rules
from qdebug.encodings.source import Source
from qdebug.encodings.weights import symmetric
from qdebug.errors import UsageError
from qdebug.graph.model import Graph
from qdebug.graph.validity import name_of
from qdebug.vendors.advice import FloatLayer
from qdebug.vendors.encodings import Beside, Change, Format, ToolchainEncodings, Writer, Written
from qdebug.vendors.readers import is_acuity
from qdebug.vendors.yaml_text import inserted, line_of, mapping, numbers, root_of
from qdebug.vocabulary.numbers import plural

_CUSTOM, _PARAMETERS = "customized_quantize_layers", "quantize_parameters"
_ROW = re.compile(r"@(?P<layer>.+):out\d+")
_LAYER = re.compile(r"(?P<attach>attach_)?(?P<op>[A-Za-z]+)_(?P<node>.+?)(?:/out\d+)?_(?P<id>\d+)")
_TYPES = {"u8": "uint8", "i8": "int8", "i16": "int16"}
_WIDE = "dynamic_fixed_point-i16"
_MOST_FL = 64
"""Binary places of a fixed point, at most (by judgement: 16 bits with so many hold nothing)."""


@dataclass(frozen=True)
class _Row:
    """One row: what it is of, whether it repeats that for an output, its fields, and its line."""

    key: str
    node: str
    attached: bool
    fields: Mapping[str, yaml.Node]
    line: int

    def word(self, *names: str) -> str:
        """The first field of some names that there is."""
        return next((str(self.fields[name].value) for name in names if name in self.fields), "")


def read(source: Source, beside: Beside) -> Encodings:
    """Read the ranges of what nodes compute."""
    rows = list(_rows(source))
    computed = {row.node for row in rows if not row.attached}
    read = [row for row in rows if not (row.attached and row.node in computed)]
    entries = [entry for row in read if (entry := _entry(source, row, beside.float_graph))]
    left = len(read) - len(entries)
    notes = [f"{plural(left, 'row is', 'rows are')} of weights or in float, and not read"]
    wide = _customized(source)
    if wide:
        count = plural(wide, "layer", "layers")
        notes.append(f"{count} of {_CUSTOM} take effect with pegasus quantize --hybrid only")
    return Encodings(source.checked(entries), notes=tuple(notes if left else notes[1:]))


def _customized(source: Source) -> int:
    top = mapping(source, root_of(source), "the file")
    return len(mapping(source, top[_CUSTOM], _CUSTOM)) if _CUSTOM in top else 0


def _rows(source: Source) -> Iterator[_Row]:
    top = mapping(source, root_of(source), "the file")
    if _PARAMETERS not in top:
        raise source.fault(f"it has no {_PARAMETERS}", hint="the file is cut off")
    for key, node in mapping(source, top[_PARAMETERS], _PARAMETERS).items():
        row, fields = _ROW.fullmatch(key), mapping(source, node, name_of(key))
        layer = _LAYER.fullmatch(row["layer"]) if row is not None else None
        name = layer["node"] if layer is not None else key
        attached = layer is not None and layer["attach"] is not None
        yield _Row(key, name, attached, fields, line_of(node))


def _entry(source: Source, row: _Row, graph: Graph) -> Entry | None:
    """The entry of a row; None of a weight, or of what stays in float."""
    if not row.key.startswith("@") or not row.key.endswith(":out0"):
        return None
    kind = row.word("qtype")
    if kind not in _TYPES:
        return None
    encoding = _encoding(source, row, _TYPES[kind])
    if encoding is None:
        return None
    made = next((node for node in graph.nodes if row.node in (node.label, *node.outputs)), None)
    name = made.outputs[0] if made is not None else row.node
    return Entry(name, encoding, line=row.line)


def _encoding(source: Source, row: _Row, dtype: str) -> Encoding | None:
    """What a row says; None where its arithmetic is not known."""
    whose = name_of(row.key)
    kind = row.word("quantizer", "dtype")
    if kind.startswith("dynamic_fixed_point"):
        (places, *_) = [*numbers(source, row.fields.get("fl"), f"fl of {whose}"), float("nan")]
        if not abs(places) < _MOST_FL:
            raise source.fault(f"the fl of {whose} is missing or far off", row.line)
        return Encoding.linear(dtype, 2.0**-places)
    if not kind.startswith(("asymmetric_affine", "symmetric_affine")):
        return None
    scale = list(numbers(source, row.fields.get("scale"), f"scale of {whose}"))
    zeros = list(numbers(source, row.fields.get("zero_point"), f"zero_point of {whose}")) or [0.0]
    if len(scale) != 1 or len(zeros) != 1 or zeros[0] != int(zeros[0]):
        raise source.fault(f"scale and zero point of {whose} do not fit", row.line)
    if scale[0] <= 0:
        raise source.fault(f"a scale of {whose} is {scale[0]:g}; it must be above zero", row.line)
    return Encoding.linear(dtype, scale[0], int(zeros[0]))


def write_quantize(change: Change) -> Written:
    """The file of ``pegasus quantize --rebuild`` with rows for layers to give 16 bits."""
    base = change.base
    if base is None or not is_acuity(base):
        raise UsageError(
            "ACUITY takes its own .quantize only, with rows added",
            "give the file that pegasus quantize --rebuild wrote: --names model.quantize",
        )
    if not change.keep:
        if change.ranges:
            raise UsageError(
                "whether pegasus --hybrid takes a range that was edited is not known",
                "calibrate again with another --algorithm",
            )
        return Written(base.content)
    top = mapping(base, root_of(base), "the file")
    held = mapping(base, top[_CUSTOM], _CUSTOM) if _CUSTOM in top else {}
    keys = {layer: _keys(base, layer) for layer in change.keep}
    missing = [layer.tensor for layer, found in keys.items() if not found]
    names = dict.fromkeys(key for found in keys.values() for key in found)
    wanted = [(key, _WIDE) for key in names if key not in held]
    notes = ["then run pegasus quantize --hybrid with this file, and export from what it writes"]
    if missing:
        count = plural(len(missing), "layer has", "layers have")
        notes.append(f"{count} no row in the file, the first of them {name_of(missing[0])}")
    if change.ranges:
        notes.append(f"{len(change.ranges)} better ranges are left out")
    return Written(inserted(base.text or "", _CUSTOM, wanted).encode(), tuple(notes))


def _keys(base: Source, layer: FloatLayer) -> list[str]:
    """ACUITY's names of a layer, rows' keys without sign and slot; two of one that is an output."""
    return [
        row.key.removeprefix("@").removesuffix(":out0")
        for row in _rows(base)
        if row.key.endswith(":out0") and row.node in (layer.node, layer.tensor)
    ]


ENCODINGS = ToolchainEncodings(
    formats=(Format("acuity", "ACUITY .quantize", is_acuity, read),),
    writers=(Writer("quantize", "ACUITY .quantize", (".quantize",), write_quantize),),
    rules=Rules(
        simplify=True,
        weights=symmetric("int8", per_channel=False),
        rest="stays float, or is a part of what ACUITY computes as one layer",
        notes=("held against descriptions only: weights are int8 here, with one scale each",),
    ),
)
