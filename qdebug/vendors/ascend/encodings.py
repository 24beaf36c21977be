"""Ascend AMCT: the record of scales, and its configuration.

Source: the protocol buffers of AMCT's manual. In a record a scale is a step:
``x = (code - offset) * scale``.
"""

from __future__ import annotations

from collections.abc import Iterator

from qdebug.encodings.model import Encoding, Encodings, Entry
from qdebug.encodings.rules import Rules
from qdebug.encodings.source import Source
from qdebug.encodings.weights import symmetric
from qdebug.errors import UsageError
from qdebug.graph.validity import name_of
from qdebug.vendors.encodings import Beside, Change, Format, ToolchainEncodings, Writer, Written
from qdebug.vendors.prototxt import Message, parse, quoted
from qdebug.vendors.readers import Reads, once

_TYPES = {"INT8": "int8", "INT16": "int16"}


def is_record(source: Source) -> bool:
    """Whether a file is a record."""
    head = source.head
    return "record" in head and "key" in head and ("scale_d" in head or "scale_w" in head)


def read_record(source: Source, beside: Beside) -> Encodings:
    """Read a record: of each layer its first input and its weight."""
    reads = Reads(beside.float_graph)
    records = parse(source).messages("record")
    return Encodings(source.checked(once([e for r in records for e in _record(source, r, reads)])))


def _record(source: Source, record: Message, reads: Reads) -> Iterator[Entry]:
    name = record.text("key")
    if not name:
        raise source.fault("a record has no key", record.line)
    for value in record.messages("value"):
        kind = value.text("dst_type", "INT8")
        if kind not in _TYPES:
            raise source.fault(f"{name_of(name)} has the type {name_of(kind)}", value.line)
        for part in "dw":
            scales = value.numbers(source, f"scale_{part}", name)
            offsets = value.numbers(source, f"offset_{part}", name) or [0.0]
            if not scales:
                continue
            if len(offsets) not in (1, len(scales)):
                whose = f"the scales and offsets of {name_of(name)}"
                raise source.fault(f"{whose} do not fit", value.line)
            zeros = [int(offset) for offset in offsets]
            if part == "d":
                encoding = Encoding.linear(_TYPES[kind], scales, zeros)
                yield reads.fed(name, 0, encoding, value.line)
            else:
                yield reads.weight(name, Encoding.linear("int8", scales, zeros), value.line)


def write_cfg(change: Change) -> Written:
    """AMCT's configuration with the layers that it is to skip."""
    if not change.keep:
        raise UsageError(
            "nothing is to be kept in float: there is nothing to write",
            "AMCT takes no range of a tensor; it searches for one (ifmr_quantize)",
        )
    rows = [f"skip_layers : {quoted(layer.node)}" for layer in change.keep]
    notes = ["add these lines to calibration.cfg; a layer that AMCT fuses keeps its first name"]
    if change.ranges:
        notes.append(f"{len(change.ranges)} better ranges are left out: AMCT takes none")
    return Written(("\n".join(rows) + "\n").encode(), tuple(notes))


ENCODINGS = ToolchainEncodings(
    formats=(Format("amct-record", "AMCT record", is_record, read_record),),
    writers=(Writer("cfg", "AMCT skip_layers", (".cfg",), write_cfg),),
    rules=Rules(
        simplify=True,
        weights=symmetric("int8"),
        rest="stays float: AMCT quantizes what a product reads",
        notes=("held against the manual only: no tensors of the vendor's program were at hand",),
    ),
)
